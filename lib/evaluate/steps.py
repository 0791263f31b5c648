"""Where a difference comes from: the way from the paper's raw prompt to the tuned model, one change at a time."""

import re
from collections.abc import Sequence

from lib.core.records import StudyError
from lib.core.statistics import Comparison

BEFORE, AFTER = "before", "after"
# The model before tuning, asked with a raw prompt, by the form of that prompt.
RAW = {"official": "before, raw prompt", "unstripped": "before, unstripped prompt"}
# What changes on the way to a label.
CHANGES = {RAW["unstripped"]: "the prompt's own line breaks or quotes", BEFORE: "the template", AFTER: "the training"}
Step = tuple[str, Comparison]  # the label that it leads to, what it changed


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
