"""Grades the samples of a file, and compares two graded files.

`python -m lib.evaluate grade --benchmark humaneval+ --samples FILE.jsonl --out FILE`, `compare ONE.jsonl OTHER.jsonl`.
"""

import argparse
import gzip
import json
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lib.core.cli import command
from lib.core.records import Journal, Record, StudyError, write_text
from lib.core.statistics import estimate
from lib.evaluate import pair
from lib.evaluate.benchmark import Benchmark
from lib.evaluate.benchmarks import BENCHMARKS, load_benchmark
from lib.evaluate.grading import grade_solutions
from lib.evaluate.pair import UTF8
from lib.evaluate.scoring import score

PRINTED = ("task_id", "sample", "passed", "base", "plus", "failing_input", "detail")
UNPRINTED = ("id", "solution", "broken_reference", "verdict", "seconds", "tier")
RESAMPLES, SEED = 10_000, 0
KS = (10, 100)  # printed after pass@1 where every task has that many samples (Chen et al. 2021)


def solution(benchmark: Benchmark, line: str, place: str) -> tuple[str, str]:
    """Return (task id, solution) of one line of samples; StudyError when it is malformed.

    A `solution` is taken as it is; of a `completion` the benchmark makes one: HumanEval and its kind append it to
    their own prompt, as EvalPlus does.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise StudyError(f"{place} is not JSON ({error}); write one object per line") from None
    task = record.get("task_id") if isinstance(record, dict) else None
    if not isinstance(task, str):
        raise StudyError(f"{place} has no task_id; write an object with task_id and solution, or completion")
    if task not in benchmark.problems and task not in benchmark.elsewhere:
        ids = list(benchmark.problems)
        known = f"{benchmark.name} {benchmark.version} has {ids[0]} to {ids[-1]}, {len(ids)} tasks"
        raise StudyError(f"{place}: {task!r:.60} is no task: {known}; fix the line or choose another --benchmark")
    for field in ("solution", "completion"):
        if field in record:
            if not isinstance(record[field], str):
                raise StudyError(f"{place}: {field} is not a string; repeat the task_id for several samples")
            if field == "completion" and task in benchmark.problems:
                return task, benchmark.completed(task, record[field])
            return task, record[field]
    raise StudyError(f"{place}: {task} has neither solution nor completion; add one of them")


def solutions(benchmark: Benchmark, path: Path) -> list[tuple[str, str]]:
    """Return (task id, solution) for every line of a .jsonl or .jsonl.gz file; StudyError names the first bad line."""
    try:
        with gzip.open(path, "rt", encoding=UTF8) if path.suffix == ".gz" else path.open(encoding=UTF8) as lines:
            numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise StudyError(f"cannot read {path}: {error}; give a file of JSON lines") from None
    if not numbered:
        raise StudyError(f"{path} is empty; it should have a line of JSON for each sample")
    return [solution(benchmark, line, f"{path.name}:{number}") for number, line in numbered]


def partial_journal(out: Path, given: Sequence[Path | None]) -> Journal:
    """Return the journal next to `out` from which an interrupted grading is continued.

    StudyError when one of the two would overwrite a `given` file, or cannot be written there.
    """
    partial = out.with_name(out.name + ".partial")
    for path in filter(None, given):
        if path.resolve() in (out.resolve(), partial.resolve()):
            raise StudyError(f"--out {out} would overwrite {path}; choose another name")
    if out.is_dir():
        raise StudyError(f"--out {out} is a folder; name a file in it")
    try:
        return Journal(partial)
    except OSError as error:
        raise StudyError(f"cannot write {partial}: {error.strerror}; choose another --out") from None


def percent(found: Record, what: str = "pass@1") -> str:
    """Return a score with its interval, in percent."""
    value, low, high = (f"{100 * found[key]:.1f}" for key in ("value", "low", "high"))
    return f"{what} {value} % (95 % interval {low} to {high}, n = {found['n']})"


def mean(found: Record | None) -> str:
    """Return a measure with its interval; it has none where no sample has a value."""
    if found is None:
        return "no sample has a value"
    value, low, high = (f"{found[key]:.4g}" for key in ("value", "low", "high"))
    return f"{value} (95 % interval {low} to {high}, n = {found['n']})"


def row(sample: Record) -> Record:
    """Return the line of a sample: PRINTED, None where its benchmark has no such column, and the benchmark's own."""
    own = {name: sample[name] for name in sample if name not in (*PRINTED, *UNPRINTED)}
    return {name: sample.get(name) for name in PRINTED} | own


def report(benchmark: Benchmark, samples: Sequence[Record]) -> list[str]:
    """Return the lines printed at the end: scores with intervals, what is missing, and what was scored."""
    fewest = min(Counter(sample["task_id"] for sample in samples).values())
    ks = [k for k in KS if k <= fewest]
    facts = score(benchmark, samples, RESAMPLES, SEED, [1, *ks])
    lines = [f"base        {percent(facts.get('base pass@1', facts['pass@1']))}"]
    if "base pass@1" in facts:
        lines.append(f"base + plus {percent(facts['pass@1'])}")
    lines += [f"{lines[-1][:12]}{percent(facts[f'pass@{k}'], f'pass@{k}')}" for k in ks]
    if len(named := benchmark.values(samples)) > 1:
        lines += [percent(asdict(estimate([*by.values()], RESAMPLES, SEED)), name) for name, by in named.items() if by]
    lines += [f"{name:11} {mean(facts[name])}" for name in benchmark.measures]
    if facts["broken references"]:
        lines.append(f"broken      the benchmark's own solution failed with {facts['broken references']} samples")
    if tasks := facts.get("unmended", {}).get("tasks"):
        why = "; ".join(f"{task}: {fault}" for task, fault in tasks.items())
        lines.append(f"unmended    pass@1 {100 * facts['unmended']['pass@1']:.1f} % ({why})")
    lines += benchmark.remarks(samples)
    if missing := [task for task in benchmark.problems if task not in {sample["task_id"] for sample in samples}]:
        whole = 100 * facts["pass@1"]["value"] * facts["pass@1"]["n"] / len(benchmark.problems)
        first = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        what = f"{len(missing)} of {len(benchmark.problems)} tasks have no sample ({first})"
        lines.append(f"missing     {what}; counted as failed, pass@1 is {whole:.1f} %")
    lines.append(
        f"{benchmark.name} {benchmark.version}, sha256 {benchmark.sha256}, md5 {benchmark.md5}; {facts['tiers'][0]}"
    )
    return lines


def arguments() -> argparse.Namespace:
    """Return the command's arguments."""
    parser = argparse.ArgumentParser(prog="python -m lib.evaluate", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    compared = commands.add_parser("compare", help="compare two models on the problems that both files have, in pairs")
    compared.add_argument("files", nargs=2, type=Path, help="what grade wrote, or EvalPlus's eval_results.json")
    grade = commands.add_parser("grade", help="grade the samples of a file")
    grade.add_argument("--benchmark", required=True, help=f"{', '.join(BENCHMARKS)}; or a version: humaneval+@v0.1.9")
    grade.add_argument("--samples", required=True, type=Path, help="JSON lines: task_id and solution, or completion")
    grade.add_argument("--data", type=Path, help="the benchmark's file; by default it is found or downloaded")
    grade.add_argument("--out", required=True, type=Path, help="a line per sample: " + ", ".join(PRINTED))
    grade.add_argument("--workers", type=int, help="programs at once; one per core by default")
    return parser.parse_args()


def main() -> None:
    """Print a comparison; or grade, write a line for each sample and print the scores."""
    given = arguments()
    if given.command == "compare":
        names = str(given.files[0]), str(given.files[1])
        one, other = map(pair.read_outcomes, given.files)
        print(pair.report(names, one, other, RESAMPLES))
        return
    if given.workers is not None and given.workers < 1:
        raise StudyError(f"--workers {given.workers}: give 1 or more, or leave it out for one per core")
    benchmark = load_benchmark(given.benchmark, given.data)
    found = solutions(benchmark, given.samples)
    known = [pair for pair in found if pair[0] in benchmark.problems]
    if len(known) < len(found):
        print(f"{len(found) - len(known)} samples are of tasks that {benchmark.version} does not have: excluded")
    if not known:
        raise StudyError(f"{given.samples} has no sample of a task of {benchmark.name} {benchmark.version}")
    with partial_journal(given.out, (given.samples, given.data)) as journal:
        samples = benchmark.finished(grade_solutions(benchmark, known, given.workers, journal), journal)
    lines = [json.dumps(row(sample)) for sample in samples]
    write_text(given.out, "\n".join(lines) + "\n")
    journal.path.unlink()
    print("\n".join(report(benchmark, samples)))


if __name__ == "__main__":
    command(main)
