"""Changing a node's keys on its machine: nothing is lost, whenever the way to the platform breaks."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.workers.node.platform_double import NET, NODE, Platform, platform_at_work
from workers.node import identity as identities
from workers.node.errors import PlatformRefused
from workers.node.identity import Broker, load_or_make_keys
from workers.node.rotate import NEXT, rotate
from workers.protocol import rotation
from workers.protocol.clock import utcnow
from workers.protocol.envelope import sign_envelope, unverified_payload
from workers.protocol.errors import ProtocolError
from workers.protocol.keys import unb64, verify

ACCOUNT = Broker("redis://localhost:1/0", "node-x", "another secret", "nx:")


@pytest.fixture
def platform() -> Iterator[Platform]:
    with platform_at_work() as running:
        yield running


@pytest.fixture
def home(platform: Platform, tmp_path: Path) -> Path:
    identities.save(tmp_path, platform.identity())
    load_or_make_keys(tmp_path)
    return tmp_path


def answered(platform: Platform, **changes: Any) -> tuple[int, dict[str, Any]]:
    body = {"node_id": NODE, "broker": asdict(ACCOUNT)}
    chosen = {"key": platform.signing, "to": NODE, **changes}
    return 200, sign_envelope("platform.rotated", body, net=NET, sender="platform", now=utcnow(), **chosen)


def asked(platform: Platform) -> list[dict[str, Any]]:
    return [unverified_payload(body) for path, body in platform.received if path == "/rotate"]


def test_the_old_key_vouches_for_the_new_ones_which_take_its_place(platform: Platform, home: Path) -> None:
    platform.answers["/rotate"] = answered(platform)
    old_sign, old_seal = load_or_make_keys(home)
    before = identities.keys_changed_at(home)
    renewed = rotate(home)
    signing, sealing = load_or_make_keys(home)
    [said] = asked(platform)
    assert said["kid"] == old_sign.kid
    proof = rotation.proof(NET, NODE, signing.public, sealing.public)
    assert verify(signing.public, unb64(said["body"]["proof"]), proof)
    assert signing.public not in {old_sign.public}
    assert sealing.public != old_seal.public
    assert renewed.broker == identities.load(home).broker == ACCOUNT
    assert not (home / NEXT).exists()
    assert identities.keys_changed_at(home) != before
    assert (home / "keys" / "signing.key").stat().st_mode & 0o777 == 0o600


def test_an_answer_that_was_lost_is_asked_for_again_with_the_same_keys(platform: Platform, home: Path) -> None:
    old, _ = load_or_make_keys(home)
    platform.answers["/rotate"] = (503, {"code": "unavailable", "detail": "Not now."})
    with pytest.raises(PlatformRefused):
        rotate(home)
    assert load_or_make_keys(home)[0].public == old.public
    promised, _ = load_or_make_keys(home / NEXT)
    # The platform took them; the old key counts no more.
    platform.answers["/rotate"] = (401, {"code": "key_retired", "detail": "Other keys now."})
    with pytest.raises(PlatformRefused):
        rotate(home)
    assert [said["kid"] for said in asked(platform)] == [old.kid, old.kid, promised.kid]
    platform.answers["/rotate"] = answered(platform)
    rotate(home)
    assert load_or_make_keys(home)[0].public == promised.public


@pytest.mark.parametrize("forged", ["key", "to"])
def test_an_answer_that_is_not_the_platforms_changes_nothing(platform: Platform, home: Path, forged: str) -> None:
    old, _ = load_or_make_keys(home)
    platform.answers["/rotate"] = answered(platform, **({"key": old} if forged == "key" else {"to": "node_other"}))
    with pytest.raises(ProtocolError):
        rotate(home)
    assert load_or_make_keys(home)[0].public == old.public
    assert identities.load(home).broker != ACCOUNT
