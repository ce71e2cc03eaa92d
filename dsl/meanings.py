"""What a name was meant to be: a slip of the hand among names of its kind, or what another language calls it."""

from __future__ import annotations

from collections.abc import Iterable

from . import synonyms
from .closeness import nearest
from .distribution_rows import DISTRIBUTIONS, DistributionRow
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


def _advice(text: str) -> str:
    """What to write, and what else there is to say."""
    code, _, more = text.partition("|")
    return ": ".join(part for part in (f"write `{code}`" if code else "", more) if part)


def distribution_meant(name: str) -> str | None:
    """Advice for a distribution of an unknown name."""
    known = _same(name, DISTRIBUTIONS)
    if known is None and (written := _elsewhere(name, synonyms.DISTRIBUTIONS)) is not None:
        return _advice(written)
    near = known or nearest(name, DISTRIBUTIONS)
    if near is None and (near := nearest(plainly(name), synonyms.DISTRIBUTIONS, least=5)) is not None:
        return _advice(synonyms.DISTRIBUTIONS[near])
    return f"did you mean `{near}`?" if near else None


def function_meant(name: str, others: Iterable[str] = ()) -> str | None:
    """Advice for a called name that is unknown; `others` are functions besides the built-in ones."""
    functions = [*others, *FUNCTIONS]
    known = _same(name, functions) or _same(name, DISTRIBUTIONS)
    if known is not None:
        return f"did you mean `{known}`?"
    written = _elsewhere(name, synonyms.FUNCTIONS) or _elsewhere(name, synonyms.DISTRIBUTIONS)
    if written is not None:
        return _advice(written)
    near = nearest(name, functions) or (nearest(name, DISTRIBUTIONS) if name[:1].isupper() else None)
    return f"did you mean `{near}`?" if near else None


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


def dotted_meant(parts: list[str], before: str, called: bool) -> tuple[str, str]:
    """What is wrong with `np.exp`, `x.sum()`, `Normal(0, 1).sample()`, and what to write.

    `parts` are the names between the dots, `before` what stands before the first of them where it is not a name, `called`
    whether `(` follows.
    """
    last = parts[-1]
    if not before and (parts[0] in synonyms.MODULES or len(parts) > 2):
        title = f"`{'.'.join(parts)}`: there are no modules"
        known = _same(last, FUNCTIONS) or _same(last, DISTRIBUTIONS)
        if known is not None:
            return title, f"write {known}" + ("(...)" if called else "")
        return title, (function_meant(last) or value_meant(last) or "write its last name alone; `probrun help` lists what there is")
    value = before or parts[0]
    title = f"`.{last}`: a value has no parts and no methods"
    if last in FUNCTIONS:
        return title, f"write {last}({value})"
    written = synonyms.METHODS.get(last)
    if written is not None:
        return title, f"write {written.format(x=value)}"
    return title, function_meant(last) or f"write f({value}), with a function f"
