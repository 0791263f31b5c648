"""Trainings over several processes: data-parallel and sharded ones have the loss curve of one process."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml
from helpers import alive, descendants
from test_finetune import LFM2, other, same_curve
from tiny import EXAMPLES, RECIPE
from transformers import Lfm2Config

from lib.core.models import Model
from lib.core.paths import ROOT
from lib.core.records import StudyError
from lib.train import launch
from lib.train.finetune import train, write_job

FULL = replace(RECIPE, method="full", learning_rate=1e-3, epochs=2)


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The shipped configuration for several GPUs, set to two processes on this machine."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings = yaml.safe_load(launch.configuration("ddp").read_text()) | {"num_processes": 2}
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(settings))
    return str(tmp_path / "two.yaml")


@pytest.mark.parametrize("recipe", [RECIPE, pytest.param(FULL, marks=pytest.mark.slow)], ids=["lora", "full"])
def test_two_processes_give_the_loss_curve_of_one(tiny: Model, two: str, tmp_path: Path, recipe) -> None:
    alone = train(tiny, EXAMPLES, recipe, tmp_path / "one")
    both = train(tiny, EXAMPLES, recipe, tmp_path / "two", two)
    same_curve(both.log, alone.log, 1e-4)
    assert both.facts["settings"]["processes"] == 2 and alone.facts["settings"]["processes"] == 1
    assert both.facts["settings"]["examples an update"] == alone.facts["settings"]["examples an update"] == 4
    assert both.facts["held-out loss as saved"] == pytest.approx(alone.facts["held-out loss as saved"], abs=1e-3)


ABORTS = """
import atexit, os

if "RANK" in os.environ:  # set in the processes that are launched, not in the launcher
    atexit.register(os.abort)
"""


def test_what_happens_at_exit_cannot_spoil_a_finished_training(tiny: Model, two: str, tmp_path: Path) -> None:
    """The threads of a process group that has ended could abort a process while Python ended it."""
    (tmp_path / "sitecustomize.py").write_text(ABORTS)
    job = write_job(tiny, EXAMPLES, replace(RECIPE, epochs=1), tmp_path)
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", two]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), launch.PARENT: str(os.getpid())}
    command = [*launcher, "--module", "lib.train.finetune", str(job)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_an_interrupted_launch_leaves_no_process(tiny: Model, two: str, tmp_path: Path) -> None:
    """As when a notebook's cell is interrupted during `launch.run`; the workers are in sessions of their own."""
    script = (
        "import signal, sys, time; from pathlib import Path; from lib.train import launch\n"
        "signal.signal(signal.SIGTERM, signal.default_int_handler)\n"
        "try: launch.run(Path(sys.argv[1]), sys.argv[2])\n"
        "except KeyboardInterrupt: print('interrupted', flush=True); time.sleep(600)"
    )
    job = write_job(tiny, EXAMPLES, replace(RECIPE, epochs=10_000), tmp_path)
    command = [sys.executable, "-c", script, str(job), two]
    notebook = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert notebook.stdout is not None
    try:
        while not list(tmp_path.glob("checkpoints/*/checkpoint-3/whole")):
            assert notebook.poll() is None
            time.sleep(0.01)
        below = descendants(notebook.pid)
        assert len(below) >= 3, "the launcher and two workers"
        notebook.terminate()
        while "interrupted" not in (said := notebook.stdout.readline()):
            assert said, "it ended before it was interrupted"
        deadline = time.monotonic() + 60
        while any(map(alive, below)):
            assert time.monotonic() < deadline, "the notebook still runs, and so do workers"
            time.sleep(0.1)
    finally:
        notebook.kill()


def test_the_error_of_a_process_is_raised(tiny: Model, two: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="not a configuration: give ddp, ddp8, fsdp, fsdp8, zero3"):
        train(tiny, EXAMPLES, RECIPE, tmp_path, "horovod")
    with pytest.raises(StudyError, match=r"^examples of a lfm2 cannot be packed: .*; choose another MODEL$"):
        train(other(tiny, tmp_path / "lfm2", Lfm2Config(**LFM2)), EXAMPLES, RECIPE, tmp_path / "out", two)


SHARDED = """
import json, sys
from pathlib import Path
import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.distributed.fsdp import fully_shard
from lib.train.finetune import trainable
from lib.core.models import Model
from lib.train.packing import batch_of, count_trained, loss_sum
from lib.train.recipe import Recipe
from lib.train.template import encode, load_tokenizer
from lib.train.trainer import Adafactor

torch.set_num_threads(1)
facts = json.loads(sys.argv[1])
model = Model(**facts["model"] | {"path": Path(facts["model"]["path"])})
rows, _ = encode(facts["examples"], load_tokenizer(model.path), 1280)

def curve(shard):
    network = trainable(model, Recipe(**facts["recipe"]))
    if shard:
        for layer in next(module for name, module in network.named_modules() if name.endswith("layers")):
            fully_shard(layer)
        fully_shard(network)
    trained = [p for p in network.parameters() if p.requires_grad]
    make = lambda: Adafactor(trained, lr=1e-3, scale_parameter=False, relative_step=False)
    optimizer, losses = make(), []
    for step in range(6):
        if step == 3:  # as after a resume
            kept = get_optimizer_state_dict(network, optimizer)
            optimizer = make()
            set_optimizer_state_dict(network, optimizer, kept)
        batch = rows[4 * step : 4 * step + 4]
        mine = batch[dist.get_rank() :: 2] if shard else batch
        loss = loss_sum(network, batch_of(mine)) * (2 if shard else 1) / count_trained(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        total = loss.detach().clone()
        if shard:
            dist.all_reduce(total)
        losses.append(total.item() / (2 if shard else 1))
    return losses

dist.init_process_group("gloo")
curves = [curve(False), curve(True)]
if dist.get_rank() == 0:
    print(json.dumps(curves))
dist.barrier()  # in step: left until exit, its threads can abort a process
dist.destroy_process_group()
"""


MIXED = pytest.param(replace(RECIPE, dtype="bfloat16"), marks=pytest.mark.slow)


@pytest.mark.parametrize("recipe", [FULL, MIXED], ids=["full", "lora, mixed types"])
def test_weights_sharded_by_fsdp2_give_the_loss_curve_of_one_process(tiny: Model, tmp_path: Path, recipe) -> None:
    """accelerate shards on GPUs only, so this calls PyTorch itself, with our loss and optimizer on sharded weights."""
    (tmp_path / "sharded.py").write_text(SHARDED)
    facts = {"model": asdict(tiny) | {"path": str(tiny.path)}, "recipe": asdict(recipe), "examples": EXAMPLES}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command += [str(tmp_path / "sharded.py"), json.dumps(facts)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    one, sharded = json.loads(done.stdout.splitlines()[-1])
    assert sharded == pytest.approx(one, rel=1e-4) and len(set(one)) == 6


@pytest.mark.parametrize("name", ["ddp", "ddp8", "fsdp", "fsdp8", "zero3"])
def test_accelerate_understands_the_shipped_configurations(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run: accelerate reads each and builds the environment that its processes would get."""
    from accelerate.commands import launch as accelerate

    script = ["--config_file", str(launch.configuration(name)), "--module", "lib.train.finetune", "job"]
    args = accelerate.launch_command_parser().parse_args(script)
    args, _, _ = accelerate._validate_launch_command(args)
    assert args.num_processes == (4 if name in ("ddp", "fsdp") else 8) and args.mixed_precision in (None, "no"), (
        "the recipe decides the precision"
    )
    if name == "zero3":
        args.deepspeed_fields_from_accelerate_config = ""
        _, environment = accelerate.prepare_deepspeed_cmd_env(args)
        wanted = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}
    else:
        environment = accelerate.prepare_multi_gpu_env(args)
        wanted = {"FSDP_VERSION": "2", "ACCELERATE_USE_FSDP": "true"} if "fsdp" in name else {}
    assert wanted.items() <= environment.items()
    if "fsdp" in name:
        from accelerate import FullyShardedDataParallelPlugin

        for key, value in environment.items():
            monkeypatch.setenv(key, value)
        plugin = FullyShardedDataParallelPlugin()
        assert plugin.fsdp_version == 2 and plugin.reshard_after_forward and plugin.cpu_ram_efficient_loading
