"""Expectations as tensors of a caller's graph: one block of runs and its derivatives, in one node of autograd.

A block is made without the caller's graph, by the interpreter (`Walked`) or from what was written down (`step.py`); its
derivatives are plain.  Where what they bring is not finite, and where a pass is itself to be differentiated, the same runs are made
again inside the caller's graph, with safe derivatives (`singular.py`); a program at which the plain ones failed begins with these
from then on.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from ...dsl.analysis.flow import analyse
from ...dsl.names.resolve import Resolved
from ...dsl.tables.constants import EVIDENCE
from ...dsl.tables.estimators import ESTIMATORS
from ...dsl.tables.ranges import Bounds, constant
from ...dsl.text.source import Span
from ..arrays.private import graph_is_kept, pull, transformed
from ..arrays.scalars import ends, finite
from ..blocks.conditioning import products, weighed
from ..blocks.culprits import value_problem
from ..blocks.session import Session
from ..blocks.settings import DTYPES, Settings, room
from ..estimates.attempts import IN_STEP, Attempt, Attempts
from ..estimates.estimate import few_of, impossible, values_of, wider
from ..gradients.decisive import decisive
from ..gradients.remainder import remainder
from ..gradients.surrogate import expected, expected_of
from ..lanes.lessons import MakePlan, Way
from ..machine.interpreter import Interpreter
from ..machine.machine import Outcome

Named = Tensor | dict[str, Tensor]  # a single result is not keyed


@dataclass(frozen=True)
class Wish:
    """What is asked for."""

    resolved: Resolved
    make_plan: MakePlan
    parameters: Mapping[str, object]
    data: Mapping[str, object]
    settings: Settings
    masked: bool = False  # both sides of a random branch run on all lanes, where that does no harm

    def attempts(self) -> Attempts:
        """The attempts at it."""
        settings = self.settings
        return Attempts(self.resolved, self.parameters, self.data, settings, settings, self.make_plan, self.masked)


class MadeBlock(Protocol):
    """A block of runs: its estimates `[*shape]`, and what a backward pass brings from these to the parameters `[*shape]`."""

    @property
    def values(self) -> Sequence[Tensor]:
        """The estimates."""

    def pulled(self, incoming: Sequence[Tensor]) -> list[Tensor | None]:
        """The plain derivatives in every parameter (None: zero)."""


@dataclass
class Walked:
    """A block that the interpreter made, with its graph from the `leaves` `[1, *shape]` on."""

    found: list[Tensor]
    leaves: list[Tensor]
    written: bool  # whether it can be written down

    @property
    def values(self) -> list[Tensor]:
        """The estimates."""
        return [value.detach() for value in self.found]

    def pulled(self, incoming: Sequence[Tensor]) -> list[Tensor | None]:
        """The derivatives."""
        live = [(value, part) for value, part in zip(self.found, incoming, strict=True) if value.requires_grad]
        if not live:
            return [None] * len(self.leaves)
        outputs, parts = zip(*live, strict=True)
        return [part if part is None else part.squeeze(0) for part in pull(outputs, self.leaves, parts)]


def expectation(wish: Wish) -> tuple[Named, Attempt]:
    """Estimates of the expected results that carry their derivatives: one block, differentiable again where the estimators allow
    it; and the attempt at which they came about."""
    attempts = wish.attempts()

    def make(attempt: Attempt) -> tuple[Named, Attempt]:
        made = walked(attempts, attempt, not attempt.way.safe)
        parameters = list(attempt.values[0].values())
        if attempt.way.safe:
            return named(attempt.names, made.found), attempt
        return named(attempt.names, attached(made, Again(wish, attempt.way), parameters)), attempt

    inside = bool(wish.resolved.external) or transformed()  # functions may have a graph of their own: a network with its weights
    return attempts.until_done(make, replace(IN_STEP, safe=inside or wish.resolved.prepared.get("not finite", None, False)))


def named(names: Sequence[str], found: Sequence[Tensor]) -> Named:
    """A single result is not keyed."""
    return found[0] if len(found) == 1 else dict(zip(names, found, strict=True))


def walked(attempts: Attempts, attempt: Attempt, plain: bool) -> Walked:
    """The block of an attempt; `plain`: without the caller's graph."""
    plan, settings = attempt.plan, attempt.settings
    assert plan is not None
    attempts.rounded(attempt, few_of)
    session = attempt.session()
    names, runs = attempt.names, 1 if session.exact else settings.samples
    more: dict[str, Any] = {}
    if plain:
        leaves = {name: value.detach().unsqueeze(0).requires_grad_() for name, value in session.parameters.items()}
    else:
        leaves = {name: value.unsqueeze(0) for name, value in session.parameters.items()}
        more = {"kinks": plan.kinks, "bends": partial(_bends, session, settings.of)}
    with room(grad=True):
        machine = session.interpreter(Interpreter, **more)
        outcome = machine.run(leaves, session.data, runs)
        values, found = estimates(session, outcome, runs, leaves, names)
        found = [estimate.to(DTYPES[attempts.own.dtype]) for estimate in found]
        if not all(map(finite, found)):
            raise wider(session) or value_problem(session, runs, leaves, names)
        if outcome.cuts and session.exact:
            remainder(outcome, values, list(leaves.values()))
        if outcome.met and (kinks := decisive(outcome, found, machine.motion())[0]):
            warn_of_kinks(attempt.resolved, kinks)
    return Walked(found, list(leaves.values()), not outcome.cuts)


def estimates(
    session: Session, outcome: Outcome, runs: int, leaves: dict[str, Tensor], names: tuple[str, ...]
) -> tuple[list[Tensor], list[Tensor]]:
    """What the means are made of, on the lanes, and what is asked for."""
    if session.asked.weighed:
        return _quotients(session, outcome, runs, leaves, names)
    outcome = values_of(session, outcome, runs)
    values = [session.result(value) for value in outcome.values]
    return values, [expected(outcome, number, value, runs) for number, value in enumerate(values)]


def _quotients(
    session: Session, outcome: Outcome, runs: int, leaves: dict[str, Tensor], names: tuple[str, ...]
) -> tuple[list[Tensor], list[Tensor]]:
    made = products(session, outcome)
    if made is None:
        raise impossible(session, runs)
    base, weight, above = made
    below = expected_of(weighed(weight, outcome, runs))
    rest = iter(above)
    found = [
        below.log() + base if name == EVIDENCE else expected_of(weighed(next(rest), outcome, runs)) / below for name in names
    ]
    return [*above, weight], found


# ---------------------------------------------------------------------------------------------------- the node
@dataclass(frozen=True)
class Again:
    """The same runs with safe derivatives, in the caller's graph."""

    wish: Wish
    way: Way
    seed: int | None = None  # another than that of the wish

    def pulled(self, parameters: Sequence[Tensor], incoming: Sequence[Tensor], further: bool) -> tuple[Tensor | None, ...]:
        """What a pass brings to the parameters; `further`: to be differentiated again."""
        wish = replace(self.wish, parameters=dict(zip(self.wish.resolved.parameters, parameters, strict=True)))
        if self.seed is not None:
            wish = replace(wish, settings=replace(wish.settings, seed=self.seed))
        attempts = wish.attempts()
        with torch.enable_grad():
            found = attempts.until_done(lambda attempt: walked(attempts, attempt, False), replace(self.way, safe=True)).found
            live = [(value, part) for value, part in zip(found, incoming, strict=True) if value.requires_grad]
            moving = [value for value in parameters if value.requires_grad]
            if not live:
                return tuple(torch.zeros_like(value) if value.requires_grad else None for value in parameters)
            outputs, parts = zip(*live, strict=True)
            made = iter(torch.autograd.grad(outputs, moving, parts, create_graph=further, allow_unused=True))
        return tuple(next(made) if value.requires_grad else None for value in parameters)


def attached(made: MadeBlock, again: Again, parameters: Sequence[Tensor]) -> list[Tensor]:
    """The estimates in the caller's graph."""
    if not torch.is_grad_enabled() or not any(value.requires_grad for value in parameters):
        return list(made.values)
    return list(_Estimated.apply(made, again, *parameters))  # type: ignore[no-untyped-call]


class _Estimated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, made: MadeBlock, again: Again, *parameters: Tensor) -> tuple[Tensor, ...]:
        ctx.made, ctx.again = made, again
        ctx.save_for_backward(*parameters)
        return tuple(made.values)

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor) -> tuple[Tensor | None, ...]:
        parameters: tuple[Tensor, ...] = ctx.saved_tensors
        if not torch.is_grad_enabled():
            if ctx.made is None:
                raise RuntimeError("the graph of an expectation is gone: keep it in the first backward pass (retain_graph=True)")
            found = ctx.made.pulled(incoming)
            if not graph_is_kept():
                ctx.made = None  # its memory, as autograd lets go its own
            if transformed(*incoming) or all(part is None or finite(part) for part in found) or not all(map(finite, incoming)):
                zeros = (None if part is not None or not value.requires_grad else torch.zeros_like(value) for part, value in zip(
                    found, parameters, strict=True
                ))
                return None, None, *(part if zero is None else zero for part, zero in zip(found, zeros, strict=True))
            ctx.again.wish.resolved.prepared.put("not finite", None, True)
        return None, None, *ctx.again.pulled(parameters, incoming, torch.is_grad_enabled())


def warn_of_kinks(resolved: Resolved, kinks: Set[Span]) -> None:
    """There is no report to say it in."""
    source = resolved.program.source
    first = min(kinks, key=lambda span: span.start)
    warnings.warn(
        f"{source.name}, line {source.line_column(first.start)[0]}: a kink is met exactly, where the expectation has no derivative "
        f"but one to the left and one to the right: {source.slice(first)}", stacklevel=4,
    )


def _bends(session: Session, of: tuple[str, ...]) -> frozenset[int]:
    """The kinks that are left where parameters and data are what they are: sqrt(theta^2 + z^2) has none but at theta = 0."""
    known: dict[str, Bounds] = {}
    for name, value in (*session.parameters.items(), *session.data.items()):
        if isinstance(value, Tensor) and value.numel():
            least, most = ends(value)
            known[name] = Bounds(least, most, True, True)
        elif isinstance(value, float | bool):
            known[name] = constant(float(value))
    rows = {index: ESTIMATORS[choice.estimator] for index, choice in session.choices.items()}
    return analyse(session.resolved, rows, frozenset(), of, known).kinks
