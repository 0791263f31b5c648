"""The records of a run held against the reference's: completions, what follows from them, and verdicts of programs."""

from collections.abc import Iterable

from lib.core.record_types import RECORD_TYPES, Verdict
from lib.core.records import Record
from lib.core.study import Stage
from lib.runner.verify.finished import OK, UNDECIDED, WRONG, Check, Finished, Reasons, because, first_of, mark

VERDICTS = {file for (_, file), kind in RECORD_TYPES.items() if kind is Verdict}
OUTCOMES = ("verdict", "passed", "base", "plus")
TIMED = ("timeout", "flaky")  # verdicts that a busy machine can give


def determined_files(stage: Stage) -> list[str]:
    """Return the files whose records follow from the stage's inputs, parameters and completions alone."""
    return [file for role, file in RECORD_TYPES if role in stage.roles and file not in VERDICTS]


def holds_verdicts(file: str) -> bool:
    """Tell whether a stage's file has the verdicts of programs: of responses, or of a benchmark's samples."""
    return file in VERDICTS or file.startswith("samples")


def completions(run: Finished, reference: Finished, stage: str) -> Check | None:
    """Compare the completions that both asked for; None when the reference has none.

    Equality is a rate to be reported, not a duty: what a model says depends on the machine's arithmetic and, batch by
    batch, on its speed.
    """
    theirs, ours = reference.records(stage, "completions.jsonl"), run.records(stage, "completions.jsonl")
    if theirs is None:
        return None
    if ours is None:
        return Check(UNDECIDED, stage, "completions", "none are kept in this run")
    both = theirs.keys() & ours.keys()
    same = sum(theirs[key]["text"] == ours[key]["text"] for key in both)
    manner = "sampled" if run.manifests[stage]["parameters"].get("TEMPERATURE") else "greedy"
    if same == len(theirs):
        return Check(OK, stage, "completions", f"all {same:,} ({manner}) are the reference's")
    share = f" ({100 * same / len(both):.1f} %)" if both else ""
    said = f"{same:,} of the {len(both):,} ({manner}) that both asked for are the same{share}"
    return Check(UNDECIDED, stage, "completions", said)


def determined(run: Finished, reference: Finished, stage: str, file: str, reason: str) -> Check | None:
    """Compare the records of a file, which must be equal unless there is a `reason` why they were made of other things.

    None when the reference has no such file.
    """
    theirs, ours = reference.records(stage, file), run.records(stage, file)
    if theirs is None:
        return None
    if ours is None:
        return Check(WRONG, stage, file, "is missing")
    both = theirs.keys() & ours.keys()
    other = sorted(key for key in both if theirs[key] != ours[key])
    if not other and len(both) == len(theirs) == len(ours):
        return Check(OK, stage, file, f"all {len(both):,} records are the reference's")
    said = f"{len(both) - len(other):,} records are the same, of {len(ours):,} here and {len(theirs):,} there"
    if other:
        one, two = theirs[other[0]], ours[other[0]]
        fields = sorted(key for key in one.keys() | two.keys() if one.get(key) != two.get(key))
        said += f"; {first_of(other)}: other {first_of(fields)}"
    elif lone := sorted(theirs.keys() ^ ours.keys()):
        said += f"; in one only: {first_of(lone)}"
    return Check(mark(False, reason), stage, file, said + because(reason))


def programs(run: Finished, reference: Finished, stage: str, file: str, reasons: Reasons) -> Check | None:
    """Compare the verdicts of the programs that both ran; other programs have a right to other verdicts.

    Differences of a timeout are facts about the two machines. None when the reference has no such file.
    """
    reason = reasons.own or reasons.version
    theirs, ours = reference.records(stage, file), run.records(stage, file)
    if theirs is None:
        return None
    if ours is None:
        absent = reason or reasons.benchmarks
        return Check(mark(False, absent), stage, file, f"is missing{because(absent)}")
    before, after = _outcomes(theirs.values()), _outcomes(ours.values())
    both = before.keys() & after.keys()
    if not both:
        return Check(UNDECIDED, stage, file, "no program in common with the reference")
    other = sorted(key for key in both if before[key][1] != after[key][1])
    late = [key for key in other if any(word in TIMED for word in before[key][1] + after[key][1])]
    said = f"{len(both) - len(other):,} of the {len(both):,} programs that both ran have the same verdict"
    if late:
        said += f"; {len(late):,} differ by a timeout"
    if wrong := [key for key in other if key not in late]:
        said += f"; otherwise judged: {first_of([after[key][0] for key in wrong])}{because(reason)}"
        return Check(mark(False, reason), stage, file, said)
    return Check(mark(not late, "timeout"), stage, file, said)


def _outcomes(rows: Iterable[Record]) -> dict[tuple[str, str], tuple[str, list[str]]]:
    """Program -> (id of its record, its outcomes); a record without its program's text or its hash is left out."""
    keys = ((_program(row), row) for row in rows)
    return {key: (row["id"], [str(row[name]) for name in OUTCOMES if name in row]) for key, row in keys if key}


def _program(row: Record) -> tuple[str, str] | None:
    """What was run: a response with its tests, or an answer to a task, by its hash where it may not be published."""
    if "code" in row:
        return row["code"], row["tests"]
    answer = row.get("solution", row.get("answer"))
    return None if answer is None else (row.get("task_id", ""), answer)
