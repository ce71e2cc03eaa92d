"""Whether all runs, or all blocks, execute the same things in the same order, as far as the text tells."""

from __future__ import annotations

from ..names.resolved import Resolved
from ..syntax import Conditional, If, Logical, Node, While, children
from ..tables.distributions import DISTRIBUTIONS
from ..tables.estimators import ESTIMATORS
from ..text.diagnostics import Diagnostic, ProbError
from ..text.source import Span
from .plan import Plan

APART = (Conditional, If, Logical, While)


def ordered(resolved: Resolved, plan: Plan) -> bool:
    """Whether all blocks execute the same things in the same order, as far as the text tells."""
    return resolved.prepared.once("ordered", plan.token, lambda: _ordered(resolved, plan))


def _ordered(resolved: Resolved, plan: Plan) -> bool:
    split = any(ESTIMATORS[choice.estimator].several for choice in plan.choices.values())
    return not split and first(resolved.program.body, APART) is None


def check_fixed(resolved: Resolved, plan: Plan) -> None:
    """P0408 where runs may not all draw the same numbers in the same order."""
    node = first(resolved.program.body, APART)
    if node is not None:
        raise no_points(resolved, node.span, "this may send runs different ways")
    for choice in plan.choices.values():
        if ESTIMATORS[choice.estimator].several:
            raise no_points(resolved, choice.site.span, f"`{choice.estimator}` makes several lanes of one here")
    for site in resolved.sites:
        if not DISTRIBUTIONS[site.distribution.name].by_inverse:
            raise no_points(resolved, site.distribution.span, f"{site.distribution.name} has no inverse distribution function here")


def no_points(resolved: Resolved, span: Span | None = None, label: str = "") -> ProbError:
    """The refusal of the Sobol sampler."""
    return ProbError(Diagnostic(
        "P0408", "the Sobol sampler does not fit this program: each run must draw the same numbers in the same order",
        span, label, source=resolved.program.source, help="leave --sampler out",
    ))


def first(node: Node, kinds: tuple[type[Node], ...]) -> Node | None:
    pending = [node]
    while pending:
        found = pending.pop()
        if isinstance(found, kinds):
            return found
        pending.extend(reversed(children(found)))
    return None
