"""Checks of generated text: which concepts and which tasks can be used, and which tasks are repeated."""

import re
from collections import Counter
from collections.abc import Sequence

from lib.core.records import Record
from lib.core.text import UNENCODABLE, encodable

MAX_CONCEPT_WORDS = 6
MAX_CONCEPTS = 5  # the exemplars have two to five
MIN_INSTRUCTION_WORDS = 8
CODE_MARKS = re.compile(r"[`={}()\[\]<>#;\\]|\breturn\b|\bdef\b")
# Tasks that need what the sandbox denies can never pass; they are dropped before responses are generated.
OUT_OF_REACH = re.compile(
    r"\b(files?|directory|folder|csv|database|sql|url|http\w*|api|web|server|socket|network|stdin|keyboard|"
    r"user input|command[- ]line|gui|plot|image|random(?:ly)?|current (?:date|time))\b",
    re.IGNORECASE,
)
# Names that are not everyday words, and everyday words where they can only mean the language.
OTHER_LANGUAGE = re.compile(
    r"\b(?i:java|javascript|typescript|node\.js|golang|php|kotlin|haskell|scala|fortran|matlab|cobol)\b|"
    r"\b(?:in|using) (?:C|R|Go|Rust|Ruby|Swift|Perl|Bash)\b|\bC(?:\+\+|#)"
)
MIN_ASCII = 0.9  # share of a task's characters


def parse_concepts(text: str) -> tuple[list[str], Counter[str]]:
    """Return the concepts in a completion's first line, in lower case, and counts of rejected items by fault.

    The official code keeps all items.
    """
    concepts, faults = [], Counter[str]()
    for item in text.strip().split("\n")[0].split(","):
        concept = re.sub(r"\s+", " ", item).strip(" .*-").lower()
        if not concept:
            faults["empty"] += 1
        elif not encodable(concept):
            faults[UNENCODABLE] += 1
        elif CODE_MARKS.search(concept):
            faults["code"] += 1
        elif len(concept.split()) > MAX_CONCEPT_WORDS:
            faults[f"longer than {MAX_CONCEPT_WORDS} words"] += 1
        elif concept in concepts:
            faults["said twice"] += 1
        elif len(concepts) == MAX_CONCEPTS:
            faults[f"more than {MAX_CONCEPTS}"] += 1
        else:
            concepts.append(concept)
    return concepts, faults


def instruction_fault(text: str, max_words: int) -> str | None:
    """Return why a task cannot be used, or None."""
    if not encodable(text):
        return UNENCODABLE
    words = len(text.split())
    if words < MIN_INSTRUCTION_WORDS:
        return f"shorter than {MIN_INSTRUCTION_WORDS} words"
    if words > max_words:
        return f"longer than {max_words} words"
    if "###" in text or "<instruction>" in text:
        return "runs on into another section"
    if OTHER_LANGUAGE.search(text):
        return "asks for another programming language"
    if sum(letter.isascii() for letter in text) < MIN_ASCII * len(text):
        return "not in English"
    if OUT_OF_REACH.search(text):
        return "needs files, network, input, chance or the clock"
    return None


def without_duplicates(records: Sequence[Record], field: str, reasons: Counter[str]) -> list[Record]:
    """Keep the first record of each text in `field`, ignoring white space and case; count the others in `reasons`."""
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
