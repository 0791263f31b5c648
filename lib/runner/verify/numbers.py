"""The figures of a run held against the reference's: yields, held-out loss, scores, and the paper's claims."""

import math

from lib.core.records import Record
from lib.core.statistics import Estimate, unpaired, wilson
from lib.core.study import Stage, only
from lib.evaluate import claims
from lib.runner.verify.finished import OK, UNDECIDED, Check, Finished, Reasons, because, first_of, mark

EMPTY: Record = {"scores": [], "comparisons": {}}


def agree(pairs: list[tuple[Estimate, Estimate]]) -> list[bool]:
    """Return for each (reference's, run's) pair of figures whether they may be two measurements of one thing.

    They may when the interval of their difference includes 0, all intervals holding together with 95 %.
    """
    among = sum(theirs.value != ours.value for theirs, ours in pairs) or 1
    apart = [unpaired(theirs, ours, among) for theirs, ours in pairs]
    return [each.low <= 0 <= each.high for each in apart]


def funnel(run: Finished, reference: Finished, stage: str, reasons: Reasons) -> Check:
    """Compare the share of records that each step let through, with Wilson intervals."""
    theirs, ours = ({row["step"]: row for row in each.manifests[stage]["funnel"]} for each in (reference, run))
    steps = {
        step: (there, here)
        for step in theirs
        if step in ours and (there := _share(theirs[step])) and (here := _share(ours[step]))
    }
    outside = [
        f"{step} {100 * here.value:.1f} % of {here.n:,} ({100 * there.value:.1f} % of {there.n:,} there)"
        for (step, (there, here)), fits in zip(steps.items(), agree([*steps.values()]), strict=True)
        if not fits
    ]
    lone = [f"{step} is in one only" for step in theirs.keys() ^ ours.keys()]
    if outside or lone:
        reason = reasons.asked or ("" if outside else reasons.benchmarks)
        return Check(mark(False, reason), stage, "funnel", first_of(outside + sorted(lone), 4) + because(reason))
    same = sum(ours[step]["out"] == theirs[step]["out"] and ours[step]["in"] == theirs[step]["in"] for step in steps)
    rest = "" if same == len(steps) else ", the others within their intervals"
    return Check(OK, stage, "funnel", f"{same} of {len(steps)} steps as in the reference{rest}")


def _share(row: Record) -> Estimate | None:
    """The share that a step let through; None when it counts other things after than before."""
    if not 0 <= row["out"] <= row["in"] or not row["in"]:
        return None
    return Estimate(row["out"] / row["in"], *wilson(row["out"], row["in"]), row["in"])


def training(run: Finished, reference: Finished, stage: str) -> Check:
    """The loss on held-out examples must be lower after training than before."""
    losses = []
    for each in (run, reference):
        rows = sorted((each.records(stage, "log.jsonl") or {}).values(), key=lambda row: row["step"])
        found = [row["held_out_loss"] for row in rows if "held_out_loss" in row]
        losses.append((found[0], found[-1]) if len(found) > 1 else (math.nan, math.nan))
    (first, last), there = losses
    if math.isnan(first):
        return Check(UNDECIDED, stage, "held-out loss", "was not measured")
    said = f"{first:.3f} before, {last:.3f} after ({there[0]:.3f} and {there[1]:.3f} there)"
    return Check(mark(last < first, ""), stage, "held-out loss", said)


def scores(run: Finished, reference: Finished, stage: str, reasons: Reasons) -> list[Check]:
    """Compare each score and each comparison of the reference with the run's, by their intervals."""
    theirs, ours = (_figures(each.scores(stage) or EMPTY) for each in (reference, run))
    checks, kept = [], []
    for name, (version, estimate) in theirs.items():
        if name not in ours:
            checks.append(Check(UNDECIDED, stage, name, "is not scored in this run"))
        elif ours[name][0] != version:
            checks.append(Check(UNDECIDED, stage, name, f"{ours[name][0]} here, {version} there"))
        else:
            kept.append((name, estimate, ours[name][1]))
    within = agree([(there, here) for _, there, here in kept])
    for (name, there, here), fits in zip(kept, within, strict=True):
        said = f"{_said(here)}, {_said(there)} there" + ("" if fits else because(reasons.asked))
        checks.append(Check(mark(fits, reasons.asked), stage, name, said))
    return checks


def _figures(made: Record) -> dict[str, tuple[str, Estimate]]:
    """Name -> (version and hash of the benchmark, figure) of the scores and comparisons in scores.json."""
    found, known = {}, _versions(made)
    for row in made["scores"]:
        value, low, high, n = (row["pass@1"][key] for key in ("value", "low", "high", "n"))
        if low == high:  # the bootstrap knows no width when no problem or every problem is solved
            low, high = wilson(round(value * n), n)
        name = f"pass@1 of {row['model']} on {row['benchmark']} (%)"
        found[name] = (known[row["benchmark"]], Estimate(value, low, high, n))
    for name, row in made["comparisons"].items():
        figure = Estimate(*(row[key] for key in ("difference", "low", "high", "n")))
        found[f"difference, {name} (points)"] = (known.get(row.get("benchmark", name), ""), figure)
    return found


def other_versions(run: Record, reference: Record) -> list[str]:
    """Return the benchmarks that both scored, but not in the same version."""
    ours, theirs = _versions(run), _versions(reference)
    return [name for name in theirs if ours.get(name, theirs[name]) != theirs[name]]


def unshared(run: Record, reference: Record) -> str:
    """Return which benchmarks only one side could score, "" when none: their data may not be on every machine."""
    ours, theirs = _versions(run), _versions(reference)
    sides = ((theirs, ours, "here"), (ours, theirs, "in the reference"))
    return "; ".join(
        f"{name} is not scored {where}" for one, other, where in sides for name in one if name not in other
    )


def _versions(made: Record) -> dict[str, str]:
    return {row["benchmark"]: f"{row['version']}, {row['sha256'][:8]}" for row in made["scores"]}


def _said(figure: Estimate) -> str:
    return f"{100 * figure.value:.1f} ({100 * figure.low:.1f} to {100 * figure.high:.1f}, n = {figure.n})"


def claimed(run: Finished, reference: Finished, stage: Stage, reasons: Reasons) -> list[Check]:
    """Compare what the two runs say about each of the paper's claims that either can speak about.

    The same verdict is as it must be; another is WRONG unless there is a reason. Another model proves nothing.
    """
    checks, silent = [], 0
    judged = [_judged(each, stage.name) for each in (run, reference)]
    for key in {**judged[1], **judged[0]}:
        ours, theirs = (rows.get(key) for rows in judged)
        if not any(row and row["ours"] for row in (ours, theirs)):
            silent += 1
            continue
        here, there = (row["verdict"] if row else claims.INCONCLUSIVE for row in (ours, theirs))
        row = ours or theirs or {}
        said = f"{row['claim'].rstrip('.')} ({row['table']}): {here}; in the reference: {there}"
        open_ = reasons.asked or reasons.model or claims.INCONCLUSIVE in (here, there)
        fits = here == there != claims.INCONCLUSIVE and not reasons.model
        checks.append(Check(mark(fits, "open" if open_ else ""), "claim", f"{key[0]} on {key[1]}", said))
    said = f"{silent} more, about which {stage.number} says nothing in either run"
    return [*checks, Check(UNDECIDED, "claim", f"others of the paper, in {stage.number}", said)] if silent else checks


def _judged(each: Finished, stage: str) -> dict[tuple[str, str], Record]:
    """The claims judged by a run's scores, by claim and benchmark."""
    made = each.scores(stage)
    if made is None:
        return {}
    tuned = each.manifests.get(only("training"))
    examples = tuned["funnel"][-1]["out"] if tuned else None
    rows = claims.judge_claims(claims.read_claims(), made, each.manifests[stage]["parameters"]["MODEL"], examples)
    return {(row["id"], row["benchmark"]): row for row in rows}
