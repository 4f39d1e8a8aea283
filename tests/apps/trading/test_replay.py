"""A replay of the shipped recordings without oracles: all is measured, decided and explained, and nothing is traded."""

from datetime import timedelta
from importlib.resources import files
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from apps.trading import market_time, pipeline
from apps.trading.models import Decision, Plan, Round, RoundStatus, Scan, Signal, SignalStatus, Source, Verdict
from apps.trading.replay import Replay
from workers.protocol.clock import utcnow

SHIPPED = Path(str(files("meshwork") / "recordings" / "replay.toml"))


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """The shipped replay, ended after the first strong signal."""
    for file in SHIPPED.parent.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "replay.toml").unlink()
    text = SHIPPED.read_text().replace("minutes = 240", "minutes = 104").replace("step_s = 60", "step_s = 480")
    (tmp_path / "replay.toml").write_text(text)
    return tmp_path / "replay.toml"


def played(path: Path) -> str:
    said = StringIO()
    call_command("replay", file=path, stdout=said)
    return said.getvalue()


@pytest.mark.django_db(transaction=True)
def test_a_replay_leads_to_signals_with_reasons_and_to_no_trade_without_oracles(short: Path) -> None:
    assert "The replay has ended." in played(short)
    assert Scan.objects.filter(source=Source.REPLAY).count() > 100
    signals = list(Signal.objects.all())
    assert signals
    assert all(signal.status != SignalStatus.ACTIVE and signal.reason for signal in signals)
    allowed = Decision.objects.filter(stage="signal", verdict=Verdict.ALLOW)
    assert allowed.exists()
    assert all("No round" in decision.signal.reason for decision in allowed if decision.signal)
    assert Decision.objects.filter(stage="signal").count() == len(signals)
    assert not Plan.objects.exists()
    clock = market_time.clock()
    assert (clock.source, clock.market_at) == (Source.REPLAY, clock.ends_at)


@pytest.mark.django_db(transaction=True)
def test_a_replay_goes_on_where_it_stopped(short: Path) -> None:
    played(short)
    before = (Scan.objects.count(), Signal.objects.count(), Decision.objects.count())
    assert "The replay has ended." in played(short)
    assert (Scan.objects.count(), Signal.objects.count(), Decision.objects.count()) == before


def test_the_recordings_are_laid_over_the_candles_in_order(short: Path) -> None:
    replay = Replay(short)
    times = [one.at for one in replay.scans]
    assert times == sorted(times)
    assert replay.begins <= times[0] < replay.begins + timedelta(minutes=5)
    assert replay.ends <= replay.begins + timedelta(minutes=104)
    assert {one.host for one in replay.scans} == {"203.119.111.139", "170.55.163.1"}
    assert all(one.total_rtt_ms is None or one.total_rtt_ms > 0 for one in replay.scans)


@pytest.mark.django_db(transaction=True)
def test_a_round_that_failed_or_held_passes_its_signal_over_once(short: Path) -> None:
    played(short)
    signal = Signal.objects.filter(decisions__verdict=Verdict.ALLOW, decisions__stage="signal").first()
    assert signal is not None
    now, wall = signal.market_at, utcnow()
    Signal.objects.filter(pk=signal.pk).update(status=SignalStatus.ACTIVE, reason="", taken_at=None)
    outcome = {
        "action": "HOLD",
        "price": "1",
        "confidence_bp": 0,
        "symbol": signal.pair,
        "horizon_s": 900,
        "round": "rnd_x",
    }
    Round.objects.create(
        id="rnd_x",
        signal=signal,
        status=RoundStatus.CERTIFIED,
        subject={},
        members=[],
        weights_sha256="0" * 64,
        outcome=outcome,
        certificate={},
        started_at=wall,
        deadline_at=wall,
        finished_at=wall,
    )
    assert pipeline.conclude(now, wall) == 0
    signal.refresh_from_db()
    assert (signal.status, signal.reason) == (SignalStatus.PASSED, "The oracles agreed on HOLD.")
    assert pipeline.conclude(now, wall) == 0
    assert not Plan.objects.exists()
