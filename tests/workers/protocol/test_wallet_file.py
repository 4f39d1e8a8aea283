"""Wallet files: what was written is read again, and nothing else is."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.protocol import canonical, wallet_file
from workers.protocol.errors import PassphraseTooShort, PassphraseWrong, ProtocolError, WalletFileMalformed
from workers.protocol.keys import SigningKey, b64, fingerprint

PASSPHRASE = "correct horse battery"
KEY = SigningKey.from_bytes(bytes(range(32)))
FILE = wallet_file.write(KEY, PASSPHRASE, "Mine")
# A sealed file costs 600,000 rounds of SHA-256, so each property looks at few of them.
SLOW = settings(max_examples=8, deadline=None)
# A file as another program wrote it; if it cannot be read any more, wallets that people keep are lost.
KEPT = (
    '{"address":"56475aa75463474c0285df5dbf2bcab73da651358839e9b77481b2eab107708c","format":"mesh-wallet",'
    '"iterations":600000,"kdf":"PBKDF2-HMAC-SHA256","label":"kept","nonce":"AAECAwQFBgcICQoL",'
    '"public":"A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=","salt":"AAECAwQFBgcICQoLDA0ODw==",'
    '"sealed":"Ks/JTue17SfenMbEQTSI+ypdEglwZRI15t+lJ9R5GddOa+DK+XX+SN2knQHyQXMr","version":1}'
)
text = st.text(st.characters(exclude_categories=["Cs"]))


@SLOW
@given(private=st.binary(min_size=32, max_size=32), passphrase=text.filter(lambda p: len(p) >= 10), label=text)
def test_what_is_written_is_read_again(private: bytes, passphrase: str, label: str) -> None:
    opened = wallet_file.read(wallet_file.write(SigningKey.from_bytes(private), passphrase, label[:80]), passphrase)
    assert (opened.key.private_bytes, opened.label) == (private, label[:80])


@SLOW
@given(other=text.filter(lambda p: p != PASSPHRASE))
def test_no_other_passphrase_opens_it(other: str) -> None:
    with pytest.raises(PassphraseWrong):
        wallet_file.read(FILE, other)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_file_with_any_bit_changed_is_refused(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(FILE) - 1))
    altered = bytearray(FILE)
    altered[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((WalletFileMalformed, PassphraseWrong)):
        wallet_file.read(bytes(altered), PASSPHRASE)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda value: json.dumps(value).encode())
)
def test_whatever_else_a_file_holds_it_is_refused(content: bytes) -> None:
    with pytest.raises(WalletFileMalformed):
        wallet_file.read(content, PASSPHRASE)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": True},
        {"format": "other"},
        {"kdf": "scrypt"},
        {"iterations": 599_999},
        {"iterations": 10_000_001},
        {"iterations": "600000"},
        {"salt": ""},
        {"nonce": "AAAA"},
        {"sealed": "AAAA"},
        {"label": "x" * 81},
        {"label": None},
        {"more": 1},
        {"public": "A"},
    ],
)
def test_a_field_that_is_not_as_it_must_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(WalletFileMalformed):
        wallet_file.read(canonical.dumps({**canonical.loads(FILE), **change}), PASSPHRASE)


@pytest.mark.parametrize(
    "change", [{"label": "Yours"}, {"address": "0" * 64}, {"iterations": 600_001}, {"public": b64(bytes(32))}]
)
def test_no_word_of_a_file_can_be_changed(change: dict[str, object]) -> None:
    with pytest.raises(PassphraseWrong):
        wallet_file.read(canonical.dumps({**canonical.loads(FILE), **change}), PASSPHRASE)


def test_a_file_of_long_ago_is_still_read() -> None:
    opened = wallet_file.read(KEPT.encode(), PASSPHRASE)
    assert (opened.key.private_bytes, opened.label) == (KEY.private_bytes, "kept")


def test_spaces_and_another_order_of_fields_do_no_harm() -> None:
    fields = canonical.loads(FILE)
    shuffled = json.dumps(dict(reversed(fields.items())), indent=2).encode()
    assert wallet_file.read(shuffled, PASSPHRASE).key.public == KEY.public


def test_the_same_passphrase_from_another_keyboard_opens_it() -> None:
    composed, decomposed = "p\u00e2t\u00e9 de No\u00ebl", "pa\u0302te\u0301 de Noe\u0308l"
    assert wallet_file.read(wallet_file.write(KEY, composed), decomposed).key.public == KEY.public


def test_a_file_tells_nothing_but_the_public_key() -> None:
    fields = canonical.loads(FILE)
    assert (fields["public"], fields["address"]) == (b64(KEY.public), fingerprint(KEY.public))
    assert b64(KEY.private_bytes) not in FILE.decode()
    assert canonical.loads(wallet_file.write(KEY, PASSPHRASE))["sealed"] != fields["sealed"]


def test_short_passphrases_and_long_labels_are_refused() -> None:
    with pytest.raises(PassphraseTooShort):
        wallet_file.write(KEY, "nine char")
    with pytest.raises(WalletFileMalformed):
        wallet_file.write(KEY, PASSPHRASE, "x" * 81)
    with pytest.raises(ProtocolError):
        wallet_file.read(b" " * 5000, PASSPHRASE)
