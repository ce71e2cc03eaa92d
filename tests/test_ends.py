"""The ends of ranges, 0 and infinity included: what is called smooth there must be so, in every function, operator and density.

The walk puts arguments that come to an end (relu(x) stays at 0, clamp(x, 0, 1) at 0 and 1, inf*x jumps from end to end) into
everything there is, and looks which estimator the draw of x gets, after a run has tried the guards.  Where it is pathwise, the
number itself, worked out by NumPy on both sides of these places, must not jump there, nor run off to infinity.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.special as special
import torch

import probrun
from probrun.dsl.tables.distributions import DISTRIBUTIONS, Domain
from probrun.dsl.tables.functions import FUNCTIONS

PHI = math.exp(-0.125) / math.sqrt(2 * math.pi)  # the density of Normal(1/2, 1) at 0
BELOW = 0.5 * math.erfc(0.5 / math.sqrt(2))  # its probability of less than 0
X, XY = "x ~ Normal(theta, 1)\n", "x ~ Normal(theta, 1)\ny ~ Normal(theta, 1)\n"

# Derivatives at theta = 1/2, in closed form: of P(x < 0) it is -PHI, of E y P(x < 0) it is BELOW - PHI/2.
JUMPS = {
    XY + "return y*0^relu(x)": BELOW - PHI / 2,
    "data d = 0\n" + X + "return d^relu(x)": -PHI,
    X + "return (0*x)^relu(x)": -PHI,
    "b ~ Bernoulli(0.25)\n" + X + "return b^relu(x)": -0.75 * PHI,
    "data d = 0\n" + X + "return d^relu(-x)": PHI,
    X + "return 0^clamp(x, 0, 1)": -PHI,
    "k ~ Poisson(1)\n" + X + "return k^relu(x)*(k < 1)": -math.exp(-1) * PHI,
    X + "return exp(logpdf(Poisson(0), relu(x)))": -PHI,
    "data r = 0\n" + X + "return exp(logpdf(Poisson(r), relu(x)))": -PHI,
    X + "return exp(logpdf(Poisson(0.7), relu(x)))": -math.exp(-0.7) * PHI,
    X + "return exp(logpdf(Geometric(0.4), clamp(x, 0, 1)))": -0.4 * PHI + 0.24 * PHI,
    X + "return exp(logpdf(Bernoulli(0.4), clamp(x, 0, 1)))": -0.6 * PHI + 0.4 * PHI,
    X + "return clamp(x, 0, 1)^inf": math.exp(-0.125) / math.sqrt(2 * math.pi),  # P(x > 1), and 1 is as far from 1/2 as 0
    XY + "return y*sigmoid(inf*x)": 1 - BELOW + PHI / 2,
    "data k = 1e40\n" + XY + "return y*sigmoid(k*x)": 1 - BELOW + PHI / 2,
    "data k[2] = [1e40, 1]\n" + XY + "return y*sigmoid(k[0]*x)": 1 - BELOW + PHI / 2,
    X + "return tanh(x/0)": 2 * PHI,
    "data d = 0\n" + X + "return tanh(x/d)": 2 * PHI,
    X + "return clamp(x*inf, 0, 1)": PHI,
    X + "return atan(log(0)*x)": -math.pi * PHI,
    X + "return tanh(exp(1000*x))": PHI, X + "return tanh(exp(1000)*x)": 2 * PHI,
    X + "return 1/(1 + exp(-1e300*x))": PHI,
    X + "return tanh(1e30*x*1e30)": 2 * PHI,
    X + "return exp(-exp(x*1e39))": -PHI,
    X + "return min(max(x/0, 0), 1)": PHI,
    X + "return erf(x*10^50)": 2 * PHI,
    X + "return expm1(min(-inf*x, 0)) + x": 1 - PHI,
    "b ~ Bernoulli(0.5)\n" + X + "return where(b, atan(x/b), atan(x/b))*(1 - b)": math.pi / 2 * PHI,
    "fn f(a) { return sigmoid(a/0) }\n" + X + "return f(x)": PHI,
    X + "return cholesky([[x^2, x], [x, 2]])[1, 0]": 2 * PHI,
    XY + "return inverse([[x, y], [-y, x]])[0, 0]": math.exp(-0.25) - 2 * (1 - math.exp(-0.25)),
    X + "s = 0\nfor t in range(3) { s = s + tanh(x*inf) }\nreturn s": 6 * PHI,
}
STAY = {  # what must not be refused, nor lose its pathwise derivative, by all this
    X + "return 2^relu(x)*0 + x": 1.0,
    X + "return exp(x)^relu(x)*0 + x": 1.0,
    "data d = 3\n" + X + "return d^relu(x)*0 + x": 1.0,
    X + "return x + softmax(where([1, 0], [x, x], -inf))[1]": 1.0,
    X + "return x + 0*exp(-x^2)": 1.0,
    X + "return x/inf + x": 1.0,
    X + "return 1e38/(1e39*exp(x))*10*exp(x)*x": 1.0,  # the numbers in between are beyond float32
}


def gradient(text: str, samples: int, **options: Any) -> tuple[float, float, list[str]]:
    result = probrun.parse("param theta = 0.5\n" + text).grad(samples=samples, seed=7, **options)
    found = result.gradient["theta"]
    return float(found.mean), float(found.se), [site.estimator for site in result.sites]


@pytest.mark.parametrize("text", JUMPS)
def test_jumps_at_the_ends(text: str) -> None:
    mean, error, _ = gradient(text, 4000, pilot=False)
    assert abs(mean - JUMPS[text]) < 5 * error + 1e-6 and error < 0.06, (mean, error)


@pytest.mark.parametrize("text", STAY)
def test_what_stays_pathwise(text: str) -> None:
    mean, error, estimators = gradient(text, 2000, pilot=False)
    assert abs(mean - STAY[text]) < 5 * error + 1e-5 and "rsample" in estimators, (mean, error)


@pytest.mark.parametrize("text", [
    "x ~ Normal(0, 1)\nreturn sigmoid(inf*(x - theta))", "u ~ Uniform(-1, theta)\nreturn tanh(u/0)",
    "u ~ Uniform(-1, theta)\nreturn 0^relu(u - 0.1*u^3)", "data d = 0\nx ~ Normal(0, 1)\nreturn d^relu(x - theta)",
])
def test_jumps_that_nothing_can_carry(text: str) -> None:
    with pytest.raises(probrun.ProbError) as caught:
        gradient(text, 500, pilot=False)
    assert caught.value.code == "P0403" and caught.value.line is not None and caught.value.hint


def test_zero_to_the_zero_has_no_derivative_in_the_exponent() -> None:
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse("param t = 0\nb ~ Bernoulli(0.5)\nreturn b^t").grad(samples=10, seed=1)
    assert caught.value.code == "P0503"


@pytest.mark.parametrize("data", [1e40, [1e40, 1.0], 1e-50])
def test_data_beyond_float32(data: Any) -> None:
    """1e40/1e39 is 10, and a float32 would have made it infinite."""
    index = "[0]" if isinstance(data, list) else ""
    shape = "[2]" if isinstance(data, list) else ""
    size = data[0] if isinstance(data, list) else data
    program = probrun.parse(f"param t = 2\ndata k{shape}\nx ~ Normal(t, 1)\nreturn x/(k{index}/{size}) + x*k{index}/{size}")
    result = program.grad(data={"k": data}, samples=100, seed=1)
    assert float(result.gradient["t"].mean) == pytest.approx(2.0, rel=1e-6)
    assert float(program.run({}, data={"k": data}, samples=4000, seed=1).value.mean) == pytest.approx(4.0, abs=0.2)


# ------------------------------------------------------------------------------------------------ second derivatives
Z = "z ~ Normal(theta, 1)\n"
BENT = [
    "sqrt(z^2)", "exp(-sqrt(z^2))", "(z^4)^.25", "(z*z)^0.5", "sqrt(z*z)", "sqrt(2*z*z)", "sqrt(dot([z, z], [z, z]))",
    "log(1 + sqrt(z^4))", "sqrt(sum([z, 2*z]^2))", "sqrt(1 - cos(z))", "bent(z)", "max(z, -z)", "sqrt(z^2 + theta - 0.5)",
]
STRAIGHT = {  # second derivatives at theta = 1/2: of E f(z) that of E f(theta + e), by quadrature over e
    "sqrt(1 + z^2)": lambda z: np.sqrt(1 + z**2), "sqrt(1 + z*z)": lambda z: np.sqrt(1 + z**2), "z^4": lambda z: z**4,
    "(z^2)^1.5": lambda z: np.abs(z) ** 3, "sqrt(exp(z))": lambda z: np.exp(z / 2), "(2 + sin(z))^0.5": lambda z: np.sqrt(2 + np.sin(z)),
    "sqrt(d + z^2)": lambda z: np.sqrt(4 + z**2), "sqrt((d - 3)^2 + z*z)": lambda z: np.sqrt(1 + z**2),
}


def second(expression: str, theta: float = 0.5) -> float:
    place = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    program = probrun.parse(
        f"param theta\ndata d = 4\n{Z}return {expression}", functions={"bent": probrun.Function(torch.relu, smooth="kink")},
    )
    value = program.expectation({"theta": place}, samples=20_000, seed=3, dtype="float64")
    (first,) = torch.autograd.grad(value, place, create_graph=True)
    return float(torch.autograd.grad(first, place)[0])


@pytest.mark.parametrize("expression", BENT)
def test_hidden_kinks_have_no_second_derivative(expression: str) -> None:
    with pytest.raises(probrun.ProbError) as caught:
        second(expression)
    assert caught.value.code == "P0406" and caught.value.line == 4


@pytest.mark.parametrize("expression", STRAIGHT)
def test_second_derivatives_of_what_has_no_kink(expression: str) -> None:
    u = np.linspace(-9, 9, 40_001)
    weight = np.exp(-u * u / 2) / math.sqrt(2 * math.pi) * (u[1] - u[0])
    exact = float((STRAIGHT[expression](0.5 + u) * (u * u - 1) * weight).sum())
    assert second(expression) == pytest.approx(exact, abs=0.05 * max(1.0, abs(exact)))


def test_a_parameter_keeps_a_root_away_from_0_unless_it_is_0() -> None:
    assert second("sqrt(theta^2 + z^2)") == pytest.approx(0.908, abs=0.03)
    with pytest.raises(probrun.ProbError):
        second("sqrt(theta^2 + z^2)", 0.0)


# ------------------------------------------------------------------------------------------------------- the walk
Array = Any


@dataclass(frozen=True)
class End:
    """An argument that comes to an end of its range where x is at one of `places`."""

    text: str
    value: Callable[[Array], Array]
    places: tuple[float, ...] = (0.0,)


ENDS = (
    End("relu(x)", lambda x: np.maximum(x, 0)), End("(-relu(x))", lambda x: -np.maximum(x, 0)),
    End("(1 - relu(x))", lambda x: 1 - np.maximum(x, 0)), End("clamp(x, 0, 1)", lambda x: np.clip(x, 0, 1), (0.0, 1.0)),
    End("abs(x)", np.abs), End("x^2", np.square), End("(1 + x*x)", lambda x: 1 + x * x), End("(inf*x)", lambda x: np.inf * x),
    End("(x/0)", lambda x: x / np.zeros_like(x)), End("(1/x)", lambda x: 1 / x), End("(1e200*x)", lambda x: 1e200 * x),
)
OTHERS: dict[str, float] = {"0": 0.0, "1": 1.0, "2": 2.0, "(-1)": -1.0, "0.5": 0.5, "inf": np.inf, "(-inf)": -np.inf}
NUMPY: dict[str, Callable[..., Array]] = {
    "exp": np.exp, "log": np.log, "log1p": np.log1p, "expm1": np.expm1, "sqrt": np.sqrt, "abs": np.abs, "sign": np.sign,
    "floor": np.floor, "ceil": np.ceil, "round": np.round, "sin": np.sin, "cos": np.cos, "tan": np.tan, "atan": np.arctan,
    "tanh": np.tanh, "sinh": np.sinh, "cosh": np.cosh, "sigmoid": special.expit, "logit": special.logit,
    "softplus": lambda x: np.logaddexp(x, 0), "relu": lambda x: np.maximum(x, 0), "erf": special.erf, "lgamma": special.gammaln,
    "digamma": special.digamma, "min": np.minimum, "max": np.maximum, "sum": np.add, "mean": lambda a, b: (a + b) / 2,
    "prod": np.multiply, "any": lambda a, b: ((a != 0) | (b != 0)) * 1.0, "all": lambda a, b: ((a != 0) & (b != 0)) * 1.0,
    "argmax": lambda a, b: (b > a) * 1.0, "where": lambda a, b: np.where(a != 0, b, 2.0), "clamp": lambda a, b: np.clip(a, b, 2.0),
    "softmax": lambda a, b: special.softmax(np.stack([a, b]), axis=0)[0], "dot": np.multiply, "matmul": np.multiply,
    "logsumexp": np.logaddexp, "sort": np.minimum, "cumsum": np.add,
    "normcdf": special.ndtr, "argmin": lambda a, b: (b < a) * 1.0, "argsort": lambda a, b: (b < a) * 1.0, "cumprod": np.multiply,
    "var": lambda a, b: (a - b) ** 2 / 2, "std": lambda a, b: np.abs(a - b) / np.sqrt(2), "outer": np.multiply,
    "quantile": lambda a, b: np.minimum(a, b) + 0.25 * np.abs(a - b),
    "inverse": lambda a, b: 1 / (a + b), "solve": lambda a, b: b / a, "logdet": lambda a, b: np.log(a + b),
    "cholesky": lambda a, b: np.sqrt(a + b),
}
FORMS = {  # how a function of two numbers is written that does not combine its arguments by itself
    "argmax": "argmax([{0}, {1}])", "softmax": "softmax([{0}, {1}])[0]", "logsumexp": "logsumexp([{0}, {1}])",
    "sort": "sort([{0}, {1}])[0]", "cumsum": "cumsum([{0}, {1}])[1]", "dot": "dot([{0}], [{1}])", "matmul": "matmul([{0}], [{1}])",
    "where": "where({0}, {1}, 2)", "clamp": "clamp({0}, {1}, 2)", "argmin": "argmin([{0}, {1}])", "argsort": "argsort([{0}, {1}])[0]",
    "cumprod": "cumprod([{0}, {1}])[1]", "var": "var([{0}, {1}])", "std": "std([{0}, {1}])", "outer": "outer([{0}], [{1}])[0, 0]",
    "quantile": "quantile([{0}, {1}], 0.25)", "inverse": "inverse([[{0} + {1}]])[0, 0]", "solve": "solve([[{0}]], [{1}])[0]",
    "logdet": "logdet([[{0} + {1}]])", "cholesky": "cholesky([[{0} + {1}]])[0, 0]",
}
OPERATORS: dict[str, Callable[[Array, Array], Array]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "%": np.mod, "^": np.power,
}
SHAPES = {"length", "zeros", "ones", "arange", "stack", "concat", "transpose", "diag"}  # arrays are made and put together, nothing is calculated


@dataclass(frozen=True)
class Case:
    """An expression of x, and the same by NumPy."""

    text: str
    value: Callable[[Array], Array]
    places: tuple[float, ...]


def cases() -> Iterator[Case]:
    """Every function and operator with every end, in every place, bare and inside what hides infinities."""
    for name, end in itertools.product(FUNCTIONS, ENDS):
        if name in SHAPES:
            continue
        row = FUNCTIONS[name]
        if row.most == 1 and name not in FORMS:
            yield Case(f"{name}({end.text})", lambda x, f=NUMPY[name], e=end: f(e.value(x)), end.places)
            continue
        form = FORMS.get(name, name + "({0}, {1})")
        for other, number in OTHERS.items():
            yield Case(
                form.format(end.text, other), lambda x, f=NUMPY[name], e=end, c=number: f(e.value(x), np.full_like(x, c)), end.places,
            )
            yield Case(
                form.format(other, end.text), lambda x, f=NUMPY[name], e=end, c=number: f(np.full_like(x, c), e.value(x)), end.places,
            )
    for symbol, end, (other, number) in itertools.product(OPERATORS, ENDS, OTHERS.items()):
        f = OPERATORS[symbol]
        yield Case(f"({end.text}){symbol}{other}", lambda x, f=f, e=end, c=number: f(e.value(x), np.full_like(x, c)), end.places)
        yield Case(f"{other}{symbol}({end.text})", lambda x, f=f, e=end, c=number: f(np.full_like(x, c), e.value(x)), end.places)


def hidden(case: Case, name: str) -> Case:
    """The case inside a function that makes a number of an infinity."""
    return Case(f"{name}({case.text})", lambda x: NUMPY[name](case.value(x)), case.places)


def carried(text: str, runs: int = 48) -> bool | None:
    """Whether x is drawn pathwise, after the guards; None where the program is refused, or does not depend on x."""
    try:
        result = probrun.parse(f"param theta = 0.3\nx ~ Normal(theta, 1)\nreturn {text}").grad(samples=runs, seed=5, pilot=False)
    except probrun.ProbError:
        return None
    return result.sites[0].estimator == "rsample"


def jumps(case: Case) -> str:
    """What is wrong with calling it pathwise, by its numbers (an empty string where nothing is)."""
    with np.errstate(all="ignore"):
        for place in case.places:
            near, far = (place + width * np.array([-1.0, 1.0]) for width in (1e-13, 1e-7))
            left, right = case.value(near)
            step, wide = right - left, np.subtract(*case.value(far))
            if np.isfinite(step) and abs(step) > 1e-3 and not abs(step) < 1e-3 * abs(wide):  # else it is only steep
                return f"jumps from {left:.4g} to {right:.4g} at {place}"
            # next to the place, against farther away: what goes to infinity has no integrable derivative
            for close, away in zip((left, right), case.value(far), strict=True):
                if np.isfinite(away) and (not np.isfinite(close) or abs(close) > abs(away) + 3):
                    return f"goes to {close:.4g} at {place}"
    return ""


def wrong(case: Case) -> str:
    """An empty string, or what is called smooth or a kink and is not."""
    return (f"{case.text} {trouble}" if trouble else "") if (trouble := jumps(case)) and carried(case.text) else ""


ALL = list(cases())


@pytest.mark.parametrize("part", range(4))
def test_what_is_called_smooth_at_the_ends_is_so(part: int) -> None:
    """A sample of the walk: one in four of its cases."""
    chosen = [hidden(case, "atan") if number % 3 else case for number, case in enumerate(ALL)][part::16]
    assert [found for case in chosen if (found := wrong(case))] == []


# ---------------------------------------------------------------------------------------------------- log densities
TYPICAL = {
    Domain.REAL: "0.3", Domain.EXTENDED: "2", Domain.POSITIVE: "1.3", Domain.NONNEGATIVE: "0.7", Domain.UNIT: "0.4",
    Domain.UNIT_ABOVE_ZERO: "0.4", Domain.UNIT_BELOW_ONE: "0.4", Domain.COUNT: "3",
}
PARTICULAR = {
    ("Uniform", "low"): "(-2)", ("Uniform", "high"): "2", ("Triangular", "low"): "(-2)", ("Triangular", "high"): "2",
    ("Triangular", "peak"): "0.4", ("TruncatedNormal", "low"): "(-2)",
}
CLOSED = {Domain.UNIT: ("0", "1"), Domain.NONNEGATIVE: ("0",), Domain.UNIT_ABOVE_ZERO: ("1",), Domain.UNIT_BELOW_ONE: ("0",)}


def densities() -> Iterator[tuple[str, tuple[float, ...]]]:
    """Log densities, bare and as densities, with an end in each argument, or in the value with the arguments inside or at an end."""
    for row in DISTRIBUTIONS.values():
        parameters = [p for p in row.parameters if p.name not in row.alternatives or p.name == row.alternatives[0]]
        if row.event or any(p.domain not in TYPICAL for p in parameters):
            continue
        usual = {p.name: PARTICULAR.get((row.name, p.name), TYPICAL[p.domain]) for p in parameters}
        forms = ("logpdf", "exp(logpdf", *(("cdf", "exp(logsf") if row.cumulative else ()))
        for end, form in itertools.product(ENDS, forms):
            outer = form + "({})" + ")" * form.count("(")
            for p, value in itertools.product(parameters, ("0", "1") if row.discrete else ("0.6", "0.3")):
                if p.differentiable:
                    arguments = ", ".join((usual | {p.name: end.text}).values())
                    yield outer.format(f"{row.name}({arguments}), {value}"), end.places
            for p, argument in [(q, text) for q in parameters for text in (usual[q.name], *CLOSED.get(q.domain, ()))]:
                arguments = ", ".join((usual | {p.name: argument}).values())
                yield outer.format(f"{row.name}({arguments}), {end.text}"), end.places


def jumps_in_runs(text: str, places: tuple[float, ...]) -> str:
    """The same as `jumps`, by running the expression with x as data."""
    program = probrun.parse(f"data x\nreturn {text}")

    def value(x: Array) -> Array:
        found = []
        for number in x:
            try:
                found.append(float(program.run({}, data={"x": float(number)}, samples=1, seed=1, dtype="float64").value.mean))
            except probrun.ProbError:
                found.append(math.nan)
        return np.array(found)

    return jumps(Case(text, value, places))


DENSITIES = list(densities())


@pytest.mark.parametrize("part", range(2))
def test_what_is_called_smooth_in_a_log_density_is_so(part: int) -> None:
    found = []
    for text, places in DENSITIES[part::40]:
        if carried(text) and (trouble := jumps_in_runs(text, places)):
            found.append(f"{text} {trouble}")
    assert found == []
