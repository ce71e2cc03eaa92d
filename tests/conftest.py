"""What several test files use."""

from __future__ import annotations

from typing import Any

import pytest

from probrun import cli


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Any:
    """Run one command line in this process: (status, standard output, standard error)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        status = cli.execute(list(arguments))
        captured = capfd.readouterr()
        return status, captured.out, captured.err

    return run
