"""Pages of the codes P02: names and calls."""

from __future__ import annotations

from .code_page import page

PAGES = (
    page("P0201", "an unknown name", """
The name is read here, but nothing in the program gives it a value: it is no
parameter, no data, no size of data and no variable that this place can see.
Usually it is misspelt; the help line proposes the nearest known name.

A program without any `param` line takes such names as scalar parameters. As
soon as there is one `param` line, every parameter has to be declared, so that
a slip of the finger does not become a parameter.

The variables of a function are its own: outside, return them.
""", "param theta = 1\nz ~ Normal(theta, 1)\ny = thetta * z\nreturn y\n"),
    page("P0202", "an unknown function or distribution", """
Nothing of this name can be called. Distributions are called as in
torch.distributions, with a capital letter (`Normal`, `StudentT`); functions
are written in small letters (`exp`, `logsumexp`).

`probrun help` lists all of them. A function of your own is written
`fn name(x) { return ... }`; one in Python is handed over by
`probrun.load(path, functions={...})`.
""", "param theta = 1\nz ~ Nromal(theta, 1)\nreturn z\n"),
    page("P0203", "a wrong number of arguments or results", """
The call has too few or too many arguments; the note shows how it is called,
and where one is missing it is named. `Normal` needs both `loc` and `scale`:
the second argument is the standard deviation.

Several `return`s of a program must give the same number of results, since
every run has to end with the same things.
""", "param theta = 1\nz ~ Normal(theta)\nreturn z\n"),
    page("P0204", "a keyword argument that does not fit", """
The distribution has no argument of this name, the argument is given twice, or
two are given of which one follows from the other (`probs` and `logits`).
Keyword names are those of torch.distributions.

Functions, built in or your own, take their arguments by position only.
""", "param theta = 1\nz ~ Normal(theta, sigma=1)\nreturn z\n"),
    page("P0205", "a name that may not be set when it is read", """
There is a way through the program on which the name is read before it has a
value. With random conditions some run would take that way, so it is refused
before anything runs.

- Only one branch of an `if` sets it: set it in every branch, or before.
- Only a loop sets it: a loop may run zero times, so set it before as well.
  (`for` over a range of plain numbers, as `range(3)`, surely runs.)
- A function reads an outer variable that is set only after the call.
- A function sets the name itself: then it is the function's own variable in
  all of it, and the outer one is not seen. Use another name.

Conditions are not looked at: `if true { x = 1 }` does not surely set `x`.
""", "param p = 0.5\nb ~ Bernoulli(p)\nif b {\n    y = 1\n}\nz = y + 1\nreturn z\n"),
    page("P0206", "something that cannot be set", """
Parameters and data are given from outside and keep their values during a run:
only so is the derivative with respect to a parameter well defined. Constants
(`pi`, `inf`), functions and distributions mean the same in the whole file.

Give the new value a name of its own. To change one element of an array that
was given, copy it first: `y = x; y[0] = 1` leaves `x` alone.

Inside a function the name of a parameter may be used for an argument or a
variable of the function; the outer one stays as it is.
""", "param theta = 1\ntheta = theta + 1\nreturn theta\n"),
    page("P0207", "a name that is declared twice", """
Two declarations want the same name: two `param` or `data` lines, two
functions, two arguments of one function, or a declaration and a built-in
function or distribution. The second label shows the first declaration.

The size names in `data x[n, d]` are declared there. Writing `n` again in
the shape of other data is fine: then the sizes must agree.
""", "param theta = 1\nparam theta = 2\nreturn theta\n"),
    page("P0208", "a way that ends without a result", """
A function must return a value on every way through it, and a program that
uses `return` must do so for every run. Here some way reaches the end without
one.

Add a `return` at the end. A loop counts as one that may run zero times, so a
`return` inside it is not enough, unless the loop is `while true`.
""", "param theta = 1\nfn f(x) {\n    if x > 0 { return x }\n}\ny = f(theta)\nreturn y\n"),
    page("P0209", "the program has no result", """
The result of a program is the value of its `return`, or else the variable
that is set last. This program has neither: it only declares things.

Add, for example, `return y`.
""", "param theta = 1\nfn f(x) { return x^2 }\n"),
    page("P0210", "a name used as something that it is not", """
A function or a distribution stands where a value belongs, or a value where a
function or a distribution belongs.

- A distribution is not a value: draw from it, `z ~ Normal(0, 1)`, or write
  `Normal(0, 1)` with its arguments inside an expression.
- `x(2)` calls `x`: a product is `x*(2)`, an entry is `x[2]`.
- `z ~ f(x)` draws: what a function returns is taken with `z = f(x)`.
- Sizes and defaults are worked out before anything runs. They can use
  numbers, data, sizes of data and built-in functions, but no parameter, no
  variable and no draw.
""", "param theta = 1\nz = Normal\nreturn z + theta\n"),
    page("P0211", "several results from a function", """
`return a, b` gives the program several named results, and the gradient of
each. A function has one value.

Return a vector, `return [a, b]`, and take its entries where it is called:
`r = f(x); y = r[0] + r[1]`.
""", "param theta = 1\nfn f(x) { return x, x^2 }\ny = f(theta)\nreturn y\n"),
    page("P0212", "a proposal that draws other things than its target", """
In `z ~ P via Q` the value is drawn from Q, and the run is weighed by
p(z)/q(z). So both must draw the same kind of values: whole numbers or reals,
numbers or vectors. A normal distribution cannot propose a count.

Propose from a distribution of the same kind whose support covers that of the
target, with tails that are no lighter.
""", "param m = 0\nz ~ Poisson(3) via Normal(m, 1)\nreturn z\n"),
    page("P0213", "a proposal that misses values of its target", """
In `z ~ P via Q` a value that Q never draws can have no weight: what P would
give there would be missing from every result, and nothing that is drawn would
tell. Here some values of P lie outside the support of Q.

Propose from a distribution that covers the target: a half line from a half
line (`Gamma`, `LogNormal`), an interval from an interval (`Beta`, `Uniform`
with ends that are no narrower), all reals from all reals.
""", "param m = 1\nz ~ Normal(0, 1) via Gamma(m, 1)\nreturn z\n"),
)
