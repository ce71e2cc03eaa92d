"""What to say about a token that fits no rule.

`explain` gets the place in the token list and what the parser would have taken there.  The mistakes that people bring
along from other languages come first, each with what to type instead; what is left is said plainly: unexpected this,
expected that.
"""

from __future__ import annotations

from collections.abc import Callable

from ..tables.synonyms import WORDS
from ..text.diagnostics import Diagnostic, Label
from ..text.source import Span
from . import foreign
from .place import Place
from .tokens import span_of

KEYWORDS = frozenset({
    "PARAM", "DATA", "IN", "USING", "IF", "THEN", "ELSE", "FOR", "WHILE", "FN", "RETURN", "OBSERVE", "FACTOR", "VIA",
    "OR", "AND", "NOT", "TRUE", "FALSE",
})  # fmt: skip
SPELLING = {
    "LPAR": "`(`", "RPAR": "`)`", "LSQB": "`[`", "RSQB": "`]`", "LBRACE": "`{`", "RBRACE": "`}`", "COMMA": "`,`", "COLON": "`:`",
    "ASSIGN": "`=`", "TILDE": "`~`", "NAME": "a name", "IN": "`in`", "THEN": "`then`", "ELSE": "`else`", "USING": "`using`",
}  # fmt: skip
OPERATORS = frozenset({"PLUS", "MINUS", "STAR", "SLASH", "PERCENT", "POWER", "COMPARE", "AND", "OR"})
VALUE_ENDS = frozenset({"NUMBER", "NAME", "TRUE", "FALSE", "RPAR", "RSQB"})
VALUE_STARTS = frozenset({"NUMBER", "NAME", "TRUE", "FALSE", "LPAR"})
BLOCK_STARTS = frozenset({"IF", "ELSE", "FOR", "WHILE", "FN"})
BLOCK_WORDS = frozenset({"elif", "elseif", "elsif", "def", "function", "func", "fun", "repeat", "until", "loop", "foreach"})

CHARACTERS = {
    "−": "write the minus sign of the keyboard: -", "–": "write the minus sign of the keyboard: -",
    "—": "write the minus sign of the keyboard: -", "×": "multiply with *", "·": "multiply with *",
    "⋅": "multiply with *", "∗": "multiply with *", "÷": "divide with /", "∕": "divide with /", "²": "write ^2",
    "³": "write ^3", "¹": "leave it out", "⁰": "write ^0", "⁻": "write ^-1", "√": "write sqrt(x)", "½": "write 0.5",
    "≤": "write <=", "≥": "write >=", "≠": "write !=", "←": "assign with =", "→": "there is no arrow; assign with =",
    "∼": "write ~", "∞": "write inf", "∑": "write sum(x)", "∏": "write prod(x)", "∈": "write in", "¬": "write not",
    "∧": "write and", "∨": "write or", "\xa0": "this is a no-break space; type an ordinary space",
    "\u200b": "this is an invisible zero-width space; delete it",
    "\u202f": "this is a narrow no-break space; type an ordinary space",
    "\u3000": "this is an ideographic space; type an ordinary space",
    "\ufeff": "this is an invisible byte order mark; delete it",
    "\u2028": "this is a Unicode line separator; press Enter there", "&": "write and",
    "|": "write or; for an absolute value abs(x)", "!": "write not", "@": "multiply matrices with matmul(a, b)",
    "$": "leave it out", "?": "write if c then a else b",
    "\\": "a long expression goes on over several lines inside parentheses",
    '"': "there is no text in this language, only numbers", "'": "there is no text in this language, only numbers",
    "“": "there is no text in this language, only numbers", "”": "there is no text in this language, only numbers",
    "‘": "there is no text in this language, only numbers", "’": "there is no text in this language, only numbers",
    "`": "leave it out", ".": "a name has no parts; write sum(x), not x.sum()", "（": "write (", "）": "write )",
    ";": "arguments and entries are separated by commas",
    "，": "write ,", "；": "write ;", "＝": "write =", "\x0b": "delete this control character",
}  # fmt: skip

SIGNS = {
    "&&": "write and", "||": "write or", ":=": "assign with =", "===": "compare with ==", "!==": "compare with !=",
    "<>": "compare with !=", "=>": "compare with >=", "->": "assign with =", "|>": "write f(x)",
    "//": "write floor(a / b); a comment starts with #", "/*": "a comment starts with # and ends with the line",
}  # fmt: skip

RANGES = "a slice is x[1:3], a loop is for i in range(1, 3)"


def explain(place: Place) -> Diagnostic:
    """The diagnostic for an unexpected token."""
    for rule in (*foreign.RULES, *RULES):
        found = rule(place)
        if found is not None:
            return found
    return _plain(place)


def _sign(place: Place) -> Diagnostic | None:
    """Tokens that no rule of the grammar has."""
    token = place.token
    text = str(token)
    if token.type == "WRONG":
        if text[0] in "\"'":
            advice = "a comment starts with #" if place.before is None else CHARACTERS['"']
            return place.diagnostic("P0104", "text in quotes is not part of the language", advice)
        if text == "++":
            counting = place.kind(1) in ("SEPARATOR", "$END", "RBRACE")
            help_text = f"write {place.before} = {place.before} + 1" if counting and place.before else "write one +"
            return place.diagnostic("P0110", "`++` is not an operator", help_text)
        if text.startswith(".."):
            return place.diagnostic("P0110", f"`{text}` is not an operator", RANGES)
        if text in SIGNS:
            return place.diagnostic("P0110", f"`{text}` is not an operator", SIGNS[text])
        left = place.text(place.statement, place.index) or "x"
        return place.diagnostic("P0110", f"`{text}` is not an operator", f"write {left} = {left} {text[0]} ...")
    if token.type == "UNKNOWN":
        shown = f"`{text}`" if text.isprintable() and not text.isspace() else f"U+{ord(text):04X}"
        hint = CHARACTERS.get(text)
        if text.isnumeric() and hint is None:
            hint = "write digits as 0 to 9"
        return place.diagnostic("P0104", f"{shown} is not part of the language", hint)
    return None


def _observe(place: Place) -> Diagnostic | None:
    """`observe y = 3`, `observe(y, Normal(0, 1))`, and `observe` where a name is wanted."""
    first = place.first
    if first.type != "OBSERVE" or place.token.type != "ASSIGN" or place.index == place.statement + 1:
        return None
    left, right = place.text(place.statement + 1, place.index), foreign.rest(place, place.index + 1)
    return place.diagnostic(
        "P0112", "`=` does not observe", f"write observe {left} ~ Normal(...), or, as a condition, observe {left} == {right}",
    )


def _foreign_word(place: Place) -> Diagnostic | None:
    """`let x = 3`, `elif`, `def f(x)`: the first word, or the one right after a block."""
    word = place.before
    if place.token.type == "NAME" and str(place.token) in WORDS and word is not None and word.type == "RBRACE":
        return place.diagnostic("P0110", f"there is no `{place.token}`", WORDS[str(place.token)])
    started = word is not None and word is place.first and word.type == "NAME" and str(word) in WORDS
    if started and word is not None and place.token.type in VALUE_STARTS | {"LBRACE", "COLON", "WRONG"}:
        advice, following = WORDS[str(word)], foreign.rest(place, place.index)
        if advice.startswith("write y = ...") and place.kind(1) == "ASSIGN":
            advice = f"write {following}"
        elif "name(x)" in advice and place.kind(1) == "LPAR" and (stop := foreign.closing(place, place.index + 1)):
            advice = advice.replace("name(x)", place.text(place.index, stop + 1))
        return place.diagnostic("P0110", f"there is no `{word}`", advice, span=span_of(word))
    return None


def _colon(place: Place) -> Diagnostic | None:
    if place.token.type != "COLON":
        return None
    if place.first.type in BLOCK_STARTS and place.kind(1) in ("SEPARATOR", "$END"):
        head = place.text(place.statement, place.index)
        return place.diagnostic("P0110", "a block does not start with `:`", f"write {head} {{ ... }}")
    if "RSQB" in place.accepted and "COMMA" in place.accepted:
        return place.diagnostic("P0110", "a slice has no step", "write x[start:stop]")
    if place.first.type == "FOR":
        return place.diagnostic("P0110", "`:` does not make a range", "write range(start, stop), without the stop")
    return None


def _equals(place: Place) -> Diagnostic | None:
    if place.token.type != "ASSIGN":
        return None
    assigned = any(token.type == "ASSIGN" for token in place.tokens[place.statement : place.index])
    inside = not place.accepted.isdisjoint(("THEN", "ELSE", "RPAR", "RSQB"))
    if place.first.type in ("IF", "WHILE", "RETURN") or (assigned and inside) or "THEN" in place.accepted:
        return place.diagnostic("P0110", "`=` assigns, it does not compare", "compare with ==")
    if assigned:
        return place.diagnostic("P0110", "a second `=` in one statement", "assign in two statements, or compare with ==")
    if place.first.type == "FN":
        hint = "leave the default out and pass it in the call"
        return place.diagnostic("P0110", "an argument of a function has no default here", hint)
    return None


def _ternary(place: Place) -> Diagnostic | None:
    if place.token.type != "IF":
        return None
    before = place.before
    if before is not None and before.type in OPERATORS | {"NOT"}:
        return place.diagnostic("P0101", f"an `if` after `{before}` needs parentheses", "write (if c then a else b)")
    return None


def _keyword_as_name(place: Place) -> Diagnostic | None:
    token, starts = place.token, place.index == place.statement
    if token.type not in KEYWORDS:
        before = place.before
        started = before is not None and before is place.first and before.type in KEYWORDS - {"RETURN"}
        if not (started and token.type in ("ASSIGN", "TILDE")):
            return None
        token = place.first
    elif (starts and place.kind(1) not in ("ASSIGN", "TILDE", "LSQB")) or "NAME" not in place.accepted:
        return None
    hint = f"choose another name, such as {token}_"
    return place.diagnostic("P0105", f"`{token}` is a reserved word and cannot be a name", hint, span=span_of(token))


def _else_alone(place: Place) -> Diagnostic | None:
    if place.token.type == "ELSE" and place.before is None:
        return place.diagnostic("P0101", "`else` without an `if` before it", "write if c { ... } else { ... }")
    if place.token.type == "USING":
        return place.diagnostic("P0101", "`using` belongs to a named draw", "write x ~ Normal(0, 1) using score")
    if place.token.type == "THEN" and place.before is not None:
        return place.diagnostic("P0101", "`then` without an `if` before it", "write if c then a else b")
    if place.token.type == "LBRACE" and place.before is not None and place.before.type == "THEN":
        return place.diagnostic("P0110", "a block has no `then` before it", "write if c { ... }", span=span_of(place.before))
    return None


def _declaration(place: Place) -> Diagnostic | None:
    """`param p in [0, 1]`, `param p = 0.3 in (0, 1)`, `data x in (0, 1)`, `param a, b`."""
    if place.first.type not in ("PARAM", "DATA"):
        return None
    word, kind = str(place.first), place.token.type
    if kind == "LSQB" and place.before is not None and place.before.type == "IN":
        return place.diagnostic("P0110", "the bounds of a domain stand in parentheses", "write (0, 1); the interval is open")
    if kind == "IN":
        if word == "data":
            return place.diagnostic("P0101", "only a parameter has a domain", "leave it out; data is not differentiated")
        return place.diagnostic("P0110", "the domain comes before the default", "write param p in (0, 1) = 0.3")
    if kind == "COMMA":
        hint = f"write another line: {word} {place.after or ''}".rstrip()
        return place.diagnostic("P0110", f"one `{word}` declares one name", hint)
    if kind == "LPAR" and place.before is not None and place.before.type == "NAME":
        return place.diagnostic("P0110", "sizes stand in square brackets", f"write {word} {place.before}[...]")
    if kind == "TILDE":
        return place.diagnostic("P0101", f"`{word}` is not drawn", "write x ~ Normal(0, 1) without it")
    return None


def _juxtaposed(place: Place) -> Diagnostic | None:
    """`2x`, `2(x + 1)`, `(a)(b)`: a product needs its sign."""
    before, token = place.before, place.token
    if before is None or before.type not in ("NUMBER", "RPAR", "RSQB") or token.type not in VALUE_STARTS:
        return None
    if place.first.type in BLOCK_STARTS | {"PARAM", "DATA"} and "STAR" not in place.accepted:
        return None
    touching = before.end_pos == token.start_pos
    if not touching and not (before.type == "NUMBER" and token.type in ("NAME", "LPAR")):
        return None
    if "STAR" not in place.accepted and "NUMBER" in place.accepted:
        return None
    span = Span(before.start_pos or 0, span_of(token).end) if touching else None
    if before.type == "NUMBER" and token.type == "NAME" and touching and token.startswith("_"):
        return place.diagnostic("P0110", "a number has no `_` in it", f"write {before}{token.replace('_', '')}", span=span)
    if before.type == "NUMBER" and token.type == "NUMBER":
        if before.endswith(".") and token.startswith("."):
            return place.diagnostic("P0110", "`..` is not an operator", RANGES, span=span)
        return place.diagnostic("P0101", "two numbers side by side", "a number has one decimal point", span=span)
    left = {"RPAR": "(...)", "RSQB": "[...]"}.get(before.type, str(before))
    right = "(...)" if token.type == "LPAR" else token
    return place.diagnostic("P0110", "a product needs its `*`", f"write {left}*{right}", span=span)


def _statement_misuse(place: Place) -> Diagnostic | None:
    token, before = place.token, place.before
    if before is None:
        return None
    if token.type == "TILDE":
        return place.diagnostic("P0101", "`~` stands after the name of a draw", "write z ~ Normal(0, 1)")
    if before.type == "RBRACE" and token.type not in ("SEPARATOR", "$END"):
        return place.diagnostic("P0101", "a statement must start on its own line", "start a new line, or write ; before it")
    if token.type == "PLUS":
        if before.type in ("ASSIGN", "LPAR", "COMMA", "LSQB") or before.type in OPERATORS:
            return place.diagnostic("P0101", "a number has no `+` before it", "leave the + out")
    elif token.type == "COMMA" and before.type in VALUE_ENDS and "RPAR" in place.accepted and "COMMA" not in place.accepted:
        return place.diagnostic("P0110", "a list of values stands in square brackets", "write [a, b]")
    elif token.type == "RSQB" and before.type == "LSQB":
        indexing = place.kind(-2) in VALUE_ENDS
        title = "an index is missing" if indexing else "a vector needs at least one entry"
        return place.diagnostic("P0101", title, "x[:] is the whole array" if indexing else "write [0]")
    elif token.type == "LBRACE" and "NUMBER" in place.accepted:
        return place.diagnostic("P0101", "braces hold statements, not values", "a vector is written [1, 2]")
    elif token.type in ("SEPARATOR", "$END") and before.type == "RETURN":
        return place.diagnostic("P0101", "`return` needs a value", "write return y", span=span_of(before))
    return None


def _leading_operator(place: Place) -> Diagnostic | None:
    """A line that starts with an operator, most often meant to go on with the line before."""
    if place.before is None and place.token.type in OPERATORS:
        help_text = "a long expression goes on over several lines inside parentheses"
        return place.diagnostic("P0101", f"a statement cannot start with `{place.token}`", help_text)
    return None


RULES: tuple[Callable[[Place], Diagnostic | None], ...] = (
    _sign, _observe, _foreign_word, _colon, _ternary, _keyword_as_name, _equals, _else_alone, _declaration,
    _juxtaposed, _leading_operator, _statement_misuse,
)  # fmt: skip


def _plain(place: Place) -> Diagnostic:
    token, before = place.token, place.before
    wanted = expectation(place.accepted)
    ending = all(other.type in ("SEPARATOR", "$END") for other in place.tokens[place.index :])
    if token.type in ("SEPARATOR", "$END"):
        end = before.end_pos if before is not None and before.end_pos is not None else span_of(token).start
        after = f" after `{before}`" if before is not None else ""
        what = "file" if ending else "statement" if token == ";" else "line"
        labels: tuple[Label, ...] = ()
        if place.first.type in BLOCK_STARTS and "LBRACE" in place.accepted and place.first is not before:
            labels = (Label(span_of(place.first), f"this `{place.first}` has no block yet"),)
        title = f"the {what} ends too early: expected {wanted}{after}"
        return Diagnostic("P0103" if ending else "P0101", title, Span(end, end), labels=labels, source=place.source)
    return place.diagnostic("P0101", f"unexpected `{token}`", label=f"expected {wanted}")


def expectation(accepted: frozenset[str]) -> str:
    """What the parser would have taken, in words."""
    words: list[str] = []
    if "NUMBER" in accepted:
        words.append("a statement" if "RETURN" in accepted else "a value")
    elif "PLUS" in accepted:
        words.append("an operator")
    hidden = {"COLON"} if "RSQB" in accepted else set()
    if "NUMBER" in accepted:
        hidden |= {"NAME", "LPAR", "LSQB"}
    if "PLUS" in accepted and "NUMBER" not in accepted:
        hidden |= {"LPAR", "LSQB", "TILDE"}
    words += [spelled for kind, spelled in SPELLING.items() if kind in accepted and kind not in hidden]
    if "SEPARATOR" in accepted and "RETURN" not in accepted:
        words.append("the end of the statement")
    if not words:
        return "something else"
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]
