"""Runs that fork: `fork` finds exact derivatives of discrete programs, whatever their draws decide, at the edge of a domain too."""

from __future__ import annotations

import pytest
import torch

import probrun
from benchmarks.forking import tried
from benchmarks.merging import task

Z = 5.0
SIR = """
param beta = 0.8
param gamma = 0.3
well = 10; ill = 2; gone = 0
for t in range(5) {
  n ~ Binomial(well, 1 - exp(-beta*ill/12)); r ~ Binomial(ill, gamma)
  well = well - n; ill = ill + n - r; gone = gone + r
}
return 12 - well
"""
AGENTS = """
param beta = 0.8
param gamma = 0.3
ill = arange(12) < 2
well = 1 - ill
for t in range(5) {
  new ~ Bernoulli((1 - exp(-beta*sum(ill)/12))*ones(12)); healed ~ Bernoulli(gamma*ones(12))
  new = new*well
  well = well - new; ill = ill + new - ill*healed
}
return 12 - sum(well)
"""
EXACT = [
    ("param t = 0.1\nreturn 2*Bernoulli(3*t) + Bernoulli(t)", (7.0,)),
    ("param t = 1\nk ~ Poisson(exp(t)); return (k - 3)^2", (1.186703,)),
    ("param t = 0.3\nk ~ Binomial(10, t); return k^2", (64.0,)),
    ("param t = 0.3\nk ~ NegativeBinomial(3, t); return k^2", (27.113703,)),
    ("param t = 0.5\nk ~ Geometric(t); return k", (-4.0,)),
    ("param t = 0.5\nn = 0; b = 0; while b == 0 { b ~ Bernoulli(t); n = n + 1 - b }; return n", (-4.0,)),
    ("param a = 0.3\nparam c = -0.2\nk ~ Categorical(softmax([a, c, 2*a, 0])); d ~ Bernoulli(sigmoid(0.3*c)); return k^2 + d",
     (-0.509320, -0.323352)),
    ("param t = 0.3\nb ~ Bernoulli(t)\nif b { k ~ Poisson(2); y = 3*k } else { d ~ Bernoulli(t); y = d*t }\nreturn y", (6.33,)),
    (SIR, (6.841750, -6.820287)), (AGENTS, (6.841750, -6.820287)),
    ("param t = 0.4\nk ~ Multinomial(3, [t, 1 - t, 2*t]); return k[0]*k[2]", (24 * 0.4 / 1.8**3,)),
]


def within(found: probrun.results.GradientResult, exact: tuple[float, ...], most: float) -> None:
    for moments, right in zip(found.gradient.values(), exact, strict=True):
        assert abs(float(moments.mean) - right) <= Z * float(moments.se) + 1e-6
        assert float(moments.se) < most * max(1.0, abs(right))


@pytest.mark.parametrize(("program", "exact"), EXACT)
def test_exact_derivatives(program: str, exact: tuple[float, ...]) -> None:
    found = probrun.parse(program).grad(samples=40_000, seed=1, estimator="fork")
    assert {site.estimator for site in found.sites if site.estimator != "sample"} == {"fork"}
    within(found, exact, 0.04)


EDGES = [
    ("b ~ Bernoulli(t); return 3*b", 3.0), ("b ~ Bernoulli(1 - t); return 3*b", -3.0),
    ("k ~ Binomial(3, t); return k^2", 3.0), ("k ~ Binomial(3, 1 - t); return k^2", -15.0), ("k ~ Poisson(t); return k^2 + 4*k", 5.0),
    ("k ~ Geometric(1 - t); return k", 1.0), ("k ~ NegativeBinomial(2, t); return k", 2.0),
    ("x ~ Categorical([1 - 3*t, t, 2*t]); return x", 5.0), ("x ~ OneHotCategorical([1 - t, 0, t]); return 5*x[2]", 5.0),
    ("k ~ Multinomial(3, [1 - t, t]); return k[1]^2", 3.0), ("b ~ Bernoulli(t*ones(2)); return b[0] + b[0]*b[1]", 1.0),
]


@pytest.mark.parametrize(("program", "exact"), EDGES)
@pytest.mark.parametrize("options", [{"estimator": "fork"}, {"among": "score,fork"}])
def test_at_the_edge_of_a_domain(program: str, exact: float, options: dict[str, str]) -> None:
    found = probrun.parse(f"param t = 0\n{program}").grad(samples=20_000, seed=1, **options)
    within(found, (exact,), 0.04)


MIXED = [  # beside paths and scores; functions, recursion, arrays, calls that draw, weights
    ("x ~ Normal(t, 1); k ~ Bernoulli(sigmoid(x)); z ~ Gamma(1 + t + k, 1); return z*(1 + k) + x*x", "score"),
    ("fn f(p) { b ~ Bernoulli(p); if b { return 1 }; return 1 + f(p) }; return f(t)^2", "score"),
    ("x = zeros(4); for i in range(4) { x[i] ~ Bernoulli(t) }; k ~ Categorical([t, 0.3, 0.3]); return 3*x[k] + sum(x)^2", "enumerate"),
    ("fn f(p) { b ~ Bernoulli(p); if b { return 2 }; k ~ Binomial(3, p/2); return k }; return f(t)*f(t*t)", "enumerate"),
    ("n = 0; m ~ Binomial(4, t); for i in range(m + 1) { k ~ Bernoulli(t); n = n + k*i }; return n*n", "enumerate"),
    ("b ~ Bernoulli(t); c ~ Binomial(3, t); observe 1.5 ~ Normal(b + c*t, 1); return b*c", "enumerate"),
    ("b ~ Bernoulli(t); c ~ Binomial(3, t); observe b + c > 0; return b*c", "enumerate"),
    ("return Bernoulli(t)*Poisson(t) + Binomial(3, t)^2 + (if Bernoulli(t) > 0 then Bernoulli(t/2) else 2)", "score"),
]


@pytest.mark.parametrize(("program", "other"), MIXED)
def test_as_another_estimator(program: str, other: str) -> None:
    parsed = probrun.parse(f"param t = 0.35\n{program}")
    found = parsed.grad(samples=40_000, seed=1, estimator="fork").gradient["t"]
    right = parsed.grad(samples=80_000, seed=2, estimator=other, max_lanes=10_000).gradient["t"]
    error = (float(found.se) ** 2 + float(right.se) ** 2) ** 0.5
    assert abs(float(found.mean) - float(right.mean)) <= Z * error and error < 0.03 * max(1, abs(float(right.mean)))


def test_every_entry_of_several_results() -> None:
    program = "param t = 0.4\nparam w[2]\nb ~ Bernoulli(t*ones(4)); c ~ Bernoulli(w); return [sum(b)^2, sum(b)*sum(c)], sum(c)^2"
    parsed = probrun.parse(program)
    found, right = (parsed.grad({"w": [0.2, 0.3]}, samples=40_000, seed=1, estimator=name) for name in ("fork", "enumerate"))
    for result, rows in right.gradients.items():
        for name, moments in rows.items():
            mine = found.gradients[result][name]
            assert bool(((mine.mean - moments.mean).abs() <= Z * mine.se + 1e-6).all()) and float(mine.se.max()) < 0.1


def test_random_programs() -> None:
    for seed in range(4):
        fate = tried(task(seed, 5), seed, samples=1000)
        assert not any("WRONG" in said for said in fate.values()), (seed, fate)


def test_an_expectation_has_a_first_derivative_and_no_second() -> None:
    point = torch.tensor(0.3, requires_grad=True)
    program = probrun.parse("param t\nk ~ Poisson(t); x ~ Normal(k, 1); return x*k")
    value = program.expectation({"t": point}, samples=40_000, seed=1, estimator="fork")
    (slope,) = torch.autograd.grad(value, point, create_graph=True)
    assert abs(float(slope.detach()) - 1.6) < 0.1
    with pytest.raises(probrun.ProbError, match="P0406"):
        torch.autograd.grad(slope, point)


def test_coupled_lanes_stay_together() -> None:
    """One step of a walk changes its end by 2: the spread is that of the weight, and not that of two walks."""
    walk = "param t = 0.5\ns = 0; for i in range(100) { b ~ Bernoulli(t); x ~ Normal(0, 1); s = s + 2*b - 1 + x }; return s"
    moments = probrun.parse(walk).grad(samples=2000, seed=1, estimator="fork").gradient["t"]
    assert abs(float(moments.mean) - 200) < 1e-3 and float(moments.se) < 1e-3


COUPLED = ["Poisson(3 + b)", "Binomial(5 + b, 0.3 + 0.1*b)", "Gamma(2 + b, 1)", "NegativeBinomial(3 + b, 0.3)", "Gamma(0.5 + b/9, 2)"]


@pytest.mark.parametrize("law", COUPLED)
def test_counts_and_gammas_have_a_common_part(law: str) -> None:
    """Of the difference the mean is right, and the spread less than that of two draws."""
    found = probrun.parse(f"param t = 0.5\nb ~ Bernoulli(t); k ~ {law}; return k").grad(samples=20_000, seed=1, estimator="fork")
    alone = [probrun.parse(f"k ~ {law.replace('b', str(bit))}; return k").run(samples=20_000, seed=1).value for bit in (0, 1)]
    moments, apart = found.gradient["t"], float((alone[0].sd ** 2 + alone[1].sd ** 2) ** 0.5)
    error = float((moments.se ** 2 + alone[0].se ** 2 + alone[1].se ** 2) ** 0.5)
    assert abs(float(moments.mean - alone[1].mean + alone[0].mean)) <= Z * error
    assert float(moments.sd) < 0.75 * apart


@pytest.mark.parametrize(("using", "options"), [("using fork", {}), ("", {"estimator": {"b": "fork"}})])
def test_set_for_the_only_site(using: str, options: dict[str, object]) -> None:
    found = probrun.parse(f"param t = 0.3\nb ~ Bernoulli(t) {using}\nreturn 3*b + t").grad(samples=2000, seed=1, **options)
    assert [site.estimator for site in found.sites] == ["fork"]
    assert float(found.gradient["t"].mean) == pytest.approx(4, abs=1e-4)


def test_not_where_several_runs_are_drawn_together() -> None:
    program = probrun.parse("param t = 0.3\nb ~ Bernoulli(t)\nobserve 1 ~ Normal(b, 0.7)\nreturn b")
    with pytest.raises(probrun.ProbError, match="P0402"):
        program.grad(samples=2000, seed=1, of="iwae(2)", estimator={"b": "fork"})


def test_not_beside_sites_that_are_enumerated() -> None:
    program = probrun.parse("param t = 0.3\na ~ Bernoulli(t); b ~ Bernoulli(t); return a*b")
    found = program.grad(samples=2000, seed=1, estimator={"a": "fork"})
    assert {site.name: site.estimator for site in found.sites} == {"a": "fork", "b": "score"}
    with pytest.raises(probrun.ProbError, match="does not go together") as caught:
        program.grad(estimator={"a": "fork", "b": "enumerate"})
    assert caught.value.code == "P0402"
    with pytest.raises(probrun.ProbError, match="P0401"):
        probrun.parse("param t = 0\nx ~ Normal(t, 1) using fork; return x").grad()
    with pytest.raises(probrun.ProbError, match="P0408"):
        program.grad(estimator="fork", sampler="sobol")


def test_the_same_numbers_in_any_threads() -> None:
    program = probrun.parse("param t = 0.3\nk = 0; for i in range(5) { b ~ Bernoulli(t); k = k + b }; return k^2")
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(program.grad(samples=60_000, seed=1, estimator="fork").gradient["t"].mean)
    finally:
        torch.set_num_threads(before)
    assert float(found[0]) == float(found[1])


TWO = "param t = 0.1\na ~ Bernoulli(3*t){}; b ~ Bernoulli(t){}\nreturn 2*a + b"


@pytest.mark.parametrize("mass", ["0.2", "2.58", "30"])
def test_any_masses_are_right(mass: str) -> None:
    found = probrun.parse(TWO.format(f" using fork(mass={mass})", " using fork")).grad(samples=20_000, seed=1)
    within(found, (7.0,), 0.02)
    assert [site.unusual for site in found.sites] == [{}, {}]
    again = probrun.parse(TWO.format("", " using fork")).grad(samples=20_000, seed=1, estimator={"a": f"fork(mass={mass})"})
    assert float(again.gradient["t"].mean) == float(found.gradient["t"].mean)
    jump = "param t = 0.5\nx ~ Normal(0, 1) using jump(mass={}); b ~ Bernoulli(t) using fork; return (x < t) + 2*b"
    within(probrun.parse(jump.format(mass)).grad(samples=20_000, seed=1), (2.352065,), 0.1)


def test_masses_are_positive() -> None:
    with pytest.raises(probrun.ProbError, match="a positive number"):
        probrun.parse(TWO.format(" using fork(mass=0)", "")).grad(samples=100)


def test_masses_are_learnt() -> None:
    program = probrun.parse(TWO.format("", ""))
    plain, learnt = (program.grad(samples=20_000, seed=1, among="fork", pilot=pilot) for pilot in (False, True))
    within(learnt, (7.0,), 0.02)
    assert 10 * float(learnt.gradient["t"].se) < float(plain.gradient["t"].se)
    assert [site.unusual for site in learnt.sites] == [{}, {}]
    three = probrun.parse("param t = 0.1\na ~ Bernoulli(3*t); b ~ Bernoulli(t) using fork(mass=2); c ~ Bernoulli(t)\nreturn 2*a + b + c")
    fixed = three.grad(samples=20_000, seed=1, among="fork", pilot=True)
    within(fixed, (8.0,), 0.02)
    assert fixed.sites[1].options["mass"] == 2 and 4 < float(fixed.sites[0].options["mass"]) < 6


COUNTING = [  # draws that are multiplied by 0 and count elsewhere, and some that count nowhere
    "w = zeros(3); b ~ Bernoulli(t*ones(3)); w = w + 1; y = w*b; return sum(y)^2",
    "w = zeros(3); b ~ Bernoulli(t*ones(3)); y = w*b; z = b; return sum(y + z)^2",
    "w = zeros(3); b ~ Bernoulli(t*ones(3)); b = b*w + b; return sum(b)^2",
    "w = 0; k = 0; b = 0; for i in range(3) { k = k + b; b ~ Bernoulli(t); z = b*w }; return k^2",
    "w = 0; k = 1; b ~ Bernoulli(t); if k > 2 { b = b*w }; return 3*b",
    "w = 0; k = 1; b ~ Bernoulli(t); if k > 0 { k = b }; b = b*w; return 3*b + k",
    "w = arange(3); b ~ Bernoulli(t); y = w*b; return sum(y)^2",
    "w = arange(2)*ones(2); b ~ Bernoulli(t*ones(2)); y = w*b; return sum(y)^2",
    "w = 0; k ~ Bernoulli(t); w = w + k; b ~ Binomial(2, t); b = b*w; return b",
    "w = 0; b ~ Bernoulli(t); y = w*b; x = b*w; return 2*b + y + x",
    "w = 0; v = 1; b ~ Bernoulli(t); y = w*b; x = b*v; return y + x",
    "w = 0; v = 1; b ~ Bernoulli(t); y = w*b; b = b*v; return 3*b",
    "w = 0; b ~ Bernoulli(t); y = w + b; b = w; return y + b",
    "w = 0; b ~ Bernoulli(t); y = w*b; observe 1 ~ Normal(b, 1); return y + b",
    "w = t - 0.3; b ~ Bernoulli(t); y = w*b; return y",
    "v = arange(4) % 2; s = 0; for i in range(2) { b ~ Bernoulli(t*ones(4)); b = b*v; v = v - b; s = s + sum(b)^2 }; return s",
]


@pytest.mark.parametrize("program", COUNTING)
def test_draws_that_are_multiplied_by_nothing(program: str) -> None:
    text = probrun.parse(f"param t = 0.3\n{program}")
    exact = text.grad(samples=1000, seed=1)
    assert exact.exact
    within(text.grad(samples=20_000, seed=1, estimator="fork"), (float(exact.gradient["t"].mean),), 0.1)


def test_what_is_looked_at_in_the_end_counts() -> None:
    text = probrun.parse("param t = 0.3\nw = 0; b ~ Bernoulli(t); y = w*b; return y")
    assert float(text.grad(samples=2000, seed=1, estimator="fork", of="b").gradient["t"].se) < 0.2
    assert abs(float(text.grad(samples=2000, seed=1, estimator="fork", of="b").gradient["t"].mean) - 1) < 0.5


def test_what_is_looked_at_keeps_its_derivative() -> None:
    """Whether a factor of a draw is 0 is looked at; the factor lost its own derivative: 0.054 for 0.381."""
    text = "param t = 0.3\nb ~ Bernoulli(0.3); y = b*t; n ~ Bernoulli(t); k ~ Bernoulli(t); w = y + n*k*y; return w"
    found = probrun.parse(text).grad(samples=20_000, seed=1, estimator="fork").gradient["t"]
    assert abs(float(found.mean) - (0.3 + 0.3 * 3 * 0.3**2)) <= 5 * float(found.se)


def test_other_outcomes_that_are_not_known() -> None:
    """Of a beta-binomial draw, and of a mixture: they are taken by other estimators, and `fork` is refused."""
    for law in ("BetaBinomial(5, t, 1)", "Mixture([0.5, 0.5], Poisson(t), Poisson(2*t))"):
        program = probrun.parse(f"param t = 0.5\nk ~ {law}; z ~ Normal(0, 1); return z*k > t")
        found = program.grad(samples=2000, seed=1)
        assert found.sites[0].estimator != "fork"
        with pytest.raises(probrun.ProbError, match="P0401"):
            program.grad(samples=200, estimator={"k": "fork"})
