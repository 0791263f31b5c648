"""From verdicts to the training set: parse responses, keep what passed, de-duplicate, pick one response a task.

Follows the sanitation of SelfCodeAlign's newer pipeline (paper, section 2.3) in its order. Where it differs on
purpose: only ```python blocks are code, "assert" must stand in the tests' code and not in their prose, records are
sorted by id before the seeded shuffle, and every record that is dropped is counted with its reason.
"""

import ast
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lib.records import Record, content_id

SPLIT = re.compile(r"\n?</response>\s*<tests>\n?")
BLOCK = re.compile(r"^```python[ \t]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Substrings (of the lower-cased response) that mark code left unfinished, as in the official sanitizer.
UNFINISHED = ("todo", "fixme", "write your code here", "your code here", "your code goes here", "notimplemented")
INVOKED = re.compile(r"^(?!(?:def|class|import|from|async)\b)[A-Za-z]", re.MULTILINE)
MAX_SHOWN_TESTS = 5  # longest test block that augmentation adds to an instruction, in lines
SHOWN = {True: "Your code should pass this assertion:", False: "Your code should pass these tests:"}


@dataclass(frozen=True)
class Options:
    """The switches of the selection; the defaults are the paper's, the seed is the official sanitizer's.

    `max_words` bounds the instruction; `augment` is the probability of showing tests in the instruction.
    """

    seed: int = 6666
    max_words: int = 200
    diversify_names: bool = True
    augment: float = 0.5


def code_of(text: str) -> str:
    """The ```python blocks of a text, joined by a blank line; empty when there is none."""
    return "\n\n".join(block.strip("\n") for block in BLOCK.findall(text))


def split(text: str) -> tuple[str, str] | None:
    """The response and the tests of a raw completion, or None when it does not hold exactly one of each."""
    parts = SPLIT.split(text)
    return (parts[0].strip(), parts[1].strip()) if len(parts) == 2 else None


def fault(response: Record) -> str | None:
    """Why a response record cannot become a program (the paper's format rules), or None when it can."""
    if response["finish_reason"] == "length":
        return "cut off at the token limit"
    parts = split(response["text"])
    if parts is None:
        return "not one response and one tests section"
    if any(mark in parts[0].lower() for mark in UNFINISHED):
        return "unfinished code"
    code, tests = map(code_of, parts)
    if not code:
        return "no python block in the response"
    if not tests:
        return "no python block in the tests"
    if not re.search(r"\bassert", tests):
        return "no assertion in the tests"
    return None if INVOKED.search(tests) else "tests never called"


def programs(responses: Iterable[Record]) -> tuple[list[Record], Counter[str]]:
    """Programs {id, code, tests, response} of the well-formed responses, sorted by id, and the others' reasons."""
    made, reasons = [], Counter[str]()
    for record in sorted(responses, key=lambda record: record["id"]):
        if (reason := fault(record)) is not None:
            reasons[reason] += 1
            continue
        answer, tests = split(record["text"]) or ("", "")
        made.append({"id": record["id"], "code": code_of(answer), "tests": code_of(tests), "response": answer})
    return made, reasons


def cause(verdict: Record) -> str:
    """A short name for why a program did not pass: its verdict, with the exception's name where there is one."""
    found = re.search(r"(?:->|:) ([A-Z]\w+)(?::|$)", verdict["detail"])
    return f"{verdict['verdict']}: {found[1]}" if found else verdict["verdict"]


def pass_rates(responses: Iterable[Record], passed: set[str]) -> dict[str, float]:
    """The share of each instruction's responses that passed, malformed ones counted as not passing."""
    outcomes: dict[str, list[bool]] = defaultdict(list)
    for record in responses:
        outcomes[record["parent"]].append(record["id"] in passed)
    return {parent: sum(results) / len(results) for parent, results in outcomes.items()}


def names(code: str) -> list[frozenset[str]]:
    """The sets of function names and of class names in code (lower-case, no underscores), empty sets left out."""
    functions, classes = set(), set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            functions.add(node.name.lower().replace("_", ""))
        elif isinstance(node, ast.ClassDef):
            classes.add(node.name.lower().replace("_", ""))
    return [frozenset(found) for found in (functions, classes) if found]


def pick(
    passing: Iterable[Record], parents: Mapping[str, Record], instructions: Mapping[str, str], options: Options
) -> tuple[list[Record], Counter[str]]:
    """One random passing program an instruction, no text and no set of names twice; and the others' reasons.

    `passing` holds programs, `parents` their response records, `instructions` the text for each instruction's id.
    One scan in a seeded random order, as the official sanitizer does it: the first that fits wins, and one that is
    dropped leaves its instruction open for a later sample.
    """
    order = sorted(passing, key=lambda program: program["id"])
    random.Random(options.seed).shuffle(order)
    kept: list[Record] = []
    reasons = Counter[str]()
    seen: set[object] = set()
    for program in order:
        task = parents[program["id"]]["parent"]
        text = instructions[task]
        keys = {"".join(text.split()), "".join(program["response"].split())}
        sets = names(program["code"]) if options.diversify_names else []
        if len(text.split()) > options.max_words:
            reasons[f"instruction over {options.max_words} words"] += 1
        elif ("task", task) in seen:
            reasons["another response of its task was drawn"] += 1
        elif not seen.isdisjoint(keys):
            reasons["same instruction or response"] += 1
        elif not seen.isdisjoint(sets):
            reasons["same set of names"] += 1
        else:
            seen |= {("task", task), *keys, *sets}
            kept.append(program)
    return kept, reasons


def augment(instruction: str, tests: str, probability: float, rng: random.Random) -> str:
    """The instruction, with some of the tests shown at its end when the coin says so (paper, appendix C).

    Only tests of at most five lines are shown (of a block of plain assertions, a random one to five), and only when the
    instruction does not already give an example or speak of tests.
    """
    lines = [line for line in tests.splitlines() if line.strip()]
    if all(line.startswith("assert") for line in lines):
        chosen = sorted(rng.sample(range(len(lines)), min(rng.randint(1, MAX_SHOWN_TESTS), len(lines))))
        lines = [lines[place] for place in chosen]
    coin = rng.random() < probability
    told = "assert" in instruction or any(word in instruction.lower() for word in ("for example", "test"))
    if not coin or told or len(lines) > MAX_SHOWN_TESTS or "assert" not in "\n".join(lines):
        return instruction
    return f"{instruction}\n\n{SHOWN[len(lines) == 1]}\n```python\n" + "\n".join(lines) + "\n```"


def examples(
    kept: Sequence[Record],
    parents: Mapping[str, Record],
    tasks: Mapping[str, Record],
    sources: Mapping[str, Record],
    rates: Mapping[str, float],
    options: Options,
) -> list[Record]:
    """Training examples from picked programs, each with everything that led to it.

    `parents` are response records by id, `tasks` instruction records by id, `sources` the seeds' sources by seed id.
    """
    made = []
    for program in kept:
        response = parents[program["id"]]
        task = tasks[response["parent"]]
        rng = random.Random(f"{options.seed}:{program['id']}")
        instruction = augment(task["instruction"], program["tests"], options.augment, rng)
        facts = {key: response[key] for key in ("sample", "exemplars", "sampling_seed", "request", "model", "engine")}
        made.append(
            {
                "id": content_id("dataset", program["id"], instruction),
                "parent": program["id"],
                "instruction": instruction,
                "response": program["response"],
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
    """The examples whose instruction and response repeat no benchmark, and the others' reasons.

    `reason(text)` names the benchmark that a text repeats, or None: `lib.curate.decontaminate.Contamination.reason`.
    """
    kept, reasons = [], Counter[str]()
    for record in records:
        found = reason(f"{record['instruction']}\n{record['response']}")
        if found is None:
            kept.append(record)
        else:
            reasons[f"repeats {found}"] += 1
    return kept, reasons
