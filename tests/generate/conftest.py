"""One in-process vLLM engine for all tests: what it completes is what servers and clusters are compared with."""

import json
import subprocess
import sys

import pytest
from asked import DTYPE, NAME, SERVED, SPREAD

from lib.core.paths import ROOT

# In a process of its own, because vLLM does not free everything.
PROGRAM = """
import json
import sys
from lib.synthesize.exemplars import Decks, load_exemplars, load_systems
from lib.synthesize import prompts
from lib.generate import Request
from lib.generate.vllm_engine import Vllm
from lib.core.models import resolve
from lib.core.records import StudyError

model = resolve(sys.argv[1])
style = prompts.style("fenced", load_systems())
exemplars = load_exemplars("terse")
deck = Decks(exemplars, 8, 1, seed=1).drawn[0]
queries = [style.concepts(deck, exemplar.snippet[10:-4]) for exemplar in exemplars[:12]]
found = {}
with_unknown = Vllm(model, 8, flux_capacitor=1)
try:
    with_unknown.load()
except StudyError as error:
    found["unknown"] = str(error)
engine = Vllm(model, 16, dtype=sys.argv[2])
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
for name, top_p in (("narrow", 1e-6), ("wide", 1.0)):  # with other seeds each time
    drawn = []
    for first in (0, 100):
        asked = [Request(query, 0.7, 24, (), seed=first + n, top_p=top_p) for n, query in enumerate(queries)]
        drawn.append([made["text"] for _, made in sorted(engine.generate(asked))])
    found[name] = list(zip(*drawn))
requests = [Request(query, 0.0, 12 + n, ("## Example",)) for n, query in enumerate(queries)]
for _, completion in engine.generate(requests):
    break  # as when a completion cannot be stored: the others are in flight
found["after"] = sorted(place for place, _ in engine.generate(requests[:3]))
found["unfinished"] = engine._llm.llm_engine.has_unfinished_requests()
several = [Request(" word" * size, 0.0, 4, ()) for size in (5000, 10, 4096, 40_000)]
found["words"] = [made for _, made in sorted(engine.generate(several))]
found["only too long"] = [made for _, made in engine.generate(several[:1])]
for name, rows in json.load(sys.stdin).items():
    asked = [Request(**{**row, "stop": tuple(row["stop"])}) for row in rows]
    done = dict(engine.generate(asked))
    found[name] = [done[place] for place in range(len(asked))]
print("FOUND" + json.dumps(found))
"""


@pytest.fixture(scope="session")
def in_process():
    """What one engine completed: see PROGRAM; "served" and "spread" are the completions of these requests."""
    asked = {"served": SERVED, "spread": SPREAD}
    rows = json.dumps({name: [vars(request) for request in requests] for name, requests in asked.items()})
    command = [sys.executable, "-c", PROGRAM, NAME, DTYPE]
    done = subprocess.run(command, cwd=ROOT, input=rows, capture_output=True, text=True, timeout=540)
    assert "FOUND" in done.stdout, done.stdout + done.stderr
    return json.loads(done.stdout.split("FOUND", 1)[1])
