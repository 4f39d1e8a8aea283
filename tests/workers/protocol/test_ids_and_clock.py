"""Ids, the clock and the proof-of-work."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.protocol.cast import NOW
from workers.protocol import ids
from workers.protocol.clock import from_unix_ms, unix_ms, utcnow
from workers.protocol.pow import check, solve


def test_an_id_is_a_prefix_and_26_letters() -> None:
    new = ids.new_id("job", NOW)
    assert new.startswith("job_")
    assert len(new) == 30
    assert set(new[4:]) <= set("0123456789abcdefghjkmnpqrstvwxyz")
    assert ids.is_id("job", new)
    assert not ids.is_id("tsk", new)
    assert not ids.is_id("job", new + "\n")


def test_ids_sort_by_time() -> None:
    later = [ids.new_id("tsk", NOW + timedelta(milliseconds=n)) for n in range(200)]
    assert later == sorted(later)


def test_ids_do_not_repeat() -> None:
    assert len({ids.new_id("tsk", NOW) for _ in range(10_000)}) == 10_000
    assert len({ids.message_id() for _ in range(10_000)}) == 10_000


def test_behind_an_id_stands_a_uuid_of_version_7() -> None:
    value = ids.parse_uuid("job", ids.new_id("job", NOW))
    assert (value.version, value.variant) == (7, "specified in RFC 4122")
    assert value.int >> 80 == unix_ms(NOW)


@given(st.uuids())
def test_a_uuid_comes_back_from_its_id(value: UUID) -> None:
    assert ids.parse_uuid("txn", ids.show_uuid("txn", value)) == value


@pytest.mark.parametrize(
    "text", ["", "txn_", "hld_" + "0" * 26, "txn_" + "0" * 25, "txn_" + "8" * 26, "txn_" + "u" * 26]
)
def test_other_text_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match=r"not|found"):
        ids.parse_uuid("txn", text)


def test_a_message_id_is_128_bits_in_hex() -> None:
    assert len(bytes.fromhex(ids.message_id())) == 16


@given(st.datetimes(timezones=st.just(UTC)))
def test_milliseconds_are_whole_and_come_back(moment: datetime) -> None:
    back = from_unix_ms(unix_ms(moment))
    assert timedelta(0) <= moment - back < timedelta(milliseconds=1)
    assert unix_ms(back) == unix_ms(moment)


def test_a_moment_has_a_time_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        unix_ms(NOW.replace(tzinfo=None))
    assert unix_ms(NOW.astimezone(timezone(timedelta(hours=5)))) == unix_ms(NOW)
    assert utcnow().tzinfo is UTC


@pytest.mark.parametrize("zeros", [0, 1, 2, 3, 4])
def test_a_solved_challenge_is_accepted(zeros: int) -> None:
    assert check("challenge", "key", solve("challenge", "key", zeros), zeros)


def test_a_nonce_of_another_challenge_or_key_is_refused() -> None:
    nonce = solve("challenge", "key")
    assert not check("another", "key", nonce, 4)
    assert not check("challenge", "another", nonce, 4)
    assert not check("challenge", "key", nonce + "0", 4)
    assert not check("challenge", "key", nonce, 64)


def test_a_long_nonce_is_not_even_hashed() -> None:
    assert not check("challenge", "key", "0" * 65, 0)
