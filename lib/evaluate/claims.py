"""What the paper claims, read from data/claims.yaml, and whether a run's scores support it."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from lib.core import markdown
from lib.core.paths import ROOT
from lib.core.records import Record
from lib.evaluate.data import EVALPLUS, EVOEVAL_SETS, release
from lib.evaluate.steps import RAW as RAW_LABELS

CLAIMS = ROOT / "data" / "claims.yaml"
HOLDS, FAILS, INCONCLUSIVE = "holds", "does not hold", "inconclusive"
PAIR = ["before", "after"]  # the models of a comparison that names none
RAW = RAW_LABELS["official"]  # how the paper asks a base model
OWN, OTHERS = "own", "others"  # whose data the model was tuned on: what it wrote itself, or another model
# The paper's EvoEval value is the mean of these five sets' (Table 3; Xia et al. 2024).
EVOEVAL = tuple(f"EvoEval {which}" for which in EVOEVAL_SETS)


def whose(synthesis: Record, model: str) -> str:
    """Return whose data a model is tuned on, OWN or OTHERS, given the parameters of notebook 02."""
    return OWN if (synthesis["TEACHER"] or synthesis["MODEL"]) == model else OTHERS


def read_claims(path: Path = CLAIMS) -> Record:
    """Return {versions: {benchmark: [the paper's, others that count as it]}, claims: [...]}, as its head says."""
    return yaml.safe_load(path.read_text())


def judge_claims(paper: Record, scores: Record, model: str, examples: int | None = None) -> list[Record]:
    """Return a row for each claim and benchmark, judged from a run's scores. `model` is the MODEL that the run tuned,
    `examples` the number of examples it was tuned on (None: not known).

    `scores` is scores.json of stage 05: `scores` has rows with model (a label), benchmark, version and pass@1 (value,
    low, high, n); `comparisons` has paired records (difference, low, high, n, perhaps detectable) by benchmark; one
    that does not compare before with after has `benchmark` and `models` [worse, better]; `asked` has the value of
    notebook 05's PROTOCOL, and as DATA whether the model wrote its own examples (OWN or OTHERS).

    A claim that one model is better than another holds when the 95 % interval of the paired difference lies above 0,
    does not hold when it lies below, and is inconclusive otherwise: it is about the direction, which any model can
    show. A claim of a value holds when our 95 % interval contains the paper's value, and does not hold otherwise; it is
    inconclusive for another model than the paper's, and a model tuned on fewer than half or more than twice as many
    examples, or on an unknown number. Both are inconclusive on another version of a benchmark of which the paper has a
    value, and where the models were asked otherwise than the claim `needs`.

    EvoEval's five sets are also judged together when all of them are scored (`pooled`).

    A row has id, claim, table, benchmark, paper and ours (in words), same model (yes or no), verdict and why.
    """
    scores = pooled(scores)
    return [row for claim in paper["claims"] for row in _rows(claim, paper["versions"], scores, model, examples)]


def pooled(scores: Record) -> Record:
    """Return a run's scores and comparisons, with those of "EvoEval" for every model that has all five of its sets."""
    rows, compared = list(scores["scores"]), dict(scores["comparisons"])
    for label in dict.fromkeys(row["model"] for row in rows):
        sets = [row for name in EVOEVAL if (row := _score(scores, label, name))]
        if len(sets) == len(EVOEVAL):
            facts = {"model": label, "benchmark": "EvoEval", "version": sets[0]["version"]}
            rows.append(facts | {"pass@1": _joined([row["pass@1"] for row in sets])})
    for pair in {tuple(models): None for _, models, _ in _comparisons(scores)}:
        sets = [made for name in EVOEVAL if (made := _compared(scores, name, [*pair]))]
        if len(sets) == len(EVOEVAL):
            facts = {"benchmark": "EvoEval", "models": [*pair]}
            compared[f"EvoEval, {' to '.join(pair)}"] = facts | _joined(sets)
    return scores | {"scores": rows, "comparisons": compared}


def _joined(sets: list[Record]) -> Record:
    """The mean over the problems of several sets; an interval's arm is the root sum of squares of the weighted arms."""
    n, key = sum(each["n"] for each in sets), "difference" if "difference" in sets[0] else "value"
    mean = sum(each[key] * each["n"] for each in sets) / n
    down, up = (math.hypot(*((each[end] - each[key]) * each["n"] / n for each in sets)) for end in ("low", "high"))
    return {key: mean, "low": mean - down, "high": mean + up, "n": n}


def _rows(claim: Record, versions: Record, scores: Record, model: str, examples: int | None) -> Iterator[Record]:
    if "untested" in claim:
        yield row_of(claim, "", INCONCLUSIVE, f"not tested: {claim['untested']}")
        return
    stated = dict.fromkeys(value["benchmark"] for value in claim["values"])
    pair = [claim.get("worse"), claim["better"]]
    others = claim.get("benchmarks") != "stated"
    compared = [name for name, models, _ in _comparisons(scores) if models == pair and others]
    for name in dict.fromkeys([*stated, *compared]) or ["any benchmark"]:
        same = any(_same(value, model) for value in claim["values"] if value["benchmark"] == name)
        if otherwise := _asked_otherwise(claim, scores):
            found = "", INCONCLUSIVE, otherwise
        elif "worse" in claim:
            found = _direction(claim, name, versions, scores)
        else:
            found = _value(claim, name, versions, scores, model, examples)
        yield _row(claim, name, _paper(claim, name, same, model), found[0], same, *found[1:])


def row_of(claim: Record, ours: str, verdict: str, why: str, model: str = "") -> Record:
    """Return the row of a claim as a whole, with all of the paper's values; `model` is the one that was tuned."""
    stated = ", ".join(dict.fromkeys(value["benchmark"] for value in claim["values"]))
    same = any(_same(value, model) for value in claim["values"])
    return _row(claim, stated, _all(claim), ours, same, verdict, why)


def _row(claim: Record, name: str, paper: str, ours: str, same: bool, verdict: str, why: str) -> Record:
    facts = {key: claim[key] for key in ("id", "claim", "table")} | {"benchmark": name, "paper": paper, "ours": ours}
    return facts | {"same model": "yes" if same else "no", "verdict": verdict, "why": why}


def _same(value: Record, model: str) -> bool:
    """Whether a row of the paper is of this model, by its name on the Hub; a local folder has no such name."""
    return value["base"].lower() == model.split("@")[0].lower()


def _paper(claim: Record, name: str, same: bool, model: str) -> str:
    """The paper's values for a benchmark: those of the same model if there are any, else of all its models."""
    rows = [value for value in claim["values"] if value["benchmark"] == name and (_same(value, model) or not same)]
    return "; ".join(f"{_ends(row)} ({row['model']})" for row in rows) or "no value"


def _all(claim: Record) -> str:
    """All of the paper's values for a claim, benchmark by benchmark; the model once if there is only one."""
    values = claim["values"]
    models = {value["model"] for value in values}
    if len(models) == 1:
        return "; ".join(f"{value['benchmark']} {_ends(value)}" for value in values) + f" ({models.pop()})"
    stated = dict.fromkeys(value["benchmark"] for value in values)
    return "; ".join(f"{name} {_paper(claim, name, False, '')}" for name in stated)


def _ends(value: Record) -> str:
    """A value of the paper in words, and whether it speaks against the claim."""
    said = " to ".join(f"{value[side]}" for side in ("worse", "better") if side in value)
    return f"{said}, against the claim" if value["better"] < value.get("worse", 0) else said


def _asked_otherwise(claim: Record, scores: Record) -> str:
    """Why a claim's models are not those that were asked, "" when they are."""
    needed = {name: value for name, value in claim.get("needs", {}).items() if scores["asked"].get(name) != value}
    if whose := needed.pop("DATA", ""):
        return f"is about models tuned on data of {'their own' if whose == OWN else 'another model'}"
    return f"needs {' and '.join(f'{name}={value}' for name, value in needed.items())} in notebook 05" if needed else ""


def _other_version(claim: Record, name: str, versions: Record, row: Record | None) -> str:
    """Why a score is not of what the paper scored, and which file is, "" when it is or the paper has no value."""
    stated = any(value["benchmark"] == name for value in claim["values"])
    if row is None or not stated or row["version"] in versions.get(name, [row["version"]]):
        return ""
    wanted = versions[name][0]
    said = f"{name} {row['version']}, and the paper's is {wanted}"
    if name not in EVALPLUS:
        return f"{said}, with all of its problems and tests"
    return f"{said}: put {name.lower()}@{wanted} into BENCHMARKS, which is {release(name, wanted)}"


def _direction(claim: Record, name: str, versions: Record, scores: Record) -> tuple[str, str, str]:
    """Ours, verdict and why for "better beats worse" on a benchmark."""
    pair = [claim["worse"], claim["better"]]
    record = _compared(scores, name, pair)
    if record is None:
        return "", INCONCLUSIVE, _unscored(pair, name, scores)
    ends = [_score(scores, label, name) for label in pair]
    values = " to ".join(f"{100 * end['pass@1']['value']:.1f}" for end in ends if end)
    points = [f"{100 * record[key]:+.1f}" for key in ("difference", "low", "high")]
    ours = f"{values}: {points[0]} points ({points[1]} to {points[2]}), n = {record['n']}"
    if other := _other_version(claim, name, versions, ends[1]):
        return ours, INCONCLUSIVE, other
    if record["low"] > 0:
        return ours, HOLDS, "the interval lies above 0"
    if record["high"] < 0:
        return ours, FAILS, "the interval lies below 0"
    least = record.get("detectable")
    seen = f"; only {100 * least:.1f} points or more could be expected to show" if least else ""
    return ours, INCONCLUSIVE, f"the interval includes 0{seen}"


def _value(
    claim: Record, name: str, versions: Record, scores: Record, model: str, examples: int | None
) -> tuple[str, str, str]:
    """Ours, verdict and why for "the score is the paper's" on a benchmark."""
    row = _score(scores, claim["better"], name)
    if row is None:
        return "", INCONCLUSIVE, _unscored([claim["better"]], name, scores)
    low, high = row["pass@1"]["low"], row["pass@1"]["high"]
    ours = f"{100 * row['pass@1']['value']:.1f} ({100 * low:.1f} to {100 * high:.1f}), n = {row['pass@1']['n']}"
    theirs = [value for value in claim["values"] if value["benchmark"] == name and _same(value, model)]
    if not theirs:
        return ours, INCONCLUSIVE, "another model than the paper's"
    if other := _other_version(claim, name, versions, row):
        return ours, INCONCLUSIVE, other
    if needed := theirs[0].get("examples"):
        if examples is None:
            return ours, INCONCLUSIVE, f"tuned on an unknown number of examples, the paper's model on {needed:,}"
        if not needed <= 2 * examples <= 4 * needed:
            return ours, INCONCLUSIVE, f"tuned on {examples:,} examples, the paper's model on {needed:,}"
    inside = low <= theirs[0]["better"] / 100 <= high
    return ours, HOLDS if inside else FAILS, f"the interval {'has' if inside else 'does not have'} the paper's value"


def _unscored(labels: list[str], name: str, scores: Record) -> str:
    """Why there is no verdict for these labels on a benchmark."""
    if RAW in labels and all(row["model"] != RAW for row in scores["scores"]):
        return (
            "the model before was not asked with the raw prompt, as the paper asks it (RAW_PROMPTS, in notebook 06 RAW)"
        )
    return f"{' and '.join(map(repr, labels))} {'are not both' if len(labels) > 1 else 'is not'} scored on {name}"


def _comparisons(scores: Record) -> list[tuple[str, list[str], Record]]:
    """A run's comparisons, each with its benchmark and its models."""
    pairs = scores["comparisons"].items()
    return [(record.get("benchmark", key), record.get("models", PAIR), record) for key, record in pairs]


def _compared(scores: Record, name: str, pair: list[str]) -> Record | None:
    return next((record for *of, record in _comparisons(scores) if of == [name, pair]), None)


def _score(scores: Record, label: str, name: str) -> Record | None:
    return next((row for row in scores["scores"] if (row["model"], row["benchmark"]) == (label, name)), None)


def table(rows: Sequence[Record]) -> str:
    """Return the rows as a Markdown table; pass@1 in percent, ours with its 95 % interval."""
    heads = ["claim", "benchmark", "the paper (%)", "this run (%)", "same model", "verdict"]
    cells = []
    for row in rows:
        verdict = f"{row['verdict']}: {row['why']}"
        claim = f"{row['claim']} ({row['table']})"
        cells.append([claim, row["benchmark"], row["paper"], row["ours"] or "not scored", row["same model"], verdict])
    return markdown.table(heads, "llllll", cells)
