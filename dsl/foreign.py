"""Syntax of other languages that fits no rule here: what was written, and how it is written here.

One function per habit, tried in order by `syntax_errors.explain` before anything plainer is said; the words themselves
are in `synonyms.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .diagnostics import Diagnostic
from .meanings import dotted_meant
from .source import Span
from .synonyms import BLOCKS, DECLARED, WORDS
from .tokens import span_of

if TYPE_CHECKING:
    from .syntax_errors import Place

ENDS = frozenset({"NUMBER", "NAME", "TRUE", "FALSE", "RPAR", "RSQB"})
LINE_ENDS = frozenset({"SEPARATOR", "$END", "RBRACE"})
LITERAL_ENDINGS = frozenset({"f", "F", "L", "l", "d", "u", "j"})


def dotted(place: Place) -> Diagnostic | None:
    """`np.exp(x)`, `x.sum()`, `x.shape`, `Normal(0, 1).sample()`, `std::exp(x)`."""
    width = _dots(place, place.index)
    before = place.before
    if not width or before is None or before.type not in ("NAME", "RPAR", "RSQB"):
        return None
    parts = [str(before)] if before.type == "NAME" else []
    index = place.index
    while (width := _dots(place, index)) and place.type_at(index + width) == "NAME":
        parts.append(str(place.tokens[index + width]))
        index += width + 1
    if len(parts) < 2 and before.type == "NAME":
        return None
    start = place.index - 1
    if before.type != "NAME":
        start = _opening(place, start)
        value = place.text(start, place.index)
    else:
        value = ""
    if not parts:
        return None
    title, advice = dotted_meant(parts, value, place.type_at(index) == "LPAR")
    return place.diagnostic("P0104", title, advice, span=Span(span_of(place.token).start, span_of(place.tokens[index - 1]).end))


def _dots(place: Place, index: int) -> int:
    """How many tokens the `.` or `::` at an index takes; 0 where there is none."""
    if place.type_at(index) == "UNKNOWN" and place.tokens[index] == ".":
        return 1
    if place.type_at(index) == place.type_at(index + 1) == "COLON":
        return 2 if span_of(place.tokens[index]).end == span_of(place.tokens[index + 1]).start else 0
    return 0


def _opening(place: Place, index: int) -> int:
    """Where the call, the index or the parenthesis that ends at a bracket begins."""
    depth = 0
    while index >= place.statement:
        kind = place.type_at(index)
        depth += (kind in ("RPAR", "RSQB")) - (kind in ("LPAR", "LSQB"))
        if not depth:
            break
        index -= 1
    return index - 1 if index > place.statement and place.type_at(index - 1) == "NAME" else max(index, place.statement)


def comment(place: Place) -> Diagnostic | None:
    """`// words`, `/* words */`, `-- words`, `% words` where a statement would begin, or after one."""
    if place.token.type not in ("WRONG", "PERCENT") or str(place.token) not in ("//", "%"):
        return None
    words = [token.type for token in place.tokens[place.index + 1 :]]
    length = next((i for i, kind in enumerate(words) if kind in LINE_ENDS), len(words))
    prose = any(one == other == "NAME" for one, other in zip(words[:length], words[1:length], strict=False))
    if place.before is not None and not (str(place.token) == "//" and prose):
        return None
    return place.diagnostic("P0110", f"`{place.token}` does not begin a comment", "a comment starts with #")


def block(place: Place) -> Diagnostic | None:
    """`model { ... }`, `data { ... }`, `parameters { ... }` of Stan."""
    before = place.before
    if place.token.type != "LBRACE" or before is None or str(before) not in BLOCKS:
        return None
    span = Span(span_of(place.first).start, span_of(before).end)
    return place.diagnostic("P0110", f"there is no `{place.text(place.statement, place.index)}` block", BLOCKS[str(before)], span=span)


def declared(place: Place) -> Diagnostic | None:
    """`real theta`, `real<lower=0> sigma`, `vector[3] mu`, `int n = 10`: types do not belong to names."""
    word = place.first
    if word.type != "NAME" or str(word) not in DECLARED or place.index == place.statement:
        return None
    rest = [token for token in place.tokens[place.index :] if token.type in LINE_ENDS or token.type in ("NAME", "ASSIGN")]
    line = rest[: next((i for i, token in enumerate(rest) if token.type in LINE_ENDS), len(rest))]
    names = [token for token in line if token.type == "NAME"]
    bounded = place.text(place.statement, place.index + 1).find("<") >= 0
    if place.token.type != "NAME" and not bounded and not (place.before is not None and place.before.type == "RSQB"):
        return None
    name = str(names[-1] if bounded and names else place.token)
    if not name.isidentifier():
        return None
    sizes = ""
    if place.type_at(place.statement + 1) == "LSQB" and not bounded:
        sizes = place.text(place.statement + 1, place.index)
    value = "= ..." if any(token.type == "ASSIGN" for token in line) and not bounded else ""
    span = Span(span_of(word).start, span_of(place.token).end)
    if value:
        return place.diagnostic("P0110", "a name has no type", f"write {name} = ...", span=span)
    domain = " in (0, inf)" if bounded else ""
    advice = f"write param {name}{sizes}{domain}, or for what is observed data {name}{sizes}"
    return place.diagnostic("P0110", "a name has no type", advice, span=span)


def quoted_call(place: Place) -> Diagnostic | None:
    """`sample("z", Normal(0, 1))`, `print("theta")`."""
    if place.token.type != "WRONG" or place.token[0] not in "\"'" or place.kind(-1) != "LPAR" or place.kind(-2) != "NAME":
        return None
    name, text = str(place.tokens[place.index - 2]), str(place.token)[1:-1]
    written = {"sample": f"write {text} ~ Normal(0, 1)", "param": f"write a line: param {text} = 1"}.get(name, WORDS.get(name, ""))
    if not written:
        return None
    span = Span(span_of(place.tokens[place.index - 2]).start, span_of(place.token).end)
    return place.diagnostic("P0110", f"there is no `{name}`", written, span=span)


def conditioned(place: Place) -> Diagnostic | None:
    """`normal_lpdf(y | mu, sigma)`."""
    if place.token.type != "UNKNOWN" or place.token != "|" or not place.tokens[place.statement : place.index]:
        return None
    for token in place.tokens[place.statement : place.index]:
        if token.type == "NAME" and token.endswith(("_lpdf", "_lpmf", "_lcdf", "_lccdf")):
            return place.diagnostic("P0110", f"there is no `{token}`", "write logpdf(Normal(mu, sigma), y)", span=span_of(token))
    return None


def anonymous(place: Place) -> Diagnostic | None:
    """`f = lambda x: x^2`, `f = function(x) x^2`, `map(x -> x^2, y)`."""
    before = place.before
    if before is None or place.index == place.statement + 1:
        return None
    for index in range(place.statement + 1, place.index):
        if place.type_at(index) == "NAME" and str(place.tokens[index]) in ("lambda", "function") and place.type_at(index + 1) in ("NAME", "LPAR", "COLON"):
            advice = "a function has a name and a line of its own: fn f(x) { return ... }"
            return place.diagnostic("P0110", f"there is no `{place.tokens[index]}`", advice, span=span_of(place.tokens[index]))
    return None


def comprehension(place: Place) -> Diagnostic | None:
    """`[x^2 for x in xs]`."""
    if place.token.type != "FOR" or place.before is None or place.before.type not in ENDS:
        return None
    advice = "arithmetic works on whole arrays: xs^2; or fill one in a loop: y = zeros(n) and y[i] = ... for i in range(n)"
    return place.diagnostic("P0110", "a `for` makes no list", advice)


def loop_head(place: Place) -> Diagnostic | None:
    """`for (i in 1:10)`, `for (int i = 0; i < n; i++)`, `for i = 1:10`, `for i, x in enumerate(xs)`, `if (c) y = 1`."""
    kind = place.first.type
    if kind == "FOR":
        if place.token.type == "LPAR" and place.index == place.statement + 1:
            return place.diagnostic("P0110", "the head of a `for` has no parentheses", "write for i in range(10) { ... }")
        if place.token.type in ("ASSIGN", "COMMA") and place.index == place.statement + 2:
            advice = f"write for {place.before} in range(10) {{ ... }}"
            return place.diagnostic("P0110", f"a `for` has no `{place.token}`", advice)
    statement = place.token.type in ("NAME", "RETURN") and (place.type_at(place.index + 1) in ("ASSIGN", "TILDE") or place.token.type == "RETURN")
    if kind in ("IF", "ELSE", "WHILE", "FOR") and statement and "LBRACE" in place.accepted:
        head = place.text(place.statement, place.index)
        return place.diagnostic("P0110", "a block stands in braces", f"write {head} {{ {place.token} ... }}")
    return None


def percent(place: Place) -> Diagnostic | None:
    """`%*%`, `%%`, `%/%`, `%in%` of R."""
    before = place.before
    if before is None or before.type != "PERCENT":
        return None
    if place.token.type == "PERCENT":
        return place.diagnostic("P0110", "`%%` is not an operator", "write a % b")
    if place.type_at(place.index + 1) != "PERCENT":
        return None
    sign = f"%{place.token}%"
    written = {"%*%": "matmul(a, b)", "%/%": "floor(a/b)", "%o%": "a[i]*b[j]"}.get(sign, "")
    return place.diagnostic("P0110", f"`{sign}` is not an operator", f"write {written}" if written else None)


def literal(place: Place) -> Diagnostic | None:
    """`1.0f`, `3L`, `2j`."""
    before, token = place.before, place.token
    if before is None or before.type != "NUMBER" or token.type != "NAME" or str(token) not in LITERAL_ENDINGS:
        return None
    if before.end_pos != token.start_pos or str(token) == "d":
        return None
    span = Span(span_of(before).start, span_of(token).end)
    advice = f"write {before}; a product is written {before}*{token}"
    return place.diagnostic("P0110", f"a number has no ending `{token}`", advice, span=span)


def several_targets(place: Place) -> Diagnostic | None:
    """`a, b = 1, 2`, `m[0], s = ...`."""
    if place.token.type != "COMMA" or place.first.type != "NAME" or "COMMA" in place.accepted:
        return None
    assigned = [token.type for token in place.tokens[place.statement : place.index]]
    following = [token.type for token in place.tokens[place.index :]]
    end = next((i for i, kind in enumerate(following) if kind in LINE_ENDS), len(following))
    if "ASSIGN" in assigned or "TILDE" in assigned or "ASSIGN" not in following[:end]:
        return None
    return place.diagnostic("P0110", "one statement sets one name", "write two statements, one for each name")


RULES: tuple[Callable[[Place], Diagnostic | None], ...] = (
    dotted, comment, block, quoted_call, conditioned, declared, anonymous, comprehension, loop_head, percent, literal, several_targets,
)  # fmt: skip
