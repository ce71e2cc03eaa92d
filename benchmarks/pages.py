"""docs/performance.md anew, by one command: `python benchmarks/pages.py` (a quarter of an hour), or some of it by name.

Every table has a program of its own, which runs in a process of its own, one after another; the GPU's only where there is one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
TABLES: dict[str, dict[str, str]] = {  # and what is set for it
    "performance": {}, "lean": ONE_THREAD, "enumerations": ONE_THREAD, "growth": ONE_THREAD, "wide": ONE_THREAD, "gpu": {},
}


def main() -> int:
    reading = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    reading.add_argument("tables", nargs="*", metavar="TABLE", help=f"some of {', '.join(TABLES)}")
    asked = reading.parse_args().tables or list(TABLES)
    if unknown := [name for name in asked if name not in TABLES]:
        reading.error(f"there is no table {unknown[0]}: {', '.join(TABLES)}")
    failed = []
    for name in asked:
        if name == "gpu" and not _gpu():
            print("gpu: there is none, so its table stays as it is")
            continue
        begun = time.monotonic()
        done = subprocess.run([sys.executable, str(HERE / f"{name}.py"), "--write"], env={**os.environ, **TABLES[name]}, check=False)
        print(f"{name}: {'made' if done.returncode == 0 else 'FAILED'} in {time.monotonic() - begun:.0f} s", flush=True)
        failed += [name] if done.returncode else []
    return 1 if failed else 0


def _gpu() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    sys.exit(main())
