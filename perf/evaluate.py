"""Seconds and verdicts of our grader and of EvalPlus's: `python -m perf.evaluate --data FOLDER [--tasks N]`.

FOLDER holds HumanEvalPlus-v0.1.10.jsonl(.gz), MbppPlus-v0.2.0.jsonl(.gz), and MbppPlus-v0.1.0 with the published
StarCoder2-15B-Instruct samples (evalplus_sc2-15b-instruct_mbpp.jsonl.gz), directly or in its folders; what is missing
is skipped. Graded by `lib.evaluate.grading` and by `evalplus.evaluate` in another process, both on every core:

- canonical: each task's own solution;
- SC2: the published samples.

EvalPlus gets generous limits (--min-time-limit 4 --gt-time-limit-factor 8), because with its defaults, 1 s by the
clock, its verdicts change with the load; and no memory limit, with which Mbpp/255 fails. Ours has its usual limits.
EvalPlus's time includes the expected outputs, which it computes once per file and which are printed separately; ours
computes them for every sample. A thread of EvalPlus's sleeps for 20 s at a time, so that it never ends sooner. Verdicts
that differ are listed. With --tasks only the first N tasks of each file.

Then an answer to every task of the benchmarks of BEYOND, in their interpreters (`make benchmark-env`): their own
solutions, for LiveCodeBench the published answers of O1. EvalPerf's time includes the costs of all of them beside the
ladder. The last line is the sum: what one model's greedy answers to all five take, but for its timeouts.

Beside DS-1000 runs its official program, a process for each of the first PEERED tasks that imports what it needs. The
others' harnesses do not run here: EvalPerf's needs the processor's counters, LiveCodeBench's, ClassEval's and
CanItEdit's are on no package index.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lib import evaluate, sandbox
from lib.core.records import Record, StudyError
from lib.evaluate.benchmark import Benchmark
from lib.evaluate.benchmarks.ds1000 import DS1000Tasks
from lib.evaluate.benchmarks.evalperf import EvalPerf
from lib.evaluate.benchmarks.livecodebench import LiveCodeBench
from lib.evaluate.data import files, unpacked
from lib.evaluate.grading import grade_solutions

CORES = len(os.sched_getaffinity(0))
SETS = (
    ("humaneval+", "HumanEvalPlus-v0.1.10", None),
    ("mbpp+", "MbppPlus-v0.2.0", None),
    ("mbpp+", "MbppPlus-v0.1.0", "evalplus_sc2-15b-instruct_mbpp"),
)
BEYOND = ("livecodebench", "evalperf", "classeval", "ds1000", "canitedit")
O1, WHOSE = "lcb_v1_o1_official_graded", "o1_mini"  # the file of published answers, and which of its two
PEERED = 40
Pairs = list[tuple[str, str]]  # task id, solution
Verdicts = dict[str, tuple[bool, bool]]  # task id -> whether base and plus pass


def pairs(benchmark: Benchmark, samples: Path | None, count: int | None) -> Pairs:
    """The solutions to grade: the benchmark's own, or samples of its tasks."""
    if samples is None:
        return [(task, benchmark.canonical(task)) for task in benchmark.problems][:count]
    rows = [json.loads(line) for line in unpacked(samples).splitlines()]
    return [(row["task_id"], benchmark.raw_prompt(row["task_id"], "unstripped") + row["completion"]) for row in rows][
        :count
    ]


def ours(benchmark: Benchmark, wanted: Pairs) -> tuple[float, Verdicts]:
    """Seconds and verdicts of our grading."""
    start = time.perf_counter()
    samples = grade_solutions(benchmark, wanted)
    return time.perf_counter() - start, {
        sample["task_id"]: (sample["base"] == "pass", sample["plus"] == "pass") for sample in samples
    }


def theirs(data: bytes, dataset: str, wanted: Pairs) -> tuple[float, float, Verdicts]:
    """Total seconds, seconds for the expected outputs, and verdicts of `evalplus.evaluate`."""
    tasks = {task for task, _ in wanted}
    lines = [line for line in data.splitlines(keepends=True) if json.loads(line)["task_id"] in tasks]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data.jsonl").write_bytes(b"".join(lines))
        rows = [json.dumps({"task_id": task, "solution": solution}) for task, solution in wanted]
        (folder / "samples.jsonl").write_text("\n".join(rows) + "\n")
        override = {"humaneval": "HUMANEVAL_OVERRIDE_PATH", "mbpp": "MBPP_OVERRIDE_PATH"}[dataset]
        environment = {override: str(folder / "data.jsonl"), "XDG_CACHE_HOME": name, "EVALPLUS_MAX_MEMORY_BYTES": "-1"}
        words = ["--dataset", dataset, "--samples", str(folder / "samples.jsonl"), "--parallel", str(CORES)]
        words += ["--min-time-limit", "4", "--gt-time-limit-factor", "8"]
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "evalplus.evaluate", *words],
            env=os.environ | environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        took = time.perf_counter() - start
        if done.returncode:
            sys.exit(f"evalplus.evaluate failed: {done.stderr[-2000:]}")
        found: dict[str, list[Record]] = json.loads((folder / "samples_eval_results.json").read_text())["eval"]
    expected = re.search(r"Expected outputs computed in ([\d.]+)s", done.stdout)
    verdicts = {task: (one["base_status"] == "pass", one["plus_status"] == "pass") for task, (one,) in found.items()}
    return took, float(expected[1]) if expected else 0.0, verdicts


def row(name: str, seconds: str, verdicts: Verdicts) -> None:
    """Print one grader's row."""
    base, both = sum(base for base, _ in verdicts.values()), sum(base and plus for base, plus in verdicts.values())
    print(f"{name:40}{seconds:>36}   base {base:3} of {len(verdicts)}, base + plus {both:3}", flush=True)


def answers(benchmark: Benchmark, folder: Path, count: int | None) -> Pairs:
    """An answer to each task: the benchmark's own solution, or O1's where there is none."""
    if not isinstance(benchmark, LiveCodeBench):
        return pairs(benchmark, None, count)
    path = next(files(folder, [O1]), None)
    if path is None:
        raise StudyError(f"{folder} has no {O1}")
    rows = [json.loads(line) for line in unpacked(path).splitlines()]
    return [(row["question_id"], row[WHOSE]["code"]) for row in rows][:count]


def officially(benchmark: DS1000Tasks, wanted: Pairs) -> tuple[float, int]:
    """Seconds and passes of DS-1000's own program for each answer, in a process each, on every core."""

    def passes(pair: tuple[str, str]) -> bool:
        context = benchmark.problems[pair[0]]["code_context"]
        calls = ["test_execution(code)", *(["test_string(code)"] if "test_string(" in context else [])]
        with tempfile.TemporaryDirectory() as folder:
            words = [benchmark.limits.python, "-c", "\n".join([context, f"code = {pair[1]!r}", *calls])]
            return not subprocess.run(words, cwd=folder, capture_output=True, timeout=120, check=False).returncode

    start = time.perf_counter()
    with ThreadPoolExecutor(CORES) as pool:
        passed = sum(pool.map(passes, wanted))
    return time.perf_counter() - start, passed


def beyond(folder: Path, count: int | None) -> None:
    """Print a row for each of BEYOND that is in the folder and has its interpreter, and the sum of their times."""
    total = 0.0
    for name in BEYOND:
        try:
            benchmark = evaluate.load_benchmark(name, folder)
            wanted = answers(benchmark, folder, count)
            if isinstance(benchmark, EvalPerf):
                benchmark.least = 1  # there is one answer to each task
            start = time.perf_counter()
            samples = benchmark.finished(grade_solutions(benchmark, wanted))
        except StudyError as error:
            print(f"{name}: skipped, {error}")
            continue
        seconds, passed = time.perf_counter() - start, sum(sample["passed"] for sample in samples)
        total += seconds
        what = f"{benchmark.name} {benchmark.version}"
        print(f"{what:70}{seconds:10.1f} s   {passed} of {len(samples)} pass", flush=True)
        if lacking := [sample["task_id"] for sample in samples if not sample["passed"]]:
            print(f"  do not: {', '.join(lacking[:20])}{', ...' if len(lacking) > 20 else ''}")
        if isinstance(benchmark, DS1000Tasks):
            took, theirs = officially(benchmark, wanted[:PEERED])
            start = time.perf_counter()
            mine = sum(sample["passed"] for sample in grade_solutions(benchmark, wanted[:PEERED]))
            seconds, n = time.perf_counter() - start, len(wanted[:PEERED])
            print(f"  its first {n}: ours {seconds:.1f} s, {mine} pass; official program {took:.1f} s, {theirs} pass")
    print(f"{'one answer to each task of all of them':70}{total:10.1f} s")


def main() -> None:
    """Grade the sets in the folder; print a row per grader and the verdicts that differ."""
    parser = argparse.ArgumentParser(prog="python -m perf.evaluate", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the benchmarks' files")
    parser.add_argument("--tasks", type=int, help="only the first N tasks of each file", metavar="N")
    given = parser.parse_args()
    print(f"{CORES} cores, {sandbox.check()}, {sandbox.time_scale()} times the reference program's time")
    for benchmark_name, stem, samples_stem in SETS:
        path = next(files(given.data, [stem]), None)
        samples = next(files(given.data, [samples_stem]), None) if samples_stem else None
        if path is None or (samples_stem and samples is None):
            print(f"{stem}{f' with {samples_stem}' if samples_stem else ''}: not in {given.data}, skipped")
            continue
        benchmark = evaluate.load_benchmark(benchmark_name, path)
        wanted = pairs(benchmark, samples, given.tasks)
        what = f"{benchmark.name} {benchmark.version}, {'SC2' if samples else 'canonical'}"
        seconds, mine = ours(benchmark, wanted)
        row(f"{what}: ours", f"{seconds:.1f} s", mine)
        took, expected, other = theirs(unpacked(path), benchmark_name.removesuffix("+"), wanted)
        row(f"{what}: evalplus", f"{took:.1f} s ({expected:.1f} s expected outputs)", other)
        differ = [task for task in mine if mine[task] != other[task]]
        print(f"  {len(mine) - len(differ)} of {len(mine)} tasks have the same verdicts")
        for task in differ:
            print(f"  {task}: ours {mine[task]}, evalplus {other[task]}")
    beyond(given.data, given.tasks)


if __name__ == "__main__":
    main()
