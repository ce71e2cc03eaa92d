"""What an expression makes of all numbers of a draw, as a function of each of them beside all others: leave-one-out forms.

`var(v)` is a quadratic function of one number, given the mean and the squares of the others; `logsumexp(v)` rises with it;
`sort(v)[k]` and `quantile(v, q)` are that number as long as it lies between two others.  What the others come to is a name
(`LeftOut`) that runs fill in.  An expression is taken apart into *reductions*, each of a part of the draw (all of it, a slice, an
entry); each becomes such a function where the number is in its part, and stays what it is where it is not.

All numbers of a draw are roots of one jump.  Each tells of it with a share, the square of its part of the gradient, which is found
where the run stands at the root; a root at which the gradient is 0 has none.  That is right wherever the gradient is not 0, for
which each reduction is to change with the numbers in its part: `stuck` is what they are where they do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from ..names.scopes import nodes_in
from ..reading.expression_text import format_expression
from ..syntax import Arithmetic, Call, Expression, Index, Name, Number, Power, Slice, Term
from .atoms import DRAW, INSIDE, SIZE, LeftOut, Part
from .reachable import is_number
from .rising import direction, flat, sign
from .solving import Unsolved, by_element, call_of, changed, constant, less, names_of, pieces

GROUP = "\1reduction "  # before the number of one
SUMMED, SPREAD = ("sum", "mean", "prod", "logsumexp", "dot"), ("var", "std")
MOST_REDUCTIONS = 6


@dataclass(frozen=True)
class Reduction:
    """One number made of the numbers in a part of a draw: of `value`, a function of each (INSIDE in it).  `share`: of those of
    which there is a k-th, how far up, as a number between 0 and 1, or `rank`: which."""

    kind: str
    value: Expression
    part: Part | None = None
    share: float | None = None
    rank: int | None = None

    @property
    def ordered(self) -> bool:
        """Whether it is one of the numbers, or lies between two of them."""
        return self.share is not None or self.rank is not None

    @property
    def size(self) -> Expression:
        """How many numbers there are in its part."""
        return Name(SIZE) if self.part is None else self.part.size

    @property
    def place(self) -> Expression:
        """Where it stands among the numbers in their order, counted from 0."""
        if self.rank is not None:
            return Number(float(self.rank)) if self.rank >= 0 else less(self.size, Number(float(-self.rank)))
        return Arithmetic(less(self.size, Number(1.0)), (Term("*", Number(self.share or 0.0)),))


@dataclass(frozen=True)
class OneOfAll:
    """An expression in which every number stands for itself, for those in a part of the draw (None: all); and the places that
    must lie apart, by more than one number."""

    value: Expression
    part: Part | None
    others: tuple[LeftOut, ...]
    places: tuple[Expression, ...] = ()


class Reduced:
    """An expression whose only use of a draw are reductions."""

    def __init__(self, node: Expression, scalars: frozenset[str]):
        self.whole = node
        self.scalars = scalars
        self.found: dict[str, Reduction] = {}
        self.value = cast(Expression, changed(node, self._reduction))
        names = dict.fromkeys(part.id for part in nodes_in(self.value) if isinstance(part, Name) and part.id in self.found)
        self.found = {name: self.found[name] for name in names}
        if DRAW in names_of(self.value) or not self.found or not is_number(self.value, scalars | self.found.keys()):
            raise Unsolved(node, "it makes several numbers of a draw, or none")
        if len(self.found) > MOST_REDUCTIONS:
            raise Unsolved(node, "it makes too many numbers of a draw")
        self.parts = tuple(dict.fromkeys(one.part for one in self.found.values()))
        if any(one.meets(other) for place, one in enumerate(self.parts) for other in self.parts[:place] if one and other) or (
            len(self.parts) > 1 and None in self.parts
        ):
            raise Unsolved(node, "it uses numbers of a draw both alone and with others")

    def _reduction(self, node: Expression) -> Expression | None:
        """A name for a reduction."""
        made = reduction(node, self.scalars) if DRAW in names_of(node) else None
        if made is None:
            return None
        for name, known in self.found.items():
            if known == made:
                return Name(name)
        name = f"{GROUP}{len(self.found)}"
        self.found[name] = made
        return Name(name)

    # -------------------------------------------------------------------------------------------- each number
    def each(self) -> Iterator[OneOfAll]:
        """The functions of each number."""
        for part in self.parts:
            own = {name: one for name, one in self.found.items() if one.part == part}
            others = {name: _all_of(one) for name, one in self.found.items() if name not in own}
            if any(one.ordered for one in own.values()):
                yield from self._ordered(own, others, part)
            else:
                forms = {name: _beside(one) for name, one in own.items()}
                yield self._made(part, {name: form for name, (form, _) in forms.items()}, [
                    *others.values(), *(left for _, several in forms.values() for left in several),
                ], others)

    def _ordered(self, own: Mapping[str, Reduction], others: Mapping[str, LeftOut], part: Part | None) -> Iterator[OneOfAll]:
        """Where the number is one of several that stand at certain places in their order."""
        order = sorted(own, key=lambda name: _height(own[name]))
        places = tuple(own[name].place for name in order)
        for number, name in enumerate(order):
            mine = own[name]
            for form, lefts in _between(mine):
                made, left = {name: form}, [*others.values(), *lefts]
                for place, other in enumerate(order):
                    if place != number:
                        at = own[other].place if place < number else less(own[other].place, Number(1.0))
                        made[other], held = _left("order", own[other].value, part, at)
                        left.append(held)
                yield self._made(part, made, left, others, places)

    def _made(
        self, part: Part | None, forms: Mapping[str, Expression], left: Sequence[LeftOut], others: Mapping[str, LeftOut],
        places: tuple[Expression, ...] = (),
    ) -> OneOfAll:
        known = {**forms, **{name: Name(one.name) for name, one in others.items()}}
        value = changed(self.value, lambda node: known.get(node.id) if isinstance(node, Name) else None)
        names = names_of(value)
        return OneOfAll(value, part, tuple(one for one in dict.fromkeys(left) if one.name in names), places)

    # ------------------------------------------------------------------------------------------- without them
    def signs(self, signs: Mapping[str, int]) -> dict[str, int]:
        """The signs of names, and of those reductions that have one."""
        inside = dict(signs)
        if DRAW in inside:
            inside[INSIDE] = inside[DRAW]
        found = dict(signs)
        for name, one in self.found.items():
            known = 1 if one.kind in SPREAD else 0 if one.kind == "logsumexp" else sign(one.value, inside)
            if known and (one.kind != "prod" or known > 0):
                found[name] = known
        return found

    def stuck(self, signs: Mapping[str, int]) -> dict[str, list[Expression]]:
        """By reduction what it is where it does not change with its numbers; `Unsolved` where that is not told."""
        inside = dict(signs)
        if DRAW in inside:
            inside[INSIDE] = inside[DRAW]
        for part in self.parts:
            self._independent([one for one in self.found.values() if one.part == part])
        return {name: self._stuck(one, inside) for name, one in self.found.items()}

    def _independent(self, own: Sequence[Reduction]) -> None:
        """Several reductions of the same numbers move independently of each other."""
        if len(own) < 2:
            return
        values = {one.value for one in own}
        if len(values) == 1 and all(one.ordered for one in own):
            return
        kinds = sorted(one.kind in SPREAD for one in own)
        if len(values) == 1 and len(own) == 2 and kinds == [False, True] and own[0].kind != "dot" and own[1].kind != "dot" and any(
            one.kind in ("sum", "mean") for one in own
        ):
            return
        raise Unsolved(self.whole, "it makes several numbers of the same draw")

    def _stuck(self, one: Reduction, signs: Mapping[str, int]) -> list[Expression]:
        found: list[Expression] = []
        for piece in pieces(one.value, INSIDE):
            if INSIDE not in names_of(piece):
                found.append(piece)
            elif not direction(piece, INSIDE, signs):
                found += flat(piece, INSIDE, signs)
        found = list(dict.fromkeys(found))
        if not found or (one.kind in ("sum", "mean", "dot") and all(constant(value) == 0 for value in found)):
            return found
        if one.ordered and len(found) == 1:
            return found
        raise Unsolved(self.whole, "where it does not change with the draw is not told by the text")


# ------------------------------------------------------------------------------------------------------ reading
def reduction(node: Expression, scalars: frozenset[str]) -> Reduction | None:
    """The reduction that an expression of a draw is; None: it is none."""
    if isinstance(node, Index):
        return _of_index(node, scalars)
    if not isinstance(node, Call):
        return None
    given = [argument.value for argument in node.arguments]
    if node.function == "dot" and len(given) == 2:
        value = Arithmetic(given[0], (Term("*", given[1]),))
        return Reduction("sum", put_inside(value)) if by_element(value, DRAW) else None
    if node.function == "quantile" and (share := constant(given[1])) is not None and 0 <= share <= 1:
        return _of_part("quantile", given[0], scalars, share=share)
    if len(given) != 1:
        return None
    if node.function in ("max", "min"):
        return _of_part(node.function, given[0], scalars, share=1.0 if node.function == "max" else 0.0)
    if node.function in (*SUMMED, *SPREAD):
        return _of_part(node.function, given[0], scalars)
    return None


def _of_index(node: Index, scalars: frozenset[str]) -> Reduction | None:
    """An entry of a draw, of its running sums, or of its numbers in their order."""
    number = constant(node.items[0]) if len(node.items) == 1 and not isinstance(node.items[0], Slice) else None
    if number is None or number % 1:
        return None
    target, place = node.target, int(number)
    if target == Name(DRAW):
        return Reduction("sum", Name(INSIDE), Part(place, place + 1 if place != -1 else None))
    if not isinstance(target, Call) or len(target.arguments) != 1:
        return None
    if target.function == "sort":
        return _of_part("sort", target.arguments[0].value, scalars, rank=place)
    if target.function == "cumsum" and place >= 0 and by_element(target.arguments[0].value, DRAW):
        made = _of_part("sum", target.arguments[0].value, scalars)
        if made is not None and made.part is None and is_number(made.value, scalars | {INSIDE}):
            return replace(made, part=Part(0, place + 1))
    return None


def _of_part(
    kind: str, value: Expression, scalars: frozenset[str], share: float | None = None, rank: int | None = None
) -> Reduction | None:
    """A reduction of a function of each number of a draw, or of a slice of it."""
    if by_element(value, DRAW):
        return Reduction(kind, put_inside(value), None, share, rank)
    slices = {one for one in nodes_in(value) if isinstance(one, Index) and one.target == Name(DRAW)}
    if len(slices) != 1:
        return None
    (own,) = slices
    part = _part(own)
    made = cast(Expression, changed(value, lambda node: Name(INSIDE) if node == own else None))
    if part is None or DRAW in names_of(made) or not by_element(made, INSIDE) or not is_number(made, scalars | {INSIDE}):
        return None
    return Reduction(kind, made, part, share, rank)


def _part(node: Index) -> Part | None:
    if len(node.items) != 1 or not isinstance(node.items[0], Slice):
        return None
    given = node.items[0].start, node.items[0].stop
    ends = [None if end is None else constant(end) for end in given]
    if any(end is None or end % 1 for end, text in zip(ends, given, strict=True) if text is not None):
        return None
    start, stop = ends
    return Part(0 if start is None else int(start), None if stop is None else int(stop))


def put_inside(node: Expression) -> Expression:
    """The function of a number that a function of a draw, number by number, is."""
    return cast(Expression, changed(node, lambda part: Name(INSIDE) if isinstance(part, Name) and part.id == DRAW else None))


# -------------------------------------------------------------------------------------------------------- forms
def _left(kind: str, value: Expression, part: Part | None, place: Expression | None = None) -> tuple[Name, LeftOut]:
    """What the others come to, and its name."""
    shown = "" if place is None else f" at {format_expression(place)}"
    name = f"\1{kind} of {format_expression(value)}{shown} in {part}"
    return Name(name), LeftOut(name, kind, value, part, place)


def _all_of(one: Reduction) -> LeftOut:
    """What a reduction is for numbers that are in another part."""
    return _left(one.kind if not one.ordered else "place", one.value, one.part, one.place if one.ordered else None)[1]


def _own(value: Expression) -> Expression:
    return cast(Expression, changed(value, lambda node: Name(DRAW) if isinstance(node, Name) and node.id == INSIDE else None))


def _beside(one: Reduction) -> tuple[Expression, list[LeftOut]]:
    """A reduction as a function of one number."""
    own = _own(one.value)
    if one.kind in SPREAD:
        (mean, average), (squares, spread) = (_left(kind, one.value, one.part) for kind in ("others' mean", "others' squares"))
        fewer = less(one.size, Number(1.0))
        moved = Arithmetic(Power(less(own, mean), Number(2.0)), (Term("*", fewer), Term("/", one.size)))
        made: Expression = Arithmetic(Arithmetic(squares, (Term("+", moved),)), (Term("/", fewer),))
        return (made if one.kind == "var" else call_of("sqrt", made)), [average, spread]
    kind = {"prod": "others' product", "logsumexp": "others' logsumexp"}.get(one.kind, "others' sum")
    rest, left = _left(kind, one.value, one.part)
    if one.kind == "prod":
        return Arithmetic(own, (Term("*", rest),)), [left]
    if one.kind == "logsumexp":
        return Arithmetic(rest, (Term("+", call_of("softplus", less(own, rest))),)), [left]
    total = Arithmetic(rest, (Term("+", own),))
    return (Arithmetic(total, (Term("/", one.size),)) if one.kind == "mean" else total), [left]


def _between(one: Reduction) -> list[tuple[Expression, list[LeftOut]]]:
    """What a number in a certain place is where it is one of those in that place: itself, or on the line from it to the next."""
    own = _own(one.value)
    if one.rank is not None or one.share in (0.0, 1.0):
        return [(own, [])]
    low = call_of("floor", one.place)
    next_to, left = _left("order", one.value, one.part, low)
    up = less(one.place, low)
    return [
        (Arithmetic(Arithmetic(own, (Term("*", a),)), (Term("+", Arithmetic(next_to, (Term("*", b),))),)), [left])
        for a, b in ((less(Number(1.0), up), up), (up, less(Number(1.0), up)))
    ]


def _height(one: Reduction) -> tuple[float, float]:
    """Which of two places is the higher one, as far as the text tells: of kinds that are told apart by their numbers."""
    if one.share is not None:
        return one.share, 0.0
    assert one.rank is not None
    return (0.0, one.rank) if one.rank >= 0 else (1.0, one.rank)


__all__ = ["GROUP", "OneOfAll", "Reduced", "Reduction"]
