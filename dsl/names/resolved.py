"""What the names pass hands on: immutable facts about a program, keyed by name, by site or by `id(node)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from ..syntax import Data, Distribution, Draw, Expression, Function, Parameter, Program, Sample
from ..text.source import Span
from .prepared import Prepared


@dataclass(frozen=True)
class External:
    """A function that the embedding program passes in.

    `call` maps tensors ``[lanes, *event]`` to one such tensor; `smooth` is True, ``"kink"`` (continuous, differentiable
    almost everywhere) or False (it jumps); `arity` is the number of arguments, None where any number will do.
    """

    call: Callable[..., Any]
    smooth: bool | Literal["kink"]
    arity: int | None = None


@dataclass(frozen=True)
class Site:
    """A place in the text where a random value is drawn; `function` names the `fn` that it stands in.

    `repeated`: it stands in a loop or a function, so that one run may draw there many times.
    """

    index: int
    name: str
    node: Sample | Draw
    distribution: Distribution
    span: Span
    function: str | None
    repeated: bool = False


@dataclass(frozen=True)
class ParameterFact:
    """A parameter: declared (`node`), or a free name of a program without `param` lines (`node` is None)."""

    name: str
    node: Parameter | None
    shape: tuple[Expression, ...]
    span: Span


@dataclass(frozen=True)
class Resolved:
    """A program whose names are all known.  `settled` are those of `variables` that every run to the end has set; `weighted`:
    some statement weighs runs.  `prepared` is what has been worked out about it.

    A weighted program may have no results: then its evidence is all that is asked for.
    """

    program: Program
    parameters: dict[str, ParameterFact]
    data: dict[str, Data]
    functions: dict[str, Function]
    external: dict[str, External]
    sites: tuple[Site, ...]
    site_at: dict[int, Site]
    arguments: dict[int, dict[str, Expression]]
    results: tuple[str, ...]
    objective: str | None
    variables: frozenset[str]
    settled: frozenset[str] = frozenset()
    weighted: bool = False
    prepared: Prepared = field(default_factory=Prepared, compare=False, repr=False)
