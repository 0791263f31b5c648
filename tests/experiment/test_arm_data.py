"""Data sets of arms: the same tasks, alike in length, in the text of notebook 03, and different only as they say."""

from dataclasses import replace
from pathlib import Path

import pytest

from lib.core.records import StudyError, write_records
from lib.experiment.dataset import datasets, derangement, offered, shared, stock, texts, weighed
from lib.experiment.plan import Group, Line
from lib.experiment.plan_file import read_plan
from lib.experiment.pool import alike, read_made, read_pool, strengths
from lib.experiment.validation import apart, called_by_name, outside, validation
from lib.select.selection import Options
from lib.select.training_set import build_training_set
from lib.train.template import encode, load_tokenizer


def free(_: str) -> None:
    """No text repeats a benchmark."""


@pytest.fixture(scope="module")
def read(pools):
    return {name: read_pool(Path(folder)) for name, folder in pools.items()}


@pytest.fixture(scope="module")
def strength(read, tmp_path_factory):
    return strengths(read["full"], tmp_path_factory.mktemp("strength") / "strength.jsonl", 2)


@pytest.fixture
def made(plan_file, read, tiny):
    plan, tokenizer = read_plan(plan_file), load_tokenizer(tiny.path)
    tasks = sorted(read["full"].tasks)[:16]
    return stock(plan, read, tasks, tokenizer, free, {}), datasets(
        stock(plan, read, tasks, tokenizer, free, {}), ["one", "two"]
    )


def test_a_pool_is_read_with_its_shards_and_counts(read) -> None:
    pool = read["full"]
    assert (len(pool.tasks), len(pool.responses), len(pool.programs)) == (20, 100, 100)
    assert set(pool.solved().values()) == {2} and len(pool.divided()) == 20 and pool.options == Options()
    assert alike(pool, read["teacher"])["task0500"] == "task0000"
    with pytest.raises(StudyError, match=r"cannot be read"):
        read_pool(pool.folder / "nowhere")


def test_arms_have_the_same_tasks_and_totals_within_the_tolerance(made, read, tiny) -> None:
    sets, tokenizer = made[1], load_tokenizer(tiny.path)
    of = {"teacher": "teacher", "terse-style": "terse"}
    totals = {}
    for arm in ("passing", "failing", "random", "shuffled", "teacher"):
        assert [row["id"] for row in sets[arm]] == [row["id"] for row in sets["passing"]]
        rows, dropped = encode(texts(read[of.get(arm, "full")], sets[arm]), tokenizer, 1280)
        assert len(rows) == len(sets["passing"]) >= 10 and not dropped
        totals[arm] = [
            sum(len(row["labels"]) for row in rows),
            sum(label >= 0 for row in rows for label in row["labels"]),
        ]
    for sizes in zip(*totals.values(), strict=True):
        assert max(sizes) <= 1.05 * min(sizes)
    assert {len(sets[arm]) for arm in ("long-style", "terse-style")} == {16}
    assert len(sets["tuning"]) == len(sets["passing"])


def test_without_matching_the_lengths_would_differ(plan_file, read, tiny) -> None:
    """The pool's passing answers are so much shorter that the balance is the matching's merit."""
    plan, tokenizer = read_plan(plan_file), load_tokenizer(tiny.path)
    found = offered(read["full"], read["full"], tokenizer, 1280, free)
    means = {
        kind: sum(example["trained"] for k, example in found if k == kind) / sum(k == kind for k, _ in found)
        for kind in ("passing", "failing")
    }
    assert means["failing"] > 1.2 * means["passing"]
    terse = replace(plan.arms["passing"], recipe="terse")
    unlike = replace(plan, arms={"long": plan.arms["passing"], "terse": terse})
    with pytest.raises(StudyError, match="no tasks are left on which the arms' tokens are alike"):
        shared(stock(unlike, read, sorted(read["full"].tasks), tokenizer, free, {}), "one")


def test_data_sets_differ_only_in_what_the_arm_says(made, read) -> None:
    sets, pool = made[1], read["full"]
    verdicts = {
        arm: [pool.verdicts[row["answers"]]["verdict"] for row in sets[arm]] for arm in ("passing", "failing", "random")
    }
    assert set(verdicts["passing"]) == {"pass"} and set(verdicts["failing"]) == {"fail"}
    assert set(verdicts["random"]) == {"pass", "fail"}
    for arm in ("passing", "failing", "random"):
        assert all(row["asks"] == row["answers"] and pool.task(row["asks"]) == row["id"] for row in sets[arm])
    pairs = zip(sets["random"], sets["passing"], sets["failing"], strict=True)
    assert all(drawn in (right, wrong) for drawn, right, wrong in pairs)
    dealt = sets["shuffled"]
    assert [row["asks"] for row in dealt] == [row["asks"] for row in sets["passing"]]
    assert sorted(row["answers"] for row in dealt) == sorted(row["answers"] for row in sets["passing"])
    assert all(pool.task(row["answers"]) != row["id"] for row in dealt)


def test_an_example_is_what_notebook_03_would_have_kept(made, read) -> None:
    """Notebook 03, given the arm's responses alone, makes the same texts of all of them."""
    pool = read["full"]
    for arm in ("passing", "failing", "random"):
        rows = made[1][arm]
        programs = [pool.programs[row["answers"]] for row in rows]
        options = replace(pool.options, choice=arm)
        given = (pool.verdicts, pool.responses, pool.tasks, pool.sources, options, pool.style, free)
        expected = {e["parent"]: (e["instruction"], e["response"]) for e in build_training_set(programs, *given)[0]}
        assert {
            r["answers"]: (e["instruction"], e["response"]) for r, e in zip(rows, texts(pool, rows), strict=True)
        } == expected


def test_data_sets_do_not_depend_on_the_order_of_records(made, plan_file, read, tiny) -> None:
    turned = {
        name: replace(pool, responses=dict(reversed(pool.responses.items())), tasks=dict(reversed(pool.tasks.items())))
        for name, pool in read.items()
    }
    again = stock(read_plan(plan_file), turned, sorted(read["full"].tasks)[:16], load_tokenizer(tiny.path), free, {})
    assert datasets(again, ["two", "one"]) == made[1]


def test_a_recipe_s_arm_has_as_many_examples_and_tokens_as_the_one_that_it_is_like(
    plan_file, read, tiny, tmp_path, made
) -> None:
    plan, tokenizer = read_plan(plan_file), load_tokenizer(tiny.path)
    plan = replace(
        plan,
        tasks=plan.tasks | {"own": Group(like="passing")},
        arms=plan.arms | {"other": Line("made", (1,), "recipe", "own"), "absent": Line("made", (1,), "none", "own")},
        made={"recipe": str(tmp_path), "none": "nowhere"},
    )
    given = [
        {
            "id": f"e{n:03d}",
            "instruction": f"Task {n}." + " more" * (n * 7 % 90),
            "response": f"Answer {n}." + " and so on" * (n % 60),
        }
        for n in range(120)
    ]
    write_records(tmp_path / "examples.jsonl.gz", given)
    recipe, main = read_made(tmp_path), read["full"]
    others = {"recipe": outside(recipe.examples.values(), main, sorted(main.tasks)[:16])}
    stocked = stock(
        plan, read, sorted(main.tasks)[:16], tokenizer, lambda text: "e003" if "Task 3." in text else None, others
    )
    assert len(others["recipe"]) == 120 and len(stocked.made["recipe"]) == 119
    sets = datasets(stocked, ["one", "own"])
    assert "absent" not in sets and len(sets["other"]) == len(sets["passing"])
    rows = {
        arm: encode(texts(pool, sets[arm]), tokenizer, 1280)[0] for arm, pool in (("other", recipe), ("passing", main))
    }
    sizes = {arm: sum(len(row["labels"]) for row in of) for arm, of in rows.items()}
    assert abs(sizes["other"] - sizes["passing"]) <= 0.05 * sizes["passing"]
    with pytest.raises(StudyError, match="3 examples suit a recipe, and 9 are needed"):
        weighed(stocked.made["recipe"][:3], 9, {"tokens": 1, "trained": 1}, 0.05, 1)
    with pytest.raises(StudyError, match="still differ by"):
        weighed(stocked.made["recipe"], 9, {"tokens": 9, "trained": 9}, 0.05, 1)
    with pytest.raises(StudyError, match="is missing: run"):
        read_made(tmp_path / "nowhere")


def test_a_recipe_must_not_teach_held_out_tasks(read) -> None:
    """Neither with their seed nor with nearly their text."""
    pool = replace(read["full"], tasks={n: t | {"seed": f"of {n}"} for n, t in read["full"].tasks.items()})
    open_to_all = [name for name in pool.tasks if name != "task0003"]
    given = [
        {"id": "a", "seed": "of task0003", "instruction": "Another text altogether."},
        {"id": "b", "seed": "x", "instruction": pool.tasks["task0003"]["instruction"] + " Now."},
        {"id": "c", "seed": "of task0004", "instruction": pool.tasks["task0004"]["instruction"]},
    ]
    assert [each["id"] for each in outside(given, pool, open_to_all)] == ["c"]


@pytest.mark.parametrize("count", [2, 3, 50])
def test_a_derangement_leaves_nothing_in_its_place(count) -> None:
    items = [f"{n:02d}" for n in range(count)]
    for seed in range(20):
        dealt = derangement(items, seed)
        assert sorted(dealt) == items and all(a != b for a, b in zip(dealt, items, strict=True))
    assert derangement(items, 5) == derangement(items, 5)


def test_the_tests_of_validation_tasks_kill_mutants_and_their_tasks_are_never_learnt(read, strength) -> None:
    pool = read["full"]
    assert strength.keys() == set(pool.named("passing")) and all(
        0 < s["killed"] <= s["mutants"] for s in strength.values()
    )
    held_out = validation(pool, strength, 6, 3)
    assert len(held_out) == 6 and all(pool.task(name) == task for task, name in held_out.items())
    assert held_out == validation(pool, strength, 6, 3) != validation(pool, strength, 6, 4)
    assert not apart(pool, held_out) & held_out.keys() and len(apart(pool, held_out)) == 14
    weak = {name: record | {"killed": 0} for name, record in strength.items()}
    with pytest.raises(StudyError, match="validation asks for 6 tasks, and 0 have tests that hold"):
        validation(pool, weak, 6, 3)


def test_a_near_duplicate_of_a_validation_task_is_not_learnt_from(read) -> None:
    pool = read["full"]
    twin = pool.tasks["task0007"] | {"instruction": pool.tasks["task0003"]["instruction"] + " Now."}
    alike = replace(pool, tasks={**pool.tasks, "task0007": twin})
    assert "task0007" not in apart(alike, {"task0003"}) and "task0003" not in apart(alike, {"task0003"})


def test_a_task_must_name_what_its_tests_call() -> None:
    program = {"code": "def area(x):\n    return x", "tests": "assert area(2) == 2"}
    assert called_by_name(program, "Write `area`.") and not called_by_name(program, "Write areas.")
    assert not called_by_name(program | {"tests": "assert 1"}, "Write area.")


def test_the_examples_of_another_run_of_notebook_03_can_be_learnt_from(tmp_path) -> None:
    """A folder without a recipe's examples, but with what notebook 03 kept."""
    kept = [{"id": "a", "instruction": "Do it.", "response": "Done.", "seed": "s", "pass_rate": 0.5}]
    write_records(tmp_path / "03_execution_filtering" / "dataset.jsonl.gz", kept)
    assert read_made(tmp_path).examples == {"a": kept[0]}
    with pytest.raises(StudyError, match="examples.jsonl is missing: run"):
        read_made(tmp_path / "nowhere")
