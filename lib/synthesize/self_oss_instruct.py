"""Self-OSS-Instruct (paper, section 2.2): seed to concepts to instruction to responses with tests."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from lib.core.records import Journal, Lazy, Record, StudyError, content_id
from lib.core.text import UNENCODABLE, encodable
from lib.generate import Engine, Request, complete, fits
from lib.generate.few_shot import NEXT_EXAMPLE
from lib.generate.protocol import sampling_seed, unfinished
from lib.synthesize.checks import instruction_fault, parse_concepts, without_duplicates
from lib.synthesize.exemplars import Deck, Decks
from lib.synthesize.prompts import Style

# Of the engines' window of 4,096 tokens, the system text and eight exemplars take up to 1,800.
SNIPPET_TOKENS = 2000
Properties = tuple[str, str]  # category and difficulty
UNDRAWN: Properties = ("undrawn", "undrawn")  # of a task made straight from a snippet


@dataclass(frozen=True)
class Sampling:
    """The sampling parameters of a step; in the paper, temperature 0.7 and at most 1,536 tokens (section C.1)."""

    temperature: float
    max_tokens: int
    seed: int

    def request(self, prompt: str, stop: tuple[str, ...], step: str, parent: str, sample: int = 0) -> Request:
        """Return the request for a prompt that `step` makes from the record with the id `parent`."""
        seed = sampling_seed(self.seed, step, parent, sample)
        return Request(prompt, self.temperature, self.max_tokens, stop, seed, sample)


@dataclass
class Step:
    """The result of one step: its records, the reasons for which others were dropped, and all completions.

    `notes` counts what was removed from completions, including those of dropped records.
    """

    records: Sequence[Record]
    reasons: Counter[str]
    completions: Sequence[Record]
    notes: Counter[str] = field(default_factory=Counter)


def generated(deck: Deck, request: Request, completion: Record, engine: Engine) -> Record:
    """Return what every generated record has: exemplars, seed, request, model and engine."""
    return {
        "exemplars": [exemplar.id for exemplar in deck],
        "sampling_seed": request.seed,
        "request": completion["id"],
        "model": engine.revision,
        "engine": completion["engine"],
    }


def draw_properties(seed: int, parent: str, categories: dict[str, int], difficulties: dict[str, int]) -> Properties:
    """Draw category and difficulty for a parent with the given weights (the paper's: 2:1:1 and uniform)."""
    rng = random.Random(content_id(seed, "properties", parent))
    category = rng.choices(list(categories), list(categories.values()))[0]
    return category, rng.choices(list(difficulties), list(difficulties.values()))[0]


def fitting(engine: Engine, cache: Journal, seeds: Sequence[Record], reasons: Counter[str]) -> list[Record]:
    """Keep the seeds whose prompt fits the model's window; count the others in `reasons`.

    A prompt that the engine refuses would stop every run at the same point.
    """
    kept = [seed for seed in seeds if fits(engine, cache, seed["code"], SNIPPET_TOKENS)]
    if len(kept) < len(seeds):
        reasons["perhaps too long for the model's window"] += len(seeds) - len(kept)
    return kept


def require_records(step: Step, what: str) -> Step:
    """Return the step; raise StudyError if it has no records for the next step."""
    if not step.records:
        why = ", ".join(f"{reason}: {count}" for reason, count in step.reasons.items())
        raise StudyError(
            f"no usable {what} was generated ({why}); give more seeds (N_SEEDS) or tokens, or another model"
        )
    return step


def concepts_request(style: Style, deck: Deck, seed: Record, sampling: Sampling) -> Request:
    """Return the request for a seed's concepts."""
    return sampling.request(style.concepts(deck, seed["code"]), style.list_stop, "concepts", seed["id"])


def same_twice(engine: Engine, cache: Journal, requests: Sequence[Request], batch: int) -> Record:
    """Return how many of the requests get the same text all at once as in batches of `batch`."""
    once = complete(engine, [replace(request, sample=1) for request in requests], cache, "asked at once")
    again = []
    for start in range(0, len(requests), batch):
        part = [replace(request, sample=2) for request in requests[start : start + batch]]
        again += complete(engine, part, cache, f"asked by {batch}")
    same = sum(one["text"] == other["text"] for one, other in zip(once, again, strict=True))
    return {"asked twice": len(requests), "same text": same}


def ask_concepts(
    engine: Engine, cache: Journal, style: Style, decks: Decks, seeds: Sequence[Record], sampling: Sampling
) -> Step:
    """Step S->C: one list of concepts per seed; seeds with fewer than two usable concepts are dropped.

    With an unrestricted style every concept counts, and lists that were cut off are dropped, as in the official code.
    """
    reasons = Counter[str]()
    dealt = decks.deal("concepts", fitting(engine, cache, seeds, reasons))
    requests = Lazy(dealt, lambda pair: concepts_request(style, *pair, sampling))
    step = Step([], reasons, complete(engine, requests, cache, "concepts"))
    records = []
    for (deck, seed), asked, completion in zip(dealt, requests, step.completions, strict=True):
        text, why = completion["text"], unfinished(completion)
        if why and (completion["finish_reason"] == "too long" or not style.restricted):
            reasons[why] += 1
            continue
        if why:  # the last concept may be incomplete
            text = text.rpartition(",")[0]
            step.notes[why] += 1
        concepts, faults = parse_concepts(text, style.restricted)
        step.notes += faults
        if len(concepts) < (2 if style.restricted else 1):
            reasons["fewer than two sound concepts" if style.restricted else UNENCODABLE] += 1
            continue
        record = {"id": content_id("concepts", seed["id"], completion["id"]), "seed": seed["id"], "concepts": concepts}
        records.append(record | generated(deck, asked, completion, engine))
    step.records = records
    return require_records(step, "list of concepts")


def ask_instructions(
    engine: Engine,
    cache: Journal,
    style: Style,
    decks: Decks,
    concepts: Sequence[Record],
    sampling: Sampling,
    weights: tuple[dict[str, int], dict[str, int]],
    max_words: int,
) -> Step:
    """Step C->I: one task per list of concepts; `weights` are those of the categories and of the difficulties."""

    def prompt(deck: Deck, parent: Record, properties: Properties) -> str:
        return style.instruction(deck, *properties, parent["concepts"])

    asked = [
        (deck, parent, draw_properties(sampling.seed, parent["id"], *weights))
        for deck, parent in decks.deal("instruction", concepts)
    ]
    return _ask_tasks(engine, cache, style.restricted, asked, prompt, sampling, max_words, Counter())


def ask_direct(
    engine: Engine,
    cache: Journal,
    style: Style,
    decks: Decks,
    seeds: Sequence[Record],
    sampling: Sampling,
    max_words: int,
) -> Step:
    """Step S->I, the ablation of the paper's Table 10: one task straight from each seed, without drawn properties."""

    def prompt(deck: Deck, seed: Record, _: Properties) -> str:
        return style.inspired(deck, seed["code"])

    reasons = Counter[str]()
    dealt = decks.deal("instruction", fitting(engine, cache, seeds, reasons))
    asked = [(deck, seed, UNDRAWN) for deck, seed in dealt]
    return _ask_tasks(engine, cache, style.restricted, asked, prompt, sampling, max_words, reasons)


def _ask_tasks(
    engine: Engine,
    cache: Journal,
    restricted: bool,
    asked: Sequence[tuple[Deck, Record, Properties]],
    prompt: Callable[[Deck, Record, Properties], str],
    sampling: Sampling,
    max_words: int,
    reasons: Counter[str],
) -> Step:
    """Generate one task for each (exemplars, parent, properties); count the dropped ones in `reasons`.

    Repeated tasks are dropped if `restricted`; else the selection has to choose between them (notebook 03).
    """
    requests = Lazy(asked, lambda one: sampling.request(prompt(*one), (NEXT_EXAMPLE,), "instruction", one[1]["id"]))
    step = Step([], reasons, complete(engine, requests, cache, "instructions"))
    records = []
    for (deck, parent, properties), request, completion in zip(asked, requests, step.completions, strict=True):
        text = completion["text"].strip()
        if fault := unfinished(completion) or instruction_fault(text, max_words, restricted):
            reasons[fault] += 1
            continue
        record = {
            "id": content_id("instruction", parent["id"], completion["id"]),
            "parent": parent["id"],
            "seed": parent.get("seed", parent["id"]),
            "instruction": text,
            "category": properties[0],
            "difficulty": properties[1],
        }
        records.append(record | generated(deck, request, completion, engine))
    step.records = without_duplicates(records, "instruction", reasons) if restricted else records
    return require_records(step, "task")


def ask_responses(
    engine: Engine,
    cache: Journal,
    style: Style,
    decks: Decks,
    instructions: Sequence[Record],
    sampling: Sampling,
    samples: int,
) -> Step:
    """Step I->R: `samples` responses with tests per task; those cut off, or not storable as UTF-8, are dropped.

    The records are lazy and sorted by id, because ten samples of a hundred thousand tasks may not fit into memory.
    """
    dealt = decks.deal("response", instructions)

    def request(index: int) -> Request:
        (deck, task), sample = dealt[index // samples], index % samples
        prompt = style.response(deck, task["instruction"])
        return sampling.request(prompt, style.stop, "response", task["id"], sample)

    def record(key: tuple[str, int]) -> Record:
        identity, index = key
        (deck, task), completion = dealt[index // samples], completions[index]
        return generated(deck, request(index), completion, engine) | {
            "id": identity,
            "parent": task["id"],
            "seed": task["seed"],
            "sample": index % samples,
            "text": completion["text"].strip(),
            "tokens": completion["tokens"],
        }

    completions = complete(engine, Lazy(range(samples * len(dealt)), request), cache, "responses")
    keys, reasons = list[tuple[str, int]](), Counter[str]()
    for index, completion in enumerate(completions):
        if why := unfinished(completion):
            reasons[why] += 1
        elif not encodable(completion["text"]):
            reasons[UNENCODABLE] += 1
        else:
            keys.append((content_id("response", dealt[index // samples][1]["id"], completion["id"]), index))
    return require_records(Step(Lazy(sorted(keys), record), reasons, completions), "response")
