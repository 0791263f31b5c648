"""A benchmark: its problems, how one becomes an instruction and programs, and what a verdict means for a solution."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lib.core.markdown import blocks
from lib.core.programs import parsed
from lib.core.records import Record, StudyError
from lib.generate.protocol import stopped
from lib.sandbox import Limits
from lib.train.template import render_prompt

# The paper's script, evaluation/text2code_vllm.py of bigcode-project/selfcodealign: a response begins with an open
# fence and ends at the next fence on its own line.
RESPONSE_PREFIX = "```python"
STOP = ("\n```\n",)
# StarCoder2-Instruct's, evaluation/text2code.py: it ends at the next fence that begins a line.
STARCODER2_STOP = ("\n```",)
# The paper's script for base models: they continue the benchmark's own prompt up to the next top-level statement.
RAW_STOP = ("\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ", "\n# ")


class Outcome(NamedTuple):
    """What a program's verdict means for a solution: pass, fail, timeout or error; why; the failing input's number.

    `broken` when it means nothing for it, because the benchmark's own reference failed.
    """

    status: str
    detail: str
    number: int | None = None
    broken: bool = False


def fence(_: Record) -> str:
    """Return how an answer to any problem begins in the paper's script: with an open fence."""
    return RESPONSE_PREFIX


def unchanged(problem: Record) -> str:
    """Return a problem's prompt as its file has it."""
    return problem["prompt"]


def plain(seen: Record) -> Outcome:
    """Return the outcome of a verdict of `lib.sandbox`: out of memory is an error, an early exit is a failure."""
    named = {"pass": "pass", "timeout": "timeout", "error": "error", "oom": "error"}
    return Outcome(named.get(seen["verdict"], "fail"), seen["detail"])


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's problems, and how one of them becomes an instruction and programs.

    problems     by task id, in the file's order; each has task_id and prompt
    instruction  problem -> the instruction that the template is filled with
    solution     (problem, completion of the template) -> the Python source that is graded
    program      (problem, solution, part, time_scale) -> what the sandbox runs: code, tests, perhaps entry, and time
                 where it is not that of `limits`; times are multiplied by `time_scale`
    parts        a solution passes when its programs of all parts do
    outcome      the sandbox's verdict on a program -> what it means for the solution
    inputs       (problem, part) -> the inputs to which an outcome's number refers
    again        whether the sandbox repeats a pass, also with other expected values (the control)
    elsewhere    tasks that only another version has: samples of them are excluded
    anything     tasks whose rule accepts any answer, so that a wrong one passes
    between      the text between a task's prompt and its canonical solution
    faults       tasks that the benchmark's own harness gets wrong, and how: there they never pass
    opening      problem -> what the answer in the template begins with, for the model to continue
    stop         strings at which such an answer ends
    raw_prompt   problem -> the prompt that a base model continues
    """

    name: str
    version: str
    sha256: str
    md5: str
    problems: Mapping[str, Record]
    instruction: Callable[[Record], str]
    solution: Callable[[Record, str], str]
    program: Callable[[Record, str, str, float], Record]
    limits: Limits
    parts: tuple[str, ...] = ("base",)
    outcome: Callable[[Record], Outcome] = plain
    inputs: Callable[[Record, str], Sequence[Any]] = lambda problem, part: ()
    again: bool = True
    elsewhere: frozenset[str] = frozenset()
    anything: frozenset[str] = frozenset()
    between: str = ""
    faults: Mapping[str, str] = field(default_factory=dict)
    opening: Callable[[Record], str] = fence
    stop: tuple[str, ...] = STOP
    raw_prompt: Callable[[Record], str] = unchanged

    def prompt(self, task: str, raw: bool = False) -> str:
        """Return the prompt for a task: the study's template, then how the answer begins.

        With `raw`, for base models, the benchmark's own prompt, to be continued.
        """
        problem = self.problems[task]
        if raw:
            return self.raw_prompt(problem)
        return render_prompt(self.instruction(problem)) + self.opening(problem)

    def solve(self, task: str, completion: str, raw: bool = False) -> str:
        """Return the Python source in a completion of `prompt(task, raw)`.

        What continues a raw prompt is put under the file's prompt, whichever of the raw prompts it was asked with, as
        EvalPlus does.
        """
        if not raw:
            return self.solution(self.problems[task], completion)
        kept = stopped(completion, RAW_STOP)
        return self.problems[task]["prompt"] + (completion if kept is None else kept)

    def canonical(self, task: str) -> str:
        """Return the benchmark's own solution of a task as a whole program, which must pass."""
        problem = self.problems[task]
        return problem["prompt"] + self.between + problem["canonical_solution"]

    def choose(self, n: int, seed: int) -> list[str]:
        """Return the first n task ids of a seeded shuffle; StudyError when there are fewer."""
        if not 1 <= n <= len(self.problems):
            raise StudyError(f"N_PROBLEMS={n}: {self.name} has 1 to {len(self.problems)} problems to score")
        tasks = sorted(self.problems)
        random.Random(seed).shuffle(tasks)
        return tasks[:n]


def last_block(completion: str) -> str:
    """Return the text from the last opening fence up to the next fence, as the paper's script does.

    Where that is no Python because the fence stands in a string, the block ends at a later one.
    """
    code = completion.split(RESPONSE_PREFIX)[-1].split("```")[0].strip("\n")
    if parsed(code) is None and (found := blocks(f"{RESPONSE_PREFIX}\n{completion.lstrip(chr(10))}\n```")):
        later = found[-1].code.strip("\n")
        return later if parsed(later) is not None else code
    return code
