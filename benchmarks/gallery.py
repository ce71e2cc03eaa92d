"""Draws one picture of every kind into a folder, and the page that shows them: `python benchmarks/gallery.py [FOLDER]`.

Without a folder the pictures go to docs/pictures/gallery, and `docs/gallery.md` is written.  Each is one command.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from probrun import cli  # noqa: E402

PAGE = ROOT / "docs" / "gallery.md"
PICTURES = {  # name: title, what there is to see, and the command
    "exact": (
        "An exact answer", "There is no spread to draw, so it is said.",
        ["grad", "examples/bernoulli.prob", "-p", "theta=0.1"],
    ),
    "one": (
        "One parameter", "The gradients of single runs, their mean and its 95 % interval.",
        ["grad", "examples/reparam.prob", "-p", "theta=2"],
    ),
    "fifty": (
        "Fifty parameters", "Means with 95 % intervals over the index.",
        ["grad", "-e", "param m[50] = 1; z ~ Normal(arange(50) / 8, 1); y = sum(sin(z + m))"],
    ),
    "one-sign": (
        "A matrix of one sign", "Lighter is larger; faint cells are under two standard errors.",
        ["grad", "-e", "param W[8, 6] = 0.3; x ~ Normal(arange(6) / 3, 1); y = sum(matmul(W, x)^2)", "-n", "200"],
    ),
    "two-signs": (
        "A matrix of both signs", "White is 0; signs are written into the cells.",
        ["grad", "-e", "param W[8, 6] = 0; x ~ Normal(arange(6) / 2 - 1, 1); y = sum(sin(matmul(W, x)))", "-n", "50"],
    ),
    "two-results": (
        "Two results", "A panel per result and parameter.", ["grad", "-e", "z ~ Normal(theta, 1); y = z^2; return y, sin(z)", "-p", "theta=1"],
    ),
    "heavy": (
        "Heavy tails", "Drawn without the far tails; the axis says how many runs lie outside.",
        ["grad", "-e", "x ~ StudentT(2.5, theta, 1); y = x^2", "-p", "theta=1", "--estimator", "score"],
    ),
    "fan": (
        "A vector of a run", "Quantiles over the index: here, paths over time.", ["run", "-e", "PATHS"],
    ),
    "compare": (
        "A comparison", "A row per estimator, a column per number: bias, and runs outside, are written into the panels.",
        ["compare", "-e", "param p = 0.4; b ~ Bernoulli(p); z ~ Normal(p, 1); y = (b + z)^2; return y, b * z", "--include",
         "finite-differences", "--steps", "0.1"],
    ),
    "fit": (
        "A fit", "The objective and the parameters over the steps.", ["fit", "examples/newsvendor.prob", "--maximize"],
    ),
    "sweep": (
        "A sweep", "Results and derivatives over the points, with 95 % intervals, a line for each other value.",
        ["sweep", "examples/barrier.prob", "--grid", "S0=80:120:21", "--grid", "sigma=0.2,0.4", "-o", "sweep.csv"],
    ),
    "fixed-noise": (
        "The notebook: noise that is fixed", "Finite differences with new and with the same noise, and the chain rule.",
        ["compare", "-e", "z ~ Normal(1, 2); y = theta^2*(z + 4)", "-p", "theta=2", "--include", "finite-differences", "--overlay"],
    ),
    "moved-noise": (
        "The notebook: noise that moves", "Right ways, and the detached draw.",
        ["compare", "-e", "z ~ Normal(theta, 2); y = theta^2*(z + 4)", "-p", "theta=2", "--include", "sample", "--overlay"],
    ),
    "bernoulli": (
        "The notebook: Bernoulli draws", "Gumbel-Softmax at three temperatures over the score.",
        ["compare", "-e", "x = 2*Bernoulli(3*theta) + Bernoulli(theta)", "-p", "theta=0.1", "--tau", "0.9"],
    ),
    "step": (
        "The notebook: a step", "Pathwise gradients are 0 in every run.",
        ["compare", "-e", "x ~ Normal(theta, 1); y = x > 0", "-p", "theta=0.5", "--include", "rsample,finite-differences"],
    ),
}
PATHS = "param drift = 0.1; x = zeros(61); for t in range(60) { e ~ Normal(drift, 1); x[t + 1] = 0.98*x[t] + e }; return x"


def main() -> None:
    """Draw everything; without a folder, write the page as well."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures" / "gallery"
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["# Gallery", "", "Every picture is one command with `--plot`; all are made by `python benchmarks/gallery.py`.", ""]
    for name, (title, words, command) in PICTURES.items():
        arguments = [PATHS if word == "PATHS" else word for word in command] + ["--seed", "0"]
        target = folder / f"{name}.png"
        with tempfile.TemporaryDirectory() as elsewhere:  # for tables
            placed = [f"{elsewhere}/{word}" if word.endswith(".csv") else word for word in arguments]
            status = cli.execute([*placed, "--plot", str(target)])
        print(name, status, flush=True)
        shown = shlex.join(["probrun", *arguments, "--plot", f"{name}.png"])
        lines += [f"## {title}", words, "```", shown, "```", f"![{title}](pictures/gallery/{name}.png)", ""]
    if len(sys.argv) == 1:
        PAGE.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
