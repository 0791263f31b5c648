"""Counting tokens: as the engines that recorded the reference counted them, and never more than the bound."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from lookalike import around, byte_level, like_codeqwen, like_deepseek_coder, write
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from lib.core.paths import ROOT, cache_folder
from lib.core.records import iter_records
from lib.core.tokenizer import open_tokenizer, tokenizer_folder
from lib.generate.ray_engine import Ray
from lib.generate.replay import Replay
from lib.generate.server import Server
from lib.generate.tokens import count_tokens, tokens_at_most
from lib.generate.transformers_engine import Transformers, continued
from lib.generate.vllm_engine import CONTEXT_TOKENS, Vllm, engine_arguments
from lib.synthesize import prompts
from lib.synthesize.exemplars import Decks, load_exemplars, load_systems
from lib.synthesize.self_oss_instruct import SNIPPET_TOKENS, Sampling, concepts_request

QWEN = cache_folder() / "models" / "qwen2.5-coder-0.5b-instruct"
REFERENCE = ROOT / "data" / "reference" / "laptop"
GENERATED = REFERENCE / "02_self_oss_instruct"
PARAMETERS = json.loads((GENERATED / "manifest.json").read_text())["parameters"]
MIXED = "aXqZjKvW"  # no two of its letters are a token of Qwen's
TEXTS = [MIXED, "", "def f(x):\n\treturn x  # é 漢字 🙂\r\n", " " * 300, "\0\x7f", "<|endoftext|>"]
needs_qwen = pytest.mark.skipif(not QWEN.is_dir(), reason=f"{QWEN.name} has not been fetched")


def used_seeds():
    ordered = sorted(iter_records(REFERENCE / "01_seed_curation" / "seeds.jsonl.gz"), key=lambda seed: seed["order"])
    return ordered[: PARAMETERS["N_SEEDS"]]


@needs_qwen
def test_the_count_is_that_of_the_recorded_engine():
    exemplars, style = load_exemplars(PARAMETERS["EXEMPLARS"]), prompts.style(PARAMETERS["PROMPTS"], load_systems())
    decks = Decks(exemplars, PARAMETERS["SHOTS"], PARAMETERS["DECKS"], PARAMETERS["SAMPLING_SEED"])
    sampling = Sampling(PARAMETERS["TEMPERATURE"], PARAMETERS["CONCEPT_TOKENS"], PARAMETERS["SAMPLING_SEED"])
    recorded = {row["id"]: row["prompt_tokens"] for row in iter_records(GENERATED / "completions.jsonl.gz")}
    revision = json.loads((GENERATED / "manifest.json").read_text())["metrics"]["model"]["revision"]
    for deck, seed in decks.deal("concepts", used_seeds()[::10]):
        request = concepts_request(style, deck, seed, sampling)
        assert count_tokens(QWEN, request.prompt) == recorded[request.id(revision)]


@needs_qwen
@pytest.mark.parametrize("text", TEXTS)
def test_the_bound_holds(text):
    assert count_tokens(QWEN, text) <= tokens_at_most(text)


@needs_qwen
def test_letters_in_mixed_case_may_be_a_token_each():
    assert count_tokens(QWEN, MIXED) == len(MIXED)


@needs_qwen
@pytest.mark.parametrize("kind", [Vllm, Transformers, Ray])
def test_engines_with_a_local_model_count(kind):
    engine = kind.__new__(kind)  # an engine starts nothing to count
    engine.model = SimpleNamespace(path=QWEN)
    assert engine.count_tokens("def area(width, height):") == 6


def test_a_server_gives_the_bound_and_a_replay_has_nothing_to_decide():
    assert Server("m").count_tokens("é 漢") == 7
    assert Replay("any revision").count_tokens("é 漢") == 0


def test_a_model_without_a_tokenizer_file_gets_the_bound(tmp_path: Path):
    assert count_tokens(tmp_path, "\ud800!") == 5  # a lone surrogate has three bytes


def test_the_token_with_which_a_models_texts_begin_counts(tmp_path: Path):
    deepseek = like_deepseek_coder(tmp_path / "deepseek")  # the settings ask for it
    bos = write(tmp_path / "bos", around(byte_level(), "<s>", "$A"), "llama")  # the post-processor adds it
    plain = write(tmp_path / "plain", byte_level(), "llama")
    counts = [count_tokens(folder, "def area(width, height):") for folder in (deepseek, bos, plain)]
    assert counts[0] == counts[1] == counts[2] + 1


def test_vllm_is_given_the_tokenizer_that_the_file_describes(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    wrong, right = like_codeqwen(tmp_path / "wrong"), write(tmp_path / "right", byte_level(), "llama")
    given = [
        engine_arguments(SimpleNamespace(path=folder, name="m"), 8, False)["tokenizer"] for folder in (wrong, right)
    ]
    assert given == [str(tokenizer_folder(wrong)), str(right)] and given[0].startswith(str(tmp_path / "cache"))
    asked = {"tokenizer": "elsewhere"}  # ENGINE_OPTIONS decide
    assert engine_arguments(SimpleNamespace(path=right, name="m"), 8, False, **asked)["tokenizer"] == "elsewhere"


@pytest.mark.parametrize("like", [like_codeqwen, like_deepseek_coder])
def test_a_completion_keeps_the_space_that_it_begins_with(tmp_path: Path, monkeypatch, like):
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    tokenizer = open_tokenizer(like(tmp_path / "model"))
    for text in ("    return x\n", " x", "x", "\tx", ""):
        before, whole = (tokenizer(made, add_special_tokens=False)["input_ids"] for made in ("(", f"({text}"))
        assert whole[: len(before)] == before
        assert continued(tokenizer, [*whole[len(before) :], tokenizer.eos_token_id]) == text


def test_a_truncating_tokenizer_counts_the_whole_text(tmp_path: Path):
    tokenizer = Tokenizer(WordLevel({"a": 0}, unk_token="a"))  # noqa: S106
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.enable_truncation(2)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert count_tokens(tmp_path, "a a a a a") == 5


@needs_qwen
def test_the_longest_snippet_leaves_room_for_a_task_in_the_window():
    style, room = prompts.style("fenced", load_systems()), SNIPPET_TOKENS + PARAMETERS["INSTRUCTION_TOKENS"]
    for ask in (style.concepts, style.inspired):
        pool = load_exemplars(PARAMETERS["EXEMPLARS"])
        longest = sorted(pool, key=lambda exemplar: count_tokens(QWEN, ask((exemplar,), "")))[-8:]
        assert count_tokens(QWEN, ask(tuple(longest), "")) + room <= CONTEXT_TOKENS


def test_all_recorded_seeds_fit_even_by_the_bound():
    assert max(tokens_at_most(seed["code"]) for seed in used_seeds()) <= SNIPPET_TOKENS
