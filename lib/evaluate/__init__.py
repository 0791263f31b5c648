"""Evaluation: what a benchmark offers, and the steps all of them share: ask a model, grade its solutions, score.

A further benchmark is one module beside `humaneval`: a `load` function that returns a `Benchmark`.
"""

import gzip
import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lib.generate import Engine, Request, complete
from lib.records import Journal, Record, StudyError
from lib.sandbox import Limits, run_programs
from lib.sft import render_prompt
from lib.statistics import estimate

# The paper's newer evaluation script: the response is begun with an open fence and ends at the next fence on a line.
RESPONSE_PREFIX = "```python"
STOP = ("\n```\n",)


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's pinned problems, and how one of them becomes an instruction and a program.

    problems     by task id, in the file's order
    instruction  problem -> the instruction that the template is filled with
    solution     (problem, completion) -> the Python source that is graded
    program      (problem, solution) -> what the sandbox runs: a dict with id, code, tests and perhaps entry
    """

    name: str
    version: str
    sha256: str
    md5: str
    problems: Mapping[str, Record]
    instruction: Callable[[Record], str]
    solution: Callable[[Record, str], str]
    program: Callable[[Record, str], Record]
    limits: Limits

    def prompt(self, task: str) -> str:
        """Return the whole text a model is given for a task: the study's template, then an open fence."""
        return render_prompt(self.instruction(self.problems[task])) + RESPONSE_PREFIX

    def choose(self, n: int, seed: int) -> list[str]:
        """Return the first n task ids of a seeded shuffle; StudyError when there are fewer."""
        if not 1 <= n <= len(self.problems):
            raise StudyError(f"N_PROBLEMS={n}: {self.name} has 1 to {len(self.problems)} problems to score")
        tasks = sorted(self.problems)
        random.Random(seed).shuffle(tasks)
        return tasks[:n]


def read_pinned(path: Path, pins: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Record]]:
    """Return (version, sha256 and md5; problems by task id) of a .jsonl or .jsonl.gz file.

    `pins` maps the sha256 of the uncompressed bytes to a version. StudyError for a missing, damaged or unknown file.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise StudyError(f"cannot read the benchmark {path}: {error}; give the path of an intact file") from error
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 not in pins:
        wanted = " or ".join(f"{pin} ({version})" for pin, version in pins.items())
        raise StudyError(f"{path} has sha256 {sha256}, expected {wanted}; delete it and get it again")
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    rows = map(json.loads, data.splitlines())
    return {"version": pins[sha256], "sha256": sha256, "md5": md5}, {row["task_id"]: row for row in rows}


def ask(
    engine: Engine, benchmark: Benchmark, tasks: Sequence[str], max_tokens: int, cache: Journal, what: str
) -> dict[str, Record]:
    """Return one greedy completion record a task, by task id (T = 0 and this stop as in the paper's script)."""
    requests = [Request(benchmark.prompt(task), 0.0, max_tokens, STOP) for task in tasks]
    return dict(zip(tasks, complete(engine, requests, cache, what), strict=True))


def grade(benchmark: Benchmark, completions: Mapping[str, str], workers: int | None = None) -> list[Record]:
    """Run each task's completion in the sandbox; return samples in task order of the mapping.

    A sample has task_id, solution, passed, and the sandbox's verdict, detail, seconds and tier.
    """
    problems = benchmark.problems
    solutions = {task: benchmark.solution(problems[task], text) for task, text in completions.items()}
    programs = [benchmark.program(problems[task], solution) for task, solution in solutions.items()]
    samples = []
    for task, seen in zip(solutions, run_programs(programs, benchmark.limits, workers), strict=True):
        facts = {key: seen[key] for key in ("verdict", "detail", "seconds", "tier")}
        passed = {"passed": seen["verdict"] == "pass"}
        samples.append({"id": task, "task_id": task, "solution": solutions[task]} | passed | facts)
    return samples


def score(benchmark: Benchmark, samples: Sequence[Record], resamples: int, seed: int) -> Record:
    """Return pass@1 with its interval, the counts of verdicts, and the exact benchmark that was scored."""
    verdicts = Counter(sample["verdict"] for sample in samples)
    return {
        "benchmark": benchmark.name,
        "version": benchmark.version,
        "sha256": benchmark.sha256,
        "md5": benchmark.md5,
        "pass@1": asdict(estimate([sample["passed"] for sample in samples], resamples, seed)),
        "timeouts": verdicts["timeout"],
        "verdicts": dict(sorted(verdicts.items())),
        "tiers": sorted({sample["tier"] for sample in samples}),
    }


def table(scores: Sequence[Record]) -> str:
    """Return scores (as `score` made them, each with a `model` label) as a Markdown table; pass@1 in percent."""
    lines = [
        "| model | benchmark | n | pass@1 (%) | 95 % interval | timeouts |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in scores:
        value, low, high = (f"{100 * row['pass@1'][key]:.1f}" for key in ("value", "low", "high"))
        name = f"{row['benchmark']} ({row['version']})"
        cells = [row["model"], name, row["pass@1"]["n"], value, f"{low} to {high}", row["timeouts"]]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)
