"""Arrays that are written at places that differ from lane to lane: in place, and the numbers are those of copies."""

from __future__ import annotations

import pytest
import torch

import probrun
from probrun.runtime.machine import storing

BEGIN = "param t = 0.8\nx = zeros(5)\nfor i in range(8) {\nu ~ Uniform(0, 5)\nw ~ Uniform(0, 5)\ne ~ Normal(t, 1)\nk = floor(u)\nj = floor(w)\n"
SAME = {
    "written and read": BEGIN + "x[k] = t*x[j] + sin(e)\n}\nreturn sum(x^2)",
    "several results": BEGIN + "x[k] = t*x[j] + sin(e)\n}\nreturn sum(x^2), x[0]*x[1], x",
    "in a branch": BEGIN + "if u > 2 { x[k] = t*x[j] + e } else { x[j] = x[k]*e }\n}\nreturn sum(x^2)",
    "on one side only": BEGIN + "y = 1\nif u > 2 { x[k] = t*x[j] + e\ny = sum(x) }\n}\nreturn sum(x^2)*y",
    "at fixed places too": BEGIN + "x[k] = x[j] + e\nx[0] = x[1]*e\nif e > 1 { x[2] = e } else { x[k] = x[2] }\n}\nreturn sum(x^2)",
    "a copy stays what it is": BEGIN + "y = x\nx[k] = y[j]*t + e\nx[j] = y[k]*x[k]\nz = x\nx[0] = e\n}\nreturn sum(x*y + z^2)",
    "begun anew": BEGIN + "x[k] = x[j] + e\nx = x*t\nx[j] = e\n}\nreturn sum(x^2)",
    "lanes that leave": "param t = 0.8\nx = ones(5)*t\ng = 1\nwhile g {\nu ~ Uniform(0, 5)\ne ~ Normal(t, 1)\nx[floor(u)] = x[0]*e\n"
    "g = u < 4\n}\nreturn sum(x^2)",
    "a random number of rounds": "param t = 0.8\nx = ones(5)*t\nn ~ Poisson(3)\nfor i in range(n) {\nu ~ Uniform(0, 5)\n"
    "x[floor(u)] = x[i % 5]*t\n}\nreturn sum(x^2)",
    "lanes that return": BEGIN + "x[k] = x[j]*t + e\nif e > 2 { return x[k] }\n}\nreturn sum(x^2)",
    "lanes that are split": "param p = 0.4\nparam t = 0.8\nx = ones(3)*t\nfor i in range(3) {\nu ~ Uniform(0, 3)\n"
    "b ~ Bernoulli(p) using enumerate\nx[floor(u)] = x[b]*t + b\n}\nreturn sum(x^2)",
    "split in a branch": "param p = 0.4\nparam t = 0.8\nx = ones(3)*t\nfor i in range(3) {\nu ~ Uniform(0, 3)\nx[floor(u)] = t*i\n"
    "if u > 1 { b ~ Bernoulli(p) using enumerate\nx[floor(u)] = x[b]*t + b }\n}\nreturn sum(x^2)",
    "by a draw that is summed over": "param p = 0.4\nparam t = 0.8\nx = ones(3)*t\nfor i in range(3) {\nb ~ Bernoulli(p) using enumerate\n"
    "x[b] = x[2 - b]*t + i\n}\nreturn sum(x^2)",
    "two axes": "param t = 0.8\nx = ones(3, 4)*t\nfor i in range(6) {\nu ~ Uniform(0, 3)\nw ~ Uniform(0, 4)\ne ~ Normal(t, 1)\nk = floor(u)\n"
    "j = floor(w)\nx[k, j] = x[2 - k, 3 - j]*e\nx[k, 0] = e\nx[1] = x[k]*t\nx[0:2, j] = [e, t]\nx[k, 1:3] = x[0, 1:3]*e\n}\nreturn sum(x^2)",
    "vectors of places": BEGIN + "x[k] = t*x[j] + e\nx[j] = sum(x[[k, j, k]])\n}\nreturn sum(x^2)",
    "in a function": "param t = 0.8\nfn f(x, k) {\nx[k] = x[0]*t\ny = x\ny[k] = sum(x)\nreturn y\n}\nx = ones(4)\nfor i in range(4) {\n"
    "u ~ Uniform(0, 4)\nx = f(x, floor(u))\n}\nreturn sum(x)",
    "truth values": "param t = 0.8\nx = zeros(4) > 1\ns = 0\nfor i in range(5) {\nu ~ Uniform(0, 4)\nz ~ Normal(t, 1)\nx[floor(u)] = u > 1\n"
    "s = s + z*sum(x)\nx[3] = 2*z\nx[floor(u)] = u > 2\n}\nreturn s + sum(x)",
    "scores": "param r = 2\nx = zeros(4)\nfor i in range(5) {\nn ~ Poisson(r)\nk = n % 4\nx[k] = x[3 - k] + n\n}\nreturn sum(x^2)",
    "numbers that knew no derivative": BEGIN + "x[k] = u\nif i > 4 { x[j] = x[k]*e }\n}\nreturn sum(x^2)",
}


def copies(patch: pytest.MonkeyPatch) -> None:
    """What is written at such places is written into a copy."""
    patch.setattr(storing, "observed", lambda: True)


@pytest.mark.parametrize("name", SAME)
def test_the_numbers_are_those_of_copies(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> list[float]:
        options = {"samples": 200, "seed": 5, "dtype": torch.float64}
        found = probrun.parse(SAME[name]).grad(pilot=False, **options)
        drawn = probrun.parse(SAME[name]).run(**options)
        moments = [*found.values.values(), *found.gradient.values()] if len(found.results) == 1 else []
        if not moments:
            moments = [part for parts in found.gradients.values() for part in parts.values()]
        every = [*moments, *drawn.values.values()]
        return [number for part in every for number in torch.cat([part.mean.reshape(-1), part.se.reshape(-1)]).tolist()]

    in_place = ask()
    copies(monkeypatch)
    assert in_place == pytest.approx(ask(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ["written and read", "in a branch", "at fixed places too"])
def test_second_derivatives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = SAME[name].replace("if e > 1", "if u > 1")

    def ask() -> list[float]:
        theta = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
        value = probrun.parse(text).expectation({"t": theta}, samples=50, seed=2)
        (first,) = torch.autograd.grad(value, theta, create_graph=True)
        (second,) = torch.autograd.grad(first, theta, create_graph=True)
        (third,) = torch.autograd.grad(second, theta)
        return [float(part.detach()) for part in (value, first, second, third)]

    in_place = ask()
    copies(monkeypatch)
    assert in_place == pytest.approx(ask(), rel=1e-9)


def test_derivatives_twice_over_one_graph() -> None:
    """What goes back along the array is not what went back the time before."""
    theta = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    value = probrun.parse(SAME["written and read"]).expectation({"t": theta}, samples=50, seed=2)
    first = torch.autograd.grad(value, theta, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(value, theta)[0], first)


@pytest.mark.parametrize("branch", [False, True])
def test_numbers_that_are_touched_grow_with_the_rounds(branch: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as many rounds, in an array twice as long, copy twice as much."""

    def copied(rounds: int) -> int:
        total = 0
        clone = torch.Tensor.clone

        def counted(value: torch.Tensor, **options: object) -> torch.Tensor:
            nonlocal total
            total += value.numel()
            return clone(value, **options)

        write = "x[floor(u)] = t*x[floor(w)] + e"
        body = f"if u > w {{ {write} }}" if branch else write
        text = f"param t = 0.8\nx = zeros({rounds})\nfor i in range({rounds}) {{\nu ~ Uniform(0, {rounds})\nw ~ Uniform(0, {rounds})\n"
        program = probrun.parse(text + f"e ~ Normal(t, 1)\n{body}\n}}\nreturn sum(x)")
        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "clone", counted)
            program.grad(samples=4, seed=1, pilot=False)
        return total

    few, many = copied(40), copied(80)
    assert many < 2.6 * few, (few, many)



@pytest.mark.parametrize(("text", "value", "slope"), [
    ("if b > 0.5 { x[b] = 4 } else { x[2] = 9 }; return sum(x)", 8.2, -4.5),
    ("if b > 0.5 { x[2] = 9 } else { x[b] = 4 }; return sum(x)", 7.46, 5.3),
    ("if b > 0.5 { x[b] = 4; x[0] = theta } else { x[b + 1] = 9; x[2] = b }; return sum(x)", 7.6, -3.5),
    ("if b > 0.5 { x[1] = 2; x[2*b] = 4 } else { x[2] = 9 }; return sum(x)", 8.8, -3.0),
], ids=lambda text: text if isinstance(text, str) else "")
def test_what_one_way_wrote_at_random_places_is_kept_beside_what_the_other_wrote(text: str, value: float, slope: float) -> None:
    """Outcomes that are summed over go apart; by hand, over both of them, with P(b = 1) = theta = 0.4."""
    program = probrun.parse("param theta = 0.4\nx = [theta, 1, 0.5]\nb ~ Bernoulli(theta)\n" + text.replace("; ", "\n"))
    found = program.grad(samples=50, seed=1, estimator="enumerate")
    assert float(found.value.mean) == pytest.approx(value, abs=1e-9)
    assert float(found.gradient["theta"].mean) == pytest.approx(slope, abs=1e-9)
