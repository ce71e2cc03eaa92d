"""What a function says about a value that it cannot take."""

from __future__ import annotations


class FunctionProblem(ValueError):
    """A value that a function cannot take; `code` is that of the diagnostic."""

    def __init__(self, code: str, title: str):
        self.code = code
        self.title = title
        super().__init__(title)
