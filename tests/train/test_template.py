"""The template, the loss mask and the split."""

from pathlib import Path

import pytest
from lookalike import like_deepseek_coder
from tiny import EXAMPLES
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from lib.core.models import Model
from lib.core.records import StudyError
from lib.train.template import (
    IGNORED,
    answers,
    bos_ids,
    chat_template,
    encode,
    load_tokenizer,
    render_example,
    render_prompt,
    split,
)


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
    rows, dropped = encode(EXAMPLES[:3], tokenizer, 1280)
    assert not dropped
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


def test_a_model_that_begins_its_texts_with_a_token_is_trained_and_asked_so_once(tmp_path: Path) -> None:
    """The settings ask for BOS, and the declared class would lose every space (DeepSeek-Coder)."""
    tokenizer = load_tokenizer(like_deepseek_coder(tmp_path / "model"))
    bos = [tokenizer.bos_token_id]
    assert bos_ids(tokenizer) == bos
    rows, dropped = encode(EXAMPLES[:3], tokenizer, 1280)
    assert not dropped
    for row, example in zip(rows, EXAMPLES, strict=False):
        text = "".join(render_example(example["instruction"], example["response"]))
        assert row["input_ids"][:1] == bos and row["input_ids"].count(*bos) == 1
        assert tokenizer.decode(row["input_ids"]) == f"<s>{text}</s>"
        user = [{"role": "user", "content": example["instruction"]}]
        asked = tokenizer.apply_chat_template(user, add_generation_prompt=True, return_dict=True)["input_ids"]
        assert asked == tokenizer(render_prompt(example["instruction"])).input_ids  # what an engine is asked
        assert asked == row["input_ids"][: row["labels"].count(IGNORED)]


def test_long_examples_are_dropped_and_counted_and_nothing_left_is_an_error(tiny: Model) -> None:
    tokenizer = load_tokenizer(tiny.path)
    long = {"id": "zz", "instruction": "x", "response": "word " * 500}
    rows, dropped = encode([*EXAMPLES, long], tokenizer, 300)
    assert len(rows) == len(EXAMPLES) and dropped == {"too long": 1}
    for examples in ([], [long]):
        with pytest.raises(StudyError, match="MAX_LENGTH"):
            encode(examples, tokenizer, 300)
    with pytest.raises(StudyError, match="empty response"):
        encode([{"id": "a", "instruction": "x", "response": " "}], tokenizer, 300)


ABOUT_THE_END = {
    "id": "zz",
    "instruction": "Write a function that removes <|end|> from a text.",
    "response": "```python\ndef strip(text):\n    return text.replace('<|end|>', '')\n```",
}


def test_a_control_token_in_a_text_is_trained_as_text(tiny: Model) -> None:
    tokenizer = load_tokenizer(tiny.path)
    row = encode([*EXAMPLES, ABOUT_THE_END], tokenizer, 1280)[0][-1]
    trained = [label for label in row["labels"] if label != IGNORED]
    assert row["input_ids"].count(tokenizer.eos_token_id) == 1 and trained[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(trained[:-1]) == ABOUT_THE_END["response"]
    assert tokenizer.decode(row["input_ids"][: -len(trained)]) == render_prompt(ABOUT_THE_END["instruction"])


def test_a_control_token_in_an_instruction_is_asked_about_as_text(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    generate, asked = Qwen2ForCausalLM.generate, []

    def watched(model, input_ids, attention_mask, **options):
        asked.extend(ids[mask].tolist() for ids, mask in zip(input_ids, attention_mask.bool(), strict=True))
        return generate(model, input_ids, attention_mask=attention_mask, **options)

    monkeypatch.setattr(Qwen2ForCausalLM, "generate", watched)
    examples = [ABOUT_THE_END | {"id": "a", "instruction": "Short."}, ABOUT_THE_END]
    assert len(answers(tiny.path, [example["instruction"] for example in examples], 20)) == 2
    tokenizer = load_tokenizer(tiny.path)
    assert tokenizer.decode(asked[1]) == render_prompt(ABOUT_THE_END["instruction"])
    assert tokenizer.eos_token_id not in asked[1]
    rows = encode(examples, tokenizer, 1280)[0]
    assert asked == [row["input_ids"][: row["labels"].count(IGNORED)] for row in rows]


@pytest.mark.parametrize("field", ["instruction", "response"])
def test_text_that_utf8_cannot_hold_is_dropped_and_counted(tiny: Model, field: str) -> None:
    tokenizer = load_tokenizer(tiny.path)
    half = EXAMPLES[0] | {"id": "zz", field: "Replace \ud83d in a text."}
    rows, dropped = encode([*EXAMPLES, half], tokenizer, 1280)
    assert [row["id"] for row in rows] == [example["id"] for example in EXAMPLES]
    assert dropped == {"text that UTF-8 cannot hold": 1}
    with pytest.raises(StudyError, match="UTF-8 cannot hold: 1"):
        encode([half], tokenizer, 1280)


def test_a_control_token_that_a_tokenizer_cannot_spell_out_is_dropped_and_counted() -> None:
    """One that looks up whole words or pieces finds it in its vocabulary, even if it is no token of the text."""
    pieces = [("<unk>", 0.0), ("</s>", 0.0), *((letter, -1.0) for letter in map(chr, range(9, 127)))]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Split("\0", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>")
    examples = [{"id": text, "instruction": "Do.", "response": text} for text in ("a", "b</s>c", "é")]
    rows, dropped = encode(examples, tokenizer, 1280)
    assert [row["id"] for row in rows] == ["a", "é"] and bos_ids(tokenizer) == []
    assert dropped == {"control token that cannot be spelled out": 1}


def test_the_split_is_seeded_disjoint_and_never_empty() -> None:
    rows = [{"id": f"{n:03d}"} for n in range(40)]
    train_rows, held_out = split(rows, 0.05, 1)
    assert split(rows[::-1], 0.05, 1) == (train_rows, held_out) != split(rows, 0.05, 2)
    assert len(held_out) == 2 and not {r["id"] for r in held_out} & {r["id"] for r in train_rows}
    assert len(split(rows[:3], 0.05, 1)[1]) == 1
    with pytest.raises(StudyError, match="cannot be split"):
        split(rows[:1], 0.05, 1)


def test_a_tokenizer_without_the_needed_tokens_is_refused(tiny: Model, tmp_path: Path) -> None:
    """Without an EOS token, or without tokens for the template's own letters."""
    tokenizer = load_tokenizer(tiny.path)
    tokenizer.eos_token = tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path / "endless")
    with pytest.raises(StudyError, match="no EOS token"):
        load_tokenizer(tmp_path / "endless")
    few = Tokenizer(models.WordLevel({"[UNK]": 0, "x": 1, "[END]": 2}, unk_token="[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=few, eos_token="[END]", unk_token="[UNK]").save_pretrained(
        tmp_path / "few"
    )
    with pytest.raises(StudyError, match="loses .*the template"):
        load_tokenizer(tmp_path / "few")
