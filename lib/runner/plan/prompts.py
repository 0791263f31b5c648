"""One prompt of every kind that a run would send, with an answer of the length that is to be expected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lib import evaluate
from lib.core.markdown import code_of
from lib.core.study import only
from lib.curate import judge
from lib.generate.few_shot import NEXT_EXAMPLE
from lib.synthesize import prompts
from lib.synthesize.exemplars import Deck, Decks, Exemplar, load_exemplars, load_systems
from lib.train.template import render_example

# A seed of ordinary length, for the judge; the exemplars' own snippets stand for the seeds of notebook 02.
SEED = {
    "id": "seed",
    "docstring": "Return the runs of equal neighbours.\n\nA run is an item and how often it stands in a row.",
    "code": '''from collections.abc import Hashable, Sequence


def runs(items: Sequence[Hashable]) -> list[tuple[Hashable, int]]:
    """Return the runs of equal neighbours.

    A run is an item and how often it stands in a row.
    """
    found: list[tuple[Hashable, int]] = []
    for item in items:
        if found and found[-1][0] == item:
            found[-1] = (item, found[-1][1] + 1)
        else:
            found.append((item, 1))
    return found''',
}


@dataclass(frozen=True)
class Kind:
    """One kind of prompt: some of them, the answers to expect (an exemplar's, the benchmark's), the limit of an answer.

    `shared` tells whether many prompts begin with the same examples, which the engine then reads once.
    """

    stage: str
    name: str
    prompts: Sequence[str]
    answers: Sequence[str]
    limit: int
    shared: bool = False

    @property
    def queries(self) -> list[str]:
        """What follows the examples in each prompt."""
        return [NEXT_EXAMPLE + prompt.rpartition(NEXT_EXAMPLE)[2] for prompt in self.prompts]


def kinds(parameters: Mapping[str, Mapping[str, Any]]) -> list[Kind]:
    """Return every kind of prompt of a run with these parameters, in the order of the study.

    StudyError for an unknown style, for more shots than exemplars, and where HumanEval is not installed.
    """
    found = [judging(parameters[only("curation")])] if parameters[only("curation")]["JUDGED"] else []
    found += synthesis(parameters[only("synthesis")])
    return found + [evaluation(parameters[only("evaluation")])]


def judging(values: Mapping[str, Any]) -> Kind:
    """Return the judge's prompt."""
    examples = judge.deck(judge.load_judged(), 0)
    prompt = judge.judge_prompt(judge.load_system(), examples, SEED)
    return Kind(only("curation"), "judge", [prompt], [" Yes."], judge.REPLY_TOKENS, shared=True)


def synthesis(values: Mapping[str, Any]) -> list[Kind]:
    """Return the prompts of the three steps, one per exemplar, in whose place a seed, concepts or task would stand."""
    style = prompts.style(values["PROMPTS"], load_systems(), values["RESTRICTED"])
    for_tasks = load_exemplars(values["EXEMPLARS"], values["RESTRICTED"])
    for_responses = style.answered(load_exemplars(values["RESPONSE_EXEMPLARS"], values["RESTRICTED"]))
    decks = dealt(for_tasks, values["SHOTS"], values["DECKS"], values["SAMPLING_SEED"])
    last = dealt(for_responses, values["RESPONSE_SHOTS"], values["RESPONSE_DECKS"], values["SAMPLING_SEED"])
    stage, shared = only("synthesis"), values["DECKS"] > 0
    listed = [", ".join(e.concepts) for e in for_tasks]
    tasks = [e.instruction for e in for_tasks]
    if values["DIRECT"]:
        asked = [style.inspired(deck, code_of(e.snippet)) for deck, e in zip(decks, for_tasks, strict=True)]
        steps = [Kind(stage, "instruction", asked, tasks, values["INSTRUCTION_TOKENS"], shared)]
    else:
        asked = [style.concepts(deck, code_of(e.snippet)) for deck, e in zip(decks, for_tasks, strict=True)]
        told = [
            style.instruction(deck, e.category, e.difficulty, e.concepts)
            for deck, e in zip(decks, for_tasks, strict=True)
        ]
        steps = [
            Kind(stage, "concepts", asked, listed, values["CONCEPT_TOKENS"], shared),
            Kind(stage, "instruction", told, tasks, values["INSTRUCTION_TOKENS"], shared),
        ]
    answered = [style.response(deck, e.instruction) for deck, e in zip(last, for_responses, strict=True)]
    responses = [style.answers(e, 1) for e in for_responses]
    limit, shared = values["RESPONSE_TOKENS"], values["RESPONSE_DECKS"] > 0
    return [*steps, Kind(stage, "response", answered, responses, limit, shared)]


def dealt(exemplars: Sequence[Exemplar], shots: int, count: int, seed: int) -> list[Deck]:
    """Return the examples that a prompt begins with, one sample for each exemplar."""
    decks = Decks(exemplars, shots, count, seed)
    return [decks.drawn[place % count] if count else decks.draw(e.id) for place, e in enumerate(exemplars)]


def evaluation(values: Mapping[str, Any]) -> Kind:
    """Return the prompts of HumanEval, in the template and raw, for all benchmarks: the others may not be at hand."""
    benchmark = evaluate.load_benchmark("humaneval", values["DATA"] or None, values["PROTOCOL"])
    asked = [benchmark.prompt(task) for task in benchmark.problems]
    asked += [benchmark.raw_prompt(task, form) for form in values["RAW_PROMPTS"] for task in benchmark.problems]
    answers = [f"\n{benchmark.canonical(task)}\n```\n" for task in benchmark.problems]
    return Kind(only("evaluation"), "evaluation", asked, answers, values["MAX_TOKENS"])


def training_examples(pool: str) -> list[str]:
    """Return a pool's exemplars as training examples: template, instruction and response."""
    return ["".join(render_example(e.instruction, e.response)) for e in load_exemplars(pool)]
