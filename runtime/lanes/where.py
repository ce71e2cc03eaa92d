"""Diagnostics of a run: where a value breaks a rule, in which runs, and what it was there."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...dsl.text.diagnostics import Diagnostic, Label, ProbError
from ...dsl.text.source import Source, Span
from ..arrays.broadcast import ShapeMismatch, shape_words
from ..arrays.memory import available, wanted, words
from .lessons import OutOfMemory
from .values import Ragged


@dataclass(frozen=True)
class Where:
    """Makes the errors of one program."""

    source: Source

    def error(
        self, code: str, title: str, span: Span, label: str = "", notes: tuple[str, ...] = (), help: str | None = None,
        labels: tuple[Label, ...] = (),
    ) -> ProbError:
        """An error at a place of the program."""
        return ProbError(Diagnostic(code, title, span, label, labels, notes, help, self.source))

    def shapes(self, problem: ShapeMismatch, span: Span) -> ProbError:
        """P0301."""
        label = " and ".join(shape_words(shape) for shape in problem.shapes) if len(problem.shapes) > 1 else ""
        return self.error("P0301", problem.reason, span, label)

    def bent(self, span: Span) -> ProbError:
        """P0406: what was differentiated twice there has a kink."""
        return self.error(
            "P0406", "there is no second derivative over a kink", span, "its derivative jumps, and nothing here sees that",
            help='take the sites before it by score (estimator="score"), whose derivatives of every order are right',
        )

    def forked(self) -> ProbError:
        """P0406: runs that fork were differentiated twice."""
        return ProbError(Diagnostic(
            "P0406", "there is no second derivative of runs that fork", None, "", (),
            ("the difference that another outcome makes is a number, and nothing here sees how it moves",),
            'take discrete sites by score (estimator="score"), whose derivatives of every order are right;\n'
            "where a parameter moves a jump take differences of the first derivative", self.source,
        ))

    def ragged(self, name: str, value: Ragged, span: Span) -> ProbError:
        """P0303: a variable whose shape depends on the way a run went."""
        shapes = " or ".join(shape_words(shape) for shape in value.shapes)
        return self.error(
            "P0303", f"the shape of `{name}` differs from run to run", span, f"{shapes}, by the way that a run went",
            help="give it the same shape on every way, for instance with zeros(...) for what is not used",
        )

    def memory(self, problem: BaseException, span: Span | None, runs: int, device: torch.device) -> OutOfMemory | None:
        """P0509, where a problem is that there is no more memory; None where it is not."""
        amount = wanted(problem)
        if amount is None:
            return None
        what = words(amount) if amount else "more memory"
        there = f"{words(available(device))} of memory are left"
        return OutOfMemory(Diagnostic(
            "P0509", f"there is not enough memory: this needs {what}", span, f"{there}", (),
            (f"for {runs} {'run' if runs == 1 else 'runs'} at once",),
            "make arrays smaller, or loops shorter", self.source,
        ), runs)
