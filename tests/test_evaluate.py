"""Evaluation: the benchmarks' own solutions pass and broken ones fail, on the study's path; statistics are right."""

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from lib.evaluate import RESPONSE_PREFIX, grade, humaneval, humanevalplus, score
from lib.records import StudyError
from lib.sft import render_prompt
from lib.statistics import Comparison, compare, estimate, mcnemar, pass_at_k

PLUS = Path(__file__).parent.parent.parent / "shared/benchmarks/humaneval_plus/HumanEvalPlus-v0.1.10.jsonl.gz"
HUMANEVAL = humaneval.load()
# Tasks whose reference takes seconds on the plus inputs; graded by hand when this file was written.
HEAVY = {"HumanEval/15", "HumanEval/36", "HumanEval/59", "HumanEval/83", "HumanEval/130", "HumanEval/139"}


def answer(problem, body=None):
    """A completion as a model writes it: the whole function, then the closing fence."""
    return "\n" + problem["prompt"] + (body or problem["canonical_solution"]) + "```"


@pytest.fixture(scope="module")
def plus():
    """HumanEval+ from the copy that is kept for tests."""
    if not PLUS.is_file():
        pytest.skip(f"HumanEval+ is not at {PLUS}: it is on no package index")
    return humanevalplus.load(str(PLUS))


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
    """Only the last block counts, helpers of the task are there, and a bare body goes under the signature."""
    first, encoded, filled = (HUMANEVAL.problems[f"HumanEval/{n}"] for n in (0, 38, 115))
    talk = "\nx = 1\n```\nBetter:\n```python\ndef has_close_elements(n: List[float], t):\n    return True\n```\nDone."
    code = humaneval.solution(first, talk)
    assert code == "from typing import List\n\ndef has_close_elements(n: List[float], t):\n    return True\n"
    bare = humaneval.solution(first, "\n" + first["canonical_solution"] + "\n```")
    assert bare.startswith(first["prompt"]) and "```" not in bare
    alone = "def decode_cyclic(s):\n" + encoded["canonical_solution"]
    assert "def encode_cyclic" in humaneval.solution(encoded, alone)
    assert humaneval.solution(filled, "def max_fill(grid, capacity): pass").startswith("import math\n")
    samples = grade(HUMANEVAL, {"HumanEval/0": bare.removeprefix(first["prompt"]), "HumanEval/38": alone})
    assert [s["verdict"] for s in samples] == ["pass", "pass"]


def test_bad_solutions_get_the_verdict_they_earn():
    """A loop, a syntax error, an early exit and a missing function do not pass, and each says why."""
    quick = replace(HUMANEVAL, limits=replace(HUMANEVAL.limits, cpu_seconds=1.0))
    texts = {
        "HumanEval/0": "def has_close_elements(numbers, threshold):\n    while True: pass",
        "HumanEval/1": "def separate_paren_groups(s:\n    return",
        "HumanEval/2": "import os\ndef truncate_number(x):\n    os._exit(0)",
        "HumanEval/3": "print('below_zero')",
    }
    samples = grade(quick, texts)
    assert samples[0]["verdict"] == "timeout"
    assert not any(s["passed"] for s in samples) and all(s["detail"] for s in samples)


def test_prompt_is_the_training_template_with_an_open_fence():
    """Evaluation and training must render one template."""
    prompt = HUMANEVAL.prompt("HumanEval/0")
    problem = HUMANEVAL.problems["HumanEval/0"]
    assert prompt == render_prompt(humaneval.instruction(problem)) + RESPONSE_PREFIX
    assert prompt.endswith("```python") and problem["prompt"].strip() in prompt
    assert problem["canonical_solution"].strip() not in prompt


def test_the_chosen_part_is_fixed_and_nested():
    """A smaller part of the benchmark is the beginning of a larger one; the seed decides which."""
    assert HUMANEVAL.choose(164, 0)[:40] == HUMANEVAL.choose(40, 0) != HUMANEVAL.choose(40, 1)
    assert sorted(HUMANEVAL.choose(164, 3)) == sorted(HUMANEVAL.problems)
    with pytest.raises(StudyError, match="1 to 164"):
        HUMANEVAL.choose(165, 0)


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
        humanevalplus.load(str(tmp_path / "absent.jsonl"))


def test_humaneval_plus_is_found_where_evalplus_keeps_it(plus, tmp_path, monkeypatch):
    """The override comes first, then EvalPlus's cache; "off" is off; a damaged cache is refused, not scored."""
    assert humanevalplus.load("off") is None
    monkeypatch.setenv("HUMANEVAL_OVERRIDE_PATH", str(PLUS))
    assert humanevalplus.find() == PLUS
    monkeypatch.delenv("HUMANEVAL_OVERRIDE_PATH")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached = tmp_path / "evalplus" / "HumanEvalPlus-v0.1.10.jsonl"
    cached.parent.mkdir()
    cached.write_bytes(gzip.decompress(PLUS.read_bytes()))
    found = humanevalplus.load("auto")
    assert found is not None and (found.version, found.md5) == ("v0.1.10", "fe585eb4df8c88d844eeb463ea4d0302")
    cached.write_bytes(cached.read_bytes()[:-1])
    with pytest.raises(StudyError, match="42526ec0"):
        humanevalplus.load("auto")


def test_humaneval_plus_without_data_or_network_is_left_out_quickly(tmp_path, monkeypatch):
    """No cache and a proxy that refuses: None, at once."""
    monkeypatch.delenv("HUMANEVAL_OVERRIDE_PATH", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert humanevalplus.load("auto") is None
    assert not list(tmp_path.rglob("*.jsonl"))


def test_humaneval_plus_canonical_solutions_pass_all_inputs(plus):
    """Every task but the six heavy ones, HumanEval/32 included, whose canonical solution evalplus 0.3.1 fails."""
    chosen = {task: answer(p) for task, p in plus.problems.items() if task not in HEAVY}
    assert [(s["task_id"], s["verdict"], s["detail"]) for s in grade(plus, chosen) if not s["passed"]] == []


def test_humaneval_plus_catches_what_humaneval_lets_pass(plus):
    """Wrong only on plus inputs, off by a little, of another type, mutating its input, and no root."""
    broken = {
        # passes HumanEval's tests: they never ask for a prime square of 49 or more
        "HumanEval/31": "def is_prime(n):\n    return n > 1 and all(n % k for k in (2, 3, 5, 7, 11) if k < n)",
        "HumanEval/2": "def truncate_number(x):\n    return x % 1.0 + 1e-3",
        "HumanEval/32": "def find_zero(xs):\n    return 0.5",
        "HumanEval/0": "def has_close_elements(numbers, threshold):\n    numbers.clear()\n    return False",
    }
    samples = grade(plus, broken)
    assert [s["verdict"] for s in samples] == ["fail"] * 4
    assert "not" in samples[0]["detail"] and "not a root" in samples[2]["detail"]
    close = {"HumanEval/2": "def truncate_number(x):\n    return x % 1.0 + 1e-9"}
    assert grade(plus, close)[0]["verdict"] == "pass"


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
    """The same two rates differ clearly when the flips go one way, and cannot be told apart when they go both ways."""
    before = [True] * 50 + [False] * 50
    clear = compare(before, [True] * 60 + [False] * 40, 5000, 0)
    assert (clear.gained, clear.lost, clear.n) == (10, 0, 100) and clear.low > 0 and clear.p < 0.01
    mixed = compare(before, [False] * 25 + [True] * 60 + [False] * 15, 5000, 0)
    assert mixed.difference == pytest.approx(clear.difference) and mixed.low < 0 < mixed.high
    assert "cannot be told apart with 100 problems" in mixed.in_words() and "more problems" in clear.in_words()
    assert "fewer" in Comparison(-0.2, -0.3, -0.1, 1, 21, 0.001, 100).in_words()
    with pytest.raises(ValueError, match="same problems"):
        compare([True], [True, False], 10, 0)
