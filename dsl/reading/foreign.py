"""Syntax of other languages that fits no rule here: what was written, and how it is written here.

One function per habit, tried in order by `syntax_errors.explain` before anything plainer is said; the words themselves
are in `synonyms.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from ..tables.distribution_rows import DISTRIBUTIONS
from ..tables.meanings import dotted_meant, drawn_by, plainly
from ..tables.synonyms import BLOCKS, DECLARED, VALUES, WORDS
from ..text.diagnostics import Diagnostic
from ..text.source import Span
from .place import Place
from .tokens import span_of

ENDS = frozenset({"NUMBER", "NAME", "TRUE", "FALSE", "RPAR", "RSQB"})
LINE_ENDS = frozenset({"SEPARATOR", "$END", "RBRACE"})
BLOCKS_BEGIN = frozenset({"IF", "ELSE", "FOR", "WHILE", "FN"})
LITERAL_ENDINGS = frozenset({"f", "F", "L", "l", "d", "u", "j"})


def rest(place: Place, start: int) -> str:
    """The text from the token at an index to the end of its statement."""
    return place.text(start, end_of(place, start))


def end_of(place: Place, start: int) -> int:
    """The index behind the last token of the statement that a token belongs to."""
    stop = start
    while place.type_at(stop) not in ("", *LINE_ENDS):
        stop += 1
    return stop


def closing(place: Place, start: int) -> int | None:
    """The index of the bracket that closes the one at an index."""
    depth = 0
    for index in range(start, end_of(place, start)):
        depth += (place.type_at(index) in ("LPAR", "LSQB")) - (place.type_at(index) in ("RPAR", "RSQB"))
        if not depth:
            return index
    return None


def value_start(place: Place) -> int:
    """The index where the value begins that the statement sets or returns; that of the statement where it does neither."""
    places = range(place.index - 1, place.statement - 1, -1)
    return next((i + 1 for i in places if place.type_at(i) in ("ASSIGN", "RETURN")), place.statement)


def one_more(text: str) -> str:
    """The number after a whole one, or the text with `+ 1`."""
    return str(int(text) + 1) if text.isdecimal() else f"{text} + 1"


def dotted(place: Place) -> Diagnostic | None:
    """`np.exp(x)`, `x.sum()`, `x.shape`, `Normal(0, 1).sample()`, `std::exp(x)`."""
    width = _dots(place, place.index)
    before = place.before
    if not width or before is None or before.type not in ("NAME", "RPAR", "RSQB"):
        return None
    parts = [str(before)] if before.type == "NAME" else []
    index = place.index
    while (width := _dots(place, index)) and str(place.tokens[min(index + width, len(place.tokens) - 1)]).isidentifier():
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
    called = None
    if place.type_at(index) == "LPAR" and (stop := closing(place, index)) is not None:
        called = place.text(index + 1, stop)
    title, advice = dotted_meant(parts, place.text(start, index), value, called)
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
    if place.token.type not in ("WRONG", "PERCENT") or str(place.token) not in ("//", "%", "/*"):
        return None
    if str(place.token) == "/*":
        return place.diagnostic("P0110", "`/*` does not begin a comment", "a comment starts with # and ends with the line")
    words = [token.type for token in place.tokens[place.index + 1 :]]
    length = next((i for i, kind in enumerate(words) if kind in LINE_ENDS), len(words))
    prose = any(one == other == "NAME" for one, other in pairwise(words[:length]))
    if place.before is not None and not (str(place.token) == "//" and prose):
        return None
    return place.diagnostic("P0110", f"`{place.token}` does not begin a comment", "a comment starts with #")


def block(place: Place) -> Diagnostic | None:
    """`model { ... }`, `data { ... }`, `parameters { ... }` of Stan."""
    before = place.before
    if place.token.type != "LBRACE" or before is None or str(before) not in BLOCKS:
        return None
    span = Span(span_of(place.first).start, span_of(before).end)
    title = f"there is no `{place.text(place.statement, place.index)}` block"
    return place.diagnostic("P0110", title, BLOCKS[str(before)], span=span)


def declared(place: Place) -> Diagnostic | None:
    """`real theta`, `real<lower=0> sigma`, `vector[3] mu`, `int n = 10`: types do not belong to names."""
    word = place.first
    if word.type != "NAME" or str(word) not in DECLARED or place.index == place.statement:
        return None
    line = place.tokens[place.index : end_of(place, place.index)]
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
        return place.diagnostic("P0110", "a name has no type", f"write {rest(place, place.index)}", span=span)
    domain = " in (0, inf)" if bounded else ""
    advice = f"write param {name}{sizes}{domain}, or for what is observed data {name}{sizes}"
    return place.diagnostic("P0110", "a name has no type", advice, span=span)


def quoted_call(place: Place) -> Diagnostic | None:
    """`sample("z", Normal(0, 1))`, `print("theta")`."""
    if place.token.type != "WRONG" or place.token[0] not in "\"'" or place.kind(-1) != "LPAR" or place.kind(-2) != "NAME":
        return None
    name, text = str(place.tokens[place.index - 2]), str(place.token)[1:-1]
    stop = closing(place, place.index - 1)
    drawn = drawn_by(place.text(place.index, stop) if stop is not None else "") or f"{text} ~ Normal(0, 1)"
    written = f"write {drawn}" if name == "sample" else WORDS.get(name, "")
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
            start = place.tokens.index(token)
            stop = closing(place, start + 1)
            name = _same_distribution(token.rpartition("_")[0])
            form = {"lcdf": "logcdf", "lccdf": "logsf"}.get(token.rpartition("_")[2], "logpdf")
            advice = f"write {form}(Normal(mu, sigma), y)"
            if stop is not None and name is not None:
                value, arguments = place.text(start + 2, place.index), place.text(place.index + 1, stop)
                advice = f"write {form}({name}({arguments}), {value})"
            return place.diagnostic("P0110", f"there is no `{token}`", advice, span=span_of(token))
    return None


def _same_distribution(name: str) -> str | None:
    return next((known for known in DISTRIBUTIONS if plainly(known) == plainly(name)), None)


def anonymous(place: Place) -> Diagnostic | None:
    """`f = lambda x: x^2`, `f = function(x) x^2`, `map(x -> x^2, y)`."""
    before = place.before
    if before is None or place.index == place.statement + 1:
        return None
    for index in range(place.statement + 1, place.index):
        word, following = place.tokens[index], place.type_at(index + 1)
        if word.type == "NAME" and str(word) in ("lambda", "function") and following in ("NAME", "LPAR", "COLON"):
            advice = "a function has a name and a line of its own: " + _named(place, index)
            return place.diagnostic("P0110", f"there is no `{word}`", advice, span=span_of(word))
    return None


def _named(place: Place, index: int) -> str:
    """`fn f(x) { return x^2 }` for `f = lambda x: x^2` and `f = function(x) x^2`, whose word is the token at an index."""
    name = str(place.first) if index == place.statement + 2 else "f"
    if place.type_at(index + 1) == "LPAR":
        stop = closing(place, index + 1)
        first, last = index + 2, stop
    else:
        first = index + 1
        last = next((i for i in range(first, end_of(place, first)) if place.type_at(i) == "COLON"), None)
    if last is None or index != place.statement + 2:
        return "fn f(x) { return ... }"
    return f"fn {name}({place.text(first, last)}) {{ return {rest(place, last + 1)} }}"


def comprehension(place: Place) -> Diagnostic | None:
    """`[x^2 for x in xs]`."""
    if place.token.type != "FOR" or place.before is None or place.before.type not in ENDS:
        return None
    advice = "arithmetic works on whole arrays: xs^2; or fill one in a loop: y = zeros(n) and y[i] = ... for i in range(n)"
    return place.diagnostic("P0110", "a `for` makes no list", advice)


def loop_head(place: Place) -> Diagnostic | None:
    """`for (i in 1:10)`, `for (int i = 0; i < n; i++)`, `for i = 1:10`, `for i, x in enumerate(xs)`, `for i in 0:10`."""
    if place.first.type != "FOR":
        return None
    words = place.tokens[place.statement : end_of(place, place.statement)]
    colon = next((i for i, token in enumerate(words) if token.type == "COLON"), None)
    variable = next((str(token) for token in words[1:] if token.type == "NAME" and str(token) not in DECLARED), "i")
    wanted = "range(10)"
    if colon is not None and 0 < colon < len(words) - 1 and words[colon - 1].type in ENDS:
        wanted = f"range({words[colon - 1]}, {one_more(str(words[colon + 1]))})"
    advice = f"write for {variable} in {wanted} {{ ... }}"
    if place.token.type == "LPAR" and place.index == place.statement + 1:
        return place.diagnostic("P0110", "the head of a `for` has no parentheses", advice)
    if place.token.type == "COMMA" and place.index == place.statement + 2:
        if len(words) > 7 and str(words[5]) == "enumerate" and words[7].type == "NAME":
            advice = f"write for {words[1]} in range(length({words[7]})) {{ {words[3]} = {words[7]}[{words[1]}]; ... }}"
        return place.diagnostic("P0110", "a `for` has one variable", advice)
    if place.token.type == "ASSIGN" and place.index == place.statement + 2:
        return place.diagnostic("P0110", "a `for` has no `=`", advice)
    if place.token.type == "COLON" and wanted != "range(10)":
        return place.diagnostic("P0110", "`:` does not make a range", advice)
    return None


def unbraced(place: Place) -> Diagnostic | None:
    """`if (c) y = 1;`."""
    statement = place.token.type == "RETURN" or (place.token.type == "NAME" and place.kind(1) in ("ASSIGN", "TILDE"))
    if place.first.type not in BLOCKS_BEGIN or not statement or "LBRACE" not in place.accepted:
        return None
    head = place.text(place.statement, place.index)
    return place.diagnostic("P0110", "a block stands in braces", f"write {head} {{ {rest(place, place.index)} }}")


def ternary(place: Place) -> Diagnostic | None:
    """`y = a if c else b`, `y = c ? a : b`."""
    before = place.before
    if before is None or before.type not in ENDS or str(place.token) not in ("if", "?"):
        return None
    start = value_start(place)
    divider = "ELSE" if place.token.type == "IF" else "COLON"
    stop = end_of(place, place.index)
    middle = next((i for i in range(place.index, stop) if place.type_at(i) == divider), None)
    advice = "write if c then a else b"
    if start > place.statement and middle is not None:
        parts = place.text(start, place.index), place.text(place.index + 1, middle), place.text(middle + 1, stop)
        value, condition, other = parts if divider == "ELSE" else (parts[1], parts[0], parts[2])
        if all(parts):
            advice = f"write if {condition} then {value} else {other}"
    if divider == "COLON":
        return place.diagnostic("P0104", "`?` is not part of the language", advice)
    return place.diagnostic("P0110", "the condition comes first", advice)


def changed(place: Place) -> Diagnostic | None:
    """`x += 1`, `x := 3`, `3 -> x`, `x |> f`."""
    text, left = str(place.token), place.text(place.statement, place.index)
    if place.token.type != "WRONG" or not left:
        return None
    right = rest(place, place.index + 1)
    simple = place.index == place.statement + 1 and place.first.type == "NAME"
    if text == ":=" and simple and right:
        advice = f"assign with =: {left} = {right}"
    elif text in ("+=", "-=", "*=", "/=", "%=", "^=") and left == "target":
        advice = VALUES[left]
    elif text in ("+=", "-=", "*=", "/=", "%=", "^=") and right:
        plain = text in ("+=", "-=") or end_of(place, place.index + 1) == place.index + 2
        advice = f"write {left} = {left} {text[0]} {right if plain and text != '-=' else f'({right})'}"
    elif text == "->" and place.first.type != "FN" and right.isidentifier():
        advice = f"assign with =: {right} = {left}"
    elif text == "|>" and right.isidentifier():
        advice = f"write {right}({place.text(value_start(place), place.index)})"
    else:
        return None
    return place.diagnostic("P0110", f"`{text}` is not an operator", advice)


def sequence(place: Place) -> Diagnostic | None:
    """`x = 1:10`."""
    before, token = place.before, place.after
    if place.token.type != "COLON" or place.first.type in BLOCKS_BEGIN or before is None or token is None:
        return None
    if before.type not in ENDS or token.type not in ("NUMBER", "NAME", "LPAR") or "RSQB" in place.accepted:
        return None
    single = place.type_at(place.index + 2) in LINE_ENDS and place.type_at(place.index - 2) in ("ASSIGN", "IN", "RETURN")
    wanted = f"arange({before}, {one_more(str(token))})" if single else "arange(start, stop), without the stop"
    return place.diagnostic("P0110", "`:` does not make a range", f"write {wanted}")


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
    dotted, comment, block, quoted_call, conditioned, declared, anonymous, comprehension, loop_head, unbraced, ternary, changed,
    sequence, percent, literal, several_targets,
)  # fmt: skip
