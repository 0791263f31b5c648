"""LiveCodeBench: graded as officially but for listed differences; data read, pinned, refused; hostile answers fail."""

import base64
import gzip
import json
import os
import pickle
import random
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lib.core.paths import ROOT
from lib.core.records import StudyError
from lib.core.template import render_prompt
from lib.evaluate.benchmark import RESPONSE_PREFIX
from lib.evaluate.benchmarks import livecodebench, livecodebench_data, load_benchmark
from lib.evaluate.benchmarks.livecodebench import LiveCodeBench, own, own_problems
from lib.evaluate.grading import grade, grade_solutions, public
from lib.evaluate.oracles.livecodebench import NOTHING, printed, returned
from lib.evaluate.scoring import score
from lib.sandbox import landlock

SHARED = Path(__file__).resolve().parents[3] / "shared/benchmarks"
DERIVED = SHARED / "livecodebench/lcb_release_v1_400_derived.jsonl.gz"
TIERS = ("bubblewrap", "landlock") if landlock.abi() else ("bubblewrap",)
MODELS = ("o1_mini", "o1_preview")
# Where our verdict on a published program differs from the published one: (task, model) -> ours. All of it lies in the
# derived tests. Those that we fail do as well as other accepted programs; the derived outputs are not what the contest
# expects. Those that we pass were rejected by tests of the contest that are not among the hundred derived ones.
DIFFER = {
    ("3166", "o1_mini"): False,
    ("3166", "o1_preview"): False,
    ("3196", "o1_mini"): False,
    ("3291", "o1_preview"): False,
    ("3196", "o1_preview"): True,
    ("3229", "o1_preview"): True,
    ("3230", "o1_preview"): True,
    ("3233", "o1_mini"): True,
    ("3233", "o1_preview"): True,
}
ACCEPTED_AND_FAILING: set = set()


def made(folder: Path, tests, method: str = "", name: str = "made.jsonl", **fields) -> LiveCodeBench:
    """A benchmark of one problem, `x`, from a file in the hub's form: (input, output) of its public tests."""
    kind = "functional" if method else "stdin"
    row = {
        "question_title": "x", "question_content": "Do it.", "platform": "atcoder", "question_id": "x",
        "contest_id": "c", "contest_date": "2024-01-01T00:00:00", "difficulty": "easy",
        "starter_code": f"class Solution:\n    def {method}(self, x):\n        " if method else "",
        "public_test_cases": json.dumps([{"input": i, "output": o, "testtype": kind} for i, o in tests]),
        "private_test_cases": "", "metadata": json.dumps({"func_name": method} if method else {}), **fields,
    }  # fmt: skip
    (folder / name).write_text(json.dumps(row) + "\n")
    found = livecodebench.load(folder / name)
    found.seconds = 0.5
    return found


def packed(tests, kind: str = "stdin") -> str:
    """Tests as the hub has private ones."""
    text = json.dumps([{"input": i, "output": o, "testtype": kind} for i, o in tests])
    return base64.b64encode(zlib.compress(pickle.dumps(text))).decode()


# ---- agreement with the official verdicts --------------------------------------------------------------------------


def official() -> dict:
    """(task, model) -> code and verdict of o1-mini and o1-preview, as the leaderboard's authors published them."""
    lines = gzip.decompress((SHARED / "validation/lcb_v1_o1_official_graded.jsonl.gz").read_bytes()).splitlines()
    rows = [json.loads(line) for line in lines]
    return {(row["question_id"], model): row[model] for row in rows for model in MODELS}


def more_tests(scored: LiveCodeBench) -> list[str]:
    return [task for task, problem in scored.problems.items() if problem["graded_on"] != "sample"]


def compared(scored: LiveCodeBench, tasks) -> dict:
    """(task, model) -> (official verdict, ours, why) of both models' programs for these tasks."""
    given = {key: one for key, one in official().items() if key[0] in tasks}
    samples = grade_solutions(scored, [(task, one["code"]) for (task, _), one in given.items()])
    return {
        key: (one["graded"], sample["passed"], sample["detail"])
        for (key, one), sample in zip(given.items(), samples, strict=True)
    }


@pytest.mark.shared
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_published_programs_get_their_published_verdicts(whole):
    """On the 127 problems with more tests; without SLOW=1 on a seeded fifth. Those that differ are listed."""
    scored = load_benchmark("livecodebench", DERIVED)
    tasks = more_tests(scored)
    assert len(tasks) == 127
    if not whole:
        tasks = random.Random(0).sample(tasks, 25)
    found = compared(scored, tasks)
    assert len(found) == 2 * len(tasks)
    differ = {key: ours for key, (theirs, ours, _) in found.items() if theirs != ours}
    assert differ == {key: ours for key, ours in DIFFER.items() if key[0] in tasks}
    assert (
        not whole or 1 - len(differ) / len(found) > 0.9645
    )  # 245 of 254, the 96.5 % that this data set's maker measured


@pytest.mark.shared
@pytest.mark.slow
def test_on_sample_tests_alone_few_accepted_programs_fail():
    """What was accepted officially passes the statement's tests; what was rejected often does, too: hence the label."""
    scored = load_benchmark("livecodebench", DERIVED)
    tasks = set(scored.problems) - set(more_tests(scored))
    assert f"({len(tasks)} of 400 tasks on sample tests alone)" in scored.version
    found = compared(scored, tasks)
    failed = {key for key, (theirs, ours, _) in found.items() if theirs and not ours}
    assert failed == ACCEPTED_AND_FAILING
    assert sum(theirs for theirs, *_ in found.values()) > 300


# ---- gold, wrong and hostile answers -------------------------------------------------------------------------------


def test_our_own_solutions_pass_whichever_way_they_are_asked_for():
    """Through prompt and completion, raw prompt and completion, and as anybody's answer with prose around a block."""
    scored, task = own(), "own_stops"
    assert len(scored.problems) == 3 and scored.quotable and scored.version == "1"
    gold = {task: scored.canonical(task) for task in scored.problems}
    asked = {task: f"\n{code}```\nThis works." for task, code in gold.items()}
    assert all(sample["passed"] for sample in grade(scored, asked))
    assert all(
        sample["passed"] for sample in grade(scored, {t: f"{c}\n\n### Question\nx" for t, c in gold.items()}, raw=True)
    )
    talk = f"First:\n```\nx\n```\nBetter:\n```python\n{gold[task]}```\nDone."
    assert scored.completed(task, talk) == gold[task] == scored.completed(task, gold[task])
    assert scored.completed(task, f"```python\n{gold[task]}") == ""  # as officially: it has no end
    examples = LiveCodeBench("examples", own_problems(), "1")
    samples = grade_solutions(examples, [(task, examples.canonical(task)) for task in own_problems()])
    assert len(samples) == 5 and all(sample["passed"] for sample in samples)


# For own_flags, own_ledger and own_stops: kind -> (task, answer, how its detail begins).
FLAGS = "k = int(input())\ns = input()\n"
WRONG = {
    "another value": ("own_flags", f"{FLAGS}print(len(s))", "test 1 of 4: 12 is not 6"),
    "nothing printed": ("own_flags", FLAGS, "test 1 of 4: is not 6"),
    "a word more": ("own_flags", f"{FLAGS}print('answer', 6)", "test 1 of 4: answer 6 is not 6"),
    "a line more": ("own_flags", f"{FLAGS}print(6)\nprint(6)", "test 1 of 4: 6 6 is not 6"),
    "printed elsewhere": ("own_flags", f"{FLAGS}import sys\nprint(6, file=sys.stderr)", "test 1 of 4: is not 6"),
    "right for one input only": ("own_flags", f"{FLAGS}print(6)", "test 2 of 4: 6 is not 0"),
    "another order": ("own_ledger", "print('6\\nmia')", "test 1 of 4: 6 mia is not mia 6"),
    "rounded": ("own_ledger", "print('mia\\n6.0000001')", "test 1 of 4: mia 6.0000001 is not mia 6"),
    "no Python": ("own_flags", "print(", "test 1 of 4: SyntaxError"),
    "an exception": ("own_flags", f"{FLAGS}1 / 0", "test 1 of 4: ZeroDivisionError"),
    "reads too much": ("own_flags", f"{FLAGS}input()", "test 1 of 4: EOFError"),
    "a missing library": ("own_flags", "import torch", "test 1 of 4: ModuleNotFoundError: No module named 'torch'"),
    "no end": ("own_flags", "while True: pass", "test 1 of 4: not finished within 0.6 s"),
    "another method": ("own_stops", "class Solution:\n    def far(self, *_): return []", "test 1 of 4: AttributeError"),
    "None": ("own_stops", "class Solution:\n    def farHouses(self, *_): pass", "test 1 of 4: None is not [25, 60]"),
    "a text": ("own_stops", "class Solution:\n    def farHouses(self, *_): return '[25, 60]'", "test 1 of 4"),
    "printed, not returned": ("own_stops", "class Solution:\n    def farHouses(self, *_): print([25, 60])", "test 1"),
    "too few arguments": ("own_stops", "class Solution:\n    def farHouses(self): return []", "test 1 of 4: TypeError"),
    "an iterator": ("own_stops", "class Solution:\n    def farHouses(self, *_): return iter([25, 60])", "test 1 of 4"),
    "nothing": ("own_stops", "", "test 1 of 4: AttributeError"),
}  # fmt: skip


def test_wrong_answers_fail_and_say_where():
    scored = own()
    scored.seconds = 0.3
    samples = grade_solutions(scored, [(task, code) for task, code, _ in WRONG.values()])
    for (kind, (_, _, detail)), sample in zip(WRONG.items(), samples, strict=True):
        assert not sample["passed"] and sample["detail"].startswith(detail), (kind, sample["detail"])
        assert sample["verdict"] == ("timeout" if kind == "no end" else "fail")
        assert "\n" not in sample["detail"] and sample["graded_on"] == "private"


# What a hostile answer may do before it gives a wrong output, in a program and in a method.
FIND = """
import gc, sys
def everything():
    frame = sys._getframe()
    while frame:
        yield frame.f_globals
        yield frame.f_locals
        frame = frame.f_back
    yield from (one for one in gc.get_objects() if isinstance(one, dict))
"""
HOSTILE = {
    "leaves": "import os\nos._exit(0)",
    "exits": "raise SystemExit(0)",
    "raises no exception's kind": "raise KeyboardInterrupt",
    "stores a report": FIND + "for space in list(everything()):\n    for value in list(space.values()):\n"
    "        if type(value).__name__ == 'Report':\n"
    "            value.store({'status': 'ended', 'why': '', 'digests': '0' * 64, 'heads': []})\n"
    "            type(value).store = lambda *_: None",
    "stores no digests": FIND + "for space in list(everything()):\n    for value in list(space.values()):\n"
    "        if type(value).__name__ == 'Report':\n            value.text = '{\"status\": \"ended\"}'\n"
    "            type(value).store = lambda *_: None",
    "writes to the channel": "import json, os, struct\nbody = json.dumps({'nonce': '', 'held': [1]}).encode()\n"
    "for fd in range(3, 64):\n    try:\n        os.write(fd, struct.pack('>I', len(body)) + body)\n"
    "    except OSError:\n        pass",
    "reads what is expected": FIND + "for space in list(everything()):\n    for name, value in list(space.items()):\n"
    "        if 'expect' in str(name) or 'digest' in str(name):\n            print(value)",
    "patches the digests": FIND + "for space in list(everything()):\n"
    "    for name in ('printed', 'returned', 'digest'):\n"
    "        if name in space:\n            space[name] = lambda _: '0' * 16",
    "patches the rules": "import hashlib, json, builtins\nbuiltins.zip = lambda *_: []\n"
    "json.dumps = lambda *_, **__: '\"\"'\nhashlib.sha256 = None",
    "sleeps": "import time\ntime.sleep(1e6)",
    "sleeps through its alarm": "import signal, time\nfor s in range(1, 30):\n    try:\n"
    "        signal.signal(s, signal.SIG_IGN)\n    except OSError:\n        pass\ntime.sleep(1e6)",
    "forks": "import os\nif os.fork():\n    os.wait()\n    os._exit(0)",
    "forks and goes on twice": "import os\nos.fork()",
    "forks without end": "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
    "takes all memory": "x = []\nwhile True:\n    x.append(bytearray(10**8))",
    "floods": "import os\nwhile True:\n    os.write(1, b'x' * 10**6)",
}  # fmt: skip


def test_hostile_answers_do_not_pass(tmp_path):
    """In a program and in a method, each before a wrong output; and the box gives the next answer its right verdict."""
    program = made(tmp_path, [("1\n", "2\n"), ("2\n", "4\n")], name="program.jsonl")
    method = made(tmp_path, [("1", "2"), ("2", "4")], "twice", name="method.jsonl")
    for scored in (program, method):
        scored.limits = replace(scored.limits, memory_mb=1024, files_mb=16)
        scored.seconds, scored.slack = 0.2, (0.0, 0.3)
    right = "print(2 * int(input()))  # after: "
    pairs = [pair for kind, code in HOSTILE.items() for pair in (("x", f"{code}\nprint(0)"), ("x", right + kind))]
    samples = grade_solutions(program, pairs)
    assert [kind for kind, sample in zip(HOSTILE, samples[::2], strict=True) if sample["passed"]] == []
    assert all(sample["passed"] for sample in samples[1::2])
    within = [
        f"class Solution:\n    def twice(self, x):\n{indented(code)}\n        return 0" for code in HOSTILE.values()
    ]
    samples = grade_solutions(method, [("x", code) for code in within])
    assert [kind for kind, sample in zip(HOSTILE, samples, strict=True) if sample["passed"]] == []
    assert all(sample["detail"] and "\n" not in sample["detail"] for sample in samples)


def indented(code: str) -> str:
    return "\n".join(f"        {line}" for line in code.splitlines())


# ---- what counts as right ------------------------------------------------------------------------------------------

# Programs that double a number, as people write them; some of them the official harness cannot run.
PROGRAMS = {
    "input": "print(2 * int(input()))",
    "the lines": "import sys\nfor line in sys.stdin:\n    print(2 * int(line))",
    "read at once": "import sys\nprint(2 * int(sys.stdin.read()))",
    "as bytes": "import sys\nsys.stdout.buffer.write(b'%d' % (2 * int(sys.stdin.buffer.readline())))",
    "another name": "from sys import stdin, stdout\ninput = stdin.readline\nstdout.write(str(2 * int(input())))",
    "a descriptor": "print(2 * int(open(0).read()))",
    "system calls": "import os\nos.write(1, str(2 * int(os.read(0, 9))).encode())",
    "without imports": "print(reduce(add, [int(stdin.readline())] * 2))\ndeque([List])",
    "a guard": "def main():\n    print(2 * int(input()))\nif __name__ == '__main__':\n    main()",
    "global": "n = 0\ndef read():\n    global n\n    n = int(input())\nread()\nprint(2 * n)",
    "a thread": "import threading\nthreading.Thread(target=lambda: print(2 * int(input()))).start()",
    "an exit function": "import atexit\natexit.register(lambda: print(2 * n))\nn = int(input())",
    "an exit": "import sys\nprint(2 * int(input()))\nsys.exit(1)",
    "quit": "print(2 * int(input()))\nquit()",
    "a future": "from __future__ import annotations\nprint(2 * int(input()))",
    "deep": "def f(n): return n and 1 + f(n - 1)\nassert f(20000) == 20000\nprint(2 * int(input()))",
    "own output": "import io, sys\nsys.stdout = io.StringIO()\nprint(2 * int(input()))\n"
    "sys.__stdout__.write(sys.stdout.getvalue())",
    "NumPy": "import numpy as np\nprint((np.array([int(input())]) * 2)[0])",
    "closes its input": "import os\nprint(2 * int(input()))\nos.close(0)",
    "as a decimal": "print(f'{2 * int(input()):.3f}')",
    "blanks": "print(f'\\n  {2 * int(input())} \\n\\n')",
}  # fmt: skip
METHODS = {
    "a method": "class Solution:\n    def twice(self, x: List[int]) -> List[int]:\n        return [2 * n for n in x]",
    "a function": "def twice(x):\n    return [2 * n for n in x]",
    "a tuple": "class Solution:\n    def twice(self, x):\n        return tuple(2 * n for n in x)",
    "NumPy's numbers": "import numpy as np\nclass Solution:\n    def twice(self, x): return list(np.array(x) * 2)",
    "prints, too": "class Solution:\n    def twice(self, x):\n        print(x)\n        return [n * 2.0 for n in x]",
}  # fmt: skip


def test_a_right_answer_passes_however_it_is_written(tmp_path):
    program = made(tmp_path, [("21\n", "42\n"), ("-1\n", "-2\n"), ("0\n", "0\n")], name="program.jsonl")
    samples = grade_solutions(program, [("x", code) for code in PROGRAMS.values()])
    assert [(kind, one["detail"]) for kind, one in zip(PROGRAMS, samples, strict=True) if not one["passed"]] == []
    method = made(tmp_path, [("[1, 2]", "[2, 4]"), ("[]", "[]")], "twice", name="method.jsonl")
    samples = grade_solutions(method, [("x", code) for code in METHODS.values()])
    assert [(kind, one["detail"]) for kind, one in zip(METHODS, samples, strict=True) if not one["passed"]] == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1\n", "1", True), (" a \n b\n\n", "a\nb", True), ("a\n\nb", "a\nb", False), ("a b", "a  b", False),
        ("1 2", "1  2", True), ("1.0", "1", True), ("1e3 -0", "1000 0", True), ("1 a", "1.0 a", False),
        ("50000000000000000", "50000000000000001", False), ("0.1", "0.10000000000000000000000000000001", False),
        ("100", "10", False), ("", "\n", True), ("Yes", "YES", False), ("nan", "nan", True), ("1\n2", "1 2", False),
    ],
)  # fmt: skip
def test_printed_lines_are_compared_as_officially(one, other, same):
    assert (printed(one) == printed(other)) is same


def value(rng: random.Random, depth: int = 3):
    """A random value that JSON can hold, of few different ones, so that many are equal."""
    kind = rng.randrange(8 if depth else 6)
    if kind < 6:
        return rng.choice([None, True, False, 0, 1, 1.0, 2, 0.5, -1, "1", "", "a", 10**30, float(10**22), 10**22])
    items = [value(rng, depth - 1) for _ in range(rng.randrange(3))]
    return items if kind == 6 else {str(place): item for place, item in enumerate(items)}


def test_returned_values_are_compared_as_python_does():
    rng, equal = random.Random(1), 0
    for _ in range(3000):
        one, other = value(rng), value(rng)
        assert (returned(one) == returned(other)) is (one == other), (one, other)
        equal += one == other
    assert equal > 150
    assert returned((1, [2])) == returned([1, [2]]) != returned([1, (2,)])
    assert returned(np.int64(3)) == returned(3) and returned([np.bool_(True), np.float64(0.5)]) == returned([1, 0.5])
    circle: list = []
    circle.append(circle)
    for nothing in ({1}, object(), iter([]), np.array([1, 2]), b"1", circle):
        assert returned(nothing) == NOTHING


# ---- data ----------------------------------------------------------------------------------------------------------


def test_a_problem_in_the_hubs_form_is_graded_on_all_its_tests(tmp_path):
    """Public and private ones, inputs of several MiB among them; the private ones are read when they are run."""
    large = " ".join(map(str, range(600_000)))
    scored = made(tmp_path, [("1 2\n", "3\n")], private_test_cases=packed([(large, str(sum(range(600_000))))]))
    scored.seconds = 6.0
    assert len(large) > 4_000_000 and len(json.dumps(scored.problems["x"], default=str)) < 2000
    assert scored.version == "version unpinned" and scored.problems["x"]["graded_on"] == "private"
    answers = ["print(sum(map(int, input().split())))", "print(3)", "print(sum(map(int, input()[:99].split())))"]
    samples = grade_solutions(scored, [("x", answer) for answer in answers])
    assert [sample["passed"] for sample in samples] == [True, False, False]
    assert samples[1]["detail"].startswith("test 2 of 2: 3 is not 179999700000")
    plain = made(tmp_path, [], private_test_cases=json.dumps([{"input": "1", "output": "1", "testtype": "stdin"}]))
    assert plain.tests("x") == [("1", "1")]
    with pytest.raises(StudyError, match=r"made.jsonl has changed since it was loaded: begin anew"):
        livecodebench_data.tests_of(scored.problems["x"])


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/evil_livecodebench",)


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(zlib.compress(pickle.dumps(Evil()))).decode(),
        base64.b64encode(zlib.compress(pickle.dumps(bytearray(b"x")))).decode(),
        base64.b64encode(zlib.compress(pickle.dumps(7))).decode(),
        base64.b64encode(zlib.compress(pickle.dumps("{}")))[:-9].decode(),
        base64.b64encode(b"no zlib").decode(), "no base64!", "[", '[{"input": "1"}]', '[1]',
        packed([])[:20],
    ],
)  # fmt: skip
def test_private_tests_that_are_no_text_are_refused(text):
    """And nothing in them is run."""
    with pytest.raises(
        StudyError, match="^private tests of LiveCodeBench cannot be read .*: get the file again$"
    ) as refused:
        livecodebench_data.private_tests(text)
    assert "\n" not in str(refused.value) and not Path("/tmp/evil_livecodebench").exists()


def test_a_file_that_is_no_release_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "some.jsonl"
    for content, complaint in [
        (b"", "some.jsonl holds no problem of LiveCodeBench"),
        (b"{", "the line at byte 0 is no problem of LiveCodeBench"),
        (b"\n[1]\n", "the line at byte 1 is no problem"),
        (b'{"question_id": "x"}', "is no problem of LiveCodeBench: KeyError"),
        (b'"\xff"', "is no problem of LiveCodeBench: UnicodeDecodeError"),
    ]:
        file.write_bytes(content)
        with pytest.raises(StudyError, match=complaint) as refused:
            livecodebench.load(file)
        assert "\n" not in str(refused.value)
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 1000)[:12])
    for name in ("cut.jsonl.gz", "absent.jsonl"):
        with pytest.raises(StudyError, match=f"cannot read the benchmark .*{name}.*; give the path of an intact file"):
            livecodebench.load(tmp_path / name)
    made(tmp_path, [("1", "1")], name="test.jsonl")
    assert list(livecodebench.load(tmp_path).problems) == ["x"], "the hub's folder"
    with pytest.raises(StudyError, match="test.jsonl has 1 problems, release_v1 has 400"):
        load_benchmark("livecodebench@release_v1", tmp_path)
    with pytest.raises(
        StudyError, match="has no test2.jsonl, and release_v5 is test.jsonl .* test5.jsonl: get it, too"
    ):
        load_benchmark("livecodebench@release_v5", tmp_path)
    with pytest.raises(StudyError, match="livecodebench has no version 'release_v9'; choose release_v1 or release_v5"):
        load_benchmark("livecodebench@release_v9", tmp_path)


@pytest.mark.shared
def test_the_derived_releases_are_known_and_have_the_papers_windows():
    first = load_benchmark("livecodebench@release_v1", SHARED / "livecodebench")
    assert first.version == "release_v1, derived tests (273 of 400 tasks on sample tests alone)"
    named = first.values([{"task_id": task, "passed": True} for task in first.problems])
    assert {name: len(found) for name, found in named.items()} == {
        "LiveCodeBench code generation": 400,
        "LiveCodeBench from 2023-09-01": 238,
        "LiveCodeBench from 2023-07-01": 327,
        "LiveCodeBench from 2023-05-01": 400,
        "LiveCodeBench, more than sample tests": 127,
    }
    later = load_benchmark("livecodebench@release_v5", SHARED / "livecodebench")
    assert later.version == "release_v5, derived tests (752 of 880 tasks on sample tests alone)"
    assert later.name == "LiveCodeBench v5"  # both releases can be scored at once
    assert set(first.problems) <= set(later.problems)
    assert not set(later.since(later.problems, "2024-03-03")) & set(first.problems)
    later.windows = ("2024-12-01", "2025-02-01")
    named = later.values([{"task_id": task, "passed": False} for task in later.problems])
    after = named["LiveCodeBench v5 from 2024-12-01"]
    assert after and set(after) == set(later.since(later.problems, "2024-12-01")) and not any(after.values())
    assert "LiveCodeBench v5 from 2025-02-01" not in named  # it has no contest so late
    with pytest.raises(StudyError, match="has 880 problems, release_v1 has 400"):
        load_benchmark("livecodebench@release_v1", SHARED / "livecodebench/lcb_v5_880_derived.jsonl.gz")


@pytest.mark.shared
def test_a_task_without_tests_is_passed_by_nothing():
    """Two problems are interactive: no program can pass them, officially either."""
    scored = load_benchmark("livecodebench", DERIVED)
    (sample,) = grade_solutions(scored, [("abc337_e", "print(1)")])
    assert (sample["passed"], sample["detail"]) == (False, "the task has no tests: no program can pass")


# ---- asking, publishing, the command -------------------------------------------------------------------------------


def test_prompts_have_the_official_parts():
    """The template with an open fence; for base models one solved example of the same kind, up to the answer."""
    scored = own()
    for task, problem in scored.problems.items():
        prompt, raw = scored.prompt(task), scored.raw_prompt(task, "unstripped")
        assert prompt == render_prompt(scored.instruction(task)) + RESPONSE_PREFIX
        assert problem["question_content"] in prompt and ("standard input" in prompt) is (not problem["starter_code"])
        assert raw.count("### Question\n") == 2 and raw.endswith("### Answer\n\n")
        assert raw.count("### Starter Code\n") == (2 if problem["starter_code"] else 0)
        assert problem["canonical_solution"] not in prompt + raw and "own_" not in prompt + raw
    assert scored.raw_solution("own_flags", "\nx = 1\n# y\n### Question\nz") == "x = 1\n# y\n"


def test_what_is_published_quotes_nothing(tmp_path):
    """Of a problem that is not ours: numbers, kinds of verdict, the hash of an answer."""
    scored = made(tmp_path, [("a secret\n", "no secret\n")])
    samples = grade_solutions(scored, [("x", "print('a guess')")])
    assert "no secret" in samples[0]["detail"] and not scored.quotable
    shown = json.dumps(public(scored, samples))
    assert "secret" not in shown and "guess" not in shown and '"verdict": "fail"' in shown
    assert score(scored, samples, 100, 0)["pass@1"]["value"] == 0


@pytest.mark.parametrize("tier", TIERS)
def test_anybodys_samples_are_graded(tmp_path, tier):
    """By the command, in both tiers; a sample of an unknown task is refused in one line."""
    scored, lines = own(), []
    for task in scored.problems:
        lines += [{"task_id": task, "solution": scored.canonical(task)}, {"task_id": task, "completion": "```\nx\n```"}]

    def run(lines) -> subprocess.CompletedProcess:
        (tmp_path / "samples.jsonl").write_text("\n".join(map(json.dumps, lines)))
        command = [sys.executable, "-m", "lib.evaluate", "grade", "--benchmark", "livecodebench"]
        command += ["--data", livecodebench.OWN, "--samples", tmp_path / "samples.jsonl", "--out", tmp_path / "out"]
        environment = os.environ | {"STUDY_SANDBOX": tier}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    done = run(lines)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [row["passed"] for row in rows] == [True, False] * 3 and "pass@1 50.0 %" in done.stdout
    assert "NameError" in rows[1]["detail"] and tier in done.stdout
    refused = run([{"task_id": "abc999_z", "solution": ""}])
    assert refused.returncode == 2 and "'abc999_z' is no task: LiveCodeBench" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
