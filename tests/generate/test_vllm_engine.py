"""In-process vLLM with a real model: what is exact, what the prefix cache saves, unknown arguments."""

import json
import subprocess
import sys

import pytest

from lib.core.paths import ROOT

# In a process of its own, because vLLM does not free everything.
PROGRAM = """
import json
from lib.synthesize.exemplars import Decks, load_exemplars, load_systems
from lib.synthesize import prompts
from lib.generate import Request
from lib.generate.vllm_engine import Vllm
from lib.core.models import resolve
from lib.core.records import StudyError

model = resolve("qwen2.5-coder-0.5b-instruct")
style = prompts.style("paper", load_systems())
deck = Decks(load_exemplars(), 8, 1, seed=1).drawn[0]
queries = [style.concepts(deck, exemplar.snippet[10:-4]) for exemplar in load_exemplars()[:12]]
found = {}
with_unknown = Vllm(model, 8, flux_capacitor=1)
try:
    with_unknown.load()
except StudyError as error:
    found["unknown"] = str(error)
engine = Vllm(model, 16)
engine.load()
for name, temperature in (("greedy", 0.0), ("sampled", 0.7)):
    requests = [Request(query, temperature, 24, ("## Example",), seed=n) for n, query in enumerate(queries)]
    at_once = dict(engine.generate(iter(requests)))
    apart = {}
    for start in (0, 3, 6, 9):
        apart |= {start + place: made for place, made in engine.generate(requests[start : start + 3])}
    found[name] = [[at_once[n]["text"], apart[n]["text"]] for n in range(12)]
    found[name + " cached"] = sum(made["cached_tokens"] for made in apart.values())
    found[name + " prompt"] = sum(made["prompt_tokens"] for made in apart.values())
    found[name + " reasons"] = [made["finish_reason"] for made in at_once.values()]
    found[name + " tokens"] = [made["tokens"] for made in at_once.values()]
requests = [Request(query, 0.0, 12 + n, ("## Example",)) for n, query in enumerate(queries)]
for _, completion in engine.generate(requests):
    break  # as when a completion cannot be stored: the others are in flight
found["after"] = sorted(place for place, _ in engine.generate(requests[:3]))
found["unfinished"] = engine._llm.llm_engine.has_unfinished_requests()
print("FOUND" + json.dumps(found))
"""


@pytest.fixture(scope="module")
def found():
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=540)
    assert "FOUND" in done.stdout, done.stdout + done.stderr
    return json.loads(done.stdout.split("FOUND", 1)[1])


def test_greedy_completions_do_not_depend_on_the_batch(found):
    assert sum(one == other for one, other in found["greedy"]) >= 11  # of 12; 12 seen


def test_most_sampled_completions_do_not_depend_on_the_batch(found):
    assert sum(one == other for one, other in found["sampled"]) >= 9
    assert [one for one, _ in found["sampled"]] != [one for one, _ in found["greedy"]]


def test_a_decks_prefix_comes_from_the_cache(found):
    assert found["sampled cached"] > 0.7 * found["sampled prompt"]


def test_completions_say_how_they_ended(found):
    for name in ("greedy", "sampled"):
        for reason, tokens in zip(found[f"{name} reasons"], found[f"{name} tokens"], strict=True):
            assert 1 <= tokens <= 24 and (reason == "length" or tokens < 24) and reason in ("stop", "length")


def test_an_abandoned_call_does_not_affect_the_next(found):
    assert found["after"] == [0, 1, 2] and not found["unfinished"]


def test_an_unknown_argument_is_one_line(found):
    assert "flux_capacitor" in found["unknown"] and "ENGINE_OPTIONS" in found["unknown"]
