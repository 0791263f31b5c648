"""CanItEdit: published verdicts reproduced; gold edits pass, wrong and hostile ones do not; excess code."""

import base64
import difflib
import gzip
import json
import random
import sys
from collections.abc import Iterable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib.core.paths import ROOT
from lib.core.records import StudyError, content_id
from lib.core.template import render_prompt
from lib.evaluate import benchmarks
from lib.evaluate.__main__ import main, solutions
from lib.evaluate.benchmark import STOP
from lib.evaluate.benchmarks import canitedit, load_benchmark
from lib.evaluate.benchmarks.canitedit import CanItEdit, as_they_act, with_main
from lib.evaluate.data import problems_of
from lib.evaluate.environments import python_of
from lib.evaluate.grading import grade, grade_solutions, public, run_all
from lib.evaluate.oracles import canitedit as oracle
from lib.evaluate.scoring import score
from lib.evaluate.sources import CANITEDIT

SHARED = ROOT.parent / "shared/benchmarks"
FILE = SHARED / "canitedit/canitedit.jsonl.gz"
PUBLISHED = SHARED / "validation/canitedit_starcoder2-15b_results.jsonl.gz"
OWN = canitedit.own()
QUICK = copy(OWN)
QUICK.limits = replace(OWN.limits, cpu_seconds=0.1)
AVERAGE, SHELF, SEATS = (f"{name}/lazy" for name in ("1_moving_average", "2_library_shelf", "3_seat_codes"))
# Programs left to slow tests: those that measure time or search, and iterators, which never end with a stub.
HEAVY = {"11_fibonacci", "16_interpreter", "29_genetic_algorithm", "47_merge_sort", "53_minimax_to_alphabeta"}
HEAVY |= {"55_bm25", "60_unique_number"}
# Programs of which no answer can be graded without torch or vllm.
WITHOUT = {
    "26_kl_divergence",
    "30_cross_correlation",
    "41_group_theory",
    "78_llm_inference",
    "98_encoder_decoder_dataset",
}


def scored() -> CanItEdit:
    """The copy for tests, in the locked interpreter, or in the study's own, which has no libraries for programs."""
    facts, programs = problems_of(CANITEDIT, FILE)
    try:
        python = python_of("canitedit")
    except StudyError:
        python = ""
    return CanItEdit("CanItEdit", programs, python, **facts)


def light(tasks: Iterable[str]) -> list[str]:
    """The tasks that do not take seconds."""
    return [task for task in tasks if task.partition("/")[0] not in HEAVY]


# ---- asking and reading ---------------------------------------------------------------------------------------------


def test_both_formats_are_asked() -> None:
    """The authors' headers for a base model, their conversation in the study's template; nothing that answers."""
    problem = OWN.problems[AVERAGE]
    before, instruction = problem["before"], problem["instruction_lazy"]
    asked = f"## Code Before:\n{before}\n## Instruction:\n{instruction}\n## Code After:\n"
    assert OWN.raw_prompt(AVERAGE, "unstripped") == asked
    assert OWN.raw_stop == ("## Code After:", "## Instruction:", "## Code Before:") and OWN.stop == STOP
    shown = f"## Code Before\n```py\n{before}\n```\n\n## Instruction\n{instruction}\n\n## Code After"
    assert OWN.prompt(AVERAGE) == render_prompt(f"{canitedit.CHAT.partition('##')[0]}{shown}") + "```python"
    detailed = AVERAGE.replace("lazy", "descriptive")
    assert problem["instruction_descriptive"] in OWN.prompt(detailed) and OWN.kind(detailed) == "corrective"
    for task in OWN.problems:
        for prompt in (OWN.prompt(task), OWN.raw_prompt(task, "unstripped")):
            assert OWN.problems[task]["after"] not in prompt and "START TESTS" not in prompt


@pytest.mark.parametrize(
    ("completion", "code"),
    [
        ("\nx = 1\n", "x = 1\n\n"),
        ("\nx = 1\n```\nThat is all.\n```python\ny = 2\n```", "x = 1\n"),
        ("\ns = '''\n```\n'''\n```\n", "s = '''\n```\n'''\n"),
        ("", "\n"),
    ],
)
def test_an_answer_is_the_first_block_which_the_prompt_has_opened(completion: str, code: str) -> None:
    assert OWN.solution(AVERAGE, completion) == code


def test_other_answers() -> None:
    """A base model's ends at a header; a file of samples may have a conversation's answer, or the program alone."""
    assert OWN.raw_solution(AVERAGE, "x = 1\n## Instruction:\nmore") == "x = 1\n"
    assert OWN.raw_solution(AVERAGE, "x = '```'") == "x = '```'"
    assert OWN.completed(AVERAGE, "Here it is:\n```py\nx = 1\n```\nDone.") == "x = 1\n"
    assert OWN.completed(AVERAGE, "x = '```'") == "x = '```'"


# ---- our own edits --------------------------------------------------------------------------------------------------


def test_our_own_edits_are_one_of_each_kind_and_not_the_benchmarks() -> None:
    assert {OWN.kind(task) for task in OWN.problems} == set(canitedit.KINDS) and len(OWN.problems) == 6
    assert OWN.quotable and not OWN.absent and not OWN.elsewhere and OWN.choose(6, 0)
    samples = grade_solutions(OWN, [(task, OWN.canonical(task)) for task in OWN.problems])
    assert [(s["passed"], s["excess_code"]) for s in samples] == [(True, 0.0)] * 6
    samples = grade_solutions(OWN, [(task, OWN.problems[task]["before"]) for task in OWN.problems])
    assert [(s["verdict"], s["tests"], s["excess_code"]) for s in samples] == [("fail", "fail", None)] * 6


RIGHT = OWN.canonical(AVERAGE)
WRONG = {
    "nothing": "",
    "no Python": RIGHT.replace("return averages", "return averages)"),
    "cut off": RIGHT[: len(RIGHT) // 2],
    "another name": RIGHT.replace("moving_average", "average"),
    "one too few": RIGHT.replace("- width + 1", "- width"),
    "one too many": RIGHT.replace("- width + 1", "- width + 2"),
    "half of the edit": RIGHT.replace("if width < 1:", "if width < 0:"),
    "another exception": RIGHT.replace("ValueError", "IndexError"),
    "another type": RIGHT.replace("return averages", "return tuple(averages)"),
    "prints the result": RIGHT.replace("return averages", "print(averages)"),
    "spoils its neighbour": RIGHT.replace("min(steps) if", "max(steps) if"),
    "drops its neighbour": RIGHT.partition("\n\n\n")[0],
    "fails when it is run": RIGHT + "\nif __name__ == '__main__':\n    print(moving_average([1], 0))",
    "the difference alone": "-    for start in range(len(values) - width):\n+    for start in range(len(values)):",
}


def test_wrong_answers_fail() -> None:
    samples = grade_solutions(OWN, [(AVERAGE, code) for code in WRONG.values()])
    assert [name for name, s in zip(WRONG, samples, strict=True) if s["passed"] or not s["detail"]] == []


CALLED = "\ndef free_seats(*_):\n    return seat_code()\n"
ALL = "import os, sys, time, socket, stat, struct, json\n"
HOSTILE = {
    "leaves early": "os._exit(0)",
    "leaves as if it were done": "sys.exit(0)",
    "leaves when it is called": "def seat_code(*_):\n    os._exit(0)",
    "leaves by an exception": "def seat_code(*_):\n    raise SystemExit(0)",
    "leaves in its main part": "if __name__ == '__main__':\n    sys.exit()",
    "leaves at exit": "import atexit\natexit.register(os._exit, 0)\ndef seat_code(*_):\n    atexit._run_exitfuncs()",
    "writes to the reporter": (
        "def seat_code(*_):\n    for fd in range(3, 128):\n        try:\n"
        "            found = stat.S_ISSOCK(os.fstat(fd).st_mode)\n        except OSError:\n            continue\n"
        "        body = json.dumps({'nonce': '', 'held': [1] * 12, 'failed': [0] * 13}).encode()\n"
        "        os.write(fd, struct.pack('>I', len(body)) + body)\n    os._exit(0)"
    ),
    "reads the expected values": (
        "seen = [0]\ndef seat_code(*_):\n    texts = sys._getframe(1).f_code.co_consts\n"
        "    texts = [text for text in texts if isinstance(text, str) and text[-1:].isdigit()]\n"
        "    seen[0] += 1\n    return texts[seen[0] - 1]\n"
        "lists = [['A01', 'B02'], ['A01', 'A03'], []]\ndef free_seats(*_):\n    return lists.pop(0)\n#"
    ),
    "looks for the file of the tests": (
        "import glob\nfor name in glob.glob('/**/edited.py', recursive=True):\n    exec(open(name).read())\n"
        "def seat_code(*_):\n    return open('edited.py').read()"
    ),
    "patches the comparison": "class Same(str):\n    __eq__ = lambda *_: True\n    __hash__ = str.__hash__\n"
    "def seat_code(*_):\n    return Same()",
    "equals everything": "class Same:\n    __eq__ = lambda *_: True\ndef seat_code(*_):\n    return Same()",
    "jumps over assertions": (
        "def skip(frame, event, value):\n    if event == 'line':\n        try:\n            frame.f_lineno += 1\n"
        "        except ValueError:\n            pass\n    return skip\n"
        "def seat_code(*_):\n    sys._getframe(1).f_trace = skip\n    sys.settrace(skip)"
    ),
    "sleeps": "time.sleep(60)",
    "sleeps when it is called": "def seat_code(*_):\n    time.sleep(60)",
    "forks": "if os.fork():\n    os._exit(0)\ndef seat_code(*_):\n    return ''",
    "lets a child report": (
        "home = os.getpid()\ndef seat_code(*_):\n    if os.fork():\n        time.sleep(60)\n"
        "    os.getpid = lambda: home\n    return ''"
    ),
    "forks without end": "while True:\n    os.fork()",
}  # fmt: skip


def test_hostile_answers_get_no_pass() -> None:
    samples = grade_solutions(QUICK, [(SEATS, f"{ALL}{code}{CALLED}") for code in HOSTILE.values()])
    assert [name for name, s in zip(HOSTILE, samples, strict=True) if s["passed"] or not s["detail"]] == []
    assert all(s["excess_code"] is None for s in samples)


# ---- the part that runs only as the main program --------------------------------------------------------------------


def test_the_main_part_of_an_answer_runs_before_the_tests() -> None:
    """As where a program and its tests are one file; whatever the condition looks like."""
    fails = "\nif {}:\n    raise RuntimeError\n"
    codes = [
        RIGHT + fails.format(one)
        for one in ("__name__ == '__main__'", '"__main__" == __name__', "'__main__' in [__name__]")
    ]
    codes += [RIGHT + fails.format("__name__ != '__main__'"), RIGHT + "\nif __name__ == '__main__':\n    print('é')\n"]
    samples = grade_solutions(OWN, [(AVERAGE, code) for code in codes])
    assert [s["verdict"] for s in samples] == ["error"] * 3 + ["pass"] * 2


def test_only_that_condition_is_written_otherwise() -> None:
    assert with_main("é = 1; x = __name__ == '__main__'\r\ny") == "é = 1; x = (__name__ + '') == '__main__'\ny"
    for code in ("print(__name__)", "'__main__'", "x == '__main__' or __name__", "if __name__ == '__main__", "\udc80"):
        assert with_main(code) == code


CAUGHT = """\
try:
    f(0)
    assert False, (
        "too low")
except {}:
    {}
x = 1"""


@pytest.mark.parametrize(
    ("caught", "then", "dropped"),
    [
        ("Exception", "pass", True),
        ("AssertionError", "assert True", True),
        ("ValueError", "pass", False),
        ("KeyError:\n    assert False\nexcept Exception", "pass", True),
        ("Exception", "assert False", False),
        ("Exception", "pass\nelse:\n    x = 2", False),
    ],
)
def test_a_failure_that_the_tests_themselves_drop_is_none(caught: str, then: str, dropped: bool) -> None:
    """As with a plain interpreter, an answer passes that does not raise; the lines after it stay where they are."""
    tests = CAUGHT.format(caught, then)
    seen = as_they_act(tests)
    assert (seen != tests) == dropped and seen.count("\n") == tests.count("\n") and seen.endswith("x = 1")
    assert not dropped or "    f(0)\n    pass\n\nexcept" in seen


def test_an_answer_passes_where_the_tests_drop_their_failure() -> None:
    """And any other failure of the same tests counts."""
    task = {"full_name": "x", "before": "", "after": "", "instruction_descriptive": "", "instruction_lazy": ""}
    tests = f"assert f(1) == 1\n{CAUGHT.format('Exception', 'pass')}\nassert f(2) == 2"
    benchmark = CanItEdit("x", {"x": task | {"tests": tests}})
    codes = ["def f(x): return x", "def f(x):\n    assert x\n    return x", "def f(x): return min(x, 1)"]
    samples = grade_solutions(benchmark, [("x/lazy", code) for code in codes])
    assert [s["passed"] for s in samples] == [True, True, False]


# ---- excess code ----------------------------------------------------------------------------------------------------


def test_excess_code_is_what_no_test_reaches_over_what_a_difference_lists() -> None:
    """An unused function's two lines and the comment between them; an abstract method is left out."""
    unused = "\n\ndef unused(x):\n    y = x\n    # doubled\n    return 2 * y\n"
    abstract = "\nimport abc\nclass Base(abc.ABC):\n    @abc.abstractmethod\n    def f(self):\n        return 1\n"
    before = OWN.problems[AVERAGE]["before"]
    codes = [RIGHT, RIGHT + unused, RIGHT + abstract, before]
    samples = grade_solutions(OWN, [(AVERAGE, code) for code in codes])
    lines = len([*difflib.Differ().compare(before.splitlines(), (RIGHT + unused + "\n").splitlines())])
    assert [s["excess_code"] for s in samples] == [0.0, pytest.approx(100 * 3 / lines), 0.0, None]
    facts = score(OWN, samples, 100, 0)
    assert facts["excess_code"]["value"] == pytest.approx(100 / lines) and facts["pass@1"]["value"] == 0.75
    assert [oracle.uncovered(text) for text in ("", "4", "4, 17-19, 30")] == [0, 1, 5]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"uncovered": 1, "lines": 0}', '{"uncovered": NaN, "lines": 1}', "[" * 9999]
)
def test_a_forged_measurement_is_none(text: str) -> None:
    """What stands in the file instead is the answer's own; nothing it can write is an error here."""
    forged = f"import os\nif os.path.exists('edited.py'):\n    open('lines.json', 'w').write({text!r})\n"
    forged += "    import json, runpy, sys\n    json.dumps = lambda _: sys.modules and " + repr(text) + "\n"
    (sample,) = grade_solutions(OWN, [(AVERAGE, f"{forged}\n{RIGHT}")])
    assert sample["excess_code"] is None


# ---- the benchmark's own data ---------------------------------------------------------------------------------------


@pytest.mark.shared
def test_the_benchmark_is_complete() -> None:
    """105 programs, 35 of each kind; those that lack a library are left out by name, and nothing else is."""
    benchmark = scored()
    left_out = {task.partition("/")[0] for task in benchmark.elsewhere}
    assert len(benchmark.problems) + len(benchmark.elsewhere) == 210 and left_out == set(benchmark.absent)
    assert left_out >= WITHOUT and (left_out == WITHOUT or not benchmark.limits.python)
    assert benchmark.absent["26_kl_divergence"] == "torch" or not benchmark.limits.python
    assert not benchmark.quotable and benchmark.version == "105 programs"
    assert not {row["before"] for row in OWN.problems.values()} & {row["before"] for row in benchmark.problems.values()}


@pytest.mark.shared
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_gold_edits_pass_and_unedited_programs_fail(whole: bool) -> None:
    """All 100 that need neither torch nor vllm; one program passes before its edit, which is to make it faster.

    Without SLOW=1 a seeded 20 of those that are quick to run.
    """
    benchmark = scored()
    tasks = [task for task in benchmark.problems if task.endswith("/lazy")]
    tasks = tasks if whole else random.Random(17).sample(light(tasks), 20)
    samples = grade_solutions(benchmark, [(task, benchmark.canonical(task)) for task in tasks])
    assert [(s["task_id"], s["detail"]) for s in samples if not s["passed"]] == []
    samples = grade_solutions(benchmark, [(task, benchmark.problems[task]["before"]) for task in tasks])
    assert {s["task_id"] for s in samples if s["passed"]} <= {"60_unique_number/lazy"}
    if whole and benchmark.limits.python:
        assert len(tasks) == 100


# Published verdicts that ours differ from: task and hash of the program -> why.
EXPLAINED: dict[tuple[str, str], str] = {}


@pytest.mark.shared
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_published_verdicts_and_coverage_are_reproduced(whole: bool) -> None:
    """StarCoder2-15B's programs, 4,000 of 4,200 verdicts: the 200 others are of programs that need torch or vllm.

    But for the explained ones, of which there are none; and the coverage of what passes.

    Without SLOW=1 a seeded 80 of those that are quick to run.
    """
    benchmark = scored()
    published = {(task, program): facts for task, program, facts in rows() if task in benchmark.problems}
    pairs = [pair for pair, (status, _) in published.items() if whole or status != "Timeout"]
    if not whole:
        pairs = random.Random(17).sample([pair for pair in pairs if light([pair[0]])], 80)
    verdicts = run_all(benchmark, pairs, None, None)
    passed = {pair for pair in pairs if benchmark.outcome(pair[0], verdicts[pair]).status == "pass"}
    differ = {pair for pair in pairs if (pair in passed) != (published[pair][0] == "OK")}
    assert {(task, content_id(program)) for task, program in differ} == {
        (task, answer) for task, answer in EXPLAINED if (task, answer) in {(one, content_id(two)) for one, two in pairs}
    }
    assert len(passed) > 10
    covered = {pair: percent(verdicts[pair]["lines"]) for pair in passed - differ}
    assert {pair[0] for pair in covered if covered[pair] != published[pair][1]} <= MEASURED_OTHERWISE


# Programs whose published coverage is another, and why.
MEASURED_OTHERWISE: set[str] = set()


def rows() -> Iterable[tuple[str, str, tuple[str, int | None]]]:
    """Task, program without its tests, status and coverage (percent) of every published row."""
    for line in gzip.decompress(PUBLISHED.read_bytes()).splitlines():
        row = json.loads(line)
        task = f"{row['full_name']}/{row['instr_kind'].removeprefix('instruction_')}"
        for one in row["results"]:
            yield task, one["program"].removesuffix("\n"), (one["status"], one["coverage"])


def percent(verdict: dict[str, Any]) -> int | None:
    """The coverage that coverage.py would print, None where it was not measured."""
    if verdict["verdict"] != "ended":
        return None
    found = json.loads(base64.b64decode(verdict["left"][oracle.FOUND]))
    whole = found["statements"]
    value = 100 * (whole - found["missing"]) / whole if whole else 100
    return round(value) if value in (0, 100) else min(99, max(1, round(value)))


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.shared
def test_a_missing_library_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is asked; and where the interpreter lacks one, the programs that need it are named."""
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path))
    monkeypatch.delenv("CANITEDIT_PYTHON", raising=False)
    with pytest.raises(StudyError, match="canitedit is graded with packages .* run `make benchmark-env`") as refused:
        load_benchmark("canitedit", FILE)
    assert "\n" not in str(refused.value)
    monkeypatch.setenv("CANITEDIT_PYTHON", sys.executable)
    found = load_benchmark("canitedit", FILE)
    assert isinstance(found, CanItEdit) and found.absent["25_sudoku_solver"] == "z3"
    assert "z3" not in found.limits.preload and "numpy" in found.limits.preload


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("no archive", "cannot read the benchmark"),
        ("[]", "is not a file of problems"),
        ('[{"id": 1}]', "has a task without"),
    ],
)
def test_wrong_data_are_refused_in_one_line(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "canitedit.json").write_text(text)
    with pytest.raises(StudyError, match=complaint) as refused:
        load_benchmark("canitedit", tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.shared
def test_altered_data_are_refused(tmp_path: Path) -> None:
    text = gzip.decompress(FILE.read_bytes()).replace(b"assert", b"assert True or", 1)
    (tmp_path / "canitedit.jsonl").write_bytes(text)
    with pytest.raises(StudyError, match="has rows of sha256 .*, expected .* \\(105 programs\\): get https"):
        load_benchmark("canitedit", tmp_path)


def test_samples_of_unknown_tasks_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text('{"task_id": "1_moving_average", "solution": ""}')
    with pytest.raises(
        StudyError, match="s.jsonl:1: '1_moving_average' is no task: .* 6 tasks; fix the line"
    ) as refused:
        solutions(OWN, tmp_path / "s.jsonl")
    assert "\n" not in str(refused.value)


@pytest.mark.shared
def test_anybodys_samples_are_graded_and_published_without_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Those of programs that need a missing library are counted and left out."""
    benchmark = scored()
    monkeypatch.setitem(benchmarks.BENCHMARKS, "canitedit", lambda path: benchmark)
    task = "3_hello_world/lazy"
    code = benchmark.canonical(task)
    lines = [
        {"task_id": task, "completion": f"```py\n{code}\n```"},
        {"task_id": task, "solution": "def hello_world(): 1"},
    ]
    lines.append({"task_id": "26_kl_divergence/lazy", "solution": ""})
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, lines)))
    words = ["grade", "--benchmark", "canitedit", "--samples", str(tmp_path / "s.jsonl"), "--out", str(tmp_path / "o")]
    monkeypatch.setattr(sys, "argv", ["lib.evaluate", *words])
    main()
    said = capsys.readouterr().out
    assert "1 samples are of tasks" in said and "pass@1 50.0 %" in said and "excess_code 0 (" in said
    samples = grade(benchmark, {task: [f"\n{code}\n```", "\ndef hello_world(name): 1\n```"]})
    shown = json.dumps(public(benchmark, samples))
    assert '"excess_code": 0.0' in shown and "hello_world(" not in shown
    assert benchmark.problems[task]["instruction"] not in shown and "assert" not in shown
