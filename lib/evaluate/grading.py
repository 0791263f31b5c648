"""Grades solutions in the sandbox: several at once, and what ran out of time once more, alone and with more time."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from lib.core.progress import Progress
from lib.core.records import Journal, Lazy, Record, content_id
from lib.evaluate.benchmark import Benchmark, Outcome, plain
from lib.sandbox import judge, run_programs

WIDER = 2.0  # times the limits, for a timeout's second try with nothing beside it
SHOWN = 2000  # characters of a failing input that a sample holds
Key = tuple[str, str, str]  # a task, a solution of it, a part


def graded(
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
    A solution that comes several times runs once. With a journal, a grading that was interrupted goes on where it was;
    one journal serves many gradings, of any benchmarks: a verdict in it is known by what was run.
    """
    verdicts = run(benchmark, solutions, workers, journal)
    count: dict[str, int] = {}
    samples = []
    for task, solution in solutions:
        number = count[task] = count.get(task, -1) + 1
        seen = {part: verdicts[task, solution, part] for part in benchmark.parts}
        found = {part: benchmark.outcome(verdict) for part, verdict in seen.items()}
        worst = next((part for part in benchmark.parts if found[part].status != "pass"), benchmark.parts[-1])
        agreed = plain(seen[worst]).status == found[worst].status
        samples.append(
            {
                "id": f"{task}#{number}" if number else task,
                "task_id": task,
                "sample": number,
                "solution": solution,
                "passed": found[worst].status == "pass",
                **{part: outcome.status for part, outcome in found.items()},
                "failing_input": failing(benchmark, task, worst, found[worst]),
                "broken_reference": any(outcome.broken for outcome in found.values()),
                "verdict": seen[worst]["verdict"] if agreed else found[worst].status,
                "detail": found[worst].detail,
                "seconds": round(sum(verdict["seconds"] for verdict in seen.values()), 3),
                "tier": seen[worst]["tier"],
            }
        )
    return samples


def run(
    benchmark: Benchmark, solutions: Sequence[tuple[str, str]], workers: int | None, journal: Journal | None
) -> dict[Key, Record]:
    """Return the sandbox's verdict on each part of each solution."""
    verdicts: dict[Key, Record] = {}

    def verdict(keys: Sequence[Key], wider: float, workers: int | None, what: str) -> None:
        ids = {content_id(benchmark.sha256, *key, wider): key for key in keys}

        def program(identity: str) -> Record:
            task, solution, part = ids[identity]
            made = benchmark.program(benchmark.problems[task], solution, part, wider)
            return {"id": identity, "time": benchmark.limits.cpu_seconds * wider, **made}

        once = partial(run_programs, again=benchmark.again)
        made, progress = Lazy(list(ids), program), Progress(f"{benchmark.name}: {what}", len(keys), "programs")
        seen: Iterable[Record]
        if journal is None:
            seen = once(made, benchmark.limits, workers)
        else:
            seen = judge(made, journal, benchmark.limits, workers, once)
        for done, one in enumerate(seen, 1):
            verdicts[ids[one["id"]]] = one
            progress.update(done)

    keys = list(dict.fromkeys((task, solution, part) for task, solution in solutions for part in benchmark.parts))
    verdict(keys, 1.0, workers, "graded")
    if slow := [key for key in keys if benchmark.outcome(verdicts[key]).status == "timeout"]:
        verdict(slow, WIDER, 1, "timeouts tried again")
    return verdicts


def failing(benchmark: Benchmark, task: str, part: str, outcome: Outcome) -> Any:
    """Return the input on which a solution failed, as the benchmark's file has it."""
    given = benchmark.inputs(benchmark.problems[task], part)
    if outcome.number is None or outcome.number >= len(given):
        return None
    text = json.dumps(given[outcome.number])
    return given[outcome.number] if len(text) <= SHOWN else f"{text[:SHOWN]} ..."


def grade(
    benchmark: Benchmark,
    completions: Mapping[str, str | Sequence[str]],
    workers: int | None = None,
    raw: bool = False,
    journal: Journal | None = None,
) -> list[Record]:
    """Run each task's completion, or all of its completions, in the sandbox; return samples in that order.

    See `lib.evaluate.grading.graded` for what a sample has, and for `journal`. `raw` says how the model was asked.
    """
    several = {task: [texts] if isinstance(texts, str) else texts for task, texts in completions.items()}
    pairs = [(task, benchmark.solve(task, text, raw)) for task, texts in several.items() for text in texts]
    return graded(benchmark, pairs, workers, journal)
