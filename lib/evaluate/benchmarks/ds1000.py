"""DS-1000 (Lai et al. 2023): questions on seven libraries of data science, each answered by completing a program.

The file is the authors' simplified one, which has the prompts of Completion mode only. Nothing that is published quotes
it: its licence is CC-BY-SA-4.0, and it asks to be kept out of training data. The paper's script rewrites a prompt into
an instruction and the beginning of a response; the paper samples 40 answers a task at temperature 0.2 and `top_p` 0.95,
of 1,024 tokens at most, which end at their first fence.

Each task has tests that define everything themselves; `lib.evaluate.oracles.ds1000` runs an answer apart from them, in
packages of its own (`make benchmark-env`, the versions that the authors fixed for this file). Two answers that pass in
the official harness fail here: an empty array, which numpy's comparisons take for equal to a number, and a masked one,
which they take for equal to anything. Tasks that need the internet, or a library that is not installed, are left out,
and `excluded` says so by name. It needs the sandbox's first tier, as an answer has a process of its own.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from lib.core.records import Record, StudyError
from lib.evaluate.benchmark import Benchmark, Outcome, plain, shares
from lib.evaluate.benchmarks.evalplus import sources
from lib.evaluate.data import Missing, problems_of
from lib.evaluate.environments import python_of
from lib.evaluate.sources import DS1000
from lib.generate.protocol import stopped
from lib.sandbox import Limits, check
from lib.sandbox.interpreters import installed
from lib.train.template import render_prompt

OWN = Path(__file__).parent / "own" / "ds1000.json"  # three tasks of the study's, with this one's fields
SENTENCE = "Solve this problem:"  # the study's wording, above code whose comments say what is asked
HINT = "# Solution"  # the last line of a response's beginning, in the paper's script
MATPLOTLIB, FUNCTION, ANSWER = "# SOLUTION START", "### BEGIN SOLUTION", "A:"
STOP = ("```",)  # the paper's script
# Where the authors' script cuts an answer, and base models stop.
CUTS = ("</code>", "```", "\nEND SOLUTION", "# SOLUTION END")
# seaborn's and scikit-learn's data sets are fetched when they are first asked for.
_ONLINE = "519 539 565 566 567 577 598 624 629 650 654 655 656 661 819"
ONLINE = frozenset(_ONLINE.split())
# Distributions without which nothing is graded, and those that only some tasks import, by module.
REQUIRED = ("numpy", "pandas", "scipy", "scikit-learn", "matplotlib", "seaborn", "pillow")
FURTHER = {
    "torch": ("torch",), "tensorflow": ("tensorflow", "tensorflow-cpu"), "gensim": ("gensim",),
    "xgboost": ("xgboost",), "statsmodels": ("statsmodels",), "yaml": ("pyyaml",),
}  # fmt: skip
IMPORTED = re.compile(r"^\s*(?:import|from)\s+(\w+)", re.M)
PRELOAD = (
    "numpy", "pandas", "scipy.integrate", "scipy.interpolate", "scipy.ndimage", "scipy.optimize", "scipy.signal",
    "scipy.sparse.linalg", "scipy.spatial.distance", "scipy.stats", "matplotlib.pyplot", "PIL.PngImagePlugin",
)  # fmt: skip
LEARNING = (
    "seaborn", "sklearn.cluster", "sklearn.datasets", "sklearn.ensemble", "sklearn.feature_extraction.text",
    "sklearn.linear_model", "sklearn.model_selection", "sklearn.pipeline", "sklearn.preprocessing", "sklearn.svm",
)  # fmt: skip
# The official script stops a program after 120 s by the clock, imports included; here they are paid once a box, and a
# program has processor time of its own, which suffices for every one of the authors' answers.
SECONDS, MEMORY_MB = 20.0, 4096
BASE = "base"
CODE = """\
import builtins, sys, types
for name, text in {sources!r}:
    module = sys.modules[name] = types.ModuleType(name)
    builtins.exec(text, module.__dict__)
oracle = sys.modules[{last!r}]
worker = oracle.start()
"""
TESTS = """\
def graded():
    found = oracle.grade(worker, CONTEXT, ANSWER)
    told.store(found)
    return found["kind"] == "pass"
assert graded()
"""


def load(path: str | Path | None = None) -> "DS1000Tasks":
    """Return DS-1000 from a path or from where it is found, for the packages of its environment.

    Missing when it is nowhere, its interpreter is not installed, or the sandbox is of the second tier; StudyError when
    its file is damaged or another, or a library is not installed there.
    """
    facts, problems = problems_of(DS1000, path)
    if refused := refusal():
        raise Missing(f"DS-1000 is not scored: {refused}")
    python = python_of("ds1000")
    have = {canonicalize_name(re.split(r"-\d", name)[0]) for name in installed(python)}
    if lacking := [name for name in REQUIRED if name not in have]:
        raise StudyError(f"DS-1000 needs {lacking[0]}, which {python} has not: `make benchmark-env` installs it")
    absent = {module for module, names in FURTHER.items() if have.isdisjoint(names)}
    excluded = {task: why for task, problem in problems.items() if (why := reason(task, problem, absent))}
    preload = (*PRELOAD, *LEARNING, *(name for name in ("torch", "tensorflow") if name not in absent))
    limits = Limits(SECONDS, MEMORY_MB, output_kb=1024, python=python, preload=preload)
    if excluded:
        facts["version"] += f", {len(problems) - len(excluded)} of {len(problems)} tasks"
    return DS1000Tasks("DS-1000", problems, limits, excluded, **facts)


def own() -> "DS1000Tasks":
    """Return three tasks of the study's own in the form of DS-1000's, run with the study's packages."""
    problems = {row["metadata"]["problem_id"]: row for row in json.loads(OWN.read_text(encoding="utf-8"))}
    found = DS1000Tasks("DS-1000 kind", problems, Limits(SECONDS, MEMORY_MB, packages=("matplotlib", "pandas")), {})
    found.quotable = True
    return found


def refusal() -> str:
    """Return why no answer can be graded in this machine's sandbox; "" where it can."""
    if not check().startswith("landlock"):
        return ""
    return (
        "DS-1000 runs an answer in a process of its own, which the sandbox allows with bubblewrap only: "
        "`make doctor` says what that needs"
    )


def reason(task: str, problem: Record, absent: set[str]) -> str:
    """Return why a task cannot be graded where these modules cannot be imported; "" when it can."""
    if task in ONLINE:
        return "needs the internet"
    imported = IMPORTED.findall(f"{problem['code_context']}\n{problem['prompt']}\n{problem['reference_code']}")
    needed = next((name for name in imported if name in absent), "")
    return f"needs {needed}" if needed else ""


class DS1000Tasks(Benchmark):
    """Programs to complete; `excluded` names the tasks that are left out, and why."""

    again, quotable = False, False
    stop, raw_stop = STOP, CUTS

    def __init__(
        self, name: str, problems: Mapping[str, Record], limits: Limits, excluded: Mapping[str, str], **facts: str
    ) -> None:
        super().__init__(name, {task: row for task, row in problems.items() if task not in excluded}, **facts)
        self.limits, self.excluded, self.elsewhere = limits, excluded, frozenset(excluded)

    def prompt(self, task: str) -> str:
        """The template, and the program up to where the answer begins."""
        instruction, opening = rewritten(self.problems[task]["prompt"])
        return render_prompt(instruction) + opening

    def raw_prompt(self, task: str, form: str) -> str:
        return self.problems[task]["prompt"]

    def solution(self, task: str, completion: str) -> str:
        """What comes before the first fence or mark of the prompts; its indentation is that of the program."""
        kept = stopped(completion, CUTS)
        return completion if kept is None else kept

    def canonical(self, task: str) -> str:
        return self.problems[task]["reference_code"]

    def programs(self, task: str, solution: str, time_scale: float = 1.0) -> dict[str, Record]:
        """The process that will run the solution, then the task's tests; StudyError in the sandbox's second tier."""
        if refused := refusal():
            raise StudyError(refused)
        files = sources("received", "ds1000")
        program = {
            "code": CODE.format(sources=files, last=files[-1][0]),
            "tests": TESTS,
            "report": "told",
            "files": {},
            "data": {"CONTEXT": self.problems[task]["code_context"], "ANSWER": solution},
            "time": self.limits.cpu_seconds * time_scale,
        }
        return {BASE: program}

    def meaning(self, task: str, part: str, verdict: Record) -> Outcome:
        """Only the sandbox's verdict can be a pass; the report says why it is none."""
        match verdict:
            case {"verdict": "fail", "report": {"kind": str(kind), "why": str(why)}}:
                detail = f"{kind}: {why}" if why else kind
                broken = kind == "broken"
                return Outcome("error" if broken else "fail", detail, broken=broken, values={"kind": kind})
        return plain(verdict)

    def values(self, samples: Sequence[Record]) -> dict[str, dict[str, float]]:
        """All tasks, those of each library as the paper's table has them, and those of each kind of perturbation."""
        found, parts = shares(samples), {}
        for field in ("library", "perturbation_type"):
            for name, tasks in self.groups(field).items():
                if kept := {task: found[task] for task in tasks if task in found}:
                    parts[f"{self.name} {name.lower()}"] = kept
        return {self.name: found} | parts

    def groups(self, field: str) -> dict[str, list[str]]:
        """Return the tasks by a field of their metadata, "library" or "perturbation_type", the largest group first."""
        names = Counter(problem["metadata"][field] for problem in self.problems.values())
        tasks = self.problems.items()
        return {
            name: [task for task, row in tasks if row["metadata"][field] == name] for name, _ in names.most_common()
        }


def rewritten(prompt: str) -> tuple[str, str]:
    """Return what is asked and how the response begins, of a prompt of Completion mode.

    As the paper's script does: Matplotlib's code is both; of the others the question comes before the last "A:", and
    after it the code, where notes on the result become comments; tags become fences, the last of which stays open.
    """
    if MATPLOTLIB in prompt:
        code = prompt.rpartition(MATPLOTLIB)[0].strip()
        return f"{SENTENCE}\n```python\n{code}\n```", f"```python\n{code}\n{HINT}\n"
    question, _, given = prompt.rpartition(ANSWER)
    lines = given.strip().splitlines()
    if FUNCTION in lines[-1]:  # above it two comments: that the function returns the solution, and how it is called
        kept, hint = lines[:-3], lines[-1].replace(FUNCTION, HINT)
    else:
        end = next(number for number, line in enumerate(lines) if line.strip() == "</code>")
        notes = [f"# {line.lstrip()}" for line in lines[end + 1 : -2]]
        kept, hint = lines[:end] + notes, HINT
    opening = "\n".join(kept).strip() + f"\n{hint}\n"
    return fenced(question.strip().removeprefix("Problem:").strip()), fenced(opening)


def fenced(text: str) -> str:
    """Return a text with fences for its tags."""
    return text.replace("<code>", "```python").replace("</code>", "```")
