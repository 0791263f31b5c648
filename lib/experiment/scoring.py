"""Scores one arm: `python -m lib.experiment.scoring FOLDER` is a process of `lib.experiment.run`."""

import ast
import io
import sys
import tokenize
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from lib.core.cli import command
from lib.core.programs import parsed
from lib.core.records import Journal, Record, write_records, write_text
from lib.evaluate import Benchmark, ask, grade, load_benchmark, score
from lib.experiment.job import SCORES, Job, json_text, read_job
from lib.experiment.plan import UNTRAINED
from lib.experiment.validation import as_benchmark
from lib.generate import cost, open_engine
from lib.select.distinct import DEFINITION
from lib.train.launch import end_with_parent

RESAMPLES = 10_000  # of an interval, as in notebook 05
ORDER = 0  # seed of the order of problems, of which `problems` bounds the number


def score_arm(job: Job) -> None:
    """Ask, grade and score an arm's model; completions.jsonl keeps its answers, verdicts.jsonl what they got.

    scores.json comes last. Killed at any moment, it loses the answers in flight. Each training seed draws its answers
    with seeds of its own.
    """
    arm, scoring = job.arm, job.arm.scoring
    benchmarks, own = [*map(load_benchmark, scoring.benchmarks)], as_benchmark(job.tasks, job.held_out())
    tasks = {b.name: b.choose(scoring.problems or len(b.problems), ORDER) for b in benchmarks}
    sets, tasks = [*benchmarks, own], tasks | {own.name: list(own.problems)}
    sampling = {"samples": scoring.samples, "temperature": scoring.temperature, "seed": arm.seed}
    place = arm.base if arm.selection == UNTRAINED else str(job.folder / "model")
    engine, answers = open_engine(scoring.engine, place, scoring.max_seqs), dict[str, dict[str, list[Record]]]()
    with Journal(job.folder / "completions.jsonl") as cache:
        for b in sets:
            what = f"{arm.name}, seed {arm.seed}, {b.name}"
            answers[b.name] = ask(engine, b, tasks[b.name], scoring.max_tokens, cache, what, **sampling)
            answers[b.name] = {task: list(records) for task, records in answers[b.name].items()}
    revision = engine.revision
    engine.close()
    verdicts = list[Record]()
    found = {b.name: graded(b, answers[b.name], job, verdicts) for b in sets}
    write_records(job.folder / "verdicts.jsonl", verdicts)
    made = {"id": job.facts["id"], "name": arm.name, "seed": arm.seed, "model": revision, "sets": found}
    write_text(job.folder / SCORES, json_text(made))


def graded(benchmark: Benchmark, answers: dict[str, list[Record]], job: Job, verdicts: list[Record]) -> Record:
    """Return a set's scores: how many answers to each problem were correct, what they look like and cost.

    Adds to `verdicts` one {id, completion, verdict, detail} for each answer.
    """
    texts = {task: [record["text"] for record in records] for task, records in answers.items()}
    with Journal(job.folder / "grading.partial.jsonl") as journal:
        samples = grade(benchmark, texts, journal=journal)
    for sample in samples:
        completion = answers[sample["task_id"]][sample["sample"]]["id"]
        seen = {key: sample[key] for key in ("verdict", "detail")}
        verdicts.append({"id": f"{benchmark.name} {sample['id']}", "completion": completion, **seen})
    correct = dict.fromkeys(answers, 0) | Counter(sample["task_id"] for sample in samples if sample["passed"])
    everything = [record for records in answers.values() for record in records]
    looks = style([record["text"] for record in everything], [sample["solution"] for sample in samples])
    facts = score(benchmark, samples, RESAMPLES, job.arm.seed)
    return {**facts, "answers": job.arm.scoring.samples, "correct": correct, "style": looks, "cost": cost(everything)}


def style(texts: Sequence[str], programs: Sequence[str]) -> Record:
    """Return what answers look like: mean words of a text, shares of programs with comments and with docstrings."""
    words = [len(text.split()) for text in texts]
    shares = {"comments": map(commented, programs), "docstrings": map(documented, programs)}
    return {"words": round(mean(words), 1)} | {name: round(mean(seen), 4) for name, seen in shares.items()}


def commented(program: str) -> bool:
    """Return whether a program has a comment, as far as it can be read."""
    try:
        return any(token.type == tokenize.COMMENT for token in tokenize.generate_tokens(io.StringIO(program).readline))
    except (tokenize.TokenError, SyntaxError):
        return any(line.lstrip().startswith("#") for line in program.splitlines())


def documented(program: str) -> bool:
    """Return whether a function or class of a program has a docstring."""
    nodes = ast.walk(parsed(program) or ast.Module([], []))
    return any(isinstance(node, DEFINITION) and ast.get_docstring(node) is not None for node in nodes)


if __name__ == "__main__":
    end_with_parent()
    command(lambda: score_arm(read_job(Path(sys.argv[1]))))
