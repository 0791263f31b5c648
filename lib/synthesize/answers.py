"""One answer to each task, without tests and without a filter: direct distillation, and what Evol-Instruct needs.

In the paper's Table 11 GPT-4o answers the same instructions at temperature 0 ("direct distillation"). Here any engine
does: with the tuned model's own it is the method without its tests and its sandbox. As models continue text, they are
shown exemplars, which set the style of the answers; the paper's teacher has none.
"""

from collections import Counter
from collections.abc import Sequence

from lib.core.records import Journal, Record, content_id
from lib.core.text import UNENCODABLE, encodable
from lib.generate import Engine, complete
from lib.generate.few_shot import NEXT_EXAMPLE, prompt
from lib.generate.protocol import unfinished
from lib.synthesize.exemplars import Deck, Decks
from lib.synthesize.self_oss_instruct import Sampling, Step, generated, require_records

SYSTEM = (
    "You solve programming tasks in Python. Read the task to its end, say briefly how it is solved where that is not "
    "plain, and give code that is complete and correct."
)
LAYOUT = "### Instruction\n{}\n\n### Response"


def asked(deck: Deck, instruction: str) -> str:
    """Return the prompt for the answer to one task."""
    shown = [f"{LAYOUT.format(one.instruction)}\n{one.response}" for one in deck]
    return prompt(SYSTEM, shown, LAYOUT.format(instruction))


def ask(engine: Engine, cache: Journal, decks: Decks, tasks: Sequence[Record], sampling: Sampling) -> Step:
    """Return an example for each task (id, instruction, perhaps seed): the task, and the answer as it comes.

    Answers without an end, empty ones, and those that UTF-8 cannot hold are dropped and counted.
    """
    reasons = Counter[str]()
    dealt = decks.deal("answer", tasks)
    requests = [
        sampling.request(asked(deck, task["instruction"]), (NEXT_EXAMPLE,), "answer", task["id"])
        for deck, task in dealt
    ]
    step = Step([], reasons, complete(engine, requests, cache, "answers"))
    records = []
    for (deck, task), request, completion in zip(dealt, requests, step.completions, strict=True):
        text = completion["text"].strip()
        fault = unfinished(completion) or ("" if text else "empty") or ("" if encodable(text) else UNENCODABLE)
        if fault:
            reasons[fault] += 1
            continue
        facts = {"id": content_id("answer", task["id"], completion["id"]), "parent": task["id"]}
        facts |= {"seed": task.get("seed", task["id"]), "instruction": task["instruction"], "response": text}
        records.append(facts | generated(deck, request, completion, engine))
    step.records = records
    return require_records(step, "answer")
