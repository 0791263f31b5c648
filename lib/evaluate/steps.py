"""Where a difference comes from: the way from the paper's raw prompt to the tuned model, one change at a time."""

from collections.abc import Sequence

from lib.core.records import StudyError
from lib.core.statistics import Comparison

BEFORE, AFTER = "before", "after"
# The model before tuning, asked with a raw prompt, by the form of that prompt.
RAW = {"official": "before, raw prompt", "unstripped": "before, unstripped prompt"}
# What changes on the way to a label.
CHANGES = {RAW["unstripped"]: "the prompt's own line breaks or quotes", BEFORE: "the template", AFTER: "the training"}
Step = tuple[str, Comparison]  # the label that it leads to, what it changed


def raw_labels(forms: Sequence[str]) -> dict[str, str]:
    """Return {label: form} of the raw prompts to ask with; StudyError for an unknown form or one named twice."""
    if unknown := [form for form in forms if form not in RAW]:
        raise StudyError(f"RAW_PROMPTS has {unknown[0]!r}, which is unknown; choose from {' and '.join(RAW)}")
    if len(set(forms)) < len(forms):
        raise StudyError(f"RAW_PROMPTS={list(forms)} has a form twice; name each once")
    return {RAW[form]: form for form in RAW if form in forms}


def in_words(benchmark: str, start: float, steps: Sequence[Step]) -> str:
    """Return what each step changed, from the pass@1 at the start (a fraction), and what the training's share is."""
    said = [
        f"{CHANGES[label]} {100 * step.difference:+.1f} (95 % interval {100 * step.low:+.1f} to {100 * step.high:+.1f})"
        for label, step in steps
    ]
    total, (_, training) = sum(step.difference for _, step in steps), steps[-1]
    words = (
        f"{benchmark}, pass@1 in percent: {100 * start:.1f}; {'; '.join(said)}; in the end {100 * (start + total):.1f}."
    )
    unclear = training.low <= 0 <= training.high
    own = f"cannot be told from none with {training.n} problems" if unclear else f"is {100 * training.difference:+.1f}"
    if len(steps) == 1:
        return f"{words} The effect of the training {own}."
    return (
        f"{words} First against last, as the paper compares, makes {100 * total:+.1f} points; asked alike before and "
        f"after, the effect of the training {own}."
    )
