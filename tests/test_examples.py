"""Every example says its exact gradient in a comment; every example is a test.

`# exact: d/dtheta = 7 at theta = 0.1`; with several results `# exact: d total/dtheta = 2`; arrays are JSON.  Each
number is compared at five standard errors: with about 40 numbers and fixed seeds, a false alarm happens once in 40,000
versions of the code; a bias of more than five standard errors (a few per cent) is seen.

Where there is no closed form the numbers are derivatives, by differences, of expectations computed without drawing: barrier, inventory
and speed_limit by quadrature over the last state, round by round (Gauss-Legendre, Chebyshev); age_replacement as a geometric sum of
the discounted cost and duration of one part.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

import probrun

FOLDER = Path(__file__).resolve().parent.parent / "examples"
EXAMPLES = sorted(FOLDER.glob("*.prob"))
LINE = re.compile(r"exact: d\s*(\w+)?/d(\w+) = (\[.*?\]|[-\d.e]+)(?: at (.*))?$")


def expectations(text: str) -> list[tuple[str | None, str, object, dict[str, float]]]:
    found = []
    for line in text.splitlines():
        if "exact:" in line:
            match = LINE.search(line)
            assert match, line
            at = dict(part.split(" = ") for part in match[4].split(", ")) if match[4] else {}
            values = {name: float(value) for name, value in at.items()}
            found.append((match[1], match[2], json.loads(match[3]), values))
    return found


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path) -> None:
    text = path.read_text()
    assert "#" in text.splitlines()[0], "an example opens with what it shows"
    wanted = expectations(text)
    program = probrun.load(path)
    assert {name for _, name, _, _ in wanted} == set(program.parameters), "an exact derivative for every parameter"
    result = program.grad(wanted[0][3], samples=20_000, seed=1, unbiased=True)
    assert not result.biased
    for output, parameter, exact, at in wanted:
        assert at == wanted[0][3]
        gradient = result.gradients[output or result.results[0]][parameter]
        deviation = (gradient.mean - torch.tensor(exact, dtype=torch.float64)).abs()
        assert (deviation <= 5 * gradient.se + 1e-5).all(), (parameter, gradient.mean, gradient.se, exact)
        assert (gradient.se <= 0.2 * max(1.0, torch.tensor(exact).abs().max())).all()


def test_every_example_gives_a_gradient_by_default() -> None:
    assert len(EXAMPLES) >= 12
    for path in EXAMPLES:
        assert probrun.load(path).grad(samples=200, seed=0).samples == 200
