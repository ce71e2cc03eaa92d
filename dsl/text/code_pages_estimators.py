"""Pages of the codes P04: estimators."""

from __future__ import annotations

from .code_page import page

PAGES = (
    page("P0401", "an estimator that is unknown or does not apply", """
`--estimator`, or `using` in the program, names an estimator that does not
exist or that cannot serve at this site at all: `rsample` needs a distribution
with a reparameterisation, `gumbel` one of Bernoulli, Categorical and
OneHotCategorical, `enumerate` a discrete one whose outcomes can be listed.
Or it has no such option: `gumbel` has `tau` and `hard`, `score` has
`baseline` (`mean`, `regression`, `none`) and `credit`.

`probrun explain FILE` shows what each site could use, and why.
""", "param p = 0.3\nb ~ Bernoulli(p)\nreturn b\n", "--estimator b=rsample"),
    page("P0402", "a forced estimator that would be wrong", """
The estimator applies at the site, but the gradient would not be that of the
expectation, and nothing in its output would show it.

The most common case: a pathwise draw (`rsample`) whose value decides an `if`,
a comparison, `floor` or an index. Along each path the result is piecewise
constant there, so its derivative is 0; the derivative of the expectation is
not. The score function sees the jump, because it differentiates the
probability of a draw and not the result.

Leave the choice to probrun. To see the wrong number all the same, for a
figure or a comparison, add `--allow-biased`; the report then says so.
""", "param theta = 0.4\nx ~ Normal(theta, 1) using rsample\nif x > 0 { y = 1 } else { y = 0 }\nreturn y\n"),
    page("P0403", "no estimator is right for this program", """
Every estimator that probrun has would give a wrong gradient here, so there is
none, rather than a wrong one. The caret shows where the derivative is lost,
the labels which randomness is involved. Typical cases:

- A parameter meets a jump together with continuous randomness, as in
  `x < theta`, or moves a support that meets one. Then `jump` follows every
  point at which a draw makes the result jump; it needs all of them from the
  text, and here one cannot be found. The label says which, and why: a draw
  that goes through a function that cannot be inverted, a loop that tests
  one draw again and again, a distribution whose draws are not a smooth
  function of the parameters (`VonMises`).
- The derivative is not integrable: `log(abs(x))` where `x` crosses zero.

Give each draw a line of its own, compare sums and products of draws and
parameters, or let the parameter enter the distribution: compare
`Normal(-theta, 1)` with 0. A smoothed version of the jump,
`sigmoid((x - theta)/0.1)` for `x > theta`, has a gradient; it is that of
another, nearby program.
""", "param theta = 0.5\nx ~ VonMises(theta, 1)\ny = if x > theta then 1 else 0\nreturn y\n"),
    page("P0404", "an estimator breaks down at a boundary", """
An outcome of this draw has probability exactly 0 (`Bernoulli(0)`, a
Categorical weight of 0, `Poisson(0)`), and the parameters still move that
probability. The outcome is never drawn, so the score function cannot learn
what would happen if it were; its answer would be wrong by exactly that part.
`enumerate` and `fork` are right there: leave the choice to probrun.

Or an end that moves stands exactly on another one: that of `Truncated(...)`
on the end of the distribution inside, or the value of a `cdf` on the end of
the support. There the derivative has one side only.

Move the parameter a little inside its domain, or let it reach the
distribution through a map that stays inside (`sigmoid`, `softmax`, `exp`).
Where the parameters do not move the probability, a boundary is harmless and
is not reported.
""", "param p = 0\nb ~ Bernoulli(p)\ny = if b then 3 else 1\nreturn y\n", "--among score"),
    page("P0405", "no estimator is left", """
The estimators that would be right at this site were all ruled out by
`--among` or by `--unbiased`. The label names the one that is needed.

`--among rsample,score` restricts the choice for every site at once. To fix
one site only, use `--estimator site=name`.
""", "param theta = 0.4\nx ~ Normal(theta, 1)\nif x > 0 { y = 1 } else { y = 0 }\nreturn y\n", "--among rsample"),
    page("P0406", "a second derivative that is not available", """
`expectation` was differentiated twice, and the way leads through a pathwise
draw of a distribution whose reparameterisation is implicit: Gamma, Beta,
Dirichlet, Chi2, StudentT, InverseGamma. PyTorch has their first derivatives
only; differentiating again would raise an error deep inside, or silently give
a wrong number.

Or the way leads over a kink (`relu`, `abs`, `max`, `sort`, the density of
Laplace): the derivative of a kink jumps, and differentiating it again misses
the jump. E[relu(x)] has the second derivative p(0), and not 0.

Or runs fork (`fork`): the difference that another outcome makes is taken as a
number.

The score function has derivatives of all orders: fix the site with
`using score`, or `estimator={"z": "score"}`.
"""),
    page("P0407", "too many outcomes to enumerate", """
`enumerate` gives every outcome of a draw a lane of its own. An array has the
product of its elements' outcomes (or their counts, where only these matter),
and a site in a loop multiplies the lanes each time it is met, so that ten
Bernoulli draws make a thousand lanes of one run, and twenty a million.

`--max-lanes N` allows more lanes per run; the default is 65536 where the
answer comes out exact, and fewer where other sites are sampled many times, or
where `enumerate` was taken by order alone.
Otherwise let probrun choose (it tries `score` and, where it is right,
`gumbel`), or enumerate some of the sites only.
""", "param p = 0.3\nb ~ Bernoulli(p*ones(40)) using enumerate\nreturn max(b) - b[0]\n"),
    page("P0408", "a program the Sobol sampler does not fit", """
Sobol points fill the space of everything that a run draws: the first draw is
the first coordinate, and so on. So each run must draw the same numbers in the
same order, each by the inverse of its distribution function. A program with
`if`, `while`, `and`, `or` or a loop of random length may send runs different
ways; and Gamma, Beta, Dirichlet, Poisson, Binomial and a few others are drawn
in other ways. The label names the place.

Leave `--sampler` out: random numbers fit every program.
""", "param shape = 2\nx ~ Gamma(shape, 1)\nreturn x^2\n", "--sampler sobol"),
)
