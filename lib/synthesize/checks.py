"""Checks of generated text: which concepts and which tasks can be used, and which tasks are repeated.

The official code has none of them; without them (`restricted` False) only what cannot be asked about is dropped.
"""

import re
from collections import Counter
from collections.abc import Sequence

from lib.core.records import Record
from lib.core.text import UNENCODABLE, encodable

MAX_CONCEPT_WORDS = 6
MAX_CONCEPTS = 5  # the exemplars have two to five
MIN_INSTRUCTION_WORDS = 8
CODE_MARKS = re.compile(r"[`={}()\[\]<>#;\\]|\breturn\b|\bdef\b")
# Tasks that need what the sandbox denies, or whose results no test can know, are dropped before they are answered.
OUT_OF_REACH = re.compile(
    r"\b(files?|directory|folder|csv|database|sql|url|http\w*|api|web|server|socket|network|stdin|keyboard|"
    r"user input|command[- ]line|gui|plot|image|random(?:ly)?|current (?:date|time))\b",
    re.IGNORECASE,
)
# Phrases in which such a word stands for no such need: it describes data ("a file size"), or something that a test can
# make (a file whose content the task describes, in the sandbox's own /tmp; an argument that a user has typed; data that
# are random at first).
WITHIN_REACH = re.compile(
    r"\bfiles?[- ](?:size|extension|type|format|name)s?\b|"
    r"\b(?:size|extension|type|format|name)s? of (?:an?|the|each|every|several) files?\b|"
    r"\bfiles? (?:containing|that contains?|with|whose)\b|"
    r"\b(?:is|names?|corresponds? to) (?:(?:not|no|an?|existing) )+file\b|"
    r"\btak(?:es?|ing) [^.]{1,40} (?:as|from) (?:the )?user input\b|"
    r"\b(?:fill|initiali[sz])\w* [^.]{1,40}\brandom(?:ly)?\b",
    re.IGNORECASE,
)
# Names that are not everyday words, and everyday words where they can only mean the language.
OTHER_LANGUAGE = re.compile(
    r"\b(?i:java|javascript|typescript|node\.js|golang|php|kotlin|haskell|scala|fortran|matlab|cobol)\b|"
    r"\b(?:in|using) (?:C|R|Go|Rust|Ruby|Swift|Perl|Bash)\b|\bC(?:\+\+|#)"
)
MIN_ASCII = 0.9  # share of a task's characters


def parse_concepts(text: str, restricted: bool = True) -> tuple[list[str], Counter[str]]:
    """Return the concepts in a completion's first line, in lower case, and counts of rejected items by fault.

    With `restricted` False, all items of the whole completion, as in the official code; none if UTF-8 cannot hold it.
    """
    concepts, faults = [], Counter[str]()
    if not restricted:
        return ([item.strip() for item in text.split(",")], faults) if encodable(text) else ([], Counter([UNENCODABLE]))
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


def instruction_fault(text: str, max_words: int, restricted: bool = True) -> str | None:
    """Return why a task cannot be used, or None; `max_words` 0 is no bound."""
    if not encodable(text):
        return UNENCODABLE
    words, least = len(text.split()), MIN_INSTRUCTION_WORDS if restricted else 1
    if words < least:
        return f"shorter than {least} words" if words else "empty"
    if max_words and words > max_words:
        return f"longer than {max_words} words"
    if not restricted:
        return None
    if "###" in text or "<instruction>" in text:
        return "runs on into another section"
    if OTHER_LANGUAGE.search(text):
        return "asks for another programming language"
    if sum(letter.isascii() for letter in text) < MIN_ASCII * len(text):
        return "not in English"
    if OUT_OF_REACH.search(WITHIN_REACH.sub(" ", text)):
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
