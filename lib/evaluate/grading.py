"""Grades solutions in the sandbox: several at once, and timeouts once more, alone and with more time."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from lib.core.progress import Progress
from lib.core.records import Journal, Lazy, Record, content_id
from lib.evaluate.benchmark import Benchmark, Outcome, plain
from lib.sandbox import run_programs, run_with_journal

RETRY_SCALE = 2.0  # of the limits, for the second run of a timeout, alone
INPUT_CHARACTERS = 2000  # of a failing input that a sample holds
Key = tuple[str, str, str]  # a task, a solution of it, a part


def grade_solutions(
    benchmark: Benchmark,
    solutions: Sequence[tuple[str, str]],
    workers: int | None = None,
    journal: Journal | None = None,
) -> list[Record]:
    """Run solutions, (task id, Python source) each, perhaps several of a task; return a sample for each, in order.

    A sample has id, task_id, sample (0 for a task's first), solution, passed, the status of each of the benchmark's
    parts (pass, fail, timeout or error), failing_input (JSON; its beginning as text when it is long; None when it is
    not known), broken_reference (whether the benchmark's own solution failed on a part), verdict (the sandbox's for the
    first part that did not pass, or the part's status where the sandbox could not know it), detail, seconds and tier.
    A solution that occurs several times runs once. With a journal, an interrupted grading is continued; one journal
    serves many gradings, of any benchmarks: a verdict in it is identified by what was run.
    """
    verdicts = run_parts(benchmark, solutions, workers, journal)
    count, samples = Counter[str](), []
    for task, solution in solutions:
        seen = {part: verdicts[task, solution, part] for part in benchmark.parts}
        samples.append(sample(benchmark, task, count[task], solution, seen))
        count[task] += 1
    return samples


def sample(benchmark: Benchmark, task: str, number: int, solution: str, verdicts: Mapping[str, Record]) -> Record:
    """Return one sample (see `grade_solutions`) from the sandbox's verdicts by part."""
    outcomes = {part: benchmark.outcome(verdict) for part, verdict in verdicts.items()}
    worst = next((part for part in benchmark.parts if outcomes[part].status != "pass"), benchmark.parts[-1])
    agreed = plain(verdicts[worst]).status == outcomes[worst].status
    return {
        "id": f"{task}#{number}" if number else task,
        "task_id": task,
        "sample": number,
        "solution": solution,
        "passed": outcomes[worst].status == "pass",
        **{part: outcome.status for part, outcome in outcomes.items()},
        "failing_input": failing_input(benchmark, task, worst, outcomes[worst]),
        "broken_reference": any(outcome.broken for outcome in outcomes.values()),
        "verdict": verdicts[worst]["verdict"] if agreed else outcomes[worst].status,
        "detail": outcomes[worst].detail,
        "seconds": round(sum(verdict["seconds"] for verdict in verdicts.values()), 3),
        "tier": verdicts[worst]["tier"],
    }


def run_parts(
    benchmark: Benchmark, solutions: Sequence[tuple[str, str]], workers: int | None, journal: Journal | None
) -> dict[Key, Record]:
    """Return the sandbox's verdict on each part of each solution."""
    verdicts: dict[Key, Record] = {}

    def run(keys: Sequence[Key], time_scale: float, workers: int | None, what: str) -> None:
        ids = {content_id(benchmark.sha256, *key, time_scale): key for key in keys}

        def program(identity: str) -> Record:
            task, solution, part = ids[identity]
            made = benchmark.program(benchmark.problems[task], solution, part, time_scale)
            return {"id": identity, "time": benchmark.limits.cpu_seconds * time_scale, **made}

        once = partial(run_programs, again=benchmark.again)
        programs, progress = Lazy(list(ids), program), Progress(f"{benchmark.name}: {what}", len(keys), "programs")
        found: Iterable[Record]
        if journal is None:
            found = once(programs, benchmark.limits, workers)
        else:
            found = run_with_journal(programs, journal, benchmark.limits, workers, once)
        for done, verdict in enumerate(found, 1):
            verdicts[ids[verdict["id"]]] = verdict
            progress.update(done)

    keys = list(dict.fromkeys((task, solution, part) for task, solution in solutions for part in benchmark.parts))
    run(keys, 1.0, workers, "graded")
    if slow := [key for key in keys if benchmark.outcome(verdicts[key]).status == "timeout"]:
        run(slow, RETRY_SCALE, 1, "timeouts run again")
    return verdicts


def failing_input(benchmark: Benchmark, task: str, part: str, outcome: Outcome) -> Any:
    """Return the input on which a solution failed, as the benchmark's file has it; None when it is not known."""
    given = benchmark.inputs(benchmark.problems[task], part)
    if outcome.number is None or outcome.number >= len(given):
        return None
    text = json.dumps(given[outcome.number])
    return given[outcome.number] if len(text) <= INPUT_CHARACTERS else f"{text[:INPUT_CHARACTERS]} ..."


def grade(
    benchmark: Benchmark,
    completions: Mapping[str, str | Sequence[str]],
    workers: int | None = None,
    raw: bool = False,
    journal: Journal | None = None,
) -> list[Record]:
    """Run each task's completion, or all of its completions, in the sandbox; return samples in that order.

    See `grade_solutions` for a sample's fields and for `journal`; `raw`: the model was given the raw prompt.
    """
    several = {task: [texts] if isinstance(texts, str) else texts for task, texts in completions.items()}
    pairs = [(task, benchmark.solve(task, text, raw)) for task, texts in several.items() for text in texts]
    return grade_solutions(benchmark, pairs, workers, journal)
