"""Scores under the names of the paper's tables: what is asked, means over tasks, pairs, the best strategy, claims."""

import copy
import re

import pytest

from lib.core.notebooks import parameter_defaults
from lib.core.records import StudyError
from lib.core.study import with_role
from lib.evaluate import beyond, claims
from lib.evaluate.benchmarks import BENCHMARKS, classeval, evalperf, livecodebench
from lib.evaluate.beyond import PAPER, Sampled, decoding, scored, table

DEFAULTS = parameter_defaults("06_beyond_functions")


def answers(**passed: str) -> list[dict]:
    """Samples by task: "101" is three samples, the second of which is wrong."""
    return [
        {"task_id": task, "passed": one == "1", "verdict": "pass" if one == "1" else "timeout"}
        for task, row in passed.items()
        for one in row
    ]


def test_the_paper_s_decoding_is_asked_but_for_what_is_changed() -> None:
    assert decoding({}, "livecodebench@release_v5") == {
        "samples": 1, "temperature": 0.0, "top_p": 1.0, "max_tokens": 2000,
    }  # fmt: skip
    assert decoding({"classeval": {"max_tokens": 7}}, "classeval-incremental")["max_tokens"] == 7
    assert (PAPER["ds1000"]["samples"], PAPER["ds1000"]["temperature"], PAPER["ds1000"]["top_p"]) == (40, 0.2, 0.95)
    assert (PAPER["canitedit"]["samples"], PAPER["canitedit"]["temperature"]) == (20, 0.2)
    assert (PAPER["evalperf"]["samples"], PAPER["evalperf"]["temperature"]) == (100, 1.0)
    for asked, name, said in (
        ({}, "humaneval", "humaneval is not scored in notebook 06: choose livecodebench"),
        ({"ds1000": {"sample": 1}}, "ds1000", "DECODING has ds1000: sample: it takes livecodebench"),
        ({"ds-1000": {}}, "ds1000", "DECODING has ds-1000: it takes livecodebench"),
    ):
        with pytest.raises(StudyError, match=re.escape(said)):
            decoding(asked, name)


def test_the_notebook_asks_for_benchmarks_that_there_are() -> None:
    assert set(DEFAULTS["BENCHMARKS"]) <= BENCHMARKS.keys()
    assert all(decoding(DEFAULTS["DECODING"], name) for name in DEFAULTS["BENCHMARKS"])
    assert {stage.name for stage in with_role("scoring")} == {"05_evaluation", "06_beyond_functions"}


def test_scores_and_pairs_have_the_names_of_the_paper_s_tables() -> None:
    """Windows by the dates of our own problems' kind; the interval is paired, over common tasks."""
    contests = livecodebench.own()
    contests.problems = copy.deepcopy(contests.problems)  # other tests read them, too
    first, second, third = contests.problems
    contests.problems[first]["contest_date"] = "2023-08-01T00:00:00"
    contests.name = "LiveCodeBench"
    samples = {
        "before": answers(**{first: "1", second: "00", third: "10"}),
        "after": answers(**{first: "0", second: "11"}),
    }
    rows, comparisons = scored([Sampled(contests, samples)], 500, 0)
    found = {(row["model"], row["benchmark"]): row for row in rows}
    assert found["before", "LiveCodeBench code generation"]["pass@1"]["value"] == 0.5
    assert found["before", "LiveCodeBench code generation"]["timeouts"] == 3
    assert found["before", "LiveCodeBench from 2023-09-01"]["pass@1"] | {"low": 0, "high": 0} == {
        "value": 0.25, "low": 0, "high": 0, "n": 2,
    }  # fmt: skip
    pair = comparisons["LiveCodeBench code generation, before to after"]
    assert (pair["difference"], pair["n"], pair["models"]) == (0.0, 2, ["before", "after"])
    assert comparisons["LiveCodeBench from 2023-09-01, before to after"]["difference"] == 1.0
    text = table(rows, comparisons)
    assert "| LiveCodeBench from 2023-09-01 | 1 |" in text and "19.3 to 22.4" in text

    assert contests.remarks(samples["before"]) == []
    contests.problems[first]["graded_on"] = "sample"
    (said,) = contests.remarks(samples["before"])
    assert said == "LiveCodeBench: 1 of 3 tasks are graded on the tests of their statements alone: too high"
    raw = [row | {"model": "before, raw prompt", "version": "release_v1"} for row in rows if row["model"] == "before"]
    rows = [row | {"version": "release_v1"} for row in rows] + raw
    pairs = {"x": pair | {"benchmark": "LiveCodeBench from 2023-09-01", "models": ["before, raw prompt", "after"]}}
    asked = {"scores": rows, "comparisons": pairs, "asked": {"DATA": claims.OWN}}
    found = [row for row in claims.judge_claims(claims.read_claims(), asked, "a/b") if row["ours"]]
    judged = {row["benchmark"]: row for row in found if row["id"] == "tuning-helps-beyond-functions"}
    assert judged["LiveCodeBench from 2023-09-01"]["verdict"] == claims.INCONCLUSIVE
    assert "the interval includes 0" in judged["LiveCodeBench from 2023-09-01"]["why"]
    for version in ("release_v1, version unpinned", "release_v5"):
        hub = asked | {"scores": [row | {"version": version} for row in rows]}
        judged = [row for row in claims.judge_claims(claims.read_claims(), hub, "a/b") if row["ours"]]
        (row,) = [row for row in judged if row["id"] == "tuning-helps-beyond-functions"]
        assert ("and the paper's is release_v1" in row["why"]) == (version == "release_v5")
    derived = [row | {"version": "release_v1, derived tests"} for row in rows]
    (row,) = [
        row
        for row in claims.judge_claims(claims.read_claims(), asked | {"scores": derived}, "a/b")
        if row["ours"] and row["id"] == "tuning-helps-beyond-functions"
    ]
    assert "and the paper's is release_v1, with all of its problems and tests" in row["why"]


def test_efficiency_stands_beside_the_paper_s_own_and_says_what_it_rests_on() -> None:
    """Table 4 has no row before tuning; a sample that was not measured has no kind of cost."""
    costly = evalperf.own()
    costly.name = "EvalPerf"
    clock = "processor time"
    samples = [
        {"task_id": task, "passed": True, "verdict": "pass", "dps": dps, "dps_norm": dps, "cost_kind": kind}
        for task, (dps, kind) in zip(costly.problems, [(50.0, clock), (70.0, clock), (None, None)], strict=True)
    ]
    text = table(*scored([Sampled(costly, {"after": samples})], 200, 0))
    assert "| EvalPerf DPS | 2 |" in text and "60.0 (" in text and "79.9 after" in text
    assert costly.remarks(samples) == [f"EvalPerf: DPS rests on processor time, on {evalperf.OURS}"]
    assert costly.remarks(samples[2:]) == []


def test_the_best_strategy_of_each_model_stands_for_its_classes() -> None:
    """By classes, with that strategy's methods; two models may have two strategies, and are compared all the same."""

    def graded(*passed: int) -> list[dict]:
        return [
            {"task_id": f"t{n}", "passed": one == 4, "succeeded": one, "test_classes": 4, "verdict": "fail"}
            for n, one in enumerate(passed)
        ]

    found = []
    for strategy, before, after in (("holistic", (4, 0), (1, 0)), ("incremental", (3, 3), (4, 4))):
        made = classeval.own(strategy)
        made.name = f"ClassEval {strategy}"
        found.append(Sampled(made, {"before": graded(*before), "after": graded(*after)}))
    rows, comparisons = scored(found, 200, 0)
    best = {(row["model"], row["benchmark"]): row for row in rows if "strategy" in row}
    assert {label: best[label, "ClassEval classes"]["strategy"] for label in ("before", "after")} == {
        "before": "holistic",
        "after": "incremental",
    }
    assert best["before", "ClassEval methods"]["pass@1"]["value"] == 0.5  # the incremental one has 0.75
    assert comparisons["ClassEval classes, before to after"]["difference"] == 0.5
    assert tuple(f"ClassEval {strategy} classes" for strategy in classeval.STRATEGIES) == beyond.CLASSES
