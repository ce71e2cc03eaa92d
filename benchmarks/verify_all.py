"""`grad --verify` over every example and every public case: which gradients disagree with the oracle?

    python benchmarks/verify_all.py [--samples 20000] [--cases ../shared/cases/cases.json] [--only TEXT]

One line per program that disagrees, could not be verified, or ended otherwise; the last line sums up.  Exit status 1 where
something disagrees.  Cases that are to be refused are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import time
from pathlib import Path

from probrun.cli import main as command

HERE = Path(__file__).resolve().parent.parent
CASES = HERE.parent / "shared" / "cases" / "cases.json"
SLOW = 10.0  # seconds from which a program is told of


Program = tuple[str, Path, list[str]]  # its name, where it is, and what it is given


def examples() -> list[Program]:
    """The programs of `examples/`."""
    return [(path.name, path, []) for path in sorted((HERE / "examples").glob("*.prob"))]


def cases(path: Path) -> list[Program]:
    """The public cases that have a gradient."""
    if not path.exists():
        return []
    found = []
    for case in json.loads(path.read_text()):
        if case["expect"] != "error" and "gradient" in case:
            options = [str(part) for part in case.get("options", [])]
            for name, value in case.get("params", {}).items():
                options += ["-p", f"{name}={json.dumps(value)}"]
            for name, value in case.get("data", {}).items():
                options += ["-d", f"{name}={json.dumps(value)}"]
            found.append((case["name"], path.parent / case["file"], options))
    return found


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--samples", type=int, default=20_000)
    asked.add_argument("--cases", type=Path, default=CASES)
    asked.add_argument("--only", default="")
    options = asked.parse_args()
    counts = {"agree": 0, "disagree": 0, "other": 0}
    for name, path, more in [*examples(), *cases(options.cases)]:
        if options.only not in name:
            continue
        started = time.perf_counter()
        said = judge(path, more, options.samples)
        seconds = time.perf_counter() - started
        counts[said.split(":")[0]] += 1
        if not said.startswith("agree") or seconds > SLOW:
            print(f"{name:32s} {said}  ({seconds:.1f} s)", flush=True)
    print(", ".join(f"{count} {word}" for word, count in counts.items()))
    return 1 if counts["disagree"] else 0


def judge(path: Path, more: list[str], samples: int) -> str:
    """What `grad --verify` says of a program."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = command(["grad", str(path), "--verify", "--json", "--seed", "1", "-n", str(samples), *more])
    if status == 1:
        return f"other: {json.loads(out.getvalue())['error']['code']}"
    found = json.loads(out.getvalue())
    check = found.get("verified")
    if check is None:
        return f"other: not verified, status {status}"
    if check["passed"]:
        return "agree"
    return f"disagree: by {check['method']}, {json.dumps(check['gradient'])} for {json.dumps(found['gradient'])}"[:400]


if __name__ == "__main__":
    sys.exit(main())
