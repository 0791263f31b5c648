"""The prompts of the three steps in three styles, and the parsing of responses.

Prompts are plain text for a model that continues text: a system text, numbered examples, and one more example that
stops where the answer should begin. Their structure and markers are those of the official pipelines; the system texts
and the exemplars are the study's own (data/exemplars).
"""

import ast
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lib.core.markdown import FENCE, blocks, code_of, fenced
from lib.core.records import StudyError
from lib.generate.few_shot import NEXT_EXAMPLE, prompt
from lib.synthesize.exemplars import Deck, Exemplar

LANGUAGE = "python"
TESTS_END = "</tests>"
TAGS = ("Reasoning", "Implementation", "Explanation", "Tests")

_TAGGED = re.compile(r"\n?</response>\s*<tests>\n?")
_NUMBERED = re.compile(r"\n*^### Tests(?: \d+)?[ \t]*$\n?", re.MULTILINE)
_SECTION = re.compile(rf"^\[({'|'.join(TAGS)})\][ \t]*$\n?", re.MULTILINE)
_COMMENT_LINE = re.compile(r"(?:^[ \t]*\n)?^[ \t]*#.*\n", re.MULTILINE)


@dataclass(frozen=True)
class Style:
    """The wording of one pipeline's prompts and the parsing of its responses.

    `systems` holds the system text of each step ("s->c", "c->i", "i->r", "s->i"). `asks` lays out an instruction and
    `answers` an exemplar's response with tests, both given the example's number; `split` separates the two again.
    `final` makes the text that the tuned model learns to write from a response, with a source of chance.
    """

    name: str
    systems: Mapping[str, str]
    properties: tuple[str, ...]
    property_header: str
    task_header: str
    stop: tuple[str, ...]
    asks: Callable[[str, int], str]
    answers: Callable[[Exemplar, int], str]
    split: Callable[[str], tuple[str, str] | None]
    final: Callable[[str, random.Random], str]

    def concepts(self, deck: Deck, snippet: str) -> str:
        """Return the prompt for the concepts in a snippet (S->C)."""
        shown = [f"### Snippet\n{e.snippet}\n\n### Concepts\n{', '.join(e.concepts)}" for e in deck]
        return prompt(self.systems["s->c"], shown, f"### Snippet\n{fenced(snippet)}\n\n### Concepts")

    def instruction(self, deck: Deck, category: str, difficulty: str, concepts: Sequence[str]) -> str:
        """Return the prompt for a task with given properties (C->I)."""
        layout = f"### {self.property_header}\n{{}}\n\n### {self.task_header}"
        shown = [
            layout.format(self.described(e.category, e.difficulty, e.concepts)) + f"\n{e.instruction}" for e in deck
        ]
        return prompt(self.systems["c->i"], shown, layout.format(self.described(category, difficulty, concepts)))

    def inspired(self, deck: Deck, snippet: str) -> str:
        """Return the prompt for a task straight from a snippet (S->I), the ablation of the paper's Table 10."""
        layout = "### Snippet\n{}\n\n### Task"
        shown = [layout.format(e.snippet) + f"\n{e.instruction}" for e in deck]
        return prompt(self.systems["s->i"], shown, layout.format(fenced(snippet)))

    def response(self, deck: Deck, instruction: str) -> str:
        """Return the prompt for a response and its tests (I->R), without concepts and properties."""
        shown = [f"{self.asks(e.instruction, n)}\n{self.answers(e, n)}" for n, e in enumerate(deck, 1)]
        return prompt(self.systems["i->r"], shown, self.asks(instruction, len(deck) + 1))

    def described(self, category: str, difficulty: str, concepts: Sequence[str]) -> str:
        """Return the four lines of a task's properties, in this pipeline's order."""
        lines = {
            "category": category, "language": LANGUAGE, "difficulty": difficulty, "concepts": ", ".join(concepts),
        }  # fmt: skip
        return "\n".join(f"{key}: {lines[key]}" for key in self.properties)

    def pools(self, exemplars: Sequence[Exemplar]) -> tuple[list[Exemplar], list[Exemplar]]:
        """Return the exemplars for tasks and those for responses: all of them, except in the older pipeline.

        It has functions only, and ten of its exemplars have a response in four sections.
        """
        if self.name != "starcoder2":
            return list(exemplars), list(exemplars)
        functions = [exemplar for exemplar in exemplars if exemplar.category == "function implementation"]
        return functions, [exemplar for exemplar in functions if exemplar.reasoning]


def split_tags(text: str) -> tuple[str, str] | None:
    """Return the response and the tests of a raw completion, or None unless it has exactly one of each."""
    parts = _TAGGED.split(text)
    return (parts[0].strip(), parts[1].strip()) if len(parts) == 2 else None


def split_headers(text: str) -> tuple[str, str] | None:
    """Return the text before the one tests header and the text after it, or None."""
    parts = _NUMBERED.split(text)
    return (parts[0].strip(), parts[1].strip()) if len(parts) == 2 else None


def split_sections(text: str) -> tuple[str, str] | None:
    """Return the response and the tests of four sections, each once and in order, or None.

    The tests must have one code block; the text after it is cut. The response keeps its tags, which `final_sections`
    needs. (The older official pipeline's sanitize_data.py, first pass.)
    """
    if tuple(_SECTION.findall(text)) != TAGS:
        return None
    response, tests = re.split(r"\n*^\[Tests\][ \t]*$\n?", text, maxsplit=1, flags=re.MULTILINE)
    found = blocks(tests)
    if len(found) != 1 or FENCE in tests[: found[0].start] + tests[found[0].end :]:
        return None
    return response.strip(), tests[: found[0].end].strip()


def final_sections(response: str, rng: random.Random) -> str:
    """Return the response without tags: reasoning and explanation are each kept with probability 0.5.

    Comment lines are cut. (The older official pipeline's sanitize_data.py, second pass.) That pass also drops the
    tests, unless the instruction mentions tests; here they have their own field and are never in the response. It also
    cuts lines of strings that look like comments; here the code does what it did.
    """
    _, _, reasoning, _, implementation, _, explanation = map(str.strip, _SECTION.split(response))
    reasoned, explained = rng.random() < 0.5, rng.random() < 0.5
    for block in reversed(blocks(implementation)):
        bare = fenced(_without_comments(block.code), block.fence)
        implementation = implementation[: block.start] + bare + implementation[block.end :]
    return "\n\n".join([*[reasoning] * reasoned, implementation, *[explanation] * explained])


def _without_comments(code: str) -> str:
    """Return the code without comment lines, or unchanged if that would change what it does, as inside a string."""
    bare = _COMMENT_LINE.sub("", code)
    try:
        same = ast.dump(ast.parse(bare)) == ast.dump(ast.parse(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code
    return bare if same else code


def _same(response: str, rng: random.Random) -> str:
    return response


def _four_sections(exemplar: Exemplar, number: int) -> str:
    implementation, tests = fenced(code_of(exemplar.response)), fenced(code_of(exemplar.tests))
    bodies = (exemplar.reasoning, implementation, exemplar.explanation, tests)
    return "\n\n".join(f"[{tag}]\n{body}" for tag, body in zip(TAGS, bodies, strict=True))


def style(name: str, systems: Mapping[str, str]) -> Style:
    """Return a style by name; StudyError for an unknown one. `systems` is what `load_systems` returns.

    "paper" is the paper's, the newer official pipeline's. "headers" is its variant for models that ignore tags.
    "starcoder2" is the older pipeline's, of StarCoder2-Instruct.
    """
    newer = ("category", "language", "difficulty", "concepts")
    if name == "paper":
        return Style(
            name, systems, newer, "Properties", "Task", (NEXT_EXAMPLE, TESTS_END),
            lambda instruction, _: f"<instruction>\n{instruction}\n</instruction>\n\n<response>",
            lambda e, _: f"{e.response}\n</response>\n\n<tests>\n{e.tests}\n{TESTS_END}",
            split_tags, _same,
        )  # fmt: skip
    if name == "headers":
        return Style(
            name, {**systems, "i->r": systems["headers i->r"]}, newer, "Properties", "Task",
            (NEXT_EXAMPLE, "### Instruction"),
            lambda instruction, n: f"### Instruction {n}\n{instruction}\n\n### Response {n}",
            lambda e, n: f"{e.response}\n\n### Tests {n}\n{e.tests}",
            split_headers, _same,
        )  # fmt: skip
    if name == "starcoder2":
        older = {step: systems[f"starcoder2 {step}"] for step in ("s->c", "c->i", "i->r")}
        return Style(
            name, {**systems, **older}, ("category", "language", "concepts", "difficulty"), "Property", "Instruction",
            (NEXT_EXAMPLE,),
            lambda instruction, _: f"### Instruction\n{instruction}\n\n### Response",
            _four_sections, split_sections, final_sections,
        )  # fmt: skip
    raise StudyError(f"PROMPTS={name!r} is unknown; choose paper, headers or starcoder2")
