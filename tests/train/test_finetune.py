"""Real trainings of a tiny model: it learns, is saved, survives kill -9 and a full disk, and is not repeated."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import EXAMPLES, RECIPE
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    CodeGenConfig,
    GPTNeoConfig,
    Lfm2Config,
    PreTrainedConfig,
    Qwen2ForCausalLM,
    Starcoder2Config,
    Starcoder2ForCausalLM,
)

from lib.core.models import Model
from lib.core.paths import ROOT
from lib.core.records import StudyError, read_records
from lib.sandbox.box import candidates
from lib.train import launch
from lib.train.facts import dropout
from lib.train.finetune import load_base, train, write_job
from lib.train.recipe import Recipe
from lib.train.template import answers, chat_template, render_prompt

LFM2 = {
    "vocab_size": 512, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
    "layer_types": ["conv", "full_attention"], "num_hidden_layers": 2, "initializer_range": 0.4,
}  # fmt: skip
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", launch.PARENT: str(os.getpid())}


@pytest.fixture(scope="module")
def undisturbed(tiny: Model, tmp_path_factory: pytest.TempPathFactory):
    """One training without interruption."""
    return train(tiny, EXAMPLES, RECIPE, tmp_path_factory.mktemp("undisturbed"))


def same_curve(one: list[dict], other: list[dict], tolerance: float = 1e-5) -> None:
    """Assert that two logs have the same updates and measurements, whatever time they took."""
    assert [row["id"] for row in one] == [row["id"] for row in other]
    for a, b in zip(one, other, strict=True):
        for name in a.keys() & {"loss", "held_out_loss", "tokens", "learning_rate", "grad_norm"}:
            assert a[name] == pytest.approx(b[name], abs=tolerance, rel=tolerance), (a["id"], name)


def test_the_loss_falls_and_the_facts_are_the_recipe(undisturbed) -> None:
    losses = [row["loss"] for row in undisturbed.log if "loss" in row]
    held_out = [row["held_out_loss"] for row in undisturbed.log if "held_out_loss" in row]
    assert losses[-1] < 0.8 * losses[0] and held_out[-1] < 0.8 * held_out[0]
    assert undisturbed.facts["held-out loss as saved"] == pytest.approx(held_out[-1], abs=0.05)
    settings = undisturbed.facts["settings"]
    assert settings["optimizer"] == "Adafactor" and settings["peak learning rate"] == RECIPE.learning_rate
    assert settings["largest dropout"] == 0.0, "the base's configuration asks for 0.1"
    assert settings["updates"] == len(losses) == 24 and settings["gradient clipping"] == "none"
    assert settings["schedule"] == "linear, 2 warm-up updates" and settings["weight decay"] == 0.0
    assert settings["learning rate scaled by weights, relative to steps"] == "False, False"
    assert settings["loss on"] == "response" and settings["LoRA rank, alpha"] == "4, 8"
    assert read_records(undisturbed.folder / "log.jsonl") == undisturbed.log


def test_the_merged_model_loads_and_answers_differently(tiny: Model, undisturbed) -> None:
    tokenizer = AutoTokenizer.from_pretrained(undisturbed.model)
    ids = tokenizer(render_prompt("Add 3."), return_tensors="pt").input_ids
    base, tuned = (AutoModelForCausalLM.from_pretrained(p, dtype=torch.float32) for p in (tiny.path, undisturbed.model))
    assert tuned.generation_config.eos_token_id in (0, [0]) and tokenizer.chat_template == chat_template()
    assert not torch.allclose(base(ids).logits, tuned(ids).logits, atol=1e-2)
    adapter = json.loads((undisturbed.folder / "adapter/adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == "tiny"
    saved = (undisturbed.model / "config.json").read_text()
    assert "packed" not in saved, "another program could not load it"


def test_answers_end_at_the_end_token_and_do_not_depend_on_the_batch(undisturbed) -> None:
    asked = [EXAMPLES[0]["instruction"], EXAMPLES[4]["instruction"]]
    together = answers(undisturbed.model, asked, 60)
    assert together == [answers(undisturbed.model, [text], 60)[0] for text in asked]
    assert all(text.count("<|end|>") <= 1 for text in together)


def test_a_finished_training_is_not_repeated(tiny: Model, undisturbed) -> None:
    written = (undisturbed.model / "model.safetensors").stat().st_mtime_ns
    again = train(tiny, EXAMPLES[::-1], RECIPE, undisturbed.folder)
    assert again.reused and again.log == undisturbed.log
    assert (undisturbed.model / "model.safetensors").stat().st_mtime_ns == written


def test_another_recipe_that_is_abandoned_leaves_a_finished_training_as_it_is(tiny: Model, tmp_path: Path) -> None:
    """Log and facts are in one file, so that they are always of the same training."""
    short = replace(RECIPE, epochs=1)
    first = train(tiny, EXAMPLES, short, tmp_path)
    job = write_job(tiny, EXAMPLES, replace(RECIPE, epochs=10_000), tmp_path)
    other = subprocess.Popen([sys.executable, "-m", "lib.train.finetune", str(job)], cwd=ROOT, env=ENVIRONMENT)
    while not list(tmp_path.glob("checkpoints/*/checkpoint-6/whole")):
        assert other.poll() is None
        time.sleep(0.01)
    other.kill()
    other.wait()
    (tmp_path / "log.jsonl").write_text("")
    again = train(tiny, EXAMPLES, short, tmp_path)
    assert again.reused and again.log == first.log == read_records(tmp_path / "log.jsonl")


def test_less_in_memory_is_the_same_training(tiny: Model, undisturbed) -> None:
    """Lowering MICRO_BATCH, which a full GPU requires, must not discard what was trained."""
    assert train(tiny, EXAMPLES, replace(RECIPE, micro_batch=1), undisturbed.folder).reused


def test_the_seed_decides_the_order(tiny: Model, undisturbed, tmp_path: Path) -> None:
    """transformers does not pass the run's seed to its balanced sampler."""
    other = train(tiny, EXAMPLES, replace(RECIPE, seed=RECIPE.seed + 1, epochs=1), tmp_path)
    first, second = ([row["tokens"] for row in t.log if "loss" in row][:4] for t in (undisturbed, other))
    assert first != second


def test_every_parameter_can_be_trained(tiny: Model, tmp_path: Path) -> None:
    full = train(tiny, EXAMPLES, replace(RECIPE, method="full", epochs=1, learning_rate=1e-3), tmp_path)
    assert full.facts["settings"]["trained parameters"] == full.facts["settings"]["all parameters"]
    assert not (tmp_path / "adapter").exists()
    losses = [row["held_out_loss"] for row in full.log if "held_out_loss" in row]
    assert full.facts["held-out loss as saved"] == pytest.approx(losses[-1], abs=0.05) and losses[-1] < losses[0]


def test_mixed_precision_learns_like_float32(tiny: Model, undisturbed, tmp_path: Path) -> None:
    """As in the study: base weights in bfloat16, adapters in float32, products in bfloat16."""
    mixed = train(tiny, EXAMPLES, replace(RECIPE, dtype="bfloat16"), tmp_path)
    assert mixed.facts["settings"]["types (trained, all)"].startswith("float32")
    assert mixed.log[-1]["loss"] == pytest.approx(undisturbed.log[-1]["loss"], rel=0.2)


def test_the_loss_on_everything_is_another_training_with_the_same_held_out_loss_before(
    tiny: Model, undisturbed, tmp_path: Path
) -> None:
    everything = train(tiny, EXAMPLES, replace(RECIPE, loss_on="everything", epochs=1), tmp_path)
    assert everything.facts["trained tokens"] > 1.5 * undisturbed.facts["trained tokens"]
    before = [next(row["held_out_loss"] for row in t.log if "held_out_loss" in row) for t in (everything, undisturbed)]
    assert before[0] == pytest.approx(before[1], abs=1e-5), "the held-out loss is on responses in both"


def other(tiny: Model, path: Path, config: PreTrainedConfig) -> Model:
    """Write a model of another architecture with random weights, and the tiny model's tokenizer."""
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(path)
    AutoTokenizer.from_pretrained(tiny.path).save_pretrained(path)
    return replace(tiny, path=path)


OWN_ATTENTION = {
    "codegen": lambda: CodeGenConfig(vocab_size=512, n_embd=32, n_layer=1, n_head=4, rotary_dim=4, n_positions=512),
    "gpt_neo": lambda: GPTNeoConfig(
        vocab_size=512, hidden_size=32, num_layers=1, num_heads=4, attention_types=[[["global"], 1]]
    ),
}


@pytest.mark.parametrize("kind", OWN_ATTENTION)
def test_a_model_whose_attention_cannot_be_replaced_is_refused(tiny: Model, tmp_path: Path, kind: str) -> None:
    """CodeGen has its own attention: packed examples would attend to each other. GPT-Neo does not even load."""
    model = other(tiny, tmp_path / "old", OWN_ATTENTION[kind]())
    with pytest.raises(StudyError, match=f"^examples of a {kind} cannot be packed: its attention cannot be replaced"):
        train(model, EXAMPLES, RECIPE, tmp_path / "out")


@pytest.mark.parametrize("recipe", [RECIPE, replace(RECIPE, dtype="bfloat16", method="full")], ids=["lora", "full"])
def test_a_model_with_a_state_is_refused_before_the_first_update(tiny: Model, tmp_path: Path, recipe: Recipe) -> None:
    """LFM2's convolutions run over the borders of packed examples, whatever its attention does."""
    model = other(tiny, tmp_path / "lfm2", Lfm2Config(**LFM2))
    with pytest.raises(StudyError, match="^examples of a lfm2 cannot be packed: it sees more of a row"):
        train(model, EXAMPLES, recipe, tmp_path / "out")
    assert not list(tmp_path.glob("out/checkpoints/*/*")) and not (tmp_path / "out/model").exists()


def test_every_kind_of_dropout_is_found_and_set_to_zero(tmp_path: Path) -> None:
    """StarCoder2 keeps three as plain numbers, not as layers; its configuration sets each to 0.1."""
    sizes = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    rates = {"residual_dropout": 0.1, "embedding_dropout": 0.1, "attention_dropout": 0.1}
    for name in rates:
        model = Starcoder2ForCausalLM(Starcoder2Config(**sizes, **heads, **dict.fromkeys(rates, 0.0) | {name: 0.1}))
        assert dropout(model) == 0.1, name
    Starcoder2ForCausalLM(Starcoder2Config(**sizes, **heads, **rates)).save_pretrained(tmp_path)
    assert dropout(load_base(Model("s", tmp_path, "", "", "", ""), "float32")) == 0.0


def test_what_cannot_be_trained_is_refused_with_a_remedy(tiny: Model, tmp_path: Path) -> None:
    empty = [EXAMPLES[0] | {"response": " \n "}, *EXAMPLES[1:]]
    cases = [
        (EXAMPLES, {"micro_batch": 0}, "MICRO_BATCH=0 must be 1 or more"),
        (EXAMPLES, {"lora_rank": 0}, "LORA_RANK=0 must be 1 or more; METHOD='full'"),
        (EXAMPLES, {"batch": 6, "micro_batch": 4}, "BATCH=6 is not a multiple of 4"),
        (EXAMPLES, {"method": "prefix"}, "METHOD='prefix' is unknown"),
        (EXAMPLES, {"method": "qlora"}, "needs a GPU"),
        ([], {}, "none of 0 examples"),
        (EXAMPLES, {"max_length": 10}, "raise MAX_LENGTH"),
        (EXAMPLES[:1], {}, "cannot be split"),
        (empty, {}, "empty response"),
    ]
    for examples, change, message in cases:
        with pytest.raises(StudyError, match=message):
            train(tiny, examples, replace(RECIPE, **change), tmp_path)


def test_a_loss_that_is_not_finite_stops_the_training(tiny: Model, tmp_path: Path) -> None:
    """As with a broken download; the error names the update and the remedy."""
    broken = tmp_path / "broken"
    model = Qwen2ForCausalLM.from_pretrained(tiny.path)
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    model.save_pretrained(broken)
    AutoTokenizer.from_pretrained(tiny.path).save_pretrained(broken)
    with pytest.raises(StudyError, match="the loss is nan at update 0: lower LEARNING_RATE"):
        train(replace(tiny, path=broken), EXAMPLES, RECIPE, tmp_path / "out")
    assert not (tmp_path / "out/model").exists()


def start(tiny: Model, folder: Path, prefix: tuple[str, ...] = (), recipe: Recipe = RECIPE) -> subprocess.Popen[str]:
    """Start a training in a process of its own, perhaps under another program."""
    job = write_job(tiny, EXAMPLES, recipe, folder)
    command = [*prefix, sys.executable, "-m", "lib.train.finetune", str(job)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, stdout=pipe, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def test_kill_and_resume_gives_the_same_losses(tiny: Model, undisturbed, tmp_path: Path) -> None:
    process = start(tiny, tmp_path)
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("checkpoints/*/checkpoint-6/whole")):
        assert process.poll() is None and time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "model").exists(), "killed too late to test anything"
    (checkpoints,) = tmp_path.glob("checkpoints/*")
    torn = checkpoints / "checkpoint-999"  # as a kill while writing leaves it: without the mark
    torn.mkdir()
    (torn / "trainer_state.json").write_text(next(checkpoints.glob("*/trainer_state.json")).read_text())
    resumed = train(tiny, EXAMPLES, RECIPE, tmp_path)
    same_curve(resumed.log, undisturbed.log)
    assert not (tmp_path / "checkpoints").exists() and not (tmp_path / launch.JOB).exists()


def test_a_training_ends_with_the_process_that_launched_it(tiny: Model, tmp_path: Path) -> None:
    parent = subprocess.Popen(["sleep", "600"])
    job = write_job(tiny, EXAMPLES, replace(RECIPE, epochs=10_000), tmp_path)
    command = [sys.executable, "-m", "lib.train.finetune", str(job)]
    child = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT | {launch.PARENT: str(parent.pid)})
    while not list(tmp_path.glob("checkpoints/*/checkpoint-*")):
        assert child.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    assert child.wait(timeout=60) == 1


def disk(size: int, mounted: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a bash script in which `mounted` is a separate file system of `size` MiB."""
    box = [str(next(candidates())), "--dev-bind", "/", "/", "--size", str(size * 2**20), "--tmpfs", str(mounted)]
    command = [*box, "--", "bash", "-c", script, "bash", sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)


def job_on(tiny: Model, out: Path, recipe: Recipe) -> str:
    """Write a job beside the folder `out` that it trains in; return its path."""
    out.mkdir()
    job = write_job(tiny, EXAMPLES, recipe, out.parent)
    facts = json.loads((job / "job.json").read_text()) | {"folder": str(out)}
    (job / "job.json").write_text(json.dumps(facts))
    return str(job)


def test_too_small_a_disk_is_refused_before_the_training(tiny: Model, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = disk(20, out, '"$1" -m lib.train.finetune "$2"; ls -A "$3"', job_on(tiny, out, RECIPE), str(out))
    assert done.stdout.count("\n") == 1 and "0.0 GB are free: free some" in done.stdout, done.stdout + done.stderr


def test_a_disk_that_fills_up_is_explained_and_loses_no_update(tiny: Model, tmp_path: Path) -> None:
    """Another file fills the disk during the training, which resumes once that file is removed."""
    script = (
        'python=$1 job=$2 out=$3; "$python" -m lib.train.finetune "$job" & '
        "until ls $out/checkpoints/*/checkpoint-6/whole 2>/dev/null; do sleep 0.02; done; "
        "cat /dev/zero > $out/filler 2>/dev/null; wait $!; echo status $?; rm $out/filler; "
        'exec "$python" -m lib.train.finetune "$job"'
    )
    out = tmp_path / "out"
    done = disk(200, out, script, job_on(tiny, out, replace(RECIPE, epochs=12)), str(out))
    assert "is full: free some space" in done.stdout and "status 1" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0 and "found from before" in done.stdout, done.stdout + done.stderr
