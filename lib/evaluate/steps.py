"""Where a difference comes from: the way from the paper's raw prompt to the tuned model, one change at a time."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lib.core.models import resolve
from lib.core.records import Record, StudyError
from lib.core.stage_run import StageRun, tuned_here, tuned_like
from lib.core.statistics import Comparison
from lib.core.study import only
from lib.evaluate.benchmarks import BENCHMARKS

BEFORE, AFTER = "before", "after"
# The model before tuning, asked with a raw prompt, by the form of that prompt.
RAW = {"official": "before, raw prompt", "unstripped": "before, unstripped prompt"}
# What changes on the way to a label.
CHANGES = {RAW["unstripped"]: "the prompt's own line breaks or quotes", BEFORE: "the template", AFTER: "the training"}
Step = tuple[str, Comparison]  # the label that it leads to, what it changed


def contestants(
    stage: StageRun, model: str, engine: str, recorded: Path, others: Sequence[str] = ()
) -> tuple[dict[str, str], dict[str, Record]]:
    """Return the models that are scored, by label, and what is known of each: revision, licence, note.

    They are `model`, what this run tuned, and what `others` (runs on the same data) did. In a replay no model is
    needed, and the facts are those of the folder `recorded`. Raises StudyError when a tuned model is not finished.
    """
    labels = [BEFORE, AFTER, *(f"{AFTER}, {run}" for run in others)]
    if engine == "replay":
        stage.input(only("training"), "log.jsonl")
        return dict.fromkeys(labels, ""), json.loads((recorded / "scores.json").read_text())["models"]
    tuned = [tuned_here(stage), *(tuned_like(stage, run) for run in others)]
    places = dict(zip(labels, [model, *map(str, tuned)], strict=True))
    found = {label: resolve(place) for label, place in places.items() if (label, engine) != (BEFORE, "server")}
    facts = {label: {"revision": m.revision, "licence": m.licence, "note": m.note} for label, m in found.items()}
    return places, facts


def parts(most: Mapping[str, int], names: Sequence[str]) -> dict[str, int]:
    """Return how many problems of each benchmark are scored (N_PROBLEMS), 0 for all; StudyError for an unknown one.

    One that is named without a version stands for any version.
    """
    if stray := [name for name in most if name.partition("@")[0] not in BENCHMARKS]:
        raise StudyError(f"N_PROBLEMS has {stray[0]}, which is no benchmark; choose from {', '.join(BENCHMARKS)}")
    return {name: most.get(name, most.get(name.partition("@")[0], 0)) for name in names}


def samples_file(label: str, benchmark: str) -> str:
    """Return the name of the file with a model's graded answers to a benchmark."""
    slug = re.sub("[^a-z0-9]+", "_", f"{label} {benchmark}".lower().replace("+", " plus"))
    return f"samples_{slug}.jsonl"


def raw_labels(forms: Sequence[str]) -> dict[str, str]:
    """Return {label: form} of the raw prompts to ask with; StudyError for an unknown form or one named twice."""
    if unknown := [form for form in forms if form not in RAW]:
        raise StudyError(f"RAW_PROMPTS has {unknown[0]!r}, which is unknown; choose from {' and '.join(RAW)}")
    if len(set(forms)) < len(forms):
        raise StudyError(f"RAW_PROMPTS={list(forms)} has a form twice; name each once")
    return {RAW[form]: form for form in RAW if form in forms}


def in_words(benchmark: str, first: str, start: float, changes: Sequence[Step]) -> str:
    """Return what each step changed, from the label `first` with its pass@1 (a fraction), and the training's share."""
    said = [
        f"{CHANGES[label]} {100 * step.difference:+.1f} (95 % interval {100 * step.low:+.1f} to {100 * step.high:+.1f})"
        for label, step in changes
    ]
    total, (_, training) = sum(step.difference for _, step in changes), changes[-1]
    end = 100 * (start + total)
    words = f"{benchmark}, pass@1 in percent: {100 * start:.1f}; {'; '.join(said)}; in the end {end:.1f}."
    if first == RAW["official"]:
        words += f" The paper's comparison, of the first with the last, says {100 * total:+.1f} points."
    if training.low <= 0 <= training.high:
        return f"{words} What the training did is inconclusive with {training.n} problems."
    return f"{words} The training itself is responsible for {100 * training.difference:+.1f} points."
