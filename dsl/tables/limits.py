"""Limits of a run, for every room: reaching one is an error that names the line, never a hang."""

LEAST_KEPT = 16  # rounds of a loop without end, or outcomes of a law without end, that are always summed
MAX_STEPS = 20_000  # rounds of a `while`, or of a `for` with random bounds
MAX_DEPTH = 10_000  # levels of recursion
MAX_ROUNDS = 300  # of a loop, or levels of calls, in which outcomes are enumerated: without end there is always one lane left
TRIED_LEVELS = 128  # of calls, where lanes in one state share them
MAX_LANES = 65_536  # lanes that the enumeration of outcomes may make of one run
MOST_STATES = 2**19  # the same where lanes are merged, before each merge
EXACT_LANES = 4096  # tried for an exact answer, or as many as runs were asked for
LANES_IN_ALL = 2**22  # of all runs together, where outcomes are enumerated and the rest is sampled
LEAST_LANES = 16  # of one run, however many runs
UNASKED_LANES = 1024  # of an exact answer that nobody asked for, or as many as the runs that it saves
STEP = 2**14  # numbers that are touched in about the time that a step (a statement, a draw) takes beside its numbers
PRUNED = 8  # outcomes for every lane allowed, before those of probability 0 are left out, where nobody asked


def lanes_of(samples: int, exact: bool, most: int | None = None, unasked: bool = False, merging: bool = False) -> int:
    """How many lanes enumeration may make of one run; `most`: what was asked for.

    Where outcomes are enumerated by order alone (`unasked`), it must not cost more than what it replaces: for an exact answer one
    lane for every run, and beside draws so few that, on all programs tried, they are paid back by the variance they take away.
    """
    if most is not None:
        return most
    if unasked:
        return min(max(samples, UNASKED_LANES), MAX_LANES) if exact else LEAST_LANES
    if exact:
        return MOST_STATES if merging else MAX_LANES
    return min(max(LANES_IN_ALL // samples, LEAST_LANES), MAX_LANES)


def lanes_tried(samples: int, most: int | None = None) -> int:
    """How many lanes are tried for an exact answer before anything else."""
    return min(most or max(EXACT_LANES, samples), lanes_of(samples, True, most))
