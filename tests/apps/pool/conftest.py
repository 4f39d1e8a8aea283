"""The pool's cast takes the stage."""

from collections.abc import Iterator

import pytest
from django.core.cache import cache

from apps.core import parameters, platform_keys
from apps.core.models import User
from apps.models.models import ModelVersion
from apps.pool import completion, sealing
from tests.apps.pool import cast
from workers.protocol.clock import utcnow


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    platform_keys.create(utcnow())
    cache.clear()
    parameters.forget_cached()
    yield
    completion.manifest_of.cache_clear()
    sealing.files_of.cache_clear()
    parameters.forget_cached()


@pytest.fixture
def embedder(db: None) -> ModelVersion:
    return cast.publish()


@pytest.fixture
def writer(db: None) -> ModelVersion:
    return cast.publish(cast.WRITER, "generate")


@pytest.fixture
def rita(db: None) -> User:
    return cast.requester("rita")


@pytest.fixture
def ada(embedder: ModelVersion) -> cast.Machine:
    return cast.machine("ada")


@pytest.fixture
def bert(embedder: ModelVersion) -> cast.Machine:
    return cast.machine("bert")
