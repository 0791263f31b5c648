"""The quality rules in both styles, each both ways; import inference; self-contained functions, executed."""

import pytest

from lib.core.records import StudyError
from lib.corpora.source import SourceFile
from lib.curate import rules
from lib.curate.extract import Function, Unreadable, functions, seed
from lib.curate.imports import free_names, import_header, needed, with_imports
from lib.curate.rules import Rule
from lib.curate.self_contained import foreign_names, is_self_contained

STUDY = rules.rule_set("study", 2, 40, 1500, 4)
OFFICIAL = rules.rule_set("official", 2, 40, 1500, 4)


def one(code: str) -> Function:
    """The function with a docstring in a file of this text."""
    (function,) = functions(SourceFile("made-up", "1.0", "MIT", "module.py", code.encode()))
    return function


def body(lines: str, imports: str = "", arguments: str = "x") -> str:
    return f'{imports}\ndef f({arguments}):\n    """Say what it does with x."""\n    {lines}\n'


FILTERS: list[tuple[Rule, str, str]] = [
    (rules.returns_value, body("return x"), body("return None")),
    (rules.returns_value, body("return 0"), body("g = lambda: 1\n    def h():\n        return 2\n    return")),
    (rules.returns_value, body("try:\n        pass\n    except E:\n        return x"), body("'return x'")),
    (rules.returns_value, body("match x:\n        case 1:\n            return x"), body("return")),
    (rules.takes_arguments, body("return x", arguments="*, x"), body("return 1", arguments="")),
    (rules.takes_arguments, body("return x"), 'def f() -> int:\n    """Doc."""\n    return 1\n'),
    (rules.has_no_bad_word, body("return debug(x)"), body("# ToDo: think\n    return x")),
    (rules.has_no_bad_word, body("return 'ladybug'"), body("# known bugs\n    return x")),
    (rules.has_no_bad_import, body("return x", "import os"), body("return os.sep + x", "import os")),
    (rules.has_no_bad_import, body("return osmnx.f(x)", "import osmnx"), body("import sys\n    return x")),
    (rules.has_no_bad_import, body("return x"), body("return join(x)", "from os.path import join")),
    (rules.has_no_bad_import, body("return np.sum(x)"), body("return plt.plot(x)")),
    (rules.has_size(4), body("return x"), body("x += 1\n    x += 2\n    return x")),
    (rules.has_size(40, 80), body("return x"), body("return x" + " + 1" * 20)),
    (rules.has_body(2), body("x += 1\n    return x"), body("return x")),
    (rules.has_body(2), body("return (x +\n    1)"), 'def f(x):\n    """Two\n    lines."""\n'),
    (rules.is_described(4), body("return x"), 'def f(x):\n    """Get it.\n\n    >>> f(one two three)\n    """\n'),
    (rules.is_described(2), body("return x"), 'def f(x):\n    """\n    Args:\n        x: what goes in\n    """\n'),
    (rules.is_no_test, 'def _f(x):\n    """Doc."""\n    return x\n', 'def _test_f(x):\n    """Doc."""\n    x()\n'),
    (rules.returns_data, body("return sorted(x, key=lambda y: -y)"), body("return lambda y: x + y")),
    (rules.returns_data, body("return f(x - 1)"), body("def g(y):\n        return y\n    return g")),
]


@pytest.mark.parametrize(("rule", "good", "bad"), FILTERS)
def test_rules_keep_and_drop(rule: Rule, good: str, bad: str) -> None:
    assert rule(one(good))
    assert not rule(one(bad))


OFFICIAL_FILTERS = [
    ("no todo, fixme or bug", body("return x"), body("# FixMe\n    return x")),
    ("no todo, fixme or bug", body("return d(x)", "import d"), body("return d(x)", "from debug import d")),
    ("no unwanted import", body("import re\n    return x"), body("from os import sep\n    return x")),
    ("no unwanted import", body("return x", "import os"), body("return os.sep + x", "import os")),
    ("no unwanted import", body("return j(x)", "from re import j"), body("return j(x)", "from os import j")),
    ("no unwanted import", body("return np.sum(x)"), body("return p.plot(x)", "from matplotlib import pyplot as p")),
    ("no unwanted import", body("return math.floor(x)"), body("return os.sep + x")),
    ("has the size", body("# more\n    " * 147 + "return x"), body("# more\n    " * 148 + "return x")),
    ("has the size", body("# more\n    " * 144 + "return re.M"), body("# more\n    " * 145 + "return re.M")),
    ("takes an argument", body("return x"), body("return 1", arguments="")),
    ("returns a value", body("return x"), body("return")),
    ("docstring in triple quotes", body("return x"), "def f(x):\n    'Doc.'\n    return x\n"),
]


@pytest.mark.parametrize(("name", "good", "bad"), OFFICIAL_FILTERS)
def test_official_rules_keep_and_drop(name: str, good: str, bad: str) -> None:
    assert OFFICIAL[name](one(good))
    assert not OFFICIAL[name](one(bad))


DIFFERENCES = [  # rule, code, whether the study keeps it (the official rule does the opposite)
    ("no todo, fixme or bug", body("return debug(x)"), True),
    ("no unwanted import", body("import osmnx\n    return osmnx.f(x)"), True),
    ("no unwanted import", body("# comes from system files\n    return x"), True),
    ("no unwanted import", body("import re, os\n    return os.sep + x"), False),
    ("takes an argument", 'def f() -> int:\n    """Doc."""\n    return 1\n', False),
    ("takes an argument", 'async def f():\n    """Doc."""\n    return 1\n', False),
    ("takes an argument", 'def f(x):\n    """Doc.\n\ndef main():\n    """\n    return 1\n', True),
    ("returns a value", body("return None"), False),
    ("returns a value", body("def g():\n        return 1"), False),
    ("has the size", body("# more\n    " * 50 + "return x"), False),
]


@pytest.mark.parametrize(("name", "code", "kept"), DIFFERENCES)
def test_where_the_official_rules_misfire(name: str, code: str, kept: bool) -> None:
    function = one(code)
    assert STUDY[name](function) is kept
    assert OFFICIAL[name](function) is not kept


@pytest.mark.parametrize("docstring", ['"""Doc."""', 'r"""Raw."""', '"""A.""" "B."', '"ü" """B."""'])
@pytest.mark.parametrize("above", ["", "\n@cache\n@other(\n  1)\n"])
def test_either_end_of_a_docstring_suffices_the_official_rule(docstring: str, above: str) -> None:
    assert OFFICIAL["docstring in triple quotes"](one(f"{above}def f(x):\n    {docstring}; y = 'ü'\n    return x\n"))


def test_a_docstring_in_other_quotes_does_not_pass_the_official_rule() -> None:
    code = "@cache\ndef f(x):\n    '''\"\"\"Doc.\n    \"\"\"'''\n    return x\n"
    assert not OFFICIAL["docstring in triple quotes"](one(code))


def test_code_whose_imports_cannot_be_inferred_is_read_as_it_is() -> None:
    function = one(body("return math.floor(x)", arguments="x, x"))
    assert with_imports(function) == function.code
    assert all(rule(function) for rule in OFFICIAL.values())


def test_the_styles_share_names_and_an_unknown_one_is_refused() -> None:
    assert OFFICIAL.keys() - STUDY.keys() == {"docstring in triple quotes"}
    assert list(STUDY)[:2] == ["has the size", "no todo, fixme or bug"]
    assert list(STUDY)[-1] == "self-contained"
    with pytest.raises(StudyError, match='choose "study" or "official"'):
        rules.rule_set("paper", 2, 40, 1500, 4)


SELF_CONTAINED = [
    body("return [y.strip() for y in x.split(',')]"),
    body("return math.floor(x) + f(x - 1)", "import math"),
    body("return C(x).most_common(1)", "from collections import Counter as C"),
    body("def g(y):\n        return y + x\n    return g(1)"),
    body("import itertools\n    return list(itertools.chain(*x))"),
    body("import collections.abc\n    return isinstance(x, collections.abc.Sized)"),
    body("return math.floor(x)"),
    body("return [g(y) for g in (abs, int) for y in x]"),
    body(
        "return x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from collections.abc import Sized",
        "x: 'Sized'",
    ),
]
DEPENDENT = [
    body("print(x)\n    return x"),
    body("return open(x).read()"),
    body("return helper(x)", "def helper(x): return x"),
    body("return sorted(x)", "def sorted(x): return x"),
    body("return np.sum(x)", "import numpy as np"),
    body("return np.sum(x)"),
    body("return random.choice(x)", "import random"),
    body("return random.choice(x)"),
    body("import time\n    return time.time() - x"),
    body("return x.nodes"),
    body("return datetime.now() - x", "from datetime import datetime"),
    body("return datetime.now() - x"),
    body("global y\n    y = x\n    return x"),
    body("if x:\n        class C:\n            pass\n    return x"),
    body("return x").replace("def", "async def"),
    body("return open(x)", "from codecs import open"),
    body("return len(x)", "from .helpers import len"),
    body("return display(x)"),
    body("return mystery(x)"),
    "@register\n" + body("return x").lstrip(),
    body("return x", arguments="x: Graph"),
]


@pytest.mark.parametrize("code", SELF_CONTAINED)
def test_self_contained_functions_are_kept(code: str) -> None:
    assert is_self_contained(one(code))


@pytest.mark.parametrize("code", DEPENDENT)
def test_functions_that_need_their_surroundings_are_dropped(code: str) -> None:
    assert not is_self_contained(one(code))


HEADERS = [
    (body("return math.floor(x)"), "import math"),
    (body("return math.floor(x)", "import numpy as math"), "import numpy as math"),
    (body("return path.join(x)", "from os import path"), "from os import path"),
    (body("return np.sum(x)"), "import numpy as np"),
    (body("return torch.zeros(x)"), "import torch"),
    (body("return plt.plot(x)"), "import matplotlib.pyplot as plt"),
    (body("return x", arguments="x: Optional[List[int]]"), "from typing import List, Optional"),
    (body("return Counter(x), defaultdict(list)"), "from collections import Counter, defaultdict"),
    (body("return reduce(max, chain(*x))"), "from functools import reduce\nfrom itertools import chain"),
    (body("return datetime.strptime(x, '%Y') + timedelta(1)"), "from datetime import datetime, timedelta"),
    (body("return datetime.datetime(x, 1, 1)"), "import datetime"),
    (body("return copy.deepcopy(x)"), "import copy"),
    (body("return copy(x)"), "from copy import copy"),
    (body("return os.path.join(x)"), "import os"),
    ("@lru_cache(None)\n" + body("return x").lstrip(), "from functools import lru_cache"),
]


@pytest.mark.parametrize(("code", "header"), HEADERS)
def test_imports_are_the_files_own_or_inferred(code: str, header: str) -> None:
    assert import_header(one(code)) == header


NOT_INFERRED = [
    body("return math.floor(x)", arguments="x, math"),
    body("math = x\n    return math.floor"),
    body("return [re.x for re in x]"),
    body("def reduce(y):\n        return y\n    return reduce(x)"),
    body("return sum(map(int, x))"),
    body("return math.floor(x)", "math = object()"),
    body("return math.floor(x)", "cmath, math = 1, 2"),
    body("return math.floor(x)", "math: object = 2"),
    body("return math.floor(x)", "class math: pass"),
    body("return Counter(x)", "def Counter(x): return x").replace("\n", "\r\n"),
    body("return np.sum(x)", "try:\n    np = load()\nexcept Exception:\n    np = None"),
    body("return sqrt(x)", "from sympy import *"),
    body("return Counter(x)", "from sympy import *"),
    body("return mystery(x)"),
    body("return sqrt(x)"),
    body("return string + x"),
    body("return torch + x"),
]


@pytest.mark.parametrize("code", NOT_INFERRED)
def test_no_import_replaces_a_name_of_the_code_or_is_guessed(code: str) -> None:
    assert import_header(one(code)) == ""


def test_a_local_of_another_function_does_not_hide_an_import() -> None:
    code = "def g(x):\n    math = x\n    return math\n\nclass C:\n    def floor(self):\n        math = 1\n"
    assert import_header(one(body("return math.floor(x)", code))) == "import math"


def test_foreign_names_are_those_that_no_pure_module_supplies() -> None:
    function = one(body("return helper(np.sum(len(x)), math.pi, open)", "def helper(x): return x"))
    assert needed(function).keys() == {"np", "math"}
    assert foreign_names(function) == {"helper", "np", "open"}


def test_code_that_parses_but_does_not_compile_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="syntax"):
        free_names(one(body("return x", arguments="x, x")))


def test_rules_handle_odd_code_of_any_length() -> None:
    long = "a" + " " * 200_000 + "\nif x:\n" + "\n" * 200_000 + "b, " * 100_000 + "\n"
    assert import_header(one(f'"""\n{long}"""\n' + body("return math.floor(x)"))) == "import math"
    branches = "\n    ".join(f"elif x == {n}:\n        return {n}" for n in range(300))
    assert rules.returns_value(one(body(f"if x < 0:\n        pass\n    {branches}")))


def test_a_seed_carries_the_imports_it_needs_and_its_provenance() -> None:
    imports = "import math, json\nfrom collections import Counter, deque as d\nimport numpy as np\n"
    function = one(body("return math.sqrt(len(Counter(d(x))))", imports))
    record = seed(function, import_header(function))
    assert record["code"] == f"from collections import Counter, deque as d\nimport math\n\n\n{function.code}"
    origin = {"package": "made-up", "version": "1.0", "licence": "MIT", "path": "module.py", "line": 5}
    assert record["source"] == origin
    assert record["docstring"] == "Say what it does with x."
    scope: dict = {}
    exec(record["code"], scope)
    assert scope["f"]([1, 1, 2, 3, 4]) == 2


BARE = [  # a function without its file, an argument, the result
    (body("return math.floor(x)"), 2.5, 2),
    (body("return dict(Counter(re.findall('[a-z]', x)))"), "aba", {"a": 2, "b": 1}),
    (body("return reduce(lambda a, b: a * b, x, Fraction(1))", arguments="x: List[int]"), [2, 3], 6),
    (body("return (date(x, 3, 1) - timedelta(days=1)).day"), 2024, 29),
    (body("return [list(g) for _, g in itertools.groupby(x)]"), "aab", [["a", "a"], ["b"]]),
]


@pytest.mark.parametrize(("code", "argument", "result"), BARE)
def test_a_bare_function_runs_with_the_imports_inferred_for_it(code: str, argument: object, result: object) -> None:
    function = one(code)
    assert is_self_contained(function)
    assert function.imports == {}
    scope: dict = {}
    exec(seed(function, import_header(function))["code"], scope)
    assert scope["f"](argument) == result
