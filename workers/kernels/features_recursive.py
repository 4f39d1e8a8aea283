"""Features that remember: Wilder's averages, exponential averages and the parabolic stop, bar by bar.

`state` (STATE,) is all that is remembered. The first values are set as TA-Lib sets them, which is the independent
oracle of the tests.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from workers.kernels.features_series import CLOSE, FLOW, HIGH, LOW, VOLUME, mean

Floats = NDArray[np.float64]

GAIN, LOSS, ATR, PLUS, MINUS, TRUE, ADX = 0, 1, 2, 3, 4, 5, 6
FAST, SLOW, SIGNAL, FORCE, CHAIKIN_FAST, CHAIKIN_SLOW = 7, 8, 9, 10, 11, 12
LONG, STOP, EXTREME, STEP = 13, 14, 15, 16
STATE = 17

RSI_AT, ATR_AT, ADX_AT = 17, 29, 43
MACD_AT, FORCE_AT, CHAIKIN_AT, PPO_AT, PSAR_AT = 40, 37, 51, 52, 87
PERIOD = 14
ACCELERATION, MOST_ACCELERATION = 0.02, 0.2


@njit(cache=True, error_model="numpy")
def recall(s: Floats, i: int, seen: int, state: Floats, row: Floats) -> None:
    """Advance the state (STATE,) to bar i, the seen-th, and fill the features (94,) that follow from it."""
    if seen > 1:
        strength(s, i, seen, state, row)
        true = max(s[HIGH, i], s[CLOSE, i - 1]) - min(s[LOW, i], s[CLOSE, i - 1])
        if seen <= PERIOD + 1:
            state[ATR] += true / PERIOD
        else:
            state[ATR] += (true - state[ATR]) / PERIOD
        row[ATR_AT] = state[ATR] / s[CLOSE, i]
        directional(s, i, seen, state, row)
        parabolic(s, i, seen, state, row)
    converge(s, i, seen, state, row)
    volumes(s, i, seen, state, row)


@njit(cache=True, error_model="numpy")
def strength(s: Floats, i: int, seen: int, state: Floats, row: Floats) -> None:
    """Relative strength: Wilder's averages of gains and losses; 50 where neither is."""
    change = s[CLOSE, i] - s[CLOSE, i - 1]
    gain, loss = max(change, 0.0), max(-change, 0.0)
    if seen <= PERIOD + 1:
        state[GAIN] += gain / PERIOD
        state[LOSS] += loss / PERIOD
    else:
        state[GAIN] += (gain - state[GAIN]) / PERIOD
        state[LOSS] += (loss - state[LOSS]) / PERIOD
    both = state[GAIN] + state[LOSS]
    row[RSI_AT] = 100.0 * state[GAIN] / both if both > 0.0 else 50.0


@njit(cache=True, error_model="numpy")
def directional(s: Floats, i: int, seen: int, state: Floats, row: Floats) -> None:
    """Average directional index: sums of 13 bars, 14 indices averaged, then Wilder's average."""
    up, down = s[HIGH, i] - s[HIGH, i - 1], s[LOW, i - 1] - s[LOW, i]
    plus = up if up > down and up > 0.0 else 0.0
    minus = down if down > up and down > 0.0 else 0.0
    true = max(s[HIGH, i], s[CLOSE, i - 1]) - min(s[LOW, i], s[CLOSE, i - 1])
    if seen > PERIOD:
        for at in (PLUS, MINUS, TRUE):
            state[at] -= state[at] / PERIOD
    state[PLUS] += plus
    state[MINUS] += minus
    state[TRUE] += true
    if seen > PERIOD:
        both = state[PLUS] + state[MINUS]
        if both > 0.0 and state[TRUE] > 0.0:
            index = 100.0 * abs(state[PLUS] - state[MINUS]) / both
            if seen <= 2 * PERIOD:
                state[ADX] += index / PERIOD
            else:
                state[ADX] += (index - state[ADX]) / PERIOD
    row[ADX_AT] = state[ADX]


@njit(cache=True, error_model="numpy")
def parabolic(s: Floats, i: int, seen: int, state: Floats, row: Floats) -> None:
    """Side of the parabolic stop-and-reverse: 1 above it, -1 below, 0 on it."""
    high, low = s[HIGH, i], s[LOW, i]
    high_before, low_before = s[HIGH, i - 1], s[LOW, i - 1]
    if seen == 2:
        falls = low_before - low > 0.0 and low_before - low > high - high_before
        state[LONG] = 0.0 if falls else 1.0
        state[EXTREME] = low if falls else high
        state[STOP] = high_before if falls else low_before
        state[STEP] = ACCELERATION
        high_before, low_before = high, low
    # A fall is a rise of the mirrored prices: sign turns both into the rule for a rise.
    rising = state[LONG] > 0.0
    sign = 1.0 if rising else -1.0
    far, near = (high, low) if rising else (-low, -high)
    near_before = low_before if rising else -high_before
    far_before = high_before if rising else -low_before
    stop, extreme = sign * state[STOP], sign * state[EXTREME]
    if near <= stop:
        shown = max(extreme, far_before, far)
        state[LONG] = 0.0 if rising else 1.0
        state[STEP] = ACCELERATION
        extreme = near
        stop = max(shown + ACCELERATION * (extreme - shown), far_before, far)
    else:
        shown = stop
        if far > extreme:
            extreme = far
            state[STEP] = min(state[STEP] + ACCELERATION, MOST_ACCELERATION)
        stop = min(stop + state[STEP] * (extreme - stop), near_before, near)
    state[STOP], state[EXTREME] = sign * stop, sign * extreme
    row[PSAR_AT] = np.sign(s[CLOSE, i] - sign * shown)


@njit(cache=True, error_model="numpy")
def converge(s: Floats, i: int, seen: int, state: Floats, row: Floats) -> None:
    """MACD, its signal and histogram relative to the close, and PPO in percent."""
    close = s[CLOSE, i]
    if seen == 26:
        state[FAST] = mean(s, CLOSE, i, 12)
        state[SLOW] = mean(s, CLOSE, i, 26)
    elif seen > 26:
        state[FAST] += (close - state[FAST]) * (2.0 / 13.0)
        state[SLOW] += (close - state[SLOW]) * (2.0 / 27.0)
    if seen >= 26:
        macd = state[FAST] - state[SLOW]
        if seen <= 34:
            state[SIGNAL] += macd / 9.0
        else:
            state[SIGNAL] += (macd - state[SIGNAL]) * 0.2
        row[MACD_AT] = macd / close
        row[MACD_AT + 1] = state[SIGNAL] / close
        row[MACD_AT + 2] = (macd - state[SIGNAL]) / close
        row[PPO_AT] = 100.0 * macd / state[SLOW]


@njit(cache=True, error_model="numpy")
def volumes(s: Floats, i: int, seen: int, state: Floats, row: Floats) -> None:
    """Force index and Chaikin oscillator, in mean volumes of 20 bars; 0 without volume.

    The oscillator's two averages are kept as distances from the accumulation line, which itself would only grow.
    """
    force = (s[CLOSE, i] - s[CLOSE, i - 1]) * s[VOLUME, i]
    if 1 < seen <= 14:
        state[FORCE] += force / 13.0
    elif seen > 14:
        state[FORCE] += (force - state[FORCE]) * (2.0 / 14.0)
    if seen > 1:
        state[CHAIKIN_FAST] = (state[CHAIKIN_FAST] - s[FLOW, i]) * 0.5
        state[CHAIKIN_SLOW] = (state[CHAIKIN_SLOW] - s[FLOW, i]) * (9.0 / 11.0)
    usual = mean(s, VOLUME, i, 20)
    row[FORCE_AT] = state[FORCE] / (s[CLOSE, i] * usual) if usual > 0.0 else 0.0
    row[CHAIKIN_AT] = (state[CHAIKIN_FAST] - state[CHAIKIN_SLOW]) / usual if usual > 0.0 else 0.0
