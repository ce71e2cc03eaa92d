"""Pages of the codes P03, P05, P06 and P09: shapes, running, given values, our own faults."""

from __future__ import annotations

from .code_page import page

PAGES = (
    page("P0301", "shapes that do not fit", """
Two arrays meet whose sizes do not fit each other. The message names both
shapes, for one run.

A scalar goes with anything. Otherwise the rule is that of NumPy and PyTorch:
sizes are compared from the last axis on, and must be equal or 1. `dot`,
`matmul`, `stack` and `concat` have their own rules; see
`probrun help matmul`.
""", "param mu[3] = 0\nz ~ Normal(mu, 1)\ny = dot(z, [1, 2])\nreturn y\n"),
    page("P0302", "an index out of range", """
The array has no such element. Indices count from 0, so an axis of 3 entries
has 0, 1 and 2; -1 is the last one, as in Python.

An index may be random. Then it is enough that one run goes out of range; the
message says how many did.
""", "param mu[3] = [1, 2, 3]\ny = mu[3]\nreturn y\n"),
    page("P0303", "a size that differs from run to run", """
All runs of a program are computed together, so an array has the same shape in
each of them. Here a size depends on something random: `ones(n)` for a random
`n`, or branches that give one name different shapes.

Use an array of the largest size and count how much of it is in use, or a
loop, whose number of rounds may well be random.
""", "param lam = 3\nn ~ Poisson(lam)\nx = ones(n + 1)\nreturn sum(x)\n"),
    page("P0304", "a condition that is not a scalar", """
`if`, `while`, `and`, `or` and `if c then a else b` choose one way for the
whole run, so the condition is one value. This one is an array.

To choose element by element use `where(c, a, b)`. To ask about all elements
at once use `all(c)` or `any(c)`.
""", "param mu[3] = 0\nz ~ Normal(mu, 1)\ny = if z > 0 then 1 else 0\nreturn y\n"),
    page("P0305", "a size or an index that is not a whole number", """
Sizes, indices, slice bounds and the bounds of `range` are whole numbers. A
number such as 2.5 here is not rounded silently; `floor(x)` or `round(x)` says
what is meant. A size is at least 0.
""", "param theta = 1\nx = [1, 2, 3]\ny = theta * x[0.5]\nreturn y\n"),
    page("P0306", "more indices than axes", """
The value has fewer axes than there are indices: a scalar has none, a vector
one, a matrix two. Perhaps the array is meant that this one was taken from.
""", "param theta = 1\ny = theta[0]\nreturn y\n"),
    page("P0501", "an argument outside a distribution's domain", """
The distribution is not defined for this value: a probability outside [0, 1],
a standard deviation that is not positive. The run stops, since any number
that came out would be meaningless.

Only runs that come to the site are looked at; the note says how many of them
had such a value. To use a value without bounds, map it first: `sigmoid(x)`
for a probability (or `Bernoulli(logits=x)`), `exp(x)` or `softplus(x)` for
something positive, `softmax(x)` for weights.

`Bernoulli(0)`, `Bernoulli(1)`, `Poisson(0)` and `Binomial(0, p)` are allowed:
they draw the sure value.
""", "param theta = 0.5\nx = 2*Bernoulli(3*theta) + Bernoulli(theta)\nreturn x\n"),
    page("P0502", "a value that is not finite", """
An infinite or undefined value (inf, nan) reached the result. The place is the
operation where it first arose, with the values that went in, in one run that
shows it: a division by zero, `log(0)`, `exp` of a large number.

A mean over runs with such a value would be meaningless, so there is none.
If only large numbers are the trouble, try `--dtype float64`; for products of
probabilities, add logarithms and use `logsumexp`.
""", "param theta = 1\nz ~ Normal(theta, 1)\ny = theta / (z - z)\nreturn y\n"),
    page("P0503", "a gradient that is not finite", """
All values are finite, but a derivative is not: `sqrt(x)` at 0 and
`x^0.5` at 0 have an infinite slope. The place is the operation where the
derivative first became infinite or undefined.

Keep away from the point, for example by `sqrt(x + 1e-8)`, or check whether
the expectation has a derivative there at all.
""", "param theta = 0\ny = sqrt(theta)\nreturn y\n"),
    page("P0504", "a loop that does not end", """
Either the condition is true as it is written and nothing in the loop returns,
or the loop was still going on in some run after the largest number of rounds.

Check that something in the loop can make the condition false. A loop that
ends with probability 1, but only slowly, may need a higher limit.
""", "param theta = 1\nx = theta\nwhile true { x = x + 1 }\nreturn x\n"),
    page("P0505", "a recursion that does not end", """
A function called itself, directly or through others, more often than the
limit allows, at more levels or in all. Each way through a recursive function
needs a case that returns without calling on; check that the arguments come
nearer to it. One that calls itself twice, f(n - 1) + f(n - 2), comes to its
end, but only after 2^n calls if it draws, or if its arguments always differ:
then keep in an array what has been computed once. What draws nothing is
computed once for the same arguments.

A recursion that only counts can be written as a `while` loop, which has a
higher limit.
""", "param theta = 1\nfn f(x) { return f(x + 1) + 1 }\ny = f(theta)\nreturn y\n"),
    page("P0506", "a value that a function cannot take", """
The function has no value for this argument, not even nan, such as the largest
entry of an empty array. Treat that case before the call.
""", "param theta = 1\nx = zeros(0)\ny = theta * max(x)\nreturn y\n"),
    page("P0508", "values too fine for their numbers", """
Numbers are rounded: near 1 those of float32 are 6e-8 apart, those of float64
1e-16. A draw of Normal(1, 1e-7) has few different values then, and a draw of
Beta(0.3, 0.3) is often closer to 1 than any number but 1 itself, so that a
density, and with it a derivative, sees the rounding. Where float32 is too
coarse the run goes on in float64 by itself (and says so); this one is too
fine even for that.

Draws of Gamma, Chi2, Beta and Dirichlet with shapes near 0 are made as
logarithms: most are below the least number there is. That is enough as long
as the result does not depend on how far below (`x`, `x > 0.5` or `exp(-x)`,
but not `log(x)`), which is tried out; else it is refused.

Draw a standard variable and move and scale it afterwards, `x = m + s*z` with
z ~ Normal(0, 1), where z is what densities are asked of; or keep the shape
parameters away from 0.
""", "param a = 0.005\nz ~ Gamma(a, 1)\nreturn log(z)\n"),
    page("P0509", "not enough memory", """
An array is larger than the memory that is left, or a run keeps more numbers
than fit into it. Runs are made in blocks, several at once, and a block that
needs too much is halved until it is a single run; so this is what one run
needs (the screen says so where it could not be halved).

The place is the operation that asked for the memory; without one it was the
backward pass, which keeps what all operations of a run have computed.
""", "param theta = 1\nx = zeros(1000000, 1000000)\ny = theta + x[0, 0]\nreturn y\n"),
    page("P0510", "an observation that is impossible in every run", """
After this observation no run has any weight left: the value has density 0 in
each of them, or the condition holds in none. So there is nothing to average.

Check the data (a count that is no whole number, a value outside the support),
the sign of the condition, and the order of the statements. If the event is
possible but rare, make more runs, or draw from a proposal that makes it
likelier: `x ~ P via Q`.
""", "param theta = 1\nx ~ Gamma(theta, 1)\nobserve -1 ~ Gamma(x, 1)\nreturn x\n"),
    page("P0511", "no run agrees with the observations", """
Each observation agrees with some run, but no run agrees with all of them: all
likelihoods together are 0. So there is nothing to average.

Make more runs, or draw from a proposal that comes nearer to what is observed:
`x ~ P via Q`. Where draws are discrete and few, `enumerate` finds every run.
""", "param p in (0, 1) = 0.5\nn ~ Bernoulli(p)\nif n > 0 { observe n < 1 } else { observe n > 0 }\nreturn n\n"),
    page("P0601", "a parameter without a value", """
The parameter has no default in the program and none was given. Give one on
the command line, `-p theta=2` (arrays as JSON, `-p 'mu=[1, 2]'`, or from a
file, `-p mu=@mu.npy`), from Python as `program.grad({"theta": 2})`, or write
a default into the program: `param theta = 2`.

A program without `param` lines takes all free names as parameters. If this
one was meant to be something else, it is perhaps misspelt.
""", "param theta\nz ~ Normal(theta, 1)\nreturn z\n"),
    page("P0602", "data without a value", """
The program declares data without a default, so it must be given: `-d n=100`,
`-d x=@table.csv`, or `program.grad(..., data={"x": x})`.

The sizes in `data x[n, d]` come from the given array and are not given
themselves.
""", "param theta = 1\ndata x[n]\nreturn theta * sum(x)\n"),
    page("P0603", "a value for a name that the program does not have", """
`-p` names a parameter and `-d` names data that the program does not declare.
A misspelt name would otherwise leave the default in use unnoticed. The note
lists the names there are.
""", "param theta = 1\nz ~ Normal(theta, 1)\nreturn z\n", "-p tehta=2"),
    page("P0604", "a value that cannot be used", """
The value that was given is not a number or an array of numbers, is not
finite, or has another shape than the program declares.

Arrays are written as JSON: `-p 'mu=[1, 2, 3]'`, a matrix as a list of rows.
`@file.json`, `@file.npy` and `@file.csv` read a file. A single number is
taken for every entry of a declared array.
""", "param mu[3] = 0\nz ~ Normal(mu, 1)\nreturn sum(z)\n", "-p mu=[1,2]"),
    page("P0605", "a value outside its declared domain", """
The program says where the parameter lies, `param p in (0, 1)`, and the value
is not there. The interval is open: its ends do not belong to it. Entries of a
`simplex` are at least 0 and sum to 1 along the last axis.
""", "param p in (0, 1) = 0.3\nb ~ Bernoulli(p)\nreturn b\n", "-p p=1.5"),
    page("P0606", "nothing to differentiate", """
`grad` needs at least one parameter, and this program has none. Declare what
the derivative should be taken with respect to, `param theta = 1`, or sample
the program with `probrun run`.
""", "z ~ Normal(0, 1)\nreturn z\n"),
    page("P0607", "an unknown variable or site", """
`--of` names a variable that the program does not set outside functions (or
not in every run), or `--estimator` names a site that it does not have.

Sites are called by the variable they feed: `z ~ ...` is `z`; the unnamed ones
of `x = 2*Bernoulli(p) + Bernoulli(q)` are `x.1` and `x.2`; inside a function
`f` they are `f.e`; several of one name are `x`, `x#2`, `x#3` in the order of
the text. `probrun explain FILE` lists them.
""", "param theta = 1\nz ~ Normal(theta, 1)\nreturn z\n", "--of peak"),
    page("P0608", "no time for a single block of runs", """
`--max-time` was over before the first few runs were finished, so there is
nothing to report. The time is counted from the start of the command's work
and includes the choice of estimators (a third of it at most).

Give it more time, or make a run shorter. `--no-pilot` leaves the choice out.
""", "param theta = 1\nz ~ Normal(theta, 1)\nreturn z\n", "--max-time 1e-9"),
    page("P0609", "a fit of more than one number", """
`probrun fit` minimises or maximises one number, but the program has several
results, or its result is an array.

Name one result, `--of total`, or return one number: `return sum(x)`, or a
weighted sum of the results, if all of them matter.
"""),
    page("P0610", "a fit that begins at the end of a domain", """
Parameters move in coordinates without bounds, of a simplex by stick-breaking.
An entry of 0 is infinitely far away there, so nothing can begin at it.

Begin inside: `-p w=[0.98, 0.02]` in place of `[1, 0]`.
"""),
    page("P0612", "a draw that no guide can be made for", """
`probrun vi` gives every continuous draw a normal distribution of its own, in
coordinates without bounds. Here it cannot: the draw has no name, stands in a
function, is several vectors on a simplex (or correlation matrices) at once,
or the guide with a covariance would be too large or does not meet the same
draws in every run.

Give the draw a name (`x ~ Normal(0, 1)`), draw it outside of the function,
draw vectors one by one in a loop, or give it a guide of your own, `x ~
Dirichlet(a) via Dirichlet(exp(g))`, whose parameters are then fitted too.
"""),
    page("P0614", "saved results that do not belong together", """
`probrun merge` joins what runs of one program have come to, and `probrun
sweep -o FILE` goes on with a sweep that was stopped. Both refuse what would
give a wrong answer: a file that holds something else, parts of another
program (layout and comments do not count), with other parameters, data,
estimators or arithmetic, and parts whose runs draw the same random numbers,
which would be counted twice.

Give every part a seed of its own, or one seed and a share of the runs each:
`probrun grad FILE -n 1e9 --seed 1 --shard 3/8 --save part3.json`.
"""),
    page("P0701", "heavy tails", """
A warning: the gradient (or the result, of `run`) of a single run has tails so
heavy that its variance may be infinite (the tail index is below 2). A few
runs then carry most of the spread, the standard error says little, and more
runs do not mend it. The exit status is 3.

Another estimator often has lighter tails: `probrun compare` shows them side
by side. Or keep values away from poles (`1/x`, `abs(x)^(-0.5)`) and from tiny
probabilities.
"""),
    page("P0702", "a gradient that rests on few runs", """
A warning: what the gradient (or the mean, of `run`) rests on was seen in
fewer than about ten runs, or in none. An event that happened three times may
well be twice as likely, and what is rarer still has not been seen, so that
the interval covers the truth less often than it says. With d the deviations
of the single runs from their mean, the number is (sum d^2)^3 / (sum d^3)^2: k
for an event that was seen k times. Where a few large runs make the variance,
as in a heavy tail, twenty are needed. The exit status is 3.

Make more runs (`-n`). Where the event is very rare, draw it from a
distribution under which it is likelier, and multiply by the ratio of the
densities.
"""),
    page("P0703", "right estimators that contradict each other", """
A warning: two estimators are right by the text of the program, but what they
gave differs by more than 5 standard errors, also in new runs. One of them has
not seen the runs in which the derivative lies: `x / (abs(x) + 1e-8)` is
smooth, but its slope is in one run of 10^8. The exit status is 3.

While estimators are chosen, the one that has seen more wins such a
contradiction, and the report says so; this warning is about what comes out in
the end. Where none are measured (`--no-pilot`, `--among`, forced estimators)
the command line tries a score for it; `compare` says it of its rows.

Make more runs, or look at all estimators with `probrun compare`.
"""),
    page("P0704", "a kink that is met exactly", """
A warning: `abs`, `max`, `min`, `relu`, `clamp` or `sort` was met exactly at
its kink (equal operands), not by chance but with positive probability, and
the two sides have different derivatives: `min(y, demand)` where `demand` is a
count and `y` a whole number, `abs(theta)` at 0. Or a comparison was met so,
`if demand < y`, and what its ways lead to has different derivatives. There
the expectation has a corner: a derivative to the left and another to the
right. The gradient that is reported lies between the two, or is one of them.
The exit status is 3.

The warning gives both, from differences of the expectation. At a minimum the
left one is negative and the right one positive; elsewhere move the parameter
off the corner (`y = 3.01`).

Or a parameter must be a whole number where it is used: the number of trials,
a loop's bound, an index, a size. Between whole numbers there is nothing to
expect, so there is no derivative, whatever is printed: give it as data, or
compare the values at two numbers.

A kink that only a continuous draw meets has probability 0, and is harmless.
"""),
    page("P0705", "outcomes that were to be summed, and are not", """
A note, not a warning: `--estimator enumerate` was given for all sites, but at
this one the outcomes (or the ways that they lead to) are too many, or they
have no end and what would be left out does not become negligible. The site
is estimated in another way that is right here; the numbers can be trusted as
any that are sampled. The exit status stays what it is.

`--max-lanes N` allows more lanes, where that is what was short.
`probrun explain FILE` says over which state a site is summed, and what keeps
lanes apart. Set for one site, `--estimator n=enumerate`, it is an error that
the outcomes cannot be summed (P0407).
"""),
    page("P0706", "weights that few runs carry", """
A warning: the program weighs its runs (`observe`, `factor`, `via`), and a few
of them carry most of the weight. The posterior expectation, the evidence and
their derivatives are then those of these few runs, and standard errors are
too small. The exit status is 3.

Two numbers tell. The effective sample size is (sum w)^2 / sum w^2: under 100
the normal approximation behind the intervals is poor. The Pareto k is the
shape of the tail of the weights (Vehtari and others, 2024): above 0.5 their
variance is infinite, above 0.7 no number of runs that anybody makes is
enough.

Draw nearer to what is observed: `x ~ P via Q`, with a proposal Q like the
posterior, with tails that are no lighter. Where draws are discrete and few,
`enumerate` is exact.
"""),
    page("P0901", "a fault of probrun itself", """
Something inside probrun went wrong that no program and no value should be
able to cause. It is not your mistake.

The traceback and the version block below the message tell where it happened.
Please report them together with the program; leaving statements out of the
program one by one often shows which one does it, and a way around.
"""),
)
