"""The protocol: the example of its guide, several requests for a task, more than pass and fail, anybody's samples."""

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from test_evaluate import Parrot

from lib.core.records import Journal, StudyError
from lib.evaluate import benchmark as protocol
from lib.evaluate import benchmarks
from lib.evaluate.__main__ import main
from lib.evaluate.asking import ask
from lib.evaluate.benchmark import RAW_STOP, STOP, Benchmark, Outcome, plain
from lib.evaluate.grading import grade, grade_solutions, public
from lib.evaluate.scoring import score
from lib.sandbox import Limits

PROBLEMS = {
    "double": {"question": "the double of its input", "expected": "42"},
    "square": {"question": "the square of its input", "expected": "441"},
    "digits": {"question": "its input's digits", "expected": "2 1"},
}
RIGHT = {
    "double": "print(int(input()) * 2)\n```",
    "square": "if __name__ == '__main__':\n    print(int(input()) ** 2)\n```\nThat is all.",
    "digits": "import sys\nprint(*sys.stdin.read())\n",
}


def guide() -> type[Benchmark]:
    """The class that the guide shows."""
    shown = (protocol.__doc__ or "").partition("all of it:\n")[2].partition("What each method")[0]
    space: dict[str, Any] = {"Benchmark": Benchmark, "Outcome": Outcome, "plain": plain}
    exec(textwrap.dedent(shown), space)
    return space["Doubles"]


OWN = guide()("Own", PROBLEMS)
OWN.limits = Limits(cpu_seconds=0.3)


def test_the_guides_example_is_a_whole_benchmark() -> None:
    """Its right answers pass, wrong ones fail, and none that leaves, looks for the answer or forges an end."""
    asked = OWN.prompt("double")
    assert "prints the double of its input" in asked and OWN.raw_prompt("double", "unstripped") == asked
    samples = grade(OWN, RIGHT)
    assert [(s["passed"], s["base"], s["verdict"]) for s in samples] == [(True, "pass", "pass")] * 3
    wrong = {
        "another": "print(int(input()) * 3)",
        "early": "import os\nprint(42, flush=True)\nos._exit(0)",
        "late": "print(42)\nraise SystemExit(1)",
        "searching": "import gc\nprint([d for d in gc.get_objects() if isinstance(d, dict) and 'expected' in d])",
        "no Python": "print(42",
        "sleeping": "import time\ntime.sleep(60)",
        "forking": "import os\nos.fork() or os._exit(0)\nprint(4)",
    }
    samples = grade(OWN, {"double": [*wrong.values()]})
    assert [name for name, s in zip(wrong, samples, strict=True) if s["passed"] or not s["detail"]] == []
    facts = score(OWN, [*grade(OWN, RIGHT), samples[0] | {"sample": 1}], 100, 0)
    assert facts["pass@1"]["value"] == pytest.approx(2.5 / 3) and facts["pass@1"]["n"] == 3


class Steps(Benchmark):
    """Each step of a task is asked with the answers before it; `parallel`: all at once."""

    again, parallel = False, False
    measures = ("share", "excess")

    def prompt(self, task: str) -> str:
        return f"{task}: first"

    def raw_prompt(self, task: str, form: str) -> str:
        return f"{task}: raw"

    def next_prompts(self, task: str, answers: Any, raw: str = "") -> list[str]:
        steps = self.problems[task]["steps"]
        if self.parallel:
            return [] if answers else [f"{task}: step {n}" for n in range(steps)]
        if len(answers) == steps:
            return []
        return [f"{task}: step {len(answers)} after {len(''.join(answers))}" if answers else self.prompt(task)]

    def joined(self, task: str, answers: Any) -> str:
        return " | ".join(answers)

    def solution(self, task: str, completion: str) -> str:
        return completion

    def programs(self, task: str, solution: str, time_scale: float = 1.0) -> dict[str, Any]:
        return {
            str(n): {"code": solution, "tests": f"assert f({n}) == {n}", "time": 1 * time_scale}
            for n in range(self.problems[task]["steps"])
        }

    def outcome(self, task: str, verdicts: Any) -> Outcome:
        found = super().outcome(task, verdicts)
        passed = [verdict["verdict"] == "pass" for verdict in verdicts.values()]
        share = sum(passed) / len(passed)
        return found._replace(values={"share": share, "excess": 3.0 if share == 1 else None})


STEPS = Steps("Steps", {"one": {"steps": 1}, "three": {"steps": 3}})


class Echo(Parrot):
    """Answers with the prompt, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []

    def generate(self, requests: Any) -> Any:
        for place, request in enumerate(requests):
            self.asked.append(request)
            text = f"<{request.prompt}>"
            ends = "length" if "step 1" in text else "stop"
            yield place, {"text": text, "finish_reason": ends, "prompt_tokens": 2, "cached_tokens": 1, "tokens": 3}


@pytest.fixture
def cache(tmp_path: Path) -> Any:
    with Journal(tmp_path / "completions.jsonl") as journal:
        yield journal


def test_a_task_may_take_several_requests_one_after_the_other(cache: Journal) -> None:
    """The next prompt has the answers before it; one record stands for all, and is found again when asked again."""
    echo = Echo()
    found = ask(echo, STEPS, ["three", "one"], 8, cache, "steps")
    assert list(found) == ["three", "one"] and all(len(records) == 1 for records in found.values())
    (three,), (one,) = found["three"], found["one"]
    first, second = "<three: first>", "<three: step 1 after 14>"
    third = f"<three: step 2 after {len(first + second)}>"
    assert three["steps"] == [first, second, third] and three["text"] == " | ".join(three["steps"])
    assert (three["tokens"], three["prompt_tokens"], three["cached_tokens"]) == (9, 6, 3)
    assert three["finish_reason"] == "length", "a step was cut off"
    assert one["text"] == "<one: first>" and "steps" not in one
    assert [request.prompt for request in echo.asked[:2]] == ["three: first", "one: first"], "round by round"
    again = Echo()
    assert ask(again, STEPS, ["three", "one"], 8, cache, "steps") == found and again.asked == []


def test_a_task_may_take_several_requests_at_once(cache: Journal) -> None:
    parallel = Steps("Steps", STEPS.problems)
    parallel.parallel = True
    echo = Echo()
    found = ask(echo, parallel, ["three"], 8, cache, "steps", samples=2, temperature=0.5)
    assert [record["steps"] for record in found["three"]] == [[f"<three: step {n}>" for n in range(3)]] * 2
    assert len({request.seed for request in echo.asked}) == 6, "each request of each sample has a seed of its own"


def test_top_p_and_the_stops_of_the_benchmark_are_asked_with(cache: Journal) -> None:
    """The first request of a task has the same id whether the benchmark asks further, and without top_p as before."""
    echo, stops = Echo(), Steps("Steps", STEPS.problems)
    stops.stop, stops.raw_stop = ("a",), ("b",)
    ask(echo, stops, ["one"], 8, cache, "nucleus", samples=2, temperature=0.2, top_p=0.95)
    assert [(one.top_p, one.sample, one.stop) for one in echo.asked] == [(0.95, 0, ("a",)), (0.95, 1, ("a",))]
    ask(echo, OWN, ["double"], 8, cache, "greedy")
    assert (echo.asked[-1].top_p, echo.asked[-1].stop) == (1.0, STOP)
    ask(echo, OWN, ["square"], 8, cache, "raw", raw="unstripped")
    assert echo.asked[-1].stop == RAW_STOP


def test_a_grade_may_be_more_than_pass_and_fail() -> None:
    """A program's name is no column where the benchmark says what is; a measure is averaged over those that have it."""
    codes = {"one": ["def f(n): return n", "def f(n): return 5"], "three": ["def f(n): return 2 * (n == 2)"]}
    samples = grade(STEPS, codes)
    assert [(s["passed"], s["share"], s["excess"]) for s in samples] == [
        (True, 1.0, 3.0),
        (False, 0.0, None),
        (False, pytest.approx(2 / 3), None),
    ]
    assert samples[2]["verdict"] == "fail" and "assert f(1) == 1" in samples[2]["detail"] and "0" not in samples[2]
    facts = score(STEPS, samples, 100, 0)
    assert facts["share"]["value"] == pytest.approx((0.5 + 2 / 3) / 2) and facts["share"]["n"] == 2
    assert (facts["excess"]["value"], facts["excess"]["n"], facts["pass@1"]["value"]) == (3.0, 1, 0.25)
    assert score(STEPS, samples[1:], 100, 0)["excess"] is None


def test_what_may_not_be_quoted_is_published_without_any_text() -> None:
    samples = [
        {"id": "a", "task_id": "a", "sample": 0, "solution": "SECRET", "passed": False, "base": "fail", "share": 0.5,
         "broken_reference": False, "verdict": "fail", "detail": "assert SECRET", "seconds": 1, "tier": "t",
         "failing_input": "SECRET"}
    ]  # fmt: skip
    assert public(STEPS, samples) == samples
    closed = Steps("Steps", STEPS.problems)
    closed.quotable = False
    (shown,) = public(closed, samples)
    assert "SECRET" not in json.dumps(shown) and (shown["verdict"], shown["share"]) == ("fail", 0.5)
    (other,) = public(closed, [samples[0] | {"solution": "another"}])
    assert shown["answer"] != other["answer"], "answers can still be told apart"


def test_a_benchmark_without_solutions_of_its_own_says_so() -> None:
    with pytest.raises(StudyError, match="Own has no solution of its own for double"):
        OWN.canonical("double")


def test_anybodys_samples_of_any_benchmark_are_graded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """A completion is read as the benchmark reads a model's; measures are printed, columns written."""
    monkeypatch.setitem(benchmarks.BENCHMARKS, "own", lambda path: OWN)
    monkeypatch.setitem(benchmarks.BENCHMARKS, "steps", lambda path: STEPS)
    doubled = RIGHT["double"].partition("```")[0]
    rows = [{"task_id": "double", "completion": RIGHT["double"]}, {"task_id": "square", "solution": doubled}]
    said, lines = graded("own", rows, tmp_path, monkeypatch, capsys)
    assert [(line["task_id"], line["passed"], line["base"]) for line in lines] == [
        ("double", True, "pass"),
        ("square", False, "fail"),
    ]
    assert "pass@1 50.0 %" in said and "1 of 3 tasks have no sample (digits)" in said
    said, lines = graded(
        "steps", [{"task_id": "three", "solution": "def f(n): return 0"}], tmp_path, monkeypatch, capsys
    )
    assert lines[0]["share"] == pytest.approx(1 / 3) and lines[0]["excess"] is None
    assert "share       0.3333 (95 % interval" in said and "excess      no sample has a value" in said
    with pytest.raises(StudyError, match="'four' is no task: Steps 1 has one to three, 2 tasks"):
        graded("steps", [{"task_id": "four", "solution": ""}], tmp_path, monkeypatch, capsys)


def graded(name: str, rows: list[Any], folder: Path, monkeypatch: Any, capsys: Any) -> tuple[str, list[Any]]:
    """What `python -m lib.evaluate grade` prints and writes."""
    (folder / "samples.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = [
        "grade",
        "--benchmark",
        name,
        "--samples",
        str(folder / "samples.jsonl"),
        "--out",
        str(folder / "out.jsonl"),
    ]
    monkeypatch.setattr(sys, "argv", ["lib.evaluate", *words])
    main()
    return capsys.readouterr().out, [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


def test_samples_of_one_solution_run_once(tmp_path: Path) -> None:
    with Journal(tmp_path / "grading.jsonl") as journal:
        samples = grade_solutions(STEPS, [("three", "def f(n): return n")] * 2, journal=journal)
        assert [s["id"] for s in samples] == ["three", "three#1"] and len(journal) == 3
