"""An oracle's memory, its eyes, and the switch that makes it lie."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workers.consensus.errors import DoubleSign, ObservationRefused
from workers.node.equivocating import MAINNET, SWITCH, Twin
from workers.node.journal import KEPT_MS, SqliteJournal
from workers.node.observing import observe
from workers.protocol.clock import utcnow
from workers.protocol.envelope import sign_document, unverified_payload
from workers.protocol.keys import SigningKey

FIRST, SECOND = "11" * 32, "22" * 32
NET = "meshwork-testnet"


@pytest.fixture
def journal(tmp_path: Path) -> SqliteJournal:
    return SqliteJournal(tmp_path / "consensus.sqlite3")


def test_a_second_digest_for_one_place_is_refused_also_after_a_restart(tmp_path: Path, journal: SqliteJournal) -> None:
    journal.before_signing("rnd_1", 0, "prevote", FIRST)
    journal.before_signing("rnd_1", 0, "prevote", FIRST)
    journal.before_signing("rnd_1", 1, "prevote", SECOND)
    journal.before_signing("rnd_1", 0, "precommit", SECOND)
    journal.before_signing("rnd_2", 0, "prevote", SECOND)
    for held in (journal, SqliteJournal(tmp_path / "consensus.sqlite3")):
        with pytest.raises(DoubleSign):
            held.before_signing("rnd_1", 0, "prevote", SECOND)


def test_what_was_noted_outlives_a_kill_in_the_next_instruction(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib\n"
        "from workers.node.journal import SqliteJournal\n"
        "journal = SqliteJournal(pathlib.Path(sys.argv[1]))\n"
        f"journal.before_signing('rnd_1', 3, 'precommit', '{FIRST}')\n"
        "journal.keep('rnd_1', {'n': 1})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "consensus.sqlite3"
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    after = SqliteJournal(path)
    assert after.restore("rnd_1") == [{"n": 1}]
    with pytest.raises(DoubleSign):
        after.before_signing("rnd_1", 3, "precommit", SECOND)


def test_the_journal_waits_for_the_disk(journal: SqliteJournal) -> None:
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_entries_come_back_in_order_and_by_round(journal: SqliteJournal) -> None:
    for n in range(5):
        journal.keep("rnd_1", {"n": n})
        journal.keep("rnd_2", {"n": -n})
    assert [entry["n"] for entry in journal.restore("rnd_1")] == [0, 1, 2, 3, 4]


def test_only_unfinished_rounds_are_taken_up_again(journal: SqliteJournal) -> None:
    for name, deadline in (("rnd_open", 5_000), ("rnd_done", 5_000), ("rnd_over", 900)):
        assert journal.asked(name, {"round": name}, deadline)
    assert journal.asked("rnd_open", {"round": "other"}, 5_000)
    journal.end("rnd_done")
    assert not journal.asked("rnd_done", {"round": "rnd_done"}, 5_000)
    assert journal.unfinished(1_000) == [{"round": "rnd_open"}]


def test_rounds_of_yesterday_are_forgotten(journal: SqliteJournal) -> None:
    journal.asked("rnd_1", {"round": "rnd_1"}, 1_000)
    journal.before_signing("rnd_1", 0, "commit", FIRST)
    journal.keep("rnd_1", {"n": 1})
    journal.unfinished(1_000 + KEPT_MS)
    assert journal.restore("rnd_1") == [{"n": 1}]
    journal.unfinished(1_001 + KEPT_MS)
    assert journal.restore("rnd_1") == []


def asked(**changes: Any) -> dict[str, Any]:
    """A start's measurements: a path that became faster by half, LONG."""
    observed: dict[str, Any] = {
        "signal": {"kind": "latency_anomaly", "direction": "LONG", "confidence_bp": 9000, "pair": "BTC-USD"},
        "series": {
            "rtts": [*(f"{20 + (i * 7 % 5) / 10:.1f}" for i in range(50)), "10.0"],
            "times_s": [900 * i for i in range(51)],
            "hops_now": [],
            "hops_before": [],
        },
        "candles": [[0, "10690.0", "10710.0", "10680.0", "10700.12345678", "1.5"]],
        "model": None,
        **changes,
    }
    return {"subject": {"symbol": "BTC-USD", "horizon_s": 900}, "observe": observed}


def claimed(direction: str, kind: str = "latency_anomaly") -> dict[str, Any]:
    return asked(signal={"kind": kind, "direction": direction, "confidence_bp": 10_000, "pair": "BTC-USD"})


def test_an_oracle_votes_for_what_it_sees_itself() -> None:
    observation, prediction = observe(asked())
    assert prediction is None
    assert (observation["action"], observation["symbol"], observation["horizon_s"]) == ("BUY", "BTC-USD", 900)
    assert observation["price"] == "1070012345678"
    assert observation["confidence_bp"] > 5500


@pytest.mark.parametrize("start", [claimed("SHORT"), claimed("LONG", "trend_shift"), claimed("LONG", "route_change")])
def test_an_oracle_holds_where_it_does_not_see_the_claim(start: dict[str, Any]) -> None:
    observation, _ = observe(start)
    assert (observation["action"], observation["confidence_bp"]) == ("HOLD", 0)


def test_a_silent_or_absurd_series_is_nobodys_signal() -> None:
    for rtts in ([None] * 51, ["-5.0"] * 51, ["20.0"] * 51):
        start = asked()
        start["observe"]["series"]["rtts"] = rtts
        assert observe(start)[0]["action"] == "HOLD"


@pytest.mark.parametrize("changes", [{"candles": []}, {"candles": [["x"]]}, {"series": {}}, {"signal": None}])
def test_measurements_that_are_not_whole_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ObservationRefused):
        observe(asked(**changes))


@pytest.mark.parametrize(
    ("objective", "said", "action"),
    [("msrr", "SELL", "HOLD"), ("msrr", "HOLD", "BUY"), ("msrr", "BUY", "BUY"), ("baseline", "SELL", "BUY")],
)
def test_a_model_that_says_the_opposite_makes_the_oracle_hold(objective: str, said: str, action: str) -> None:
    model = {"manifest": {"objective": objective}}
    observation, prediction = observe(asked(model=model), lambda *_: {"action": said})
    assert (observation["action"], prediction) == (action, {"action": said})


def prevote(key: SigningKey, value: str) -> tuple[dict[str, Any], Any]:
    def sign(kind: str, body: dict[str, Any]) -> dict[str, Any]:
        return sign_document(kind, body, key=key, net=NET, now=utcnow())

    body = {"round": "rnd_1", "view": 0, "step": "prevote", "signer": "op_1", "value": value}
    return sign("consensus.prevote", body), sign


def test_the_switch_adds_a_contradicting_prevote(monkeypatch: pytest.MonkeyPatch) -> None:
    key, stranger = SigningKey.generate(), SigningKey.generate()
    monkeypatch.setenv(SWITCH, "1")
    for value in (FIRST, ""):
        wire, sign = prevote(key, value)
        first, second = Twin(NET, key.kid).beside([wire], sign)
        assert first == wire
        assert unverified_payload(second)["body"]["value"] != value
    foreign, _ = prevote(stranger, FIRST)
    assert Twin(NET, key.kid).beside([foreign], sign) == [foreign]


def test_the_switch_is_off_unless_set_and_refused_outside_of_testnets(monkeypatch: pytest.MonkeyPatch) -> None:
    key = SigningKey.generate()
    wire, sign = prevote(key, FIRST)
    assert SWITCH not in os.environ
    assert Twin(NET, key.kid).beside([wire], sign) == [wire]
    monkeypatch.setenv(SWITCH, "1")
    assert Twin(MAINNET, key.kid).beside([wire], sign) == [wire]
