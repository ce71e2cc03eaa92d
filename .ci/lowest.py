"""The lowest versions that pyproject.toml allows, one `name==version` a line, for programs that run (no developers' tools).

Usage: lowest.py [EXTRA...]      torch is left out: it is the one in constraints.txt, wherever probrun is installed
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def lowest(requirement: str) -> str:
    """`lark>=1.3,<1.4` as `lark==1.3`; every requirement must have a lower bound."""
    found = re.fullmatch(r"([A-Za-z0-9_.-]+)>=([0-9.]+)(,<[0-9.]+)?", requirement.replace(" ", ""))
    if found is None:
        sys.exit(f"{requirement!r} is not of the form NAME>=VERSION or NAME>=VERSION,<VERSION")
    return f"{found[1]}=={found[2]}"


if __name__ == "__main__":
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in sys.argv[1:] for one in project["optional-dependencies"][extra])]
    print("\n".join(lowest(one) for one in wanted if not one.startswith("torch>=")))
