"""Verdicts on tests of every style: what counts as an assertion, what is run, and what a verdict says of its units.

Each case stands for a kind of fault that people who filter or grade programs have reported.
"""

import json
import textwrap
from collections.abc import Iterable
from typing import Any

import pytest

from lib import sandbox
from lib.core.paths import ROOT
from lib.sandbox import Limits

NEXT = "def f(x):\n    return x + 1\n"
NOT_PASS = [name for name in sandbox.VERDICTS if name != "pass"]
CASE = "import unittest\nclass T(unittest.TestCase):\n"


def verdict(code: str, tests: str, **fields: Any) -> dict[str, Any]:
    """The verdict on one program."""
    program = {"id": "x", "code": textwrap.dedent(code), "tests": textwrap.dedent(tests), **fields}
    (found,) = sandbox.run_programs([program], Limits(cpu_seconds=1), workers=1)
    return found


def judged(cases: dict[str, tuple[str, str]]) -> dict[str, str]:
    """The verdicts on many programs, given as code and tests."""
    programs = [
        {"id": name, "code": textwrap.dedent(code), "tests": textwrap.dedent(tests)}
        for name, (code, tests) in cases.items()
    ]
    return {found["id"]: found["verdict"] for found in sandbox.run_programs(programs, Limits(cpu_seconds=2))}


def among(pairs: Iterable[tuple[str, str]], *verdicts: str) -> list[str]:
    """Those of many programs, given as code and tests, that get one of these verdicts."""
    found = judged({f"{code}\n---\n{tests}": (code, tests) for code, tests in pairs})
    return [program for program, verdict in found.items() if verdict in verdicts]


@pytest.mark.shared
def test_the_shared_cases_get_the_right_verdicts_thrice() -> None:
    lines = (ROOT.parent / "shared" / "cases" / "sandbox.jsonl").read_text().splitlines()
    programs = [json.loads(line) for line in lines]
    wrong = []
    for _ in range(3):
        for program, found in zip(programs, sandbox.run_programs(programs), strict=True):
            if found["verdict"] not in program["expected"]:
                wrong.append((program["id"], program["expected"], found))
    assert wrong == []


# ---- every case is run ----------------------------------------------------------------------------------------------

WRONG_CASES = {
    "a base class of its own": """
        import unittest
        class Base(unittest.TestCase):
            pass
        class Middle(Base):
            x = 1
        class T(Middle):
            def test(self):
                self.assertEqual(f(self.x), 99)
        """,
    "a mixin": """
        import unittest
        class Checks:
            def test(self):
                self.assertEqual(f(1), 99)
        class T(Checks, unittest.TestCase):
            pass
        """,
    "an alias": """
        from unittest import TestCase as Case
        class T(Case):
            def test(self):
                self.assertEqual(f(1), 99)
        """,
    "under a guard": """
        import unittest
        if __name__ == "__main__":
            class T(unittest.TestCase):
                def test(self):
                    self.assertEqual(f(1), 99)
            unittest.main(argv=["ignored"], exit=False)
        """,
    "made by type": """
        import unittest
        T = type("T", (unittest.TestCase,), {"test": lambda self: self.assertEqual(f(1), 99)})
        """,
    "main in a function": """
        from unittest import TestCase, main
        class T(TestCase):
            def test(self):
                self.assertEqual(f(1), 99)
        def go():
            main()
        go()
        """,
    "load_tests": """
        import unittest
        class T(unittest.TestCase):
            def check(self):
                self.assertEqual(f(1), 99)
        def load_tests(loader, standard, pattern):
            return unittest.TestSuite([T("check")])
        unittest.main()
        """,
    "a FunctionTestCase": """
        import unittest
        def check():
            assert f(1) == 99
        def suite():
            return unittest.TestSuite([unittest.FunctionTestCase(check)])
        unittest.main(defaultTest="suite")
        """,
    "a runner": """
        import unittest
        class T(unittest.TestCase):
            def check(self):
                self.assertEqual(f(1), 99)
        unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite([T("check")]))
        """,
    "a loader": """
        import unittest
        class T(unittest.TestCase):
            def test(self):
                self.assertEqual(f(1), 99)
        suite = unittest.TestLoader().loadTestsFromTestCase(T)
        result = unittest.TextTestRunner().run(suite)
        print(result.wasSuccessful())
        """,
    "async": """
        import unittest
        class T(unittest.IsolatedAsyncioTestCase):
            async def test(self):
                self.assertEqual(f(1), 99)
        """,
    "a subtest": """
        import unittest
        class T(unittest.TestCase):
            def test(self):
                for x, y in ((1, 2), (2, 99), (3, 4)):
                    with self.subTest(x=x):
                        self.assertEqual(f(x), y)
        """,
    "after a skip": """
        import unittest
        class T(unittest.TestCase):
            def test_a(self):
                self.skipTest("no")
            @unittest.skipIf(True, "no")
            def test_b(self):
                pass
            def test_c(self):
                self.assertEqual(f(1), 99)
        """,
    "after an expected failure": """
        import unittest
        class T(unittest.TestCase):
            @unittest.expectedFailure
            def test_a(self):
                self.assertEqual(f(1), 3)
            def test_b(self):
                self.assertEqual(f(1), 99)
        """,
    "an unexpected success": """
        import unittest
        class T(unittest.TestCase):
            @unittest.expectedFailure
            def test_a(self):
                self.assertEqual(f(1), 99 - 97)
        """,
    "setUpClass": """
        import unittest
        class T(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                assert f(1) == 99
            def test(self):
                self.assertEqual(f(1), 2)
        """,
    "a plain class": """
        class TestF:
            @classmethod
            def setup_class(cls):
                cls.x = 1
            def test_one(self):
                assert f(self.x) == 99
        """,
    "a plain class with a base": """
        class Base:
            def test_one(self):
                assert f(1) == 99
        class TestF(Base):
            pass
        """,
    "a static method": """
        class TestF:
            @staticmethod
            def test_one():
                assert f(1) == 99
        """,
    "an async function": """
        async def test_f():
            assert f(1) == 99
        """,
    "teardown": """
        class TestF:
            def test_one(self):
                self.got = f(1)
            def teardown_method(self):
                assert self.got == 99
        """,
}


def test_every_case_is_run() -> None:
    wrong = {name: (NEXT, "assert f(0) == 1\n" + textwrap.dedent(tests)) for name, tests in WRONG_CASES.items()}
    assert judged(wrong) == dict.fromkeys(wrong, "fail")
    right = {name: (NEXT, tests.replace("(2, 99)", "(2, 3)").replace("99", "2")) for name, tests in WRONG_CASES.items()}
    del right["an unexpected success"]
    assert judged(right) == dict.fromkeys(right, "pass")


def test_what_only_the_response_defines_hides_no_test() -> None:
    code = """
        import unittest
        def f(x): return 0
        def load_tests(loader, tests, pattern): return unittest.TestSuite()
    """
    tests = CASE + "    def test(self):\n        self.assertEqual(f(1), 2)\nunittest.main()"
    assert verdict(code, tests)["verdict"] == "fail"
    leaves = "import unittest\ndef f(x):\n    if x > 1: unittest.main()\n    return 2"
    assert verdict(leaves, "assert f(1) == 2\nassert f(2) == 99")["verdict"] != "pass"


ONCE = """
import unittest
def f(x):
    global f
    f = {}
    return 2
"""


WAYS = ("unittest.main", "unittest.TestCase().skipTest", "lambda x: exit()")
LEFT = (
    "assert f(1) == 2\nassert f(2) == 3",
    "def check(candidate):\n    assert candidate(1) == 2\n    assert f(2) == 3\ncheck(f)",
    CASE + "    def test(self):\n        self.assertEqual(f(1), 2)\n        self.assertEqual(f(2), 3)\nunittest.main()",
    CASE
    + "    def test(self):\n        self.assertEqual(f(1), 2)\n        got = f(2)\n        self.assertEqual(got, 3)",  # noqa: E501
)


def test_a_response_cannot_leave_the_tests() -> None:
    assert among([(ONCE.format(way), tests) for way in WAYS for tests in LEFT], "pass") == []


WRONG = [
    ("import unittest\ndef f(x):\n    if x > 1: raise unittest.SkipTest\n    return 2", "def test_a():\n    assert f(1) == 2\ndef test_b():\n    assert f(2) == 3"),  # noqa: E501
    ("import unittest.case\ndef f(x):\n    if x > 1: raise unittest.case._ShouldStop\n    return 2", CASE + "    def test_a(self): self.assertEqual(f(1), 2)\n    def test_b(self):\n        got = f(2)\n        self.assertEqual(got, 3)"),  # noqa: E501
    ("import sys, functools\nclass A:\n    def __eq__(self, o): return self\n    __bool__ = functools.partial(sys.exit, 0)\ndef f(x): return A() if x > 1 else 2", "assert f(1) == 2\nassert f(2) == 3"),  # noqa: E501
    ("import unittest\ndef f(x):\n    unittest.TestCase.run = lambda s, r: (r.startTest(s), r.addSuccess(s))\n    return 2", CASE + "    def test_a(self): self.assertEqual(f(1), 2)\n    def test_b(self): self.assertEqual(f(2), 3)"),  # noqa: E501
    ("import linecache, sys\ndef f(x): return eval(linecache.getline('<tests>', sys._getframe(1).f_lineno).split('==')[1])", "assert f(1) == 2"),  # noqa: E501
    ("def f(x): return eval(open(__file__).read().splitlines()[-1].split('==')[1])", "assert f(1) == 2"),
    ("def f(x):\n    if x < 0: raise ValueError\n    return 2", "assert f(1) == 2\ntry:\n    r = f(-1)\n    assert r == 0\n    print('ok')\nexcept Exception as e:\n    print('FAILED', e)"),  # noqa: E501
    ("def f(x): return 2", "def test_a(): assert f(2) == 3\ndef run_all():\n    test_a()\nassert f(1) == 2"),
    ("def f(x): return 'abc'", CASE + "    def test(self):\n        self.assertTrue(f(1), 'cba')"),
    ("class Yes:\n    def __eq__(self, o): return True\ndef f(x): return Yes()", CASE + "    def test(self):\n        self.assertTrue(f(1) == 2)"),  # noqa: E501
    ("class Yes:\n    def __eq__(self, o): return True\ndef f(x): return Yes()", "assert all(f(x) == y for x, y in [(1, 2)])"),  # noqa: E501
    ("class Yes:\n    def __eq__(self, o): return True\ndef f(x): return Yes()", "assert f(1) == 2 and f(2) == 3"),
    ("class Yes:\n    def __eq__(self, o): return True\ndef f(x): return Yes()", "if f(1) == 2:\n    print('ok')\nelse:\n    raise AssertionError"),  # noqa: E501
]  # fmt: skip


def test_a_wrong_response_does_not_pass() -> None:
    assert among(WRONG, "pass") == []


RIGHT = [
    ("def each(xs, f):\n    for x in xs:\n        f(x * 2)", "seen = []\nnote = seen.append\neach([1], note)\nassert seen == [2]"),  # noqa: E501
    ("from random import random\ndef f(): return random()", CASE + "    def test(self): self.assertLess(f(), 1)\nunittest.main()"),  # noqa: E501
    (NEXT, "import sys\ndef main():\n    assert f(1) == 2\n    sys.exit(0)\nif __name__ == '__main__':\n    main()"),  # noqa: E501
    (NEXT, "assert f(1) == 2\nexit()"),
    (NEXT, "assert f(1) == 2\nexit(0)"),
    (NEXT, "import sys\nif f(1) != 2:\n    sys.exit(1)"),
    ("def f(x): return hex(x)", "assert f(255).startswith('0x')"),
    ("class V:\n    def ok(self, x): return x > 0", "v = V()\nassert v.ok(1)"),
    ("import unittest\ndef f(x): return x + 1\nclass Mine(unittest.TestCase):\n    def test(self): self.assertEqual(f(1), 3)", CASE + "    def test(self): self.assertEqual(f(1), 2)\nunittest.main()"),  # noqa: E501
    ("N = 0\ndef bump():\n    global N\n    N += 1", "def test_a():\n    bump()\n    assert N == 1\nfor t in [test_a]:\n    t()"),  # noqa: E501
    (NEXT, CASE + "    @classmethod\n    def setUpClass(cls):\n        raise unittest.SkipTest\n    def test(self): pass\nassert f(1) == 2"),  # noqa: E501
    (NEXT, "class TestF:\n    class TestMore:\n        def test_it(self):\n            assert f(1) == 2"),
    ("def f(x): return [1, 0]", "try:\n    assert f(1) == [0, 1]\nexcept AssertionError:\n    assert f(1) == [1, 0]"),  # noqa: E501
    ("def f(): return int(input()) + 1", "import builtins\nbuiltins.input = iter(['1']).__next__\nassert f() == 2"),
    ("import cProfile\ndef f(x):\n    return x + 1", "import cProfile\np = cProfile.Profile()\np.enable()\ngot = f(1)\np.disable()\nassert got == 2"),  # noqa: E501
    ("def f(x):\n    if x < 0: raise ValueError('no')\n    return x", "try:\n    f(-1)\n    assert False\nexcept Exception as e:\n    assert str(e) == 'no'"),  # noqa: E501
]  # fmt: skip


def test_a_right_response_passes() -> None:
    assert among(RIGHT, *NOT_PASS) == []


PATCHES = [
    "import unittest\nunittest.TestCase.run = lambda self, result=None: result",
    "import unittest\nunittest.TestCase.run = lambda self, result: (result.startTest(self), result.addSuccess(self))",  # noqa: E501
    "import unittest\nunittest.TestCase.__call__ = lambda self, result=None: result",
    "import unittest\nunittest.TestCase.__getattribute__ = lambda *_: lambda *_, **__: None",
    "import unittest\nunittest.TestSuite.run = lambda self, result, debug=False: result",
    "import unittest\nunittest.TestLoader.getTestCaseNames = lambda *_: []",
    "import unittest\nunittest.TestLoader.loadTestsFromTestCase = lambda *_: unittest.TestSuite()",
    "import unittest.case\nunittest.case._Outcome.testPartExecutor = lambda *_, **__: __import__('contextlib').nullcontext()",  # noqa: E501
    "import inspect\ninspect.signature = None\ninspect.iscoroutine = None",
]


def test_a_patched_test_runner_hides_no_test() -> None:
    tests = (
        "assert f(1) == 2\n"
        + CASE
        + "    def test(self):\n        self.assertEqual(f(2), 3)\ndef test_g():\n    assert f(2) == 3"
    )
    assert among([(f"{patch}\ndef f(x): return 2", tests) for patch in PATCHES], "pass") == []


# ---- assertions that cannot fail ------------------------------------------------------------------------------------


def test_an_assertion_that_holds_whatever_the_response_returns_is_none() -> None:
    empty = [
        "assert (f(1) == 99, 'no')", "assert [f(1) == 99]", "assert {f(1): 99}", "assert (f(x) == 99 for x in [1])",
        "assert lambda: f(1) == 99", "assert f'{f(1) == 99}'", "assert f'got {f(1)}'", "assert f(1) == 99 or 3",
        "assert f(1) == 99 or True", "assert True or f(1) == 99", "assert not ()", "assert str(f(1) == 99)",
        "assert f(1) == f(1)", "assert (f(1) == 99) in (True, False)", "assert isinstance(f(1), object)",
        "assert bool([f(1)])", "assert (ok := (f(1) == 99, 'no'))", "assert not not (f(1) == 99, 'no')",
        "assert (f(1) == 99) is not None", "x = 5\nf(1)\nassert x == 5", "want = [1]\nf(2)\nassert want == [1]",
        "f = lambda x: 99\nassert f(1) == 99", "f(1)\nassert 1 + 1 == 2", "print(f(1))", "f(1)",
        CASE + "    def test(self):\n        self.assertTrue(f(1), 99)",
        CASE + "    def test(self):\n        want = 99\n        self.assertTrue(f(1), want)",
        CASE + "    def test(self):\n        self.assertIsNotNone((f(1), 99))",
        "try:\n    raise ValueError\nexcept ValueError:\n    print(f(1))",
    ]  # fmt: skip
    assert judged({tests: (NEXT, tests) for tests in empty}) == dict.fromkeys(empty, "notest")


def test_such_an_assertion_does_not_spoil_others() -> None:
    assert verdict(NEXT, "assert (f(1) == 2, 'no')\nassert f(1) == 2")["verdict"] == "pass"
    assert verdict(NEXT, CASE + "    def test(self):\n        self.assertTrue(f(1), 'a message')")["verdict"] == "pass"


# ---- failures that are swallowed ------------------------------------------------------------------------------------


SWALLOWED = [
    "try:\n    f(-1)\n    assert False\nexcept Exception:\n    pass",
    "try:\n    f(-1)\n    assert False, 'no error'\nexcept:\n    pass",
    "try:\n    f(-1)\n    raise AssertionError('no error')\nexcept Exception:\n    pass",
    "import contextlib\nwith contextlib.suppress(Exception):\n    assert False",
    "def check(a, b):\n    if a != b:\n        raise AssertionError\ntry:\n    check(f(1), 99)\nexcept Exception:\n    pass",  # noqa: E501
    CASE
    + "    def test(self):\n        try:\n            f(-1)\n            self.fail('no')\n        except Exception: pass",  # noqa: E501
    CASE
    + "    def test(self):\n        try:\n            self.assertEqual(f(1), 99)\n        except AssertionError: pass",  # noqa: E501
    CASE + "    def test(self):\n        self.assertEqual(f(1), 99)\nT('test').run(unittest.TestResult())",
]


def test_no_failure_is_swallowed() -> None:
    cases = [(NEXT, f"assert f(1) == 2\n{swallowed}") for swallowed in SWALLOWED]
    assert len(among(cases, "cheat", "fail")) == len(cases)


def test_an_error_that_is_expected_is_no_failure() -> None:
    picky = "def f(x):\n    if x < 0: raise ValueError\n    return x + 1\n"
    expected = [
        "try:\n    f(-1)\n    assert False\nexcept ValueError:\n    pass",
        "try:\n    f(-1)\nexcept ValueError:\n    pass\nelse:\n    raise AssertionError('no error')",
        CASE + "    def test(self):\n        with self.assertRaises(ValueError):\n            f(-1)",
        CASE + "    def test(self):\n        self.assertRaises(ValueError, f, -1)",
        CASE + "    def test(self):\n        try:\n            f(-1)\n            self.fail('no')\n        except ValueError: pass",  # noqa: E501
    ]  # fmt: skip
    assert judged({tests: (picky, tests) for tests in expected}) == dict.fromkeys(expected, "pass")
    assert set(judged({tests: (NEXT, tests) for tests in expected}).values()) <= {"fail", "cheat"}


# ---- effects --------------------------------------------------------------------------------------------------------

HI = "def hi():\n    print('x')\n"
EACH = "def each(xs, f):\n    for x in xs:\n        f(x * 2)\n"
SORT = "def srt(x):\n    x.sort()\n"
EFFECTS = {
    "stdout patched": (HI, "import io\nfrom unittest.mock import patch\nwith patch('sys.stdout', new=io.StringIO()) as b:\n    hi()\nassert b.getvalue() == 'x\\n'"),  # noqa: E501
    "stdout patched by a decorator": (HI, "import io, unittest\nfrom unittest.mock import patch\nclass T(unittest.TestCase):\n    @patch('sys.stdout', new_callable=io.StringIO)\n    def test(self, out):\n        hi()\n        self.assertEqual(out.getvalue(), 'x\\n')"),  # noqa: E501
    "print patched": (HI, "from unittest.mock import patch\nwith patch('builtins.print') as p:\n    hi()\np.assert_called_once_with('x')"),  # noqa: E501
    "stdout held": (HI, "import io, sys\nold, sys.stdout = sys.stdout, io.StringIO()\nhi()\nout, sys.stdout = sys.stdout.getvalue(), old\nassert out == 'x\\n'"),  # noqa: E501
    "a callback": (EACH, "class Seen:\n    def __init__(self): self.all = []\n    def __call__(self, x): self.all.append(x)\ns = Seen()\neach([1], s)\nassert s.all == [2]"),  # noqa: E501
    "a nonlocal": (EACH, "def test():\n    n = 0\n    def note(x):\n        nonlocal n\n        n += x\n    each([1, 2], note)\n    assert n == 6"),  # noqa: E501
    "a mock's calls": (EACH, "from unittest.mock import Mock, call\nm = Mock()\neach([1, 2], m)\nassert m.call_args_list == [call(2), call(4)]"),  # noqa: E501
    "a mock that is not called": (EACH, "from unittest.mock import Mock\nm = Mock()\neach([], m)\nm.assert_not_called()"),  # noqa: E501
    "a row": (SORT, "rows = [[2, 1], [4, 3]]\nfor row in rows:\n    srt(row)\nassert rows == [[1, 2], [3, 4]]"),
    "an alias": (SORT, "a = [2, 1]\nb = a\nsrt(b)\nassert a == [1, 2]"),
    "star arguments": (SORT, "a = [2, 1]\nnamed = {'x': a}\nsrt(**named)\nassert a == [1, 2]"),
    "unchanged": ("def total(x):\n    return sum(x)\n", "a = [1, 2]\ntotal(a)\nassert a == [1, 2]"),
    "a global of the response": ("N = 0\ndef bump():\n    global N\n    N += 1\n", "bump()\nassert N == 1"),
    "an instance": ("class C:\n    def __init__(self): self.n = 0\n    def up(self): self.n += 1\n", "c = C()\nc.up()\nassert c.n == 1"),  # noqa: E501
    "the environment": ("import os\ndef put():\n    os.environ['KEY'] = '1'\n", "import os\nput()\nassert os.environ['KEY'] == '1'"),  # noqa: E501
    "a helper that raises": (NEXT, "def check(got, want):\n    if got != want:\n        raise ValueError(got)\ncheck(f(1), 2)"),  # noqa: E501
    "a helper that asserts": (NEXT, "def check(got, want):\n    assert got == want\ncheck(f(1), 2)"),
    "a bound method": (NEXT, "import unittest\ncase = unittest.TestCase()\nequal = case.assertEqual\nequal(f(1), 2)"),
    "a doctest of the tests": (NEXT, "import doctest\n'''\n>>> f(1)\n2\n'''\nfailed, run = doctest.testmod()\nassert failed == 0 and f(1) == 2"),  # noqa: E501
    "a lambda": ("f = lambda x: x + 1\n", "assert f(1) == 2"),
    "a partial": ("from functools import partial\nf = partial(pow, 2)\n", "assert f(3) == 8"),
    "a constant": ("ANSWER = 42\n", "assert ANSWER == 42"),
    "an enum": ("from enum import Enum\nclass E(Enum):\n    A = 1\n", "assert E.A.value == 1\nassert E(1) is E.A"),
    "a dataclass": ("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int = 3\n", "assert P().x == 3\nassert P(4) == P(4)"),  # noqa: E501
    "a generator": ("def g():\n    yield 1\n    yield 2\n", "it = g()\nassert next(it) == 1\nassert list(it) == [2]"),
    "a coroutine": ("async def f(x):\n    return x + 1\n", "import asyncio\nassert asyncio.run(f(1)) == 2"),
    "an exception": ("class E(Exception): pass\ndef f(): raise E('no')\n", "try:\n    f()\n    assert False\nexcept E as e:\n    assert str(e) == 'no'"),  # noqa: E501
    "a decorator": ("def twice(g):\n    return lambda x: 2 * g(x)\n", "@twice\ndef g(x):\n    return x\nassert g(2) == 4"),  # noqa: E501
    "cached": ("from functools import cache\n@cache\ndef f(x):\n    return x + 1\n", "assert f(1) == 2\nassert f.cache_info().misses == 1"),  # noqa: E501
    "an inequality": (NEXT, "assert f(1) != 3"),
    "symmetry": ("def near(a, b):\n    return abs(a - b)\n", "assert near(1, 3) == near(3, 1)"),
    "not in": ("def drop(text, letter):\n    return text.replace(letter, '')\n", "assert 'a' not in drop('cat', 'a')"),
    "a length": ("def word(n):\n    return 'a' * n\n", "assert len(word(8)) >= 8"),
    "not None": (NEXT, "assert f(1) is not None"),
    "an import under another name": ("from math import gcd as hcf\n", "assert hcf(12, 18) == 6"),
    "an import and nothing else": ("from math import gcd\n", "assert gcd(12, 18) == 6"),
}  # fmt: skip


def test_effects_of_the_response_are_what_its_tests_assert() -> None:
    assert judged(EFFECTS) == dict.fromkeys(EFFECTS, "pass")


def test_cheats_are_caught_where_tests_watch_effects() -> None:
    always = "class Yes:\n    def __eq__(self, o): return True\n    def __ne__(self, o): return False\ndef f(x): return Yes()"  # noqa: E501
    watched = [
        "if f(1) != 2:\n    raise AssertionError",
        "def check(got, want):\n    if got != want:\n        raise ValueError(got)\ncheck(f(1), 2)",
        "import unittest\nequal = unittest.TestCase().assertEqual\nequal(f(1), 2)",
        "seen = []\nseen.append(f(1))\nassert seen == [2]",
        "def check(pairs):\n    if not pairs: raise ValueError\n    for x, y in pairs:\n        assert f(x) == y\ncheck([(1, 2)])",  # noqa: E501
    ]
    assert judged({tests: (always, tests) for tests in watched}) == dict.fromkeys(watched, "cheat")


# ---- memberships, the same every time -------------------------------------------------------------------------------


def test_a_membership_gets_the_same_verdict_every_time() -> None:
    cases = {
        "letters": ("def v():\n    return 'a'\n", "assert v() in 'aeiou'"),
        "the empty text": ("def v():\n    return ''\n", "assert v() in 'aeiou'"),
        "bytes": ("def v():\n    return 97\n", "assert v() in b'aeiou'"),
        "a name": ("def v():\n    return 'a'\n", "import string\nassert v() in string.hexdigits"),
        "assertIn": ("def v():\n    return 'a'\n", CASE + "    def test(self):\n        self.assertIn(v(), 'aeiou')"),
        "numbers": ("def v():\n    return 3\n", "assert v() in range(10)"),
        "a dictionary": ("def v():\n    return 'k'\n", "assert v() in {'k': 1}"),
    }
    for _ in range(12):
        assert judged(cases) == dict.fromkeys(cases, "pass")


# ---- programs that look at themselves -------------------------------------------------------------------------------


LOOKING = [
    (NEXT, "import inspect\nassert inspect.getsource(f) == 'def f(x):\\n    return x + 1\\n'"),
    ("class P:\n    def m(self): return 1\n", "import inspect\nassert 'return 1' in inspect.getsource(P)"),
    ("class P: pass\n", "assert repr(P) == \"<class '__main__.P'>\" and P.__module__ == '__main__'"),
    ("def f():\n    return open(__file__).read()\n", "assert 'def f' in f()"),
    ("def f():\n    raise ValueError  # here\n", "import traceback\ntry:\n    f()\nexcept ValueError:\n    assert '# here' in traceback.format_exc()"),  # noqa: E501
    ("import pickle\nclass P:\n    x = 1\n", "import pickle\nassert pickle.loads(pickle.dumps(P())).x == 1"),
    ("def f(x):\n    '''\n    >>> f(1)\n    2\n    '''\n    return x + 1\n", "import doctest\nassert doctest.testmod().failed == 0"),  # noqa: E501
    ("def f(x):\n    return x\nif __name__ == '__main__':\n    print(f(int(input())))\n", "assert f(1) == 1"),
    ("def f(x):\n    return x\ndef main():\n    raise SystemExit\nif '__main__' == __name__ and f(1):\n    main()\n", "assert f(1) == 1"),  # noqa: E501
    (NEXT, "import unittest, inspect\nclass T(unittest.TestCase):\n    def test(self):\n        self.assertEqual(f(1), 2)\n        assert 'assertEqual' in inspect.getsource(T)"),  # noqa: E501
]  # fmt: skip


def test_a_program_finds_itself() -> None:
    assert among(LOOKING, *NOT_PASS) == []


def test_a_future_import_may_stand_anywhere() -> None:
    late = (
        "import math\ndef g(): pass\nfrom __future__ import annotations\ndef f(x: Unknown) -> int:\n    return x + 1\n"
    )
    assert verdict(late, "import math\nfrom __future__ import annotations\nassert f(1) == 2")["verdict"] == "pass"
    documented = '"""Text."""\nimport math\nfrom __future__ import annotations\ndef f(x: Unknown): return __doc__\n'
    assert verdict(documented, "assert f(1) == 'Text.'")["verdict"] == "pass"


def test_a_helper_of_the_response_keeps_its_name() -> None:
    code = "def check(x):\n    return x > 0\ndef f(x):\n    return check(x)\n"
    tests = "def check(candidate):\n    assert candidate(1) is True\n    assert candidate(-1) is False\n"
    assert verdict(code, tests, entry="f")["verdict"] == "pass"


# ---- units ----------------------------------------------------------------------------------------------------------


def test_a_verdict_carries_its_units() -> None:
    tests = """
        import unittest
        assert f(0) == 1
        class T(unittest.TestCase):
            def test_a(self):
                self.assertEqual(f(1), 99)
            @unittest.skip("no")
            def test_b(self): pass
            def test_c(self):
                self.assertEqual(f(1), 2)
        def test_d():
            f("a")
    """
    found = verdict(NEXT, tests)
    assert [(name, label) for name, label, _ in found["units"]] == [
        ("line 3", "pass"), ("T.test_a", "fail"), ("T.test_b", "skip"), ("T.test_c", "pass"), ("test_d", "fail"),
    ]  # fmt: skip
    assert found["verdict"] == "fail" and found["ended"]
    assert found["detail"] == "self.assertEqual(f(1), 99) -> AssertionError: 2 != 99" == found["units"][1][2]


def test_units_say_when_the_tests_did_not_come_to_their_end() -> None:
    tests = "def test_a():\n    assert f(1) == 2\ndef test_b():\n    while True: f(1)\ndef test_c():\n    assert f(1) == 3\n"  # noqa: E501
    found = verdict(NEXT, tests)
    assert (found["verdict"], found["ended"], found["units"]) == ("timeout", False, [["test_a", "pass", ""]])
    wrong = verdict(NEXT, tests.replace("== 2", "== 3"))
    assert (wrong["verdict"], wrong["ended"]) == ("fail", False)  # the first failure decides, as if it had ended there


def test_many_assertions_are_no_trouble() -> None:
    many = "\n".join(f"assert f({n}) == {n + 1}" for n in range(3000))
    assert verdict(NEXT, many)["verdict"] == "pass"
    found = verdict(NEXT, many + "\nassert f(1) == 3")
    assert found["verdict"] == "fail" and found["units"][-1][1] == "fail" and len(found["units"]) <= 1001


def test_the_same_program_gets_the_same_verdict_every_time() -> None:
    tests = "assert set(f(3)) <= {1, 2, 3, 4}\nassert f(3) in ([4], [5])\nassert 'a' in str(f('a'))"
    found = [verdict("def f(x): return [x + 1] if x == 3 else x", tests) for _ in range(3)]
    assert all((one["verdict"], one["units"]) == (found[0]["verdict"], found[0]["units"]) for one in found)
