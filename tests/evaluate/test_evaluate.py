"""Evaluation: the benchmark's own solutions pass and broken ones fail, end to end; statistics are right."""

import gzip
import hashlib
from copy import copy
from dataclasses import replace

import pytest

from lib import sandbox
from lib.core.records import Journal, StudyError
from lib.core.statistics import Comparison, compare, estimate, mcnemar, pass_at_k
from lib.evaluate.asking import ask, ask_all
from lib.evaluate.benchmark import RAW_STOP, RESPONSE_PREFIX, STARCODER2_STOP, STOP
from lib.evaluate.benchmarks import humaneval, load_benchmark
from lib.evaluate.grading import RETRY_SCALE, grade
from lib.evaluate.scoring import score, table
from lib.train.template import render_prompt

HUMANEVAL = humaneval.load()
STARCODER2 = load_benchmark("humaneval", protocol="starcoder2")


def answer(problem, body=None):
    """A completion like a model's: the whole function, then the closing fence."""
    return "\n" + problem["prompt"] + (body or problem["canonical_solution"]) + "```"


def test_every_canonical_solution_passes_and_every_stub_fails():
    """All 164 through prompt, completion, program and sandbox; then the same with a body that returns nothing."""
    assert len(HUMANEVAL.problems) == 164
    right = grade(HUMANEVAL, {task: answer(p) for task, p in HUMANEVAL.problems.items()})
    assert [(s["task_id"], s["verdict"], s["detail"]) for s in right if not s["passed"]] == []
    wrong = grade(HUMANEVAL, {task: answer(p, "    return None\n") for task, p in HUMANEVAL.problems.items()})
    assert [s["task_id"] for s in wrong if s["passed"]] == []
    facts = score(HUMANEVAL, right[:10] + wrong[10:20], 1000, 0)
    assert facts["pass@1"]["value"] == 0.5 and facts["verdicts"]["pass"] == 10 and facts["timeouts"] == 0
    assert facts["sha256"].startswith("1d49078b") and facts["tiers"][0].startswith("bubblewrap")


def test_what_a_solution_may_look_like():
    """Only the last block counts, the task's helpers are included, and a bare body is put under the signature."""
    first, encoded = (HUMANEVAL.problems[f"HumanEval/{n}"] for n in (0, 38))
    talk = "\nx = 1\n```\nBetter:\n```python\ndef has_close_elements(n: List[float], t):\n    return True\n```\nDone."
    code = HUMANEVAL.solution("HumanEval/0", talk)
    assert code == "from typing import List\n\ndef has_close_elements(n: List[float], t):\n    return True\n"
    bare = HUMANEVAL.solution("HumanEval/0", "\n" + first["canonical_solution"] + "\n```")
    assert bare.startswith(first["prompt"]) and "```" not in bare
    alone = "def decode_cyclic(s):\n" + encoded["canonical_solution"]
    assert "def encode_cyclic" in HUMANEVAL.solution("HumanEval/38", alone)
    assert HUMANEVAL.solution("HumanEval/115", "def max_fill(grid, capacity): pass").startswith("import math\n")
    samples = grade(HUMANEVAL, {"HumanEval/0": bare.removeprefix(first["prompt"]), "HumanEval/38": alone})
    assert [s["verdict"] for s in samples] == ["pass", "pass"]


def test_bad_solutions_do_not_pass():
    """A loop, a syntax error, an early exit and a missing function do not pass, and each says why."""
    quick = copy(HUMANEVAL)
    quick.limits = replace(HUMANEVAL.limits, cpu_seconds=1.0)
    texts = {
        "HumanEval/0": "def has_close_elements(numbers, threshold):\n    while True: pass",
        "HumanEval/1": "def separate_paren_groups(s:\n    return",
        "HumanEval/2": "import os\ndef truncate_number(x):\n    os._exit(0)",
        "HumanEval/3": "print('below_zero')",
    }
    samples = grade(quick, texts)
    assert samples[0]["verdict"] == "timeout"
    assert not any(s["passed"] for s in samples) and all(s["detail"] for s in samples)


def test_a_solution_without_an_end_runs_twice(monkeypatch):
    """Once beside others, once alone and with more time: the sandbox does not repeat what the grading repeats."""
    quick, once, seen = copy(HUMANEVAL), sandbox._Pool.once, list[float]()
    quick.limits = replace(HUMANEVAL.limits, cpu_seconds=0.5)

    def counted(pool, program, trial=""):
        seen.append(program["time"])
        return once(pool, program, trial)

    monkeypatch.setattr(sandbox._Pool, "once", counted)
    (sample,) = grade(quick, {"HumanEval/0": "def has_close_elements(numbers, threshold):\n    while True: pass"})
    assert sample["verdict"] == "timeout" and seen == [0.5, 0.5 * RETRY_SCALE]


def test_prompt_is_the_training_template_with_an_open_fence():
    """Evaluation and training must render one template."""
    prompt = HUMANEVAL.prompt("HumanEval/0")
    problem = HUMANEVAL.problems["HumanEval/0"]
    assert prompt == render_prompt(HUMANEVAL.instruction("HumanEval/0")) + RESPONSE_PREFIX
    assert prompt.endswith("```python") and problem["prompt"].strip() in prompt
    assert problem["canonical_solution"].strip() not in prompt


def test_starcoder2s_protocol_leaves_the_body_to_write():
    """A line break, an open fence and the prompt without its last one; what follows the next fence is not graded."""
    for task, problem in HUMANEVAL.problems.items():
        opened = f"\n```python\n{problem['prompt'].strip()}"
        assert STARCODER2.prompt(task) == render_prompt(HUMANEVAL.instruction(task)) + opened
        assert STARCODER2.raw_prompt(task, "unstripped") == problem["prompt"]
    some = dict(list(HUMANEVAL.problems.items())[::20])
    answers = {task: f"\n{problem['canonical_solution']}```\nassert False\n```" for task, problem in some.items()}
    assert [s["task_id"] for s in grade(STARCODER2, answers) if not s["passed"]] == []
    wrong = grade(STARCODER2, dict.fromkeys(some, "\n    return None"))
    assert not any(s["passed"] for s in wrong) and wrong[0]["solution"].startswith(some["HumanEval/0"]["prompt"])


def test_the_official_raw_prompt_has_no_line_breaks_around_it():
    """And its continuation is put under the prompt as it is in the file: nothing else differs."""
    for task, problem in HUMANEVAL.problems.items():
        asked = HUMANEVAL.raw_prompt(task, "official")
        assert asked == problem["prompt"].strip()
        assert asked + "\n" == HUMANEVAL.raw_prompt(task, "unstripped").lstrip()
    text = "\n" + HUMANEVAL.problems["HumanEval/0"]["canonical_solution"]
    (sample,) = grade(HUMANEVAL, {"HumanEval/0": text + "\ndef main():\n    return 1 /"}, raw=True)
    assert sample["passed"] and sample["solution"] == HUMANEVAL.problems["HumanEval/0"]["prompt"] + text


@pytest.mark.parametrize(
    ("name", "how", "complaint"),
    [
        ("humaneval", {"protocol": "paperr"}, "PROTOCOL='paperr' is unknown; choose paper or starcoder2"),
        ("humaneval@v0.1.9", {}, "humaneval@v0.1.9: humaneval has one version only; leave out @v0.1.9"),
        ("humaneval+@v9", {}, "humaneval\\+ has no version 'v9'; choose v0.1.10 or v0.1.9"),
        ("mbpp@0.1.0", {}, "mbpp has no version '0.1.0'; choose v0.2.0 or v0.1.0"),
    ],
)
def test_what_a_benchmark_cannot_be_asked_for_is_refused(name, how, complaint):
    with pytest.raises(StudyError, match=f"^{complaint}$"):
        load_benchmark(name, **how)


class Parrot:
    """An engine whose completions describe the requests."""

    revision, version = "parrot", "1"

    def __init__(self):
        self.seeds = []

    def load(self):
        """Nothing to load."""

    def close(self):
        """Nothing to close."""

    def generate(self, requests):
        for place, request in enumerate(requests):
            text = f"{request.sample} at {request.temperature} until {request.stop} after {request.prompt[-20:]}"
            self.seeds.append(request.seed)
            yield place, {"text": text, "finish_reason": "stop", "prompt_tokens": 1, "cached_tokens": 0, "tokens": 1}


def test_samples_are_asked_for_one_by_one_and_greedy_ones_once(tmp_path):
    """Three samples per task at a temperature, in order; one at zero; a base model has its own prompt and stops."""
    with Journal(tmp_path / "completions.jsonl") as cache:
        tasks = ["HumanEval/1", "HumanEval/0"]
        several = ask(Parrot(), HUMANEVAL, tasks, 8, cache, "three", samples=3, temperature=0.2)
        assert list(several) == tasks
        assert [[r["text"][:8] for r in records] for records in several.values()] == [
            ["0 at 0.2", "1 at 0.2", "2 at 0.2"]
        ] * 2
        one = ask(Parrot(), HUMANEVAL, tasks, 8, cache, "greedy")["HumanEval/0"][0]["text"]
        assert one.startswith(f"0 at 0.0 until {STOP}") and one.endswith(RESPONSE_PREFIX)
        raw = ask(Parrot(), HUMANEVAL, tasks, 8, cache, "raw", raw="unstripped")["HumanEval/0"][0]["text"]
        assert str(RAW_STOP) in raw and raw.endswith(HUMANEVAL.problems["HumanEval/0"]["prompt"][-20:])
        older = ask(Parrot(), STARCODER2, tasks, 8, cache, "older")["HumanEval/0"][0]["text"]
        assert f"until {STARCODER2_STOP} after" in older
        with pytest.raises(StudyError, match="2 samples at temperature 0"):
            ask(Parrot(), HUMANEVAL, tasks, 8, cache, "all the same", samples=2)


def test_several_benchmarks_are_asked_in_one_batch_and_equal_prompts_once(tmp_path):
    """The same prompt in two of them is one request; each gets the answers that it gets alone."""
    wanted = [(HUMANEVAL, ["HumanEval/1"], ""), (HUMANEVAL, ["HumanEval/0", "HumanEval/1"], "")]
    wanted.append((HUMANEVAL, ["HumanEval/0"], "unstripped"))
    parrot = Parrot()
    with Journal(tmp_path / "together.jsonl") as cache:
        found = ask_all(parrot, wanted, 8, cache, "together")
    assert len(parrot.seeds) == 3
    with Journal(tmp_path / "alone.jsonl") as cache:
        assert found == [ask(Parrot(), b, tasks, 8, cache, "alone", raw=raw) for b, tasks, raw in wanted]
    with Journal(tmp_path / "none.jsonl") as cache, pytest.raises(StudyError, match="has no raw prompt 'x'"):
        ask_all(Parrot(), [*wanted, (HUMANEVAL, ["HumanEval/0"], "x")], 8, cache, "refused")


def test_samples_can_be_drawn_again(tmp_path):
    """A sample's seed depends only on the task, its number and the run's seed; a greedy one has none."""

    def seeds(name, tasks, **how):
        parrot = Parrot()
        with Journal(tmp_path / f"{name}.jsonl") as cache:
            ask(parrot, HUMANEVAL, tasks, 8, cache, name, **how)
        return parrot.seeds

    four = seeds("four", ["HumanEval/0", "HumanEval/1"], samples=2, temperature=0.2)
    assert len(set(four)) == 4 and all(isinstance(seed, int) for seed in four)
    assert seeds("second", ["HumanEval/1"], samples=2, temperature=0.2) == four[2:]
    assert set(seeds("other", ["HumanEval/1"], samples=2, temperature=0.2, seed=1)).isdisjoint(four)
    assert seeds("greedy", ["HumanEval/0"]) == [None]


def test_a_base_model_continues_the_prompt():
    """Its completion is put under the signature, up to the next top-level statement."""
    problem = HUMANEVAL.problems["HumanEval/0"]
    text = problem["canonical_solution"] + "\ndef main():\n    return 1 /"
    solution = HUMANEVAL.raw_solution("HumanEval/0", text)
    assert solution == problem["prompt"] + problem["canonical_solution"]
    samples = grade(HUMANEVAL, {"HumanEval/0": [text, "    return\n"]}, raw=True)
    assert [(s["id"], s["sample"], s["passed"]) for s in samples] == [
        ("HumanEval/0", 0, True),
        ("HumanEval/0#1", 1, False),
    ]


def test_pass_at_k_is_computed_from_a_tasks_samples():
    """One of two right: pass@1 a half, pass@2 one; more than there are samples is refused."""
    samples = [
        {
            "task_id": task,
            "passed": passed,
            "verdict": "pass" if passed else "fail",
            "tier": "t",
            "broken_reference": False,
        }
        for task, passed in (("a", True), ("a", False), ("b", False), ("b", False))
    ]
    facts = score(HUMANEVAL, samples, 100, 0, ks=(1, 2))
    assert (facts["pass@1"]["value"], facts["pass@2"]["value"]) == (0.25, 0.5)
    assert facts["pass@1"]["n"] == 2 and facts["samples"] == 4
    shown = table([facts | {"model": "a"}, score(HUMANEVAL, samples, 100, 0) | {"model": "b"}]).splitlines()
    assert shown[0] == (
        "| model | benchmark | n | pass@1 (%) | 95 % interval | pass@2 (%) | 95 % interval | timeouts |"
    )
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in shown]
    assert {len(line) for line in cells} == {8} and set(cells[1]) == {"---", "---:"}
    assert [(line[2], line[3], line[5], line[7]) for line in cells[2:]] == [
        ("2", "25.0", "50.0", "0"),
        ("2", "25.0", "", "0"),
    ]
    with pytest.raises(StudyError, match="pass@3 needs 3 samples per task; a has 2"):
        score(HUMANEVAL, samples, 100, 0, ks=(3,))


def test_the_chosen_part_is_fixed_and_nested():
    """A smaller part of the benchmark is the beginning of a larger one; the seed decides which."""
    assert HUMANEVAL.choose(164, 0)[:40] == HUMANEVAL.choose(40, 0) != HUMANEVAL.choose(40, 1)
    assert sorted(HUMANEVAL.choose(164, 3)) == sorted(HUMANEVAL.problems)
    assert HUMANEVAL.choose(165, 3) == HUMANEVAL.choose(164, 3)  # one bound for benchmarks of several sizes
    with pytest.raises(StudyError, match="score 1 or more of HumanEval's 164 problems"):
        HUMANEVAL.choose(0, 0)


def test_an_altered_benchmark_is_refused_with_both_hashes(tmp_path):
    """One changed byte, a cut archive and a missing file are refused; the hashes seen and expected are named."""
    data = gzip.decompress(humaneval.packaged().read_bytes()).replace(b"HumanEval/163", b"HumanEval/999")
    altered = tmp_path / "HumanEval.jsonl"
    altered.write_bytes(data)
    with pytest.raises(StudyError) as refused:
        humaneval.load(altered)
    assert hashlib.sha256(data).hexdigest() in str(refused.value) and next(iter(humaneval.PINS)) in str(refused.value)
    cut = tmp_path / "HumanEval.jsonl.gz"
    cut.write_bytes(humaneval.packaged().read_bytes()[:20_000])
    with pytest.raises(StudyError, match="cannot read"):
        humaneval.load(cut)
    with pytest.raises(StudyError, match="cannot read"):
        humaneval.load(tmp_path / "absent.jsonl")


def test_pass_at_k_is_the_closed_form():
    """pass@1 is the rate; pass@k of all samples is 1 as soon as one is right; 1 - C(7,2)/C(10,2) = 8/15."""
    assert pass_at_k(10, 3, 1) == pytest.approx(0.3)
    assert pass_at_k(10, 3, 2) == pytest.approx(8 / 15)
    assert pass_at_k(5, 1, 5) == 1 and pass_at_k(5, 0, 5) == 0
    with pytest.raises(ValueError, match="n = 4"):
        pass_at_k(4, 5, 1)


def test_mcnemar_is_the_exact_binomial_test():
    """Values of R's binom.test(min, n, 0.5): 1 of 9, 0 of 5, 5 of 15; no flips give 1."""
    assert mcnemar(1, 8) == pytest.approx(0.0390625)
    assert mcnemar(5, 0) == pytest.approx(0.0625)
    assert mcnemar(10, 5) == pytest.approx(0.3017578)
    assert mcnemar(0, 0) == 1 and mcnemar(7, 7) == 1


def test_bootstrap_is_deterministic_and_as_wide_as_theory_says():
    """For 40 of 100 solved the interval is close to 0.4 +- 1.96 * sqrt(0.24 / 100)."""
    values = [True] * 40 + [False] * 60
    one = estimate(values, 10_000, 7)
    assert one == estimate(values, 10_000, 7) != estimate(values, 10_000, 8)
    assert one.value == 0.4
    assert (one.low, one.high) == pytest.approx((0.304, 0.496), abs=0.015)
    assert estimate([True] * 5, 100, 0).low == 1.0
    with pytest.raises(ValueError, match="no problems"):
        estimate([], 10, 0)


def test_a_comparison_is_paired():
    """The same two rates differ clearly when all flips go one way, and not when they go both ways."""
    before = [True] * 50 + [False] * 50
    clear = compare(before, [True] * 60 + [False] * 40, 5000, 0)
    assert (clear.gained, clear.lost, clear.n) == (10, 0, 100) and clear.low > 0 and clear.p < 0.01
    mixed = compare(before, [False] * 25 + [True] * 60 + [False] * 15, 5000, 0)
    assert mixed.difference == pytest.approx(clear.difference) and mixed.low < 0 < mixed.high
    assert "is inconclusive with 100 problems" in mixed.in_words() and "more problems" in clear.in_words()
    assert "fewer" in Comparison(-0.2, -0.3, -0.1, 1, 21, 0.001, 100).in_words()
    with pytest.raises(ValueError, match="same problems"):
        compare([True], [True, False], 10, 0)
