"""A derivative that is small beside others is a derivative: only the structure of the program says that one is absent."""

from __future__ import annotations

import random

import pytest
import torch

import probrun

# of th[2] = [1, 1] in the result, which is linear in th or nearly so
MIXED = {
    "v = [1e6*th[0] + th[1], 1e6*th[1]]\nz ~ Normal(v, 1)\nreturn z[0]": [1e6, 1.0],
    "v = th*1e6 + sum(th)\nz ~ Normal(v, 1)\nreturn z[0]": [1e6 + 1, 1.0],
    "x = stack([1e5, 1], [0, 1e5])\nz ~ Normal(matmul(x, th), 1)\nreturn z[0]": [1e5, 1.0],
    "z ~ Normal(cumsum(th*[1, 1e6]), 1)\nreturn z[1] - 1e6*th[1]": [1.0, 0.0],
    "v = th*1e7\nv[0] = v[0] + th[1]\nz ~ Normal(v, 1)\nreturn z[0]": [1e7, 1.0],
    "z ~ Normal(1e6*th + mean(th), 1)\nreturn z[1]": [0.5, 1e6 + 0.5],
    "z ~ Normal(th*1e8 + exp(th[1] - 1), 1)\nreturn z[0]": [1e8, 1.0],
    "b = 1e6*th + dot(th, [0, 1])\nz ~ Normal(0, 1)\nreturn (b*(1 + 0*z))[0]": [1e6, 1.0],
    "z ~ Normal(concat(1e6*th[0] + th[1], th[1]), 1)\nreturn z[0]": [1e6, 1.0],
}


@pytest.mark.parametrize("body", MIXED)
def test_beside_a_large_one(body: str) -> None:
    result = probrun.parse(f"param th[2] = [1, 1]\n{body}").grad(samples=200, seed=1, pilot=False)
    gradient = result.gradient["th"]
    torch.testing.assert_close(gradient.mean, torch.tensor(MIXED[body], dtype=torch.float64), rtol=1e-5, atol=1e-9)
    assert float(gradient.se.max()) < 1e-3


@pytest.mark.parametrize("seed", range(8))
def test_linear_maps_of_all_sizes(seed: int) -> None:
    """v = A th by a chain of operations with entries of A from 1e-9 to 1e9: the gradient of z[i] is row i of A."""
    chance = random.Random(seed)
    size = chance.choice([2, 3, 5])
    matrix = torch.eye(size, dtype=torch.float64)
    program = ["v = th"]
    for _ in range(chance.randint(1, 4)):
        factors = [chance.choice([1.0, -2.0, 0.0, 1e-3, 1e3]) * 10.0 ** chance.randint(-2, 2) for _ in range(size)]
        kind = chance.choice(["scale", "sum", "cumsum", "store", "matmul"])
        match kind:
            case "scale":
                program.append(f"v = v*{factors}")
                step = torch.diag(torch.tensor(factors, dtype=torch.float64))
            case "sum":
                program.append(f"v = v + {factors[0]}*sum(v)")
                step = torch.eye(size, dtype=torch.float64) + factors[0]
            case "cumsum":
                program.append("v = cumsum(v)")
                step = torch.ones(size, size, dtype=torch.float64).tril()
            case "store":
                i, j = chance.randrange(size), chance.randrange(size)
                program.append(f"v[{i}] = v[{i}] + {factors[0]}*v[{j}]")
                step = torch.eye(size, dtype=torch.float64)
                step[i, j] += factors[0]
            case _:
                rows = [[chance.choice([0.0, 1.0, 1e-4, 1e4]) for _ in range(size)] for _ in range(size)]
                program.append(f"v = matmul(stack({', '.join(map(str, rows))}), v)")
                step = torch.tensor(rows, dtype=torch.float64)
        matrix = step @ matrix
    lines = [f"param th[{size}] = {[1.0] * size}", *program, "z ~ Normal(v, 1)", "return z"]
    result = probrun.parse("\n".join(lines)).grad(samples=20, seed=seed, pilot=False, dtype="float64")
    torch.testing.assert_close(result.gradient["th"].mean, matrix, rtol=1e-12, atol=0.0)


def test_many_entries_one_by_one() -> None:
    """A thousand entries, each its own: the structure says so, no matrix of a million numbers is made."""
    a = torch.linspace(0.5, 2, 1000, dtype=torch.float64)
    result = probrun.parse("param a[1000]\nz ~ Normal(a*exp(-a) + sqrt(a), 1)\nreturn sum(z)").grad({"a": a}, samples=50, seed=1)
    exact = (1 - a) * torch.exp(-a) + 0.5 / a.sqrt()
    torch.testing.assert_close(result.gradient["a"].mean, exact, rtol=1e-5, atol=1e-6)
