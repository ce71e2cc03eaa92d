"""The diagnostics of the choice of estimators: P0401, P0402, P0403, P0405, P0607."""

from __future__ import annotations

from dataclasses import replace

from ..analysis.facts import Hazard
from ..analysis.flow import Flow
from ..analysis.thresholds import advice
from ..jumps.atoms import Unfound
from ..names.resolve import Resolved, Site
from ..syntax import EstimatorCall
from ..tables.estimators import ESTIMATORS
from ..tables.meanings import estimator_meant
from ..text.closeness import nearest
from ..text.diagnostics import Diagnostic, Label
from .plan import PlanOptions


def no_plan(
    resolved: Resolved, flow: Flow, hazard: Hazard | None, site: Site | None = None, why: str = ""
) -> Diagnostic:
    """P0403: a parameter's derivative is lost at `hazard`, or `site`'s density cannot carry it (`why`)."""
    source = resolved.program.source
    if site is not None:
        title = f"no estimator is right at site `{site.name}`"
        label = "this jump needs the density of the site" if hazard is not None else "neither pathwise nor score is right"
        labels = (Label(site.span, why),) if hazard is not None else ()
        return Diagnostic(
            "P0403", title, hazard.span if hazard is not None else site.span, label, labels,
            (f"the score function needs a support that stands still: {why}",),
            "draw from a fixed support and move the value: u ~ Uniform(0, 1); x = theta*u (then keep x away from jumps)",
            source,
        )
    assert hazard is not None
    names = ", ".join(f"`{name}`" for name in flow.origins.parameters_in(hazard.live))
    verb = "move" if "," in names else "moves"
    noise = tuple(
        Label(resolved.sites[index].span, "continuous randomness") for index in flow.origins.sites_in(hazard.continuous)
    )
    if hazard.kind == "singular":
        return Diagnostic(
            "P0403", "no estimator is right for this program", hazard.span,
            f"{names} {verb} this pole, and no site's density carries it", noise,
            ("the derivative of this expression is not integrable where its argument is zero",),
            "keep the argument away from zero (exp, softplus, 1 + x^2, a distribution of positive values)", source,
        )
    if hazard.kind == "infinite":
        return Diagnostic(
            "P0403", "no estimator is right for this program", hazard.span,
            f"{names} {verb} this through infinity, and no site's density carries it", noise,
            ("it is infinite in a run, or as good as that, and what is made of it is a finite number that jumps",),
            "keep it finite, or say what is meant by a comparison", source,
        )
    return Diagnostic(
        "P0403", "no estimator is right for this program", hazard.span,
        f"{names} {verb} this jump, and no site's density carries it", noise, (),
        advice(resolved, flow, hazard), source,
    )


def unfound(resolved: Resolved, found: Unfound) -> Diagnostic:
    """P0403: jumps stand in the way of every estimator, and where they are is not found in the text."""
    return Diagnostic(
        "P0403", "no estimator is right for this program", found.span, f"this jumps, and where cannot be told: {found.reason}", (),
        ("a parameter moves a jump: the derivative needs the points at which draws reach it",),
        "write what is compared as a sum or a product of draws and parameters, each draw on a line of its own",
        resolved.program.source,
    )


def hindered(lost: Diagnostic, missed: Diagnostic) -> Diagnostic:
    """P0403 where every derivative is lost at a jump, and what keeps the runs from going over it."""
    if missed.code != lost.code:
        return missed
    labels = () if missed.span == lost.span or lost.span is None else (Label(lost.span, lost.label),)
    first, *others = (lost.help or "").split(";\n")
    advised = lost.help if "`" in first else ";\n".join([missed.help or first, *others])
    return replace(missed, labels=(*labels, *missed.labels), help=advised)


def forced_wrong(
    resolved: Resolved, flow: Flow, site: Site, call: EstimatorCall, by: str, hazard: Hazard | None
) -> Diagnostic:
    """P0402: an estimator set by hand that would lose a derivative at `hazard` (None: a detached draw)."""
    source = resolved.program.source
    title = f"`{call.name}` would give a wrong gradient at site `{site.name}`"
    advice = "leave the choice to probrun, or see the wrong number with --allow-biased"
    setting = "set to `" + call.name + "` here" if by == "using" else f"set to `{call.name}` by {by}"
    if hazard is None:
        return Diagnostic(
            "P0402", title, site.span, setting, (), ("the distribution depends on a parameter and the draw is detached",),
            advice, source,
        )
    if hazard.kind == "singular":
        trouble = "the derivative is not integrable here"
    elif hazard.continuous:
        trouble = "the result jumps where this test flips"
    else:
        trouble = "a relaxed draw must not reach this jump"
    if by == "using":
        return Diagnostic("P0402", title, site.span, setting, (Label(hazard.span, trouble),), (), advice, source)
    return Diagnostic("P0402", title, hazard.span, trouble, (Label(site.span, setting),), (), advice, source)


def inapplicable(
    resolved: Resolved, site: Site, call: EstimatorCall, by: str, why: str, wrong: bool = False
) -> Diagnostic:
    """P0401 (P0402 where `wrong`): an estimator set by hand that cannot serve at this site."""
    code, verb = ("P0402", "would give a wrong gradient") if wrong else ("P0401", "does not apply")
    return Diagnostic(
        code, f"`{call.name}` {verb} at site `{site.name}`", site.span, why, (),
        () if by == "using" else (f"it was set by {by}",), "leave the choice to probrun: remove the setting",
        resolved.program.source,
    )


def too_many(resolved: Resolved, site: Site, by: str, together: bool = False) -> Diagnostic:
    """P0407: the outcomes of a site that was to be enumerated take too many lanes; `together`: the mean weight of several runs is
    asked for, whose outcomes would be multiplied."""
    if together:
        return Diagnostic(
            "P0407", f"site `{site.name}` cannot be enumerated under `iwae`", site.span, "its runs are drawn", (),
            () if by == "using" else (f"it was set by {by}",), "remove the setting, or ask for --of evidence",
            resolved.program.source,
        )
    return Diagnostic(
        "P0407", f"site `{site.name}` has too many outcomes to enumerate", site.span, "more lanes per run than allowed", (),
        () if by == "using" else (f"it was set by {by}",),
        "allow more with --max-lanes N, or leave the choice to probrun: remove the setting", resolved.program.source,
    )


def excluded(resolved: Resolved, site: Site, needed: str, options: PlanOptions) -> Diagnostic:
    """P0405: the only right estimator was left out by --among."""
    among = ",".join(sorted(options.among or ()))
    biased = ", ".join(row.name for row in ESTIMATORS.values() if row.biased)
    return Diagnostic(
        "P0405", f"no allowed estimator is right at site `{site.name}`", site.span, f"`{needed}` is needed here", (),
        (f"--among {among} leaves it out" + (f", --unbiased leaves out {biased}" if options.unbiased else ""),),
        f"add it: --among {among},{needed}", resolved.program.source,
    )


def unknown_site(
    resolved: Resolved, name: str | None, call: EstimatorCall, order: tuple[str, ...]
) -> Diagnostic:
    """P0401 for an unknown estimator, P0607 for an unknown site in --estimator."""
    if call.name not in order:
        return unknown_estimator(call, order)
    names = [site.name for site in resolved.sites]
    near = nearest(name or "", names)
    return Diagnostic(
        "P0607", f"there is no site `{name}`", None, "", (), (f"the sites are: {', '.join(names) or '(none)'}",),
        f"did you mean `{near}`?" if near else f"name one of them: --estimator {names[0]}={call.name}" if names else None,
        resolved.program.source,
    )


def unknown_option(
    resolved: Resolved, call: EstimatorCall, name: str, known: tuple[str, ...], wanted: str = ""
) -> Diagnostic:
    """P0401: an estimator's option that is not there, or must be `wanted`."""
    title = f"`{name}` of `{call.name}` must be {wanted}" if wanted else f"`{call.name}` has no option `{name}`"
    note = () if wanted else (f"its options are: {', '.join(known) or '(none)'}",)
    near = nearest(name, known)
    return Diagnostic(
        "P0401", title, call.span if call.span.end else None, "", (), note,
        f"did you mean `{near}`?" if near else f"probrun help {call.name}",
        resolved.program.source if call.span.end else None,
    )


def unknown_estimator(call: EstimatorCall, order: tuple[str, ...]) -> Diagnostic:
    """P0401: no estimator of that name."""
    return Diagnostic(
        "P0401", f"there is no estimator `{call.name}`", call.span if call.span.end else None, "", (),
        (f"the estimators are: {', '.join(order)}",),
        estimator_meant(call.name, order) or "`probrun help estimators` explains them",
    )


__all__ = [
    "excluded", "forced_wrong", "inapplicable", "no_plan", "too_many", "unfound", "unknown_estimator", "unknown_option",
    "unknown_site",
]
