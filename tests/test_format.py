"""The formatter: the tree is kept, formatting twice changes nothing, comments stay."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probrun.dsl import syntax as s
from probrun.dsl.reading.expression_text import format_expression
from probrun.dsl.reading.format import format_program, format_source
from probrun.dsl.reading.parser import parse, parse_expression
from probrun.dsl.text.diagnostics import ProbError
from probrun.dsl.text.source import Source


def formatted(text: str) -> str:
    """The canonical text, after checking both laws."""
    source = Source("test.prob", text)
    result = format_source(source)
    again = Source("test.prob", result)
    assert parse(again).body == parse(source).body
    assert format_source(again) == result
    return result


names = st.sampled_from(["x", "theta", "größe", "y_1", "inf", "simplex"])
numbers = st.builds(s.Number, st.floats(min_value=0, allow_infinity=False, allow_nan=False) | st.integers(0, 99).map(float))
leaves = st.one_of(numbers, st.builds(s.Boolean, st.booleans()), st.builds(s.Name, names))


def arguments(inner: st.SearchStrategy[s.Expression], least: int = 0) -> st.SearchStrategy[tuple[s.Argument, ...]]:
    return st.lists(st.builds(s.Argument, st.none() | st.just("scale"), inner), min_size=least, max_size=3).map(tuple)


def distributions(inner: st.SearchStrategy[s.Expression]) -> st.SearchStrategy[s.Distribution]:
    return st.builds(s.Distribution, st.sampled_from(["Normal", "Bernoulli"]), arguments(inner))


def items(inner: st.SearchStrategy[s.Expression]) -> st.SearchStrategy[tuple[s.Expression | s.Slice, ...]]:
    return st.lists(inner | st.builds(s.Slice, st.none() | inner, st.none() | inner), min_size=1, max_size=2).map(tuple)


def chain(inner: st.SearchStrategy[s.Expression], operators: str) -> st.SearchStrategy[s.Expression]:
    rest = st.lists(st.builds(s.Term, st.sampled_from(operators), inner), min_size=1, max_size=3).map(tuple)
    return st.builds(s.Arithmetic, inner, rest)


def larger(inner: st.SearchStrategy[s.Expression]) -> st.SearchStrategy[s.Expression]:
    return st.one_of(
        chain(inner, "+-"),
        chain(inner, "*/%"),
        st.builds(s.Unary, st.sampled_from(["-", "not"]), inner),
        st.builds(s.Power, inner, inner),
        st.builds(s.Comparison, st.sampled_from(["<=", "<", ">=", ">", "==", "!="]), inner, inner),
        st.builds(s.Logical, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(s.Conditional, inner, inner, inner),
        st.builds(s.Vector, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(s.Index, inner, items(inner)),
        st.builds(s.Call, st.sampled_from(["exp", "f"]), arguments(inner)),
        st.builds(s.Draw, distributions(inner)),
        st.builds(s.LogPdf, distributions(inner), inner),
    )


expressions = st.recursive(leaves, larger, max_leaves=12)
small = st.recursive(leaves, larger, max_leaves=3)
estimators = st.none() | st.builds(
    s.EstimatorCall, st.just("gumbel"), st.sampled_from([(), (("tau", 0.1),), (("tau", -2.0), ("hard", True)), (("tau", 1e-9),)])
)
indices = st.just(()) | items(small)
simple = st.one_of(
    st.builds(s.Assign, names, indices, small),
    st.builds(s.Sample, names, indices, distributions(small), estimators),
    st.builds(s.Return, st.lists(small, min_size=1, max_size=2).map(tuple)),
)


def compound(inner: st.SearchStrategy[s.Statement]) -> st.SearchStrategy[s.Statement]:
    blocks = st.builds(s.Block, st.lists(inner, max_size=3).map(tuple))
    branches = st.lists(st.tuples(small, blocks), min_size=1, max_size=3).map(tuple)
    return st.one_of(
        st.builds(s.If, branches, st.none() | blocks),
        st.builds(s.For, names, st.builds(s.Range, st.none() | small, small) | small, blocks),
        st.builds(s.While, small, blocks),
    )


statements = st.recursive(simple, compound, max_leaves=5)
shapes = st.lists(small, max_size=2).map(tuple)
domains = st.sampled_from([None, s.Simplex(), s.Interval(0, 1), s.Interval(float("-inf"), -1.5), s.Interval(1e-9, 6.283185307179586)])
declarations = st.one_of(
    st.builds(s.Parameter, names, shapes, domains, st.none() | small),
    st.builds(s.Data, names, shapes, st.none() | small),
    st.builds(s.Function, names, st.lists(names, max_size=2).map(tuple), st.builds(s.Block, st.lists(statements, max_size=2).map(tuple))),
)
programs = st.builds(s.Block, st.lists(statements | declarations, min_size=1, max_size=4).map(tuple))


@settings(max_examples=150, deadline=None)
@given(expressions)
def test_an_expression_comes_back(node: s.Expression) -> None:
    assert parse_expression(format_expression(node)) == node


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(programs)
def test_a_program_comes_back(body: s.Block) -> None:
    text = format_program(body)
    assert parse(Source("test.prob", text)).body == body
    assert formatted(text) == text


COMMENTS = st.sampled_from(["", " # c", "\n# d ;{(\n", "\n\n\n", "\t"])
SKELETONS = [
    "@y = (@1 +@ 2)@*3@\n@z ~ Normal(@0,@ 1@)@\n@", "@if a {@\ny = 1@;@ x = 2@\n@}@\nelse if b@\n{@\n}@\nelse {@\nz = 2@\n}@\n",
    "@param p in (@0,@ 2*pi@) =@ 0.3@\nm = [[1,@ 2@],@\n [3, 4]@,]@\n@return (@f(@p, k=@m@)@), m@\n", "@fn f(@a,@ b) {@\nreturn@ a\n@}@; y = f(1,@2)@",
    "@y = if a@\nthen b@\nelse (@c@)@\n@", "@\n@for t in range(@3@) {@\n@while (@a@) {@\n@}@\n}@\nx[@1:2@,@ ] = 1",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_comments_and_blank_lines_anywhere(data: st.DataObject) -> None:
    pieces = data.draw(st.sampled_from(SKELETONS)).split("@")
    text = pieces[0] + "".join(data.draw(COMMENTS) + piece for piece in pieces[1:])
    try:
        parse(Source("test.prob", text))
    except ProbError:
        return
    result = formatted(text)
    assert sorted(line.split("#")[1].strip() for line in result.splitlines() if "#" in line) == sorted(
        line.split("#")[1].strip() for line in text.splitlines() if "#" in line
    )
    assert "\n\n\n" not in result
    assert all(line == line.rstrip() for line in result.splitlines())


def test_the_look() -> None:
    text = """\ufeff
# head


param theta=1.5# touching
param p in (  # low
  0, 2*pi # high
  ) = .3
x[((1+2)), 1:(3)] =((2)*(3+4))**((2)) ; y=-(x)   # tail
if (theta>0) {   # yes
\t# alone
\ty = 1


\tz ~ Normal(0,scale=1)using gumbel(tau=0.1,)


}
else { y = 2 } # no
return   x,y, # done
# end"""
    assert formatted(text) == """# head

param theta = 1.5  # touching
param p in (  # low
    0, 2 * pi  # high
) = .3
x[1 + 2, 1:3] = (2 * (3 + 4))^2
y = -x  # tail
if theta > 0 {  # yes
    # alone
    y = 1

    z ~ Normal(0, scale=1) using gumbel(tau=0.1)

} else {
    y = 2
}  # no
return x, y  # done
# end
""".replace("using gumbel(tau=0.1)\n\n}", "using gumbel(tau=0.1)\n}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("y = a - (b - c)", "y = a - (b - c)"), ("y = (a - b) - c", "y = (a - b) - c"), ("y = ((a))*((b))", "y = a * b"),
        ("y = (-2)^2", "y = (-2)^2"), ("y = -(2^2)", "y = -2^2"), ("y = 2^(-1)", "y = 2^-1"), ("y = 2^(3^2)", "y = 2^3^2"),
        ("y = (not a) and b", "y = not a and b"), ("y = not (a and b)", "y = not (a and b)"), ("y = 1 + (if a then b else c)", "y = 1 + (if a then b else c)"),
        ("y = (a)[0]", "y = a[0]"), ("y = (a+b)[0]", "y = (a + b)[0]"), ("y = [\n1,\n2,\n]", "y = [1, 2]"), ("while c {}", "while c {\n}"),
    ],
)  # fmt: skip
def test_only_the_parentheses_that_are_needed(text: str, expected: str) -> None:
    assert formatted(text) == expected + "\n"


def test_a_long_statement_keeps_its_line_breaks() -> None:
    row = ", ".join(str(10**9 + i) for i in range(6))
    assert formatted(f"m = [\n  [{row}],\n[{row}] ]") == f"m = [\n    [{row}],\n    [{row}]]\n"


def test_long_and_deep_programs() -> None:
    formatted("y = " + " + ".join(["x"] * 3000))
    text = format_source(Source("t", "y = " + "f(1 + " * 900 + "x" + ")" * 900))
    assert text.count("f(") == 900
