"""Verification: a finished run held against a reference, stage by stage, one line per check."""

from collections.abc import Callable
from pathlib import Path

from lib.core.records import StudyError
from lib.core.study import STAGES, Stage, with_ancestors, with_role
from lib.runner.verify import numbers, records
from lib.runner.verify.finished import (
    DAMAGE,
    OK,
    UNDECIDED,
    WRONG,
    Check,
    Finished,
    Reasons,
    asked_otherwise,
    changed_reads,
    environment,
    first_of,
    is_code,
    mark,
)

__all__ = ["OK", "UNDECIDED", "WRONG", "Check", "unfinished", "verify"]


def verify(run: Path, reference: Path) -> list[Check]:
    """Return the checks of a run's folder against a reference's, in the order of the stages, the claims last.

    First how the installation differs. Then of every stage that both finished: the settings, the code, the integrity of
    the files, the completions, the records that must be equal, the verdicts of equal programs, the yields; the held-out
    loss, the scores. `Reasons` says what turns WRONG into UNDECIDED; changed code never does.

    Raises StudyError when the run has no finished stage or the reference is none.
    """
    ours, theirs = Finished(run), Finished(reference)
    if not theirs.manifests:
        raise StudyError(f"{reference} is no reference run; choose another, or make one with `make reference`")
    if not ours.manifests:
        raise StudyError(f"{run} has no finished stage: run `make study RUN={run.name}` first")
    checks = [environment(ours, theirs)]
    known: dict[str, Reasons] = {}
    for stage in STAGES:
        if stage.name in ours.manifests and stage.name in theirs.manifests:
            reasons = known[stage.name] = _reasons(ours, theirs, stage, known)
            checks += _settings(ours, theirs, stage)
            for compare in (_integrity, _records, _figures):
                checks += _guarded(compare, ours, theirs, stage, reasons)
            if "scoring" in stage.roles:
                checks += [*_guarded(numbers.claimed, ours, theirs, stage, reasons)]
        elif stage.name in theirs.manifests:
            said = f"is not finished: run `make {stage.number} RUN={run.name}` first"
            checks.append(Check(UNDECIDED, stage.name, "stage", said))
            known[stage.name] = Reasons(own=f"{stage.name} is not finished")
        elif stage.name in ours.manifests:
            checks.append(Check(UNDECIDED, stage.name, "stage", "is not in the reference"))
    return sorted(checks, key=lambda check: check.stage == "claim")  # stable: the claims come last


def unfinished(run: Path, reference: Path) -> list[str]:
    """Return the stages of the study that a reference has and a run has not finished."""
    study, recorded = [stage.name for stage in with_role("study")], Finished(reference).manifests
    return [name for name in study if name in recorded and not (run / name / "manifest.json").is_file()]


def _reasons(run: Finished, reference: Finished, stage: Stage, known: dict[str, Reasons]) -> Reasons:
    """Why this stage's results may differ, given those of the stages before it."""
    own = [f"{stage.number}: {said}" for said in asked_otherwise(run, reference, stage)]
    before = [known[each.name] for each in with_ancestors([stage]) if each.name in known]
    made, there = (each.scores(stage.name) if "scoring" in stage.roles else None for each in (run, reference))
    return Reasons(
        own=next(iter(own), ""),
        earlier=next((each.own for each in before if each.own), ""),
        model=next((said for said in [*(each.model for each in before), *own] if ": MODEL is " in said), ""),
        benchmarks=numbers.unshared(made, there) if made and there else "",
        version="another version of a benchmark" if made and there and numbers.other_versions(made, there) else "",
    )


def _guarded(compare: Callable[..., list[Check]], run: Finished, reference: Finished, stage: Stage, reasons: Reasons):
    """The checks of a comparison; a file that is not of its form is one thing that is wrong."""
    try:
        return compare(run, reference, stage, reasons)
    except DAMAGE as error:
        said = str(error) if isinstance(error, StudyError) else repr(error)
        where = "claim" if compare is numbers.claimed else stage.name
        return [Check(WRONG, where, "comparison", f"is not possible: {said}")]


def _settings(run: Finished, reference: Finished, stage: Stage) -> list[Check]:
    """What the stage was asked, and whether code has changed since: a fact, never a reason."""
    asked = [f"{stage.number}: {said}" for said in asked_otherwise(run, reference, stage)]
    said = f"differ: {first_of(asked, 6)}" if asked else "are the reference's"
    checks = [Check(mark(not asked, "asked"), stage.name, "settings", said)]
    if changed := [path for path in changed_reads(run, reference, stage) if is_code(path)]:
        said = f"changed: {first_of(changed)}; the records must be the same"
        checks.append(Check(UNDECIDED, stage.name, "code", said))
    return checks


def _integrity(run: Finished, reference: Finished, stage: Stage, _: Reasons) -> list[Check]:
    """Whether the files are those that the manifests list, in the run and in the reference."""
    name = stage.name
    outputs = run.manifests[name]["outputs"]
    gone = [file for file in outputs if run.path(name, file) is None]
    large = [file for file in gone if not reference.path(name, file)]
    faults = [f"{file} was altered" for file in run.altered(name)]
    faults += [f"{file} is missing" for file in gone if file not in large]
    faults += [f"its input {file} is not what was written there" for file in run.unlinked(name)]
    said = first_of(faults) or f"{len(outputs) - len(gone)} of {len(outputs)} outputs hashed, all as the manifest says"
    said += f"; neither here nor in the reference: {first_of(large)}" if large else ""
    checks = [Check(WRONG if faults else mark(not large, "large"), name, "files", said)]
    if wrong := reference.altered(name) + reference.unlinked(name):
        said = f"{first_of(wrong)} altered: restore it with `git checkout data/reference`"
        checks.append(Check(WRONG, name, "the reference's own files", said))
    return checks


def _records(run: Finished, reference: Finished, stage: Stage, reasons: Reasons) -> list[Check]:
    """What a stage's records say: completions, verdicts, and what follows from them."""
    drawn = records.completions(run, reference, stage.name)
    graded = [file for file in reference.manifests[stage.name]["outputs"] if records.holds_verdicts(file)]
    verdicts = [records.programs(run, reference, stage.name, file, reasons) for file in graded]
    given = {
        "made from other inputs": run.manifests[stage.name]["inputs"] == reference.manifests[stage.name]["inputs"],
        "made from other completions": drawn is None or drawn.mark == OK,
        "made from other verdicts": all(each is None or each.mark == OK for each in verdicts),
    }
    other = reasons.asked or next((reason for reason, same in given.items() if not same), "")
    exact = [records.determined(run, reference, stage.name, file, other) for file in records.determined_files(stage)]
    return [each for each in (drawn, *verdicts, *exact) if each]


def _figures(run: Finished, reference: Finished, stage: Stage, reasons: Reasons) -> list[Check]:
    """What a stage's figures say; those of another model are not compared."""
    checks = [numbers.training(run, reference, stage.name)] if "training" in stage.roles else []
    if reasons.model:
        said = f"are another model's, not compared ({reasons.model})"
        return [*checks, Check(UNDECIDED, stage.name, "figures", said)]
    checks.append(numbers.funnel(run, reference, stage.name, reasons))
    return checks + (numbers.scores(run, reference, stage.name, reasons) if "scoring" in stage.roles else [])
