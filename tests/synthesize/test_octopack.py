"""OctoPack's filters on real commits of a repository made here, one of every kind; conversations from a file."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lib.core.paths import ROOT
from lib.core.records import StudyError, read_records
from lib.synthesize.octopack import IMPERATIVE, cleaned, commits, conversations, examples

BODY = "".join(f"def step_{n}(value):\n    return value + {n}\n\n\n" for n in range(8))
GOOD = "Return early from the loop over all values"
# Each of these commits changes one file: subject -> the reason for which it is dropped.
SUBJECTS = {
    GOOD: "",
    "[core] Make the sum start with the first value [skip ci]": "",
    "parser: handle empty lists of values here": "",
    "Use a # for numbers of values in texts": "a # in the subject",
    "Rename steps.py to what it does now": "the file's name in the subject",
    "Add it here now": "subject of too few or too many words",
    "Fix it all": "subject too short or too long",
    "The loop now returns early from all values": "subject is not an instruction",
    "Add changes of the merge of both branches": "subject written by a machine",
    "[docs] [x] Update it now": "too few words once cleaned",
    "[docs] [x] [y] Update readme": "subject says nothing",
    "Merge the two ways to add a value": "subject written by a machine",
    "Support version 1.2 of the format of values": "subject has a version or a hash",
    "Revert what 0123abc did to the sums": "subject has a version or a hash",
    "Add a page, see https://example.org for more": "subject is about something else",
    "Add what I think i need for the sums": "subject is about something else",
    "Fix issue 12 with the sum of values": "subject names an issue, or unfinished work",
    "Add wip of the new sum of values": "subject names an issue, or unfinished work",
    "Add a rule, thanks to the reviewers of it": "subject is about something else",
}


def text(number: int) -> str:
    """A file of some 400 tokens, another for each number."""
    return f"START = {number}\n\n\n{BODY}"


def git(folder: Path, *words: str) -> str:
    names = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A history with a commit of each subject, and some that are dropped for what they change."""
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "-q", "-b", "main")
    for name in ("steps.py", "other.py", "notes.md", "short.py", "long.py"):
        (folder / name).write_text(text(0))
    (folder / "short.py").write_text("a = 1\n")
    (folder / "long.py").write_text("x = 1\n" * 9_000)
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "Begin with all of the files at once")
    for number, subject in enumerate(SUBJECTS, 1):
        (folder / "steps.py").write_text(text(number))
        git(folder, "commit", "-qam", subject)
    for subject, name, new in (
        ("Write all of the notes once more", "notes.md", text(99)),
        ("Make the number larger than it was", "short.py", "a = 2\n"),
        ("Make all of it a little bit longer", "long.py", "x = 2\n" * 9_000),
        ("Remove all that was in this file", "other.py", "\n"),
    ):
        (folder / name).write_text(new)
        git(folder, "commit", "-qam", subject)
    for name in ("steps.py", "notes.md"):
        (folder / name).write_text(text(77))
    git(folder, "commit", "-qam", "Change two of the files in one commit")
    (folder / "new.py").write_text(text(1))
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "Add a file that was not there before")
    (folder / "bytes.py").write_bytes(b"\xff\xfe" + text(1).encode())
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "Add a file that is no text at all")
    (folder / "bytes.py").write_bytes(b"\xff\xfe" + text(2).encode())
    git(folder, "commit", "-qam", "Change the file that is no text at all")
    git(folder, "checkout", "-q", "-b", "side")
    (folder / "short.py").write_text(text(5))
    git(folder, "commit", "-qam", "Give this one its whole length at last")
    git(folder, "checkout", "-q", "main")
    (folder / "steps.py").write_text(text(500))
    git(folder, "commit", "-qam", "Let all steps start a good deal later")
    git(folder, "merge", "-q", "--no-ff", "-m", "Use what is on the other side too", "side")
    return folder


def words(text: str) -> int:
    return len(text.split())


def test_only_commits_of_one_changed_text_file_are_looked_at(repository) -> None:
    found = {commit.subject: commit for commit in commits(repository)}
    assert set(SUBJECTS) <= set(found)
    others = set(found) - set(SUBJECTS)
    assert others == {
        "Write all of the notes once more",
        "Make the number larger than it was",
        "Make all of it a little bit longer",
        "Remove all that was in this file",
        "Give this one its whole length at last",
        "Let all steps start a good deal later",
    }
    first = found[GOOD]
    assert (first.path, first.old, first.new) == ("steps.py", text(0), text(1))
    assert git(repository, "show", "-s", "--format=%s", first.sha).strip() == GOOD


def test_each_commit_is_dropped_for_its_reason(repository) -> None:
    found = {commit.subject: commit for commit in commits(repository)}
    changed = {
        "Write all of the notes once more": "another language",
        "Make the number larger than it was": "files too short or too long",
        "Make all of it a little bit longer": "old file too long",
        "Remove all that was in this file": "new file empty or unchanged",
        "Give this one its whole length at last": "",
        "Let all steps start a good deal later": "the file's name in the subject",
    }
    for subject, reason in (SUBJECTS | changed).items():
        made, reasons = examples([found[subject]], words)
        assert (len(made), dict(reasons)) == ((0, {reason: 1}) if reason else (1, {})), subject


def test_an_example_is_the_cleaned_subject_over_the_old_file_and_the_new_one(repository) -> None:
    (commit,) = [one for one in commits(repository) if one.subject.startswith("[core]")]
    ((example, *_), reasons) = examples([commit, commit], words)
    assert example["instruction"] == (
        f"Make the sum start with the first value\n\n```python\n{commit.old.rstrip()}\n```"
    )
    assert example["response"] == f"```python\n{commit.new.rstrip()}\n```"
    assert example["source"] == {"commit": commit.sha, "file": "steps.py"}
    assert reasons == {"repeats another": 1}


def test_one_in_ten_of_those_that_only_raise_a_version_stays(repository) -> None:
    (commit,) = [one for one in commits(repository) if one.subject == GOOD]
    shas = [f"{n:08x}{commit.sha[8:]}" for n in range(50)]
    raised = [
        type(commit)(sha, "Bump the number of this and that", commit.path, f"{n}{commit.old}", commit.new)
        for n, sha in enumerate(shas)
    ]
    made, reasons = examples(raised, words)
    assert len(made) + reasons["subject is not an instruction"] + reasons["raises a version"] == 50
    updated = [type(commit)(one.sha, "Update version of all of it", one.path, one.old, one.new) for one in raised]
    made, reasons = examples(updated, words)
    assert len(made) == 5 and reasons == {"raises a version": 45}


def test_verbs_and_cleaning() -> None:
    assert {"add", "fix", "remove", "use", "don't"} <= IMPERATIVE and "the" not in IMPERATIVE
    assert cleaned("[a][b] core/x.py: fix the (sum) [ci]") == "Fix the (sum)"


TREES = [
    {
        "prompt": {
            "text": "How?",
            "lang": "en",
            "replies": [{"text": "Worse.", "rank": 1}, {"text": "Thus.", "rank": 0}],
        }
    },
    {"prompt": {"text": "Wie?", "lang": "de", "replies": [{"text": "So."}]}},
    {"prompt": {"text": "And?", "lang": "en", "replies": []}},
    {"prompt": {"text": "Do!", "lang": "en", "replies": [{"text": "As an AI language model, I cannot."}]}},
]


@pytest.mark.parametrize("packed", [False, True])
def test_conversations_give_their_first_question_and_best_answer(packed, tmp_path) -> None:
    lines = "".join(json.dumps(tree) + "\n" for tree in TREES).encode()
    path = tmp_path / f"trees.jsonl{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(lines) if packed else lines)
    made, reasons = conversations(path)
    assert [(one["instruction"], one["response"]) for one in made] == [("How?", "Thus.")]
    assert reasons == {"another language": 1, "no answer": 1, "refuses, or speaks of itself": 1}


def test_what_is_wrong_is_said_in_one_line(tmp_path) -> None:
    with pytest.raises(StudyError, match="is no git repository with commits"):
        list(commits(tmp_path))
    for name, data, said in (
        ("a.jsonl", b'{"prompt": {"text": "x"}}\n', "a.jsonl:1 is no conversation"),
        ("b.jsonl.gz", b"no gzip", "cannot read"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(StudyError, match=said):
            conversations(tmp_path / name)
    command = [sys.executable, "-m", "lib.synthesize.octopack", "--out", str(tmp_path / "x.jsonl")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "give a --repository or --conversations" in done.stderr


def test_the_command_writes_examples_and_says_what_it_dropped(repository, tiny, tmp_path) -> None:
    trees, out = tmp_path / "trees.jsonl", tmp_path / "examples.jsonl"
    trees.write_text(json.dumps(TREES[0]) + "\n")
    command = [sys.executable, "-m", "lib.synthesize.octopack", "--repository", str(repository), "--conversations"]
    command += [str(trees), "--model", str(tiny.path), "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "another language" in done.stdout and f"{trees}: 1 examples" in done.stdout
    assert len(read_records(out)) > 1
