"""Where a difference comes from: labels of raw prompts, and the sentence on each step."""

import pytest

from lib.core.records import StudyError
from lib.core.statistics import compare
from lib.evaluate import steps


def walk(*rates):
    """The steps between models with these verdicts on the same problems."""
    labels = (*steps.raw_labels(["unstripped", "official"]), steps.BEFORE, steps.AFTER)[-len(rates) :]
    return [(labels[place], compare(rates[place - 1], rates[place], 1000, 0)) for place in range(1, len(rates))]


def solved(count, n=100):
    return [1.0] * count + [0.0] * (n - count)


def test_raw_prompts_come_in_the_order_of_the_way_and_unknown_ones_are_refused():
    assert list(steps.raw_labels(["unstripped", "official"]).values()) == ["official", "unstripped"]
    assert steps.raw_labels([]) == {}
    with pytest.raises(StudyError, match="^RAW_PROMPTS has 'bare', which is unknown; choose from official and unstrip"):
        steps.raw_labels(["bare"])
    with pytest.raises(StudyError, match="has a form twice; name each once$"):
        steps.raw_labels(["official", "official"])


def test_every_step_is_told_and_the_trainings_own_share_is_not_the_papers_difference():
    """Where asking otherwise gains 30 points and the training loses 10, the paper's comparison says +20."""
    said = steps.in_words("HumanEval", "before, raw prompt", 0.3, walk(solved(30), solved(40), solved(60), solved(50)))
    assert said.startswith("HumanEval, pass@1 in percent: 30.0; the prompt's own line breaks or quotes +10.0 (95 % ")
    assert "; the template +20.0 (" in said and "; the training -10.0 (" in said and "; in the end 50.0." in said
    assert said.endswith("says +20.0 points. The training itself is responsible for -10.0 points.")


def test_an_inconclusive_training_is_said_to_be_so_and_only_the_official_prompt_is_the_papers():
    for first, rates in (("before", (50, 51)), ("before, unstripped prompt", (40, 50, 51))):
        said = steps.in_words("HumanEval", first, rates[0] / 100, walk(*map(solved, rates)))
        assert said.endswith("in the end 51.0. What the training did is inconclusive with 100 problems.")


def test_a_part_of_a_benchmark_is_named_as_it_is_or_without_its_version():
    """All problems where none is named; a name that is no benchmark is refused."""
    assert steps.parts({"mbpp+": 9, "humaneval+@v0.1.9": 5}, ["humaneval", "humaneval+@v0.1.9", "mbpp+@v0.1.0"]) == {
        "humaneval": 0, "humaneval+@v0.1.9": 5, "mbpp+@v0.1.0": 9,
    }  # fmt: skip
    with pytest.raises(StudyError, match="N_PROBLEMS has mbpp-plus, which is no benchmark; choose from .*mbpp"):
        steps.parts({"mbpp-plus": 9}, ["mbpp+"])
