"""What a name was meant to be: a slip of the hand among names of its kind, or what another language calls it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..text.closeness import nearest
from . import synonyms
from .distribution_facts import DistributionRow
from .distribution_rows import DISTRIBUTIONS
from .estimators import ESTIMATORS
from .functions import FUNCTIONS


def plainly(name: str) -> str:
    """A name without what languages differ in: capitals and `_`."""
    return name.casefold().replace("_", "")


def _same(name: str, known: Iterable[str]) -> str | None:
    """The known name that differs in capitals and `_` only."""
    return next((other for other in known if plainly(other) == plainly(name)), None)


def _elsewhere(name: str, table: dict[str, str]) -> str | None:
    plain = plainly(name)
    if plain in table:
        return table[plain]
    endings = (text for key, text in table.items() if key.startswith("*") and plain.endswith(key[1:]) and plain != key[1:])
    return next(endings, None)


# Which arguments of a call the letters of a table stand for, by their number.
_LETTERS: dict[frozenset[str], tuple[str, ...]] = {
    frozenset("x"): ("x",), frozenset("n"): ("n",), frozenset("ab"): ("a", "b"), frozenset("abc"): ("c", "a", "b"),
}
_PREFIX = re.compile(r"^(\w+(?:[.]|::))+")
_ATOM = re.compile(r"[\w.]+(\([^()]*\)|\[[^\[\]]*\])?")


_DENSITY = re.compile(r"exp\(logpdf\((\w+)\(([a-z_0-9, ]+)\), x\)\)")
_DRAWN = re.compile(r"([A-Z]\w*)\(([a-z_0-9, ]+)\)")


def _with_distribution(name: str, code: str, arguments: Sequence[str]) -> str | None:
    """`Normal(0, 1)` for `N(0, 1)`, `rnorm(1, 0, 1)`, and the density for `dnorm(x, 0, 1)`; None where that is not plain."""
    density, drawn = _DENSITY.fullmatch(code), _DRAWN.fullmatch(code)
    found = density or drawn
    if found is None:
        return None
    wanted = len(found[2].split(","))
    if density is not None:
        return f"exp(logpdf({found[1]}({', '.join(arguments[1:])}), {arguments[0]}))" if len(arguments) == wanted + 1 else None
    if name.startswith("r") and len(arguments) == wanted + 1:  # R: how many come first
        arguments = arguments[1:]
    return f"{found[1]}({', '.join(arguments)})" if len(arguments) == wanted and "=" not in "".join(arguments) else None


def filled(code: str, arguments: Sequence[str]) -> str:
    """What to write, with the arguments of the call in the place of the letters where it is plain which is which."""
    if code == synonyms.VECTOR:
        return f"[{', '.join(arguments)}]" if arguments else code
    letters = frozenset(re.findall(r"\b[a-z]\b", code))
    order = _LETTERS.get(letters)
    if order is None or len(order) != len(arguments):
        return code
    call = code.startswith("if ") or re.fullmatch(r"\w+\([\w, ]*\)", code) is not None
    chosen = {
        letter: text if call or _ATOM.fullmatch(text) else f"({text})" for letter, text in zip(order, arguments, strict=True)
    }
    return re.sub(r"\b[a-z]\b", lambda found: chosen[found[0]], code)


def _advice(text: str, arguments: Sequence[str] = (), name: str = "") -> str:
    """What to write for a call of `name`, and what else there is to say."""
    code, _, more = text.partition("|")
    code = _with_distribution(name, code, arguments) or filled(code, arguments)
    return ": ".join(part for part in (f"write `{code}`" if code else "", more) if part)


def distribution_meant(name: str, arguments: Sequence[str] = ()) -> str | None:
    """Advice for a distribution of an unknown name, called with the texts of `arguments`."""
    known = _same(name, DISTRIBUTIONS)
    if known is None and (written := _elsewhere(name, synonyms.DISTRIBUTIONS)) is not None:
        return _advice(written, arguments, name)
    near = known or nearest(name, DISTRIBUTIONS)
    if near is None and (near := nearest(plainly(name), synonyms.DISTRIBUTIONS, least=5)) is not None:
        return _advice(synonyms.DISTRIBUTIONS[near], arguments, near)
    return f"did you mean `{near}`?" if near else None


def function_meant(name: str, others: Iterable[str] = (), arguments: Sequence[str] = ()) -> str | None:
    """Advice for a called name that is unknown; `others` are functions besides the built-in ones, `arguments` the texts in
    the call."""
    functions = [*others, *FUNCTIONS]
    known = _same(name, functions) or _same(name, DISTRIBUTIONS)
    if known is not None:
        return f"did you mean `{known}`?"
    written = _elsewhere(name, synonyms.FUNCTIONS) or _elsewhere(name, synonyms.DISTRIBUTIONS)
    if written is not None:
        return _advice(written, arguments, name)
    near = nearest(name, functions) or (nearest(name, DISTRIBUTIONS) if name[:1].isupper() else None)
    return f"did you mean `{near}`?" if near else None


def estimator_meant(name: str, known: Sequence[str]) -> str | None:
    """Advice for an estimator of an unknown name."""
    elsewhere = (row.name for row in ESTIMATORS.values() if plainly(name).replace("-", "") in row.known_as)
    meant = _same(name, known) or next(elsewhere, None) or nearest(name, known)
    return f"did you mean `{meant}`?" if meant else None


def value_meant(name: str) -> str | None:
    """Advice for a name that stands for a value in other languages."""
    return synonyms.VALUES.get(name)


def argument_meant(row: DistributionRow, name: str) -> str | None:
    """Advice for a keyword argument that a distribution does not have."""
    names = [parameter.name for parameter in row.parameters]
    if (row.name, name) in synonyms.CONVERSIONS:
        return synonyms.CONVERSIONS[row.name, name]
    for known in names:
        if name in synonyms.ARGUMENTS.get(known, ()):
            return f"write `{known}`"
    if "scale" in names and name in synonyms.ANYWHERE:
        return synonyms.ANYWHERE[name]
    near = _same(name, names) or nearest(name, names)
    return f"did you mean `{near}`?" if near else synonyms.NO_ARGUMENTS.get(name)


def dotted_meant(parts: list[str], shown: str, before: str, called: str | None) -> tuple[str, str]:
    """What is wrong with `np.exp(x)`, `x.sum()`, `Normal(0, 1).sample()`, and what to write.

    `parts` are the names between the dots, `shown` is how they are written, `before` what stands before the first of them
    where it is not a name, `called` the text between the parentheses that follow, if they do.
    """
    last = parts[-1]
    arguments = [] if not called else split_arguments(called)
    joined = "".join(parts)
    if not before and plainly(joined) in synonyms.FUNCTIONS:
        return f"`{shown}`: a name has no dots", _advice(synonyms.FUNCTIONS[plainly(joined)], arguments)
    if not before and (parts[0] in synonyms.MODULES or len(parts) > 2):
        title = f"`{shown}`: there are no modules"
        if last == "sample" and (drawn := drawn_by(called)):
            return title, f"write {drawn}"
        known = _same(last, FUNCTIONS) or _same(last, DISTRIBUTIONS)
        if known is not None:
            return title, f"write {known}" + ("" if called is None else f"({called})")
        advice = function_meant(last, (), arguments) or value_meant(last)
        return title, advice or "write its last name alone; `probrun help` lists what there is"
    value = before or parts[0]
    title = f"`.{last}`: a value has no parts and no methods"
    if last in FUNCTIONS:
        return title, f"write {last}({', '.join([value, *arguments])})"
    written = synonyms.METHODS.get(last)
    if written is not None:
        given = arguments[0] if len(arguments) == 1 else "z"
        return title, f"write {written.format(x=value, z=given)}"
    return title, f"a name has letters, digits and _: {'_'.join(parts)}; a function is called so: f({value})"


def split_arguments(text: str) -> list[str]:
    """The arguments in the text between the parentheses of a call."""
    found, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth:
            found.append("")
        else:
            found[-1] += character
    return [argument.strip() for argument in found if argument.strip()]


def drawn_by(called: str | None) -> str | None:
    """`z ~ Normal(0, 1)` for the arguments `"z", dist.Normal(0, 1)` of Pyro's `sample`."""
    arguments = split_arguments(called or "")
    if len(arguments) < 2 or arguments[0][:1] not in "\"'":
        return None
    return f"{arguments[0][1:-1]} ~ {_PREFIX.sub('', arguments[1])}"
