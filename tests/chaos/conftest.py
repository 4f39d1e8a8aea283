"""The chaos tests' network is the end-to-end tests' one."""

from tests.e2e.conftest import network as network
