"""What the search for jumps asks of a text: what draws reach, what jumps inside functions, what is a number, and few outcomes."""

from __future__ import annotations

from collections.abc import Mapping

from ..names.resolved import Resolved
from ..names.scopes import nodes_in
from ..syntax import (
    Argument,
    Arithmetic,
    Assign,
    Call,
    Comparison,
    Conditional,
    Draw,
    Expression,
    For,
    Function,
    Index,
    Logical,
    Name,
    Node,
    Number,
    Power,
    Range,
    Return,
    Sample,
    Slice,
    Term,
    Unary,
    Vector,
    children,
)
from ..tables.distributions import DISTRIBUTIONS
from ..tables.functions import FUNCTIONS, elementwise, reduces
from .scoped import MOST_BEFORE, RETURNED, older
from .solving import changed, constant, names_of

MOST_OUTCOMES = 16  # of a draw between a jump and an earlier draw
MOST_UNROLLED = 8  # rounds of a loop that are gone through one by one
MOST_DEFINED = 200  # nodes


def with_place(node: Expression, these: list[Index], value: Expression) -> Expression:
    """The expression with a value in place of elements."""
    return changed(node, lambda part: value if part in these else None)  # type: ignore[no-any-return]


def unlike_numbers(one: Index, other: Expression) -> bool:
    """Whether two places are surely not the same: numbers, counted from the same end, that differ."""
    if not isinstance(other, Index) or len(one.items) != len(other.items):
        return False
    for item, own in zip(one.items, other.items, strict=True):
        numbers = [None if isinstance(place, Slice) else constant(place) for place in (item, own)]
        if None not in numbers and numbers[0] != numbers[1] and (numbers[0] < 0) == (numbers[1] < 0):  # type: ignore[operator]
            return True
    return False


def reached_by_draws(resolved: Resolved) -> frozenset[str]:
    """The names that continuous draws reach by data; of variables of functions, those of calls before, too."""
    found = {RETURNED}
    made = [(name, names_of(value)) for name, value in given(resolved)]
    for node in nodes_in(resolved.program.body):
        if isinstance(node, Sample) and not DISTRIBUTIONS[node.distribution.name].discrete:
            found.add(node.name)
        elif isinstance(node, Assign):
            if any(isinstance(part, Call) and _draws(part, resolved) for part in nodes_in(node.value)):
                found.add(node.name)
            made.append((node.name, names_of(node.value)))
        elif isinstance(node, For) and not isinstance(node.iterable, Range):
            made.append((node.variable, names_of(node.iterable)))
    before = -1
    while before < len(found):
        before = len(found)
        found |= {name for name, names in made if names & found}
    back = set(found)
    for _ in range(MOST_BEFORE):
        back = {older(name) for name in back}
        found |= back
    return frozenset(found)


def given(resolved: Resolved) -> list[tuple[str, Expression]]:
    """What calls give the parameters of functions."""
    return [
        (name, argument.value) for node in nodes_in(resolved.program.body)
        if isinstance(node, Call) and node.function in resolved.functions
        for name, argument in zip(resolved.functions[node.function].parameters, node.arguments, strict=True)
    ]


def alike(items: tuple[object, ...], indices: tuple[object, ...]) -> bool:
    """Whether two places are single entries of the same depth, or the very same."""
    if items == indices and not any(isinstance(one, Slice) for one in items):
        return True
    return len(items) == len(indices) and not any(isinstance(one, Slice) for one in (*items, *indices))


def _draws(node: Call, resolved: Resolved) -> bool:
    return node.function in resolved.functions or node.function in resolved.external


def few_outcomes(node: Sample, resolved: Resolved, scalars: frozenset[str]) -> list[float]:
    """The outcomes of a discrete draw, where they are few and known."""
    given = resolved.arguments[id(node.distribution)]
    match node.distribution.name:
        case "Bernoulli":
            return [0.0, 1.0]
        case "Categorical":
            weights = next(iter(given.values()))
            while isinstance(weights, Call) and len(weights.arguments) == 1 and weights.function in ("softmax", "exp", "sigmoid"):
                weights = weights.arguments[0].value
            few = isinstance(weights, Vector) and len(weights.items) <= MOST_OUTCOMES
            if isinstance(weights, Vector) and few and all(is_number(one, scalars) for one in weights.items):
                return [float(number) for number in range(len(weights.items))]
        case "Binomial":
            total = given.get("total_count")
            if isinstance(total, Number) and total.value < MOST_OUTCOMES:
                return [float(number) for number in range(int(total.value) + 1)]
    return []


def is_number(node: Node, scalars: frozenset[str]) -> bool:
    """Whether it is a number by the text, and no array; `scalars` are the variables that are."""
    match node:
        case Number():
            return True
        case Name():
            return node.id in scalars
        case Unary() | Arithmetic() | Term() | Argument() | Power() | Comparison() | Logical() | Conditional():
            return all(is_number(part, scalars) for part in children(node))
        case Index():
            return (
                isinstance(node.target, Name) and entries_of(node.target.id) in scalars
                and len(node.items) == 1 and is_number(node.items[0], scalars)
            )
        case Call() if node.function in FUNCTIONS:
            if reduces(node.function, len(node.arguments)) or node.function in ("var", "std", "quantile", "length"):
                return True
            return elementwise(node.function, len(node.arguments)) and all(is_number(part, scalars) for part in children(node))
    return False


def numbers_by_text(resolved: Resolved) -> frozenset[str]:
    """The variables of a program and of its functions that are numbers, and no arrays, by the text."""
    nodes = list(nodes_in(resolved.program.body))
    found = {node.name for node in nodes if isinstance(node, Assign | Sample)}
    found |= set(resolved.variables) | {name for name, fact in resolved.parameters.items() if fact.shape == ()}
    found |= {name for function in resolved.functions.values() for name in function.parameters}
    found |= {node.variable for node in nodes if isinstance(node, For) and isinstance(node.iterable, Range)}
    ends = {name: _ends(function) for name, function in resolved.functions.items()}
    arrays = arrays_by_text(resolved)
    found |= {entries_of(name) for name in arrays}
    before = -1
    while before != len(found):
        before = len(found)
        known = frozenset(found)
        for node in nodes:
            if isinstance(node, Assign | Sample):
                values = (node.value,) if isinstance(node, Assign) else tuple(one.value for one in node.distribution.arguments)
                if isinstance(node, Assign) and isinstance(node.value, Call) and node.value.function in ends:
                    values = ends[node.value.function]
                event = isinstance(node, Sample) and DISTRIBUTIONS[node.distribution.name].event
                if node.name in arrays:
                    own = values[0].items if isinstance(values[0], Vector) else values if node.indices else ()
                    if event or not all(is_number(value, known) for value in own):
                        found.discard(entries_of(node.name))
                if node.indices or event or not all(is_number(value, known) for value in values):
                    found.discard(node.name)
            elif isinstance(node, For) and not isinstance(node.iterable, Range):
                found.discard(node.variable)
        found -= {name for name, value in given(resolved) if not is_number(value, known)}
    return frozenset(found)


def arrays_by_text(resolved: Resolved) -> dict[str, int]:
    """The lengths of arrays that are set as a whole to so many numbers, and number by number."""
    found: dict[str, int] = {}
    others: set[str] = set()
    for node in nodes_in(resolved.program.body):
        if isinstance(node, Assign | Sample) and node.indices:
            if len(node.indices) != 1 or isinstance(node.indices[0], Slice):
                others.add(node.name)
        elif isinstance(node, Assign | Sample):
            length = _length(node.value) if isinstance(node, Assign) else None
            if length is None or found.setdefault(node.name, length) != length:
                others.add(node.name)
        elif isinstance(node, For):
            others.add(node.variable)
        elif isinstance(node, Function):
            others.update(node.parameters)
    return {name: length for name, length in found.items() if name not in others and name not in resolved.parameters}


def _length(node: Expression) -> int | None:
    """Of an array of zeros or ones, or one that is written out, if it is short."""
    if isinstance(node, Vector):
        return len(node.items) if len(node.items) <= MOST_UNROLLED else None
    if isinstance(node, Call) and node.function in ("zeros", "ones") and len(node.arguments) == 1:
        number = node.arguments[0].value
        if isinstance(number, Number) and number.value == int(number.value) and 1 <= number.value <= MOST_UNROLLED:
            return int(number.value)
    return None


def entries_of(name: str) -> str:
    """What stands for an array among the names of numbers, where its entries are."""
    return f"{name}[]"


def _ends(function: Function) -> tuple[Expression, ...]:
    """All that a function may give."""
    return tuple(node.values[0] for node in nodes_in(function.body) if isinstance(node, Return))


def definitions(resolved: Resolved) -> dict[str, Expression]:
    """What variables are, that are set once in the text from names that are, without draws and calls of functions."""
    once: dict[str, Expression | None] = dict.fromkeys(resolved.parameters)
    several: set[str] = set()
    for node in nodes_in(resolved.program.body):
        if isinstance(node, Assign | Sample):
            several |= {node.name} if node.name in once or node.indices else set()
            once[node.name] = node.value if isinstance(node, Assign) else None
        elif isinstance(node, For):
            several.add(node.variable)
        elif isinstance(node, Function):
            several.update(node.parameters)
    found: dict[str, Expression] = {}
    for name, value in once.items():
        if value is not None and not ({name} | names_of(value)) & several and not any(
            isinstance(part, Draw) or (isinstance(part, Call) and part.function not in FUNCTIONS) for part in nodes_in(value)
        ):
            found[name] = value
    return found


def assignments(resolved: Resolved) -> dict[str, list[Expression]]:
    """By variable all that it is set to, as a whole; without those that may be set to an outcome, or to something else."""
    found: dict[str, list[Expression]] = {}
    others = set(resolved.parameters)
    for node in nodes_in(resolved.program.body):
        if isinstance(node, Assign):
            found.setdefault(node.name, []).append(node.value)
        elif isinstance(node, Sample):
            found.setdefault(node.name, [])
        if (isinstance(node, Assign | Sample) and node.indices) or (
            isinstance(node, Sample) and DISTRIBUTIONS[node.distribution.name].discrete
        ):
            others.add(node.name)
        elif isinstance(node, For):
            others.add(node.variable)
        elif isinstance(node, Function):
            others.update(node.parameters)
    return {name: values for name, values in found.items() if name not in others}


def defined(node: Expression, known: Mapping[str, Expression]) -> Expression:
    """The expression with what variables are in their places, as long as it does not become long."""
    for _ in range(MOST_UNROLLED):
        made: Expression = changed(node, lambda part: known.get(part.id) if isinstance(part, Name) else None)
        if made is node or sum(1 for _ in nodes_in(made)) > MOST_DEFINED:
            break
        node = made
    return node


def few_rounds(node: Range | Expression) -> range | None:
    """The rounds of a loop whose numbers stand in the text, if they are few."""
    if not isinstance(node, Range) or not isinstance(node.stop, Number) or not isinstance(node.start, Number | None):
        return None
    found = range(0 if node.start is None else int(node.start.value), int(node.stop.value))
    return found if len(found) <= MOST_UNROLLED else None


def only_place(node: Expression, name: str) -> Index | None:
    """The one entry of an array that an expression reads, if it reads nothing else of it."""
    places = {part for part in nodes_in(node) if isinstance(part, Index) and part.target == Name(name)}
    if len(places) != 1:
        return None
    place = places.pop()
    if len(place.items) != 1 or isinstance(place.items[0], Slice):
        return None
    return None if name in names_of(with_place(node, [place], Number(0.0))) else place
