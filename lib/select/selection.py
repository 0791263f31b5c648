"""The steps from verdicts to examples: parse responses, draw one per task, show some of its tests, decontaminate.

Follows the sanitizer of SelfCodeAlign's newer pipeline (paper, section 2.3; sanitize_data.py and minhash_dedup.py) in
its order; the older pipeline, StarCoder2-Instruct's (clean_data.py), has the same order with other options.
`lib.select.training_set.build_training_set` puts the steps together. Deliberate differences:

- only ```python blocks are code; "assert" must occur in the tests' code, not in their prose; unfinished code is dropped
  first (by the older pipeline after the draw), and code that does not parse is dropped in the scan, so that its task
  stays open (by the newer pipeline after the draw);
- tests that only a `__main__` guard calls in a block that speaks of input are not run, as there (styles "paper" and
  "headers"), but no response passes without a test;
- records are sorted by id before the seeded shuffle, and an example's random choices depend on its id, not on its row;
- in both presets the examples are decontaminated (optional there, off by default) before near-duplicates are dropped;
- of near-duplicates the first by id is kept, and another is dropped only if its exact similarity to a kept one is high.
  There, chains of pairs proposed by MinHash form clusters, and one of each is kept: with a like b and b like c but a
  unlike c, one of the three is left there, and a and c here. Texts of under five words are kept (there: dropped);
- every dropped record is counted with its reason.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from lib.core.markdown import blocks, code_of
from lib.core.programs import joined, parsed
from lib.core.records import Record, StudyError, content_id
from lib.core.text import UNENCODABLE, encodable
from lib.select.distinct import FORMS
from lib.synthesize.prompts import Style

# Substrings (of the lower-cased response and tests) that mark unfinished code, as in the official sanitizer.
UNFINISHED = ("todo", "fixme", "write your code here", "your code here", "your code goes here", "notimplemented")
INVOKED = re.compile(r"^(?!(?:def|class|import|from|async)\b)[A-Za-z]", re.MULTILINE)
MAX_SHOWN_TESTS = 5  # longest test block that augmentation adds to an instruction, in lines
SHOWN = {True: "Your code should pass this assertion:", False: "Your code should pass these tests:"}
# Which responses may be drawn, by their verdict (paper, Table 9: random, failures only, passes only). A flaky one is
# neither a pass nor a failure.
CHOICES: dict[str, Callable[[str], bool]] = {
    "passing": lambda verdict: verdict == "pass",
    "random": lambda verdict: True,
    "failing": lambda verdict: verdict not in ("pass", "flaky"),
    "all passing": lambda verdict: verdict == "pass",
}


@dataclass(frozen=True)
class Options:
    """The options of the selection; the defaults are the paper's, the seed is the official sanitizer's.

    `max_words` bounds the instruction (0: no bound); `augment` is the probability of showing tests in the instruction;
    `name_form` is how names are compared, "sets" or "joined" (`distinct`); `near` is the Jaccard similarity from
    which texts are near-duplicates (paper: 0.7; 0: none are); `choice` is "passing", "random" or "failing" (one
    response per task) or "all passing". Raises StudyError for another name.
    """

    seed: int = 6666
    max_words: int = 200
    diversify_names: bool = True
    augment: float = 0.5
    name_form: str = "sets"
    near: float = 0.7
    choice: str = "passing"
    decontaminate: bool = True

    def __post_init__(self) -> None:
        check_name("choice", self.choice, CHOICES)
        check_name("name_form", self.name_form, FORMS)


def check_name(field: str, name: str, names: Collection[str]) -> None:
    """Raise StudyError, naming the choices, unless `name` is one of `names`."""
    if name not in names:
        raise StudyError(f"{field} {name!r} is unknown; choose one of: {', '.join(names)}")


# The older pipeline had no bound on words, no removal of near-duplicates, and another seed (official clean_data.py).
PRESETS = {"paper": Options(), "starcoder2": Options(seed=0, max_words=0, name_form="joined", near=0)}


def preset(name: str, **changes: Any) -> Options:
    """The options of "paper" or "starcoder2", with some changed; StudyError for an unknown name or option."""
    check_name("preset", name, PRESETS)
    for option in changes:
        check_name("option", option, [field.name for field in fields(Options)])
    return replace(PRESETS[name], **changes)


def fault(response: Record, style: Style) -> str | None:
    """Why a response record cannot become a program (the paper's format rules), or None when it can."""
    if not encodable(response["text"]):
        return UNENCODABLE
    parts = style.split(response["text"])
    if parts is None:
        return "not one response and one tests section"
    if any(mark in response["text"].lower() for mark in UNFINISHED):
        return "unfinished code"
    code, tests = map(code_of, parts)
    if not code:
        return "no python block in the response"
    if not tests:
        return "no python block in the tests"
    if not re.search(r"\bassert", tests):
        return "no assertion in the tests"
    return None if INVOKED.search(tests) else "tests never called"


def runnable(text: str, style: Style) -> str:
    """The python blocks of a text as the style runs them, as one program."""
    codes = (style.runs(block.code.strip("\n")) for block in blocks(text))
    return joined([code for code in codes if code is not None])


def programs(responses: Iterable[Record], style: Style) -> tuple[list[Record], Counter[str]]:
    """Programs {id, code, tests, response} of the well-formed responses, by id, and why the others are malformed."""
    made, reasons = [], Counter[str]()
    for record in sorted(responses, key=lambda record: record["id"]):
        if (reason := fault(record, style)) is not None:
            reasons[reason] += 1
            continue
        answer, tests = style.split(record["text"]) or ("", "")
        halves = {"code": runnable(answer, style), "tests": runnable(tests, style)}
        made.append({"id": record["id"], **halves, "response": answer})
    return made, reasons


def cause(verdict: Record) -> str:
    """Why a program did not pass, in short: its verdict, with the exception's name where there is one."""
    found = re.search(r"(?:->|:) ([A-Z]\w+)(?::|$)", verdict["detail"])
    return f"{verdict['verdict']}: {found[1]}" if found else verdict["verdict"]


def pass_rates(responses: Iterable[Record], passed: set[str]) -> dict[str, float]:
    """The share of each instruction's responses that passed, malformed ones counted as not passing."""
    outcomes: dict[str, list[bool]] = defaultdict(list)
    for record in responses:
        outcomes[record["parent"]].append(record["id"] in passed)
    return {parent: sum(results) / len(results) for parent, results in outcomes.items()}


def pick(
    passing: Iterable[Record], parents: Mapping[str, Record], instructions: Mapping[str, str], options: Options
) -> tuple[list[Record], Counter[str]]:
    """One random program per instruction, no text and no names twice; and the reasons against the others.

    `passing` has the candidates, `parents` their response records, `instructions` the text for each instruction's id.
    One scan in a seeded random order, as in the official sanitizer: the first acceptable program is kept, and a dropped
    one leaves its instruction open for a later sample. With the choice "all passing" a task may have several responses,
    which share its instruction and may share names, but no two have the same text.
    """
    order = sorted(passing, key=lambda program: program["id"])
    random.Random(options.seed).shuffle(order)
    kept: list[Record] = []
    reasons = Counter[str]()
    owners: dict[object, str] = {}  # text or name that was kept -> its task
    drawn: set[str] = set()
    for program in order:
        task = parents[program["id"]]["parent"]
        text = instructions[task]
        asked, answered = "".join(text.split()), "".join(program["response"].split())
        readable = parsed(program["code"]) is not None
        names = FORMS[options.name_form](program["response"]) if readable and options.diversify_names else ()
        if not encodable(text):
            reasons[UNENCODABLE] += 1
        elif options.max_words and len(text.split()) > options.max_words:
            reasons[f"instruction over {options.max_words} words"] += 1
        elif not readable or names is None:
            reasons["code that does not parse"] += 1
        elif task in drawn and options.choice != "all passing":
            reasons["another response of its task was drawn"] += 1
        elif answered in owners or owners.get(asked, task) != task:
            reasons["same instruction or response"] += 1
        elif any(owners.get(name, task) != task for name in names):
            reasons["same set of names"] += 1
        else:
            drawn.add(task)
            owners |= dict.fromkeys((asked, answered, *names), task)
            kept.append(program)
    return kept, reasons


def augment(instruction: str, tests: str, probability: float, rng: random.Random) -> str:
    """The instruction, with this probability followed by some of the tests (paper, appendix C).

    Only tests of at most five lines are shown (of a block of plain assertions, a random one to five), and only when the
    instruction does not already give an example or mention tests.
    """
    lines = [line for line in tests.splitlines() if line.strip()]
    if all(line.startswith("assert") for line in lines):
        chosen = sorted(rng.sample(range(len(lines)), min(rng.randint(1, MAX_SHOWN_TESTS), len(lines))))
        lines = [lines[place] for place in chosen]
    coin = rng.random() < probability
    mentioned = "assert" in instruction or any(word in instruction.lower() for word in ("for example", "test"))
    if not coin or mentioned or len(lines) > MAX_SHOWN_TESTS or "assert" not in "\n".join(lines):
        return instruction
    return f"{instruction}\n\n{SHOWN[len(lines) == 1]}\n```python\n" + "\n".join(lines) + "\n```"


def examples(
    kept: Sequence[Record],
    parents: Mapping[str, Record],
    tasks: Mapping[str, Record],
    sources: Mapping[str, Record],
    rates: Mapping[str, float],
    options: Options,
    style: Style,
) -> list[Record]:
    """Training examples from kept programs, each with everything that led to it.

    `parents` are response records by id, `tasks` instruction records by id, `sources` the seeds' sources by seed id.
    """
    made = []
    for program in kept:
        response = parents[program["id"]]
        task = tasks[response["parent"]]
        rng = random.Random(f"{options.seed}:{program['id']}")
        instruction = augment(task["instruction"], program["tests"], options.augment, rng)
        told = program["tests"] if "test" in task["instruction"].lower() else ""
        facts = {key: response[key] for key in ("sample", "exemplars", "sampling_seed", "request", "model", "engine")}
        made.append(
            {
                "id": content_id("dataset", program["id"], instruction),
                "parent": program["id"],
                "instruction": instruction,
                "response": style.final(program["response"], rng, told),
                "tests": program["tests"],
                "pass_rate": round(rates[task["id"]], 4),
                "category": task["category"],
                "difficulty": task["difficulty"],
                "seed": response["seed"],
                "source": sources[response["seed"]],
                **facts,
            }
        )
    return made


def decontaminate(records: Iterable[Record], reason: Callable[[str], str | None]) -> tuple[list[Record], Counter[str]]:
    """The examples whose instruction and response repeat no benchmark, and the reasons against the others.

    `reason(text)` names the benchmark that a text repeats, or None: `lib.overlap.contamination.Contamination.reason`.
    """
    kept, reasons = [], Counter[str]()
    for record in records:
        found = reason(f"{record['instruction']}\n{record['response']}")
        if found is None:
            kept.append(record)
        else:
            reasons[f"repeats {found}"] += 1
    return kept, reasons
