"""The cache is the checkpoint: a stored completion is never generated again, even if the engine dies."""

import json
import tracemalloc

import pytest

from lib.core.records import Journal, Lazy, StudyError
from lib.generate import Request, complete, cost, fits, open_cache, open_engine
from lib.generate.protocol import unfinished
from lib.generate.vllm_engine import sampling
from lib.generate.window import says_too_long, too_long


class Echo:
    """Answers requests with their prompts, in reverse order, and records them; dies on demand."""

    revision, version = "r1", "echo"

    def __init__(self, dies_after=None):
        self.asked, self.dies_after, self.loads = [], dies_after, 0

    def load(self):
        self.loads += 1

    def generate(self, requests):
        assert self.loads, "used before it was loaded"
        requests = list(requests)
        for count, place in enumerate(reversed(range(len(requests)))):
            if count == self.dies_after:
                raise KeyboardInterrupt
            self.asked.append(requests[place].prompt)
            facts = {"finish_reason": "stop", "prompt_tokens": 1, "cached_tokens": 0, "tokens": 1}
            yield place, {"text": requests[place].prompt, **facts}

    def count_tokens(self, text):
        return len(text)

    def close(self):
        pass


REQUESTS = [Request(f"prompt {n}", 0.7, 10, ("stop",), seed=n) for n in range(6)]


def test_completions_come_back_in_request_order(tmp_path):
    with Journal(tmp_path / "cache.jsonl") as cache:
        records = complete(Echo(), REQUESTS, cache, "test")
        assert [record["text"] for record in records] == [request.prompt for request in REQUESTS]


@pytest.mark.parametrize("on_cpu", [True, False])
def test_a_busy_machine_is_named_where_the_engine_has_its_cores(tmp_path, monkeypatch, capsys, on_cpu):
    monkeypatch.setattr("lib.core.progress.Progress.update", lambda self, done, note: self.close(note()))
    monkeypatch.setattr("lib.core.load.Others.cores", lambda self: 1.0)
    engine = Echo()
    engine.on_cpu = on_cpu
    with Journal(tmp_path / "cache.jsonl") as cache:
        complete(engine, REQUESTS, cache, "test")
    assert ("other programs keep 1.0 of" in capsys.readouterr().out) is on_cpu


def test_an_interrupted_batch_is_completed_without_repeating_requests(tmp_path):
    first, second = Echo(dies_after=4), Echo()
    with Journal(tmp_path / "cache.jsonl") as cache, pytest.raises(KeyboardInterrupt):
        complete(first, REQUESTS, cache, "test")
    with Journal(tmp_path / "cache.jsonl") as cache:
        complete(second, REQUESTS, cache, "test")
        unneeded = Echo()
        complete(unneeded, REQUESTS, cache, "test")  # all is stored: neither loaded nor used
    assert (second.loads, unneeded.loads, unneeded.asked) == (1, 0, [])
    assert sorted(first.asked + second.asked) == sorted(request.prompt for request in REQUESTS)


def test_requests_in_flight_end_when_a_completion_cannot_be_stored(tmp_path):
    ended = []

    class Streaming(Forgetful):
        def generate(self, requests):
            try:
                yield from super().generate(requests)
            finally:
                ended.append(True)

    with Journal(tmp_path / "cache.jsonl") as cache:
        cache.add = lambda record: 1 / 0
        with pytest.raises(ZeroDivisionError):
            complete(Streaming(), REQUESTS, cache, "test")
        assert ended == [True]


def test_an_id_depends_on_all_that_determines_a_completion():
    base = dict(prompt="p", temperature=0.7, max_tokens=10, stop=("s",), seed=1, sample=0)
    ids = {Request(**base).id("r1"), Request(**base).id("r2")}
    changes = {"prompt": "q", "temperature": 0.8, "max_tokens": 11, "stop": ("t",), "seed": 2, "sample": 1}
    ids |= {Request(**{**base, key: value}).id("r1") for key, value in changes.items()}
    assert len(ids) == 8
    ids |= {Request(**base, top_p=top_p).id("r1") for top_p in (0.95, 0.9)}
    assert len(ids) == 10


@pytest.mark.parametrize("top_p", [{}, {"top_p": 1.0}, {"top_p": 1}])
def test_completions_that_were_recorded_before_requests_had_a_top_p_still_count(top_p):
    request = Request("def f(x):\n", 0.7, 512, ("\n## Example", "é"), seed=7, sample=2, **top_p)
    assert request.id("r1") == "7f22718ede5499f4"  # as computed at commit 631d78c
    assert Request("p", 0.0, 1, (), **top_p).id("r1") == "9ee2e1b3c0f551ce"
    assert "top_p" not in sampling(request)


def test_vllm_is_told_a_top_p():
    assert sampling(Request("p", 0.2, 5, (), top_p=0.95))["top_p"] == 0.95


def test_unknown_engines_and_missing_recordings_are_named(tmp_path):
    with pytest.raises(StudyError, match="choose one of vllm, server, transformers, ray, replay"):
        open_engine("magic", "m", 8)
    with pytest.raises(StudyError, match="no recorded run"):
        open_engine("replay", "m", 8, reference=tmp_path)
    with pytest.raises(StudyError, match=r"ENGINE_OPTIONS=\{'speed': 9\}.*speed.*Server"):
        open_engine("server", "m", 8, {"speed": 9})
    with pytest.raises(StudyError, match=r"ENGINE_OPTIONS=.*Transformers"):  # before the model is resolved
        open_engine("transformers", "no such model", 8, {"speed": 9})
    open_cache(tmp_path / "cache.jsonl", "replay", tmp_path).close()


def test_a_replay_finds_too_long_what_the_recorded_run_found_too_long(tmp_path):
    recorded = tmp_path / "recorded"
    recorded.mkdir()
    models = {"model": {"name": "m", "revision": "r1"}, "teacher": {"name": "t", "revision": "r2"}}
    (recorded / "manifest.json").write_text(json.dumps({"metrics": models}))
    assert open_engine("replay", "t", 8, reference=recorded).revision == "r2"
    with pytest.raises(StudyError, match=r"is of m and t, not other: name that as MODEL \(JUDGE in notebook 01\), or"):
        open_engine("replay", "other", 8, reference=recorded)
    replay = open_engine("replay", "m", 8, reference=recorded)
    texts = ["a" * length for length in (6, 5)]
    with Journal(recorded / "completions.jsonl") as cache:
        for engine in (Echo(), Echo(), replay):
            assert [fits(engine, cache, text, 5) for text in texts] == [False, True]
        assert len(cache) == 1
    with open_cache(tmp_path / "cache.jsonl", "replay", recorded) as cache:
        assert [fits(replay, cache, text, 5) for text in texts] == [False, True]


class Forgetful(Echo):
    """Answers at once, in order, and records nothing."""

    def generate(self, requests):
        for place, request in enumerate(requests):
            facts = {"finish_reason": "stop", "prompt_tokens": 1, "cached_tokens": 0, "tokens": 1}
            yield place, {"text": request.prompt[:2000], **facts}


def test_many_requests_take_little_memory(tmp_path):
    count, size = 3000, 20_000
    requests = Lazy(range(count), lambda n: Request(f"{n:{size}}", 0.7, 10, ("stop",), seed=n))
    tracemalloc.start()
    with Journal(tmp_path / "cache.jsonl") as cache:
        records = complete(Forgetful(), requests, cache, "test")
        assert sum(len(record["text"]) for record in records) == 2000 * count
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 600 * count + 40 * size  # ids, and requests in flight; all prompts would take 60 MB


def test_a_steps_cost_adds_up():
    one = {"prompt_tokens": 100, "cached_tokens": 60, "tokens": 7, "finish_reason": "length"}
    other = {"prompt_tokens": 50, "cached_tokens": 0, "tokens": 3, "finish_reason": "stop"}
    assert cost([one, other]) == {
        "completions": 2, "prompt tokens": 150, "of these cached": 60, "computed": 90, "completion tokens": 10,
        "cut off at the limit": 1,
    }  # fmt: skip


class Narrow(Echo):
    """Finds prompts that hold "long" too long for its window."""

    def generate(self, requests):
        for place, completion in super().generate(requests):
            yield place, too_long() if "long" in completion["text"] else completion


def test_a_request_that_is_too_long_is_marked_said_and_counted(tmp_path, capsys):
    requests = [*REQUESTS[:2], Request("a long prompt", 0.7, 10, ("stop",))]
    with Journal(tmp_path / "cache.jsonl") as cache:
        made = complete(Narrow(), requests, cache, "test")
        assert [unfinished(completion) for completion in made] == [None, None, "too long for the model's window"]
        assert (made[2]["text"], made[2]["tokens"]) == ("", 0)
        assert cost(made)["too long for the window"] == 1 and cost(made)["completions"] == 3
    assert "▸ test: 1 requests are too long for the model's window" in capsys.readouterr().out
    with Journal(tmp_path / "cache.jsonl") as cache:
        unneeded = Narrow()
        assert [completion["text"] for completion in complete(unneeded, requests, cache, "test")][2] == ""
        assert unneeded.loads == 0  # it is stored, so that a run that goes on or replays makes the same requests


def test_a_later_step_whose_requests_are_all_too_long_goes_on(tmp_path):
    with Journal(tmp_path / "cache.jsonl") as cache:
        complete(Narrow(), REQUESTS, cache, "test")
        (made,) = complete(Narrow(), [Request("a long prompt", 0.7, 10, ())], cache, "test")
        assert made["finish_reason"] == "too long"


def test_a_window_that_holds_no_request_ends_the_run_and_a_longer_one_answers_all(tmp_path):
    requests = [Request(f"long {number}", 0.7, 10, ()) for number in range(3)]
    with Journal(tmp_path / "cache.jsonl") as cache:
        fits(Echo(), cache, "a text", 5)
        for _ in range(2):
            with pytest.raises(StudyError, match="test: all 3 requests are too long .*; lengthen it"):
                complete(Narrow(), requests, cache, "test")
        assert [made["text"] for made in complete(Echo(), requests, cache, "test")] == ["long 0", "long 1", "long 2"]


SAID = [  # by OpenAI, vLLM, llama.cpp, SGLang, text-generation-inference, TensorRT-LLM and services
    "This model's maximum context length is 4097 tokens, however you requested 4226 tokens",
    "context_length_exceeded invalid_request_error Please reduce your prompt.",
    "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
    "The decoder prompt (length 4096) plus the number of requested output tokens (at least 1) is longer than the "
    "maximum model length of 4096.",
    "400 exceed_context_size_error 400 request (4390 tokens) exceeds the available context size (4096 tokens)",
    "Requested token count exceeds the model's maximum context length of 4096 tokens.",
    "The input (61709 tokens) is longer than the model's context length (40960 tokens).",
    "Input length (160062 tokens) exceeds the maximum allowed length (59862 tokens).",
    "Input validation error: `inputs` must have less than 2048 tokens. Given: 2222",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens and 512",
    "Prompt length (5000) exceeds maximum input length (4096). Set truncate_prompt_tokens",
    "Requested tokens (2285) exceed context window of 2048",
    "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "prompt is too long: 215000 tokens > 200000 maximum",
    "Invalid 'prompt': string too long. Expected a string with maximum length 10485760",
    "Your request exceeded model token limit: 8192",
    "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)",
]
NOT_SAID = [
    "Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length 6 instead.",
    "Input validation error: `stop` supports up to 4 stop sequences. Given: 6",
    "max_tokens=5000 cannot be greater than max_model_len=4096. Please request fewer output tokens.",
    "max_tokens must be at least 1, got -3.",
    "max_tokens is too large: 5000. This model supports at most 4096 completion tokens",
    "Input validation error: `max_new_tokens` must be <= 192. Given: 512",
    "The model `m` does not exist.",
    "Input validation error: `temperature` must be strictly positive",
    "no such thing",
]


def test_what_engines_say_of_a_window_is_known():
    assert [says_too_long(message) for message in SAID] == [True] * len(SAID)
    assert [says_too_long(message) for message in NOT_SAID] == [False] * len(NOT_SAID)
