"""Self-OSS-Instruct (section 2.2): seed to concepts, concepts to instruction, instruction to responses with tests."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lib.exemplars import Deck, Decks
from lib.generate import Engine, Request, complete
from lib.records import Journal, Record, StudyError, content_id

LANGUAGE = "python"
# An exemplar of a deck begins so; a completion that starts the next exemplar has said all it had to say.
NEXT_EXAMPLE = "## Example"
TESTS_END = "</tests>"
MAX_CONCEPT_WORDS = 6
CODE_MARKS = re.compile(r"[`={}()\[\]<>#;\\]|\breturn\b|\bdef\b")
# Tasks whose answer needs what the sandbox denies can never pass; they are counted out before responses are paid for.
OUT_OF_REACH = re.compile(
    r"\b(files?|directory|folder|csv|database|sql|url|http\w*|api|web|server|socket|network|stdin|keyboard|"
    r"user input|command[- ]line|gui|plot|image|random(?:ly)?|current (?:date|time))\b",
    re.IGNORECASE,
)


def fenced(code: str) -> str:
    """Return code inside a python fence."""
    return f"```python\n{code.strip()}\n```"


def properties(category: str, difficulty: str, concepts: Sequence[str]) -> str:
    """Return the four lines that steer a task, in the newer pipeline's order."""
    pairs = {"category": category, "language": LANGUAGE, "difficulty": difficulty, "concepts": ", ".join(concepts)}
    return "\n".join(f"{key}: {value}" for key, value in pairs.items())


def prompt(system: str, shown: Sequence[str], query: str) -> str:
    """Lay out a plain completion prompt: system text, numbered examples, and the query left open."""
    blocks = [system, *(f"{NEXT_EXAMPLE} {number}\n{text}" for number, text in enumerate([*shown, query], 1))]
    return "\n\n".join(blocks).rstrip()


def concepts_prompt(system: str, deck: Deck, snippet: str) -> str:
    """Ask for the concepts in a snippet (S->C)."""
    shown = [f"### Snippet\n{e.snippet}\n\n### Concepts\n{', '.join(e.concepts)}" for e in deck]
    return prompt(system, shown, f"### Snippet\n{fenced(snippet)}\n\n### Concepts")


def instruction_prompt(system: str, deck: Deck, category: str, difficulty: str, concepts: Sequence[str]) -> str:
    """Ask for a task with given properties (C->I)."""
    layout = "### Properties\n{}\n\n### Task"
    shown = [layout.format(properties(e.category, e.difficulty, e.concepts)) + f"\n{e.instruction}" for e in deck]
    return prompt(system, shown, layout.format(properties(category, difficulty, concepts)))


def response_prompt(system: str, deck: Deck, instruction: str) -> str:
    """Ask for a response and its tests (I->R); concepts and properties are not shown."""
    layout = "<instruction>\n{}\n</instruction>\n\n<response>"
    shown = [
        layout.format(e.instruction) + f"\n{e.response}\n</response>\n\n<tests>\n{e.tests}\n{TESTS_END}" for e in deck
    ]
    return prompt(system, shown, layout.format(instruction))


def sampling_seed(seed: int, step: str, parent: str, sample: int = 0) -> int:
    """Return the seed of one completion: it depends on what is asked, not on when or beside what it runs."""
    return int(content_id(seed, step, parent, sample)[:8], 16) >> 1


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn: temperature 0.7 in the paper (section C.1), at most 1,536 tokens there."""

    temperature: float
    max_tokens: int
    seed: int


@dataclass
class Step:
    """What one step made: its records, why some completions gave none, and the completions' token counts."""

    records: list[Record]
    reasons: Counter[str]
    completions: list[Record]


def generated(deck: Deck, request: Request, completion: Record, engine: Engine) -> Record:
    """Return what every generated record carries: exemplars, seed, request, model and engine."""
    return {
        "exemplars": [exemplar.id for exemplar in deck],
        "sampling_seed": request.seed,
        "request": completion["id"],
        "model": engine.revision,
        "engine": completion["engine"],
    }


def parse_concepts(text: str) -> list[str]:
    """Return the concepts of a completion's first line: stripped, lower-cased, each once, no code, no run-ons."""
    line = text.strip().split("\n")[0]
    cleaned = [re.sub(r"\s+", " ", concept).strip(" .*-").lower() for concept in line.split(",")]
    sound = [c for c in cleaned if c and len(c.split()) <= MAX_CONCEPT_WORDS and not CODE_MARKS.search(c)]
    return list(dict.fromkeys(sound))[:5]  # the exemplars have two to five


def draw_properties(
    seed: int, parent: str, categories: dict[str, int], difficulties: dict[str, int]
) -> tuple[str, str]:
    """Draw (category, difficulty) with the given weights (the paper's: 2:1:1 and uniform), once for each parent."""
    rng = random.Random(content_id(seed, "properties", parent))
    category = rng.choices(list(categories), list(categories.values()))[0]
    return category, rng.choices(list(difficulties), list(difficulties.values()))[0]


def instruction_fault(text: str, max_words: int) -> str | None:
    """Return why a task can't be used, or None."""
    words = len(text.split())
    if words < 8:
        return "shorter than 8 words"
    if words > max_words:
        return f"longer than {max_words} words"
    if "###" in text or "<instruction>" in text:
        return "runs on into another section"
    if OUT_OF_REACH.search(text):
        return "needs files, network, input, chance or the clock"
    return None


def without_duplicates(records: Sequence[Record], field: str, reasons: Counter[str]) -> list[Record]:
    """Keep the first record of each text in `field`, white space aside; the others are counted in `reasons`."""
    seen: set[str] = set()
    kept = []
    for record in records:
        key = "".join(record[field].split()).lower()
        if key in seen:
            reasons["same as an earlier one"] += 1
        else:
            seen.add(key)
            kept.append(record)
    return kept


def some(step: Step, what: str) -> Step:
    """Return a step that made something; StudyError when it made nothing to go on with."""
    if not step.records:
        why = ", ".join(f"{reason}: {count}" for reason, count in step.reasons.items())
        raise StudyError(
            f"not one {what} could be used ({why}); raise N_SEEDS or the token limits, or try another MODEL"
        )
    return step


def ask_concepts(
    engine: Engine, cache: Journal, system: str, decks: Decks, seeds: Sequence[Record], sampling: Sampling
) -> Step:
    """Step S->C: one completion a seed; a seed without two sound concepts is counted out."""
    dealt = decks.deal("concepts", seeds)
    requests = [
        Request(
            prompt=concepts_prompt(system, deck, seed["code"]),
            temperature=sampling.temperature,
            max_tokens=sampling.max_tokens,
            stop=(NEXT_EXAMPLE, "\n\n"),
            seed=sampling_seed(sampling.seed, "concepts", seed["id"]),
        )
        for deck, seed in dealt
    ]
    step = Step([], Counter(), complete(engine, requests, cache, "concepts"))
    for (deck, seed), request, completion in zip(dealt, requests, step.completions, strict=True):
        concepts = parse_concepts(completion["text"])
        if len(concepts) < 2:
            step.reasons["fewer than two sound concepts"] += 1
            continue
        record = {"id": content_id("concepts", seed["id"], completion["id"]), "seed": seed["id"], "concepts": concepts}
        step.records.append(record | generated(deck, request, completion, engine))
    return some(step, "list of concepts")


def ask_instructions(
    engine: Engine,
    cache: Journal,
    system: str,
    decks: Decks,
    concepts: Sequence[Record],
    sampling: Sampling,
    weights: tuple[dict[str, int], dict[str, int]],
    max_words: int,
) -> Step:
    """Step C->I: one task a list of concepts; `weights` are those of the categories and of the difficulties."""
    dealt = decks.deal("instruction", concepts)
    drawn = [draw_properties(sampling.seed, record["id"], *weights) for _, record in dealt]
    requests = [
        Request(
            prompt=instruction_prompt(system, deck, category, difficulty, record["concepts"]),
            temperature=sampling.temperature,
            max_tokens=sampling.max_tokens,
            stop=(NEXT_EXAMPLE,),
            seed=sampling_seed(sampling.seed, "instruction", record["id"]),
        )
        for (deck, record), (category, difficulty) in zip(dealt, drawn, strict=True)
    ]
    step = Step([], Counter(), complete(engine, requests, cache, "instructions"))
    for (deck, parent), (category, difficulty), request, completion in zip(
        dealt, drawn, requests, step.completions, strict=True
    ):
        text = completion["text"].strip()
        fault = "cut off at the token limit" if completion["finish_reason"] == "length" else None
        if fault := fault or instruction_fault(text, max_words):
            step.reasons[fault] += 1
            continue
        record = {
            "id": content_id("instruction", parent["id"], completion["id"]),
            "parent": parent["id"],
            "seed": parent["seed"],
            "instruction": text,
            "category": category,
            "difficulty": difficulty,
        }
        step.records.append(record | generated(deck, request, completion, engine))
    step.records = without_duplicates(step.records, "instruction", step.reasons)
    return some(step, "task")


def ask_responses(
    engine: Engine,
    cache: Journal,
    system: str,
    decks: Decks,
    instructions: Sequence[Record],
    sampling: Sampling,
    samples: int,
) -> Step:
    """Step I->R: `samples` responses with tests for each task; those cut off at the limit are kept, and say so."""
    dealt = [(deck, task, sample) for deck, task in decks.deal("response", instructions) for sample in range(samples)]
    requests = [
        Request(
            prompt=response_prompt(system, deck, task["instruction"]),
            temperature=sampling.temperature,
            max_tokens=sampling.max_tokens,
            stop=(NEXT_EXAMPLE, TESTS_END),
            seed=sampling_seed(sampling.seed, "response", task["id"], sample),
            sample=sample,
        )
        for deck, task, sample in dealt
    ]
    step = Step([], Counter(), complete(engine, requests, cache, "responses"))
    for (deck, task, sample), request, completion in zip(dealt, requests, step.completions, strict=True):
        record = {
            "id": content_id("response", task["id"], completion["id"]),
            "parent": task["id"],
            "seed": task["seed"],
            "sample": sample,
            "text": completion["text"].strip(),
            "finish_reason": completion["finish_reason"],
            "tokens": completion["tokens"],
        }
        step.records.append(record | generated(deck, request, completion, engine))
    return step
