"""An epidemic's rates from an observed curve, in three ways: `python benchmarks/calibration.py` prints the table of
`docs/calibration.md` and draws `docs/pictures/calibration.png`.

The curve was simulated with beta = 0.5, gamma = 0.2, 1000 people and 10 of them infected at the start.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import probrun

TRUTH = {"beta": 0.5, "gamma": 0.2}
NEW = [7, 3, 12, 8, 12, 12, 16, 18, 23, 27, 37, 36, 46, 58, 59, 50, 41, 42, 52, 52, 50, 36, 28, 20, 24]
GONE = [4, 0, 4, 7, 3, 9, 6, 11, 17, 10, 15, 14, 19, 37, 42, 33, 37, 41, 30, 39, 32, 59, 49, 43, 35]
HEAD = "param beta in (0, 3) = 0.3\nparam gamma in (0, 1) = 0.4\ndata new[T]\ndata gone[T]\n"
LIKELIHOOD = HEAD + """s = 990
i = 10
for t in range(T) {
    observe new[t] ~ Binomial(s, 1 - exp(-beta*i/1000))
    observe gone[t] ~ Binomial(i, gamma)
    s = s - new[t]
    i = i + new[t] - gone[t]
}
"""
UNKNOWN = HEAD + """param g = 2
i ~ Poisson(20) via Poisson(exp(g))
s = 1000 - i
for t in range(T) {
    observe new[t] ~ Binomial(s, 1 - exp(-beta*i/1000))
    observe i >= gone[t]
    observe gone[t] ~ Binomial(i, gamma)
    s = s - new[t]
    i = i + new[t] - gone[t]
}
"""
CURVES = HEAD + """s = 990
i = 10
apart = 0
for t in range(T) {
    n ~ Binomial(s, 1 - exp(-beta*i/1000))
    r ~ Binomial(i, gamma)
    apart = apart + (n - new[t])^2 + (r - gone[t])^2
    s = s - n
    i = i + n - r
}
return apart/T
"""
SIMULATED = HEAD + """s = 990
i = 10
curve = zeros(T)
for t in range(T) {
    n ~ Binomial(s, 1 - exp(-beta*i/1000))
    r ~ Binomial(i, gamma)
    curve[t] = n
    s = s - n
    i = i + n - r
}
return curve
"""
WAYS: list[tuple[str, str, dict[str, Any]]] = [
    ("likelihood in counts", LIKELIHOOD, {"maximize": "evidence"}),
    ("unknown number at the start", UNKNOWN, {"maximize": "evidence", "only": "beta,gamma"}),
    ("distance of curves", CURVES, {"minimize": True}),
]
DATA = {"new": NEW, "gone": GONE}


def main() -> None:
    print("| way | beta | gamma | how | steps | runs | seconds |")
    print("|---|---|---|---|---|---|---|")
    fits = {}
    for name, text, wish in WAYS:
        began = time.perf_counter()
        found = fits[name] = probrun.parse(text).fit(data=DATA, seed=1, **wish)
        seconds = time.perf_counter() - began
        cells = []
        for parameter in TRUTH:
            entry = found.parameters[parameter]
            spread = float(entry.sd) if entry.sd is not None else float(entry.se)
            cells.append(f"{float(entry.value):.3f} ± {spread:.3f}")
        how = "exact" if found.exact else found.optimizer
        print(f"| {name} | {cells[0]} | {cells[1]} | {how} | {found.steps} | {found.runs} | {seconds:.1f} |", flush=True)
    draw(fits["likelihood in counts"], Path(__file__).parent.parent / "docs" / "pictures" / "calibration.png")


def draw(fit: Any, path: Path) -> None:
    """The observed curve, and what the fitted program gives: its mean and nine runs of ten."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values = {name: fit.parameters[name].value for name in TRUTH}
    run = probrun.parse(SIMULATED).run(values, data=DATA, samples=20_000, seed=1)
    levels = run.quantiles("curve", (5, 95))
    days = list(range(1, len(NEW) + 1))
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.fill_between(days, levels["5"].numpy(), levels["95"].numpy(), color="#4477aa", alpha=0.25, label="nine runs of ten")
    axes.plot(days, run.value.mean.numpy(), color="#4477aa", label="mean of the fitted program")
    axes.plot(days, NEW, "o", color="#ee7733", markersize=4, label="observed")
    axes.set_xlabel("day")
    axes.set_ylabel("new infections")
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
