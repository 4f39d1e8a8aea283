"""The platform's key list: only from the pinned root, whole, and for its time."""

from datetime import timedelta
from typing import Any

import pytest

from tests.workers.protocol.cast import MALLORY, NET, NOW, PLATFORM, ROOT, SEALING, key_list, listed
from workers.protocol import canonical
from workers.protocol.clock import unix_ms, utcnow
from workers.protocol.envelope import KnownKey, sign_document
from workers.protocol.errors import KeyListRefused
from workers.protocol.keylist import KIND, fingerprint, make_key_list, open_key_list
from workers.protocol.keys import SealingKey, SigningKey, b64

PIN = fingerprint(ROOT.public)
WHOLE = {"version": 1, "root_public": b64(ROOT.public), "keys": [listed(PLATFORM, "platform")]}


def signed(body: Any, kind: str = KIND) -> dict[str, Any]:
    return sign_document(kind, body, key=ROOT, net=NET, now=NOW)


@pytest.mark.parametrize("root", [PIN, ROOT.public], ids=["by fingerprint", "by key"])
def test_a_list_opens_against_the_pinned_root(root: str | bytes) -> None:
    opened = open_key_list(key_list(version=7), root)
    assert (opened.network, opened.version, opened.root_fingerprint) == (NET, 7, PIN)
    assert opened.resolve(PLATFORM.kid, unix_ms(NOW)) == KnownKey(PLATFORM.public, "platform")
    assert opened.sealing_public == SEALING.public


@pytest.mark.parametrize("root", [fingerprint(MALLORY.public), MALLORY.public, "", "0" * 64, b""])
def test_a_list_of_another_root_is_refused(root: str | bytes) -> None:
    with pytest.raises(KeyListRefused) as refusal:
        open_key_list(key_list(), root)
    assert refusal.value.code == "key_list_refused"


def test_a_list_that_only_names_the_root_is_refused() -> None:
    forged = sign_document(KIND, WHOLE, key=MALLORY, net=NET, now=NOW)
    for root in (PIN, ROOT.public):
        with pytest.raises(KeyListRefused):
            open_key_list(forged, root)
    forged["signatures"][0]["keyid"] = ROOT.kid
    with pytest.raises(KeyListRefused):
        open_key_list(forged, PIN)


def test_every_flipped_bit_of_a_list_is_refused() -> None:
    whole = canonical.dumps(key_list())
    for place in range(len(whole)):
        altered = bytearray(whole)
        altered[place] ^= 1 << place % 7
        for root in (PIN, ROOT.public):
            with pytest.raises(KeyListRefused):
                open_key_list(bytes(altered), root)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {**WHOLE, "more": 1},
        {**WHOLE, "version": "1"},
        {**WHOLE, "version": True},
        {**WHOLE, "version": -1},
        {**WHOLE, "keys": {}},
        {**WHOLE, "keys": [5]},
        {**WHOLE, "keys": [{}]},
        {**WHOLE, "root_public": b64(MALLORY.public)},
        {**WHOLE, "root_public": "*"},
        {**WHOLE, "root_public": None},
        {"version": 1, "keys": []},
        {**WHOLE, "keys": [{**listed(PLATFORM, "platform"), "kid": MALLORY.kid}]},
        {**WHOLE, "keys": [{**listed(PLATFORM, "platform"), "public": "*"}]},
        {**WHOLE, "keys": [{**listed(PLATFORM, "platform"), "purpose": "anything"}]},
        {**WHOLE, "keys": [{**listed(PLATFORM, "platform"), "not_after": None}]},
        {**WHOLE, "keys": [{**listed(PLATFORM, "platform"), "more": 1}]},
    ],
)
def test_a_list_that_is_not_whole_is_refused_even_from_the_root(body: Any) -> None:
    for root in (PIN, ROOT.public):
        with pytest.raises(KeyListRefused):
            open_key_list(signed(body), root)


def test_another_document_of_the_root_is_no_list() -> None:
    with pytest.raises(KeyListRefused):
        open_key_list(signed(WHOLE, "ledger.block"), PIN)


def test_a_key_counts_only_in_its_time() -> None:
    opened = open_key_list(make_key_list(ROOT, NET, 1, [listed(PLATFORM, "platform", days=10)], NOW), PIN)
    for days, known in ((-1, False), (0, True), (10, True), (11, False)):
        found = opened.resolve(PLATFORM.kid, unix_ms(NOW + timedelta(days=days)))
        assert (found is not None) is known


def test_the_time_is_now_unless_told_otherwise() -> None:
    now = utcnow()
    keys = [
        listed(PLATFORM, "platform", now - timedelta(hours=1)),
        listed(MALLORY, "platform", now + timedelta(hours=1)),
    ]
    opened = open_key_list(make_key_list(ROOT, NET, 1, keys, now), PIN)
    assert opened.resolve(PLATFORM.kid)
    assert opened.resolve(MALLORY.kid) is None


def test_a_sealing_key_signs_nothing_and_a_signing_key_seals_nothing() -> None:
    opened = open_key_list(key_list(), PIN)
    sealing = next(key for key in opened.keys if key.purpose == "seal")
    assert opened.resolve(sealing.kid, unix_ms(NOW)) is None
    with pytest.raises(KeyListRefused):
        _ = open_key_list(make_key_list(ROOT, NET, 1, [listed(PLATFORM, "platform")], NOW), PIN).sealing_public


def test_keys_roll_over() -> None:
    new_signing, new_sealing, later = SigningKey.generate(), SealingKey.generate(), NOW + timedelta(days=5)
    keys = [listed(PLATFORM, "platform", days=10), listed(new_signing, "platform", later)]
    keys += [listed(new_sealing, "seal", later), listed(SEALING, "seal")]
    opened = open_key_list(make_key_list(ROOT, NET, 2, keys, later), PIN)
    both, after = unix_ms(NOW + timedelta(days=7)), unix_ms(NOW + timedelta(days=20))
    assert opened.resolve(PLATFORM.kid, both)
    assert opened.resolve(new_signing.kid, both)
    assert opened.resolve(PLATFORM.kid, after) is None
    assert opened.sealing_public == new_sealing.public
