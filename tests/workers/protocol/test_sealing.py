"""Sealing to a recipient and encryption at rest, over byte arrays."""

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.protocol import rfc9180
from tests.workers.protocol.cast import NET, SEALING
from workers.protocol.errors import SealBroken
from workers.protocol.keys import SealingKey
from workers.protocol.sealing import decrypt_at_rest, encrypt_at_rest, job_info, open_sealed, seal

INFO = job_info(NET, "job_1", "tsk_1", 1, "node_alice")
KEY = b"k" * 32
ROW = b"task:1"


@given(st.binary(max_size=4096), st.binary(max_size=64))
def test_what_is_sealed_opens_to_the_same_bytes(plaintext: bytes, info: bytes) -> None:
    sealed = seal(SEALING.public, plaintext, info)
    assert len(sealed) == len(plaintext) + 48
    assert open_sealed(SEALING, sealed, info) == plaintext


@given(st.binary(max_size=4096), st.binary(max_size=64))
def test_what_is_encrypted_at_rest_decrypts_to_the_same_bytes(plaintext: bytes, row: bytes) -> None:
    assert decrypt_at_rest(KEY, encrypt_at_rest(KEY, plaintext, row), row) == plaintext


def test_byte_arrays_go_through_both() -> None:
    array = bytearray(range(256))
    assert bytearray(open_sealed(SEALING, bytearray(seal(SEALING.public, array, INFO)), INFO)) == array
    assert bytearray(decrypt_at_rest(KEY, bytearray(encrypt_at_rest(KEY, array, ROW)), ROW)) == array


def test_the_same_plaintext_never_gives_the_same_ciphertext() -> None:
    assert len({seal(SEALING.public, b"hello", INFO) for _ in range(100)}) == 100
    assert len({encrypt_at_rest(KEY, b"hello", ROW) for _ in range(100)}) == 100


def test_the_ciphertext_does_not_hold_the_plaintext() -> None:
    secret = os.urandom(64)
    assert secret not in seal(SEALING.public, secret, INFO)
    assert secret not in encrypt_at_rest(KEY, secret, ROW)


def test_another_key_opens_nothing() -> None:
    with pytest.raises(SealBroken) as refusal:
        open_sealed(SealingKey.generate(), seal(SEALING.public, b"hello", INFO), INFO)
    assert refusal.value.code == "seal_broken"
    with pytest.raises(SealBroken):
        decrypt_at_rest(b"x" * 32, encrypt_at_rest(KEY, b"hello", ROW), ROW)


@pytest.mark.parametrize(
    "info",
    [
        job_info("other-net", "job_1", "tsk_1", 1, "node_alice"),
        job_info(NET, "job_2", "tsk_1", 1, "node_alice"),
        job_info(NET, "job_1", "tsk_2", 1, "node_alice"),
        job_info(NET, "job_1", "tsk_1", 2, "node_alice"),
        job_info(NET, "job_1", "tsk_1", 1, "node_bob"),
        b"",
    ],
)
def test_a_seal_opens_in_no_other_context(info: bytes) -> None:
    with pytest.raises(SealBroken):
        open_sealed(SEALING, seal(SEALING.public, b"hello", INFO), info)


def test_what_belongs_to_one_row_does_not_decrypt_as_anothers() -> None:
    with pytest.raises(SealBroken):
        decrypt_at_rest(KEY, encrypt_at_rest(KEY, b"hello", ROW), b"task:2")


def test_every_flipped_bit_breaks_the_seal() -> None:
    sealed, stored = seal(SEALING.public, b"hello", INFO), encrypt_at_rest(KEY, b"hello", ROW)
    # X25519 ignores the top bit of a public value, but the key schedule binds the encapsulated bytes as they are.
    for bit in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken):
            open_sealed(SEALING, bytes(altered), INFO)
    for bit in range(len(stored) * 8):
        altered = bytearray(stored)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken):
            decrypt_at_rest(KEY, bytes(altered), ROW)


@given(st.binary(max_size=100))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(SealBroken):
        open_sealed(SEALING, data, INFO)
    with pytest.raises(SealBroken):
        decrypt_at_rest(KEY, data, ROW)


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(33), bytes(32), b"\x01" + bytes(31)])
def test_nothing_is_sealed_to_a_key_that_nobody_can_hold(public: bytes) -> None:
    with pytest.raises(SealBroken):
        seal(public, b"hello", INFO)


def test_the_oracle_reproduces_the_first_vector_of_rfc_9180() -> None:
    encapsulated, key, nonce = rfc9180.schedule(
        rfc9180.AES_128,
        bytes.fromhex("52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736"),
        bytes.fromhex("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d"),
        bytes.fromhex("4f6465206f6e2061204772656369616e2055726e"),
    )
    assert encapsulated.hex() == "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"
    assert key.hex() == "4531685d41d65f03dc48f6b8302c05b0"
    assert nonce.hex() == "56d890e5accaaf011cff4b7d"
    plaintext = bytes.fromhex("4265617574792069732074727574682c20747275746820626561757479")
    assert AESGCM(key).encrypt(nonce, plaintext, b"Count-0").hex() == (
        "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a"
    )


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.binary(max_size=64))
def test_what_the_oracle_seals_opens_here(ephemeral: bytes, plaintext: bytes, info: bytes) -> None:
    assert open_sealed(SEALING, rfc9180.seal(ephemeral, SEALING.public, plaintext, info), info) == plaintext
