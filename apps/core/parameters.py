"""Governed network parameters: typed, bounded, with history, read through `get`."""

import time
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from django.db import connection, transaction

from apps.core import events
from apps.core.errors import ParameterChanged, ParameterRefused, UnknownParameter
from apps.core.models import Parameter, ParameterChange, User

CACHE_SECONDS = 1.0
MESH = 10**8


@dataclass(frozen=True)
class Spec:
    """One parameter: its default, bounds (inclusive), unit and meaning. Its type is its default's."""

    default: int | str | bool
    low: int | None
    high: int | None
    unit: str
    meaning: str
    choices: tuple[str, ...] = ()

    def check(self, name: str, value: Any) -> None:
        """Raise unless `value` has the default's type and lies within the bounds."""
        if type(value) is not type(self.default):
            raise ParameterRefused(f"{name} takes a {type(self.default).__name__}, not {value!r}.")
        if self.choices and value not in self.choices:
            raise ParameterRefused(f"{name} is one of {', '.join(self.choices)}.")
        if self.low is not None and isinstance(value, int) and value < self.low:
            raise ParameterRefused(f"{name} is at least {self.low} {self.unit}.")
        if self.high is not None and isinstance(value, int) and value > self.high:
            raise ParameterRefused(f"{name} is at most {self.high} {self.unit}.")


PARAMETERS: dict[str, Spec] = {
    "fees.provider_percent": Spec(85, 0, 100, "%", "Share of a chunk's fee that its provider is paid."),
    "fees.burn_percent": Spec(5, 0, 100, "%", "Share of a chunk's fee that is burnt."),
    "fees.treasury_percent": Spec(10, 0, 100, "%", "Share of a chunk's fee that the treasury is paid."),
    "fees.floor": Spec(MESH // 100, 1, 10 * MESH, "base units", "Lowest price of a chunk."),
    "fees.base": Spec(MESH // 10, 1, 100 * MESH, "base units", "Price of a chunk before multipliers."),
    "fees.ceiling": Spec(5 * MESH, 1, 1000 * MESH, "base units", "Highest price of a chunk."),
    "fees.use_normal_from": Spec(
        50, 0, 100, "%", "Part of the slots in use from which use is normal; below it is idle."
    ),
    "fees.use_busy_from": Spec(80, 0, 100, "%", "Part of the slots in use from which the network is busy."),
    "fees.use_full_from": Spec(95, 0, 100, "%", "Part of the slots in use from which the network is full."),
    "fees.use_idle": Spec(50, 1, 1_000, "%", "What a chunk costs of its price while the network is idle."),
    "fees.use_normal": Spec(100, 1, 1_000, "%", "The same while its use is normal."),
    "fees.use_busy": Spec(150, 1, 1_000, "%", "The same while it is busy."),
    "fees.use_full": Spec(200, 1, 1_000, "%", "The same while it is full."),
    "fees.size_small_to": Spec(7, 1, 10**6, "billions", "Most parameters of a small model."),
    "fees.size_medium_to": Spec(13, 1, 10**6, "billions", "Most parameters of a medium model."),
    "fees.size_large_to": Spec(70, 1, 10**6, "billions", "Most parameters of a large model; above it is huge."),
    "fees.size_small": Spec(1, 1, 1_000, "times", "Multiplier of a chunk on a small model."),
    "fees.size_medium": Spec(2, 1, 1_000, "times", "Multiplier of a chunk on a medium model."),
    "fees.size_large": Spec(5, 1, 1_000, "times", "Multiplier of a chunk on a large model."),
    "fees.size_huge": Spec(10, 1, 1_000, "times", "Multiplier of a chunk on a huge model."),
    "faucet.wallet_connect": Spec(10 * MESH, 0, 100 * MESH, "base units", "Testnet reward for a first wallet."),
    "faucet.shard_hosting": Spec(50 * MESH, 0, 100 * MESH, "base units", "Testnet reward for a first hosted shard."),
    "faucet.first_inference": Spec(20 * MESH, 0, 100 * MESH, "base units", "Testnet reward for a first paid chunk."),
    "faucet.uptime_bonus": Spec(20 * MESH, 0, 100 * MESH, "base units", "Testnet reward for a node's time online."),
    "faucet.uptime_s": Spec(86_400, 60, 30 * 86_400, "s", "Time online that earns the uptime bonus."),
    "genesis.treasury": Spec(
        2_100_000 * MESH, 0, 21_000_000 * MESH, "base units", "Minted to the treasury at genesis."
    ),
    "genesis.faucet": Spec(
        10_000 * MESH, 0, 1_000_000 * MESH, "base units", "Moved to the testnet's faucet at genesis."
    ),
    "stake.all": Spec(1_000 * MESH, 1, 10**6 * MESH, "base units", "Stake of tier ALL."),
    "stake.oracle": Spec(5_000 * MESH, 1, 10**6 * MESH, "base units", "Stake of tier ORACLE."),
    "stake.guardian": Spec(10_000 * MESH, 1, 10**6 * MESH, "base units", "Stake of tier GUARDIAN."),
    "stake.unbonding_s": Spec(7 * 86_400, 3_600, 90 * 86_400, "s", "Time for which stake taken back is slashable."),
    "stake.unbonding_testnet_s": Spec(3_600, 1, 90 * 86_400, "s", "The same on a test network."),
    "stake.least_percent": Spec(90, 1, 100, "%", "Part of the tier's stake below which it has to be topped up."),
    "stake.topup_s": Spec(7 * 86_400, 60, 90 * 86_400, "s", "Time to top a short stake up."),
    "slashing.appeal_s": Spec(7 * 86_400, 60, 90 * 86_400, "s", "Time for which slashed stake waits for an appeal."),
    "slashing.appeal_bond": Spec(
        10 * MESH, 0, 1000 * MESH, "base units", "Held with an appeal; the treasury's where the appeal is turned down."
    ),
    "slashing.equivocation_bp": Spec(
        10_000, 1, 10_000, "bp", "Part of the stake that is slashed for signing two different messages."
    ),
    "rewards.escrow_s": Spec(7 * 86_400, 60, 90 * 86_400, "s", "Time for which a new node's rewards wait in escrow."),
    "rewards.escrow_percent": Spec(50, 0, 100, "%", "Part of a new node's rewards that waits in escrow."),
    "rewards.new_node_s": Spec(7 * 86_400, 0, 90 * 86_400, "s", "Age up to which a node is new."),
    "tier.all_multiplier": Spec(1, 1, 100, "times", "Weight of tier ALL in the epoch's emission."),
    "tier.oracle_multiplier": Spec(2, 1, 100, "times", "Weight of tier ORACLE in the epoch's emission."),
    "tier.guardian_multiplier": Spec(5, 1, 100, "times", "Weight of tier GUARDIAN in the epoch's emission."),
    "operators.token_seconds": Spec(3600, 60, 7 * 86_400, "s", "Life of an enrolment token."),
    "operators.pow_zeros": Spec(4, 1, 8, "hex digits", "Leading zeros of an enrolment's proof-of-work."),
    "operators.max_nodes": Spec(20, 1, 10_000, "nodes", "Most nodes of one operator."),
    "operators.most_all": Spec(1_000, 0, 10**6, "operators", "Most operators of tier ALL."),
    "operators.most_oracle": Spec(100, 0, 10**6, "operators", "Most operators of tier ORACLE."),
    "operators.most_guardian": Spec(50, 0, 10**6, "operators", "Most operators of tier GUARDIAN."),
    "operators.hosts_per_wallet": Spec(3, 1, 10_000, "hosts", "Most hosts of shards that join with one wallet."),
    "operators.wallet_accounts_hour": Spec(
        10, 0, 10**6, "accounts", "Most accounts that wallets make from one network address in an hour."
    ),
    "operators.joins_per_hour": Spec(
        5, 0, 10**6, "joins", "Most machines that join from one network address in an hour."
    ),
    "operators.host_stake": Spec(10 * MESH, 0, 10**6 * MESH, "base units", "Stake of a host of shards."),
    "ethereum.chain_id": Spec(3281, 1, 2**53 - 1, "", "Chain that Ethereum signatures name in their domain."),
    "ethereum.nodes_per_address": Spec(3, 1, 10_000, "nodes", "Most nodes bound to one Ethereum address."),
    "operators.offline_mail_s": Spec(900, 60, 7 * 86_400, "s", "Time offline after which a node's operator is mailed."),
    "operators.appeals_of_a_ban": Spec(3, 1, 100, "appeals", "Most appeals against one ban."),
    "operators.key_days": Spec(90, 1, 3650, "days", "Life of a new API key, unless another is chosen."),
    "operators.login_key_days": Spec(90, 1, 365, "days", "Life of the key that `mesh login` makes."),
    "reputation.success": Spec(2, 0, 100, "points", "Gained by an accepted result."),
    "reputation.failed": Spec(5, 0, 100, "points", "Lost by a failed attempt."),
    "reputation.abandoned": Spec(5, 0, 100, "points", "Lost by abandoning work."),
    "reputation.uptime": Spec(1, 0, 100, "points", "Gained by an hour online."),
    "reputation.uptime_max_day": Spec(24, 0, 24, "hours", "Most hours online that count in a UTC day."),
    "reputation.uptime_least_percent": Spec(90, 1, 100, "%", "Part of an hour online that makes it count."),
    "reputation.shard_hosted": Spec(1, 0, 100, "points", "Gained by an hour of a hosted shard."),
    "reputation.shard_dropped": Spec(10, 0, 100, "points", "Lost by dropping a hosted shard."),
    "reputation.vote": Spec(1, 0, 100, "points", "Gained by a vote for what a round agreed on."),
    "reputation.violation": Spec(20, 0, 100, "points", "Lost by breaking a rule."),
    "reputation.decay_bp": Spec(9_900, 0, 10_000, "bp", "What is left of a score after a day."),
    "reputation.priority_below": Spec(40, 0, 100, "points", "Score below which a node is served after others."),
    "reputation.work_below": Spec(10, 0, 100, "points", "Score below which a node gets no work."),
    "reputation.member_below": Spec(1, 0, 100, "points", "Score below which a node is suspended."),
    "reputation.restored_above": Spec(10, 0, 100, "points", "How far above the bound for work a node is let back."),
    "pool.stuck_s": Spec(900, 30, 86_400, "s", "Time without an attempt after which an open job counts as stuck."),
    "pool.lease_floor_s": Spec(120, 5, 3600, "s", "Shortest lease of a task."),
    "pool.attempt_deadline_s": Spec(900, 30, 86_400, "s", "Hard limit of one attempt, whatever heartbeats say."),
    "pool.max_attempts": Spec(3, 1, 10, "attempts", "Attempts after which a task fails."),
    "pool.prefer_other_s": Spec(5, 0, 600, "s", "Time for which a task taken back is kept for other nodes."),
    "pool.self_test_s": Spec(600, 10, 86_400, "s", "Time a node has for its self-tests."),
    "pool.retest_s": Spec(600, 10, 86_400, "s", "Time after which a node that failed its self-test is tested again."),
    "pool.heartbeat_s": Spec(30, 1, 300, "s", "Interval of a node's heartbeats."),
    "pool.suspect_misses": Spec(2, 1, 10, "heartbeats", "Missed heartbeats after which a node is degraded."),
    "pool.offline_misses": Spec(4, 2, 20, "heartbeats", "Missed heartbeats after which a node is offline."),
    "pool.reconnect_grace_s": Spec(2, 0, 60, "s", "Time a node has to reconnect before its work is taken back."),
    "pool.queue_limit": Spec(1_000_000, 1, 10**8, "tasks", "Pending tasks above which submissions are refused."),
    "pool.max_inputs": Spec(100_000, 1, 10**6, "inputs", "Most inputs of one embed job."),
    "pool.max_tasks": Spec(20_000, 1, 10**6, "tasks", "Most chunks of one job."),
    "pool.max_prompt_chars": Spec(1_000_000, 1, 10**8, "characters", "Longest prompt of a generate job."),
    "pool.job_expiry_s": Spec(86_400, 60, 30 * 86_400, "s", "Time after which an unfinished job fails."),
    "pool.jobs_per_minute": Spec(10, 1, 10**6, "jobs", "Jobs one requester may submit in a minute."),
    "pool.jobs_per_hour": Spec(100, 1, 10**7, "jobs", "Jobs one requester may submit in an hour."),
    "risk.profile": Spec(
        "playbook", None, None, "", "Which limits hold besides the common ones.", ("playbook", "institutional")
    ),
    "risk.pairs": Spec("BTC-USD,ETH-USD,SOL-USD", None, None, "", "Pairs that may be entered, separated by commas."),
    "risk.capital_cents": Spec(1_300, 100, 10**11, "cents", "Capital at the beginning; realised results are added."),
    "risk.min_trade_cents": Spec(100, 1, 10**9, "cents", "Smallest entry."),
    "risk.signal_confidence_bp": Spec(5_500, 0, 10_000, "bp", "Confidence below which a signal is discarded."),
    "risk.execute_confidence_bp": Spec(6_500, 0, 10_000, "bp", "Confidence below which a signal is not executed."),
    "risk.min_hold_s": Spec(300, 0, 86_400, "s", "Shortest hold; stop losses and halts override it."),
    "risk.take_profit_bp": Spec(50, 1, 10_000, "bp", "Gain at which a position is closed."),
    "risk.stop_loss_bp": Spec(30, 1, 9_999, "bp", "Loss at which a position is closed."),
    "risk.cooldown_s": Spec(1_800, 0, 7 * 86_400, "s", "Time after a pair's last trade before it is entered."),
    "risk.accuracy_pause_bp": Spec(4_500, 0, 10_000, "bp", "Accuracy below which trading pauses."),
    "risk.accuracy_window_s": Spec(86_400, 60, 30 * 86_400, "s", "Time over which accuracy is looked at."),
    "risk.accuracy_min_n": Spec(20, 1, 10_000, "signals", "Judged signals without which accuracy says nothing."),
    "risk.accuracy_level_bp": Spec(500, 1, 5_000, "bp", "Level of the one-sided test of accuracy."),
    "risk.max_leverage_bp": Spec(
        10_000, 1, 10_000, "bp", "Most exposure in parts of equity; a spot venue lends nothing."
    ),
    "risk.fee_bp": Spec(10, 0, 1_000, "bp", "Fee of one side, where the venue states none."),
    "risk.require_positive_ev": Spec(
        True, None, None, "", "Refuse an entry whose expected value after fees is negative."
    ),
    "risk.venue_minimum_cents": Spec(100, 0, 10**6, "cents", "Smallest order, where the venue states none."),
    "risk.exit_margin_bp": Spec(
        100, 0, 5_000, "bp", "How much worse than its stop an exit may fill and must be possible."
    ),
    "risk.max_price_age_s": Spec(180, 60, 86_400, "s", "Age at which the last price is too old for an entry."),
    "risk.playbook.max_trade_cents": Spec(500, 100, 10**9, "cents", "Largest entry."),
    "risk.playbook.daily_loss_cents": Spec(200, 1, 10**9, "cents", "Loss of a UTC market day that halts it."),
    "risk.playbook.max_open": Spec(3, 0, 1_000, "positions", "Most open positions."),
    "risk.playbook.size_bp": Spec(200, 1, 10_000, "bp", "Entry in parts of capital, before confidence is counted."),
    "risk.playbook.size_slope_milli": Spec(5_000, 0, 100_000, "1/1000", "Growth of an entry with confidence."),
    "risk.playbook.size_from_bp": Spec(5_500, 0, 10_000, "bp", "Confidence from which an entry grows."),
    "risk.institutional.max_position_bp": Spec(
        1_000, 1, 10_000, "bp", "Largest position of a pair in parts of equity."
    ),
    "risk.institutional.daily_loss_bp": Spec(
        300, 1, 10_000, "bp", "Loss of a UTC market day, of equity, that halts it."
    ),
    "risk.institutional.drawdown_bp": Spec(1_500, 1, 10_000, "bp", "Fall from the highest equity that halts trading."),
    "risk.institutional.max_open": Spec(10, 0, 1_000, "positions", "Most open positions."),
    "risk.institutional.correlation_bp": Spec(7_000, 0, 10_000, "bp", "Highest correlation with a pair that is held."),
    "risk.institutional.breaker_bp": Spec(
        500, 1, 10_000, "bp", "Fall of equity within the cooldown that breaks trading."
    ),
    "risk.institutional.breaker_cooldown_s": Spec(3_600, 60, 86_400, "s", "How long a break lasts."),
    "risk.institutional.kelly_bp": Spec(2_500, 1, 10_000, "bp", "Part of the Kelly fraction that is entered."),
    "risk.institutional.reject_score": Spec(80, 0, 100, "points", "Risk score above which an entry is refused."),
    "risk.institutional.weight_confidence": Spec(25, 0, 100, "points", "Weight of lacking confidence in the score."),
    "risk.institutional.weight_size": Spec(20, 0, 100, "points", "Weight of size in the score."),
    "risk.institutional.weight_volatility": Spec(25, 0, 100, "points", "Weight of volatility in the score."),
    "risk.institutional.weight_concentration": Spec(15, 0, 100, "points", "Weight of concentration in the score."),
    "risk.institutional.weight_drawdown": Spec(15, 0, 100, "points", "Weight of drawdown in the score."),
    "risk.institutional.volatility_full_bp": Spec(500, 1, 10_000, "bp", "Daily volatility that scores in full."),
    "trading.mode": Spec(
        "SIMULATION",
        None,
        None,
        "",
        "Where orders go; LIVE is refused until its checklist passed.",
        ("SIMULATION", "LIVE"),
    ),
    "trading.venue": Spec("coinbase", None, None, "", "Venue whose public candles are fetched, by ccxt's name."),
    "trading.slices": Spec(5, 1, 1_000, "slices", "Most slices of an entry; those below the venue's minimum merge."),
    "trading.interval_s": Spec(60, 60, 86_400, "s", "Time between two slices of a plan."),
    "trading.attempts": Spec(3, 1, 100, "slices", "Further slices for what the planned ones left over."),
    "trading.done_bp": Spec(9_900, 1, 10_000, "bp", "Part of an entry at which it counts as done."),
    "trading.max_slippage_bp": Spec(
        50,
        1,
        65,
        "bp",
        "How much worse than the agreed or last price an order may fill; more than that endangers exits.",
    ),
    "trading.paper_slippage_bp": Spec(5, 0, 1_000, "bp", "How much worse the paper exchange fills than its book."),
    "trading.paper_latency_ms": Spec(250, 1, 60_000, "ms", "Longest way of an order to the paper exchange."),
    "trading.paper_spread_bp": Spec(1_000, 0, 10_000, "bp", "Spread of the paper book, in parts of a minute's range."),
    "trading.paper_depth_bp": Spec(1_000, 1, 10_000, "bp", "Depth of each side, in parts of a minute's volume."),
    "consensus.round_s": Spec(60, 5, 600, "s", "Time in which the oracles must agree."),
    "scans.interval_s": Spec(900, 30, 86_400, "s", "Time from one scan of a target by a node to the next."),
    "scans.stagger_s": Spec(5, 0, 60, "s", "Time between two scans that one node is asked for."),
    "scans.nodes_per_region": Spec(2, 1, 100, "nodes", "Most nodes of a region that scan a target."),
    "scans.max_hops": Spec(20, 1, 20, "hops", "Places of a path that a node probes."),
    "scans.max_age_s": Spec(3_600, 60, 86_400, "s", "Age at which a scan is refused."),
    "scans.max_ahead_s": Spec(60, 0, 600, "s", "How far ahead of ours a scan's clock may be."),
    "scans.api_per_minute": Spec(120, 1, 10**6, "requests", "Scans and signals that one account may report a minute."),
    "signals.store_from_bp": Spec(5_500, 0, 10_000, "bp", "Confidence below which a signal is discarded."),
    "signals.expire_s": Spec(1_800, 60, 86_400, "s", "Market time after which a signal expires."),
    "signals.judged_after_s": Spec(900, 60, 86_400, "s", "Market time after which a signal is judged by the price."),
    "signals.good_bp": Spec(5_500, 5_000, 10_000, "bp", "Accuracy above which the signals count as good."),
}

# Values that only make sense in this order: none exceeds the one after it; equal ones leave a step out.
ASCENDING: tuple[tuple[str, ...], ...] = (
    ("fees.floor", "fees.ceiling"),
    ("fees.use_normal_from", "fees.use_busy_from", "fees.use_full_from"),
    ("fees.use_idle", "fees.use_normal", "fees.use_busy", "fees.use_full"),
    ("fees.size_small_to", "fees.size_medium_to", "fees.size_large_to"),
    ("fees.size_small", "fees.size_medium", "fees.size_large", "fees.size_huge"),
)

_cache: dict[str, Any] = {}
_cached_at = 0.0


def get(name: str) -> Any:
    """The value of a parameter as the network has it now; at most a second old."""
    global _cached_at
    spec = PARAMETERS.get(name)
    if spec is None:
        raise UnknownParameter(f"There is no network parameter named {name}.")
    now = time.monotonic()
    if now - _cached_at > CACHE_SECONDS:
        _cache.clear()
        _cache.update(Parameter.objects.values_list("name", "value"))
        _cached_at = now
    return _cache.get(name, spec.default)


def forget_cached() -> None:
    """Read parameters afresh at the next `get`."""
    global _cached_at
    _cached_at = 0.0


def _check_order(names: tuple[str, ...], name: str, value: Any) -> None:
    """Raise where `value` would be on the wrong side of one of the parameters that belong together."""
    with connection.cursor() as cursor:
        # Two changes at once might each fit what the other is about to leave; rows of defaults cannot be locked.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"parameters {names[0]}"])
    kept = dict(Parameter.objects.filter(name__in=names).values_list("name", "value"))
    values = {other: kept.get(other, PARAMETERS[other].default) for other in names} | {name: value}
    for less, more in pairwise(names):
        if name in (less, more) and values[less] > values[more]:
            raise ParameterRefused(
                f"{less} is at most {more}: {values[less]} is more than {values[more]}. Change {more} first."
                if name == less
                else f"{more} is at least {less}: {values[more]} is less than {values[less]}. Change {less} first."
            )


@transaction.atomic
def set_parameter(
    name: str, value: Any, *, actor: User | None, reason: str, now: datetime, expected: Any = None
) -> ParameterChange:
    """Change one parameter, keep its history and tell every room.

    Raises UnknownParameter, ParameterRefused, or ParameterChanged where `expected` is given and is not its value.
    """
    spec = PARAMETERS.get(name)
    if spec is None:
        raise UnknownParameter(f"There is no network parameter named {name}.")
    spec.check(name, value)
    for names in ASCENDING:
        if name in names:
            _check_order(names, name, value)
    # Locked by name, so that two changes of one parameter keep a true history.
    row = Parameter.objects.select_for_update().filter(name=name).first()
    old = row.value if row else spec.default
    if expected is not None and expected != old:
        raise ParameterChanged(f"{name} is {old!r}, not {expected!r}.")
    Parameter.objects.update_or_create(name=name, defaults={"value": value, "changed_at": now})
    change = ParameterChange.objects.create(name=name, old=old, new=value, reason=reason, actor=actor, at=now)
    events.emit(
        "parameter.changed",
        subject=name,
        topics=["network"],
        data={"old": old, "new": value},
        now=now,
        actor=actor,
    )
    transaction.on_commit(forget_cached)
    return change
