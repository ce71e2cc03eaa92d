"""Scopes, sites, results and definite assignment.  A problem is expected on the line that says so: `#! CODE words`."""

from __future__ import annotations

import time

import pytest

from probrun.dsl.names.resolve import External, Resolved, resolve
from probrun.dsl.reading.parser import parse
from probrun.dsl.text.diagnostics import ProbError
from probrun.dsl.text.source import Source


def resolved(text: str, **external: External) -> Resolved:
    return resolve(parse(Source("test.prob", text)), external)


def expected(text: str) -> list[tuple[int, str, str]]:
    """Line, code and words of every `#! CODE words` comment."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        for mark in line.split("#!")[1:]:
            code, _, words = mark.strip().partition(" ")
            found.append((number, code, words.strip()))
    return found


WRONG = [
    # unknown names and functions
    "param theta = 1\ny = thetta   #! P0201 did you mean `theta`",
    "param theta = 1\ny = thetta + thetta   #! P0201 did you mean `theta`",
    "param a\nfn f(x) { q = x; return q }\nreturn q + f(a)   #! P0201 only inside the function",
    "param a\nreturn a + T   #! P0201 declare it: param T",
    "y = sgmoid(1)   #! P0202 `sigmoid`",
    "y = ln(2)   #! P0202 `log(2)`",
    "y = normal(0, 1)   #! P0202 `Normal`",
    "y ~ Nromal(0, 1)   #! P0202 `Normal`",
    # calls
    "fn f(x, y) { return x + y }\ny = f(1)   #! P0203 missing: `y`",
    "fn f(x, y) { return x + y }\ny = f(1, y=2)   #! P0204 by position",
    "y = sin(1, 2)   #! P0203 sin(x)",
    "y ~ Normal(0)   #! P0203 `scale`",
    "y = logpdf(Normal(0), 1)   #! P0203 `scale`",
    "y ~ Normal(0, scal=1)   #! P0204 did you mean `scale`",
    "y ~ Bernoulli(probs=0.5, logits=0)   #! P0204 `logits`",
    "param a\nif a > 1 { return 1, 2 }\nreturn a   #! P0203 same number of results",
    # set before read
    "y = x   #! P0205 before it is set\nx = 3\nreturn y",
    "x = x + 1   #! P0205 before it is set",
    "b ~ Bernoulli(p)\nif b { y = 1 }\nz = y   #! P0205 may not be set",
    "b ~ Bernoulli(p)\nif b { y = 1 } else if p > 0 { y = 2 }\nz = y   #! P0205 may not be set",
    "while p > 2 { s = 1 }\ny = s   #! P0205 zero times",
    "for t in range(n) { s = t }\nu = t   #! P0205 zero times\ny = s   #! P0205 zero times",
    "for t in range(n) { if t > 0 { z = s }; s = t }   #! P0205 before it is set\ny = 1",
    "x[0] = 3   #! P0205 x = zeros(n)\nreturn x",
    "k = 1\nfn f(x) { k = k + x; return k }   #! P0205 its own variable\ny = f(2)",
    "fn f(x) { return g(x) }\nfn g(x) { return x * k }   #! P0205 when `f` is called\ny = f(2)\nk = 3",
    "fn f(n) { return if n <= 0 then k else f(n - 1) }   #! P0205 when `f` is called\nk = f(2)",
    "if p > 0 { y = 1 }   #! P0205 the result `y`",
    "data n = m   #! P0205 before it is declared\ndata m = 3\nreturn n",
    # what cannot be set
    "param theta = 1\ntheta = 2   #! P0206 a parameter\ny = 1",
    "param theta[2] = 1\ntheta[0] = 2   #! P0206 copy it first\ny = 1",
    "data x = 1\nx ~ Normal(0, 1)   #! P0206 data\ny = 1",
    "data x[n]\nn = 3   #! P0206 the size of data",
    "pi = 3   #! P0206 a constant\ny = 2",
    "fn f(x) { return x }\nf = 2   #! P0206 a function\ny = 2",
    "fn f(x) { pi = x; return pi }   #! P0206 a constant\ny = f(2)",
    "for pi in range(3) { y = 1 }   #! P0206 a constant",
    # declared twice
    "param a\nparam a   #! P0207 a parameter\nreturn a",
    "fn f(x) { return x }\nfn f(y) { return y }   #! P0207 a function\nreturn f(1)",
    "fn f(x, x) { return x }   #! P0207 two arguments\nreturn f(1, 2)",
    "param pi   #! P0207 a constant\nreturn pi",
    "fn sin(x) { return x }   #! P0207 built-in\nreturn sin(1)",
    # results
    "fn f(x) { if x > 0 { return 1 } }   #! P0208 not every way\ny = f(2)",
    "fn f(x) { for i in range(x) { return 1 } }   #! P0208 not every way\ny = f(2)",
    "if p > 0 { return 1 }   #! P0208 without a result",
    "param a\nfn f(x) { return x }   #! P0209 no result",
    "fn f(x) { return x, 1 }   #! P0211 2 results\ny = f(1)",
    "param a\nx = 1\nwhile true { x = x + 1 }   #! P0504 never end\nreturn x",
    # a name used as what it is not
    "y = Normal   #! P0210 a distribution",
    "y = 2 * exp   #! P0210 a built-in function",
    "x = 3\ny = x(2)   #! P0210 x[...]",
    "y ~ exp(2)   #! P0210 `=` instead of `~`",
    "x = 3\ny ~ x(2)   #! P0210 a value, not a distribution",
    "data n = Normal(0, 1)   #! P0210 cannot be random\nreturn n",
    "param a\nparam b = a   #! P0210 the parameter `a`\nreturn a + b",
    "param w[d]   #! P0201 unknown name `d`\nreturn w",
    # all of them at once, in the order of the text
    "param a\ny = b + c   #! P0201 `b` #! P0201 `c`\na = foo(1)   #! P0206 #! P0202\nreturn y",
]


@pytest.mark.parametrize("text", WRONG)
def test_every_problem_is_on_its_line(text: str) -> None:
    with pytest.raises(ProbError) as caught:
        resolved(text)
    found = [(diagnostic.position[0], diagnostic.code) for diagnostic in caught.value.diagnostics]
    wanted = expected(text)
    assert found == [(line, code) for line, code, _ in wanted]
    for diagnostic, (_, _, words) in zip(caught.value.diagnostics, wanted, strict=True):
        said = [diagnostic.title, diagnostic.label, *diagnostic.notes, diagnostic.help or ""]
        assert words in "\n".join([*said, *(label.text for label in diagnostic.labels)])


RIGHT = [
    "y = if a > 0 then 1 else b",
    "x = 1; x = x + theta",
    "b ~ Bernoulli(p)\nif b { y = 1 } else if p > 0 { y = 2 } else { y = 3 }\nz = y",
    "if p > 0 { y = 1 } else { return 2 }\nreturn y",
    "fn f(x) { while true { x ~ Normal(x, 1); if x > 0 { return x } } }\ny = f(theta)",
    "fn f(x) { if x > 0 { return 1 } else { return 2 }; z = q }\ny = f(2)",
    "y = f(2)\nfn f(n) { if n <= 0 { return 0 } else { return f(n - 1) } }",
    "k = 3\ny = f(2)\nfn f(x) { return g(x) }\nfn g(x) { return x * k }",
    "param theta = 1\nfn f(theta) { theta = theta + 1; return theta }\ny = f(theta)",
    "param theta = 1\nfn f(x) { theta = x; return theta }\ny = f(theta)",
    "for t in range(3) { s = t }\ny = s + t",
    "for t in range(1, 3) { s = t }\ny = s + t",
    "for v in [1, 2] { s = v }\ny = s",
    "x = 5\nfor x in xs { s = x }\ny = x",
    "data x[n, d]\nparam w[d] = 0\nparam v[n + 1] = 2 * n\ndata u[n] = zeros(n)\nreturn sum(w) + sum(v) + n",
    "while a > 0 { return 1 }\ny = 2\nreturn y",
]


@pytest.mark.parametrize("text", RIGHT)
def test_nothing_is_wrong(text: str) -> None:
    assert resolved(text).results


def test_free_names_are_parameters_in_the_order_of_the_text() -> None:
    names = resolved("fn f(x) { return x * beta }\nz ~ Normal(theta, s)\ny = alpha * f(z) + theta")
    assert list(names.parameters) == ["beta", "theta", "s", "alpha"]
    assert all(fact.node is None for fact in names.parameters.values())


def test_names_of_sites() -> None:
    names = resolved(
        "x = 2*Bernoulli(3*theta) + Bernoulli(theta)\n"
        "if Bernoulli(0.5) { x = Bernoulli(0.1) } else { x ~ Normal(0, 1); x ~ Normal(x, 1) }\n"
        "fn f(m) { e ~ Normal(Normal(m, 1), 1); return e + Normal(0, 1) }\n"
        "while Bernoulli(0.5) { x = f(x) }\n"
        "for i in range(Poisson(3)) { x ~ Normal(x, 1) }\n"
        "return x + Normal(0, 1)"
    )
    assert [site.name for site in names.sites] == [
        "x.1", "x.2", "if.1", "x.3", "x", "x#2", "f.e", "f.e.1", "f.return.1", "while.1", "for.1", "x#3", "return.1",
    ]
    assert [site.index for site in names.sites] == list(range(13))
    assert [site.function for site in names.sites if site.function] == ["f"] * 3
    assert all(names.site_at[id(site.node)] is site for site in names.sites)
    assert all(id(site.distribution) in names.arguments for site in names.sites)


def test_arguments_by_keyword_without_defaults() -> None:
    names = resolved("z ~ StudentT(2.5, scale=s)\ny = logpdf(Normal(0, 1), z)")
    assert [set(bound) for bound in names.arguments.values()] == [{"df", "scale"}, {"loc", "scale"}]


@pytest.mark.parametrize(
    ("text", "results", "objective"),
    [
        ("z ~ Normal(theta, 1); y = z", ("y",), "y"),
        ("y = 1; if theta > 0 { x = 3 }; y = 2", ("y",), "y"),
        ("x = 1; y = 2; if theta > 0 { x = 3 }", ("x",), "x"),
        ("return theta", ("theta",), None),
        ("return theta^2", ("result",), None),
        ("a = 1; return a, theta^2", ("a", "result2"), None),
        ("a = 1; return a, a", ("a", "result2"), None),
        ("a = 1; if theta > 1 { return a, theta }; return a, 2", ("a", "result2"), None),
    ],
)
def test_results(text: str, results: tuple[str, ...], objective: str | None) -> None:
    names = resolved(text)
    assert names.results == results
    assert names.objective == objective


def test_variables_and_what_every_run_sets() -> None:
    names = resolved("a = 1\nif theta > 0 { b = 2; return a }\nfor i in range(3) { c = 1 }\nfn f(x) { q = x; return q }\nreturn c")
    assert names.variables == {"a", "b", "c"}
    assert names.settled == {"a"}


def test_functions_of_the_embedding_program() -> None:
    net = External(lambda x: x, smooth=True, arity=1)
    assert resolved("y = net(theta)", net=net).external == {"net": net}
    with pytest.raises(ProbError, match="takes 1 argument, but is given 2"):
        resolved("y = net(theta, 2)", net=net)
    with pytest.raises(ProbError, match="already a function"):
        resolved("fn net(x) { return x }\ny = net(theta)", net=net)
    with pytest.raises(ProbError, match="a function, not a value"):
        resolved("y = net", net=net)


def test_at_most_twenty_problems_sorted_by_place() -> None:
    with pytest.raises(ProbError) as caught:
        resolved("param a\n" + "\n".join(f"x{i} = nothing{i}" for i in range(100)))
    lines = [diagnostic.position[0] for diagnostic in caught.value.diagnostics]
    assert lines == list(range(2, 22))


BIG = {
    "sum": "y = " + " + ".join(["a"] * 10_000),
    "statements": "\n".join(f"x{i} = a + {f'x{i - 1}' if i else 0}" for i in range(5_000)),
    "branches": "\n".join(f"if a > {i} {{ x{i} = a }} else {{ x{i} = 2 }}" for i in range(2_000)),
    "blocks": "y = 1\n" + "if a > 0 {" * 990 + "y = a" + "}" * 990,
    "calls": "y = " + "exp(" * 990 + "a" + ")" * 990,
    "functions": "\n".join(f"fn f{i}(x) {{ return f{i + 1}(x) + k }}" for i in range(1_000))
    + "\nfn f1000(x) { return m * x }\nk = 1; m = 2\n" + "\n".join(f"y{i} = f{i}(2)" for i in range(1_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", BIG)
def test_large_programs_take_linear_time(name: str) -> None:
    program = parse(Source("big.prob", BIG[name]))
    start = time.process_time()
    resolve(program)
    assert time.process_time() - start < 3
