"""Text to tree: precedence, statements, spans, what ends a statement."""

from __future__ import annotations

import math
import time

import pytest

from probrun.dsl.reading.constant_values import constant_value
from probrun.dsl.reading.expression_text import format_expression
from probrun.dsl.reading.parser import parse, parse_estimator, parse_expression
from probrun.dsl.reading.tokens import decode
from probrun.dsl.syntax import (
    Arithmetic,
    Assign,
    Block,
    Call,
    Data,
    Distribution,
    Draw,
    EstimatorCall,
    For,
    Function,
    If,
    Index,
    Interval,
    Logical,
    LogPdf,
    Name,
    Number,
    Parameter,
    Program,
    Range,
    Return,
    Sample,
    Simplex,
    Slice,
    Statement,
    Term,
    Unary,
    Vector,
    While,
    children,
)
from probrun.dsl.text.diagnostics import ProbError
from probrun.dsl.text.source import Source, Span


def program(text: str) -> Program:
    return parse(Source("test.prob", text))


def only(text: str) -> Statement:
    (statement,) = program(text).body.statements
    return statement


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-2^2", -4), ("2^-1", 0.5), ("2^3^2", 512), ("2**3", 8), ("2^-2^2", 2**-4), ("-7 % 4", 1), ("8 / 4 / 2", 1),
        ("1 - 2 - 3", -4), ("2 * 3 + 4", 10), ("2 + 3 * 4", 14), ("(2 + 3) * 4", 20), ("-2 * 3", -6), ("2 * -3", -6),
        ("--2", 2), ("2.", 2), (".5", 0.5), ("1e-3", 0.001), ("1.5E+2", 150), ("2*pi", 2 * math.pi), ("-inf", -math.inf),
    ],
)  # fmt: skip
def test_arithmetic_has_the_precedence_of_the_reference(text: str, value: float) -> None:
    assert constant_value(parse_expression(text)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "spelled_out"),
    [
        ("a or b and not c < d", "a or (b and (not (c < d)))"),
        ("not a == b", "not (a == b)"),
        ("not not a", "not (not a)"),
        ("a < b + 1 and c", "(a < (b + 1)) and c"),
        ("-a^b", "-(a^b)"),
        ("a^b[0]", "a^(b[0])"),
        ("if a then b else if c then d else e", "if a then b else (if c then d else e)"),
        ("if a or b then c + 1 else d + 2", "if (a or b) then (c + 1) else (d + 2)"),
        ("-x[0]", "-(x[0])"),
        ("2 * x % 3", "2 * x % 3"),
    ],
)
def test_precedence(text: str, spelled_out: str) -> None:
    assert parse_expression(text) == parse_expression(spelled_out)


def test_chains_are_flat_and_parentheses_are_not_lost() -> None:
    a, b, c = Name("a"), Name("b"), Name("c")
    assert parse_expression("a + b - c") == Arithmetic(a, (Term("+", b), Term("-", c)))
    assert parse_expression("(a + b) - c") == Arithmetic(Arithmetic(a, (Term("+", b),)), (Term("-", c),))
    assert parse_expression("a and b and c") == Logical("and", (a, b, c))


def test_indices() -> None:
    x = Name("x")
    assert parse_expression("x[1:3]") == Index(x, (Slice(Number(1), Number(3)),))
    assert parse_expression("x[:, -1,]") == Index(x, (Slice(None, None), Unary("-", Number(1))))
    assert parse_expression("x[:2][0]") == Index(Index(x, (Slice(None, Number(2)),)), (Number(0),))
    assert parse_expression("[[1, 2], [3, 4],]") == Vector((Vector((Number(1), Number(2))), Vector((Number(3), Number(4)))))


def test_distributions_in_expressions_are_draws() -> None:
    normal = Distribution("Normal", parse_expression("f(0, scale=2)").arguments)  # type: ignore[union-attr]
    assert parse_expression("Normal(0, scale=2)") == Draw(normal)
    assert parse_expression("logpdf(Normal(0, scale=2), z)") == LogPdf(normal, Name("z"))
    assert isinstance(parse_expression("normal(0, 2)"), Call)


def test_declarations() -> None:
    assert only("param p in (0, 1) = 0.3") == Parameter("p", (), Interval(0, 1), Number(0.3))
    assert only("param p in (-inf, 0)") == Parameter("p", (), Interval(-math.inf, 0), None)
    assert only("param a in (-pi, 2*pi)") == Parameter("a", (), Interval(-math.pi, 2 * math.pi), None)
    assert only("param w[3] in simplex") == Parameter("w", (Number(3),), Simplex(), None)
    assert only("param mu[3, d] = 0") == Parameter("mu", (Number(3), Name("d")), None, Number(0))
    assert only("data x[n, d]") == Data("x", (Name("n"), Name("d")), None)
    assert only("data N = 1000") == Data("N", (), Number(1000))


def test_statements() -> None:
    z = Distribution("Normal", parse_expression("f(a, 1)").arguments)  # type: ignore[union-attr]
    assert only("y = if x > 0 then 1 else 0") == Assign("y", (), parse_expression("if x > 0 then 1 else 0"))
    assert only("x[i, 0] = 2") == Assign("x", (Name("i"), Number(0)), Number(2))
    assert only("z ~ Normal(a, 1)") == Sample("z", (), z, None)
    assert only("z[i] ~ Normal(a, 1) using score") == Sample("z", (Name("i"),), z, EstimatorCall("score"))
    assert only("return a, b,") == Return((Name("a"), Name("b")))
    one = Block((Assign("y", (), Number(1)),))
    assert only("if a { y = 1 } else if b {} else { y = 1 }") == If(((Name("a"), one), (Name("b"), Block(()))), one)
    assert only("for t in range(2, n) { y = 1 }") == For("t", Range(Number(2), Name("n")), one)
    assert only("for t in range(n) { y = 1 }") == For("t", Range(None, Name("n")), one)
    assert only("for v in xs { y = 1 }") == For("v", Name("xs"), one)
    assert only("while c { y = 1 }") == While(Name("c"), one)
    assert only("fn f(a, b) { return a }") == Function("f", ("a", "b"), Block((Return((Name("a"),)),)))
    assert only("fn f() { return 1 }") == Function("f", (), Block((Return((Number(1),)),)))


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffy = 1\nz = 2", "y = 1\r\nz = 2\r\n", "y = 1; z = 2", ";;y = 1;;\n;z = 2;", "y\t=\t1 # c\n\n# d\nz = 2 # e",
        "y = (1\n)\n\nz = 2", "y = (\n# c\n1)\rz = (\n\n2)",
    ],
)  # fmt: skip
def test_what_ends_a_statement(text: str) -> None:
    assert program(text).body == Block((Assign("y", (), Number(1)), Assign("z", (), Number(2))))


def test_newlines_before_else_then_and_braces_do_not_count() -> None:
    assert program("if a\n{ y = 1 }\n\n# c\nelse\n{ y = 2 }").body == program("if a { y = 1 } else { y = 2 }").body
    assert program("y = if a\nthen b\nelse c").body == program("y = if a then b else c").body


def test_names_are_compared_in_nfc() -> None:
    assert only("größe = 1") == only("gro\u0308ße = 1") == Assign("gr\u00f6ße", (), Number(1))
    assert isinstance(only("результат_1 = θ"), Assign)
    assert isinstance(only("प्रायिकता = 1"), Assign)


def test_estimators() -> None:
    assert parse_estimator("score") == EstimatorCall("score")
    assert parse_estimator(" gumbel(tau=0.1, hard=true,) ") == EstimatorCall("gumbel", (("tau", 0.1), ("hard", True)))
    for bad in ("", "gumbel(0.1)", "gumbel(tau=x+1)", "score score", "gumbel(", "gumbel(tau=1, tau=2)", "1"):
        with pytest.raises(ProbError):
            parse_estimator(bad)


def test_spans_cover_the_text_of_their_nodes() -> None:
    text = "param mu[3, 4 ,  # c ]\n ] # d\nx = 2*(a + b) - f(y, k=1)[0] ; z ~ Normal(-x^2, [1, 2]) using score\nif (a) { y = 1 } else {}"
    source = Source("t", text)
    found: list[str] = []

    def walk(node: object) -> None:
        found.append(source.slice(node.span))  # type: ignore[attr-defined]
        for child in children(node):  # type: ignore[arg-type]
            walk(child)

    walk(parse(source).body)
    for piece in (
        "param mu[3, 4 ,  # c ]\n ]", "x = 2*(a + b) - f(y, k=1)[0]", "2*(a + b)", "*(a + b)", "(a + b)", "f(y, k=1)[0]", "k=1",
        "Normal(-x^2, [1, 2])", "-x^2", "z ~ Normal(-x^2, [1, 2]) using score", "score", "(a)", "{ y = 1 }", "{}",
        "if (a) { y = 1 } else {}",
    ):  # fmt: skip
        assert piece in found, piece
    sample = parse(source).body.statements[2]
    assert isinstance(sample, Sample)
    assert sample.name_span == Span(text.index("z ~"), text.index("z ~") + 1)


@pytest.mark.parametrize(
    "text",
    [
        "y = " + " + ".join(["x"] * 10_000), "y = " + " and ".join(["x"] * 10_000), "\n".join(f"y{i} = x" for i in range(10_000)),
        "y = " + "(" * 1000 + "x" + ")" * 1000, "y = " + "f(" * 1000 + "x" + ")" * 1000, "y = " + "-" * 1000 + "x",
        "y = " + "[" * 1000 + "1" + "]" * 1000, "if x {" * 1000 + "y = 1" + "}" * 1000, "y = " + "2^" * 1000 + "x",
        "if x { y = 1 }" + " else if x { y = 1 }" * 2000, "y = " + "if a then b else " * 1000 + "c",
    ],
)  # fmt: skip
def test_long_and_deep_programs_are_read(text: str) -> None:
    start = time.process_time()
    assert program(text).body.statements
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    "text",
    [
        "y = " + "(" * 1002 + "x" + ")" * 1002, "(" * 100_000, "y = " + "-" * 1001 + "x", "y = " + "2^" * 50_000 + "x", "x = 1;" * 100_000,
        "y = x" + "[0]" * 2000, "param p in (0, " + "-" * 50_000 + "1)",
    ],
)  # fmt: skip
def test_deeper_or_longer_ones_are_refused(text: str) -> None:
    with pytest.raises(ProbError) as caught:
        program(text)
    assert caught.value.code == "P0107"


def test_bytes_that_are_no_text_are_refused_at_their_place() -> None:
    for content, place in ((b"y = 1\nz = \xff\n", (2, 5)), (b"y = \0", (1, 5))):
        with pytest.raises(ProbError) as caught:
            parse(decode("t", content))
        assert (caught.value.code, caught.value.line, caught.value.column) == ("P0108", *place)


def test_unknown_distributions_are_left_to_the_names() -> None:
    assert only("z ~ Foo(1)") == Sample("z", (), Distribution("Foo", parse_expression("f(1)").arguments), None)  # type: ignore[union-attr]
    assert format_expression(parse_expression("logpdf(Foo(1), z)")) == "logpdf(Foo(1), z)"
