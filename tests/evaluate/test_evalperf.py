"""EvalPerf: published scores recomputed, the ladder's order, what is measured and cannot be faked, data found."""

import gzip
import json
import os
import random
import re
import textwrap
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from lib.core.records import Journal, StudyError
from lib.evaluate import Missing
from lib.evaluate.__main__ import solutions
from lib.evaluate.benchmarks import evalperf, load_benchmark
from lib.evaluate.benchmarks.evalperf import costs, data, inputs
from lib.evaluate.benchmarks.evalperf.costs import TIME, Bench, Cost, Item
from lib.evaluate.benchmarks.evalperf.scores import (
    SLOWEST,
    against,
    agreement,
    rung,
    scores,
    selected,
    summary,
    win_rates,
)
from lib.evaluate.benchmarks.humaneval_plus import HumanEvalPlus
from lib.evaluate.benchmarks.mbpp import MbppPlus
from lib.evaluate.grading import grade_solutions, public
from lib.evaluate.scoring import score
from lib.sandbox import run_programs

SHARED = Path(__file__).resolve().parents[3] / "shared/benchmarks"
LADDER = SHARED / "evalperf/evalperf_ladder.jsonl.gz"
MODEL = "_temp_1.0"  # how the ladder's names of models end
# Win rates on the benchmark's site (results/evalperf/COMBINED-RESULTS.json of evalplus.github.io at 87418456, the
# commit that the ladder was made from): over tasks, and over models.
WIN_RATES = {
    "deepseek-ai--deepseek-coder-6.7b-instruct_vllm": (0.4720972097209721, 0.5454545454545454),
    "Qwen--CodeQwen1.5-7B-Chat_vllm": (0.3937518420277041, 0.12121212121212122),
    "meta-llama--Meta-Llama-3-8B-Instruct_vllm": (0.39434306569343064, 0.0),
    "meta-llama--Llama-3.1-8B-Instruct_vllm": (0.39132462686567165, 0.15151515151515152),
    "gpt-4o-2024-08-06_openai": (0.6109493302271404, 1.0),
    "ise-uiuc--Magicoder-S-DS-6.7B_vllm": (0.4549777117384844, 0.5757575757575758),
}


def rows() -> list[dict]:
    """The ladder's rows as they are published."""
    return [json.loads(line) for line in gzip.decompress(LADDER.read_bytes()).splitlines()]


@pytest.fixture(scope="module")
def whole():
    """EvalPerf from the copies for tests: published ladder, our inputs."""
    return load_benchmark("evalperf", SHARED)


# ---- agreement with what is published


@pytest.mark.shared
def test_the_published_summaries_are_the_means_of_their_tasks():
    """DPS, normalised DPS and pass@1 of all 34 models, to the last digit but one, and how many tasks were measured."""
    published = json.loads((SHARED / "evalperf/evalperf_official_summary.json").read_text())
    assert len(published) == 34
    for model, wanted in published.items():
        parts = {row["task_id"]: row["models"][model] for row in rows()}
        assert summary(parts) == pytest.approx({name: wanted[name] for name in ("dps", "dps_norm", "pass@1")}, 1e-12)
        assert sum(one["dps"] is not None for one in parts.values()) == wanted["n_tasks_profiled"]


UNKNOWN = {"HumanEval/24", "HumanEval/54", "Mbpp/75", "Mbpp/108", "Mbpp/251"}  # tasks of unknown scores


@pytest.mark.shared
def test_the_published_scores_follow_from_the_rungs_that_solutions_reached():
    """For every task, summed over all models: the scores of the rungs of all measured solutions."""
    for row in rows():
        ladder = [{"cluster": n, "score": value} for n, value in enumerate(row["scores"])]
        problem = {"references": ladder, "n_reference": row["n_reference"]}
        reached = [
            (one["n_solutions"], *scores(problem, one["cluster"])) for one in row["clusters"] if one["n_solutions"]
        ]
        models = [one for one in row["models"].values() if one["n_profiled"]]
        total = sum(one["n_profiled"] for one in models)
        assert sum(n for n, *_ in reached) == total
        wanted = [sum(one["n_profiled"] * one[name] for one in models) for name in ("dps", "dps_norm")]
        assert sum(n * normalised for n, _, normalised in reached) == pytest.approx(wanted[1])
        if row["task_id"] in UNKNOWN:
            assert {dps for _, dps, _ in reached} == {None}
        else:  # the ladder's scores have six digits
            assert sum(n * dps for n, dps, _ in reached) == pytest.approx(wanted[0], abs=1e-5 * total)


@pytest.mark.shared
def test_win_rates_are_the_published_ones():
    """Over tasks and over models, among all 34."""
    models = {
        model: {row["task_id"]: value for row in rows() if (value := row["models"][model]["dps"]) is not None}
        for model in rows()[0]["models"]
    }
    found = win_rates(models)
    for name, (tasks, others) in WIN_RATES.items():
        seen = found[name + MODEL]
        assert (seen["tasks"], seen["models"]) == pytest.approx((tasks, others), abs=1e-12), name


@pytest.mark.shared
def test_the_ladder_has_the_published_tasks_and_says_what_it_lacks(whole):
    """118 tasks; 628 of 897 references have code; each task has an input of ours, and the version says so."""
    assert len(whole.problems) == 118 and whole.version.endswith("our own large inputs")
    known = sum(len(problem["references"]) for problem in whole.problems.values())
    assert (known, sum(problem["n_reference"] for problem in whole.problems.values())) == (628, 897)
    assert set(inputs.INPUTS) == set(whole.problems) | set(evalperf.own().problems)
    assert inputs.scaled("Mbpp/12") == inputs.scaled("Mbpp/12") != inputs.scaled("Mbpp/805")


def with_contract(problem: dict) -> str:
    """The canonical solution, and a function `contract` of the same arguments that fails where they break it."""
    code = problem["prompt"] + problem["canonical_solution"]
    arguments = re.search(rf"^def {problem['entry_point']} ?(\(.*\))", code, re.MULTILINE)[1]
    body = textwrap.indent(textwrap.dedent(problem["contract"].strip("\n")), "    ")  # each task has its own indent
    return f"{code}\n\ndef contract{arguments}:\n{body}\n    return True\n"


def contracts(benchmark, tasks) -> dict[str, str]:
    """The tasks of which our input does not meet the contract, or the canonical solution fails on it, and why."""
    programs = []
    for task in tasks:
        problem = benchmark.problems[task]
        code = with_contract(problem)
        tests = "import base64, marshal, zlib\ngiven = marshal.loads(zlib.decompress(base64.b64decode(PACKED)))\n"
        tests += f"assert contract(*given)\nassert [{problem['entry_point']}(*given)]"
        programs.append({"id": task, "code": code, "tests": tests, "data": {"PACKED": benchmark.given(task)}})
    seen = run_programs(programs, costs.LIMITS, again=False)
    return {one["id"]: one["detail"] for one in seen if one["verdict"] != "pass"}


@pytest.mark.shared
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_our_inputs_meet_the_tasks_contracts(whole, every):
    """As HumanEval+ and MBPP+ state them; 30 seeded tasks without SLOW=1."""
    tasks = list(whole.problems) if every else random.Random(17).sample(list(whole.problems), 30)
    assert contracts(whole, tasks) == {}


@pytest.mark.shared
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_canonical_solution_passes(whole, every):
    """On the NoExtreme inputs; 30 seeded tasks without SLOW=1."""
    tasks = list(whole.problems) if every else random.Random(17).sample(list(whole.problems), 30)
    samples = grade_solutions(whole, [(task, whole.canonical(task)) for task in tasks])
    assert [(one["task_id"], one["detail"]) for one in samples if not one["passed"]] == []


def in_order(benchmark, tasks) -> tuple[int, int, dict[str, str]]:
    """(pairs in order, pairs, references without a cost) of all published solutions with code of these tasks."""
    held = total = 0
    failed = {}
    codes = {
        row["task_id"]: [
            (one["cluster"], code) for one in row["clusters"] if one["cluster"] >= 0 for code in one["solutions"]
        ]
        for row in rows()
    }
    with Bench() as bench:
        for task in tasks:
            _, ladder = benchmark.costs(task, [], bench, references=codes[task])
            good, pairs = agreement(ladder, costs.TOLERANCES[bench.kind])
            held, total = held + good, total + pairs
            failed |= {f"{task} {number}": "no cost" for number, cost in ladder if cost is None}
    return held, total, failed


# Tasks whose published solutions take milliseconds here.
QUICK = ("HumanEval/9", "HumanEval/34", "Mbpp/94", "Mbpp/88", "Mbpp/592")


OTHER_ON_OURS = {"Mbpp/425 2"}  # a published solution that answers our input otherwise than the fastest one


@pytest.mark.shared
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_published_solutions_cost_what_their_rung_says(whole, every):
    """A solution on a higher rung costs no more, in nearly all pairs; five tasks without SLOW=1."""
    held, total, failed = in_order(whole, list(whole.problems) if every else QUICK)
    assert failed.keys() <= OTHER_ON_OURS, failed
    assert held / total > 0.8, (held, total)


# ---- scores


def test_the_rung_is_the_fastest_reference_that_a_solution_is_no_slower_than():
    ladder = [(0, 8.0), (2, 4.0), (3, None), (5, 1.0)]
    found = [rung(cost, ladder, 0.05) for cost in (0.5, 1.0, 1.04, 1.06, 4.1, 7.9, 8.41, None)]
    assert found == [5, 5, 5, 2, 2, 0, SLOWEST, SLOWEST]
    problem = {"n_reference": 6, "references": [{"cluster": n, "score": 10.0 * n} for n in (0, 2, 3, 5)]}
    assert (
        scores(problem, 5) == (50.0, 100.0)
        and scores(problem, 2) == (20.0, 50.0)
        and scores(problem, SLOWEST) == (0, 0)
    )
    problem["references"] = [{**one, "score": None} for one in problem["references"]]
    assert scores(problem, SLOWEST) == (None, 0.0)


def test_the_first_right_answers_of_a_task_with_enough_are_measured():
    samples = [{"task_id": task, "passed": right} for task, right in [("a", True), ("b", True), ("a", False)] * 3]
    assert selected(samples, 3, 2) == {"a": [0, 3], "b": [1, 4]}
    assert selected(samples, 4, 9) == {} and selected(samples[:-3], 2, 9) == {"a": [0, 3], "b": [1, 4]}


def test_a_win_is_a_higher_score_on_a_common_task_and_a_tie_is_half():
    one, other = {"a": 90.0, "b": 50.0, "c": 10.0, "d": 70.0}, {"a": 80.0, "b": 50.0, "c": 20.0, "e": 0.0}
    assert against(one, other) == {"n": 3, "wins": 1, "ties": 1, "losses": 1, "rate": 0.5, "dps": [50.0, 50.0]}
    assert against(one, {"z": 1.0})["rate"] is None
    assert win_rates({"one": one, "other": other, "none": {}})["one"] == {"tasks": 0.5, "models": 0.0}
    assert win_rates({"alone": one})["alone"] == {"tasks": None, "models": None}


def test_a_pair_in_order_costs_less_higher_up():
    assert agreement([(0, 9.0), (0, 8.0), (1, 3.0), (2, None), (3, 3.1)], 0.05) == (5, 5)
    assert agreement([(0, 1.0), (1, 2.0)], 0.05) == (0, 1)


# ---- answers of our own tasks: right, wrong, hostile

SLOW = "def pairs_apart(heights, gap):\n    return sum(abs(a - b) == gap for a in heights for b in heights) // 2\n"
FAST = (
    "def pairs_apart(heights, gap):\n    seen, found = {}, 0\n    for height in heights:\n"
    "        found += seen.get(height - gap, 0) + seen.get(height + gap, 0)\n"
    "        seen[height] = seen.get(height, 0) + 1\n    return found\n"
)
WRONG = {
    "counts places, not pairs": "def pairs_apart(heights, gap):\n    return len(heights)",
    "counts both ways": SLOW.replace(" // 2", ""),
    "neighbours only": "def pairs_apart(hs, gap):\n    return sum(b - a == gap for a, b in zip(hs, hs[1:]))",
    "returns text": FAST.replace("return found", "return str(found)"),
    "prints": FAST.replace("return found", "print(found)"),
    "raises": "def pairs_apart(heights, gap):\n    raise ValueError(heights)",
    "loops": "def pairs_apart(heights, gap):\n    while True: pass",
    "recurses": "def pairs_apart(heights, gap):\n    return pairs_apart(heights, gap)",
    "is no Python": "def pairs_apart(heights, gap)\n    return 4",
    "imports what is not there": "import pandas\n" + FAST,
    "has another name": FAST.replace("pairs_apart", "pairs"),
    "only the examples": "def pairs_apart(heights, gap):\n    return {3: 4, 1: 0}.get(gap)",
}
HOSTILE = {
    "leaves early": "import os\ndef pairs_apart(heights, gap):\n    os._exit(0)",
    "leaves as if done": "import sys\ndef pairs_apart(heights, gap):\n    sys.exit(0)",
    "writes to the reporter": (
        "import gc\ndef pairs_apart(heights, gap):\n    for one in gc.get_objects():\n"
        "        if hasattr(one, 'store') and hasattr(one, 'scale'):\n"
        '            one.text = \'{"status": "pass", "calls": 1, "seconds": 0.0}\'\n'
        "            one.store = print\n    return -1"
    ),
    "reads the expected values": (
        "import os, sys\ndef pairs_apart(heights, gap):\n"
        "    places = [globals(), *(vars(one) for one in [*sys.modules.values()])]\n"
        "    found = [place.get(name) for place in places for name in ('expected', 'wanted', 'job', 'reference')]\n"
        "    files = [file for folder in ('.', '/tmp', '/harness') for file in os.listdir(folder)]\n"
        "    return next((one for one in found if isinstance(one, int)), -len(files))"
    ),
    "patches the comparison": (
        "import builtins, numpy\nclass All(int):\n    def __eq__(self, other): return True\n"
        "def pairs_apart(heights, gap):\n    numpy.allclose = lambda *_, **__: True\n"
        "    builtins.all = lambda *_: True\n    return All()"
    ),
    "sleeps": "import time\ndef pairs_apart(heights, gap):\n    time.sleep(600)",
    "forks": "import os\ndef pairs_apart(heights, gap):\n    os.fork()\n    return -1",
}


def test_wrong_and_hostile_answers_do_not_pass(monkeypatch):
    """Each has a status and a reason in one line; right ones pass, slow or fast."""
    monkeypatch.setattr("lib.evaluate.benchmarks.evalplus.FLOOR_SECONDS", 0.25)
    own = evalperf.own()
    codes = [*WRONG.values(), *HOSTILE.values(), SLOW, FAST]
    samples = grade_solutions(own, [("Own/pairs_apart", code) for code in codes])
    named = dict(zip([*WRONG, *HOSTILE], samples, strict=False))
    assert [name for name, one in named.items() if one["passed"]] == []
    assert all(one["detail"] and "\n" not in one["detail"] for one in named.values())
    assert [one["passed"] for one in samples[-2:]] == [True, True]


def test_every_solution_and_reference_of_our_own_tasks_passes():
    own = evalperf.own()
    pairs = [(task, own.canonical(task)) for task in own.problems]
    pairs += [(task, one["code"]) for task, problem in own.problems.items() for one in problem["references"]]
    samples = grade_solutions(own, pairs)
    assert [(one["task_id"], one["detail"]) for one in samples if not one["passed"]] == []


# ---- measuring


def quick(monkeypatch) -> evalperf.EvalPerf:
    """Our own tasks, measured in few rounds."""
    monkeypatch.setattr(costs, "LEAST", 2)
    monkeypatch.setattr(costs, "MOST", 4)
    return evalperf.own()


def right(task: str, *codes: str) -> list[dict]:
    """Samples that passed."""
    return [{"task_id": task, "sample": n, "solution": code, "passed": True} for n, code in enumerate(codes)]


def test_the_ladder_of_our_own_tasks_is_in_order_and_solutions_find_their_rung(monkeypatch):
    """A fast answer gets above the quadratic references, a slow one does not; the kind of cost stands beside each."""
    own = quick(monkeypatch)
    samples = right("Own/pairs_apart", SLOW, FAST, FAST, SLOW)
    samples += [{**sample, "task_id": "Own/busiest", "passed": False} for sample in samples[:2]]
    done = own.measured(samples, least=3, most=3, bench=lambda: Bench(None))
    reached = done[1]["rung"]
    assert done[0]["rung"] <= 0 < reached and [one["rung"] for one in done[2:]] == [reached, None, None, None]
    assert [one["dps_norm"] for one in done[1:]] == [*[100 * (reached + 1) / 3] * 2, None, None, None]
    assert {one["cost_kind"] for one in done[:3]} == {TIME} and done[0]["cost"] > 5 * done[1]["cost"] == 5 * done[2][
        "cost"
    ]
    with Bench(None) as bench:
        for task in own.problems:
            _, ladder = own.costs(task, [], bench)
            assert agreement(ladder, 0) == (3, 3), (task, ladder)
    facts = score(own, [{**one, "verdict": "pass", "broken_reference": False, "tier": ""} for one in done], 100, 0)
    assert facts["dps"]["n"] == 1 and facts["dps"]["value"] >= 2 / 3 * reached * 100 / 3
    assert public(own, [{**one, "id": "x", "verdict": "pass"} for one in done])[1]["dps"] == done[1]["dps"]


BURN = "sum(number * number for number in range(6_000_000))"
FAKED = {
    "no tricks": f"def pairs_apart(heights, gap):\n    {BURN}\n    return slow(heights, gap)",
    "patches the clock": (
        "import time\ntime.process_time = lambda: 0.0\n"
        "def pairs_apart(heights, gap):\n    time.process_time = lambda: 0.0\n"
        f"    {BURN}\n    return slow(heights, gap)"
    ),
    "reports its own time": (
        "import gc, json\ndef pairs_apart(heights, gap):\n    for one in gc.get_objects():\n"
        "        if type(one).__name__ == 'Report':\n"
        "            one.text = json.dumps({'status': 'pass', 'why': '', 'calls': 5, 'seconds': 1e-6})\n"
        f"            type(one).store = lambda *_: None\n    {BURN}\n    return slow(heights, gap)"
    ),
    "works before it is called": f"{BURN}\ndef pairs_apart(heights, gap):\n    return fast(heights, gap)",
    "works in a child": (
        "import os\ndef pairs_apart(heights, gap):\n    out, end = os.pipe()\n    if not os.fork():\n"
        f"        {BURN}\n        os.write(end, str(slow(heights, gap)).encode())\n        os._exit(0)\n"
        "    answer = int(os.read(out, 99))\n    os.wait()\n    return answer"
    ),
    "gives up on a large input": (
        "def pairs_apart(heights, gap):\n    return slow(heights, gap) if len(heights) < 99 else 0"
    ),
    "leaves on a large input": (
        "import os\ndef pairs_apart(heights, gap):\n    return slow(heights, gap) if len(heights) < 99 else os._exit(0)"
    ),
    "equals everything": (
        "class All(int):\n    def __eq__(self, other): return True\n"
        "def pairs_apart(heights, gap):\n    return slow(heights, gap) if len(heights) < 99 else All()"
    ),
}


def test_a_cost_cannot_be_faked(monkeypatch):
    """Slow answers that hide their time, or do not do the work, are no faster than the slowest reference.

    Without namespaces a program cannot fork; then it has no cost at all.
    """
    own = quick(monkeypatch)
    helpers = SLOW.replace("pairs_apart", "slow") + FAST.replace("pairs_apart", "fast")
    codes = [helpers + code for code in FAKED.values()]
    done = own.measured(right("Own/pairs_apart", *codes), least=1, bench=lambda: Bench(None))
    found = dict(zip(FAKED, done, strict=True))
    assert {name: one["rung"] for name, one in found.items() if one["rung"] > 0} == {}
    assert {name for name, one in found.items() if one["cost"] is None} >= {
        "gives up on a large input", "leaves on a large input", "equals everything",
    }  # fmt: skip
    assert found["gives up on a large input"]["cost_why"] == "another answer than the fastest reference's"
    assert all("\n" not in one["cost_why"] for one in done) and found["no tricks"]["cost_why"] == ""


def test_a_state_that_is_kept_from_call_to_call_gains_nothing(monkeypatch):
    """A program that remembers its answers is measured as often as any, each time from a fresh start."""
    own = quick(monkeypatch)
    kept = SLOW.replace("pairs_apart", "slow") + (
        "known = {}\ndef pairs_apart(heights, gap):\n    key = (*heights, gap)\n"
        "    if key not in known:\n        known[key] = slow(heights, gap)\n    return known[key]"
    )
    one, other = own.measured(right("Own/pairs_apart", kept, SLOW), least=1, bench=lambda: Bench(None))
    assert one["cost"] > other["cost"] / 2 and one["rung"] <= 0


def test_an_interrupted_measurement_is_continued(tmp_path, monkeypatch):
    """What is in the journal is not measured again; another solution is."""
    own = quick(monkeypatch)
    with Journal(tmp_path / "costs") as journal:
        first = own.measured(right("Own/free_seat", own.canonical("Own/free_seat")), journal, 1)
    with Journal(tmp_path / "costs") as journal:
        monkeypatch.setattr(costs, "measure", lambda *_: 1 / 0)
        assert own.measured(right("Own/free_seat", own.canonical("Own/free_seat")), journal, 1) == first
        with pytest.raises(ZeroDivisionError):
            own.measured(right("Own/free_seat", "def free_seat(taken):\n    return 0"), journal, 1)


def test_rounds_go_on_until_the_order_is_stable():
    """At least LEAST, at most MOST; then only programs that are near another are measured again, and long ones once."""
    looked = []

    def rounds(values, order):
        items = [Item(str(number), True) for number in range(len(values))]
        looked.clear()

        def look(bench, item, job, given):
            looked.append(item.code)
            item.heard(values[int(item.code)])

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(costs, "timed", look)
            found = costs.measure(Bench(None), items, {}, "", order)
        return [found[n].value for n in range(len(values))]

    def ranked(found: list[Cost]) -> tuple:
        return tuple(cost.value for cost in found)

    assert rounds([1.0, 1.2, 50.0, 0.1], ranked) == [1.0, 1.2, 50.0, 0.1]
    assert [looked.count(code) for code in "0123"] == [costs.LEAST, costs.LEAST, 1, costs.LEAST]
    numbers = iter(range(99))
    rounds([1.0, 1.2, 50.0, 0.1], lambda found: next(numbers))
    assert [looked.count(code) for code in "0123"] == [costs.MOST, costs.MOST, 1, costs.LEAST]
    rounds([1.0, 2.0], ranked)
    assert looked == ["1", "0"] or looked == ["0", "1"]


class Counting(Bench):
    """A stand-in for the kernel's counter, which few containers have: the sandbox's processor time, in microseconds."""

    kind = costs.INSTRUCTIONS

    def run(self, program):
        answer, _ = super().run(program)
        return answer, int(1e6 * answer["cpu_seconds"])


def test_with_a_counter_what_a_program_needs_besides_its_call_is_subtracted(monkeypatch):
    """The order of our ladder's slowest and fastest by what was counted from outside; wrong answers have no cost."""
    own = quick(monkeypatch)
    slow = SLOW.replace("return", f"{BURN}\n    return")
    codes = [
        slow,
        FAST,
        "def pairs_apart(heights, gap):\n    return 7",
        "def pairs_apart(heights, gap):\n    return 1 / 0",
    ]
    done = own.measured(right("Own/pairs_apart", *codes), least=1, bench=lambda: Counting(None))
    assert done[0]["cost"] > 10 * done[1]["cost"] and done[0]["cost_kind"] == costs.INSTRUCTIONS
    assert [one["cost_why"] for one in done] == [
        "", "", "another answer than the fastest reference's", "ZeroDivisionError: division by zero",
    ]  # fmt: skip


def test_the_kernels_counter_counts_what_a_process_starts_or_there_is_none():
    """Where it opens, a child's instructions are counted from its start, and this process's own are not."""
    fd = costs.counter()
    if fd is None:
        assert Bench().kind == TIME
        return
    try:
        sum(range(1_000_000))
        assert int.from_bytes(os.read(fd, 8), "little") == 0
        os.spawnv(os.P_WAIT, "/bin/true", ["true"])
        assert int.from_bytes(os.read(fd, 8), "little") > 10_000
    finally:
        os.close(fd)


# ---- data


@pytest.fixture
def apart(tmp_path, monkeypatch):
    """No data but what a test names, and no network."""
    for variable in ("STUDY_BENCHMARKS", "EVALPERF_PATH"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    return tmp_path


def dataset(task="Mbpp/421", given=(((1, "b"),),), **more) -> dict:
    """A row as the data set has it, of one of its tasks."""
    codes = [
        "def concatenate_tuple(t):\n    return '-'.join([str(one) for one in t])",
        "def concatenate_tuple(t):\n    return '-'.join(map(str, t))",
    ]
    row = {"task_id": task, "reference": codes, "scores": [40.0, 100.0], "pe_input": json.dumps(given)}
    return row | more


@pytest.mark.shared
@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".parquet"])
def test_the_data_set_is_read_once_and_its_inputs_kept_in_files(apart, ending, monkeypatch):
    """In each of its forms; the input has the types that JSON lacks, is large, and goes into the box by reference."""
    folder = apart / "evalperf"
    folder.mkdir()
    row = dataset(given=[[["word"] * 200_000]])
    if ending == ".parquet":
        place = folder / "test-00000-of-00002.parquet"
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), place)
        other = dataset(
            "HumanEval/9", [[[1, 2]]], reference=["def rolling_max(numbers):\n    return numbers"], scores=[1.0]
        )
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([other]), folder / "test-00001-of-00002.parquet")
    else:
        place = folder / f"evalperf{ending}"
        text = json.dumps(row).encode()
        place.write_bytes(gzip.compress(text) if ending.endswith("gz") else text)
    for stem in ("humaneval_plus", "mbpp_plus"):
        (apart / stem).symlink_to(SHARED / stem)
    found = load_benchmark("evalperf", place)
    assert found.version == "version unpinned" and found.given("Mbpp/421")["path"].startswith(str(apart / "cache"))
    assert list(found.problems) == ["Mbpp/421", "HumanEval/9"][: 2 if ending == ".parquet" else 1]
    monkeypatch.setattr(data, "prepare", lambda *_: 1 / 0)
    found = load_benchmark("evalperf", apart)
    with Bench(None) as bench:
        (cost, wrong), ladder = found.costs(
            "Mbpp/421", [dataset()["reference"][0], "def concatenate_tuple(t): return t"], bench
        )
    assert cost.value > 0.001 and wrong.why and [number for number, value in ladder if value] == [0, 1]


@pytest.mark.shared
def test_other_files_are_refused_in_one_line(apart):
    """A changed ladder, rows that lack a field, another benchmark's file, a damaged one, a task that no one has."""
    made = apart / "evalperf.jsonl"
    changed = gzip.decompress(LADDER.read_bytes()).replace(b"100.0", b"99.0", 1)
    lacking = json.dumps({key: value for key, value in dataset().items() if key != "scores"}).encode()
    strange = json.dumps(dataset("HumanEval/1000", [[1]])).encode()
    uneven = json.dumps(dataset(scores=[1.0])).encode()
    cases = {
        changed: "expected 36e0aceb", lacking: "'scores'", b'{"task_id": 1}': "neither EvalPerf's data set",
        b"no JSON": "cannot read the benchmark", strange: "no task of HumanEval", b"[]": "neither", b"": "neither",
        uneven: "zip",
    }  # fmt: skip
    for stem in ("humaneval_plus", "mbpp_plus"):
        (apart / stem).symlink_to(SHARED / stem)
    for content, why in cases.items():
        made.write_bytes(content)
        with pytest.raises(StudyError, match=why) as refused:
            load_benchmark("evalperf", made)
        assert "\n" not in str(refused.value)
    cut = apart / "cut.jsonl.gz"
    cut.write_bytes(LADDER.read_bytes()[:5000])
    with pytest.raises(StudyError, match="cannot read the benchmark"):
        load_benchmark("evalperf", cut)
    with pytest.raises(StudyError, match="cannot read the benchmark"):
        load_benchmark("evalperf", apart / "nowhere.jsonl")


@pytest.mark.shared
def test_a_release_is_downloaded_once_and_another_is_refused(apart, monkeypatch):
    """From an address of our own; the file is hashed as it comes, and only what was made of it is kept."""
    packed = apart / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(dataset()).encode()))
    monkeypatch.setattr(data, "RELEASE", packed.as_uri())
    with pytest.raises(Missing, match="expected 366bbf6c.*STUDY_BENCHMARKS"):
        data.release()
    assert not [path for path in (apart / "cache").rglob("*") if path.is_file()]
    monkeypatch.setattr(data, "PINS", {data.packed_sha256(packed): "20240328"})
    assert data.ladders_of(data.release())[0]["version"] == "20240328"
    packed.unlink()
    assert data.ladders_of(data.release())[1].keys() == {"Mbpp/421"}
    assert {path.name for path in (apart / "cache").rglob("*") if path.is_file()} == {"ladder.json", "Mbpp_421.packed"}


@pytest.mark.shared
def test_without_the_tests_of_its_tasks_one_line_says_how_to_get_them(apart):
    alone = apart / "evalperf_ladder.jsonl.gz"
    alone.write_bytes(LADDER.read_bytes())
    with pytest.raises(Missing, match="HumanEvalPlus-NoExtreme.*STUDY_BENCHMARKS"):
        load_benchmark("evalperf", alone)


@pytest.mark.shared
def test_samples_of_unknown_tasks_are_refused_in_one_line(whole, tmp_path):
    """HumanEval/1 is a task of HumanEval+ and none of EvalPerf; a completion is put under the prompt."""
    file = tmp_path / "samples.jsonl"
    file.write_text('{"task_id": "HumanEval/1", "solution": ""}\n')
    with pytest.raises(StudyError, match=r"samples.jsonl:1: 'HumanEval/1' is no task: EvalPerf .* 118 tasks"):
        solutions(whole, file)
    file.write_text('{"task_id": "HumanEval/9", "completion": "    return []\\n"}\n')
    ((task, solution),) = solutions(whole, file)
    assert solution == whole.problems[task]["prompt"] + "    return []\n"


@pytest.mark.shared
def test_it_is_asked_as_the_benchmarks_of_its_tasks(whole):
    """Prompt, raw prompt, stop strings and how an answer is read, by either protocol."""
    for protocol, raw in (("paper", "official"), ("starcoder2", "unstripped")):
        whole.choose_protocol(protocol)
        for task, kind in (("HumanEval/9", HumanEvalPlus), ("Mbpp/3", MbppPlus)):
            same = kind("same", whole.parts[task].problems)
            same.choose_protocol(protocol)
            assert whole.prompt(task) == same.prompt(task) and whole.raw_prompt(task, raw) == same.raw_prompt(task, raw)
            assert whole.stop == same.stop and whole.raw_stop == same.raw_stop
            answer = "\ndef f():\n    return 1\n```\n"
            assert whole.solution(task, answer) == same.solution(task, answer)
            assert whole.raw_solution(task, "    return 1\n") == same.raw_solution(task, "    return 1\n")
    whole.choose_protocol("paper")
