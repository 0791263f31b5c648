"""The model cards: headers that the Hub reads, facts from the run, and code in them that runs."""

import ast
import contextlib
import io
from dataclasses import replace
from functools import partial
from pathlib import Path

import jinja2
import pytest
import torch
from huggingface_hub import ModelCard
from peft import LoraConfig, PeftModel, get_peft_model
from tiny import SOURCE
from transformers import Qwen2ForCausalLM

from lib.core.models import HUB, Model
from lib.publish.model_card import with_scores, write_card
from lib.train.recipe import Training
from lib.train.template import answers, load_tokenizer

EXAMPLES = [{"id": "a", "source": SOURCE}, {"id": "b", "source": SOURCE}]
LOG = [{"id": "0-held-out", "held_out_loss": 2.5}, {"id": "9-held-out", "held_out_loss": 1.25}]
FACTS = {
    "examples": {"given": 2, "too long": 0, "trained": 1, "held out": 1},
    "trained tokens": 12345,
    "settings": {"optimizer": "Adafactor", "updates": 9},
    "hardware": "a processor, 2 threads",
    "seconds": 75.0,
    "eos": "<|end|>",
    "held-out loss as saved": 1.375,
    "method": "lora",
    "joules": 7200.0,
    "energy counters": "1 CPU package (RAPL)",
}
PUBLISHED = {"dataset/data/train-00000-of-00001.parquet": "e" * 64}


@pytest.fixture(scope="module")
def base(tiny: Model) -> Model:
    """The tiny model under a name that the code in a card can resolve: its folder."""
    return replace(tiny, name=str(tiny.path), note="local folder")


@pytest.fixture(scope="module")
def training(base: Model, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """What a training leaves: an adapter, the merged model with its tokenizer, a log and facts."""
    folder = tmp_path_factory.mktemp("04_sft")
    torch.manual_seed(1)
    lora = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    tuned = get_peft_model(Qwen2ForCausalLM.from_pretrained(base.path), lora)
    assert isinstance(tuned, PeftModel)
    tuned.save_pretrained(str(folder / "adapter"))
    tuned.merge_and_unload().to(torch.bfloat16).save_pretrained(folder / "model")
    for name in ("adapter", "model"):
        load_tokenizer(base.path).save_pretrained(folder / name)
    return Training(folder, LOG, FACTS, reused=False)


def blocks(card: str) -> list[str]:
    """Return the Python code blocks of a card."""
    return [part.split("```")[0] for part in card.split("```python\n")[1:]]


def run(card: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict]:
    """Run a card's first block in the card's own folder; return what it prints and its variables."""
    monkeypatch.chdir(card.parent)
    scope: dict = {"__name__": "card"}
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(blocks(card.read_text())[0], card, "exec"), scope)
    return out.getvalue().removesuffix("\n"), scope


def test_the_card_states_the_facts_of_the_run(base: Model, training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    # A name in the template without a value would be rendered as nothing; here it is an error.
    monkeypatch.setattr(jinja2, "Template", partial(jinja2.Template, undefined=jinja2.StrictUndefined))
    card = write_card(base, training, EXAMPLES, "f" * 64, PUBLISHED)
    facts = ["| revision | r1 |", "| licence | Apache-2.0 |", "f" * 64, "e" * 64, "| toolbox | 1.0 | MIT | 2 |"]
    facts += [
        "| trained tokens per epoch | 12,345 |",
        "| optimizer | Adafactor |",
        "a processor, 2 threads",
        "1:15 min",
    ]
    facts += ["(LoRA)", "2.0 Wh (1 CPU package (RAPL)", "2.500 before, 1.250 after, 1.375 as saved", "Notebook 05"]
    assert not [fact for fact in facts if fact not in card]
    assert (training.folder / "README.md").read_text() == card


def test_energy_and_method_are_not_made_up(base: Model, training: Training) -> None:
    facts = {name: value for name, value in FACTS.items() if name not in ("method", "joules", "energy counters")}
    for given in (facts, facts | {"joules": None, "energy counters": ""}):
        card = write_card(base, replace(training, facts=given), EXAMPLES, "f" * 64)
        assert "not measurable on this machine" in card and " Wh" not in card and "LoRA" not in card
    full = write_card(base, replace(training, facts=facts | {"method": "full"}), EXAMPLES, "f" * 64)
    assert "All parameters were trained." in full


def test_headers_link_only_a_hub_model(base: Model, training: Training) -> None:
    write_card(base, training, EXAMPLES, "f" * 64)
    local = {name: ModelCard((training.folder / name / "README.md").read_text()).data for name in ("model", "adapter")}
    assert [data.library_name for data in local.values()] == ["transformers", "peft"]
    assert all(data.base_model is None and data.license == "apache-2.0" for data in local.values())
    hub = replace(base, name="owner/base@v1", note=HUB, revision="c0ffee", licence="bigcode-openrail-m")
    write_card(hub, training, EXAMPLES, "f" * 64)
    adapter = ModelCard((training.folder / "adapter/README.md").read_text())
    assert adapter.data.base_model == "owner/base" and adapter.data.license == "bigcode-openrail-m"
    assert adapter.data.to_dict()["base_model_relation"] == "adapter"
    assert 'from_pretrained("owner/base", revision="c0ffee"' in adapter.text and "lib.core.models" not in adapter.text
    own = ModelCard(write_card(replace(base, licence="House terms"), training, EXAMPLES, "f" * 64)).data
    assert own.license == "other" and own.license_name == "House terms"


def test_every_block_of_code_is_python(base: Model, training: Training) -> None:
    card = write_card(base, training, EXAMPLES, "f" * 64)
    transformers, vllm = blocks(card)
    assert "transformers" in transformers and 'LLM(model="model")' in vllm and "__main__" in vllm
    for code in (transformers, vllm, *blocks((training.folder / "adapter/README.md").read_text())):
        ast.parse(code)


def test_the_code_in_the_cards_answers_as_the_study_does(
    base: Model, training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path))
    write_card(base, training, EXAMPLES, "f" * 64)
    printed, merged = run(training.folder / "README.md", monkeypatch)
    (question,) = (turn["content"] for turn in merged["turns"])
    before, after = (answers(p, [question], 400)[0].replace("<|end|>", "") for p in (base.path, training.model))
    assert len(after) > 10 and before != after
    assert printed == after == run(training.model / "README.md", monkeypatch)[0]
    _, adapted = run(training.folder / "adapter/README.md", monkeypatch)
    models = (Qwen2ForCausalLM.from_pretrained(base.path), merged["model"], adapted["model"])
    with torch.no_grad():
        logits = [model(**merged["prompt"]).logits.float() for model in models]
    assert torch.equal(adapted["prompt"]["input_ids"], merged["prompt"]["input_ids"])
    rounding, learned = (logits[2] - logits[1]).norm(), (logits[0] - logits[1]).norm()
    assert rounding < 0.2 * learned, "merging only rounds the weights"


def test_without_an_adapter_there_is_no_third_card(base: Model, training: Training, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    write_card(base, replace(training, folder=tmp_path), EXAMPLES, "f" * 64)
    assert sorted(path.parent.name for path in tmp_path.rglob("README.md")) == sorted([tmp_path.name, "model"])


def test_a_card_gets_scores_for_people_and_for_programs(base: Model, training: Training) -> None:
    before = write_card(base, training, EXAMPLES, "f" * 64)
    row = {"benchmark": "HumanEval+", "version": "v0.1.10", "pass@1": {"value": 0.4817}}
    card = ModelCard(with_scores(before, [row], "| model | pass@1 |\n| --- | --- |"))
    (result,) = card.data.eval_results
    assert (result.dataset_name, result.metric_type, result.metric_value) == ("HumanEval+", "pass@1", 48.2)
    assert card.data.model_name == f"{base.name}, self-aligned"
    assert "## Evaluation\n| model | pass@1 |" in card.text
    assert [line for line in before.splitlines() if line not in str(card).splitlines()] == []
