"""Signing keys: lengths, round trips, refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.protocol.cast import ALICE, BOB
from workers.protocol.errors import EnvelopeMalformed
from workers.protocol.keys import SMALL_ORDER, SealingKey, SigningKey, b64, fingerprint, kid_of, unb64, verify


@pytest.mark.parametrize("kind", [SigningKey, SealingKey])
def test_a_new_key_pair_is_two_times_32_bytes_in_base64(kind: type[SigningKey] | type[SealingKey]) -> None:
    key = kind.generate()
    for half in (key.public, key.private_bytes):
        assert len(half) == 32
        assert len(b64(half)) == 44
        assert unb64(b64(half)) == half
    assert key.public != key.private_bytes


def test_every_new_key_is_another() -> None:
    assert (
        len({SigningKey.generate().public for _ in range(20)} | {SealingKey.generate().public for _ in range(20)}) == 40
    )


@pytest.mark.parametrize("kind", [SigningKey, SealingKey])
def test_a_key_comes_back_from_its_private_bytes(kind: type[SigningKey] | type[SealingKey]) -> None:
    key = kind.generate()
    assert kind.from_bytes(key.private_bytes).public == key.public


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        SigningKey.from_bytes(b"short")


def test_rfc_8032_test_2_is_signed_as_there() -> None:
    key = SigningKey.from_bytes(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    assert key.public.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert key.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


@given(st.binary())
def test_what_a_key_signed_verifies(message: bytes) -> None:
    assert verify(ALICE.public, ALICE.sign(message), message) is True


@given(st.binary(max_size=40), st.integers(0, 63), st.integers(1, 255))
def test_an_altered_signature_is_false(message: bytes, place: int, change: int) -> None:
    signature = bytearray(ALICE.sign(message))
    signature[place] ^= change
    assert verify(ALICE.public, bytes(signature), message) is False


@given(st.binary(min_size=1, max_size=40), st.data())
def test_a_signature_fits_no_altered_message(message: bytes, data: st.DataObject) -> None:
    altered = bytearray(message)
    altered[data.draw(st.integers(0, len(message) - 1))] ^= data.draw(st.integers(1, 255))
    assert verify(ALICE.public, ALICE.sign(message), bytes(altered)) is False


def test_a_signature_fits_no_other_key() -> None:
    assert verify(BOB.public, ALICE.sign(b"hello"), b"hello") is False


@given(st.binary(max_size=70), st.binary(max_size=70))
def test_malformed_keys_and_signatures_are_false(public: bytes, signature: bytes) -> None:
    assert verify(public, signature, b"hello") is False
    assert verify(ALICE.public, signature, b"hello") is False


def test_a_signature_has_no_second_scalar() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    signature = ALICE.sign(b"hello")
    raised = (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    assert verify(ALICE.public, signature[:32] + raised, b"hello") is False


@pytest.mark.parametrize("sign_bit", [0, 0x80])
@pytest.mark.parametrize("point", sorted(SMALL_ORDER), ids=bytes.hex)
def test_a_key_under_which_one_signature_fits_many_messages_is_no_key(point: bytes, sign_bit: int) -> None:
    public = point[:-1] + bytes([point[-1] | sign_bit])
    identity = b"\x01" + bytes(31)
    assert not any(verify(public, identity + bytes(32), b"%d" % n) for n in range(64))


def test_names_of_keys_come_from_their_fingerprint() -> None:
    assert fingerprint(ALICE.public).startswith(ALICE.kid)
    assert (len(ALICE.kid), len(fingerprint(ALICE.public))) == (16, 64)
    assert kid_of(ALICE.public) == ALICE.kid


@given(st.binary())
def test_base64_round_trips(data: bytes) -> None:
    assert unb64(b64(data)) == data


@pytest.mark.parametrize("text", ["QQ", "QR==", "QQ==\n", " QQ==", "QQ= =", "Q-__", "QQ==QQ==", "é", "=", None, 5])
def test_base64_has_one_spelling(text: str) -> None:
    with pytest.raises(EnvelopeMalformed) as refusal:
        unb64(text)
    assert refusal.value.code == "envelope_malformed"
