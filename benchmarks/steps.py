"""An adversary of steps that are written down: `python benchmarks/steps.py [-n 300] [--seed 1] [--compile 0.05]`.

Every program (the examples, the public cases beside this checkout, and random ones with draws of all kinds, branches, loops and data)
is asked for expectations again and again, with parameters and seeds that change, and held against a program that never writes
anything down: values, derivatives of a random combination of the results, and now and then second derivatives must be the same to
rounding.  A share of the random ones is compiled; those are held against both sides of branches on all lanes.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import patch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

import probrun  # noqa: E402
from benchmarks.merging_programs import Programs  # noqa: E402
from probrun.runtime.blocks import replayed as replays  # noqa: E402
from probrun.runtime.estimates.binding import bind_values  # noqa: E402
from probrun.runtime.steps import step as steps  # noqa: E402

CALLS = 9
SLOW = 10.0  # seconds
CPU = torch.device("cpu")
CLOSE = {torch.float32: 2e-4, torch.float64: 1e-9}
EXACT = 3  # the place of this among the doubts
OF_GRADIENTS = 1e-5  # of moments of float32 runs, which are in float64


class Writer:
    """A random program of `p` in (0, 1), `m`, an array `w[3]` and data `y[n]`."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.names = ["p", "m", "w[0]", "w[2]", "sum(y)/n"]
        self.count = 0

    def one(self) -> str:
        return self.random.choice(self.names)

    def positive(self) -> str:
        return self.random.choice(["p", "1", "exp(m/4)", "0.5 + p", f"softplus({self.one()})", "2 + w[1]^2"])

    def unit(self) -> str:
        return self.random.choice(["p", "0.3", "sigmoid(m)", "p^2", f"sigmoid({self.one()})", "1 - p/2"])

    def value(self, depth: int = 0) -> str:
        choice = self.random.choice
        if depth > 2 or self.random.random() < 0.3:
            return choice([self.one(), "2", "0.5"])
        a, b = self.value(depth + 1), self.value(depth + 1)
        return choice([
            f"({a} + {b})", f"({a} - {b})", f"{a}*{b}", f"sin({a})", f"tanh({a})", f"max({a}, {b})", f"exp(-({a})^2)", f"relu({a})",
            f"where({self.one()} > 0.3, {a}, {b})", f"sum([{a}, {b}, m])", f"sqrt(1 + ({a})^2)", f"({a})^2",
        ])

    def draw(self) -> str:
        return self.random.choice([
            f"Normal({self.value(2)}, {self.positive()})", f"Bernoulli({self.unit()})", f"Poisson({self.positive()})",
            f"Gamma(2, {self.positive()})", f"Exponential({self.positive()})", f"Beta({self.positive()}, 2)", f"Uniform(0, {self.positive()})",
            f"Binomial(3, {self.unit()})", "Normal(0, 1)", f"Categorical([{self.unit()}, 0.4, 0.2])", f"Laplace({self.one()}, 1)",
            f"Geometric(0.2 + {self.unit()}/2)", f"StudentT(5, {self.one()}, 1)", f"LogNormal({self.unit()}, 0.3)",
        ])

    def lines(self, depth: int) -> list[str]:
        found, known = [], list(self.names)
        for _ in range(self.random.randint(1, 3)):
            self.count += 1
            name, k = f"v{self.count}", self.random.random()
            if k < 0.5:
                found.append(f"{name} ~ {self.draw()}")
                self.names.append(name)
            elif k < 0.7:
                found.append(f"{name} = {self.value()}")
                self.names.append(name)
            elif k < 0.82 and depth < 2:
                found.append(f"if {self.one()} > 0.4 {{ {'; '.join(self.lines(depth + 1))} }} else {{ {'; '.join(self.lines(depth + 1))} }}")
            elif k < 0.9 and depth < 2:
                found.append(f"for i in range(3) {{ {'; '.join(self.lines(depth + 1))} }}")
            else:
                found.append(f"s = s + {self.value()}")
        if depth:
            self.names = known
            found.append(f"s = s + {self.random.choice(['0.5', 'p', 'm'])}*{self.value()}")
        return found

    def program(self) -> str:
        head = ["param p in (0, 1) = 0.4", "param m = 0.2", "param w[3] = [0.1, 0.5, -0.3]", "data y[n] = [0.1, 0.7, 0.4, 0.2]", "s = 0"]
        body = [line for _ in range(self.random.randint(1, 2)) for line in self.lines(0)]
        ends = [f"{self.value()} + s", *([self.value()] if self.random.random() < 0.3 else [])]
        if self.random.random() < 0.2:
            ends = [f"[s, {self.value()}]*m"]
        return "\n".join([*head, *body, "return " + ", ".join(ends)])


def asked(program: Any, values: dict[str, Tensor], seed: int, mix: int, options: dict[str, Any], twice: bool) -> list[Tensor]:
    """The results, the derivatives of a combination of them, and with `twice` the second ones of a combination of these."""
    points = {name: value.clone().requires_grad_() for name, value in values.items()}
    found = program.expectation(points, seed=seed, **options)
    results = list(found.values()) if isinstance(found, dict) else [found]
    if not points:
        return results
    weights = torch.Generator().manual_seed(mix)
    total = sum((value * torch.randn(value.shape, generator=weights, dtype=value.dtype)).sum() for value in results)
    assert isinstance(total, Tensor)
    first = torch.autograd.grad(total, list(points.values()), create_graph=twice, allow_unused=True)
    made = [torch.zeros_like(value) if part is None else part for part, value in zip(first, points.values(), strict=True)]
    if twice:
        mixed = sum((part * torch.randn(part.shape, generator=weights, dtype=part.dtype)).sum() for part in made)
        assert isinstance(mixed, Tensor)
        if mixed.requires_grad:
            second = torch.autograd.grad(mixed, list(points.values()), allow_unused=True)
            made += [torch.zeros_like(value) if part is None else part for part, value in zip(second, points.values(), strict=True)]
    return [value.detach() for value in (*results, *made)]


def differentiated(
    program: Any, values: dict[str, Tensor], seed: int, mix: int, options: dict[str, Any], twice: bool
) -> list[Tensor]:
    """What `grad` reports: means and standard errors, and what it doubts."""
    found = program.grad(values, seed=seed, pilot=bool(mix % 7 == 0), **{name: value for name, value in options.items() if name != "compile"})
    moments = [*(rows[name] for rows in found.gradients.values() for name in rows), *found.values.values()]
    numbers = [torch.as_tensor(part, dtype=torch.float64) for moment in moments for part in (moment.mean, moment.se)]
    doubts = len(found.few), len(found.scarce), len(found.kinks), found.exact, len(found.contradictions)
    return [*numbers, torch.tensor([float(part) for part in doubts], dtype=torch.float64)]


def outcome(*given: Any) -> list[Tensor] | str:
    """The numbers, or the code of what was raised."""
    how, *rest = given
    try:
        return how(*rest)  # type: ignore[no-any-return]
    except probrun.ProbError as problem:
        return problem.code


def differs(one: list[Tensor] | str, other: list[Tensor] | str, how: Any) -> bool:
    """Whether they are not the same to rounding."""
    if isinstance(one, str) or isinstance(other, str):
        return one is not other and one != other
    for a, b in zip(one, other, strict=True):
        scale = max(1.0, float(a.abs().max()) if a.numel() and bool(a.isfinite().all()) else 1.0)
        close = CLOSE[a.dtype] if how is asked else CLOSE[torch.float64] if one[-1][EXACT] else OF_GRADIENTS
        if not torch.allclose(a, b, rtol=close, atol=close * scale, equal_nan=True):
            return True
    return False


def nothing(*given: Any) -> None:
    """Instead of a step."""


def tried(
    text: str, rng: random.Random, options: dict[str, Any], values: dict[str, Tensor] | None = None, how: Any = asked
) -> tuple[str, str]:
    """What came of a program (`replayed`, `walked`, `refused`), and what was wrong."""
    program, plain = probrun.parse(text), probrun.parse(text)
    if values is None:
        values = {"p": torch.tensor(0.4), "m": torch.tensor(0.2), "w": torch.tensor([0.1, 0.5, -0.3])}
    elif program.resolved.parameters:
        values = {name: value.detach() for name, value in bind_values(program.resolved, values, {}, torch.float32, CPU)[0].items()}
    compiled, state = options.get("compile", False), "walked"
    for call in range(CALLS):
        moved = values
        if "w" in values or "theta" in values:
            moved = {
                name: value if call % 3 == 0 else
                value * (1 + 0.1 * rng.random()) + (0.0 if name in ("p", "theta") else 0.05 * rng.gauss(0, 1))
                for name, value in values.items()
            }
        seed, mix, twice = rng.randrange(2**31), rng.randrange(1000), call == CALLS - 1 and rng.random() < 0.3
        found = outcome(how, program, moved, seed, mix, options, twice)
        with patch.object(replays, "SEEN", 10**9), patch.object(steps, "SEEN", 10**9), patch.object(steps.Steps, "_step", nothing):
            known = outcome(how, plain, moved, seed, mix, options, twice)
        if isinstance(found, str) and not call:
            return f"refused {found}", ""
        if differs(known, found, how):
            return "wrong", f"call {call}, seed {seed}, mix {mix}, {options}, {moved}: {known} by the interpreter, {found}"
    for (what, _), table in program.resolved.prepared.known.items():
        if what == "replays" and any(isinstance(block, replays.BlockReplay) and block.replay.held for block in table.values()):
            state = "replayed (grad)"
        if what == "steps" and any(step is not None and step.replay.held for step in table.made.values()):
            state = "compiled" if compiled else "replayed"
    return state, ""


def public() -> list[tuple[str, dict[str, Tensor]]]:
    """Texts of the examples and of the public cases, with parameters."""
    import json

    found = []
    for path in sorted((HERE.parent / "examples").glob("*.prob")):
        program = probrun.load(path)
        if not program.resolved.data or all(node.default is not None for node in program.resolved.data.values()):
            found.append((path.read_text(), {
                name: torch.tensor(1.0) for name, fact in program.resolved.parameters.items()
                if fact.node is None or fact.node.default is None
            }))
    cases = HERE.parent.parent / "shared" / "cases"
    for table in (cases / "cases.json", cases / "next" / "cases.json"):
        for case in json.loads(table.read_text()) if table.exists() else ():
            if case["expect"] == "gradient" and not case.get("data"):
                values = {name: torch.tensor(value, dtype=torch.float32) for name, value in case["params"].items()}
                found.append(((table.parent / case["file"]).read_text(), values))
    return found


def main() -> int:
    reading = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    reading.add_argument("-n", type=int, default=300, help="random programs")
    reading.add_argument("--seed", type=int, default=1)
    reading.add_argument("--compile", type=float, default=0.0, help="share of the random programs that is compiled")
    reading.add_argument("--grad", action="store_true", help="gradients with standard errors instead")
    reading.add_argument("--exact", action="store_true", help="of discrete programs, which are summed, beginning where lanes meet by chance")
    reading.add_argument("--public", action="store_true", help="examples and public cases, too")
    wish = reading.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    counts: dict[str, int] = {}
    todo: list[tuple[str, dict[str, Tensor] | None, dict[str, Any], int]] = []
    if wish.public:
        todo += [(text, values, {"samples": 200}, number) for number, (text, values) in enumerate(public())]
    for seed in range(wish.seed, wish.seed + wish.n):
        rng = random.Random(seed)
        options: dict[str, Any] = {"samples": rng.choice([50, 200, 1000]), "compile": rng.random() < wish.compile}
        if rng.random() < 0.2:
            options["dtype"] = "float64"
        if rng.random() < 0.2:
            options["unbiased"] = True
        if wish.exact:
            text, numbers = Programs(seed).program()
            todo.append((text, {name: torch.tensor(value) for name, value in numbers.items()}, options, seed))
        else:
            todo.append((Writer(seed).program(), None, options, seed))
    for text, values, options, seed in todo:
        begun = time.perf_counter()
        try:
            how = differentiated if wish.grad or wish.exact else asked
            state, wrong = tried(text, random.Random(seed), options, values, how)
        except Exception as problem:
            state, wrong = "wrong", f"{type(problem).__name__}: {problem}"
        if time.perf_counter() - begun > SLOW:
            print(f"{time.perf_counter() - begun:.0f} s: {text.splitlines()[0]}", flush=True)
        counts[state] = counts.get(state, 0) + 1
        if wrong:
            print(f"--- seed {seed}\n{text}\n{wrong}\n", flush=True)
    print(counts)
    return 1 if counts.get("wrong") else 0


if __name__ == "__main__":
    sys.exit(main())
