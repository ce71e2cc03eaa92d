"""Limits of a run, for every room: reaching one is an error that names the line, never a hang."""

MAX_STEPS = 20_000  # rounds of a `while`, or of a `for` with random bounds
MAX_DEPTH = 10_000  # levels of recursion
MAX_ROUNDS = 300  # of a loop, or levels of calls, in which outcomes are enumerated: without end there is always one lane left
MAX_LANES = 65_536  # lanes that the enumeration of outcomes may make of one run
