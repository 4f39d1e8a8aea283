"""The operators' guide knows every state, code, reason and setting that a node's owner can meet."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from apps.operators import enrolment, node_errors
from apps.operators import errors as operator_errors
from apps.operators.models import NodeStatus
from apps.pool import node_states
from apps.pool.node_api.errors import NodeApiError
from workers.client import node_commands
from workers.engines.base import EngineError
from workers.node import cache, limits
from workers.node.config import NodeConfig
from workers.node.errors import NodeError, ScanFailed
from workers.protocol.errors import ProtocolError

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "operators.md").read_text()
# Of requesters, wallets and browsers, not of nodes.
ELSEWHERE = {"api_key_required", "scope_missing", "frame_malformed", "wallet_file_malformed", "passphrase_wrong",
             "passphrase_too_short"}  # fmt: skip
ENROLLING = [
    "NotApproved",
    "StakeMissing",
    "TokenInvalid",
    "TokenUsed",
    "TokenExpired",
    "ChallengeInvalid",
    "PowInvalid",
    "NameInvalid",
    "NameInUse",
    "KeyInvalid",
    "KeyInUse",
    "TooManyNodes",
    "NodeMoveRefused",
]


def below(root: type[Exception]) -> Iterator[type[Exception]]:
    for found in root.__subclasses__():
        if found is not ScanFailed:
            yield found
            yield from below(found)


def codes() -> set[str]:
    known = {c for root in (NodeError, ProtocolError, NodeApiError, EngineError) for c in below(root)}
    known |= {getattr(operator_errors, name) for name in ENROLLING}
    known |= set(below(node_errors.NodeRefusal))
    assert cache.CacheError in known
    assert enrolment.NotApproved in known
    return {str(found.code) for found in known} - ELSEWHERE  # type: ignore[attr-defined]


@pytest.mark.parametrize("code", sorted(codes()))
def test_every_code_has_its_line(code: str) -> None:
    assert f"`{code}`" in GUIDE


@pytest.mark.parametrize("word", [*NodeStatus.values, *node_states.HELD, *limits.NEXT_STEPS])
def test_every_state_and_every_limit_has_its_line(word: str) -> None:
    assert f"`{word}`" in GUIDE


def test_the_platform_and_the_agent_know_the_same_limits() -> None:
    assert set(node_states.HELD) == set(limits.NEXT_STEPS)


def test_every_command_of_a_node_is_named_and_none_that_does_not_exist() -> None:
    commands = set(get_command(node_commands.app).commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"mesh node ([a-z-]+)", GUIDE))
    assert named == commands


def test_the_settings_that_it_names_exist() -> None:
    named = {"cache_mb", "transport", "quiet_hours", "time_zone", "memory_cap_mb", "power_cap_w", "models", "slots",
             "stop_grace_s", "engine_address"}  # fmt: skip
    assert all(f"`{name}" in GUIDE for name in named)
    assert named <= set(NodeConfig.model_fields)


def test_its_links_lead_somewhere() -> None:
    docs = Path(__file__).resolve().parents[2] / "docs"
    heads = {re.sub(r"[^a-z -]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.+)$", GUIDE, re.M)}
    for target in re.findall(r"\]\(([^)]+)\)", GUIDE):
        assert target.removeprefix("#") in heads if target.startswith("#") else (docs / target).exists(), target
