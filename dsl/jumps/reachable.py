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
    If,
    Index,
    Logical,
    LogPdf,
    Name,
    Node,
    Number,
    Power,
    Range,
    Require,
    Sample,
    Slice,
    Term,
    Unary,
    Vector,
    While,
    children,
)
from ..tables.distributions import DISTRIBUTIONS
from ..tables.functions import FUNCTIONS, Smoothness, elementwise
from .solving import changed, names_of

MOST_OUTCOMES = 16  # of a draw between a jump and an earlier draw
MOST_UNROLLED = 8  # rounds of a loop that are gone through one by one
MOST_DEFINED = 200  # nodes


def with_place(node: Expression, these: list[Index], value: Expression) -> Expression:
    """The expression with a value in place of elements."""
    return changed(node, lambda part: value if part in these else None)  # type: ignore[no-any-return]


def reached_by_draws(resolved: Resolved) -> frozenset[str]:
    """The names that continuous draws reach by data."""
    found: set[str] = set()
    made: list[tuple[str, frozenset[str]]] = []
    for node in nodes_in(resolved.program.body):
        if isinstance(node, Sample) and not DISTRIBUTIONS[node.distribution.name].discrete:
            found.add(node.name)
        elif isinstance(node, Assign):
            if any(isinstance(part, Draw | Call) and _draws(part, resolved) for part in nodes_in(node.value)):
                found.add(node.name)
            made.append((node.name, names_of(node.value)))
        elif isinstance(node, For) and not isinstance(node.iterable, Range):
            made.append((node.variable, names_of(node.iterable)))
    before = -1
    while before < len(found):
        before = len(found)
        found |= {name for name, names in made if names & found}
    return frozenset(found)


def alike(items: tuple[object, ...], indices: tuple[object, ...]) -> bool:
    """Whether two places are single entries of the same depth, or the very same."""
    if items == indices and not any(isinstance(one, Slice) for one in items):
        return True
    return len(items) == len(indices) and not any(isinstance(one, Slice) for one in (*items, *indices))


def jumping_functions(resolved: Resolved) -> dict[str, Node]:
    """The functions in which something jumps or a continuous number is drawn, in their calls too, and where."""
    found: dict[str, Node] = {}
    before = -1
    while before != len(found):
        before = len(found)
        for name, function in resolved.functions.items():
            for part in nodes_in(function.body) if name not in found else ():
                if not _no_jump(part, resolved, found):
                    found[name] = part
                    break
    return found


def _no_jump(node: Node, resolved: Resolved, found: dict[str, Node]) -> bool:
    if isinstance(node, If | While | Conditional | Comparison | Logical | Require):
        return False
    if isinstance(node, Sample | Draw):
        return DISTRIBUTIONS[node.distribution.name].discrete
    match node:
        case LogPdf():
            return DISTRIBUTIONS[node.distribution.name].whole_line
        case Unary():
            return node.operator != "not"
        case Arithmetic():
            return all(term.operator != "%" for term in node.rest)
        case Call() if node.function in resolved.functions:
            return node.function not in found
        case Call():
            row = FUNCTIONS.get(node.function)
            return row is not None and (row.structural != () or Smoothness.JUMP not in row.smoothness)
    return True


def _draws(node: Draw | Call, resolved: Resolved) -> bool:
    if isinstance(node, Draw):
        return not DISTRIBUTIONS[node.distribution.name].discrete
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
        case Call():
            return (
                node.function in FUNCTIONS and elementwise(node.function, len(node.arguments))
                and all(is_number(part, scalars) for part in children(node))
            )
    return False


def numbers_by_text(resolved: Resolved) -> frozenset[str]:
    """The variables of a program that are numbers, and no arrays, by the text."""
    found = set(resolved.variables) | {name for name, fact in resolved.parameters.items() if fact.shape == ()}
    before = -1
    while before != len(found):
        before = len(found)
        known = frozenset(found)
        for node in nodes_in(resolved.program.body):
            if isinstance(node, Assign | Sample):
                values = (node.value,) if isinstance(node, Assign) else [given.value for given in node.distribution.arguments]
                event = isinstance(node, Sample) and DISTRIBUTIONS[node.distribution.name].event
                if node.indices or event or not all(is_number(value, known) for value in values):
                    found.discard(node.name)
            elif isinstance(node, For) and not isinstance(node.iterable, Range):
                found.discard(node.variable)
            elif isinstance(node, Function):
                found -= set(node.parameters)
    return frozenset(found)


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
