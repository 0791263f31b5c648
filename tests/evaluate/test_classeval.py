"""ClassEval: published outputs get their published totals, its own solutions pass; wrong and hostile classes do not."""

import gzip
import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SHARED

from lib.core.records import Journal, StudyError
from lib.evaluate import environments, grade, load_benchmark, score
from lib.evaluate.__main__ import report, solutions
from lib.evaluate.asking import ask
from lib.evaluate.benchmarks import classeval
from lib.evaluate.benchmarks.classes import by_test_class, class_in, method_in, with_static_methods
from lib.evaluate.benchmarks.classeval import FAULTS, LIMITS, STRATEGIES, UNREACHABLE, as_official
from lib.evaluate.grading import grade_solutions
from lib.train.template import render_prompt

DATA = SHARED / "benchmarks" / "classeval"
OUTPUTS = SHARED / "benchmarks" / "validation" / "classeval_deepseek-coder-6.7b-instruct_class_H_greedy.jsonl.gz"
TOTALS = SHARED / "benchmarks" / "validation" / "classeval_pass_at_k_result_v1.0.0.json"
# Class by class, which test classes of DeepSeek-Coder's published output pass here; only totals are published.
LISTED = Path(__file__).parent / "classeval_deepseek.json"
OWN = classeval.own()
QUICK = classeval.own()
QUICK.limits = replace(LIMITS, cpu_seconds=0.3)


def equipped():
    """Whether this machine has the interpreter with ClassEval's packages."""
    try:
        environments.python_of("classeval")
    except StudyError:
        return False
    return True


def gradable():
    """ClassEval and the tasks that can be graded here: without its packages those that need the standard library only.

    Nothing is left out silently: the tests below say how many they expect.
    """
    scored = classeval.load(DATA)
    if equipped():
        return scored, list(scored.problems)
    scored.limits = LIMITS
    words = ("import", "from")
    known = {*sys.stdlib_module_names}
    needed = {
        task: {line.split()[1].partition(".")[0] for line in problem["import_statement"] if line.split()[0] in words}
        for task, problem in scored.problems.items()
    }
    return scored, [task for task, names in needed.items() if names <= known]


def seeded(tasks, share):
    """A share of the tasks, the same every time."""
    return random.Random(0).sample(tasks, len(tasks) // share)


# ---- the published data


@pytest.mark.shared
@pytest.mark.parametrize("share", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_its_own_solutions_pass(share):
    """All but three; also three with which the official harness fails, or fails today."""
    scored, tasks = gradable()
    tasks = seeded(tasks, share)
    samples = grade_solutions(scored, [(task, scored.canonical(task)) for task in tasks])
    failed = {sample["task_id"]: sample["detail"] for sample in samples if not sample["passed"]}
    assert failed.keys() <= UNREACHABLE.keys(), failed
    if share == 1:
        assert len(tasks) == (100 if equipped() else 88)
        assert {sample["task_id"] for sample in samples if sample["passed"]} >= FAULTS.keys() & set(tasks)


@pytest.mark.shared
@pytest.mark.parametrize("share", [12, pytest.param(1, marks=pytest.mark.slow)])
def test_published_outputs_get_their_published_totals(share):
    """DeepSeek-Coder-6.7B-instruct, holistic: 27 of 100 classes, 287 of 502 test classes; listed class by class."""
    scored, tasks = gradable()
    tasks = seeded(tasks, share)
    with gzip.open(OUTPUTS, "rt", encoding="utf-8") as lines:
        outputs = {row["task_id"]: row["predict"][0] for row in map(json.loads, lines)}
    samples = grade_solutions(scored, [(task, scored.completed(task, outputs[task])) for task in tasks])
    listed = json.loads(LISTED.read_text())
    found = {one["task_id"]: [unit for unit, status in one["units"].items() if status == "pass"] for one in samples}
    assert found == {task: listed["passed"][task] for task in tasks}
    if len(tasks) == 100:
        theirs = json.loads(TOTALS.read_text())["pass_1_greedy"]["deepseek-coder-6.7b-instruct_class_H_greedy"]
        ours = as_official(samples)
        assert ours["of"] == classeval.OFFICIAL_TEST_CLASSES
        differing = listed["differences"]
        assert ours["classes"] - sum(one["classes"] for one in differing.values()) == round(
            100 * theirs["class_success"]
        )
        assert ours["test_classes"] - sum(one["test_classes"] for one in differing.values()) == round(
            502 * theirs["fun_success"]
        )


@pytest.mark.shared
def test_every_test_class_is_graded_and_two_names_are_put_right():
    """501 of the 502 of the data: one is a fixture without tests; one name is without its space."""
    scored = classeval.load(DATA)
    found = {task: {*scored.programs(task, "x = 1")} for task in scored.problems}
    named = {task: set(problem["test_classes"]) for task, problem in scored.problems.items()}
    assert (sum(map(len, found.values())), sum(map(len, named.values()))) == (501, 502)
    assert {task for task in found if found[task] != named[task]} == {"ClassEval_69", "ClassEval_97"}
    assert scored.version == "eaeac44" and set(FAULTS) | set(UNREACHABLE) < set(found)


@pytest.mark.shared
def test_each_strategy_shows_what_the_papers_shows():
    """The skeleton; the methods written so far; the signatures of the others. No prompt has the wanted body."""
    asked = {name: load_benchmark(title, DATA) for name, title in TITLES.items()}
    for task, problem in asked["holistic"].problems.items():
        assert problem["skeleton"].strip() in asked["holistic"].prompt(task)
        methods = problem["methods_info"]
        bodies = [f"```python\n    {one['solution_code']}\n```" for one in methods]
        for number, one in enumerate(methods):
            (prompt,) = asked["incremental"].next_prompts(task, bodies[:number])
            assert all(f"def {other['method_name']}(" in prompt for other in methods[:number])
            assert prompt.endswith(f"{one['method_description'].rstrip()}\n\n### Response\n")
        assert asked["incremental"].next_prompts(task, bodies) == []
        alone = asked["compositional"].next_prompts(task, [])
        assert len(alone) == len(methods) and asked["compositional"].next_prompts(task, bodies) == []
        for prompt in alone:
            assert all(f"def {other['method_name']}(" in prompt for other in methods)


TITLES = {
    "holistic": "classeval",
    "incremental": "classeval-incremental",
    "compositional": "classeval-compositional",
}


# ---- three problems of our own


def whole(problem):
    """A completion like a model's: talk, the whole class in a fence, talk."""
    return f"Here is the class.\n```python\n{problem['solution_code']}```\nIt keeps to the description."


def method(problem, number):
    """A completion with one method, as models give it: in its class."""
    code = problem["methods_info"][number]["solution_code"]
    return f"```python\nclass {problem['class_name']}:\n    {code}\n```"


class Author:
    """An engine that answers every request with the solution of our own problems that it asks for."""

    revision, version = "author", "1"

    def load(self):
        """Nothing to load."""

    def close(self):
        """Nothing to close."""

    def generate(self, requests):
        for place, request in enumerate(requests):
            sentence = request.prompt.partition("### Instruction\n")[2].partition("\n")[0]
            problem = next(one for one in OWN.problems.values() if f" class {one['class_name']} " in sentence)
            names = [one["method_name"] for one in problem["methods_info"]]
            wanted = [number for number, name in enumerate(names) if f"method {name} " in sentence]
            text = method(problem, *wanted) if wanted else whole(problem)
            yield place, {"text": text, "finish_reason": "stop", "prompt_tokens": 1, "cached_tokens": 0, "tokens": 1}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("raw", [False, True])
def test_our_own_solutions_pass_by_every_strategy(strategy, raw, tmp_path):
    """From the prompts to the verdicts: one request a class, or one a method, joined to a class."""
    asked = classeval.own(strategy)
    with Journal(tmp_path / "cache.jsonl") as cache:
        answers = ask(Author(), asked, list(asked.problems), 512, cache, "classes", raw="unstripped" if raw else "")
    steps = [len(records[0].get("steps", [""])) for records in answers.values()]
    assert steps == ([1, 1, 1] if strategy == "holistic" else [3, 4, 4])
    texts = {task: records[0]["text"] for task, records in answers.items()}
    if raw and strategy == "holistic":  # a base model continues an open fence
        texts = {task: text.partition("```python\n")[2] for task, text in texts.items()}
    samples = grade(asked, texts, raw=raw)
    assert [(one["task_id"], one["detail"]) for one in samples if not one["passed"]] == []
    assert [(one["succeeded"], one["test_classes"]) for one in samples] == [(4, 4), (5, 5), (5, 5)]
    facts = score(asked, samples, 1000, 0)
    assert facts["pass@1"]["value"] == 1.0 and facts["succeeded"]["value"] == facts["test_classes"]["value"] == 14 / 3
    said = "\n".join(
        report(asked, samples)
    )  # as the command prints it: both levels, and the official count of all classes
    assert f"{asked.name} classes 100.0 % (95 %" in said and f"{asked.name} methods 100.0 % (95 %" in said
    assert "would count 3 of 3 classes and 14 of 14 test classes" in said
    assert asked.remarks(samples[:2]) == []


RIGHT = OWN.problems["Own/0"]["solution_code"]


def changed(old, new):
    """The right class with one change."""
    assert RIGHT.count(old) == 1
    return RIGHT.replace(old, new)


# Wrong classes of ten kinds and more, and the test classes that must fail; the others must pass.
METHODS = ["TideTableTestRecord", "TideTableTestHighest", "TideTableTestTurns", "TideTableTestMain"]
ALL = {*METHODS}
WRONG = {
    "another value": (changed("rising * falling > 0", "rising * falling < 0"), {*METHODS[2:]}),
    "another of several that are equal": (changed(", minute))", ", -minute))"), {METHODS[1]}),
    "nothing is returned": (changed("        return len(self.heights)\n", ""), {METHODS[0]}),
    "no exception": (changed('raise ValueError("no minute of a day")', "return 0"), {METHODS[0]}),
    "another exception": (changed("raise ValueError", "raise IndexError"), {METHODS[0]}),
    "an exception of its own": (changed("if not self.heights", "if not self.missing"), {METHODS[1], METHODS[3]}),
    "one state for all objects": (
        changed("        self.heights = {}\n", "").replace("class TideTable:", "class TideTable:\n    heights = {}\n"),
        {METHODS[0]},
    ),
    "a method is missing": (RIGHT.partition("    def turns")[0], {*METHODS[2:]}),
    "a skeleton": (OWN.problems["Own/0"]["skeleton"], ALL),
    "another class": (RIGHT.replace("TideTable", "TideTables"), ALL),
    "no Python": (RIGHT + "\n    def (", ALL),
    "talk": ("I would keep the heights in a dictionary.", ALL),
    "nothing": ("", ALL),
    "an error at the class's top level": (RIGHT + "\n    limit = unknown\n", ALL),
    "printed, not returned": (changed("        return found", "        print(found)"), {*METHODS[2:]}),
    "endless": (changed("        return found", "        while True: pass"), {*METHODS[2:]}),
    "sleeping": (changed("        return found", "        __import__('time').sleep(600)"), {*METHODS[2:]}),
    "deep": (changed("        return found", "        return self.turns()"), {*METHODS[2:]}),
    "large": (changed("        return found", "        return [0] * 10**10"), {*METHODS[2:]}),
}


def test_wrong_classes_fail_where_they_are_wrong():
    """Method by method: what is right besides is counted."""
    samples = grade_solutions(QUICK, [("Own/0", code) for code, _ in WRONG.values()] + [("Own/0", RIGHT)])
    failing = [{unit for unit, status in one["units"].items() if status != "pass"} for one in samples]
    assert dict(zip(WRONG, failing, strict=False)) == {name: units for name, (_, units) in WRONG.items()}
    assert [one["passed"] for one in samples] == [False] * len(WRONG) + [True]
    assert all(one["detail"].partition(": ")[0] in ALL for one in samples[:-1])
    assert [one["succeeded"] for one in samples] == [4 - len(units) for units in failing]
    slow = dict(zip(WRONG, samples, strict=False))["endless"]
    assert slow["verdict"] == slow["units"][METHODS[2]] == "timeout"


FORGED = """
import json, os, socket, stat, struct
for fd in range(3, 128):
    try:
        found = stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        continue
    for one in ({"unit": "x", "verdict": "pass", "error": "", "line": 0}, {"nonce": "", "held": [1]}):
        body = json.dumps(one).encode()
        os.write(fd, struct.pack(">I", len(body)) + body)
"""
# Each takes the place of every method's body; `*_` is whatever a test gives.
HOSTILE = {
    "leave": "import os\n        os._exit(0)",
    "leave politely": "raise SystemExit(0)",
    "leave by a test's own exit": "import unittest\n        unittest.main()",
    "skip": "import unittest\n        raise unittest.SkipTest('no')",
    "write to the reporter": "exec(FORGED)\n        os._exit(0)",
    "read the tests": (
        "import gc\n        [one for one in gc.get_objects() if 'assertEqual' in str(getattr(one, 'co_names', ''))]\n"
        "        import linecache\n        return str(linecache.cache)"
    ),
    "patch the comparison": (
        "from unittest import TestCase\n        TestCase.assertEqual = TestCase.assertTrue = lambda *_, **__: None\n"
        "        TestCase.assertIsNone = TestCase.assertEqual"
    ),
    "patch the failure": "from unittest import TestCase\n        TestCase.failureException = OSError\n        return 0",
    "patch the runner": "import unittest\n        unittest.TestResult.addFailure = lambda *_: None\n        return 0",
    "equal to everything": "return Equal()",
    "fork": "import os\n        if os.fork():\n            os._exit(0)",
    "fork for ever": "import os\n        while True:\n            os.fork()",
    "a thread that leaves": "import os, threading\n        threading.Timer(0.01, os._exit, (0,)).start()",
    "kill": "import os\n        os.kill(os.getppid(), 9)\n        os.kill(os.getpid(), 9)",
    "rename the tests": (
        "import gc, unittest\n        for one in unittest.TestCase.__subclasses__():\n"
        "            [delattr(one, name) for name in [*vars(one)] if name.startswith('test')]"
    ),
}
EQUAL = "class Equal(dict):\n    __eq__ = __bool__ = __contains__ = lambda *_: True\n    __hash__ = None\n"


def hostile(body):
    """A class all of whose methods do that, and what they may need."""
    methods = "\n".join(f"    def {name}(self, *_):\n        {body}\n" for name in ("record", "highest", "turns"))
    head = "    def __init__(self, name):\n        self.name, self.heights = name, {}\n"
    return f"import os\nFORGED = {FORGED!r}\n{EQUAL}\nclass TideTable:\n{head}\n{methods}"


def test_hostile_classes_get_no_pass():
    """Neither the class nor one of its test classes; the same at the time when the class is loaded."""
    names = [name for name in HOSTILE if name != "equal to everything"]
    early = [
        f"{hostile('return 0')}\nclass TideTable(TideTable):\n    def __init__(self, name):\n        {HOSTILE[n]}"
        for n in names
    ]
    texts = [hostile(body) for body in HOSTILE.values()] + early
    samples = grade_solutions(QUICK, [("Own/0", text) for text in texts])
    found = {name: one["units"] for name, one in zip([*HOSTILE, *names], samples, strict=True) if one["succeeded"]}
    assert found == {}
    assert not any(one["passed"] for one in samples)


READER = """
class TideTable:
    def __init__(self, name):
        self.heights = {}
    def highest(self):
        import dis, sys
        frame = sys._getframe(1)
        after = [one for one in dis.get_instructions(frame.f_code) if one.offset > frame.f_lasti]
        return next(one.argval for one in after if one.opname == "LOAD_CONST")
"""
SIMPLE = """
import unittest
class TestHighest(unittest.TestCase):
    def test_1(self):
        table = TideTable("North")
        table.heights = {30: 1.5, 60: 2.5}
        self.assertEqual(table.highest(), 60)
    def test_2(self):
        table = TideTable("North")
        table.heights = {90: 3.5, 60: 2.5}
        self.assertEqual(table.highest(), 90)
"""


def test_a_class_that_reads_the_expected_values_is_seen():
    """It finds each in the code of the test that calls it, and so does with others; a right class cannot."""
    made = classeval.ClassEval("Simple", {"Own/0": OWN.problems["Own/0"] | {"test": SIMPLE}})
    made.limits = QUICK.limits
    reader, right = grade_solutions(made, [("Own/0", READER), ("Own/0", RIGHT)])
    assert (reader["passed"], reader["verdict"], right["passed"]) == (False, "cheat", True)
    assert "expected values are changed" in reader["detail"]


def test_a_class_that_patches_what_tests_use_while_it_is_loaded_gains_nothing():
    """Before the tests are there: comparisons, results, and the runner are put back."""
    text = f"import unittest\nunittest.TestCase.assertEqual = lambda *_: None\n{hostile('return 0')}"
    (sample,) = grade_solutions(QUICK, [("Own/0", text)])
    assert not sample["passed"] and sample["succeeded"] == 0


def test_test_classes_find_files_of_their_own_only():
    """What one leaves in its folder, the next does not find; nor does a class find another program's."""
    right = OWN.problems["Own/2"]["solution_code"]
    leaves = right.replace("return sorted(name", "open('nowhere.json', 'w').write('[7')\n        return sorted(name")
    (first, second) = grade_solutions(QUICK, [("Own/2", leaves), ("Own/2", right)], workers=1)
    assert second["passed"] and first["passed"]


# ---- reading

METHOD = "    def turns(self):\n        return []\n"
READ = {
    "the first block of Python": (
        "Text\n```\nnone\n```\n```python\nclass A: pass\n```\n```python\nx\n```",
        "class A: pass",
    ),
    "a block without a name": ("Text\n```\nclass A: pass\n```", "class A: pass"),
    "what stands behind the prompt": (
        "```python\nno\n```\n### Response:\n```python\nclass A: pass\n```",
        "class A: pass",
    ),
    "between other marks": ("[INST] no [/INST] [PYTHON]\nclass A: pass\n[/PYTHON]", "class A: pass"),
    "from the class on": ("Sure, here it is:\nimport os\nclass A:\n    x = 1", "import os\nclass A:\n    x = 1"),
    "to the left": ("Sure:\n  class A:\n      x = 1\n", "class A:\n    x = 1"),
    "Python as a whole": ("LIMIT = 3\n\nclass A:\n    x = LIMIT", "LIMIT = 3\n\nclass A:\n    x = LIMIT"),
    "a fence that does not end": ("Sure:\n```python\nclass A:\n    x = 1", "class A:\n    x = 1"),
    "nothing": ("I cannot do this.", ""),
}


@pytest.mark.parametrize("name", READ)
def test_where_the_class_is_in_an_answer(name):
    text, code = READ[name]
    assert class_in(text).strip() == code


def test_published_outputs_are_read_strictly():
    """A block of Python that does not end is nothing to the official script."""
    text = READ["a fence that does not end"][0]
    assert OWN.completed("Own/0", text) == "" and OWN.solution("Own/0", text) != ""


METHODS_READ = {
    "in its class": (f"```python\nclass A:\n{METHOD}\n    def other(self): pass\n```", METHOD),
    "alone": ("```python\ndef turns(self):\n    return []\n```", METHOD),
    "in talk": ("The method:\n\n    def turns(self):\n        return []\n\nIt returns a list.", METHOD),
    "the prompt's line continued": (
        "def turns(self):\n            return []",
        "    def turns(self):\n                return []\n",
    ),
    "static": (
        "```python\ndef turns(n):\n    return n\n```",
        "    @staticmethod\n    def turns(n):\n        return n\n",
    ),
    "with decorators": (
        "@classmethod\ndef turns(cls):\n    return []",
        "    @classmethod\n    def turns(cls):\n        return []\n",
    ),
    "with a text at the margin": ('def turns(self):\n    return """\nx"""', None),
    "a docstring cut off": ('def turns(self):\n        """\n        Find', None),
    "missing": ("def other(self):\n    return []", ""),
}


@pytest.mark.parametrize("name", METHODS_READ)
def test_where_a_method_is_in_an_answer(name):
    """Whatever it is, a class that it is put into is Python."""
    text, code = METHODS_READ[name]
    found = method_in(text, "turns")
    assert code is None or found == code
    space = {}
    exec(f"class A:\n    x = 1\n\n{found}", space)
    assert hasattr(space["A"], "turns") == (name != "missing")


def test_methods_without_their_object_are_static_and_no_others():
    """As the official script marks them; a signature of several lines is read to its end."""
    code = "class A:\n    def f(n):\n        return n\n    @staticmethod\n    def g(self):\n        return 1\n"
    code += "    def h(\n        self,\n    ):\n        return 2\n    @classmethod\n    def i(cls):\n        return 3\n"
    space = {}
    exec(with_static_methods(code), space)
    assert [space["A"].f(7), space["A"]().g(), space["A"]().h(), space["A"].i()] == [7, 1, 2, 3]


def test_a_module_of_cases_is_split_with_what_they_share():
    """Imports, helpers and fixtures go with each; what runs when the module is started goes with none."""
    text = (
        "import unittest\nLIMIT = 3\nclass Base(unittest.TestCase):\n    def setUp(self): pass\n"
        "class One(Base):\n    def test_1(self): pass\nclass Two(Base):\n    def test_2(self): pass\n"
        "if __name__ == '__main__':\n    unittest.main()\n"
    )
    found = by_test_class(text)
    assert [*found] == ["One", "Two"]
    assert all(part in found["One"] for part in ("import unittest", "LIMIT", "class Base", "class One"))
    assert "Two" not in found["One"] and "main()" not in found["Two"]


def test_prompts_are_the_training_template():
    problem = OWN.problems["Own/0"]
    asked = OWN.prompt("Own/0")
    assert asked == render_prompt(f"Complete the class TideTable in the code below.\n{problem['skeleton']}")
    assert (
        OWN.raw_prompt("Own/0", "unstripped") == asked + "```python" and OWN.stop == () and OWN.raw_stop == ("\n```\n",)
    )


# ---- scores


def counted(task, succeeded, units):
    """A sample as far as scores look at it."""
    statuses = {f"{task}{number}": "pass" if number < succeeded else "fail" for number in range(units)}
    return {
        "task_id": task,
        "passed": succeeded == units,
        "succeeded": succeeded,
        "test_classes": units,
        "units": statuses,
    }


def test_method_level_is_a_share_of_all_test_classes():
    """Not a mean over classes; two samples of a class count as one, by halves."""
    for samples in ([counted("a", 1, 2)], [counted("a", 0, 2), counted("a", 2, 2)]):
        found = OWN.values([*samples, counted("b", 6, 6)])
        methods, classes = found[f"{OWN.name} methods"], found[f"{OWN.name} classes"]
        assert sum(methods.values()) / len(methods) == 7 / 8 and set(methods) == {"a", "b"}
        assert classes == {"a": (len(samples) - 1) / 2, "b": 1}


def test_the_official_counts_leave_out_what_its_faults_fail():
    """A class that passes only here; a test class that it cannot find, and one that it counts besides."""
    late = counted("ClassEval_97", 3, 3)
    late["units"] = {"Words2NumbersTestMain": "pass", "x": "pass", "y": "pass"}
    samples = [late, counted("ClassEval_69", 3, 3), counted("ClassEval_1", 6, 6)]
    assert as_official(samples) == {"classes": 1, "test_classes": 11, "of": 13}


# ---- what is missing or wrong, in one line


@pytest.mark.shared
def test_damaged_or_other_data_are_refused(tmp_path):
    whole = gzip.decompress((DATA / "ClassEval_data.json.gz").read_bytes())
    cut = tmp_path / "ClassEval_data.json"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StudyError, match=r"^cannot read the benchmark [^\n]*$"):
        load_benchmark("classeval", cut)
    rows = json.loads(whole)
    rows[3]["test"] += "\n"
    cut.write_text(json.dumps(rows))
    with pytest.raises(StudyError, match=r"^[^\n]* has rows of sha256 [^\n]*$"):
        load_benchmark("classeval", cut)
    del rows[3]["skeleton"]
    cut.write_text(json.dumps(rows))
    with pytest.raises(StudyError, match=r"^[^\n]* has a task without 'skeleton': it is not a file of ClassEval$"):
        load_benchmark("classeval", cut)
    cut.write_text(json.dumps(json.loads(whole)[::-1], indent=2))  # the same rows, written otherwise
    assert load_benchmark("classeval", cut).sha256 == load_benchmark("classeval", DATA).sha256


@pytest.mark.shared
def test_samples_of_unknown_tasks_are_refused(tmp_path):
    file = tmp_path / "samples.jsonl"
    file.write_text(json.dumps({"task_id": "ClassEval_100", "completion": "class A: pass"}))
    with pytest.raises(StudyError, match=r"^samples.jsonl:1: 'ClassEval_100' is no task: [^\n]*ClassEval_0[^\n]*$"):
        solutions(classeval.load(DATA), file)


@pytest.mark.shared
def test_a_missing_interpreter_or_library_is_named(tmp_path, monkeypatch):
    """Grading needs it; loading and asking do not."""
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path))
    monkeypatch.delenv("CLASSEVAL_PYTHON", raising=False)
    scored = classeval.load(DATA)
    with pytest.raises(
        StudyError, match=r"^classeval is graded with packages of its own[^\n]*make benchmark-env[^\n]*$"
    ):
        grade(scored, {"ClassEval_1": ""})
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    monkeypatch.setenv("CLASSEVAL_PYTHON", str(tmp_path / "bare" / "bin" / "python"))
    with pytest.raises(StudyError, match=r"^[^\n]*bare/bin/python lacks beautifulsoup4, gensim, [^\n]*benchmark-env`$"):
        grade(scored, {"ClassEval_1": ""})
