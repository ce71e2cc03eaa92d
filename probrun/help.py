"""`probrun help TOPIC`: pages made from the tables, so that a new row brings its page with it.

A topic is an error code, a distribution, a function, an estimator, a word of the language or a group of these.
Commands are not here: the command line knows its own pages.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

WIDTH = 80

WORDS: dict[str, str] = {
    "param": """
param theta = 2                what is differentiated; 2 is its default value
param p in (0, 1) = 0.3        with an open interval; also (0, inf), (-inf, 0), simplex
param mu[10] = 0               a vector; mu[3, 4] is a matrix; a scalar default is broadcast
param w[d]                     the size comes from data; without a default -p must give the value
""",
    "data": """
data N = 1000                  a constant that -d N=500 can replace
data x[n, d]                   must be given, and binds n and d to its sizes
""",
    "using": """
z ~ Normal(theta, 1) using score
b ~ Bernoulli(p) using gumbel(tau=0.1)

Fixes the estimator of a site by hand. One that would give a wrong gradient is
refused.
""",
    "if": """
if x > 0 { y = x } else if x < -1 { y = 1 } else { y = 0 }
y = if x > 0 then x else 0

Runs may take different ways; each executes only its own. A condition is a scalar.
""",
    "for": """
for t in range(20) { ... }     t = 0, ..., 19
for t in range(a, b) { ... }   the bounds may be random
for v in xs { ... }            the entries of a vector
""",
    "while": """
while x < 10 { x ~ Normal(x + 1, 1) }

Each run leaves the loop when its own condition fails. A step limit turns an
endless loop into an error.
""",
    "fn": """
fn step(x, drift) { e ~ Normal(drift, 1); return x + e }

A function sees its arguments, its own variables and the outer names, and may
call itself. Every path through it returns.
""",
    "return": """
return y                       the result, whose expectation is differentiated
return total, peak             several results: a gradient for each
""",
    "observe": """
observe y[t] ~ Normal(x, 1)    the run's weight is multiplied by the density of y[t]
observe total > 10             a run in which it does not hold ends here, with weight 0

The result is then the posterior expectation E[w y]/E[w], and the log evidence is
reported beside it.
""",
    "factor": """
factor -energy                 the run's weight is multiplied by exp(-energy)

Of an array, by the exponential of the sum of its entries.
""",
    "via": """
z ~ Normal(0, 1) via Normal(m, exp(s))

Draws from the distribution after `via` (a proposal, or guide) instead, and
multiplies the run's weight by the ratio of the densities.
""",
    "evidence": """
probrun grad FILE --of evidence

The logarithm of the mean weight, log E[w]: how likely the observations are. What
`probrun fit --maximize` takes where a program observes and returns nothing.
""",
    "elbo": """
probrun grad FILE --of elbo

The mean of the logarithm of the weight, E[log w]: a lower bound of the log
evidence. Its derivatives in what stands after `via` are variational inference.
""",
    "iwae": """
probrun grad FILE --of "iwae(8)"

The mean of the logarithm of the mean weight of 8 runs (Burda, Grosse &
Salakhutdinov 2016): between the ELBO, iwae(1), and the log evidence. Each of the
-n runs draws the program 8 times.
""",
    "logpdf": """
logpdf(Normal(0, 1), z)        the log density (or log mass) of a value, elementwise
""",
    "cdf": """
cdf(Normal(0, 1), z)           the probability of at most z, elementwise

Of any distribution of one number. It is differentiated in z and in the arguments,
also those of a count.  The name is that of torch and SciPy.
""",
    "logcdf": """
logcdf(Weibull(2, 1.5), t)     the logarithm of the probability of at most t

Right far out in the tail: logcdf(Normal(0, 1), -40) is -804.608. As in SciPy.
""",
    "Truncated": """
Truncated(Gamma(2, 1), 0.5, inf)  a distribution that is kept between two ends

Of a continuous distribution of one number, whose support stands still. An end
may be infinite; the draw is differentiated in all arguments and in the ends.
""",
    "Mixture": """
Mixture([p, 1 - p], Normal(a, 1), Normal(b, 2))  one of several, drawn by weight

Weights need not sum to 1. The parts are distributions of one number, all
continuous or all discrete. Where they are continuous and have one support the draw
is reparameterised in their arguments; the weights are carried by the density.
""",
    "logsf": """
logsf(Weibull(2, 1.5), t)      the logarithm of the probability of more than t

For what was censored: factor logsf(Weibull(scale, k), t). As in SciPy.
""",
}


def topics() -> dict[str, list[str]]:
    """Every topic but the commands, by group."""
    from .dsl.tables.distributions import DISTRIBUTIONS
    from .dsl.tables.estimators import ESTIMATORS
    from .dsl.tables.functions import FUNCTIONS
    from .dsl.text.codes import CODES

    return {
        "language": list(WORDS),
        "distributions": list(DISTRIBUTIONS),
        "functions": list(FUNCTIONS),
        "estimators": list(ESTIMATORS),
        "codes": list(CODES),
    }


def overview(commands: Iterable[str]) -> str:
    """What `probrun help` prints."""
    groups = {"commands": list(commands), **topics()}
    lines = ["probrun help TOPIC, where TOPIC is one of these:", ""]
    for name, members in groups.items():
        words = textwrap.fill(
            " ".join(members), WIDTH, initial_indent=f"  {name:<14}", subsequent_indent=" " * 16,
            break_on_hyphens=False,
        )
        lines += [words, ""]
    lines.append("A group's name is a topic too: `probrun help functions` has a line for each.")
    return "\n".join(lines)


def page(topic: str) -> str | None:
    """The page of a topic, or None where there is none.

    Upper and lower case matter only where they tell two topics apart (`gumbel` and `Gumbel`).
    """
    groups = topics()
    if topic.lower() in groups:
        return _group(topic.lower(), groups[topic.lower()])
    members = [(name, member) for name, found in groups.items() for member in found]
    for name, member in members:
        if member == topic:
            return PAGES[name](member)
    for name, member in members:
        if member.lower() == topic.lower():
            return PAGES[name](member)
    return None


def hint(topic: str, commands: Iterable[str]) -> str:
    """What somebody may have meant who asked for a topic that there is not."""
    from .dsl.tables.meanings import distribution_meant, function_meant
    from .dsl.text.closeness import nearest

    lowered = {name.lower(): name for name in (*commands, *(member for members in topics().values() for member in members))}
    close = nearest(topic.lower(), lowered)
    if close:
        return f"did you mean {lowered[close]}?"
    return distribution_meant(topic) or function_meant(topic) or "`probrun help` lists the topics"


def _group(name: str, members: list[str]) -> str:
    width = max(len(member) for member in members)
    lines = []
    for member in members:
        first = SUMMARIES[name](member)
        lines.append(
            textwrap.fill(first, WIDTH, initial_indent=f"{member:<{width}}  ", subsequent_indent=" " * (width + 2))
        )
    return "\n".join(lines)


def _distribution_page(name: str) -> str:
    from .dsl.tables.distributions import DISTRIBUTIONS, signature

    row = DISTRIBUTIONS[name]
    lines = [signature(row), "", _filled(row.summary), "", "density" if not row.discrete else "mass"]
    lines[-1] = f"  {lines[-1]}  {row.formula}"
    lines += ["", "arguments"]
    width = max(len(parameter.name) for parameter in row.parameters)
    for parameter in row.parameters:
        shape = ("", ", a vector", ", a matrix")[parameter.event]
        default = "" if parameter.default is None else f"; {parameter.default:g} if not given"
        lines.append(f"  {parameter.name:<{width}}  must {parameter.domain.value}{shape}{default}")
    if row.alternatives:
        lines.append(f"  give one of {', '.join(row.alternatives)}")
    lines += ["", "estimators", *(f"  {line}" for line in _distribution_estimators(name))]
    return "\n".join(lines)


def _distribution_estimators(name: str) -> list[str]:
    from .dsl.tables.distributions import DISTRIBUTIONS
    from .dsl.tables.estimators import ESTIMATORS

    row = DISTRIBUTIONS[name]
    told = [(estimator.name, estimator.help(row)) for estimator in ESTIMATORS.values()]
    width = max(map(len, ESTIMATORS))
    lines = [f"{estimator:<{width}} {words}" for estimator, words in told if words]
    moving = [parameter.name for parameter in row.parameters if parameter.moves_support and parameter.name != row.sized]
    if row.sized:
        lines.append(f"{row.sized} is the same in all runs, and carries no derivative")
    if moving:
        lines.append(f"the support moves with {', '.join(moving)}: no density carries that")
    return lines


def _function_page(name: str) -> str:
    from .dsl.tables.functions import FUNCTIONS

    row = FUNCTIONS[name]
    kinds = [kind.value for kind in row.smoothness]
    if not kinds:
        words = "takes sizes only"
    elif len(set(kinds)) == 1:
        words = SMOOTHNESS[kinds[0]]
    else:
        words = "argument by argument: " + ", ".join(kinds)
    return f"{row.signature}\n\n{_filled(row.summary)}\n\n{words}"


SMOOTHNESS = {
    "smooth": "smooth: pathwise gradients pass through it",
    "kink": "has kinks but no jumps: pathwise gradients pass through it",
    "jump": "jumps: pathwise gradients do not pass through it, a random argument needs another estimator",
}


def _code_page(code: str) -> str:
    from .dsl.text.codes import CODES

    entry = CODES[code]
    lines = [f"{code}: {entry.title}", "", entry.explanation.strip()]
    if entry.example:
        lines += ["", "a program that raises it:", "", textwrap.indent(entry.example.strip(), "    ")]
    return "\n".join(lines)


def _filled(text: str) -> str:
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(textwrap.fill(" ".join(part.split()), WIDTH, break_on_hyphens=False) for part in paragraphs)


def _distribution_summary(name: str) -> str:
    from .dsl.tables.distributions import DISTRIBUTIONS

    return DISTRIBUTIONS[name].summary


def _function_summary(name: str) -> str:
    from .dsl.tables.functions import FUNCTIONS

    return FUNCTIONS[name].summary


def _estimator_page(name: str) -> str:
    from .dsl.tables.estimators import ESTIMATORS

    return f"{name}\n\n{_filled(ESTIMATORS[name].page)}"


def _estimator_summary(name: str) -> str:
    from .dsl.tables.estimators import ESTIMATORS

    return " ".join(ESTIMATORS[name].page.split(". ")[0].split()).rstrip(".")


def _code_summary(name: str) -> str:
    from .dsl.text.codes import CODES

    return CODES[name].title


PAGES = {
    "language": lambda name: WORDS[name].strip(),
    "distributions": _distribution_page,
    "functions": _function_page,
    "estimators": _estimator_page,
    "codes": _code_page,
}
SUMMARIES = {
    "language": lambda name: WORDS[name].strip().splitlines()[0],
    "distributions": _distribution_summary,
    "functions": _function_summary,
    "estimators": _estimator_summary,
    "codes": _code_summary,
}
