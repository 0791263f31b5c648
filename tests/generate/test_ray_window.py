"""A prompt that is too long for the window, asked of a worker on Ray, whose pipeline must go on."""

import json
import subprocess
import sys

import pytest

from lib.core.paths import ROOT
from lib.generate.window import too_long

pytestmark = pytest.mark.engine

PROGRAM = """
import json, os
os.environ["VLLM_CPU_KVCACHE_SPACE"] = "1"
from lib.core.records import StudyError
from lib.generate import Request, open_engine

engine = open_engine("ray", "smollm2-135m-instruct", 2, {"max_model_len": 512})
engine.load()
several = [Request(" word" * size, 0.0, 4, ()) for size in (600, 10, 512, 511, 9000, 20)]
found = [[made for _, made in sorted(engine.generate(several))] for _ in range(2)]
try:
    list(engine.generate([several[1], Request("a", -1.0, 4, ())]))
except StudyError as error:
    found.append(str(error))
engine.close()
print("FOUND" + json.dumps(found))
"""


def test_a_prompt_that_fills_the_window_is_left_out_alone():
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=540)
    assert "FOUND" in done.stdout, done.stdout + done.stderr
    once, again, refused = json.loads(done.stdout.split("FOUND", 1)[1])
    assert [made == too_long() for made in once] == [True, False, True, False, True, False]
    assert [made["prompt_tokens"] for made in once] == [0, 10, 0, 511, 0, 20] and again == once
    assert refused.startswith("vLLM refuses a request (") and "temperature" in refused and "\n" not in refused
