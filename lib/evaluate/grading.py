"""Grades solutions in the sandbox: several at once, and timeouts once more, alone and with more time."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial

from lib.core.progress import Progress
from lib.core.records import Journal, Lazy, Record, content_id
from lib.evaluate.benchmark import Benchmark, plain
from lib.sandbox import run_programs, run_with_journal

RETRY_SCALE = 2.0  # of the limits, for the second run of a timeout, alone
PUBLIC = ("id", "task_id", "sample", "passed", "broken_reference", "verdict", "seconds", "tier")
Pair = tuple[str, str]  # a task, a solution of it
Key = tuple[str, str, str]  # and one of its programs


def grade_solutions(
    benchmark: Benchmark,
    solutions: Sequence[tuple[str, str]],
    workers: int | None = None,
    journal: Journal | None = None,
) -> list[Record]:
    """Run solutions, (task id, Python source) each, perhaps several of a task; return a sample for each, in order.

    A sample has id, task_id, sample (0 for a task's first), solution, passed, the values of the benchmark's outcome
    (the status of each of its programs: pass, fail, timeout or error; for functions failing_input), broken_reference
    (whether the benchmark's own solution failed in a program), verdict (the sandbox's for the program that decided, or
    the outcome's status where the sandbox could not know it), detail, seconds and tier.
    A solution that occurs several times runs once. With a journal, an interrupted grading is continued; one journal
    serves many gradings, of any benchmarks: a verdict in it is identified by what was run.
    """
    verdicts = run_all(benchmark, solutions, workers, journal)
    count, samples = Counter[str](), []
    for task, solution in solutions:
        samples.append(sample(benchmark, task, count[task], solution, verdicts[task, solution]))
        count[task] += 1
    return samples


def sample(benchmark: Benchmark, task: str, number: int, solution: str, verdicts: Mapping[str, Record]) -> Record:
    """Return one sample (see `grade_solutions`) from the sandbox's verdicts by program."""
    outcome = benchmark.outcome(task, verdicts)
    seen = verdicts.get(outcome.part) or [*verdicts.values()][-1]
    agreed = plain(seen).status == outcome.status
    return {
        "id": f"{task}#{number}" if number else task,
        "task_id": task,
        "sample": number,
        "solution": solution,
        "passed": outcome.status == "pass",
        **outcome.values,
        "broken_reference": outcome.broken,
        "verdict": seen["verdict"] if agreed else outcome.status,
        "detail": outcome.detail,
        "seconds": round(sum(verdict["seconds"] for verdict in verdicts.values()), 3),
        "tier": seen["tier"],
    }


def run_all(
    benchmark: Benchmark, solutions: Sequence[Pair], workers: int | None, journal: Journal | None
) -> dict[Pair, dict[str, Record]]:
    """Return the sandbox's verdict on each program of each solution, those that timed out run again."""
    made = lru_cache(maxsize=1)(benchmark.programs)  # a solution's programs are asked for one after the other
    verdicts: dict[Key, Record] = {}

    def run(keys: Sequence[Key], time_scale: float, workers: int | None, what: str) -> Iterator[tuple[Key, Record]]:
        ids = {content_id(benchmark.sha256, *key, time_scale): key for key in keys}

        def program(identity: str) -> Record:
            task, solution, part = key = ids[identity]
            if key in verdicts:
                own = benchmark.repeated(task, solution, part, time_scale, verdicts[key])
            else:
                own = made(task, solution, time_scale)[part]
            return {"id": identity, "time": benchmark.limits.cpu_seconds * time_scale, **own}

        once = partial(run_programs, again=benchmark.again, timeouts_again=False)  # below they are, with more time
        programs, progress = Lazy(list(ids), program), Progress(f"{benchmark.name}: {what}", len(keys), "programs")
        found: Iterable[Record]
        if journal is None:
            found = once(programs, benchmark.limits, workers)
        else:
            found = run_with_journal(programs, journal, benchmark.limits, workers, once)
        for done, verdict in enumerate(found, 1):
            yield ids[verdict["id"]], verdict
            progress.update(done)

    pairs = list(dict.fromkeys(solutions))
    keys = [(*pair, part) for pair in pairs for part in made(*pair, 1.0)]
    verdicts = dict(run(keys, 1.0, workers, "graded"))
    slow = [key for key in keys if benchmark.meaning(key[0], key[2], verdicts[key]).status == "timeout"]
    if slow:
        verdicts |= dict(run(slow, RETRY_SCALE, 1, "timeouts run again"))
    grouped: dict[Pair, dict[str, Record]] = {pair: {} for pair in pairs}
    for *pair, part in keys:
        grouped[pair[0], pair[1]][part] = verdicts[pair[0], pair[1], part]
    return grouped


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
    read = benchmark.raw_solution if raw else benchmark.solution
    pairs = [(task, read(task, text)) for task, texts in several.items() for text in texts]
    return grade_solutions(benchmark, pairs, workers, journal)


def public(benchmark: Benchmark, samples: Sequence[Record]) -> list[Record]:
    """Return samples as they may be published.

    Where a benchmark may not be quoted, a sample keeps its numbers and kinds of verdict, and the hash of its solution:
    no text that a statement, a test or its message could be read from.
    """
    if benchmark.quotable:
        return list(samples)
    shown = (*PUBLIC, *benchmark.measures)
    kept = [{name: one[name] for name in shown if name in one} for one in samples]
    return [one | {"answer": content_id(sample["solution"])} for one, sample in zip(kept, samples, strict=True)]
