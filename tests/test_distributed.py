"""Two real processes under torchrun: one report, the runs shared, errors of one told by all."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import probrun
from probrun.runtime.blocks.settings import block_seed
from probrun.runtime.estimates.team import device_of_rank

ROOT = Path(__file__).resolve().parent.parent


def torchrun(*arguments: str, module: str = "probrun", before: Path = ROOT) -> subprocess.CompletedProcess[str]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": f"{before}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port), "-m", module,
         *arguments],
        capture_output=True, text=True, timeout=100, env=environment, cwd=ROOT, check=False,
    )


def test_two_processes_share_the_runs(tmp_path: Path) -> None:
    """A guard breaks in one process only, so both plan again; then the moments of both are merged."""
    text = "param theta = 2\nz ~ Normal(theta, 2)\ny = theta^2*(z + 4)\nreturn y"
    path = tmp_path / "reparam.prob"
    path.write_text(text, encoding="utf-8")
    done = torchrun("grad", str(path), "--json", "-n", "20001", "--seed", "1")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)  # one object, and nothing else
    alone = probrun.parse(text).grad(samples=20001, seed=1)
    half = probrun.parse(text).grad(samples=10001, seed=1)
    gradient = found["gradient"]["theta"]
    assert found["samples"] == 20001 and found["seed"] == 1
    assert abs(gradient["mean"] - 28) < 5 * gradient["se"]
    assert gradient["se"] == pytest.approx(float(alone.gradient["theta"].se), rel=0.05)
    assert gradient["mean"] != pytest.approx(float(half.gradient["theta"].mean), rel=1e-6)
    assert 20001 * gradient["se"] ** 2 == pytest.approx(gradient["sd"] ** 2)


def test_a_guard_that_breaks_in_one_process_and_no_seed(tmp_path: Path) -> None:
    """atan(1/(x - 4)) is planned pathwise; one run in 30,000 shows that it jumps, so one process may not have seen it."""
    path = tmp_path / "guard.prob"
    path.write_text("param theta = 0\nx ~ Normal(theta, 1)\nreturn atan(1/(x - 4))", encoding="utf-8")
    done = torchrun("grad", str(path), "--json", "-n", "60000")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["samples"] == 60000 and found["sites"][0]["estimator"] in ("score", "rsample")


def test_what_goes_wrong_in_one_goes_wrong_in_all(tmp_path: Path) -> None:
    path = tmp_path / "rare.prob"
    path.write_text(
        "param theta = 1\nx ~ Normal(0, 1)\nif x > 3.6 { y = log(0*theta - 1) } else { y = theta*x }\nreturn y", encoding="utf-8"
    )
    done = torchrun("grad", str(path), "-n", "20000", "--seed", "1")
    assert done.returncode != 0
    assert done.stderr.count("error[P0502]") == 1 and done.stdout == ""


def test_seeds_of_all_blocks_of_all_processes_differ() -> None:
    seeds = {block_seed(7, number * 3 + rank) for number in range(1000) for rank in range(3)}
    assert len(seeds) == 3000


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(probrun.ProbError) as caught:
        device_of_rank("cuda")
    assert caught.value.code == "P0604" and "1 GPU" in caught.value.message
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of_rank("cuda") == "cuda:0" and device_of_rank("cpu") == "cpu"


def test_a_target_is_reached_together(tmp_path: Path) -> None:
    """The sd of a run is 8, so that 0.02 takes 160,000 runs; all look whenever they have half as many again."""
    path = tmp_path / "reparam.prob"
    path.write_text("param theta = 2\nz ~ Normal(theta, 2)\nreturn theta^2*(z + 4)", encoding="utf-8")
    done = torchrun("grad", str(path), "--json", "-n", "4000000", "--seed", "1", "--target-se", "0.02", "--no-pilot")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    gradient = found["gradient"]["theta"]
    assert gradient["se"] <= 0.02 and abs(gradient["mean"] - 28) < 5 * gradient["se"]
    assert 160_000 * 0.9 < found["samples"] < 160_000 * 1.8
    done = torchrun("grad", str(path), "--json", "-n", "20000", "--seed", "1", "--target-se", "0.02", "--no-pilot")
    assert done.returncode != 0 and "not reached" in done.stderr and json.loads(done.stdout)["samples"] == 20000


def test_a_fault_in_one_process_while_the_others_look(tmp_path: Path) -> None:
    path = tmp_path / "rare.prob"
    path.write_text(
        "param theta = 1\nx ~ Normal(0, 1)\nif x > 3.6 { y = log(0*theta - 1) } else { y = theta*x }\nreturn y", encoding="utf-8"
    )
    done = torchrun("grad", str(path), "-n", "400000", "--seed", "1", "--target-se", "0.0001")
    assert done.returncode != 0
    assert done.stderr.count("error[P0502]") == 1 and done.stdout == ""
    path.write_text("param theta = 0\nx ~ Normal(theta, 1)\nreturn atan(1/(x - 4))", encoding="utf-8")
    done = torchrun("grad", str(path), "--json", "-n", "200000", "--target-se", "0.004")
    found = json.loads(done.stdout)
    assert done.returncode in (0, 3) and found["sites"][0]["estimator"] in ("score", "rsample")


SLOW_TO_SPEAK = """
import os, sys, time

class Slow:
    def __init__(self, stream):
        self.stream = stream
    def write(self, text):
        time.sleep(0.5)
        return self.stream.write(text)
    def __getattr__(self, name):
        return getattr(self.stream, name)

if os.environ.get("RANK") == "0":
    sys.stdout, sys.stderr = Slow(sys.stdout), Slow(sys.stderr)
"""
REPARAM = "param theta = 2\nz ~ Normal(theta, 2)\nreturn theta^2*(z + 4)"
RARE = "param theta = 1\nx ~ Normal(0, 1)\nif x > 3 { y = log(0*theta - 1) } else { y = theta*x }\nreturn y"


def first_to_fail(done: subprocess.CompletedProcess[str]) -> int:
    """The process that torchrun names as the cause; when it has failed, torchrun may end the others."""
    found = re.search(r"Root Cause.*?rank *: (\d+)", done.stderr, re.DOTALL)
    assert found is not None, done.stderr
    return int(found[1])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-e", REPARAM, "-n", "20000", "--seed", "1", "--target-se", "0.02", "--no-pilot"), "--target-se 0.02 is not reached"),
        (("no_such_file.prob",), "no such file: no_such_file.prob"),
        (("-e", RARE, "-n", "20000", "--seed", "1"), "error[P0502]"),
        (("-e", REPARAM, "-n", "3"), "error[P0604]"),
    ],
)
def test_what_process_0_has_to_say_is_said(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """torchrun ends all processes as soon as one of them fails, so the others must not fail while process 0 still speaks."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_TO_SPEAK, encoding="utf-8")
    done = torchrun("grad", *arguments, before=tmp_path)
    assert done.returncode != 0
    assert done.stderr.count(said) == 1 and first_to_fail(done) == 0, done.stderr
    assert ("E[result]" in done.stdout) == ("not reached" in said)


@pytest.mark.parametrize("lacking", [0, 1])
def test_a_file_that_is_there_for_one_process_only(tmp_path: Path, lacking: int) -> None:
    for number in range(2):
        (tmp_path / str(number)).mkdir()
    (tmp_path / str(1 - lacking) / "reparam.prob").write_text(REPARAM, encoding="utf-8")
    (tmp_path / "sitecustomize.py").write_text(
        f"import os\nif 'RANK' in os.environ: os.chdir(os.path.join({str(tmp_path)!r}, os.environ['RANK']))", encoding="utf-8"
    )
    done = torchrun("grad", "reparam.prob", before=tmp_path)
    assert done.returncode != 0 and done.stdout == ""
    assert done.stderr.count("no such file: reparam.prob") == 1 and first_to_fail(done) == 0, done.stderr
    assert ("process 1 cannot begin" in done.stderr) == (lacking == 1)


@pytest.mark.parametrize("pilot", ["--pilot", "--no-pilot"])
def test_data_that_one_process_cannot_use(tmp_path: Path, pilot: str) -> None:
    """Process 0 waits for what the other one has found, and hears what is wrong with its data instead."""
    for number, content in enumerate(("[1, 2]", "[[1, 2]]")):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "x.json").write_text(content, encoding="utf-8")
    (tmp_path / "sitecustomize.py").write_text(
        f"import os\nif 'RANK' in os.environ: os.chdir(os.path.join({str(tmp_path)!r}, os.environ['RANK']))", encoding="utf-8"
    )
    text = "param theta = 2; data x[n]; z ~ Normal(theta, 2); return z*sum(x)"
    done = torchrun("grad", "-e", text, "-d", "x=@x.json", pilot, before=tmp_path)
    assert done.returncode != 0 and done.stdout == ""
    assert done.stderr.count("error[P0604]") == 1 and "shape [1, 2]" in done.stderr, done.stderr


def test_one_estimate_after_another_from_python(tmp_path: Path) -> None:
    (tmp_path / "several.py").write_text(
        f"import probrun\nprogram = probrun.parse({REPARAM!r})\n"
        "for seed in range(3):\n"
        "    result = program.grad(samples=2000, seed=seed, distributed=True)\n"
        "    print(f'seed {seed}: {float(result.gradient[\"theta\"].mean)}\\n', end='', flush=True)\n",
        encoding="utf-8",
    )
    done = torchrun(module="several", before=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = sorted(done.stdout.splitlines())
    assert len(lines) == 6 and lines[::2] == lines[1::2] and len(set(lines)) == 3
