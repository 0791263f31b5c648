"""LiveCodeBench (Jain et al. 2024), code generation: contest problems with dates, so that a window can be scored.

A problem asks for a method (LeetCode's, "call-based") or for a program that reads standard input (AtCoder's and
Codeforces'). A solution passes when it gives the expected output for every input, within SECONDS each; all inputs run
in one program, and the expected outputs stay out of it (`lib.evaluate.oracles.livecodebench`, which has the rules of
comparison, too).

Departures from the official harness (LiveCodeBench/LiveCodeBench, 28fef95): a program is run as the program that it is,
while there it is the body of a function, in which `global` names, `sys.stdin` under another name and threads that are
not waited for do not work, but code outside of functions runs faster; a run that is too slow is repeated alone with
twice the time; memory is limited; a solution that replaces built-in functions fails. The words of the prompts and the
one-shot examples are the study's own.

The hub's file has all tests, thousands of characters to many MiB a problem: they stay in the file until they are run.
The derived files, with which the study was tested, have the tests of the statements and, for some problems of LeetCode,
a hundred more: what a score rests on is part of its version.

The paper asks greedily; the official harness draws ten samples at temperature 0.2 and `top_p` 0.95, of 2,000 tokens.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from lib.core.records import Record
from lib.core.template import render_prompt
from lib.evaluate.benchmark import RESPONSE_PREFIX, Benchmark, Outcome, last_block, plain, shares
from lib.evaluate.benchmarks.evalplus import sources
from lib.evaluate.benchmarks.livecodebench_data import RELEASES, Test, read, release_of, tests_of
from lib.evaluate.oracles.livecodebench import DIGEST, beginning, printed, returned
from lib.generate.protocol import stopped
from lib.sandbox import Limits

VERSIONS = {name: name for name in RELEASES}
WINDOWS = ("2023-09-01", "2023-07-01", "2023-05-01")  # the first days of the paper's windows (table 2)
OWN = Path(__file__).parent / "own" / "livecodebench.jsonl"
SECONDS = 6.0  # for an input (lcb_runner/runner/parser.py)
SLACK = (1.0, 5.0)  # seconds more for each, and for all (lcb_runner/evaluation/compute_code_generation_metrics.py)
# Memory as a comment of testing_util.py has it.
LIMITS = Limits(cpu_seconds=SECONDS, memory_mb=4096, output_kb=1024, files_mb=256, packages=("numpy",))
STARTER = "Begin with this code, keep its names, and put the whole solution into one block:"
STDIN = "Read the input from standard input, write the answer to standard output, and put the program into one block:"
TESTS = """\
def _graded(source):
    import builtins, json, sys, types
    for name, text in {sources!r}:
        module = sys.modules[name] = types.ModuleType(name)
        builtins.exec(text, module.__dict__)
    found = module.run(source, {job!r}, json.loads(_inputs), _report.scale)
    _report.store(found)
    return found["status"] == "ended"
assert _graded(_answer)
"""


def load(path: str | Path | None = None, version: str = "") -> "LiveCodeBench":
    """Return a release ("": the first, the paper's), from a path or from where `lib.evaluate.data.locate` finds it.

    A path may be the hub's folder, too. A later release has its number in its name, so that both can be scored. Missing
    when there is none, StudyError when a file is damaged or is not of the release that is asked for.
    """
    problems, facts = release_of(path, version)
    name = "LiveCodeBench" if version in ("", "release_v1") else f"LiveCodeBench {version.removeprefix('release_')}"
    return LiveCodeBench(name, problems, *facts)


def own() -> "LiveCodeBench":
    """Return three problems of the study's own, of LiveCodeBench's kinds, which may be shown."""
    problems = {task: problem for task, problem in own_problems().items() if not problem["one_shot"]}
    found = LiveCodeBench("LiveCodeBench's kind, our own problems", problems, "1")
    found.quotable = True
    return found


@lru_cache(maxsize=1)
def own_problems() -> dict[str, Record]:
    """Return the study's own problems: two are the examples of the one-shot prompt, the others are asked."""
    return read([OWN])[1]


class LiveCodeBench(Benchmark):
    """Problems by question id; a base model is shown one solved problem first, and ends at the next heading.

    graded_on, a column of each sample, says what a task has: "private" (all tests), "extra" (those of the statement and
    a hundred more) or "sample" (those of the statement alone, on which scores are too high).
    """

    limits, again, quotable, raw_stop = LIMITS, False, False, ("###",)
    seconds, slack, windows = SECONDS, SLACK, WINDOWS

    def __init__(
        self, name: str, problems: Mapping[str, Record], release: str, sha256: str = "", md5: str = ""
    ) -> None:
        """Its version is the `release`, and what part of its tasks has sample tests alone."""
        alone = Counter(problem["graded_on"] for problem in problems.values())["sample"]
        label = f" ({alone} of {len(problems)} tasks on sample tests alone)" if alone else ""
        super().__init__(name, problems, release + label, sha256, md5)
        self.release = release
        # A task's programs are asked for in a row, and its tests can be large; what is expected of them is small.
        self.tests: Callable[[str], list[Test]] = lru_cache(maxsize=1)(lambda task: tests_of(self.problems[task]))
        self.expected: Callable[[str], list[tuple[str, str]]] = lru_cache(maxsize=None)(self.read_expected)

    def prompt(self, task: str) -> str:
        return render_prompt(self.instruction(task)) + RESPONSE_PREFIX

    def instruction(self, task: str) -> str:
        """The statement, what form the answer has, and the code that it begins with, under the official headings."""
        problem = self.problems[task]
        how, code = (STARTER, problem["starter_code"]) if problem["starter_code"] else (STDIN, "# your program")
        statement = problem["question_content"].strip()
        return f"### Question:\n{statement}\n\n### Format: {how}\n```python\n{code.rstrip()}\n```"

    def raw_prompt(self, task: str, form: str) -> str:
        """One example with its answer, then the task without one, as the official prompt for base models."""
        problem, examples = self.problems[task], (one for one in own_problems().values() if one["one_shot"])
        example = next(one for one in examples if bool(one["starter_code"]) == bool(problem["starter_code"]))
        return f"{unanswered(example)}{example['canonical_solution'].strip()}\n\n{unanswered(problem)}"

    def solution(self, task: str, completion: str) -> str:
        """The last block of the answer, which begins with an open fence."""
        return last_block(completion) + "\n"

    def raw_solution(self, task: str, completion: str) -> str:
        """All up to the next heading."""
        kept = stopped(completion, self.raw_stop)
        return (completion if kept is None else kept).strip() + "\n"

    def completed(self, task: str, completion: str) -> str:
        """What stands between the last two lines with fences, nothing when there is only one; a bare answer whole."""
        lines = completion.split("\n")
        fences = [number for number, line in enumerate(lines) if "```" in line]
        if not fences:
            return completion.strip() + "\n"
        return "\n".join([*lines[fences[-2] + 1 : fences[-1]], ""]) if len(fences) > 1 else ""

    def canonical(self, task: str) -> str:
        return self.problems[task].get("canonical_solution") or super().canonical(task)

    def values(self, samples: Sequence[Record]) -> dict[str, dict[str, float]]:
        """All problems, those of each window that has any, and those with more than sample tests."""
        found = shares(samples)
        parts = {f"{self.name} from {day}": self.since(found, day) for day in self.windows}
        parts[f"{self.name}, more than sample tests"] = [t for t in found if self.problems[t]["graded_on"] != "sample"]
        named = {name: {task: found[task] for task in tasks} for name, tasks in parts.items() if tasks}
        return {f"{self.name} code generation": found} | named

    def remarks(self, samples: Sequence[Record]) -> list[str]:
        """How many tasks have the tests of their statement alone."""
        tasks = {sample["task_id"] for sample in samples}
        alone = sum(self.problems[task]["graded_on"] == "sample" for task in tasks)
        said = f"{self.name}: {alone} of {len(tasks)} tasks are graded on the tests of their statements alone: too high"
        return [said] if alone else []

    def since(self, tasks: Iterable[str], day: str) -> list[str]:
        """Return those of the tasks whose contest was on a day (2023-09-01) or later."""
        return [task for task in tasks if self.problems[task]["contest_date"] >= day]

    # ---- grading

    def read_expected(self, task: str) -> list[tuple[str, str]]:
        """Return (digest, beginning) of each expected output of a task."""
        outputs = [output for _, output in self.tests(task)]
        if self.problems[task]["method"] is None:
            return [(printed(output), beginning(output)) for output in outputs]
        return [(returned(value), beginning(value)) for value in map(json.loads, outputs)]

    def programs(self, task: str, solution: str, time_scale: float = 1.0) -> dict[str, Record]:
        """The solution as a text, run on all inputs by tests that know no expected output."""
        inputs = [given for given, _ in self.tests(task)]
        job = {"method": self.problems[task]["method"], "seconds": self.seconds * time_scale}
        program = {
            "code": f"_answer = {solution!r}\n",
            "tests": TESTS.format(sources=sources("calls", "livecodebench"), job=job),
            "data": {"_inputs": json.dumps(inputs)},
            "report": "_report",
            "time": ((self.seconds + self.slack[0]) * len(inputs) + self.slack[1]) * time_scale,
        }
        return {"base": program}

    def meaning(self, task: str, part: str, verdict: Record) -> Outcome:
        """See `judged`."""
        kind = {"graded_on": self.problems[task]["graded_on"]}
        return judged(self.expected(task), verdict)._replace(values=kind)


def judged(expected: Sequence[tuple[str, str]], verdict: Record) -> Outcome:
    """Return what a verdict and its report mean, given (digest, beginning) of each expected output.

    A pass needs the digest of every one; the first other digest is a failure, whatever came after it.
    """
    if not expected:
        return Outcome("fail", "the task has no tests: no program can pass")
    match verdict.get("report"):
        case {"status": str(status), "why": str(why), "digests": str(digests), "heads": list(heads)}:
            given = [digests[at : at + DIGEST] for at in range(0, len(digests), DIGEST)]
        case _:
            found = plain(verdict)
            return Outcome("fail", "reported no outputs") if found.status == "pass" else found
    for number, ((digest, wanted), got) in enumerate(zip(expected, given, strict=False)):
        if got != digest:
            shown = heads[number] if number < len(heads) else "another output"
            return failed("fail", number, len(expected), f"{shown} is not {wanted}")
    if verdict["verdict"] == "pass" and len(given) == len(expected):
        return Outcome("pass")
    named = "timeout" if status == "timeout" and verdict["verdict"] == "fail" else "fail"
    return failed(named, len(given), len(expected), why or verdict["detail"] or "reported other outputs")


def failed(status: str, number: int, tests: int, why: str) -> Outcome:
    """Return the outcome of a solution whose test of this number, from 0, does not hold."""
    return Outcome(status, " ".join(f"test {number + 1} of {tests}: {why}".split())[:300], number)


def unanswered(problem: Record) -> str:
    """Return a problem under the headings of the prompt for base models, up to where its answer begins."""
    starter = f"### Starter Code\n{problem['starter_code']}\n\n" if problem["starter_code"] else ""
    return f"### Question\n{problem['question_content']}\n\n{starter}### Answer\n\n"
