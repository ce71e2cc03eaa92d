"""What the programs of `jumping.py` are made of: laws, draws of several numbers, and functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import special

LAWS = {
    "Normal({a}, 1.1)": lambda u, a: a + 1.1 * _normal(u),
    "Normal(0.2, 1)": lambda u, a: 0.2 + _normal(u),
    "Uniform(0, 1 + {a}^2)": lambda u, a: u * (1 + a * a),
    "Uniform(-1, 1)": lambda u, a: 2 * u - 1,
    "Exponential(1 + {a}^2)": lambda u, a: -np.log1p(-u) / (1 + a * a),
    "Logistic({a}, 0.7)": lambda u, a: a + 0.7 * np.log(u / (1 - u)),
}


def text_of(law: str, a: str) -> str:
    return law.format(a=f"({a})")


def _normal(u: Any) -> Any:
    return torch.special.ndtri(torch.from_numpy(np.ascontiguousarray(u))).numpy()


Values = dict[str, Any]
Code = Callable[[Values], None]
WIDE_LAWS = {  # of several numbers
    "Normal({a}*ones({n}), 1.1)": LAWS["Normal({a}, 1.1)"],
    "Uniform(zeros({n}), 1 + {a}^2)": LAWS["Uniform(0, 1 + {a}^2)"],
    "Exponential((1 + {a}^2)*ones({n}))": LAWS["Exponential(1 + {a}^2)"],
}


def several(made: Any) -> None:
    """A draw of several numbers, and what is made of all of them."""
    law, n, (a, f) = made.chance.choice(list(WIDE_LAWS)), made.chance.randint(2, 5), made.level() if made.chance.random() < 0.7 else made.real()
    name, first, draw, y = made.name("v"), made.sites, WIDE_LAWS[law], made.name("y")
    made.sites += n
    text, code = _made_of(name, n, made.chance)
    made.add(f"{name} ~ {law.format(a=f'({a})', n=n)}", lambda v: v.__setitem__(name, np.stack([draw(v["u"][first + i], f(v)) + 0*v["u"][0] for i in range(n)])))
    made.add(f"{y} = {text}", lambda v: v.__setitem__(y, code(v[name])))
    made.reals.append(y)


def _made_of(v: str, n: int, chance: Any) -> tuple[str, Callable[[Any], Any]]:
    """A number made of an array, by name and as a function of numpy."""
    weights, q = [round(chance.uniform(-1, 1), 2) for _ in range(n)], chance.choice([0.5, 0.3, 0.8])
    k, cut = chance.randrange(n), chance.randint(1, n - 1)
    return chance.choice([  # type: ignore[no-any-return]
        (f"sum({v})", lambda x: x.sum(0)), (f"mean({v})", lambda x: x.mean(0)),
        (f"dot({weights}, {v})", lambda x: np.tensordot(weights, x, 1)),
        (f"max({v})", lambda x: x.max(0)), (f"min({v})", lambda x: x.min(0)), (f"sum({v} > 0.4)", lambda x: (x > 0.4).sum(0) * 1.0),
        (f"sort({v})[{k}]", lambda x: np.sort(x, 0)[k]), (f"quantile({v}, {q})", lambda x: np.quantile(x, q, axis=0)),
        (f"(max({v}) - min({v}))", lambda x: np.ptp(x, 0)), (f"var({v})", lambda x: x.var(0, ddof=1)), (f"std({v})", lambda x: x.std(0, ddof=1)),
        (f"logsumexp({v})", lambda x: special.logsumexp(x, 0)), (f"prod({v})", lambda x: x.prod(0)),
        (f"sum({v}[0:{cut}])", lambda x: x[:cut].sum(0)), (f"(mean({v}[0:{cut}]) - max({v}[{cut}:{n}]))", lambda x: x[:cut].mean(0) - x[cut:].max(0)),
        (f"{v}[0]*{v}[{n - 1}]", lambda x: x[0] * x[-1]), (f"sum({v}^2)", lambda x: (x**2).sum(0)), (f"sum(abs({v}))", lambda x: abs(x).sum(0)),
        (f"sum(relu({v}))", lambda x: np.maximum(x, 0).sum(0)), (f"sum(exp(tanh({v})))", lambda x: np.exp(np.tanh(x)).sum(0)),
        (f"argmax({v})", lambda x: np.argmax(x, 0) * 1.0), (f"cumsum({v})[{k}]", lambda x: np.cumsum(x, 0)[k]),
    ])


def called(made: Any) -> None:
    """A function that draws and decides, and a call of it, alone or in an expression."""
    name, y, law, (t, g) = made.name("f"), made.name("y"), made.chance.choice(list(LAWS)), made.level()
    draw, c, first, kind = LAWS[law], round(made.chance.uniform(0.3, 1.2), 2), made.sites, made.chance.randrange(5)
    body, steps = [
        (f"x ~ {text_of(law, 'a')}; if x > {t} {{ return {c}*x }}; return a", 1),
        (f"s = 0; for i in range(3) {{ x ~ {text_of(law, t)}; if s < a {{ s = s + x }} }}; return s", 3),
        (f"if k < 1 {{ return a }}; x ~ {text_of(law, t)}; if x > {t} {{ return a + 1 }}; return {name}({c}*a + x, k - 1)", 2),
        (f"if a < {t} {{ return {c} }}; x ~ {text_of(law, t)}; return max(a, x)", 1),
        (f"x = {c}*{text_of(law, t)} + a; while x > {t} + 1 {{ x ~ {text_of(law, t)}; if x > a {{ return 1 }} }}; return x", 4),
    ][kind if kind < 4 else 3]

    def code(a: Any, at: int, v: Any) -> Any:
        u, t = v["u"], g(v)
        if kind == 0:
            x = draw(u[at], a)
            return np.where(x > t, c * x, a)
        if kind == 1:
            s = 0 * u[0]
            for i in range(3):
                s = np.where(s < a, s + draw(u[at + i], t), s)
            return s
        if kind == 2:
            def again(a: Any, k: int) -> Any:
                if k < 1:
                    return a
                x = draw(u[at + 2 - k], t)
                return np.where(x > t, a + 1, again(c * a + x, k - 1))
            return again(a, 2)
        x = draw(u[at], t)
        return np.where(a < t, c, np.maximum(a, x))

    given = "a, k" if kind == 2 else "a"
    made.functions.append(f"fn {name}({given}) {{ {body} }}")
    (a, f), (b, h), more = made.real(), made.real(), ", 2" if kind == 2 else ""
    twice = made.chance.random() < 0.3
    made.sites += steps * (1 + twice)
    text = f"{name}({a}{more})" + (f" - {c}*{name}({b}{more})" if twice else "")

    def both(v: Values) -> None:
        v[y] = code(f(v) + 0 * v["u"][0], first, v)
        if twice:
            v[y] = v[y] - c * code(h(v) + 0 * v["u"][0], first + steps, v)

    made.add(f"{y} = {text}", both)
    made.reals.append(y)
