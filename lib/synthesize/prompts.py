"""The prompts of the three steps in four styles, and the parsing of responses.

Prompts are plain text for a model that continues text: a system text, numbered examples, and one more example that
stops where the answer should begin. Their structure and markers are those of the official pipelines; the system texts
and the exemplars are the study's own (data/exemplars).
"""

import ast
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lib.core.markdown import FENCE, blocks, code_of, fenced
from lib.core.programs import parsed
from lib.core.records import StudyError
from lib.generate.few_shot import NEXT_EXAMPLE, prompt
from lib.synthesize.exemplars import Deck, Exemplar

STEPS = ("s->c", "c->i", "i->r", "s->i")  # seed, concepts, instruction, response
TESTS_BEGIN, TESTS_END = "</response>\n\n<tests>", "</tests>"
TAGS = ("Reasoning", "Implementation", "Explanation", "Tests")
GUARDS = ('if __name__ == "__main__":', "if __name__ == '__main__':")
# Where the tests begin in a response without their header, sought in this order (official sanitize_data.py: Llama-3).
VERIFICATIONS = (
    "We can verify the functionality", "We can verify the correctness", "You can verify the correctness",
    "You can verify the functionality", "To ensure the correctness", "To verify the correctness", "To test the",
    "To test this", "You can test the", "We can test the", "We can test this", "Now, we'll test",
)  # fmt: skip

_TAGGED = re.compile(r"\n?</response>\s*<tests>\n?")
_NUMBERED = re.compile(r"### Tests \d\n")
_SECTION = re.compile(rf"^\[({'|'.join(TAGS)})\][ \t]*$\n?", re.MULTILINE)
_COMMENT_LINE = re.compile(r"(?:^[ \t]*\n)?^[ \t]*#.*\n", re.MULTILINE)


@dataclass(frozen=True)
class Style:
    """The wording of one pipeline's prompts and the parsing of its responses.

    `systems` holds the system text of each of STEPS. `restricted` says whether they ask for tasks within the reach of
    the sandbox, and whether concepts and tasks are checked. `category` lays out a category, `headers` are those of
    properties and tasks, `fences` tells whether snippets stand in fences; lists of concepts end at `list_stop`,
    responses at `stop`. `asks` lays out an instruction and `answers` an exemplar's response with tests, both given the
    example's number; `split` separates the two again. `runs` makes what is run of a block's code (None: nothing).
    `final` makes the text that the tuned model learns to write from a response, with a source of chance, and with the
    code of the tests where the instruction speaks of tests.
    """

    name: str
    systems: Mapping[str, str]
    restricted: bool
    properties: tuple[str, ...]
    language: str
    category: str
    headers: tuple[str, str]
    fences: bool
    list_stop: tuple[str, ...]
    stop: tuple[str, ...]
    asks: Callable[[str, int], str]
    answers: Callable[[Exemplar, int], str]
    split: Callable[[str], tuple[str, str] | None]
    runs: Callable[[str], str | None]
    final: Callable[..., str]

    def snippet(self, exemplar: Exemplar) -> str:
        """Return an exemplar's snippet as it is shown; the files of exemplars have it in a fence."""
        return exemplar.snippet if self.fences else code_of(exemplar.snippet)

    def concepts(self, deck: Deck, snippet: str) -> str:
        """Return the prompt for the concepts in a snippet (S->C)."""
        shown = [f"### Snippet\n{self.snippet(e)}\n\n### Concepts\n{', '.join(e.concepts)}" for e in deck]
        query = fenced(snippet) if self.fences else snippet
        return prompt(self.systems["s->c"], shown, f"### Snippet\n{query}\n\n### Concepts")

    def instruction(self, deck: Deck, category: str, difficulty: str, concepts: Sequence[str]) -> str:
        """Return the prompt for a task with given properties (C->I)."""
        layout = "### {}\n{{}}\n\n### {}".format(*self.headers)
        shown = [
            layout.format(self.described(e.category, e.difficulty, e.concepts)) + f"\n{e.instruction}" for e in deck
        ]
        return prompt(self.systems["c->i"], shown, layout.format(self.described(category, difficulty, concepts)))

    def inspired(self, deck: Deck, snippet: str) -> str:
        """Return the prompt for a task straight from a snippet (S->I), the ablation of the paper's Table 10."""
        layout = "### Snippet\n{}\n\n### Task"
        shown = [layout.format(self.snippet(e)) + f"\n{e.instruction}" for e in deck]
        return prompt(self.systems["s->i"], shown, layout.format(fenced(snippet) if self.fences else snippet))

    def response(self, deck: Deck, instruction: str) -> str:
        """Return the prompt for a response and its tests (I->R), without concepts and properties."""
        shown = [f"{self.asks(e.instruction, n)}\n{self.answers(e, n)}" for n, e in enumerate(deck, 1)]
        return prompt(self.systems["i->r"], shown, self.asks(instruction, len(deck) + 1))

    def described(self, category: str, difficulty: str, concepts: Sequence[str]) -> str:
        """Return the four lines of a task's properties, in this pipeline's order."""
        lines = {
            "category": self.category.format(category),
            "language": self.language,
            "difficulty": difficulty,
            "concepts": ", ".join(concepts),
        }
        return "\n".join(f"{key}: {lines[key]}" for key in self.properties)

    def answered(self, exemplars: Sequence[Exemplar]) -> list[Exemplar]:
        """Return the exemplars that can be shown with their responses.

        For the older pipeline, these are the ten that have four sections; ten of its sixteen have them.
        """
        return [e for e in exemplars if self.name != "starcoder2" or e.reasoning]


def _pair(parts: Sequence[str]) -> tuple[str, str] | None:
    return (parts[0].strip(), parts[1].strip()) if len(parts) == 2 else None


def split_tags(text: str) -> tuple[str, str] | None:
    """Return the response and the tests of a raw completion, or None unless it has exactly one of each."""
    return _pair(text.split(TESTS_BEGIN))


def split_loose_tags(text: str) -> tuple[str, str] | None:
    """Do the same as `split_tags`, with any white space between the two tags."""
    return _pair(_TAGGED.split(text))


def split_headers(text: str) -> tuple[str, str] | None:
    """Return the text before the one tests header and the text after it, or None.

    Without a header, the tests begin at one of VERIFICATIONS.
    """
    parts = _NUMBERED.split(text)
    if len(parts) == 1 and (phrase := next((phrase for phrase in VERIFICATIONS if phrase in text), "")):
        place = text.index(phrase)
        parts = [text[:place], text[place:]]
    return _pair(parts)


def split_sections(text: str) -> tuple[str, str] | None:
    """Return the response and the tests of four sections, each once and in order, or None.

    The implementation must have a code block, and the tests one only; the text after it is cut. The response keeps its
    tags, which `final_sections` needs. (The older official pipeline's sanitize_data.py, first pass.)
    """
    if tuple(_SECTION.findall(text)) != TAGS or not blocks(_SECTION.split(text)[4]):
        return None
    response, tests = re.split(r"\n*^\[Tests\][ \t]*$\n?", text, maxsplit=1, flags=re.MULTILINE)
    found = blocks(tests)
    if len(found) != 1 or FENCE in tests[: found[0].start] + tests[found[0].end :]:
        return None
    return response.strip(), tests[: found[0].end].strip()


def final_sections(response: str, rng: random.Random, tests: str = "") -> str:
    """Return the response without tags, and with the tests where there are any.

    Reasoning and explanation are each kept with probability 0.5; comment lines are cut. (The older official pipeline's
    sanitize_data.py, second pass.) That pass also cuts lines of strings that look like comments; here the code does
    what it did.
    """
    _, _, reasoning, _, implementation, _, explanation = map(str.strip, _SECTION.split(response))
    reasoned, explained = rng.random() < 0.5, rng.random() < 0.5
    shown = [*[reasoning] * reasoned, implementation, *[explanation] * explained, *[fenced(tests)] * bool(tests)]
    return "\n\n".join(map(_without_comments, shown))


def _without_comments(text: str) -> str:
    """Return a text without the comment lines of its code; a block stays where that would change what it does."""
    for block in reversed(blocks(text)):
        bare = _COMMENT_LINE.sub("", block.code)
        try:
            same = ast.dump(ast.parse(bare)) == ast.dump(ast.parse(block.code))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            same = False
        text = text[: block.start] + fenced(bare if same else block.code, block.fence) + text[block.end :]
    return text


def _same(response: str, _rng: random.Random, _tests: str = "") -> str:
    return response


def before_guard(code: str) -> str:
    """Return the code before its `__main__` guard if it speaks of input, for which it may wait; else all of it.

    (Official execution_filter.py, which does so block by block.)
    """
    guard = next((guard for guard in GUARDS if guard in code), None)
    return code if guard is None or "input" not in code else code[: code.index(guard)].rstrip()


def _four_sections(exemplar: Exemplar, number: int) -> str:
    implementation, tests = fenced(code_of(exemplar.response)), fenced(code_of(exemplar.tests))
    bodies = (exemplar.reasoning, implementation, exemplar.explanation, tests)
    return "\n\n".join(f"[{tag}]\n{body}" for tag, body in zip(TAGS, bodies, strict=True))


def system_texts(name: str, systems: Mapping[str, str], restricted: bool) -> dict[str, str]:
    """Return the system text of each of STEPS: the style's own, and without the restriction, where there is such."""
    keys = {step: f"{name} {step}" if f"{name} {step}" in systems else step for step in STEPS}
    if not restricted:
        keys = {step: f"{key} unrestricted" if f"{key} unrestricted" in systems else key for step, key in keys.items()}
    return {step: systems[key] for step, key in keys.items()}


def style(name: str, systems: Mapping[str, str], restricted: bool = True) -> Style:
    """Return a style by name; StudyError for an unknown one. `systems` is what `load_systems` returns.

    "paper" is the paper's, the newer official pipeline's. "fenced" is the same for small and tuned models: snippets
    stand in fences, a list of concepts ends at a blank line, and the tags need not be a blank line apart. "headers" is
    the official variant for models that ignore tags (Llama-3). "starcoder2" is the older pipeline's, of
    StarCoder2-Instruct.
    """
    paper = Style(
        name=name,
        systems=system_texts(name, systems, restricted),
        restricted=restricted,
        properties=("category", "language", "difficulty", "concepts"),
        language="Python",
        category="{}",
        headers=("Properties", "Task"),
        fences=False,
        list_stop=(NEXT_EXAMPLE,),
        stop=(NEXT_EXAMPLE, TESTS_END),
        asks=lambda instruction, _: f"<instruction>\n{instruction}\n</instruction>\n\n<response>",
        answers=lambda e, _: f"{e.response}\n</response>\n\n<tests>\n{e.tests}\n{TESTS_END}",
        split=split_tags,
        runs=before_guard,
        final=_same,
    )
    match name:
        case "paper":
            return paper
        case "fenced":
            return replace(
                paper,
                language="python",
                fences=True,
                list_stop=(NEXT_EXAMPLE, "\n\n"),
                split=split_loose_tags,
                runs=lambda code: code,
            )
        case "headers":
            return replace(
                paper,
                # the space behind the number is the official template's
                asks=lambda instruction, n: f"### Instruction {n} \n{instruction}\n\n### Response {n}",
                answers=lambda e, n: f"{e.response}\n\n### Tests {n}\n{e.tests}",
                split=split_headers,
            )
        case "starcoder2":
            return replace(
                paper,
                properties=("category", "language", "concepts", "difficulty"),
                category="code generation ({})",
                headers=("Property", "Instruction"),
                stop=(NEXT_EXAMPLE,),
                asks=lambda instruction, _: f"### Instruction\n{instruction}\n\n### Response",
                answers=_four_sections,
                split=split_sections,
                runs=lambda code: None if parsed(code) is None else code,
                final=final_sections,
            )
    raise StudyError(f"PROMPTS={name!r} is unknown; choose fenced, paper, headers or starcoder2")
