"""The runner refuses what papermill would let pass, and says what to do."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time

import nbformat
import pyarrow
import pyarrow.parquet
import pytest
import yaml
from helpers import descendants, made_function

from lib.core.notebooks import notebook_cells, parameter_defaults
from lib.core.paths import ROOT
from lib.core.records import Journal, StudyError, read_records
from lib.core.study import STAGES, with_role
from lib.curate import judge
from lib.generate.window import too_long
from lib.runner import kernel, lab, profiles, run

NAMES = [stage.name for stage in with_role("study")]
PROFILES = sorted(path.stem for path in profiles.FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_sets_only_what_the_notebooks_have(profile):
    settled = profiles.settle(profile, {})
    assert list(settled) == [stage.name for stage in STAGES]
    assert all(values["RUN"] == profile for values in settled.values())


def test_the_judge_is_not_the_model_that_is_aligned():
    loaded = {name: run.models_of(values) for name, values in profiles.settle("laptop", {}).items()}
    assert all(loaded[name] for name in NAMES if name != "03_execution_filtering")
    aligned = ("02_self_oss_instruct", "04_sft", "05_evaluation", "06_beyond_functions")
    for option, changed in (("MODEL", aligned), ("JUDGE", NAMES[:1])):
        settled = profiles.settle("laptop", {option: "owner/other"})
        now = {name: run.models_of(values) for name, values in settled.items()}
        assert now == loaded | dict.fromkeys(changed, ["owner/other"])
    taught = profiles.settle("experiments-teacher", {})["02_self_oss_instruct"]
    assert run.models_of(taught) == ["qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-1.5b-instruct"]


def test_numbers_are_read_as_people_write_them():
    values = yaml.load("[1e-5, 2E+3, 1.5, .5, 7, '1e-5', 1_000, -3e-2, v1e5]", profiles.Loader)  # noqa: S506
    assert values == [1e-5, 2000.0, 1.5, 0.5, 7, "1e-5", 1000, -0.03, "v1e5"]
    assert [type(value) for value in values[:5]] == [float, float, float, float, int]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"02_self_oss_instruct": {"SAMPLE": 3}}, "has no parameter SAMPLE"),
        ({"02_self_oss_instruct": {"SAMPLES": "3"}}, "SAMPLES must be int"),
        ({"06_magic": {"A": 1}}, "there is no notebook 06_magic"),
    ],
)
def test_bad_parameters_are_refused_before_anything_runs(runner, section, message):
    output = runner.fail("study", "--profile", runner.profile("bad", section))
    assert message in output and "Traceback" not in output
    assert not list(runner.runs.iterdir())


def test_an_unknown_profile_or_notebook_is_one_line(runner):
    output = runner.fail("study", "--profile", "tiny")
    assert output.count("\n") == 1 and f"PROFILE=tiny is unknown; choose {', '.join(PROFILES)}, or" in output
    assert "neither study nor a notebook's number" in runner.fail("09", "--profile", "smoke")


def test_an_unknown_model_stops_before_the_first_notebook(runner):
    output = runner.fail("study", "--profile", "smoke", "--model", "qwen-9000")
    assert "qwen2.5-coder-0.5b-instruct" in output and "01 │" not in output


def test_an_environment_that_is_none_stops_notebook_01_before_it_reads_anything(runner):
    values = {"CHECK_WITH": "no-such-environment", "JUDGED": 0}
    output = runner.fail("01", "--profile", runner.profile("checked", {"01_seed_curation": values}))
    assert "CHECK_WITH='no-such-environment' is no Python environment" in output and "Traceback" not in output
    assert not (runner.runs / "checked" / "01_seed_curation" / "shards").exists()


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A study of one toy notebook whose cells a test gives."""

    def make(*cells: str) -> dict:
        parameters = nbformat.v4.new_code_cell('RUN = "toy"\nN = 1', metadata={"tags": ["parameters"]})
        book = nbformat.v4.new_notebook(cells=[parameters, *map(nbformat.v4.new_code_cell, cells)])
        book.metadata["kernelspec"] = {"name": "no-such-kernel", "display_name": "x"}
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        nbformat.write(book, tmp_path / "notebooks" / "01_seed_curation.ipynb")
        return {"RUN": "toy", "N": 5}

    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr("lib.core.notebooks.ROOT", tmp_path)
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    return make


MANIFEST = 'import pathlib; pathlib.Path("runs/toy/01_seed_curation/manifest.json").write_text("{}")'


def test_a_notebook_runs_with_its_parameters_in_any_kernel_name(toy, tmp_path, capsys):
    run.run_notebook(
        "01_seed_curation", toy("from lib.core import study; study.say(f'N is {N}'); print('long')", MANIFEST), "toy"
    )
    output = capsys.readouterr().out
    assert "01 │ N is 5" in output and "long" not in output  # what is only printed stays in the notebook
    assert (tmp_path / "runs/toy/01_seed_curation/01_seed_curation.ipynb").is_file()


def test_a_failing_cell_leaves_no_executed_notebook_but_a_partial_one(toy, tmp_path):
    with pytest.raises(StudyError, match="ZeroDivisionError"):
        run.run_notebook("01_seed_curation", toy("1 / 0", MANIFEST), "toy")
    folder = tmp_path / "runs/toy/01_seed_curation"
    assert not (folder / "01_seed_curation.ipynb").exists()
    assert (folder / ".01_seed_curation.partial.ipynb").is_file()


def test_an_early_exit_is_not_success(toy):
    with pytest.raises(StudyError, match=r"(no manifest|SystemExit)"):
        run.run_notebook("01_seed_curation", toy("raise SystemExit(0)", MANIFEST), "toy")


def test_a_killed_kernel_is_explained(toy):
    with pytest.raises(StudyError, match="its kernel was killed"):
        run.run_notebook("01_seed_curation", toy("import os; os.kill(os.getpid(), 9)", MANIFEST), "toy")


@pytest.fixture
def strange(tmp_path, monkeypatch):
    """A user whose kernel python3 is no Python, and whose IPython and Python run other things first."""
    folder = tmp_path / "user"
    kernel, ipython, path = folder / "kernels" / "python3", folder / ".ipython" / "profile_default", folder / "path"
    for each in (kernel, ipython / "startup", path / "lib"):
        each.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps({"argv": ["false"], "display_name": "x", "language": "python"}))
    (ipython / "startup" / "00.py").write_text("import builtins; builtins.strange = 'startup'")
    (ipython / "ipython_config.py").write_text("get_config().InteractiveShellApp.exec_lines = ['strange = 1']")
    (ipython / "ipython_kernel_config.py").write_text("get_config().InteractiveShellApp.exec_lines = ['strange = 2']")
    (folder / "first.py").write_text("import builtins; builtins.strange = 'PYTHONSTARTUP'")
    (path / "lib" / "__init__.py").write_text("raise ImportError('not the library of the study')")
    changes = {
        "HOME": str(folder),
        "JUPYTER_PREFER_ENV_PATH": "0",
        "JUPYTER_DEFAULT_PROVISIONER_NAME": "elsewhere",
        "PYTHONSTARTUP": str(folder / "first.py"),
        "PYTHONPATH": str(path),
        "PYTHONOPTIMIZE": "2",
        "MPLBACKEND": "no-such",
    }
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.mark.parametrize("place", ["JUPYTER_PATH", "JUPYTER_DATA_DIR", "IPYTHONDIR"])
def test_a_notebook_runs_in_this_python_with_nothing_of_the_user_s_own(toy, strange, tmp_path, monkeypatch, place):
    monkeypatch.setenv(place, str(strange / ".ipython" if place == "IPYTHONDIR" else strange))
    before = dict(os.environ)
    checks = f"""
import builtins, sys, matplotlib
from lib.core import study
found = [sys.executable == {sys.executable!r}, "strange" not in globals(), not hasattr(builtins, "strange")]
found += [__debug__, "inline" in matplotlib.get_backend()]
if not all(found):
    raise RuntimeError(str(found))
"""
    run.run_notebook("01_seed_curation", toy(checks, MANIFEST), "toy")
    assert (tmp_path / "runs/toy/01_seed_curation/01_seed_curation.ipynb").is_file()
    assert os.environ == before


def test_a_kernel_that_does_not_start_is_explained(toy, tmp_path, monkeypatch):
    real = kernel.specification
    command = [sys.executable, "-c", "import sys; sys.exit('no such thing')"]
    monkeypatch.setattr(kernel, "specification", lambda folder: real(folder) | {"argv": command})
    with pytest.raises(StudyError, match="its kernel did not start .*make doctor"):
        run.run_notebook("01_seed_curation", toy("1"), "toy")
    assert "no such thing" in (tmp_path / "runs/toy/01_seed_curation/log.txt").read_text()


def test_jupyterlab_finds_the_same_kernel(strange, monkeypatch):
    """JupyterLab's own list of kernels, in the environment that lib.runner.lab gives it."""
    monkeypatch.setenv("JUPYTER_PATH", str(strange))
    listed = []

    def run_module(module, **_):
        command = [sys.executable, "-P", "-m", "jupyter_client.kernelspecapp", "list", "--json"]
        listed.append((module, json.loads(subprocess.check_output(command))["kernelspecs"]["python3"]["spec"]))

    monkeypatch.setattr(lab.runpy, "run_module", run_module)
    lab.main()
    ((module, spec),) = listed
    assert module == "jupyterlab" and spec["argv"][0] == sys.executable
    assert "ipykernel_launcher" in spec["argv"] and spec["env"]["PYTHONPATH"] == str(ROOT)
    assert os.environ["JUPYTER_PATH"] == str(strange)


def test_killing_the_runner_takes_its_kernel_along(runner):
    process = runner.start("01", "--profile", "smoke")
    deadline = time.monotonic() + 120
    while not (below := descendants(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1)
    below = descendants(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 30
    while (left := [pid for pid in below if os.path.exists(f"/proc/{pid}")]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert below and not left


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_a_commented_literal_that_is_read_and_never_rebound(name):
    cells = notebook_cells(name)
    (cell,) = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    assert all("#" in line for line in "".join(cell["source"]).splitlines() if line.strip())
    names = set(parameter_defaults(name))
    read, bound = set(), set()
    for other in cells:
        if other is not cell:
            for node in ast.walk(ast.parse("".join(other["source"]))):
                if isinstance(node, ast.Name):
                    (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
    assert names - {"RUN"} <= read, f"never read: {names - {'RUN'} - read}"
    assert not names & bound


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_has_the_shape_of_the_others(name):
    book = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())
    prose = " ".join("".join(c["source"]) for c in book["cells"] if c["cell_type"] == "markdown")
    code = ["".join(c["source"]) for c in book["cells"] if c["cell_type"] == "code"]
    assert 25 <= len(book["cells"]) <= 55
    assert 500 <= len(re.findall(r"\w+", prose)) <= 1900
    assert sorted(text.count("\n") + 1 for text in code)[len(code) // 2] <= 10
    for heading in ("What you will see", "departs from the paper", "Checks", "Try it yourself"):
        assert heading in prose, heading
    assert "stage.finish()" in code[-1]
    assert all(not c.get("outputs") and c.get("execution_count") is None for c in book["cells"])


def test_a_notebook_opened_by_hand_runs_top_to_bottom(tmp_path, monkeypatch):
    """As JupyterLab does it: the notebook's own defaults, its own folder, nothing that the runner sets."""
    from nbclient import NotebookClient

    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    folder = ROOT / "notebooks"
    book = nbformat.read(folder / "01_seed_curation.ipynb", as_version=4)
    (cell,) = [c for c in book.cells if "parameters" in c["metadata"].get("tags", [])]
    for name, value in (("JUDGED", "0"), ("PACKAGES", '"toolz"')):  # the model and the rest run elsewhere
        cell["source"], count = re.subn(rf"(?m)^{name} = (\d+|\"\")", f"{name} = {value}", cell["source"])
        assert count == 1
    NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    assert (tmp_path / "laptop" / "01_seed_curation" / "manifest.json").is_file()
    pictures = [sum("image/png" in out.get("data", {}) for out in cell.get("outputs", [])) for cell in book.cells]
    assert sum(pictures) == 3  # each figure once


@pytest.mark.parametrize(
    ("kind", "section"),
    [
        ("folder", {"UNIT": "snippets"}),
        ("list", {"RULES": "official", "CHECK_WITH": "study"}),
        ("parquet", {}),
    ],
)
def test_notebook_01_takes_seeds_from_anywhere(runner, tmp_path, kind, section):
    """A folder, a list of files, and rows of bare functions as the hub has them, whose imports are then inferred."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    texts = [made_function(n).replace("* item", "* math.floor(item)") for n in range(40)]
    if kind == "parquet":
        rows = {"content": texts, "sha1": [f"{n:040x}" for n in range(40)], "id": list(range(40))}
        pyarrow.parquet.write_table(pyarrow.table(rows), folder / "functions.parquet")
    else:
        for number in range(4):
            (folder / f"m{number}.py").write_text("import math\n\n" + "\n\n".join(texts[10 * number :][:10]))
        (folder / "files.txt").write_text("m0.py\nm1.py\n")
    corpus = folder / "files.txt" if kind == "list" else folder
    values = {"CORPUS": str(corpus), "LICENCE": "MIT", "JUDGED": 0, **section}
    runner.run("01", "--profile", runner.profile("elsewhere", {"01_seed_curation": values}))
    seeds = read_records(runner.runs / "elsewhere" / "01_seed_curation" / "seeds.jsonl")
    assert len(seeds) >= (3 if section.get("UNIT") else 10)
    assert all(seed["source"]["licence"] == "MIT" and seed["source"]["line"] > 0 for seed in seeds)
    if not section:
        assert all(seed["code"].startswith("import math\n\n\ndef ") for seed in seeds)
    checked = manifest_of_01(runner, "elsewhere")["metrics"].get("checked with", [])
    assert any(package.startswith("torch ") for package in checked) is ("CHECK_WITH" in section)


def manifest_of_01(runner, name):
    return json.loads((runner.runs / name / "01_seed_curation" / "manifest.json").read_text())


class Narrow:
    """A judge that says Yes to every prompt but those that hold `word`, which are too long for it."""

    revision = version = "narrow"

    def __init__(self, word):
        self.word = word

    def load(self):
        pass

    def generate(self, requests):
        for place, request in enumerate(requests):
            answer = {"text": " Yes", "finish_reason": "length", "prompt_tokens": 1, "cached_tokens": 0, "tokens": 1}
            yield place, too_long() if self.word in request.prompt else answer


def test_a_seed_whose_prompt_the_judge_cannot_hold_is_counted_with_its_reason(runner, tmp_path):
    folder, recorded = tmp_path / "corpus", tmp_path / "recorded" / "01_seed_curation"
    folder.mkdir()
    recorded.mkdir(parents=True)
    (folder / "m.py").write_text("\n\n".join(made_function(n) for n in range(8)))
    values = {"CORPUS": str(folder), "LICENCE": "MIT", "JUDGED": 0}
    runner.run("01", "--profile", runner.profile("unjudged", {"01_seed_curation": values}))
    found = read_records(runner.runs / "unjudged" / "01_seed_curation" / "seeds.jsonl")
    seeds = sorted(found, key=lambda seed: seed["order"])
    with Journal(recorded / "completions.jsonl") as cache:
        for order, number in ((0, 4), (1, 2)):
            engine = Narrow(f"def {seeds[2]['name']}(")
            judge.judge(engine, cache, judge.load_judged(), judge.load_system(), seeds[:number], order)
    name = parameter_defaults("01_seed_curation")["JUDGE"]
    (recorded / "manifest.json").write_text(json.dumps({"metrics": {"model": {"name": name, "revision": "narrow"}}}))
    values |= {"JUDGED": 4, "JUDGED_TWICE": 2, "PLANTED": 0, "REPLAY_FROM": str(recorded.parent)}
    runner.run("01", "--engine", "replay", "--profile", runner.profile("judged", {"01_seed_curation": values}))
    manifest = manifest_of_01(runner, "judged-replay")
    assert manifest["funnel"][-1]["reasons"] == {"too long for the judge's window": 1}
    assert manifest["funnel"][-1]["out"] == manifest["metrics"]["seeds"] == len(seeds) - 1
    assert manifest["metrics"]["judge"]["asked"] == manifest["metrics"]["judge"]["yes"] == 3
