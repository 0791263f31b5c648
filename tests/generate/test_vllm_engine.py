"""In-process vLLM with a real model: what is exact, what the prefix cache saves, unknown arguments."""

import pytest
from lookalike import like_codeqwen

from lib.core.tokenizer import PIECES, open_tokenizer, tokenizer_folder
from lib.generate.window import too_long

pytestmark = pytest.mark.engine


def test_greedy_completions_do_not_depend_on_the_batch(in_process):
    assert all(one == other for one, other in in_process["greedy"])


def test_sampled_completions_do_not_depend_on_the_batch(in_process):
    assert all(one == other for one, other in in_process["sampled"])
    assert [one for one, _ in in_process["sampled"]] != [one for one, _ in in_process["greedy"]]


def test_a_decks_prefix_comes_from_the_cache(in_process):
    assert in_process["sampled cached"] > 0.7 * in_process["sampled prompt"]


def test_completions_say_how_they_ended(in_process):
    for name in ("greedy", "sampled"):
        for reason, tokens in zip(in_process[f"{name} reasons"], in_process[f"{name} tokens"], strict=True):
            assert 1 <= tokens <= 24 and (reason == "length" or tokens < 24) and reason in ("stop", "length")


def test_an_abandoned_call_does_not_affect_the_next(in_process):
    assert in_process["after"] == [0, 1, 2] and not in_process["unfinished"]


def test_an_unknown_argument_is_one_line(in_process):
    assert "flux_capacitor" in in_process["unknown"] and "ENGINE_OPTIONS" in in_process["unknown"]


def test_a_prompt_that_fills_the_window_is_left_out_alone(in_process):
    assert [made == too_long() for made in in_process["words"]] == [True, False, True, True]
    assert [made["prompt_tokens"] for made in in_process["words"]] == [0, 10, 0, 0]
    assert in_process["only too long"] == [too_long()]


def test_top_p_draws_from_the_likeliest_tokens_alone(in_process):
    """Where one is left, seeds do not matter; it need not be the greedy one: in bf16 several can be equally likely."""
    same = {name: sum(one == other for one, other in in_process[name]) for name in ("narrow", "wide")}
    assert same["narrow"] >= 10 and same["wide"] <= 6  # of 12


@pytest.mark.parametrize("bos", [True, False])
def test_vllm_loads_a_corrected_tokenizer_as_transformers_does(tmp_path, monkeypatch, bos):
    from vllm.tokenizers import get_tokenizer

    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    folder = like_codeqwen(tmp_path / "model", add_bos_token=bos)
    wrong, right, ours = get_tokenizer(folder), get_tokenizer(tokenizer_folder(folder)), open_tokenizer(folder)
    for text in PIECES.values():
        ids = ours(text).input_ids
        assert right.encode(text) == ids and right.decode(ids[bos:]) == text
    assert " " not in wrong.decode(wrong.encode(PIECES["spaces"], add_special_tokens=False))
