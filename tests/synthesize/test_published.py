"""Published data sets in their own formats, from local files made here: each is read, what is none of it refused."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from lib.core.records import StudyError, read_records
from lib.synthesize.published import SETS, main, read

ANSWER = "```python\ndef double(number):\n    return 2 * number\n```"
TASK = "Write a function that doubles a number."
COMMIT = {
    "commit": "c0ffee", "old_file": "a.py", "new_file": "a.py", "old_contents": "def f():\n    return 1\n",
    "new_contents": "def f():\n    return 2\n", "subject": "fix: return two", "message": "fix: return two\n",
    "lang": "Python", "license": "mit", "repos": "somebody/something",
}  # fmt: skip
ROWS: dict[str, dict[str, Any]] = {
    "oss-instruct-75k": {"lang": "python", "index": 1, "seed": "x = 1", "problem": TASK, "solution": ANSWER},
    "evol-code-80k": {"instruction": TASK, "output": ANSWER},
    "evol-codealpaca": {"instruction": TASK, "output": ANSWER},
    "self-oss-instruct-sc2": {"sha1": "a", "seed": "s", "concepts": ["c"], "instruction": TASK, "response": ANSWER},
    "commitpackft": COMMIT,
}


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A file of rows, in the form that its name says."""
    lines = "\n".join(map(json.dumps, rows)).encode()
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return path


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".json", ".parquet"])
def test_every_set_is_read_from_every_kind_of_file(ending: str, tmp_path: Path) -> None:
    """Equal rows are one example, an empty one is none; the licence and the row's number stand in the source."""
    for name, row in ROWS.items():
        nothing = {key: "" if isinstance(value, str) else value for key, value in row.items()}
        rows = [row, row] if name == "commitpackft" else [row, row, nothing]  # its filters have dropped such commits
        made, dropped = read(name, written(tmp_path / f"{name}{ending}", rows), "main")
        (one,) = made
        assert dropped == {"repeats another": 1} | ({"empty": 1} if nothing in rows else {}), name
        if name == "commitpackft":
            assert one["instruction"] == "Return two\n\n```python\ndef f():\n    return 1\n```"
            assert one["response"] == "```python\ndef f():\n    return 2\n```"
        else:
            assert (one["instruction"], one["response"]) == (TASK, ANSWER)
        licence = "mit" if name == "commitpackft" else SETS[name].licence
        assert one["source"] == {"dataset": SETS[name].dataset, "licence": licence, "row": 0}


def test_an_input_stands_below_the_instruction(tmp_path: Path) -> None:
    row = {"instruction": TASK, "input": "double(2)", "output": ANSWER}
    (one,), _ = read("evol-code-80k", written(tmp_path / "a.json", [row]), "main")
    assert one["instruction"] == f"{TASK}\n\ndouble(2)"


def test_conversations_come_from_a_file_of_trees(tmp_path: Path) -> None:
    tree = {"prompt": {"text": TASK, "lang": "en", "replies": [{"text": ANSWER, "rank": 0, "replies": []}]}}
    (one,), _ = read("oasst", written(tmp_path / "trees.jsonl.gz", [tree]), "main")
    assert (one["instruction"], one["response"], one["seed"]) == (TASK, ANSWER, one["id"])
    with pytest.raises(StudyError, match="^oasst needs --data"):
        read("oasst", None, "main")


def test_what_is_none_of_a_set_is_refused_in_one_line(tmp_path: Path) -> None:
    """Another set's rows, a file that is none of its kind, one that is not there."""
    other = written(tmp_path / "other.jsonl", [{"question": "?", "answer": "!"}])
    with pytest.raises(StudyError, match="row 0 is none of nickrosh/.*KeyError.*it has question, answer") as refused:
        read("evol-code-80k", other, "main")
    assert "\n" not in str(refused.value)
    (tmp_path / "bad.parquet").write_bytes(b"no table")
    for place in (tmp_path / "bad.parquet", tmp_path / "nowhere.jsonl"):
        with pytest.raises(StudyError, match="cannot be read .*give --data FILE") as refused:
            read("evol-code-80k", place, "main")
        assert "\n" not in str(refused.value)


def test_the_command_draws_examples_drops_what_repeats_a_benchmark_and_says_the_licence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = "def has_close_elements(numbers, threshold):\n    for idx, elem in enumerate(numbers):\n"
    known += "        for idx2, elem2 in enumerate(numbers):\n            if idx != idx2:\n"
    known += "                distance = abs(elem - elem2)\n                if distance < threshold:\n"
    known += "                    return True\n    return False"
    rows = [{"instruction": f"{TASK} ({number})", "output": ANSWER} for number in range(8)]
    rows += [{"instruction": "Write has_close_elements.", "output": f"```python\n{known}\n```"}]
    words = ["evol-code-80k", "--data", str(written(tmp_path / "a.json", rows)), "--out", str(tmp_path / "out")]
    main(words)
    said = json.loads((tmp_path / "out" / "recipe.json").read_text())
    assert said["examples"] == said["run"] == 8 and sum(said["dropped"].values()) == 1
    assert said["licence"] == "CC-BY-NC-SA-4.0" and "CC-BY-NC-SA-4.0" in capsys.readouterr().out
    with pytest.raises(StudyError, match="was begun with another count"):
        main([*words, "--count", "3"])
    words[-1] = str(tmp_path / "few")
    main([*words, "--count", "3"])
    few = read_records(tmp_path / "few" / "examples.jsonl")
    assert len(few) in (2, 3) and {"id", "seed", "instruction", "response", "runs", "source"} <= few[0].keys()
