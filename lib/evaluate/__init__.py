"""Evaluation: what a benchmark is, and the steps all of them share: ask a model, grade its solutions, score.

A benchmark is one module beside this one with a function that loads a `Benchmark`: problems, how a problem becomes an
instruction and a completion a solution, and the programs (`parts`, one or several a problem) that run a solution in the
sandbox. BENCHMARKS names the loaders. Samples are many solutions of a problem or one; pass@k is made of their verdicts.
"""

import importlib
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lib.evaluate.data import Missing
from lib.evaluate.shown import table
from lib.generate import Engine, Request, complete
from lib.generate.protocol import stopped
from lib.instruct import sampling_seed
from lib.records import Journal, Record, StudyError
from lib.sandbox import Limits
from lib.sft import render_prompt
from lib.statistics import estimate, pass_at_k

__all__ = ["BENCHMARKS", "Benchmark", "Missing", "ask", "grade", "load", "score", "table"]

# The paper's newer evaluation script: the response is begun with an open fence and ends at the next fence on a line.
RESPONSE_PREFIX = "```python"
STOP = ("\n```\n",)
# The same script for base models: the benchmark's own prompt is continued up to the next thing at the top level.
RAW_STOP = ("\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ", "\n# ")
# name -> module beside this one, and the keywords of its function `load`
BENCHMARKS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "humaneval": ("humaneval", {}),
    "humaneval+": ("humanevalplus", {}),
    "mbpp": ("mbpp", {"plus": False}),
    "mbpp+": ("mbpp", {"plus": True}),
    **{
        f"evoeval-{which}": ("evoeval", {"which": which})
        for which in ("difficult", "creative", "subtle", "combine", "tool_use")
    },
}


class Outcome(NamedTuple):
    """What a program's verdict says about a solution: pass, fail, timeout or error; why; the failing input's number.

    `broken` when it says nothing about it, because the benchmark's own reference failed.
    """

    status: str
    detail: str
    number: int | None = None
    broken: bool = False


def plain(seen: Record) -> Outcome:
    """Return what a verdict of `lib.sandbox` says: out of memory is an error, leaving early is a failure."""
    named = {"pass": "pass", "timeout": "timeout", "error": "error", "oom": "error"}
    return Outcome(named.get(seen["verdict"], "fail"), seen["detail"])


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's problems, and how one of them becomes an instruction and programs.

    problems     by task id, in the file's order; each has task_id and prompt
    instruction  problem -> the instruction that the template is filled with
    solution     (problem, completion of the template) -> the Python source that is graded
    program      (problem, solution, part, wider) -> what the sandbox runs: code, tests, perhaps entry, and time where
                 it is not that of `limits`; times are multiplied by `wider`
    parts        a solution passes when its programs of all parts do
    outcome      the sandbox's verdict on a program -> what it says about the solution
    inputs       (problem, part) -> the inputs that an outcome's number counts
    again        whether the sandbox repeats a pass, also with other expected values (the control)
    elsewhere    tasks that only another version has: samples of them are left out
    anything     tasks whose rule accepts any answer, so that a wrong one passes
    between      what stands between a task's prompt and its canonical solution
    faults       tasks that the benchmark's own harness gets wrong, and how: there they never pass
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

    def prompt(self, task: str, raw: bool = False) -> str:
        """Return the whole text a model is given for a task: the study's template, then an open fence.

        `raw` is for base models: the benchmark's own prompt, to be continued.
        """
        if raw:
            return self.problems[task]["prompt"]
        return render_prompt(self.instruction(self.problems[task])) + RESPONSE_PREFIX

    def solve(self, task: str, completion: str, raw: bool = False) -> str:
        """Return the Python source in a completion of `prompt(task, raw)`."""
        if not raw:
            return self.solution(self.problems[task], completion)
        kept = stopped(completion, RAW_STOP)
        return self.problems[task]["prompt"] + (completion if kept is None else kept)

    def canonical(self, task: str) -> str:
        """Return the benchmark's own solution of a task, whole: it must pass."""
        problem = self.problems[task]
        return problem["prompt"] + self.between + problem["canonical_solution"]

    def choose(self, n: int, seed: int) -> list[str]:
        """Return the first n task ids of a seeded shuffle; StudyError when there are fewer."""
        if not 1 <= n <= len(self.problems):
            raise StudyError(f"N_PROBLEMS={n}: {self.name} has 1 to {len(self.problems)} problems to score")
        tasks = sorted(self.problems)
        random.Random(seed).shuffle(tasks)
        return tasks[:n]


def load(name: str, path: str | Path | None = None) -> Benchmark:
    """Return the benchmark of this name, from a path or from where it is found (`lib.evaluate.data.locate`).

    StudyError for an unknown name and a file that is not the pinned one, Missing (a StudyError) when there is none.
    """
    if name not in BENCHMARKS:
        raise StudyError(f"there is no benchmark {name!r}; the study has {', '.join(BENCHMARKS)}")
    module, keywords = BENCHMARKS[name]
    return importlib.import_module(f"lib.evaluate.{module}").load(path, **keywords)


def last_block(completion: str) -> str:
    """Return what follows the last opening fence up to the next fence, as the paper's newer script takes it."""
    return completion.split(RESPONSE_PREFIX)[-1].split("```")[0].strip("\n")


def ask(
    engine: Engine,
    benchmark: Benchmark,
    tasks: Sequence[str],
    max_tokens: int,
    cache: Journal,
    what: str,
    *,
    samples: int = 1,
    temperature: float = 0.0,
    raw: bool = False,
    seed: int = 0,
) -> dict[str, list[Record]]:
    """Return `samples` completion records a task, by task id; `raw` asks as one asks a base model.

    One greedy sample, and the stops, as in the paper's script. At a temperature each sample has a seed of its own, made
    of `seed`, the benchmark, the task and the sample's number.

    StudyError for several samples at temperature 0, which would all be the same.
    """
    if samples < 1 or (samples > 1 and temperature <= 0):
        raise StudyError(
            f"{samples} samples at temperature {temperature}: ask for 1, or for more at a temperature above 0"
        )
    stop = RAW_STOP if raw else STOP

    def seeded(task: str, sample: int) -> int | None:
        return sampling_seed(seed, benchmark.name, task, sample) if temperature > 0 else None

    requests = [
        Request(benchmark.prompt(task, raw), temperature, max_tokens, stop, seeded(task, sample), sample)
        for task in tasks
        for sample in range(samples)
    ]
    records = complete(engine, requests, cache, what)
    return {task: list(records[place * samples : (place + 1) * samples]) for place, task in enumerate(tasks)}


def grade(
    benchmark: Benchmark,
    completions: Mapping[str, str | Sequence[str]],
    workers: int | None = None,
    raw: bool = False,
    journal: Journal | None = None,
) -> list[Record]:
    """Run each task's completion, or all of its completions, in the sandbox; return samples in that order.

    See `lib.evaluate.grading.graded` for what a sample has, and for `journal`. `raw` says how the model was asked.
    """
    from lib.evaluate.grading import graded

    several = {task: [texts] if isinstance(texts, str) else texts for task, texts in completions.items()}
    pairs = [(task, benchmark.solve(task, text, raw)) for task, texts in several.items() for text in texts]
    return graded(benchmark, pairs, workers, journal)


def score(
    benchmark: Benchmark, samples: Sequence[Record], resamples: int, seed: int, ks: Sequence[int] = (1,)
) -> Record:
    """Return pass@k for each of `ks` with its interval over problems, the verdicts, and what exactly was scored.

    A benchmark of several parts has pass@1 of its base part beside, one with known faults what its own harness would
    count. StudyError when a task has fewer than k samples.
    """
    rows: dict[str, list[Record]] = {}
    for sample in samples:
        rows.setdefault(sample["task_id"], []).append(sample)

    def rate(k: int, passed: Callable[[Record], bool]) -> Record:
        if few := next((task for task, found in rows.items() if len(found) < k), None):
            raise StudyError(f"pass@{k} needs {k} samples a task; {few} has {len(rows[few])}")
        values = [pass_at_k(len(found), sum(map(passed, found)), k) for found in rows.values()]
        return asdict(estimate(values, resamples, seed))

    verdicts = Counter(sample["verdict"] for sample in samples)
    facts: Record = {
        "benchmark": benchmark.name,
        "version": benchmark.version,
        "sha256": benchmark.sha256,
        "md5": benchmark.md5,
        **{f"pass@{k}": rate(k, lambda sample: sample["passed"]) for k in ks},
        "samples": len(samples),
        "timeouts": verdicts["timeout"],
        "broken references": sum(sample["broken_reference"] for sample in samples),
        "verdicts": dict(sorted(verdicts.items())),
        "tiers": sorted({sample["tier"] for sample in samples}),
    }
    if len(benchmark.parts) > 1:
        facts["base pass@1"] = rate(1, lambda sample: sample["base"] == "pass")
    if benchmark.faults:
        mended = {s["task_id"] for s in samples if s["passed"]} & set(benchmark.faults)
        unmended = rate(1, lambda sample: sample["passed"] and sample["task_id"] not in mended)
        facts["unmended"] = {
            "pass@1": unmended["value"],
            "tasks": {task: benchmark.faults[task] for task in sorted(mended)},
        }
    return facts
