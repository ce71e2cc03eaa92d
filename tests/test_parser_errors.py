"""Syntax errors: code, place and hint; several in one file; no cascades; nothing but `ProbError` escapes."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probrun.dsl.reading.parser import parse
from probrun.dsl.text.diagnostics import ProbError
from probrun.dsl.text.source import Source


def errors(text: str) -> list[tuple[str, int | None, int | None]]:
    with pytest.raises(ProbError) as caught:
        parse(Source("test.prob", text))
    return [(found.code, *found.position) for found in caught.value.diagnostics]


CASES = """
P0110  5  2*x                    y = 2x
P0110  5  2*(...)                y = 2(x + 1)
P0110  7  (...)*(...)            y = (a)(b)
P0110  5  1000                   y = 1_000
P0110  1  x = 3 + y              x <- 3 + y
P0110  1  x = 3                  x == 3
P0110  6  ==                     if x = 1 { y = 2 }
P0110  8  ==                     y = (a = b)
P0110  5  a < b and b < c        y = a < b < c
P0110  7  two statements         a = b = 3
P0104  7  minus sign             y = a − b
P0104  7  multiply with *        y = a × b
P0104  6  ^2                     y = θ²
P0104  5  only numbers           y = “a”
P0104  5  only numbers           y = "a"
P0104  6  ordinary space         y = x\u00a0+ 1
P0104  7  write and              y = a & b
P0110  7  write and              y = a && b
P0110  7  write or               y = a || b
P0104  5  write not              y = !a
P0104  7  matmul                 y = a @ b
P0104  6  sum(x)                 y = x.sum()
P0104  7  if a then b else c     y = a ? b : c
P0110  3  assign with =          x := 3
P0110  3  x = x + 1              x += 1
P0110  2  x = x + 1              x++
P0110  7  floor                  y = a // b
P0106  5  inf                    y = 1e400
P0110  1  write y                let y = 3
P0110  1  else if                elif x { y = 1 }
P0110 16  else if                if x { y = 1 } elif z { y = 2 }
P0110  1  fn f(x) {              def f(x) { return x }
P0110  5  { ... }                if x:
P0110 11  range                  for i in 0:10 { y = 1 }
P0110 10  range                  for i in 0..10 { y = 1 }
P0110  7  if c then 1 else 2     y = 1 if c else 2
P0101  9  (if c then             y = 2 * if a then b else c
P0110  6  if c {                 if x then { y = 1 }
P0112 11  observe z == 0         observe z = 0
P0105  1  in_                    in = 3
P0105  7  data_                  y = 2*data
P0105  7  in_                    param in = 3
P0110  5  arange                 y = range(3)
P0203 10  range(start, stop)     for i in range(1, 2, 3) { y = 1 }
P0110 12  (0, 1)                 param p in [0, 1] = 0.3
P0110 15  before                 param p = 0.3 in (0, 1)
P0101 12  lower bound            param p in (1, 0)
P0101 16  pi                     param p in (0, k)
P0101 12  simplex                param p in positive
P0110  8  param b                param a, b
P0101  8  leave it out           data x in (0, 1)
P0101  5  z = 3                  z ~ 3
P0210  5  Normal(loc, scale)     z ~ Normal
P0101  1  x[0, 1] = 3            x[0][1] = 3
P0101  1  fn f                   f(x) = 3
P0101 18  x ~ Normal             y = Normal(0, 1) using score
P0101 31  tau=0.1                z ~ Normal(0, 1) using gumbel(0.1)
P0101  6  [0]                    y = []
P0101  7  x[:]                   y = x[]
P0110 10  start:stop             y = x[1:2:3]
P0110  7  [a, b]                 y = (1, 2)
P0101  5  [1, 2]                 y = {1, 2}
P0101  5  leave the +            y = +1
P0101  1  parentheses            + 2
P0111  1  parentheses            - 2
P0111  1  return x               x
P0111  1  x ~ Normal             Normal(0, 1)
P0111 18  top level              if x > 0 { param q = 1 }
P0110  7  default                fn f(x=1) { return x }
P0101  1  return y               return
P0210 12  logpdf                 y = logpdf(z, Normal(0, 1))
P0203  5  logpdf                 y = logpdf(Normal(0, 1))
P0102 11  `)`                    y = (1 + 2]
P0102  6  leave out              y = 1) + 2
P0102  6  `}`                    if a { y = 1
P0102  6  `)`                    y = f(
P0101 20  new line               if x > 0 { y = 1 } z = 2
P0101  1  if c                   else { y = 1 }
P0207  4  another name           fn range(n) { return n }
""".strip().splitlines()


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_reported_once_at_its_place_with_a_hint(case: str) -> None:
    code, column, hint, text = case[:5], int(case[5:8]), case[10:33].strip(), case[33:].replace("\\u00a0", "\u00a0")
    if text == "if x:":
        text, column = "if x:\n    y = 1\nelse:\n    y = 2", 5
    with pytest.raises(ProbError) as caught:
        parse(Source("test.prob", f"a = 1\n{text}\nb = 2\n" if not text.startswith(("else", "if x:", "if a {", "y = f(")) else f"a = 1\n;{text}"))
    found = caught.value.diagnostics
    offset = 1 if text.startswith(("else", "if x:", "if a {", "y = f(")) else 0
    assert [(other.code, *other.position) for other in found] == [(code, 2, column + offset)]
    assert hint in (found[0].help or "") + found[0].title


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("y = z +\n", "P0103", 1, 8), ("y = 1\ny = z +", "P0103", 2, 8), ("y = z +\nreturn y", "P0101", 1, 8),
        ("while x > 0", "P0103", 1, 12), ("", "P0109", 1, 1), ("# c\n;;\n", "P0109", 1, 1),
        ("m = [\n [1, 2],\n  3, # ]\n k=4,\n\n -5\ny = 1", "P0102", 1, 5), ("z ~ Normal(0,\n  scale=1,\n\ny = z", "P0102", 1, 11),
        ("fn f(x) {\n return x\n", "P0102", 1, 9), ("z ~ Normal(theta, 2\ny = z\nreturn y", "P0102", 1, 11),
    ],
)  # fmt: skip
def test_what_ends_too_early(text: str, code: str, line: int, column: int) -> None:
    assert errors(text) == [(code, line, column)]


def test_every_statement_reports_its_own_error() -> None:
    text = "y = * 2\nfor t range(3) {\n  x = = 2\n  y = 3 +\n  z = 1\n}; z = / 2\nw = 1\nif a { p = 1e999 } else { q = ] }\nr = 2x"
    assert [line for _, line, _ in errors(text)] == [1, 2, 3, 4, 6, 8, 8, 9]


def test_at_most_twenty_errors_sorted_by_place() -> None:
    found = errors("y = = 1\n" * 50)
    assert len(found) == 20
    assert found == sorted(found, key=lambda other: other[1:])


PIECES = ["y", "=", "~", "Normal", "(", ")", "[", "]", "{", "}", "if", "else", "then", "for", "in", "range", "1", "2.5", "+", "-", "^", "<",
          "\n", ";", ",", ":", "return", "param", "data", "fn", "using", "while", "and", "not", "×", "observe", "#", "'", "logpdf", "&&"]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=40).map(" ".join)))
def test_nothing_but_prob_error_escapes(text: str) -> None:
    source = Source("test.prob", text)
    try:
        parse(source)
    except ProbError as error:
        assert 1 <= len(error.diagnostics) <= 20
        assert len({(found.code, found.span) for found in error.diagnostics}) == len(error.diagnostics)
        for found in error.diagnostics:
            assert found.span is not None
            assert 0 <= found.span.start <= found.span.end <= len(text) + 1
        assert str(error)


def test_garbage_is_refused_quickly() -> None:
    generator = random.Random(7)
    start = time.process_time()
    for top in (127, 0x2FFF):
        found = errors("".join(chr(generator.randrange(1, top)) if generator.random() > 0.03 else "\n" for _ in range(20_000)))
        assert len(found) == 20 or top > 127
    assert time.process_time() - start < 5
