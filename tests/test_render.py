"""How a diagnostic is drawn: the form of the screens, character by character."""

from __future__ import annotations

from probrun.dsl.reading.parser import parse
from probrun.dsl.text.diagnostics import Diagnostic, Label, ProbError, render, render_all
from probrun.dsl.text.source import Source, Span


def span(text: str, piece: str) -> Span:
    return Span(text.index(piece), text.index(piece) + len(piece))


def test_one_place_with_notes() -> None:
    text = "# a\nparam theta = 0.5\nx = 2*Bernoulli(3*theta) + Bernoulli(theta)\n"
    diagnostic = Diagnostic(
        "P0501", "`probs` of Bernoulli must lie in [0, 1], but is 1.5", span(text, "3*theta"), "= 1.5 where theta = 0.5",
        notes=("in 10000 of 10000 runs",), help="map it first:\nBernoulli(sigmoid(3*theta))", source=Source("examples/bernoulli.prob", text),
    )  # fmt: skip
    assert render(diagnostic) == """\
error[P0501]: `probs` of Bernoulli must lie in [0, 1], but is 1.5
 --> examples/bernoulli.prob:3:17
  |
3 | x = 2*Bernoulli(3*theta) + Bernoulli(theta)
  |                 ^^^^^^^ = 1.5 where theta = 0.5
  |
  = note: in 10000 of 10000 runs
  = help: map it first:
          Bernoulli(sigmoid(3*theta))"""


def test_second_places_by_line() -> None:
    text = "x ~ Normal(theta, 1)\nif x > 0 {\n  y = 1\n}\nz = x"
    diagnostic = Diagnostic(
        "P0402", "`rsample` would give a wrong gradient at site `x`", span(text, "x > 0"), "the result jumps where this test flips",
        labels=(Label(span(text, "z = x"), "read here"), Label(span(text, "x ~ Normal(theta, 1)"), "set by hand"), Label(span(text, "if x"), "")),
        help="leave the choice to probrun", source=Source("step.prob", text),
    )  # fmt: skip
    assert render(diagnostic) == """\
error[P0402]: `rsample` would give a wrong gradient at site `x`
 --> step.prob:2:4
  |
1 | x ~ Normal(theta, 1)
  | -------------------- set by hand
2 | if x > 0 {
  | ----
  |    ^^^^^ the result jumps where this test flips
...
5 | z = x
  | ----- read here
  |
  = help: leave the choice to probrun"""


def test_wide_margin_tabs_wide_and_combining_characters() -> None:
    text = "\n" * 9 + "\t名 = e\u0301 + 値 + x\x1b"
    diagnostic = Diagnostic("P0201", "unknown name `値`", span(text, "値"), "here", source=Source("t", text))
    assert render(diagnostic) == """\
error[P0201]: unknown name `値`
  --> t:10:11
   |
10 |     名 = e\u0301 + 値 + x\ufffd
   |              ^^ here"""


def test_a_long_line_is_cut_around_the_caret() -> None:
    text = "y = [" + ", ".join(f"{i}.25" for i in range(1000)) + "]"
    for piece in ("0.25", "7.25", "500.25", "998.25", "999.25]"):
        lines = render(Diagnostic("P0101", "wrong", span(text, piece), "this", source=Source("t", text))).splitlines()
        assert len(lines[3]) <= 4 + 100
        start = lines[4].index("^")
        assert lines[3][start : start + len(piece)] == piece
    whole = render(Diagnostic("P0101", "wrong", Span(0, len(text)), source=Source("t", text))).splitlines()
    assert whole[3].endswith("...") and len(whole[4]) <= 4 + 100


def test_several_lines_and_the_end_of_the_file() -> None:
    source = Source("t", "if x {\n  y = 1\n}")
    assert render(Diagnostic("P0101", "a", Span(0, 16), source=source)).splitlines()[3:] == ["1 | if x {", "  | ^^^^^^"]
    assert render(Diagnostic("P0103", "a", Span(16, 16), "here", source=source)).splitlines()[3:] == ["3 | }", "  |  ^ here"]
    assert render(Diagnostic("P0109", "empty", Span(0, 0), source=Source("t", ""))).splitlines()[2:] == ["  |", "1 |", "  | ^"]


def test_without_a_place() -> None:
    assert render(Diagnostic("P0601", "`theta` has no value", help="-p theta=1")) == "error[P0601]: `theta` has no value\n  = help: -p theta=1"
    assert render(Diagnostic("P0108", "a directory", source=Source("d", ""))) == "error[P0108]: a directory\n --> d"


def test_colour_adds_nothing_but_codes() -> None:
    import re

    diagnostic = Diagnostic("P0101", "a", Span(0, 1), "b", (Label(Span(4, 5), "c"),), ("n",), "h", Source("t", "x = 1"))
    coloured = render(diagnostic, colour=True)
    assert "\x1b[1;31m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == render(diagnostic)


def test_several_are_separated_by_an_empty_line() -> None:
    try:
        parse(Source("t", "y = 2x\nz = ="))
    except ProbError as error:
        assert render_all(error.diagnostics) == str(error)
        assert str(error).count("\n\nerror[") == 1
