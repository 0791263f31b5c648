"""HumanEval+ (Liu et al. 2023, EvalPlus): HumanEval's tasks with many more inputs, checked against a reference."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from lib.evaluate import Benchmark, humaneval, read_pinned
from lib.records import Record
from lib.sandbox import Limits

# sha256 of the uncompressed file. The paper scored v0.1.9; evalplus 0.3.1 has v0.1.10.
PINS = {
    "42526ec0e7d5f3ee0b06d6ced98f8c8bae3d76519151bfb3d36f79010645bd7f": "v0.1.10",
    "50d50fda1ecf4c9168d762456ae29c1d8b8b922e68c66964f7891c98d93a04b7": "v0.1.9",
}
HOW_TO_GET = (
    "HumanEval+ is not scored: its data is neither here nor downloadable. Put HumanEvalPlus-v0.1.10.jsonl.gz (from "
    'the releases of evalplus/humanevalplus_release on GitHub) anywhere and set HUMANEVAL_PLUS = "<its path>".'
)
DOWNLOAD_SECONDS = 20
# Run inside the sandbox after the solution has loaded, so every name is private. The oracle follows evalplus 0.3.1:
# equal, or of one type and close (rtol 1e-7; the task's atol, 1e-6 once an expected value is a float). HumanEval/32
# (find_zero) accepts any root; evalplus 0.3.1 never counts that task as passed, which its later versions mend as here.
CHECK = """
import copy as _copy, json as _json, math as _math
_task = _json.loads({task!r})
_reference = {{}}
exec(_task["reference"], _reference)

def _floats(value):
    several = isinstance(value, (list, tuple)) and len(value) > 0
    return all(isinstance(v, float) for v in value) if several else isinstance(value, float)

def _close(got, wanted, atol):
    if isinstance(wanted, (list, tuple)):
        return len(got) == len(wanted) and all(_close(g, w, atol) for g, w in zip(got, wanted))
    if not (isinstance(got, (int, float)) and isinstance(wanted, (int, float))):
        return got == wanted
    return got == wanted or _math.isfinite(wanted) and abs(got - wanted) <= atol + 1e-7 * abs(wanted)

def _told(given, got, wanted):
    return f"{{str(given)[:200]}} -> {{str(got)[:100]}}, not {{str(wanted)[:100]}}"

def check(candidate):
    atol = _task["atol"]
    for given in _task["inputs"]:
        wanted = _reference[_task["entry"]](*_copy.deepcopy(given))
        if not atol and _floats(wanted):
            atol = 1e-6
        if _task["entry"] == "find_zero":
            root = candidate(*_copy.deepcopy(given))
            assert abs(sum(c * root**i for i, c in enumerate(given[0]))) <= atol, _told(given, root, "a root")
            continue
        got = candidate(*given)
        agrees = got == wanted or bool(atol) and type(got) is type(wanted) and _close(got, wanted, atol)
        assert agrees, _told(given, got, wanted)
"""


def load(source: str = "auto") -> Benchmark | None:
    """Return HumanEval+, or None when `source` is "off", or is "auto" and the data cannot be had.

    "auto" looks at HUMANEVAL_OVERRIDE_PATH, then at what EvalPlus keeps, then lets EvalPlus download it; anything else
    is the path of the file. StudyError when a file is missing, damaged or no known version.
    """
    path = {"off": lambda: None, "auto": find}.get(source, lambda: Path(source).expanduser())()
    if path is None:
        return None
    facts, problems = read_pinned(path, PINS)
    limits = Limits(cpu_seconds=20.0, output_kb=1024)
    return replace(humaneval.load(), name="HumanEval+", **facts, problems=problems, program=program, limits=limits)


def find() -> Path | None:
    """Return the file EvalPlus itself would use, after letting it download at most 20 s; None without one."""
    if override := os.environ.get("HUMANEVAL_OVERRIDE_PATH"):
        return Path(override)
    # In a process of its own: evalplus downloads without a time limit, so an offline machine could hang.
    ask = "from evalplus.data.humaneval import _ready_human_eval_plus_path as ready; print('\\n' + ready())"
    try:
        done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return Path(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def program(problem: Record, solution: str) -> Record:
    """Return the program the sandbox runs: the solution, then all base and plus inputs against the reference."""
    task = {
        "reference": problem["prompt"] + problem["canonical_solution"],
        "entry": problem["entry_point"],
        "inputs": problem["base_input"] + problem["plus_input"],
        "atol": problem["atol"],
    }
    tests = CHECK.format(task=json.dumps(task))
    return {"id": problem["task_id"], "code": solution, "tests": tests, "entry": problem["entry_point"]}
