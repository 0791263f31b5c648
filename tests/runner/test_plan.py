"""`make plan`: what a run needs is reckoned, and what would stop it is said before it starts."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import yaml
from helpers import local_hub
from huggingface_hub import constants

from lib.core import models
from lib.core.embedded import EMBEDDED
from lib.core.paths import ROOT
from lib.core.records import StudyError
from lib.core.shapes import published, shape_of
from lib.evaluate.claims import read_claims
from lib.runner.plan import __main__ as command
from lib.runner.plan import hardware, known, memory, prompts, work
from lib.runner.profiles import FOLDER, load_profile

NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
# The profiles whose models need no hub and no GPU.
AT_HOME = ("smoke", "laptop", *(name for name in NAMES if name.startswith("experiments")))
ELSEWHERE = "the hub does not answer"
SYNTHESIS, FILTERING, TRAINING, EVALUATION = "02_self_oss_instruct", "03_execution_filtering", "04_sft", "05_evaluation"


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a large disk, without the hub and GPUs, where nothing was fetched or run."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(hardware, "found", lambda: None)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10e12}))
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def planned(profile: str, gpus: str = "", **options: str) -> command.Plan:
    plan = command.Plan(profile, options, gpus)
    plan.check()
    return plan


def stops(tmp_path: Path, changes: dict, base: str = "paper", gpus: str = "4xA100") -> list[str]:
    """What stops a profile with some changes, what the absent hub stops aside."""
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"BASE": base} | changes, sort_keys=False))
    return [stop for stop in planned(str(path), gpus).found.stops if ELSEWHERE not in stop]


@pytest.mark.parametrize("profile", NAMES)
def test_every_profile_is_planned_here_and_says_what_stops_it(profile: str, capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(profile)
    command.show(plan, 2.5)
    said = capsys.readouterr().out
    for name in dict.fromkeys(one.name for loaded in plan.models.values() for one in loaded):
        assert f"{name}: {shape_of(published()[name]['config']).parameters / 1e9:.2f} B parameters" in said
    assert "read in data/models.yaml" in said and "estimated, 3 characters each" in said
    direct = load_profile(profile).get(SYNTHESIS, {}).get("DIRECT", False)  # then there is no step through concepts
    kinds = {"instruction", "response", "evaluation", "judge"} | (set() if direct else {"concepts"})
    assert all(f" {kind} " in said for kind in kinds)
    if profile in AT_HOME:
        assert plan.found.stops == [] and plan.hardware.source == "CPU"
    elif profile not in ("gpu", "shared"):
        assert "there is no GPU here" in plan.found.stops[-1] or any("no GPU here" in stop for stop in plan.found.stops)
        assert any(ELSEWHERE in stop for stop in plan.found.stops)
        assert plan.hardware.source == "assumed"
    assert all("\n" not in stop for stop in plan.found.stops)


@pytest.mark.parametrize("profile", [name for name in NAMES if name not in AT_HOME])
def test_every_profile_for_gpus_fits_those_it_is_made_for(profile: str) -> None:
    """80 GB each: memory, heads, processes and batches; then only the hub is missing."""
    gpus = "8xH100" if "8gpu" in profile else "4xA100"
    plan = planned(profile, gpus)
    assert [stop for stop in plan.found.stops if ELSEWHERE not in stop] == []
    assert {one.gpus for one in plan.engines.values()} <= set(range(1, 9))


def test_a_teacher_answers_the_tasks_and_writes_none() -> None:
    alone, taught = planned("experiments"), planned("experiments-teacher")
    rates = {}
    for plan in (alone, taught):
        asked = {step.name: step for step in plan.steps if step.stage == SYNTHESIS}
        rates[plan.profile] = {name: step.hours / (step.answers + step.prompts) for name, step in asked.items()}
    assert [known.name for known in taught.models[SYNTHESIS]] == [
        f"qwen2.5-coder-{size}b-instruct" for size in ("0.5", "1.5")
    ]
    slower = {name: rate / rates["experiments"][name] for name, rate in rates["experiments-teacher"].items()}
    assert slower["concepts"] == slower["instruction"] == 1 and slower["response"] > 2


def test_with_half_the_gpus_a_profile_is_stopped() -> None:
    said = " ".join(planned("paper", "2xA100").found.stops)
    assert "asks for 4 x 1 (workers x tensor_parallel_size) GPUs and there are 2" in said
    assert "LAUNCH=ddp starts 4 processes and there are 2 GPUs" in said


def test_the_papers_reason_to_train_starcoder2_15b_on_one_gpu(tmp_path: Path) -> None:
    """Section C.4: what several processes need beside the model did not fit into 80 GB; one process did, barely."""
    (stop,) = stops(tmp_path, {TRAINING: {"LAUNCH": "ddp"}}, "starcoder2-15b")
    assert re.search(r"04_sft: training bigcode/starcoder2-15b takes about 1\d\d GiB of each GPU, which has 79", stop)
    shape = shape_of(published()["bigcode/starcoder2-15b"]["config"])
    values = load_profile("starcoder2-15b")[TRAINING]
    total = sum(memory.training_state(shape, values, memory.Processes()).values())
    total += memory.activations(shape, values, memory.Processes(), 400)
    assert 0.9 * 79 < total / 2**30 < 79
    less = memory.activations(shape, values | {"GRADIENT_CHECKPOINTING": True}, memory.Processes(), 400)
    assert less < 0.6 * memory.activations(shape, values, memory.Processes(), 400)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({TRAINING: {"BATCH": 6}}, "04_sft: BATCH=6 is not a multiple of 4, MICRO_BATCH x processes"),
        ({TRAINING: {"MICRO_BATCH": 3}}, "04_sft: BATCH=64 is not a multiple of 12"),
        ({TRAINING: {"METHOD": "dora"}}, "04_sft: METHOD='dora' is unknown; choose lora, qlora, full"),
        ({TRAINING: {"LAUNCH": "horovod"}}, "LAUNCH='horovod' is not a configuration: give ddp"),
        (
            {SYNTHESIS: {"ENGINE": "llama.cpp"}},
            "02_self_oss_instruct: ENGINE='llama.cpp' is unknown; choose one of vllm",
        ),
        (
            {SYNTHESIS: {"ENGINE": "transformers", "ENGINE_OPTIONS": {"tensor_parallel": 2}}},
            "02_self_oss_instruct: ENGINE_OPTIONS: .*tensor_parallel.*; see Transformers in lib/generate",
        ),
        (
            {SYNTHESIS: {"ENGINE": "vllm", "ENGINE_OPTIONS": {"tensor_parallel_size": 3}}},
            "tensor_parallel_size=3 in ENGINE_OPTIONS does not divide the 32 heads of Qwen/CodeQwen1.5-7B: choose",
        ),
        (
            {SYNTHESIS: {"ENGINE_OPTIONS": {"max_model_len": 100_000}}},
            "max_model_len=100000 is more than the 65536 of Qwen/CodeQwen1.5-7B: lower it",
        ),
        ({SYNTHESIS: {"PROMPTS": "poems"}}, "PROMPTS='poems' is unknown"),
        ({SYNTHESIS: {"SHOTS": 40}}, "40 shots need that many exemplars"),
        (
            {FILTERING: {"PACKAGES": ["numpy", "no_such_package"]}},
            "programs may import no_such_package, which is not installed: pip install",
        ),
        ({FILTERING: {"SELECTION": "mine"}}, "mine"),
        ({EVALUATION: {"BENCHMARKS": ["humaneval", "apps"]}}, "there is no benchmark 'apps'; the study has humaneval"),
        ({EVALUATION: {"BENCHMARKS": ["mbpp+@v0.1"]}}, r"mbpp\+ has no version 'v0.1'; choose v0.2.0 or v0.1.0"),
        ({EVALUATION: {"BENCHMARKS": ["humaneval@v1"]}}, "humaneval has one version only"),
        ({"01_seed_curation": {"CORPUS": "no/such/folder"}}, "CORPUS=no/such/folder does not exist"),
        ({"01_seed_curation": {"CORPUS": "hub:nonsense"}}, "CORPUS=hub:nonsense is no data set of the hub"),
    ],
)
def test_what_stops_a_run(tmp_path: Path, changes: dict, message: str) -> None:
    (stop,) = stops(tmp_path, changes)
    assert re.search(message, stop), stop


def test_prompts_that_are_too_long_for_a_window_are_said(tmp_path: Path) -> None:
    said = stops(tmp_path, {SYNTHESIS: {"ENGINE_OPTIONS": {"max_model_len": 512}}})
    too_long = r"a prompt for (concepts|instruction|response) has [\d,]+ tokens and the window 512: raise max_model_len"
    assert [re.search(too_long, stop)[1] for stop in said] == ["concepts", "instruction", "response"]  # pyright: ignore
    plan = planned("smoke", "1xA100")
    command.checks.check_window(plan.kinds[1], 4000, 4096, plan.found)
    assert plan.found.notes == []
    command.checks.check_window(plan.kinds[1], 4090, 4096, plan.found)
    assert "has room for 6 of the 64 tokens that an answer may have" in plan.found.notes[0]


def test_a_model_that_does_not_fit_is_said_for_generation_and_for_training(tmp_path: Path) -> None:
    model = {"MODEL": "deepseek-ai/deepseek-coder-33b-base"}
    one = {SYNTHESIS: model | {"ENGINE": "vllm", "ENGINE_OPTIONS": {"gpu_memory_utilization": 0.8}}, TRAINING: model}
    generating, training = stops(tmp_path, one)
    assert (
        "02_self_oss_instruct: deepseek-ai/deepseek-coder-33b-base leaves no room for a cache of 4,096 tokens"
        in generating
    )
    assert "set GRADIENT_CHECKPOINTING, shard it with LAUNCH=fsdp" in training
    pairs = model | {"ENGINE_OPTIONS": {"workers": 2, "tensor_parallel_size": 2}}
    sharded = {TRAINING: model | {"LAUNCH": "zero3", "MICRO_BATCH": 1}, SYNTHESIS: pairs}
    (stop,) = stops(tmp_path, sharded, gpus="8xH100")
    assert "LAUNCH=zero3 needs the package deepspeed" in stop


@pytest.mark.parametrize(
    ("changes", "rate"),
    [
        ({}, ""),
        (
            {TRAINING: {"LEARNING_RATE": 2e-5}},
            "LEARNING_RATE=2e-05, where the paper has 1e-05 .* trained on its own data",
        ),
        (
            {SYNTHESIS: {"MODEL": "bigcode/starcoder2-3b"}},
            "1e-05, where the paper has 2e-05 .* on data of bigcode/starc",
        ),
        ({SYNTHESIS: {"MODEL": "bigcode/starcoder2-3b"}, TRAINING: {"LEARNING_RATE": 2e-5}}, ""),
        ({TRAINING: {"METHOD": "lora", "LEARNING_RATE": 1e-4}}, ""),
    ],
)
def test_another_rate_than_the_papers_is_noted_and_stops_nothing(tmp_path: Path, changes: dict, rate: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"BASE": "paper"} | changes, sort_keys=False))
    plan = planned(str(path), "4xA100")
    noted = [note for note in plan.found.notes if "LEARNING_RATE" in note]
    assert bool(noted) == bool(rate) and all(re.search(rate, note) for note in noted)
    assert not [stop for stop in plan.found.stops if ELSEWHERE not in stop]


def test_a_server_and_a_replay_need_no_model_here() -> None:
    assert planned("laptop", ENGINE="replay").models == {}
    assert planned("smoke", ENGINE="server", MODEL="name-on-the-server").models.keys() == {TRAINING}


def test_stages_that_are_done_are_not_planned_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = {"01_seed_curation", SYNTHESIS, FILTERING}
    monkeypatch.setattr(command, "undone", lambda run, stage, values: None if stage in done else "not run yet")
    plan = planned("paper", "4xA100")
    assert plan.done == done and plan.models.keys() == {TRAINING, EVALUATION}
    assert [step.stage for step in plan.steps] == [TRAINING, EVALUATION]
    (line,) = command.beside(plan)  # hours of generation are compared where there are any
    assert "Table 12" in line
    assert not any("the-stack" in stop for stop in plan.found.stops)


def test_the_estimates_agree_with_the_recorded_run() -> None:
    """data/reference/laptop, by the same parameters: requests within a tenth, tokens by a factor of two."""
    plan = planned("laptop")
    folder = ROOT / "data" / "reference" / "laptop"
    recorded = json.loads((folder / SYNTHESIS / "manifest.json").read_text())["metrics"]["cost"]
    steps = {step.name: step for step in plan.steps}
    for ours, theirs in (("concepts", "concepts"), ("instruction", "instructions"), ("response", "responses")):
        assert steps[ours].requests == pytest.approx(recorded[theirs]["completions"], rel=0.1)
        assert 0.5 < steps[ours].answers / recorded[theirs]["completion tokens"] < 2.5, ours
    judged = json.loads((folder / "01_seed_curation" / "manifest.json").read_text())["metrics"]["judge"]["asked"]
    assert steps["judge"].requests == judged + 80 + 2 * 40


def test_more_seeds_and_more_samples_take_more(tmp_path: Path) -> None:
    main = {step.name: step for step in planned("paper", "4xA100").steps}
    small = {step.name: step for step in planned("paper-37k", "4xA100").steps}
    for name in ("concepts", "instruction", "response", "programs"):
        assert main[name].requests == pytest.approx(small[name].requests * 250 / 37)
        assert main[name].hours == pytest.approx(small[name].hours * 250 / 37, rel=0.05)
    assert small["fine-tuning"].requests == pytest.approx(15_600) and main["fine-tuning"].requests == pytest.approx(
        74_000
    )
    assert main["judge"].requests == small["judge"].requests > work.STACK_SEEDS
    assert main["evaluation"].requests == 3 * (164 + 399 + 5 * 100)


def test_a_faster_gpu_and_twice_as_many_are_faster() -> None:
    four, fast = (
        {step.name: step.hours for step in planned("paper", gpus).steps if step.gpus} for gpus in ("4xA100", "4xH100")
    )
    eight = {step.name: step.hours for step in planned("paper-8gpu", "8xA100").steps if step.gpus}
    assert all(fast[name] < four[name] for name in four)
    assert all(eight[name] == pytest.approx(four[name] / 2, rel=0.05) for name in four if name != "evaluation")


def test_the_papers_hours_are_shown_beside(capsys: pytest.CaptureFixture[str]) -> None:
    if not any(claim["id"] == "cost-value" for claim in read_claims()["claims"]):
        pytest.skip("data/claims.yaml has no Table 12")
    assert work.table_12("Qwen/CodeQwen1.5-7B")["hours of generation"] == 7
    assert work.table_12("Qwen/Qwen2.5-Coder-1.5B") == {}
    command.show(planned("paper", "4xA100"), 0)
    said = capsys.readouterr().out
    assert "Table 12 of the paper, 37,000 seeds on four A100: " in said
    assert "the generation for 250,000 seeds takes 189 GPU-hours" in said
    assert "idle until the last answer of a batch is there" in said  # a reason why the hours above are fewer


def test_the_estimate_of_tokens_is_on_the_safe_side() -> None:
    """Every prompt has fewer tokens by a real tokenizer, where one is here."""
    name = next((name for name in EMBEDDED if (Path.home() / ".cache/selfcodealign-study/models" / name).is_dir()), "")
    if not name:
        pytest.skip("no embedded model has been fetched")
    counted = known.from_files(name, Path.home() / ".cache/selfcodealign-study/models" / name, "")
    assert counted.folder
    guessed = known.Known(name)
    for kind in prompts.kinds(load_profile("paper")):
        for prompt in kind.prompts[:5]:
            assert 0.6 * guessed.tokens(prompt) < counted.tokens(prompt) <= guessed.tokens(prompt), kind.name


def test_a_local_folder_is_read(tiny: models.Model) -> None:
    look = known.look(str(tiny.path))
    assert look.shape == shape_of(json.loads((tiny.path / "config.json").read_text())) and look.folder == tiny.path
    assert look.problem == "" and look.fetched == 0 and look.tokens("def add") > 1
    assert "by its tokenizer" in str(look)


def test_a_folder_of_another_kind_or_of_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mamba"}')
    other = known.look(str(tmp_path))
    assert other.shape is None and other.problem == "" and "the sizes of a mamba are not known" in str(other)
    (tmp_path / "config.json").unlink()
    assert "holds no config.json that can be read" in known.look(str(tmp_path)).problem
    assert known.look("qwen-9000").problem.startswith("no model 'qwen-9000': give one of")


class Hub(BaseHTTPRequestHandler):
    """What the hub answers: a model with its files, one that is gated, one that is not there."""

    files: dict[str, bytes] = {}
    refusals = {"owner/gated": (403, "GatedRepo"), "owner/gone": (401, "RepoNotFound")}

    def do_GET(self) -> None:
        path = self.path.split("?")[0].removeprefix("/api/models").removeprefix("/api/datasets")
        name = "/".join(path.split("/")[1:3])
        status, code = self.refusals.get(name, (200, ""))
        data = self.files.get(path.rpartition("/")[2]) if "/resolve/" in path else b"{}"
        if data is None:
            status, code, data = 404, "EntryNotFound", b""
        self.send_response(status)
        for key, value in {"X-Error-Code": code, "ETag": f'"{len(data)}"', "X-Repo-Commit": "0" * 40}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(tiny: models.Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    files = {name: (tiny.path / name).read_bytes() for name in ("config.json", "tokenizer.json")}
    with local_hub(type("OneHub", (Hub,), {"files": files}), monkeypatch):
        yield files


def test_configuration_and_tokenizer_are_read_on_the_hub_and_then_in_its_cache(
    hub: dict[str, bytes], tiny: models.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = known.look("owner/tiny@main")
    assert look.shape == shape_of(json.loads(hub["config.json"])) and look.problem == ""
    assert look.tokens("def add(x)") == known.look(str(tiny.path)).tokens("def add(x)")
    assert look.fetched == 2 * look.shape.parameters and "read on the hub; tokens by its tokenizer" in str(look)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    later = known.look("owner/tiny@main")
    assert later.shape == look.shape and "in the hub's cache" in str(later)
    assert "owner/tiny@main is not here: run `make fetch`" in later.problem  # its weights


def test_a_gated_and_a_missing_repository_stop_the_run(hub: dict[str, bytes], tmp_path: Path) -> None:
    assert re.fullmatch(
        r"owner/gated is gated: accept .*/owner/gated and set HF_TOKEN", known.look("owner/gated").problem
    )
    assert "the hub shows no model owner/gone: check the name" in known.look("owner/gone").problem
    hub.pop("config.json")
    assert "owner/tiny has no config.json on the hub: choose another model" in known.look("owner/tiny").problem
    path = tmp_path / "mine.yaml"
    path.write_text("BASE: smoke\n01_seed_curation:\n  CORPUS: hub:owner/gated\n")
    (stop,) = planned(str(path)).found.stops
    assert re.fullmatch(r"owner/gated is gated: accept its terms at http.*/datasets/owner/gated and set HF_TOKEN", stop)


def test_without_the_hub_a_gated_model_asks_for_its_token_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "it is gated, so accept its terms and set HF_TOKEN" in known.look("meta-llama/Meta-Llama-3-8B@main").problem
    assert "HF_TOKEN" not in known.look("bigcode/starcoder2-3b").problem
    monkeypatch.setenv("HF_TOKEN", "hf_1")
    assert "HF_TOKEN" not in known.look("meta-llama/Meta-Llama-3-8B").problem


def test_a_full_disk_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 20e9})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    (stop,) = [stop for stop in planned("paper", "4xA100").found.stops if "free" in stop]
    assert re.search(r"has 20 GB free and the run writes up to \d{3}: free some, or move STUDY_RUNS or HF_HOME", stop)


def test_a_machine_with_too_little_memory_of_its_own_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "found", lambda: hardware.Hardware(hardware.KINDS["A100"], 4, "found"))
    for gibibytes, stopped in ((64, 1), (512, 0)):
        monkeypatch.setattr(
            hardware, "cpu", lambda size=gibibytes: hardware.Hardware(hardware.Gpu("", size, 1, 1), 1, "CPU")
        )
        said = [stop for stop in planned("deepseek-coder-33b").found.stops if "machine's memory, which has 64" in stop]
        assert len(said) == stopped


def test_the_gpus_of_this_machine_are_those_that_nvidia_smi_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf 'NVIDIA A100 80GB PCIe, 81920\\nNVIDIA A100 80GB PCIe, 81920\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = hardware.found()
    assert found and found.count == 2 and found.here and found.gpu.operations == hardware.KINDS["A100"].operations
    assert found.gpu.memory == pytest.approx(79, abs=0.3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert (one := hardware.found()) and one.count == 1
    for hidden in ("", "-1", "-1,0"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert hardware.found() is None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert hardware.found() is None


def test_memory_is_that_of_the_tightest_control_group(tmp_path: Path) -> None:
    here = hardware.memory(tmp_path, tmp_path / "absent")
    assert here == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for group, limit in {"": "max", "slurm": "3000000", "slurm/job_7": "max", "slurm/job_8": "1000000"}.items():
        (tmp_path / group).mkdir(exist_ok=True)
        (tmp_path / group / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "own").write_text("1:name=systemd:/\n0::/slurm/job_7\n")
    assert hardware.memory(tmp_path, tmp_path / "own") == 3_000_000
    assert hardware.memory(tmp_path, tmp_path / "absent") == here


@pytest.mark.parametrize("text", ["4", "A100", "0xA100", "4xT4", "4 x A100", "-1xA100"])
def test_gpus_are_a_number_and_a_kind(text: str) -> None:
    with pytest.raises(StudyError, match="is not a number and a kind: write 4xA100; the kinds are A100, H100, H200"):
        hardware.stated(text)


def test_the_command_ends_with_a_table_and_a_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def status(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["plan", *arguments])
        return command.main()

    assert status("--profile", "starcoder2-3b", "--gpus", "4xA100", "--price", "2.5") == 1
    said = capsys.readouterr().out
    marked = [line for line in said.splitlines() if line.startswith("!!  ")]
    assert marked and said.splitlines()[-1] == f"stopped by {len(marked)}"
    assert re.search(r"4 GPUs held all the while: [\d,.]+ GPU-hours; [\d,]+ dollars at 2.5 a GPU-hour", said)
    assert status("--profile", "smoke", "--run", "trial") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "ready"
    with pytest.raises(StudyError, match="GPUS=many"):
        status("--gpus", "many")
    with pytest.raises(StudyError, match="PRICE=-1 is negative"):
        status("--price", "-1")


def test_it_runs_as_a_module() -> None:
    ask = [sys.executable, "-m", "lib.runner.plan", "--profile", "smoke", "--engine", "replay"]
    done = subprocess.run(ask, cwd=ROOT, env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("ready\n"), done.stdout + done.stderr
