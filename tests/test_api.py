"""probrun from Python, as CONTRACT.md promises it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest
import torch

import probrun

ROOT = Path(__file__).resolve().parent.parent
SEED_PROGRAM = "param theta = 2; z ~ Normal(theta, 2); y = theta^2 * (z + 4); return y"


@pytest.fixture
def program() -> probrun.Program:
    return probrun.parse(SEED_PROGRAM)


def test_the_contract(program: probrun.Program) -> None:
    result = program.grad({"theta": 2.0}, samples=10_000, seed=0)
    gradient = result.gradient["theta"]
    assert isinstance(gradient.mean, torch.Tensor) and gradient.mean.shape == ()
    assert abs(gradient.mean - 28) <= 5 * gradient.se
    assert abs(result.value.mean - 24) <= 5 * result.value.se
    (site,) = program.explain()
    assert (site.name, site.estimator) == ("z", "rsample") and site.reason
    answer = result.to_dict()
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert answer["gradient"]["theta"]["mean"] == float(gradient.mean)


def test_load() -> None:
    path = ROOT / "examples" / "reparam.prob"
    assert probrun.load(path).parameters == probrun.load(str(path)).parameters == ("theta",)
    with pytest.raises(FileNotFoundError):
        probrun.load("no/such/file.prob")
    with pytest.raises(probrun.ProbError, match="directory"):
        probrun.load(ROOT)


def test_several_results_are_keyed() -> None:
    result = probrun.parse("param a = 2; x = a; y = a^2; return x, y, a^3").grad()
    assert set(result.value) == set(result.gradient) == {"x", "y", "result3"}
    assert float(result.gradient["result3"]["a"].mean) == 12
    assert float(result.gradient["result3"]["a"].se) == 0


@pytest.mark.parametrize("form", [
    lambda x: x, lambda x: numpy.array(x), lambda x: torch.tensor(x), lambda x: numpy.array(x, dtype="float32"),
])
def test_values_in_every_form(form) -> None:
    program = probrun.parse("param m[d]; data x[n, d]; return sum(matmul(x, m))")
    result = program.grad({"m": form([1.0, 2.0])}, data={"x": form([[1.0, 2.0], [3.0, 4.0]])}, samples=10)
    assert result.gradient["m"].mean.tolist() == [4, 6]


def test_options(program: probrun.Program) -> None:
    assert program.grad(estimator="score", samples=500).sites[0].estimator == "score"
    assert program.grad(estimator={"z": "score"}, samples=500).sites[0].estimator == "score"
    assert program.grad(among=["score"], samples=500).sites[0].estimator == "score"
    assert program.grad(among="score", samples=500).sites[0].estimator == "score"
    assert program.grad(dtype=torch.float64, samples=500).dtype == "float64"
    assert float(program.grad(of="z", samples=500).gradient["theta"].mean) == 1
    result = program.grad(target_se=0.5, samples=10**6)
    assert result.reached and result.gradient["theta"].se <= 0.5
    seen = []
    program.grad(samples=100_000, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (100_000, 100_000)


def test_seeds(program: probrun.Program) -> None:
    first, again = program.grad(seed=7), program.grad(seed=7)
    assert first.gradient["theta"].mean == again.gradient["theta"].mean
    torch.manual_seed(0)
    before = torch.get_rng_state()
    program.grad(seed=7)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("options", [
    {"samples": 0}, {"samples": 2.5}, {"samples": True}, {"seed": -1}, {"seed": "x"}, {"dtype": "int8"}, {"tau": 0},
    {"tau": float("nan")}, {"target_se": -1}, {"among": "nonsense"}, {"estimator": "nonsense"}, {"estimator": "gumbel("},
    {"estimator": {"nowhere": "score"}}, {"of": "nothing"}, {"device": "nonsense"},
    {"data": {"x": 1}}, {"estimator": {"z": "gumbel"}},
])
def test_nonsense_is_a_prob_error(program: probrun.Program, options: dict[str, object]) -> None:
    with pytest.raises(probrun.ProbError) as caught:
        program.grad(**options)
    assert caught.value.code.startswith("P") and caught.value.message


@pytest.mark.parametrize("value", ["x", None, {}, [1, 2], [[1], [1, 2]], float("nan"), float("inf"), object(), 1j])
def test_values_that_make_no_sense(program: probrun.Program, value: object) -> None:
    with pytest.raises(probrun.ProbError):
        program.grad({"theta": value}, samples=10)


def test_errors_know_their_place() -> None:
    with pytest.raises(probrun.ProbError) as caught:
        probrun.parse("param theta = 1\ny = thetta\nreturn y", name="a.prob")
    error = caught.value
    assert (error.code, error.file, error.line, error.column) == ("P0201", "a.prob", 2, 5)
    assert "theta" in (error.hint or "") and " --> a.prob:2:5" in str(error)


def test_run(program: probrun.Program) -> None:
    result = program.run(samples=5000, seed=0, of="z")
    assert set(result.value) == {"y", "z"}
    assert abs(result.value["z"].mean - 2) <= 5 * result.value["z"].se
    assert result.draws["z"].shape == (5000,)
    assert abs(result.quantiles("z")["50"] - 2) < 0.2
    assert probrun.parse("x ~ Normal(0, 1); param a = 1; return x").run(samples=10).samples == 10
    assert probrun.parse("param a = 1; return a^2").run().value.se == 0


# ------------------------------------------------------------------------------------------------- expectation
def test_expectation_in_a_larger_graph(program: probrun.Program) -> None:
    theta = torch.tensor(2.0, requires_grad=True)
    loss = program.expectation({"theta": theta * 1.0}, samples=20_000, seed=0)
    assert loss.shape == () and abs(float(loss.detach()) - 24) < 1.5
    (3 * loss).backward()
    assert theta.grad is not None and abs(float(theta.grad) - 84) < 6


def test_expectation_of_a_score_site_twice() -> None:
    program = probrun.parse("param theta = 0.3; b ~ Bernoulli(theta); return theta * b")
    theta = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    value = program.expectation({"theta": theta}, samples=200_000, seed=0, unbiased=True, dtype="float64")
    (first,) = torch.autograd.grad(value, theta, create_graph=True)
    (second,) = torch.autograd.grad(first, theta)
    assert abs(float(value.detach()) - 0.09) < 0.005
    assert abs(float(first.detach()) - 0.6) < 0.03
    assert abs(float(second) - 2) < 0.15


def test_expectation_of_several_results() -> None:
    program = probrun.parse("param a = 2; x = a; y = [a, a^2]; return x, y")
    values = program.expectation({"a": 2.0}, samples=10)
    assert set(values) == {"x", "y"} and values["y"].tolist() == [2, 4]


def test_training() -> None:
    program = probrun.parse("param m = 3; param s = 0; z ~ Normal(m, exp(s)); return (z - 1)^2")
    m, s = torch.tensor(3.0, requires_grad=True), torch.tensor(0.0, requires_grad=True)
    optimiser = torch.optim.Adam([m, s], lr=0.1)
    for step in range(100):
        optimiser.zero_grad()
        program.expectation({"m": m, "s": s}, samples=100, seed=step).backward()
        optimiser.step()
    assert abs(m.item() - 1) < 0.3 and s.item() < -1


# ---------------------------------------------------------------------------------------------- own functions
def test_own_functions() -> None:
    source = "param theta = 0.5; x ~ Normal(theta, 1); y = mine(x); return y"
    for smooth, estimator in ((True, "rsample"), ("kink", "rsample"), (False, "score")):
        program = probrun.parse(source, functions={"mine": probrun.Function(lambda x: x**2, smooth=smooth)})
        assert program.explain()[0].estimator == estimator
        gradient = program.grad(samples=20_000, seed=0).gradient["theta"]
        assert abs(gradient.mean - 1) <= 5 * gradient.se
    with pytest.raises(probrun.ProbError):
        probrun.parse(source, functions={"mine": lambda x: x})  # type: ignore[dict-item]


def test_a_networks_weights_are_reached() -> None:
    layer = torch.nn.Linear(3, 1)
    program = probrun.parse(
        "param m[3] = 0; x ~ Normal(m, 1); return net(x)",
        functions={"net": probrun.Function(lambda x: layer(x)[:, 0], smooth=True)},
    )
    program.expectation({"m": [0.0, 0, 0]}, samples=100, seed=0).backward()
    assert layer.weight.grad is not None and layer.weight.grad.abs().sum() > 0
    gradient = program.grad(samples=100, seed=0).gradient["m"].mean
    assert torch.allclose(gradient.float(), layer.weight.detach()[0], atol=1e-5)


def test_magic(capfd: pytest.CaptureFixture[str]) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "probrun")
    shell.run_cell_magic("prob", "grad -n 1000 --seed 0 -p theta=2", "z ~ Normal(theta, 2)\ny = theta^2 * (z + 4)\n")
    assert "d/dtheta" in capfd.readouterr().out
    shell.run_cell_magic("prob", "explain", "z ~ Normal(theta, 2)\n")
    assert "theta -> z" in capfd.readouterr().out
