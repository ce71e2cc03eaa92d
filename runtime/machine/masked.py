"""Random branches without going apart: both sides are executed on all lanes, and each lane keeps what its own side gave.

A graph for the compiler cannot hold lanes that split up.  A frame under a condition therefore has a `mask`, the lanes that
are really there; a score site counts there only, and what both sides set is put together by `torch.where`.  What is executed
on lanes that are not there must do no harm: whoever meets an error here (`NotCompiled`) lets the lanes go apart after all.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..arrays.kernels import choose as pick
from ..lanes.frames import HIDDEN, Frame, bring
from ..lanes.lanes import is_truth, same
from ..lanes.ledger import Summand
from ..lanes.lessons import NotCompiled
from ..lanes.values import PerLane, Ragged, Value
from .machine import Machine


def sides(machine: Machine, frame: Frame, held: Tensor) -> tuple[Frame, Frame]:
    """Frames for the lanes where a condition `[lanes]` holds, and where it does not."""
    if machine.guards is not None and machine.guards.of_lanes:
        raise NotCompiled("the estimator's assumptions are watched inside a random branch")
    children = frame.child(frame.lanes), frame.child(frame.lanes)
    for child, mask in zip(children, (held, torch.logical_not(held)), strict=True):
        child.mask = mask if frame.mask is None else frame.mask & mask
    return children


def choose(machine: Machine, held: Tensor, one: Value, other: Value) -> Value:
    """`one` in the lanes where the condition holds, else `other`."""
    if one is other:
        return one
    if isinstance(one, Ragged) or isinstance(other, Ragged) or one.shape != other.shape:
        raise NotCompiled("an array has different shapes on the two sides of a random branch")
    truth = is_truth(one) and is_truth(other)
    if (number := same([one, other])) is not None:
        return number
    kind = torch.bool if truth else machine.dtype
    first, second = (
        value.tensor(kind, machine.device).to(kind) for value in (one, other)
    )
    return PerLane(pick(spread(held, first), first, second))


def merge(machine: Machine, frame: Frame, held: Tensor, taken: Frame, others: Frame) -> None:
    """Put what both sides set back into their parent."""
    for child in (taken, others):
        if child.lanes is not frame.lanes or child.weight is not None:
            raise NotCompiled("a random branch ends in a `return`, or enumerates outcomes")
    names = dict.fromkeys(name for child in (taken, others) for name in child.values if name[0] != HIDDEN)
    for name in names:
        if frame.has(name) or (name in taken.values and name in others.values):
            bring(frame, name, [taken, others], lambda values: choose(machine, held, *values))


def spread(mask: Tensor, like: Tensor) -> Tensor:
    """A mask `[lanes]` with as many axes as a value."""
    return mask.reshape(mask.shape[0], *(1,) * (like.dim() - 1))


def counted(mask: Tensor | None, value: Tensor) -> Tensor:
    """The value where the mask holds, else 0."""
    return value if mask is None else pick(spread(mask, value), value, 0.0)


def terms_here(frame: Frame, terms: Sequence[Summand]) -> list[Summand]:
    """Terms, of the lanes that are here."""
    if frame.mask is None:
        return list(terms)
    return [Summand(counted(frame.mask, term.value), term.lanes, term.taint, term.reduced) for term in terms]
