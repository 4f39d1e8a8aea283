"""What a node does about a ban: it stops taking work, says why, and goes on when the ban is lifted."""

import logging
from pathlib import Path

import pytest

from tests.workers.node.platform_double import Platform
from workers.node import identity as identities
from workers.node.agent import Agent
from workers.node.config import load_config
from workers.node.state import NodeState

NOTICE = {"ban": "ban_1", "reason": "Forged results.", "ends_at": None}


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    identities.save(tmp_path, Platform(url="http://localhost:1").identity())
    identities.load_or_make_keys(tmp_path)
    return Agent(load_config(directory=tmp_path))


def test_a_banned_node_offers_no_slots_and_says_why_once(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    assert not agent.heartbeat_body()["draining"]
    with caplog.at_level(logging.INFO, logger="node.agent"):
        agent.control("control.banned", NOTICE)
        agent.take_ban(NOTICE)
    assert agent.heartbeat_body()["draining"]
    assert not any(agent.heartbeat_body()["slots"].values())
    [line] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert line.__dict__["reason"] == "Forged results."
    assert "appeal" in line.__dict__["next_step"]


def test_a_lifted_ban_gives_the_slots_back_and_leaves_a_drain_of_its_owner(agent: Agent) -> None:
    agent.control("control.banned", NOTICE)
    agent.control("control.unbanned", {})
    assert not agent.heartbeat_body()["draining"]
    agent.state.set_fact("draining", True)
    agent.take_ban(NOTICE)
    agent.take_ban(None)
    assert agent.heartbeat_body()["draining"]


def test_a_ban_outlives_a_restart(agent: Agent, tmp_path: Path) -> None:
    agent.take_ban(NOTICE)
    assert NodeState(tmp_path).fact("banned") == NOTICE
    assert Agent(load_config(directory=tmp_path)).draining()
