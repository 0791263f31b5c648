"""The template, the loss mask, and real trainings of a tiny model: it learns, survives kill -9, is not repeated."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from lib.card import write_card
from lib.finetune import train
from lib.models import Model
from lib.records import read_records
from lib.sft import IGNORED, Recipe, chat_template, encode, load_tokenizer, render_example, render_prompt, split
from lib.study import ROOT, StudyError

SOURCE = {"package": "toolbox", "version": "1.0", "licence": "MIT", "path": "toolbox/a.py", "line": 1}
EXAMPLES = [
    {
        "id": f"{n:03d}",
        "instruction": f"  Write a function that adds {n} to a number.\n",
        "response": f"```python\ndef add_{n}(x):\n    return x + {n}\n```",
        "source": SOURCE,
    }
    for n in range(24)
]
torch.set_num_threads(1)  # a model this small only loses by sharing its work
RECIPE = Recipe(epochs=4, learning_rate=3e-2, batch=4, micro_batch=2, lora_rank=4, checkpoint_steps=3, dtype="float32")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A two-layer Qwen2 with random weights and a byte-level tokenizer trained on the examples."""
    path = tmp_path_factory.mktemp("tiny")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = ["".join(render_example(e["instruction"], e["response"])) for e in EXAMPLES]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=400, special_tokens=["<|end|>"], initial_alphabet=alphabet)
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>").save_pretrained(path)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=512, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True, attention_dropout=0.1, eos_token_id=0, initializer_range=0.4,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(path)
    return Model("tiny", path, "r1", "Apache-2.0", "0" * 64, "random weights")


@pytest.fixture(scope="module")
def undisturbed(tiny: Model, tmp_path_factory: pytest.TempPathFactory):
    """One training from start to end."""
    return train(tiny, EXAMPLES, RECIPE, tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("instruction", ["Add.", "  Two\n\nlines  with 'quotes' and \"more\" ", "{{ no jinja }} \\n"])
def test_chat_template_renders_the_same_text(tiny: Model, instruction: str) -> None:
    tokenizer = load_tokenizer(tiny.path)
    user, answer = {"role": "user", "content": instruction}, {"role": "assistant", "content": " def f(): ...\n"}
    prompt, completion = render_example(instruction, answer["content"])
    assert tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=True) == render_prompt(
        instruction
    )
    assert tokenizer.apply_chat_template([user, answer], tokenize=False) == prompt + completion + "<|end|>"
    assert chat_template("<s>").count("<s>") == 1


def test_chat_template_refuses_a_system_role(tiny: Model) -> None:
    with pytest.raises(Exception, match="user and assistant"):
        load_tokenizer(tiny.path).apply_chat_template([{"role": "system", "content": "x"}], tokenize=False)


def test_loss_is_on_the_response_and_eos_only(tiny: Model) -> None:
    tokenizer = load_tokenizer(tiny.path)
    rows, too_long = encode(EXAMPLES[:3], tokenizer, 1280)
    assert too_long == 0
    for row, example in zip(rows, EXAMPLES, strict=False):
        trained = [label for label in row["labels"] if label != IGNORED]
        prompt = row["input_ids"][: -len(trained)]
        assert tokenizer.decode(trained) == example["response"].strip() + "<|end|>"
        assert tokenizer.decode(prompt) == render_prompt(example["instruction"])
        assert row["labels"] == [IGNORED] * len(prompt) + trained


def test_bos_is_put_first_when_the_tokenizer_uses_one(tiny: Model) -> None:
    tokenizer = load_tokenizer(tiny.path)
    tokenizer.bos_token = "<|end|>"
    plain = encode(EXAMPLES[:1], tokenizer, 1280)[0][0]
    bos = processors.TemplateProcessing(single="<|end|> $A", special_tokens=[("<|end|>", 0)])
    tokenizer.backend_tokenizer.post_processor = bos
    with_bos = encode(EXAMPLES[:1], tokenizer, 1280)[0][0]
    assert with_bos["input_ids"] == [0, *plain["input_ids"]]
    assert with_bos["labels"] == [IGNORED, *plain["labels"]]


def test_long_examples_are_dropped_and_counted_and_nothing_left_is_an_error(tiny: Model) -> None:
    tokenizer = load_tokenizer(tiny.path)
    long = {"id": "zz", "instruction": "x", "response": "word " * 500}
    rows, too_long = encode([*EXAMPLES, long], tokenizer, 300)
    assert (len(rows), too_long) == (len(EXAMPLES), 1)
    for examples in ([], [long]):
        with pytest.raises(StudyError, match="MAX_LENGTH"):
            encode(examples, tokenizer, 300)
    with pytest.raises(StudyError, match="empty response"):
        encode([{"id": "a", "instruction": "x", "response": " "}], tokenizer, 300)


def test_the_split_is_seeded_disjoint_and_never_empty() -> None:
    rows = [{"id": f"{n:03d}"} for n in range(40)]
    train_rows, held_out = split(rows, 0.05, 1)
    assert split(rows[::-1], 0.05, 1) == (train_rows, held_out) != split(rows, 0.05, 2)
    assert len(held_out) == 2 and not {r["id"] for r in held_out} & {r["id"] for r in train_rows}
    assert len(split(rows[:3], 0.05, 1)[1]) == 1
    with pytest.raises(StudyError, match="cannot be split"):
        split(rows[:1], 0.05, 1)


def test_the_loss_falls_and_the_facts_are_the_recipe(tiny: Model, undisturbed) -> None:
    losses = [row["loss"] for row in undisturbed.log if "loss" in row]
    held_out = [row["held_out_loss"] for row in undisturbed.log if "held_out_loss" in row]
    assert losses[-1] < 0.8 * losses[0] and held_out[-1] < 0.8 * held_out[0]
    assert undisturbed.facts["held-out loss as saved"] == pytest.approx(held_out[-1], abs=0.05)
    settings = undisturbed.facts["settings"]
    assert settings["optimizer"] == "Adafactor" and settings["peak learning rate"] == RECIPE.learning_rate
    assert settings["largest dropout"] == 0.0, "the base's configuration asks for 0.1"
    assert settings["updates"] == len(losses) == 24 and settings["gradient clipping"] == "none"
    assert read_records(undisturbed.folder / "log.jsonl") == undisturbed.log
    card = write_card(tiny, undisturbed, EXAMPLES, "f" * 64)
    assert all(fact in card for fact in ("tiny", "r1", "f" * 64, "| toolbox | 1.0 | MIT | 24 |", f"{held_out[-1]:.3f}"))


def test_the_merged_model_loads_and_answers_differently(tiny: Model, undisturbed) -> None:
    tokenizer = AutoTokenizer.from_pretrained(undisturbed.model)
    ids = tokenizer(render_prompt("Add 3."), return_tensors="pt").input_ids
    base, tuned = (AutoModelForCausalLM.from_pretrained(p, dtype=torch.float32) for p in (tiny.path, undisturbed.model))
    assert tuned.generation_config.eos_token_id in (0, [0]) and tokenizer.chat_template == chat_template()
    assert not torch.allclose(base(ids).logits, tuned(ids).logits, atol=1e-2)
    adapter = json.loads((undisturbed.folder / "adapter/adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == "tiny"


def test_a_finished_training_is_not_repeated(tiny: Model, undisturbed) -> None:
    written = (undisturbed.model / "model.safetensors").stat().st_mtime_ns
    again = train(tiny, EXAMPLES[::-1], RECIPE, undisturbed.folder)
    assert again.reused and again.log == undisturbed.log
    assert (undisturbed.model / "model.safetensors").stat().st_mtime_ns == written


def test_every_parameter_can_be_trained(tiny: Model, tmp_path: Path) -> None:
    full = train(tiny, EXAMPLES, replace(RECIPE, lora_rank=0, epochs=1, learning_rate=1e-3), tmp_path)
    assert full.facts["settings"]["trained parameters"] == full.facts["settings"]["all parameters"]
    assert not (tmp_path / "adapter").exists()


def test_kill_and_resume_gives_the_same_losses(tiny: Model, undisturbed, tmp_path: Path) -> None:
    work = {"model": asdict(tiny) | {"path": str(tiny.path)}, "examples": EXAMPLES, "recipe": asdict(RECIPE)}
    (tmp_path / "work.json").write_text(json.dumps(work))
    program = (
        "import json, sys; from pathlib import Path; from lib.finetune import train; from lib.models import Model\n"
        "from lib.sft import Recipe\n"
        "w = json.loads(Path(sys.argv[1], 'work.json').read_text()); w['model']['path'] = Path(w['model']['path'])\n"
        "train(Model(**w['model']), w['examples'], Recipe(**w['recipe']), Path(sys.argv[1], 'out'))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, start_new_session=True)
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("out/checkpoints/*/checkpoint-6/trainer_state.json")):
        assert process.poll() is None and time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out/model").exists(), "killed too late to test anything"
    (checkpoints,) = tmp_path.glob("out/checkpoints/*")
    (checkpoints / "checkpoint-999").mkdir()  # as a kill in the middle of writing one leaves it
    resumed = train(tiny, EXAMPLES, RECIPE, tmp_path / "out")
    assert [row["step"] for row in resumed.log] == [row["step"] for row in undisturbed.log]
    for one, other in zip(resumed.log, undisturbed.log, strict=True):
        for name in ("loss", "held_out_loss", "tokens", "learning_rate", "grad_norm"):
            assert one.get(name) == pytest.approx(other.get(name), abs=1e-5), (one["id"], name)
