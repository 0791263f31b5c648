r"""A benchmark: what it asks, how an answer is read, which programs run it, and what their verdicts mean.

To add one, write a module in `lib.evaluate.benchmarks` with a subclass of `Benchmark` and a function that loads it, and
a row in BENCHMARKS there. Three problems of our own are enough to see all of it:

    class Doubles(Benchmark):
        again = False

        def prompt(self, task):
            return f"Write a Python program that prints {self.problems[task]['question']}.\n```python\n"

        def solution(self, task, completion):
            return completion.partition("```")[0]

        def programs(self, task, solution, time_scale=1.0):
            return {"base": {"code": solution, "tests": None, "stdin": "21", "output": True}}

        def meaning(self, task, part, verdict):
            if verdict["verdict"] != "ended":
                return plain(verdict)
            right = verdict["output"].strip() == self.problems[task]["expected"]
            return Outcome("pass") if right else Outcome("fail", "another output")

What each method is for:

- `prompt`, and `raw_prompt` for a base model, say what is asked, `stop` and `raw_stop` where an answer ends. One that
  asks several times for a task, with the answers so far, overrides `next_prompts` and `joined`.
- `solution` reads the graded text out of a completion, `raw_solution` out of a base model's, `completed` out of what a
  file of samples calls a completion.
- `programs` names the programs that run a solution (`lib.sandbox.run_programs` says what a program is). Expected
  values that a solution must not be able to read stay out of them: let the program leave its output, and compare here,
  or in a program `apart` from it where comparing needs code that came with the benchmark.
- `meaning` says what one verdict means, `outcome` what all of a solution's do. More than pass and fail goes into an
  outcome's `values`, which become columns of the sample; `measures` names those that `lib.evaluate.score` averages.
- `finished` adds to graded samples what is measured after grading, `values` says what they are worth, under the names
  that the paper's tables have (all problems, a part of them, a class's methods, ...), `remarks` without which of them
  they would mislead.
- `canonical` returns the benchmark's own solution, which must pass.

`lib.evaluate.data` finds files and checks their hashes, `lib.evaluate.environments` names locked interpreters, and
`python -m lib.evaluate grade` grades anybody's samples of any benchmark.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lib.core.markdown import blocks
from lib.core.programs import parsed
from lib.core.records import Journal, Record, StudyError
from lib.sandbox import Limits

# The paper's script, evaluation/text2code_vllm.py of bigcode-project/selfcodealign: a response begins with an open
# fence and ends at the next fence on its own line.
RESPONSE_PREFIX = "```python"
STOP = ("\n```\n",)
# StarCoder2-Instruct's, evaluation/text2code.py: it ends at the next fence that begins a line.
STARCODER2_STOP = ("\n```",)
# The paper's script for base models: they continue the benchmark's own prompt up to the next top-level statement.
RAW_STOP = ("\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ", "\n# ")


class Outcome(NamedTuple):
    """What verdicts mean for a solution: `status` (pass, fail, timeout or error) and, in one line, why.

    `number` is that of the failing input; `broken` when it means nothing for the solution, because the benchmark's own
    reference failed; `part` the program that decided; `values` are further columns of the sample.
    """

    status: str
    detail: str = ""
    number: int | None = None
    broken: bool = False
    part: str = ""
    values: Mapping[str, Any] = {}


def plain(seen: Record) -> Outcome:
    """Return the outcome of a verdict of `lib.sandbox`: out of memory is an error, an early exit is a failure."""
    named = {"pass": "pass", "timeout": "timeout", "error": "error", "oom": "error"}
    return Outcome(named.get(seen["verdict"], "fail"), seen["detail"])


class Benchmark:
    """Problems by task id, in the file's order, and how they are asked and graded.

    limits     of a program that does not have its own
    again      whether the sandbox repeats a pass, also with other expected values (the control)
    stop       strings at which an answer ends; `raw_stop` a base model's
    measures   numeric columns of a sample that are averaged: over a task's samples, then over tasks
    quotable   whether the licence lets statements, answers and messages of its tests be published
    elsewhere  tasks that only another version has: samples of them are excluded
    anything   tasks whose rule accepts any answer, so that a wrong one passes
    faults     tasks that the benchmark's own harness gets wrong, and how: there they never pass
    protocols  how it can be asked (PROTOCOL of notebook 05), and `raw_prompts` what a base model can be given
    """

    limits = Limits()
    again = True
    stop: tuple[str, ...] = STOP
    raw_stop: tuple[str, ...] = RAW_STOP
    measures: tuple[str, ...] = ()
    quotable = True
    elsewhere: frozenset[str] = frozenset()
    anything: frozenset[str] = frozenset()
    faults: Mapping[str, str] = {}
    protocols: tuple[str, ...] = ("paper",)
    raw_prompts: tuple[str, ...] = ("unstripped",)

    def __init__(
        self, name: str, problems: Mapping[str, Record], version: str = "1", sha256: str = "", md5: str = ""
    ) -> None:
        """`version`, `sha256` and `md5` are of the file of problems; "" where there is none."""
        self.name, self.problems, self.version, self.sha256, self.md5 = name, problems, version, sha256, md5
        self.choose_protocol("paper")

    def choose_protocol(self, protocol: str) -> None:
        """Set how it is asked, one of `protocols`."""
        self.protocol = protocol

    # ---- asking

    def prompt(self, task: str) -> str:
        """Return what an instruction-tuned model is asked."""
        raise NotImplementedError

    def raw_prompt(self, task: str, form: str) -> str:
        """Return what a base model is asked to continue; `form` is one of `raw_prompts`."""
        return self.prompt(task)

    def next_prompts(self, task: str, answers: Sequence[str], raw: str = "") -> list[str]:
        """Return the prompts that follow once there are these answers, in order; none when all has been asked.

        `raw` is the form of the raw prompt, "" for `prompt`.
        """
        if answers:
            return []
        return [self.raw_prompt(task, raw) if raw else self.prompt(task)]

    def joined(self, task: str, answers: Sequence[str]) -> str:
        """Return one completion for the answers to all prompts of a task."""
        return answers[-1]

    # ---- reading

    def solution(self, task: str, completion: str) -> str:
        """Return the text that is graded, usually Python source, in a completion of `prompt`."""
        raise NotImplementedError

    def raw_solution(self, task: str, completion: str) -> str:
        """Return the text that is graded in a completion of `raw_prompt`."""
        return self.solution(task, completion)

    def completed(self, task: str, completion: str) -> str:
        """Return the text that is graded of a `completion` in a file of samples."""
        return self.solution(task, completion)

    def canonical(self, task: str) -> str:
        """Return the benchmark's own solution of a task, which must pass."""
        raise StudyError(f"{self.name} has no solution of its own for {task}: leave this check out")

    # ---- grading

    def programs(self, task: str, solution: str, time_scale: float = 1.0) -> dict[str, Record]:
        """Return the programs of a solution by name: fields as `lib.sandbox.run_programs` says, without id.

        Each has `time` multiplied by `time_scale`, or none for that of `limits`.
        """
        raise NotImplementedError

    def repeated(self, task: str, solution: str, part: str, time_scale: float, seen: Record) -> Record:
        """Return the program that runs once more, alone and with more time, after a timeout (`seen`, its verdict)."""
        return self.programs(task, solution, time_scale)[part]

    def meaning(self, task: str, part: str, verdict: Record) -> Outcome:
        """Return what the sandbox's verdict on one program means."""
        return plain(verdict)

    def outcome(self, task: str, verdicts: Mapping[str, Record]) -> Outcome:
        """Return what the verdicts on all programs mean: pass when all do, else the first other one.

        The status of each is a column of the sample.
        """
        found = {part: self.meaning(task, part, verdict) for part, verdict in verdicts.items()}
        decided = next((part for part, one in found.items() if one.status != "pass"), [*found][-1])
        broken, statuses = any(one.broken for one in found.values()), {part: one.status for part, one in found.items()}
        return found[decided]._replace(part=decided, broken=broken, values={**statuses, **found[decided].values})

    # ---- scoring

    def finished(self, samples: Sequence[Record], journal: Journal | None = None) -> list[Record]:
        """Return graded samples with what is measured only once they are graded; with a journal, it is continued."""
        return list(samples)

    def values(self, samples: Sequence[Record]) -> dict[str, dict[str, float]]:
        """Return {name: {task: value}}: what is averaged over tasks, under the names that data/claims.yaml has for it.

        Values are fractions; a name has the tasks that it is about, of those that have samples.
        """
        return {self.name: shares(samples)}

    def remarks(self, samples: Sequence[Record]) -> list[str]:
        """Return sentences without which the scores of these samples would mislead: how costs were measured, say."""
        return []

    # ---- choosing

    def choose(self, n: int, seed: int) -> list[str]:
        """Return the first n task ids of a seeded shuffle, all where there are fewer; StudyError for none."""
        if n < 1:
            raise StudyError(f"N_PROBLEMS={n}: score 1 or more of {self.name}'s {len(self.problems)} problems; 0: all")
        tasks = sorted(self.problems)
        random.Random(seed).shuffle(tasks)
        return tasks[:n]


def shares(samples: Sequence[Record]) -> dict[str, float]:
    """Return the share of right samples of each task."""
    return means(samples, "passed")


def means(samples: Sequence[Record], column: str) -> dict[str, float]:
    """Return the mean of a column over each task's samples that have a value in it, for tasks with such a sample."""
    found: dict[str, list[float]] = {}
    for sample in samples:
        if sample.get(column) is not None:
            found.setdefault(sample["task_id"], []).append(sample[column])
    return {task: sum(values) / len(values) for task, values in found.items()}


def last_block(completion: str) -> str:
    """Return the text from the last opening fence up to the next fence, as the paper's script does.

    Where that is no Python because the fence stands in a string, the block ends at a later one.
    """
    code = completion.split(RESPONSE_PREFIX)[-1].split("```")[0].strip("\n")
    if parsed(code) is None and (found := blocks(f"{RESPONSE_PREFIX}\n{completion.lstrip(chr(10))}\n```")):
        later = found[-1].code.strip("\n")
        return later if parsed(later) is not None else code
    return code
