"""Long phases from the outside: what a pilot may cost, what --max-time bounds, what an interruption leaves, what a terminal shows.

Processes are interrupted when their own progress (standard error is a terminal here) says that they are in the phase.  Times are
generous: they tell a bounded phase from one that is not, on a machine that does other things as well.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import probrun

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SIR = """
param beta in (0, inf) = 0.3
param gamma in (0, 1) = 0.1
N = 1000
S = 990
I = 10
for day in range(30) {
    caught ~ Binomial(S, 1 - exp(-beta*I/N))
    healed ~ Binomial(I, gamma)
    S = S - caught
    I = I + caught - healed
}
return N - S
"""
CHAIN = "param theta = 0.5; x = 0; for t in range({rounds}) {{ x ~ Normal(theta*x, 1) }}; return x^2"
BITS = "param theta in (0, 1) = 0.3\n" + "".join(f"b{i} ~ Bernoulli(theta)\n" for i in range(100)) + "return exp((" + " + ".join(
    f"b{i}" for i in range(100)
) + ")/10)\n"
SOME = r"(?<!\d)[1-9]\d?%"  # of a bar
START = 30.0  # seconds within which a process has begun on a busy machine


def call(*arguments: str, text: str = "") -> tuple[int, str, str, float]:
    """A process: status, standard output, standard error, seconds."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "probrun", *arguments], input=text, capture_output=True, text=True, timeout=300, check=False,
    )
    return done.returncode, done.stdout, done.stderr, time.monotonic() - begun


def interrupted(arguments: list[str], shown: str, text: str = "", signals: bool = True) -> tuple[int, str, str, float]:
    """A process that gets SIGINT as soon as its terminal shows something: status, standard output, what the terminal showed, and
    seconds from the signal to the end."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [sys.executable, "-m", "probrun", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=theirs, env=environment,
    )
    os.close(theirs)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(text.encode())
    process.stdin.close()
    seen, begun, sent = "", time.monotonic(), 0.0
    while True:
        ready, _, _ = select.select([ours], [], [], 1.0)
        try:
            seen += os.read(ours, 65536).decode(errors="replace") if ready else ""
        except OSError:  # the terminal is closed: the process has ended
            break
        if not sent and re.search(shown, seen):
            sent = time.monotonic()
            if signals:
                process.send_signal(signal.SIGINT)
        if not sent and time.monotonic() - begun > START:
            process.kill()
            pytest.fail(f"{shown!r} was never shown, but {seen!r}")
        if sent and not signals:
            process.kill()
        if sent and time.monotonic() - sent > 120:
            process.kill()
            pytest.fail("it did not end")
    out = process.stdout.read().decode()
    status = process.wait(60)
    os.close(ours)
    return status, out, seen, time.monotonic() - sent


# ------------------------------------------------------------------------------------------------------- cost
def seconds(make: Callable[[], object]) -> float:
    begun = time.perf_counter()
    make()
    return time.perf_counter() - begun


@pytest.mark.parametrize("text", [SIR, BITS], ids=["two Binomials a day", "a hundred bits"])
def test_a_pilot_costs_no_more_than_a_few_runs_of_its_own(text: str) -> None:
    """It was 45 and 40 times the run itself."""
    program = probrun.parse(text)
    program.grad(seed=1, samples=1000)
    chosen = program.grad(seed=1)
    by_hand = {site.name: site.estimator for site in chosen.sites}
    plain = min(seconds(lambda: program.grad(seed=1, pilot=False, estimator=by_hand)) for _ in range(3))
    whole = min(seconds(lambda: program.grad(seed=1)) for _ in range(3))
    assert whole < 9 * plain + 0.5


def test_the_work_that_bounds_a_pilot_does_not_depend_on_the_clock() -> None:
    program = probrun.parse(SIR)
    first, second = (program.grad(seed=5, samples=2000).to_dict() for _ in range(2))
    first.pop("seconds"), second.pop("seconds")
    assert first == second


def test_a_plan_is_not_taken_for_what_its_lanes_would_cost() -> None:
    """Enumerating a Binomial of a thousand outcomes at every run is right, and hundreds of times as dear."""
    result = probrun.parse("n ~ Binomial(400, theta); x ~ Normal(n/100, 1); return x^2 + x").grad({"theta": 0.3}, seed=1)
    assert result.seconds < 10


def test_many_lanes_on_request_answer_or_fall_back() -> None:
    """`--max-lanes 4000000` gave no answer in ten minutes: it meant so many lanes for every one of the sampled runs as well."""
    status, out, err, took = call("grad", str(EXAMPLES / "epidemic.prob"), "--max-lanes", "4000000", "--seed", "1", "--json")
    beta = json.loads(out)["gradient"]["beta"]
    assert status == 0 and took < 60 and beta["se"] == 0 and beta["mean"] == pytest.approx(16.7781197, abs=1e-6)
    many = "param p = 0.3; x = 0; for t in range(12) { n ~ Binomial(20, p); x = 1.1*x + n }; return x^2"  # 21^12 states
    status, out, err, took = call("grad", "-e", many, "--max-lanes", "4000000", "--seed", "1", "--json")
    assert status == 0 and took < 120 and "--max-lanes 4000000" in err
    scales = [1.1**k for k in range(12)]
    exact = sum(20 * (1 - 2 * 0.3) * c * c for c in scales) + 2 * 0.3 * (20 * sum(scales)) ** 2
    found = json.loads(out)["gradient"]["p"]
    assert 0 < found["se"] < 0.1 * exact and abs(found["mean"] - exact) < 5 * found["se"]


def test_an_oracle_is_bounded() -> None:
    """Sums over all outcomes were tried for minutes before it took samples."""
    result = probrun.parse(SIR)
    assert seconds(lambda: result.grad(seed=1, samples=2000, verify=True)) < 60


# -------------------------------------------------------------------------------------------------------- time
@cache
def start_up(command: str) -> float:
    """Seconds that a command takes which has nothing to do."""
    return call(command, "-", "--seed", "1", text="return 1" if command == "run" else "param theta = 1; return theta")[3]


@pytest.mark.parametrize(("command", "more", "text"), [
    ("grad", (), SIR), ("grad", ("--no-pilot",), CHAIN.format(rounds=300)), ("grad", ("--verify",), SIR),
    ("run", (), CHAIN.format(rounds=300)), ("compare", (), CHAIN.format(rounds=300)), ("compare", (), SIR),
], ids=["pilot", "grad", "verify", "run", "compare", "compare counts"])
def test_max_time_holds(command: str, more: tuple[str, ...], text: str) -> None:
    """A few seconds, and what it takes to start; it was 55 for the first of these.  A comparison has a pilot before its rows, which
    share the time; where a row has come to a few runs only, it says that they are few."""
    given = 5 if command == "compare" else 2
    status, out, err, took = call(command, "-", "-n", "100000000", "--max-time", str(given), "--seed", "1", "--json", *more, text=text)
    assert took < start_up(command) + 3 * given + 1, err
    assert status in ((0, 3) if "--verify" in more or command == "compare" else (0,)), err
    answer = json.loads(out)
    if command == "compare":
        assert answer["rows"] and all(0 < row["samples"] < 100_000_000 for row in answer["rows"] if not row["exact"])
    else:
        assert answer["stopped"] == "max-time" and 0 < answer["samples"] < 100_000_000


def test_a_verification_without_time_says_so() -> None:
    """The runs take what time there is; a machine too slow for a single block in it gets more."""
    for limit in ("1", "4", "16"):
        status, out, err, _ = call(
            "grad", "-e", CHAIN.format(rounds=1000), "-n", "100000000", "--max-time", limit, "--verify", "--seed", "1", "--json",
            "--no-pilot",
        )
        answer = json.loads(out)
        if answer.get("error", {}).get("code") != "P0608":
            break
    if answer["verified"] is None:
        assert status == 3 and "not verified" in err
    else:
        assert status == 0 and answer["verified"]["passed"]


def test_time_for_nothing_is_an_error() -> None:
    status, out, err, took = call("grad", "-e", CHAIN.format(rounds=1_000_000), "--max-time", "0.5", "--json")
    assert status == 1 and json.loads(out)["error"]["code"] == "P0608" and "Traceback" not in err and took < 20


def test_a_time_that_is_not_needed_changes_no_choice() -> None:
    program = probrun.parse(SIR)
    timed, plain = program.grad(seed=3, samples=2000, max_time=600), program.grad(seed=3, samples=2000)
    assert [site.estimator for site in timed.sites] == [site.estimator for site in plain.sites]


# ------------------------------------------------------------------------------------------------ interruptions
def test_an_interrupted_pilot_says_that_nothing_is_there() -> None:
    status, out, seen, took = interrupted(["grad", "-e", CHAIN.format(rounds=200_000), "--json"], "choosing estimators")
    assert (status, out) == (130, "") and took < 20
    assert "interrupted before the first result, while choosing estimators" in seen and "Traceback" not in seen


def test_an_interrupted_exact_answer() -> None:
    text = "param p in (0, 1) = 0.3; n = 0; for t in range(40) { b ~ Binomial(5, p); n = 1.1*n + b }; return n^2"
    status, out, seen, took = interrupted(["grad", "-e", text, "--max-lanes", "400000000"], "trying the exact answer")
    assert (status, out) == (130, "") and took < 30 and "interrupted" in seen and "Traceback" not in seen


def test_interrupted_runs_leave_those_that_are_made() -> None:
    arguments = ["-e", CHAIN.format(rounds=2000), "-n", "50000", "--json", "--seed", "1"]
    for command, more in (("grad", ["--no-pilot"]), ("run", [])):
        status, out, seen, took = interrupted([command, *arguments, *more, "--max-time", "3600"], SOME)
        assert status == 130 and took < 30 and "Traceback" not in seen
        answer = json.loads(out)
        assert answer["interrupted"] is True and 0 < answer["samples"] < 50_000
        assert f"interrupted after {answer['samples']} of 50000 runs" in seen


def test_an_interrupted_verification_leaves_the_gradient() -> None:
    arguments = ["grad", "-e", CHAIN.format(rounds=3000), "-n", "2000", "--no-pilot", "--verify", "--json", "--seed", "1"]
    status, out, seen, took = interrupted(arguments, "verifying the gradient")
    answer = json.loads(out)
    assert status == 130 and took < 30 and "Traceback" not in seen
    assert answer["samples"] == 2000 and answer["verified"] is None and answer["interrupted"] is True
    assert "not verified" in seen


def test_an_interrupted_comparison_prints_finished_rows() -> None:
    arguments = ["compare", "-e", CHAIN.format(rounds=1000), "-n", "3000", "--seed", "1"]
    whole = len(json.loads(call(*arguments[:-2], "--seed", "1", "-n", "64", "--json")[1])["rows"])
    status, out, seen, took = interrupted([*arguments, "--json"], SOME)
    answer = json.loads(out)
    assert status == 130 and took < 60 and "Traceback" not in seen
    assert answer["interrupted"] is True and 0 < len(answer["rows"]) < whole
    assert re.search(r"interrupted; \d rows? (is|are) finished", seen)
    assert all(row["samples"] == 3000 for row in answer["rows"])


def test_a_comparison_without_a_row() -> None:
    status, out, seen, _ = interrupted(["compare", "-e", CHAIN.format(rounds=1_000_000)], "estimators")
    assert (status, out) == (130, "") and "interrupted before the first result" in seen and "Traceback" not in seen


FOUR_THREADS = """
import sys, torch
from probrun.cli import main
from probrun.runtime.blocks import schedule
made = schedule.in_order
def told(*arguments):
    print("under way", file=sys.stderr, flush=True)
    return made(*arguments)
schedule.in_order = told
torch.set_num_threads(4)
sys.exit(main())
"""


def test_threads_end_with_an_interrupted_run() -> None:
    """Blocks that other threads are making stop in the middle, and are not waited for."""
    text = CHAIN.format(rounds=30_000)
    process = subprocess.Popen(
        [sys.executable, "-c", FOUR_THREADS, "grad", "-e", text, "-n", "100000", "--no-pilot", "--seed", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    assert process.stderr is not None and process.stderr.readline() == "under way\n"
    time.sleep(1)  # the threads have begun
    assert process.poll() is None
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in err + out and time.monotonic() - sent < 30


# --------------------------------------------------------------------------------------------------- a terminal
@pytest.mark.parametrize(("arguments", "shown"), [
    (["grad", "-e", CHAIN.format(rounds=200_000)], "choosing estimators"),
    (["grad", "-e", CHAIN.format(rounds=200_000), "--no-pilot"], "runs"),
    (["run", "-e", CHAIN.format(rounds=200_000)], "runs"),
    (["compare", "-e", CHAIN.format(rounds=200_000)], "estimators"),
], ids=["pilot", "grad", "run", "compare"])
def test_a_terminal_shows_what_goes_on(arguments: list[str], shown: str) -> None:
    *_, seen, _ = interrupted(arguments, shown, signals=False)
    assert shown in seen and "Traceback" not in seen


def test_a_pipe_shows_nothing_but_results() -> None:
    status, _, err, _ = call("grad", "-", "--seed", "1", "--verify", "-n", "2000", text=SIR)
    assert status == 0 and err == ""
