"""The transformers engine: the completions of plain generation, requests drawn lazily, no thread left."""

import shutil
import threading
from dataclasses import replace

import pytest
import torch
from asked import NAME
from lookalike import like_codeqwen
from transformers import GenerationConfig

from lib.core.records import StudyError
from lib.generate import Request, open_engine
from lib.generate.transformers_engine import Transformers
from lib.generate.window import too_long

pytestmark = pytest.mark.engine

MAX_SEQS = 3
CODE = 'def area(width, height):\n    """Return the area of a rectangle."""\n'
COUNT = "one, two, three, four, five, six, seven,"
FRUITS = "A list of fruits:\n1. apple\n2. banana\n3."
CHAT = "<|im_start|>user\nSay only: hello<|im_end|>\n<|im_start|>assistant\n"
GREEDY = [
    Request(CODE, 0, 40, ("\ndef ", "\nclass ")),
    Request(COUNT, 0, 12, ()),
    Request(COUNT, 0, 40, ("is a", " Fibonacci seq")),
    Request(COUNT, 0, 40, ("never said",)),
    Request(FRUITS, 0, 30, ("\n6.",)),
    Request(FRUITS, 0, 1, ("zzz",)),
    Request("The capital of France is", 0, 24, (".",)),
    Request(CHAT, 0, 60, ()),
    Request(FRUITS * 60, 0, 20, ("\n", "zzz")),
]


@pytest.fixture(scope="module")
def engine():
    engine = open_engine("transformers", NAME, MAX_SEQS)
    engine.load()
    yield engine
    engine.close()


@pytest.fixture
def exact(engine):
    """The engine with 32-bit weights, so that no rounding decides between two tokens."""
    engine._lm.float()
    yield engine
    engine._lm.bfloat16()


def plain(engine, request):
    """Return (text, finish_reason, number of tokens) of plain generation with the engine's weights."""
    model, tokenizer = engine._lm, engine._tokenizer
    ends = model.generation_config.eos_token_id
    config = GenerationConfig(
        do_sample=False, eos_token_id=ends, pad_token_id=0, max_new_tokens=request.max_tokens, max_length=None
    )
    ids = tokenizer(request.prompt, return_tensors="pt")
    tokens = model.generate(**ids, generation_config=config)[0, ids["input_ids"].shape[1] :].tolist()
    text = ""
    for count in range(1, len(tokens) + 1):
        text = tokenizer.decode(tokens[:count], skip_special_tokens=True)
        if any(stop in text for stop in request.stop):
            return min((text.split(stop)[0] for stop in request.stop), key=len), "stop", count
    return text, "stop" if tokens[-1] in ends else "length", len(tokens)


@pytest.fixture
def steps(engine):
    """A list that grows by one with every step of the model."""
    done = []
    hook = engine._lm.register_forward_hook(lambda *_: done.append(1))
    yield done
    hook.remove()


def result(completion):
    return completion["text"], completion["finish_reason"], completion["tokens"]


def test_greedy_completions_are_those_of_plain_generation(exact, steps):
    completions = dict(exact.generate(iter(GREEDY)))
    assert len(steps) < 0.7 * sum(completion["tokens"] for completion in completions.values()), "not batched"
    for place, request in enumerate(GREEDY):
        assert result(completions[place]) == plain(exact, request), request
        assert not any(stop in completions[place]["text"] for stop in request.stop)
        assert completions[place]["prompt_tokens"] == len(exact._tokenizer(request.prompt)["input_ids"])
        assert completions[place]["cached_tokens"] == 0
    assert {completion["finish_reason"] for completion in completions.values()} == {"stop", "length"}


def test_in_bf16_a_token_is_the_best_up_to_rounding(engine):
    """If two tokens are nearly equal, the sequences that share a step may decide between them."""
    assert engine._lm.dtype == torch.bfloat16
    prompts = list(dict.fromkeys(request.prompt for request in GREEDY))
    checked = 0
    for place, completion in list(engine.generate(Request(prompt, 0, 30, ()) for prompt in prompts)):
        prompt, text = (engine._tokenizer(text)["input_ids"] for text in (prompts[place], completion["text"]))
        if len(text) == completion["tokens"]:  # else the text is tokenized otherwise than it was generated
            scores = engine._lm(torch.tensor([prompt + text])).logits[0, len(prompt) - 1 : -1].float()
            behind = scores.max(-1).values - scores[range(len(text)), text]
            assert behind.max() <= 0.5, (prompts[place], behind)  # a step of the scores is 0.125 or 0.25 here
            checked += 1
    assert checked >= 3


def test_a_stop_string_ends_the_computation(engine, steps):
    once = Request("The capital of France is", 0, 400, (".",))
    completions = dict(engine.generate([once] * 2 * MAX_SEQS + [Request(COUNT, 0, 5, ())]))
    assert completions[0]["finish_reason"] == "stop"
    assert len(steps) < 100


def test_requests_are_drawn_when_there_is_room(engine):
    drawn = []

    def asked():
        for number in range(12):
            drawn.append(number)
            yield Request(f"{number} and {COUNT}", 0, 1 + number % 3, ())

    most = max(len(drawn) - finished for finished, _ in enumerate(engine.generate(asked())))
    assert most == 2 * MAX_SEQS and len(drawn) == 12


def test_temperatures_may_be_mixed(exact):
    greedy = Request(COUNT, 0, 12, ())
    cold, hot = Request(COUNT, 1e-4, 12, ()), Request(COUNT, 3.0, 12, ())
    asked = [greedy, cold, hot, hot, greedy]
    texts = {place: completion["text"] for place, completion in exact.generate(asked)}
    assert texts[0] == texts[1] == texts[4] == plain(exact, greedy)[0]
    assert len({texts[0], texts[2], texts[3]}) == 3


def test_a_run_is_seeded_by_its_first_request(engine):
    texts = []
    for seed in (1, 2, 1):
        [(_, completion)] = engine.generate([Request(COUNT, 1.0, 20, (), seed)])
        texts.append(completion["text"])
    assert texts[0] == texts[2] != texts[1]


def test_top_p_draws_from_the_likeliest_tokens_alone(exact):
    greedy, hot = Request(COUNT, 0, 12, ()), Request(COUNT, 3.0, 12, (), 1)
    narrow = replace(hot, top_p=1e-6)
    asked = [greedy, hot, narrow, replace(narrow, top_p=0.999), narrow]
    texts = {place: completion["text"] for place, completion in exact.generate(asked)}
    assert texts[2] == texts[4] == texts[0] == plain(exact, greedy)[0]
    assert len({texts[0], texts[1], texts[3]}) == 3


def test_a_prompt_begins_with_the_token_of_the_model(tiny, tmp_path, monkeypatch):
    """Its tokenizer, which is loaded by the wrong class unless it is corrected, begins with <s> by its settings."""
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    folder = like_codeqwen(tmp_path / "model", add_bos_token=True)
    for path in tiny.path.glob("*"):
        if not path.name.startswith("tokenizer"):
            shutil.copy(path, folder)
    engine = Transformers(replace(tiny, path=folder), 2)
    engine.load()
    [(_, completion)] = engine.generate([Request(CODE, 0, 3, ())])
    prompt = engine._tokenizer(CODE).input_ids
    assert prompt[0] == engine._tokenizer.bos_token_id not in prompt[1:]
    assert engine._tokenizer.decode(prompt[1:]) == CODE
    assert completion["prompt_tokens"] == len(prompt) == engine.count_tokens(CODE)
    engine.close()


def test_a_generator_closed_midway_leaves_no_thread(engine):
    threads = threading.active_count()
    answers = engine.generate(Request(f"{number} and {COUNT}", 0, 2 + 500 * (number > 0), ()) for number in range(50))
    assert next(answers)[0] == 0
    assert threading.active_count() > threads
    answers.close()
    assert threading.active_count() == threads


def test_a_prompt_that_fills_the_window_is_left_out_alone(engine):
    threads = threading.active_count()
    several = [Request(prompt, 0, 5, ()) for prompt in (COUNT * 600, COUNT, COUNT * 700)]
    assert [made == too_long() for _, made in sorted(engine.generate(several))] == [True, False, True]
    assert [made for _, made in engine.generate(several[:1])] == [too_long()]
    assert threading.active_count() == threads


def test_too_little_memory_is_named(engine, monkeypatch):
    monkeypatch.setattr("lib.generate.transformers_engine.CPU_SIZES", {"num_blocks": 10_000_000})
    with pytest.raises(StudyError, match="Memory.*choose a smaller MAX_SEQS"):
        list(engine.generate([Request(COUNT, 0, 5, ())]))
