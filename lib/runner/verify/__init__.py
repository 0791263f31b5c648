"""Verification: a finished run held against a reference, stage by stage, one line per check."""

from collections.abc import Callable
from pathlib import Path

from lib.core.records import StudyError
from lib.core.study import NOTEBOOKS
from lib.runner.verify import numbers, records
from lib.runner.verify.finished import DAMAGE, OK, UNTOLD, WRONG, Check, Finished, differences, environment, some

__all__ = ["OK", "UNTOLD", "WRONG", "Check", "verify"]


def verify(run: Path, reference: Path) -> list[Check]:
    """Return the checks of a run's folder against a reference's, in the order of the stages, the claims last.

    First how the installation differs. Then of every stage that both finished: the settings, the integrity of the
    files, the completions, the records that must be equal, the verdicts of equal programs, the yields; the held-out
    loss, the scores. What was asked otherwise, or made from completions that came out otherwise, is an excuse: it
    turns WRONG into UNTOLD.
    Figures of another model are not compared at all.

    Raises StudyError when the run has no finished stage or the reference is none.
    """
    ours, theirs = Finished(run), Finished(reference)
    if not theirs.manifests:
        raise StudyError(f"{reference} is no reference run; choose another, or make one with `make reference`")
    if not ours.manifests:
        raise StudyError(f"{run} has no finished stage: run `make study RUN={run.name}` first")
    checks = [environment(ours, theirs)]
    excuse = foreign = ""
    for stage in NOTEBOOKS:
        if stage not in theirs.manifests:
            checks.append(Check(UNTOLD, stage, "stage", "is not in the reference"))
        elif stage not in ours.manifests:
            said = f"is not finished: run `make {stage[:2]} RUN={run.name}` first"
            checks.append(Check(UNTOLD, stage, "stage", said))
            excuse = excuse or f"{stage} is not finished"
        else:
            asked = [f"{stage[:2]}: {said}" for said in differences(ours, theirs, stage)]
            excuse = excuse or next(iter(asked), "")
            foreign = foreign or next((said for said in asked if ": MODEL is " in said), "")
            said = f"differ: {some(asked, 6)}" if asked else "are the reference's"
            checks.append(Check(UNTOLD if asked else OK, stage, "settings", said))
            checks += _guarded(stage, _integrity, ours, theirs, stage)
            checks += _guarded(stage, _records, ours, theirs, stage, excuse, next(iter(asked), ""))
            checks += _guarded(stage, _figures, ours, theirs, stage, excuse, foreign)
    if NOTEBOOKS[-1] in ours.manifests and NOTEBOOKS[-1] in theirs.manifests:
        checks += _guarded("claim", numbers.claimed, ours, theirs, excuse, foreign)
    return checks


def _guarded(stage: str, compare: Callable[..., list[Check]], *given: object) -> list[Check]:
    """The checks of a comparison; a file that is not of its form is one thing that is wrong."""
    try:
        return compare(*given)
    except DAMAGE as error:
        said = str(error) if isinstance(error, StudyError) else repr(error)
        return [Check(WRONG, stage, "comparison", f"is not possible: {said}")]


def _integrity(run: Finished, reference: Finished, stage: str) -> list[Check]:
    """Whether the files are those that the manifests list, in the run and in the reference."""
    outputs = run.manifests[stage]["outputs"]
    faults = [f"{file} was altered" for file in run.altered(stage)]
    gone = [file for file in outputs if run.path(stage, file) is None]
    faults += [f"{file} is missing" for file in gone if reference.path(stage, file)]
    faults += [f"its input {name} is not what was written there" for name in run.unlinked(stage)]
    large = [file for file in gone if not reference.path(stage, file)]
    said = some(faults) or f"{len(outputs) - len(gone)} of {len(outputs)} outputs hashed, all as the manifest says"
    said += f"; neither here nor in the reference: {some(large)}" if large else ""
    checks = [Check(WRONG if faults else UNTOLD if large else OK, stage, "files", said)]
    if wrong := reference.altered(stage) + reference.unlinked(stage):
        said = f"{some(wrong)} altered: restore it with `git checkout data/reference`"
        checks.append(Check(WRONG, stage, "the reference's own files", said))
    return checks


def _records(run: Finished, reference: Finished, stage: str, excuse: str, asked: str) -> list[Check]:
    """What a stage's records say; `asked` is what this very stage was asked otherwise, "" when nothing."""
    made, there = (each.scores() if stage == NOTEBOOKS[-1] else None for each in (run, reference))
    if made and there and numbers.other_versions(made, there):
        asked = asked or "another version of a benchmark"
    absent = asked or (numbers.unshared(made, there) if made and there else "")
    drawn = records.completions(run, reference, stage)
    graded = [file for file in reference.manifests[stage]["outputs"] if records.holds_verdicts(file)]
    verdicts = [
        records.programs(run, reference, f"{stage}/{file}", asked if run.path(stage, file) else absent)
        for file in graded
    ]
    given = {
        "made from other inputs": run.manifests[stage]["inputs"] == reference.manifests[stage]["inputs"],
        "made from other completions": drawn is None or drawn.mark == OK,
        "made from other verdicts": all(each is None or each.mark == OK for each in verdicts),
    }
    other = excuse or next((reason for reason, same in given.items() if not same), "")
    files = [file for file in records.DETERMINED if file.startswith(f"{stage}/")]
    exact = [records.determined(run, reference, file, other) for file in files]
    return [each for each in (drawn, *verdicts, *exact) if each]


def _figures(run: Finished, reference: Finished, stage: str, excuse: str, foreign: str) -> list[Check]:
    """What a stage's figures say; `foreign` is how the model differs, "" when it does not."""
    checks = [numbers.training(run, reference)] if stage == "04_sft" else []
    if foreign:
        return [*checks, Check(UNTOLD, stage, "figures", f"are another model's, not compared ({foreign})")]
    made, there = (each.scores() if stage == NOTEBOOKS[-1] else None for each in (run, reference))
    if not (made and there):
        return [*checks, numbers.funnel(run, reference, stage, excuse)]
    checks.append(numbers.funnel(run, reference, stage, excuse, numbers.unshared(made, there)))
    return checks + numbers.scores(made, there, excuse)
