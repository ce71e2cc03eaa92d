"""The choice of estimators from the text alone: every trap of ESTIMATORS.md section 4, and the rules behind them.

Each entry is a program and what must be chosen: ``x=score b=sample``, or the code of the refusal and its line.
"""

from __future__ import annotations

import pytest

from probrun.dsl.names.resolve import External, resolve
from probrun.dsl.planning.chooser import make_plan
from probrun.dsl.planning.plan import Lessons, Plan, PlanOptions
from probrun.dsl.reading.parser import parse, parse_estimator
from probrun.dsl.text.diagnostics import ProbError
from probrun.dsl.text.source import Source


def plan_of(text: str, options: PlanOptions | None = None) -> Plan:
    external = {
        "net": External(call=lambda x: x, smooth=True, arity=None),
        "table": External(call=lambda x: x, smooth=False, arity=None),
        "hinge": External(call=lambda x: x, smooth="kink", arity=None),
    }
    return make_plan(resolve(parse(Source("test.prob", text)), external), options)


def outcome(text: str, options: PlanOptions | None = None) -> str:
    try:
        plan = plan_of(text, options)
    except ProbError as error:
        return f"{error.code}:{error.line}"
    return " ".join(f"{choice.site.name}={choice.estimator}" for choice in plan.choices.values())


CHOICES = [
    # smooth uses
    ("z ~ Normal(1, 2); y = theta^2*(z+4)", "z=sample"),
    ("z ~ Normal(theta, 2); y = theta^2*(z+4)", "z=rsample"),
    ("x = 2*Bernoulli(3*theta) + Bernoulli(theta)", "x.1=gumbel x.2=gumbel"),
    ("k ~ Poisson(theta); y = k^2", "k=score"),
    # jumps
    ("x ~ Normal(theta, 1); y = x > 0", "x=score"),
    ("x ~ Normal(theta, 1); y = x^2 + (x > 0)", "x=score"),
    ("x ~ Normal(theta, 1); y = if x > 0 then x^2 else -x^2", "x=score"),
    ("x ~ Normal(theta, 1); y = floor(x)", "x=score"),
    ("x ~ Normal(theta, 1); y = x % 1", "x=score"),
    ("x ~ Normal(theta, 1); y = where(x > 0, 1, 0)", "x=score"),
    ("x ~ Normal(theta, 1); y = sign(x) * x", "x=score"),
    ("x ~ Normal([theta, 0], 1); y = argmax(x)", "x=score"),
    ("x ~ Normal(theta, 1); v = [1, 2]; y = v[x > 0]", "x=score"),
    ("x ~ Normal(theta, 1); y = 0; for i in range(floor(abs(x))) { y = y + 1 }", "x=score"),
    ("x ~ Normal(theta, 1); y = not x", "x=score"),
    ("x ~ Normal(theta, 1); y = (x > 1) and (x < 2)", "x=score"),
    ("b ~ Bernoulli(theta); y = 0; if b { y = 5 }", "b=score"),
    ("b ~ Bernoulli(theta); y = b == 1", "b=score"),
    ("b ~ Bernoulli(theta); xs = [3, -4]; y = xs[b]", "b=score"),
    # kinks are no jumps
    ("x ~ Normal(theta, 1); y = abs(x) + max(x, 1) + relu(x) + clamp(x, -1, 1) + min(x, 0)", "x=rsample"),
    ("x ~ Normal([theta, 1], 1); v = sort(x); y = v[0]", "x=rsample"),
    # harmless jumps: no continuous randomness meets a live value
    ("x ~ Normal(theta, 1); y = if theta > 1 then x else 2*x", "x=rsample"),
    ("k ~ Poisson(3); y = if k > theta then theta else 2*theta", "k=sample"),
    ("x ~ Normal(0, 1); y = if x > 0 then theta else 2*theta", "x=sample"),
    ("x ~ Normal(theta, 1); unused = x > 0; y = x", "x=rsample"),
    ("x ~ Normal(theta, 1); c = x > 0; z ~ Normal(theta, 1); y = z", "x=sample z=rsample"),
    ("x ~ Normal(0, 1); c = x > 0; y = if c + theta > 0.5 then theta else 1", "x=sample"),
    # chains
    ("x ~ Normal(theta, 1); w ~ Normal(x, 1); y = w > 0", "x=rsample w=score"),
    ("x ~ Normal(theta, 1); b ~ Bernoulli(sigmoid(x)); y = b*x", "x=rsample b=gumbel"),
    ("x ~ Normal(theta, 1); b ~ Bernoulli(if x > 0 then 0.8 else 0.2); y = b", "x=score b=sample"),
    ("param t = 1; x ~ Normal(t, 1); if x > 0 { k ~ Poisson(x); y = k } else { y = 0 }", "x=score k=sample"),
    ("q ~ Beta(theta, 2); n ~ Binomial(10, q); y = n", "q=rsample n=score"),
    ("b ~ Bernoulli(theta); n ~ Binomial(2 + b, 0.3); y = n", "b=score n=sample"),
    # loops, stopping times, recursion
    ("x = -1; while x <= 0 { x ~ Normal(theta, 1) }; y = x", "x=score"),
    ("s = 0; n = 0; while s < 2 { e ~ Exponential(theta); s = s + e; n = n + 1 }; y = n", "e=score"),
    ("x = 0; for t in range(10) { x ~ Normal(x + theta, 1) }; y = x^2", "x=rsample"),
    ("x = 0; y = 0; for t in range(10) { if x > 3 { y = y + 1 }; x ~ Normal(x + theta, 1) }; return y", "x=score"),
    ("fn geo(q) { b ~ Bernoulli(q); if b == 1 { return 0 }; return 1 + geo(q) }; y = geo(theta)", "geo.b=score"),
    ("fn down(v) { if v < 0 { return 1 }; return 1 + down(v - 1) }; x ~ Normal(theta, 1); y = down(x)", "x=score"),
    ("fn f(v) { return v > 0 }; x ~ Normal(theta, 1); y = f(x)", "x=score"),
    ("fn f(v) { return v^2 }; x ~ Normal(theta, 1); y = f(x) + f(2)", "x=rsample"),
    ("fn f(v) { if v > 0 { return 1 }; return 2 }; x ~ Normal(theta, 1); z ~ Normal(0, 1); y = x*f(z)", "x=rsample z=sample"),
    ("param t = 1; x ~ Normal(t, 1); if x > 0 { return 1 }; z ~ Normal(t, 1); return z", "x=score z=rsample"),
    # moving supports
    ("x ~ Uniform(0, theta); y = x", "x=rsample"),
    ("x ~ Uniform(0, theta); y = 1", "x=sample"),
    ("x ~ Pareto(theta, 3); y = x", "x=rsample"),
    ("x ~ Normal(theta, 1); u ~ Uniform(0, exp(x)); y = u > 1", "x=score u=sample"),
    # reparameterised in some arguments only
    ("x ~ VonMises(0, theta); y = cos(x)", "x=score"),
    ("x ~ Gamma(theta, 1); y = log(x)", "x=rsample"),
    ("x ~ StudentT(theta, 0, 1); y = atan(x)", "x=rsample"),
    # poles: a derivative that is not integrable, or that may jump through infinity
    ("x ~ Normal(theta, 1); y = abs(x)^(-0.5)", "x=score"),
    ("x ~ Normal(theta, 1); y = log(abs(x))", "x=score"),
    ("x ~ Normal(theta, 1); y = log(x^2)", "x=score"),
    ("x ~ Normal(theta, 1); y = 1/sqrt(abs(x))", "x=score"),
    ("x ~ Normal(theta, 1); y = 1/(1 + x^2)", "x=rsample"),
    ("x ~ Normal(theta, 1); y = log(1 + x^2) + 1/exp(x)", "x=rsample"),
    ("x ~ LogNormal(theta, 1); y = 1/x + log(x) + x^-0.5", "x=rsample"),
    ("x ~ Beta(theta, 2); y = log(x) + log(1 - x)", "x=rsample"),
    # log densities
    ("z ~ Normal(theta, 1); y = logpdf(Normal(0, 1), z) - logpdf(Normal(theta, 1), z)", "z=rsample"),
    ("z ~ LogNormal(theta, 1); y = logpdf(Gamma(2, 1), z)", "z=rsample"),
    ("z ~ Bernoulli(theta); y = logpdf(Bernoulli(0.3), z)", "z=gumbel"),
    ("z ~ Categorical(softmax([theta, 0])); y = logpdf(Categorical([0.3, 0.7]), z)", "z=score"),
    # the embedding program's functions
    ("x ~ Normal(theta, 1); y = net(x)", "x=rsample"),
    ("x ~ Normal(theta, 1); y = hinge(x)", "x=rsample"),
    ("x ~ Normal(theta, 1); y = table(x)", "x=score"),
    # refusals
    ("x ~ Normal(0, 1); y = x < theta", "P0403:1"),
    ("x ~ Normal(theta, 1)\ny = x > theta", "P0403:2"),
    ("u ~ Uniform(0, 1)\ny = floor(theta + u)", "P0403:2"),
    ("x ~ Uniform(0, theta)\nif x < 1 { y = 2 } else { y = x }", "P0403:2"),
    ("x ~ Normal(0, 1)\ny = log(abs(x - theta))", "P0403:2"),
    ("u ~ Uniform(0, 1)\nb ~ Bernoulli(if u < theta then 0.8 else 0.2)\ny = b", "P0403:2"),
    ("u ~ Uniform(0, 1)\nfn f(a) { if a < theta { return 1 }; return 0 }\ny = f(u)", "P0403:2"),
    ("s = 0; n = 0\nwhile s < theta { e ~ Exponential(1); s = s + e; n = n + 1 }\ny = n", "P0403:2"),
    ("x ~ Normal(0, 1)\ny = table(x + theta)", "P0403:2"),
    ("x ~ Normal(theta, 1) using rsample\ny = x > 0", "P0402:1"),
    ("b ~ Bernoulli(theta) using gumbel\nif b { y = 5 } else { y = 1 }", "P0402:1"),
    ("b ~ Bernoulli(theta) using rsample\ny = b", "P0401:1"),
    ("x ~ Normal(theta, 1) using gumbel\ny = x", "P0401:1"),
    ("x ~ Normal(theta, 1) using sample\ny = x", "P0402:1"),
    ("x ~ Uniform(0, theta) using score\ny = x", "P0402:1"),
    ("x ~ Normal(theta, 1) using magic\ny = x", "P0401:1"),
]


SAMPLING = PlanOptions(among=frozenset({"rsample", "score", "gumbel"}))


@pytest.mark.parametrize(("text", "expected"), CHOICES, ids=[text for text, _ in CHOICES])
def test_choice(text: str, expected: str) -> None:
    assert outcome(text, SAMPLING) == expected


# with enumeration, which comes before relaxations and scores where a run draws at most once at the site
ENUMERATED = [
    ("x = 2*Bernoulli(3*theta) + Bernoulli(theta)", "x.1=enumerate x.2=enumerate"),
    ("b ~ Bernoulli(theta); y = 0; if b { y = 5 }", "b=enumerate"),
    ("x ~ Normal(theta, 1); b ~ Bernoulli(sigmoid(x)); y = b*x", "x=rsample b=enumerate"),
    ("q ~ Beta(theta, 2); n ~ Binomial(10, q); y = n", "q=rsample n=enumerate"),
    ("k ~ Poisson(theta); y = k", "k=score"),
    ("n = 0; for i in range(9) { b ~ Bernoulli(theta); n = n + b }; y = n", "b=gumbel"),
    # noise is enumerated where that makes the answer exact
    ("b ~ Bernoulli(0.3); c ~ Bernoulli(theta); y = b*c", "b=enumerate c=enumerate"),
    ("b ~ Bernoulli(0.3); x ~ Normal(theta, 1); y = b*x", "b=sample x=rsample"),
    ("b ~ Bernoulli(theta); x ~ Normal(theta, 1); y = b", "b=enumerate x=sample"),
    ("x ~ Normal(theta, 1) using enumerate\ny = x", "P0401:1"),
    ("b ~ Bernoulli(theta) using score(baseline=none, credit=false)\ny = b", "b=score"),
    ("b ~ Bernoulli(theta) using score(baseline=median)\ny = b", "P0401:1"),
    ("b ~ Bernoulli(theta) using score(tau=1)\ny = b", "P0401:1"),
    ("b ~ Bernoulli(theta) using gumbel(tau=-1)\ny = b", "P0401:1"),
    ("b ~ Bernoulli(theta) using gumbel(hard=2)\ny = b", "P0401:1"),
]


@pytest.mark.parametrize(("text", "expected"), ENUMERATED, ids=[text for text, _ in ENUMERATED])
def test_choice_with_enumeration(text: str, expected: str) -> None:
    assert outcome(text) == expected


def test_exact_plans() -> None:
    assert plan_of("b ~ Bernoulli(theta); x ~ Normal(theta, 1); y = b").exact
    assert not plan_of("b ~ Bernoulli(theta); x ~ Normal(theta, 1); y = b*x").exact
    assert not plan_of("y = theta").exact
    crowded = make_plan(resolve(parse(Source("t", "b ~ Bernoulli(theta); y = b"))), None, Lessons(crowded=frozenset({0})))
    assert crowded.choices[0].estimator == "score" and "enumerate" not in crowded.choices[0].valid


def forced(*settings: tuple[str | None, str], **more: object) -> PlanOptions:
    return PlanOptions(
        estimator=tuple((site, parse_estimator(call)) for site, call in settings), **more  # type: ignore[arg-type]
    )


def test_options() -> None:
    smooth = "x ~ Normal(theta, 1); b ~ Bernoulli(sigmoid(x)); y = b*x"
    assert outcome(smooth, PlanOptions(unbiased=True)) == "x=rsample b=enumerate"
    assert outcome(smooth, PlanOptions(unbiased=True, among=frozenset({"rsample", "score", "gumbel"}))) == "x=rsample b=score"
    assert outcome(smooth, PlanOptions(among=frozenset({"score"}))) == "x=score b=sample"
    assert outcome(smooth, PlanOptions(among=frozenset({"rsample"}))) == "P0405:1"
    assert outcome(smooth, forced((None, "score"))) == "x=score b=sample"
    assert outcome(smooth, forced(("b", "score"))) == "x=rsample b=score"
    assert outcome(smooth, forced(("c", "score"))) == "P0607:None"
    assert outcome("x ~ Uniform(0, theta); y = x", forced((None, "score"))) == "x=rsample"
    assert outcome("x ~ Normal(theta, 1); y = x > 0", forced((None, "rsample"))) == "x=score"
    assert outcome("x ~ Normal(theta, 1)\ny = x > 0", forced(("x", "rsample"))) == "P0402:2"
    assert outcome("b ~ Bernoulli(theta) using gumbel; y = b", PlanOptions(unbiased=True)) == "b=enumerate"


def test_wrong_by_force_is_reported() -> None:
    plan = plan_of("x ~ Normal(theta, 1); y = x > 0", forced(("x", "rsample"), allow_biased=True))
    assert plan.biased and plan.choices[0].estimator == "rsample" and "wrong" in plan.choices[0].reason
    plan = plan_of("x ~ Normal(0, 1); y = x > theta", PlanOptions(allow_biased=True))
    assert plan.biased


def test_other_results() -> None:
    text = "x ~ Normal(theta, 1); c = x > 0; y = x"
    assert outcome(text, PlanOptions(of=("c",))) == "x=score"
    assert outcome(text, PlanOptions(of=("y",))) == "x=rsample"
    assert outcome(text, PlanOptions(of=("y", "c"))) == "x=score"


def test_guards_are_placed_and_counted_as_jumps_when_broken() -> None:
    text = "x ~ Normal(theta, 0.1); y = atan(1/x)"
    resolved = resolve(parse(Source("test.prob", text)))
    plan = make_plan(resolved)
    assert plan.choices[0].estimator == "rsample"
    (sign,) = [guard for guard in plan.guards if guard.kind == "sign"]
    again = make_plan(resolved, None, Lessons(frozenset({sign.place})))
    assert again.choices[0].estimator == "score" and {guard.kind for guard in again.guards} <= {"held"}
    with pytest.raises(ProbError) as caught:
        refused = resolve(parse(Source("test.prob", "x ~ Normal(1, 0.1); y = atan(1/(x - theta))")))
        make_plan(refused, None, Lessons(frozenset(guard.place for guard in make_plan(refused).guards)))
    assert caught.value.code == "P0403"


def test_gumbel_options() -> None:
    plan = plan_of("b ~ Bernoulli(theta) using gumbel(tau=0.1); c ~ Bernoulli(theta); y = b + c", PlanOptions(tau=0.7, among=frozenset({"gumbel"})))
    assert plan.choices[0].options == {"tau": 0.1, "hard": True}
    assert plan.choices[1].options == {"tau": 0.7, "hard": True}
    assert plan.biased


def test_long_and_deep_programs_are_walked() -> None:
    many = "n = 0\n" + "b ~ Bernoulli(theta); n = n + b\n" * 3000
    assert len(plan_of(many + "y = n").choices) == 3000
    deep = "x ~ Normal(theta, 1); y = " + "(" * 900 + "x" + " + 1)" * 900
    assert outcome(deep) == "x=rsample"


def test_words() -> None:
    choice = plan_of("param theta = 1\nx ~ Normal(theta, 1)\nif x > 0 { y = 1 } else { y = 0 }").choices[0]
    assert choice.reason == "x reaches a jump: `x > 0` (line 3) decides y"
    assert choice.path == "theta -> x -> (x > 0) -> y"
    assert ("rsample", "wrong here: it does not see the jump at line 3") in choice.rejected
    assert ("gumbel", "only for Bernoulli, Categorical, OneHotCategorical") in choice.rejected
