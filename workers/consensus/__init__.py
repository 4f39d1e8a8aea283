"""Byzantine agreement among oracles as a pure state machine: no I/O, no clock, integers only."""
