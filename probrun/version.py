"""The version of probrun and of what it stands on."""

from __future__ import annotations

import platform

__version__ = "0.1.0"


def version_block() -> str:
    """Versions for a bug report, one a line; imports nothing heavy."""
    from importlib.metadata import PackageNotFoundError, version

    lines = [f"probrun {__version__}", f"python {platform.python_version()} on {platform.platform()}"]
    for package in ("torch", "numpy", "lark", "click", "rich", "matplotlib", "platformdirs"):
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package} is not installed")
    return "\n".join(lines)
