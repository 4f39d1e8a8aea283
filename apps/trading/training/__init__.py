"""Training on real candles, the gate that decides what serves, and what oracles are offered."""
