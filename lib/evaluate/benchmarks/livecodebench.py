"""LiveCodeBench (Jain et al. 2024), code generation: contest problems with dates, so that a window can be scored.

A problem asks for a method (LeetCode's, "call-based") or for a program that reads standard input (AtCoder's and
Codeforces'). A solution passes when it gives the expected output for every input, within SECONDS each; all inputs run
in one program, and the expected outputs stay out of it (`lib.evaluate.oracles.livecodebench`, which has the rules of
comparison, too).

Departures from the official harness (LiveCodeBench/LiveCodeBench, 28fef95), each of which only ever helps a right
solution: a program is run as the program that it is, while there it is the body of a function, in which `global`
names, `sys.stdin` under another name and threads that are not waited for do not work; a run that is too slow is
repeated alone with twice the time. The words of the prompts and the one-shot examples are the study's own.

The hub's file has all tests, thousands of characters to many MiB a problem: they stay in the file until they are run.
The derived files, with which the study was tested, have the tests of the statements and, for some problems of LeetCode,
a hundred more: what a score rests on is part of its version.

The paper asks greedily; the official harness draws ten samples at temperature 0.2 and `top_p` 0.95, of 2,000 tokens.
"""

import base64
import gzip
import hashlib
import io
import json
import os
import pickle
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from lib.core import paths
from lib.core.records import Record, StudyError
from lib.core.template import render_prompt
from lib.evaluate.benchmark import RESPONSE_PREFIX, Benchmark, Outcome, last_block, plain
from lib.evaluate.benchmarks.evalplus import sources
from lib.evaluate.data import UNPINNED, content_sha256, downloaded, files, locate
from lib.evaluate.oracles.livecodebench import DIGEST, beginning, printed, returned
from lib.evaluate.sources import LIVECODEBENCH, LIVECODEBENCH_V5
from lib.generate.protocol import stopped
from lib.sandbox import Limits

RELEASES = {"release_v1": LIVECODEBENCH, "release_v5": LIVECODEBENCH_V5}
VERSIONS = {name: name for name in RELEASES}
SIZES = {"release_v1": 400, "release_v5": 880}  # problems, by the official README
WINDOWS = ("2023-09-01", "2023-07-01", "2023-05-01")  # the first days of the paper's windows (table 2)
OWN = Path(__file__).parent / "own" / "livecodebench.jsonl"
FIELDS = (
    "question_id", "question_title", "question_content", "platform", "contest_date", "starter_code", "difficulty",
    "public_test_cases", "metadata",
)  # fmt: skip
SECONDS = 6.0  # for an input (lcb_runner/runner/parser.py)
SLACK = (
    1.0,
    5.0,
)  # seconds more for each input, and for all (lcb_runner/evaluation/compute_code_generation_metrics.py)
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
Test = tuple[str, str]  # an input and the expected output


# ---- data


def load(path: str | Path | None = None, version: str = "") -> "LiveCodeBench":
    """Return a release ("": the first, the paper's), from a path or from where `lib.evaluate.data.locate` finds it.

    A path may be the hub's folder, too. Missing when there is none, StudyError when a file is damaged or is not of the
    release that is asked for.
    """
    release = version or "release_v1"
    places = parts(release, path)
    rows, problems, md5 = read(places)
    sha256 = content_sha256(rows)
    pins = {**LIVECODEBENCH.pins, **LIVECODEBENCH_V5.pins}
    sized = next((name for name, size in SIZES.items() if size == len(problems)), "")
    label = pins.get(sha256) or ", ".join(filter(None, (sized, UNPINNED)))
    if version and sized != version:
        raise StudyError(f"{places[0]} has {len(problems)} problems, {version} has {SIZES[version]}: get {release}'s")
    return LiveCodeBench("LiveCodeBench", problems, label, sha256, md5)


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


def parts(release: str, path: str | Path | None) -> list[Path]:
    """Return the files of a release: in a folder the hub's own, one after the other, else what `locate` finds."""
    source = RELEASES[release]
    names = [Path(url).name for url in (source.url, *source.more)]
    for folder in filter(None, (path, os.environ.get(source.override))):
        hub = [Path(folder).expanduser() / name for name in names]
        if hub[0].is_file() and (lacking := next((file for file in hub if not file.is_file()), None)):
            raise StudyError(f"{folder} has no {lacking.name}, and {release} is {' + '.join(names)}: get it, too")
        if hub[0].is_file():
            return hub
    kept = paths.cache_folder() / "benchmarks" / f"{source.stems[0]}.jsonl"

    def otherwise() -> Path:
        return next(files(kept.parent, source.stems), None) or downloaded(source.url, kept, *source.more)

    return [locate(path, source.stems, source.override, "selfcodealign-study/benchmarks", otherwise)]


def read(places: Sequence[Path]) -> tuple[list[Record], dict[str, Record], str]:
    """Return the rows of files of JSON lines, their problems by id, and the md5 of all their bytes.

    Private tests stay in the file: in a row stands their hash, in a problem where they are.
    """
    rows, problems, md5 = list[Record](), dict[str, Record](), hashlib.md5(usedforsecurity=False)
    for place in places:
        for at, line in numbered(place):
            md5.update(line)
            try:
                row = json.loads(line)
                packed = row.get("private_test_cases") or ""
                sha256 = hashlib.sha256(packed.encode()).hexdigest()
                made = problem_of(row)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise StudyError(
                    f"{place}: the line at byte {at} is no problem of LiveCodeBench: {error!r:.80}"
                ) from None
            if packed:
                row["private_test_cases"] = sha256
                made |= {"private": {"path": place, "at": at, "sha256": sha256}, "graded_on": "private"}
            rows.append(row)
            problems[made["question_id"]] = made
    if not problems:
        raise StudyError(f"{places[0]} holds no problem of LiveCodeBench: give the path of an intact file")
    return rows, problems, md5.hexdigest()


def opened(place: Path) -> IO[bytes]:
    """Open a file, unpacked when its name ends in .gz."""
    return gzip.open(place) if place.suffix == ".gz" else place.open("rb")  # type: ignore[return-value]


def numbered(place: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (where it begins, line) for every line of a file that is not blank; StudyError when it cannot be read."""
    at = 0
    try:
        with opened(place) as lines:
            for line in lines:
                if line.strip():
                    yield at, line
                at += len(line)
    except (OSError, EOFError, zlib.error) as error:
        raise StudyError(f"cannot read the benchmark {place}: {error}; give the path of an intact file") from None


def problem_of(row: Record) -> Record:
    """Return a problem: FIELDS, the tests that the row itself holds, and what they are; KeyError and the like."""
    made = {name: row[name] for name in FIELDS}
    for name in ("public_test_cases", "metadata"):
        if isinstance(made[name], str):
            made[name] = json.loads(made[name])
    extra = row.get("extra_test_cases") or []
    made["tests"] = pairs(extra or made.pop("public_test_cases"))
    made["method"] = made.pop("metadata").get("func_name")
    made["graded_on"] = "extra" if extra else "sample"
    return made | {name: row[name] for name in ("canonical_solution", "one_shot") if name in row}


def pairs(tests: Sequence[Mapping[str, Any]]) -> list[Test]:
    """Return (input, expected output) of tests."""
    return [(str(test["input"]), str(test["output"])) for test in tests]


class Text(pickle.Unpickler):
    """Unpickles texts only: an object could run code."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Refuse any object."""
        raise pickle.UnpicklingError(f"it names {module_name}.{global_name}")


def private_tests(packed: str) -> list[Test]:
    """Return the tests in the hub's text: JSON, or base64 of zlib of a pickled text of JSON.

    StudyError when it is neither.
    """
    try:
        if packed[:1] != "[":
            data = zlib.decompress(base64.b64decode(packed, validate=True))
            packed = Text(io.BytesIO(data)).load()
        return pairs(json.loads(packed))
    except Exception as error:  # of damaged data, pickle raises whatever comes of it
        raise StudyError(f"private tests of LiveCodeBench cannot be read ({error!s:.80}): get the file again") from None


# ---- the benchmark


class LiveCodeBench(Benchmark):
    """Problems by question id; a base model is shown one solved problem first, and ends at the next heading.

    graded_on, a column of each sample, says what a task has: "private" (all tests), "extra" (those of the statement and
    a hundred more) or "sample" (those of the statement alone, on which scores are too high).
    """

    limits, again, quotable, raw_stop = LIMITS, False, False, ("###",)
    seconds, slack = SECONDS, SLACK

    def __init__(
        self, name: str, problems: Mapping[str, Record], release: str, sha256: str = "", md5: str = ""
    ) -> None:
        """Its version is the `release`, and what part of its tasks has sample tests alone."""
        alone = Counter(problem["graded_on"] for problem in problems.values())["sample"]
        label = f" ({alone} of {len(problems)} tasks on sample tests alone)" if alone else ""
        super().__init__(name, problems, release + label, sha256, md5)
        self.release = release
        # A task's programs are asked for in a row, and its tests can be large; what is expected of them is small.
        self.tests: Callable[[str], list[Test]] = lru_cache(maxsize=1)(self.read_tests)
        self.expected: Callable[[str], list[Test]] = lru_cache(maxsize=None)(self.read_expected)

    def prompt(self, task: str) -> str:
        return render_prompt(self.instruction(task)) + RESPONSE_PREFIX

    def instruction(self, task: str) -> str:
        """The statement, what form the answer has, and the code that it begins with, under the official headings."""
        problem = self.problems[task]
        how, code = (STARTER, problem["starter_code"]) if problem["starter_code"] else (STDIN, "# your program")
        statement = problem["question_content"].strip()
        return f"### Question:\n{statement}\n\n### Format: {how}\n```python\n{code.rstrip()}\n```"

    def raw_prompt(self, task: str) -> str:
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

    def window(self, start: str, end: str = "") -> "LiveCodeBench":
        """Return the part of contests from `start` on (a date, 2023-09-01), until `end` if it is given.

        Named as the paper's claims name it; StudyError when there is no such contest.
        """
        dates = {task: problem["contest_date"] for task, problem in self.problems.items()}
        name = f"{self.name} from {start}" + (f" to {end}" if end else "")
        kept = [task for task, date in dates.items() if start <= date and (not end or date <= end)]
        if not kept:
            raise StudyError(f"{name}: the contests are of {min(dates.values()):.10} to {max(dates.values()):.10}")
        return self.part(name, kept)

    def tested(self) -> "LiveCodeBench":
        """Return the part whose tasks have more than sample tests, on which a score means most."""
        kept = [task for task, problem in self.problems.items() if problem["graded_on"] != "sample"]
        return self.part(f"{self.name}, tasks with more than sample tests", kept)

    def part(self, name: str, tasks: Sequence[str]) -> "LiveCodeBench":
        """Return the benchmark of some of its tasks."""
        return LiveCodeBench(name, {task: self.problems[task] for task in tasks}, self.release, self.sha256, self.md5)

    # ---- grading

    def read_tests(self, task: str) -> list[Test]:
        """Return a task's tests, the private ones from the hub's file; StudyError when it has changed."""
        problem = self.problems[task]
        spot = problem.get("private")
        if spot is None:
            return problem["tests"]
        try:
            with opened(spot["path"]) as file:
                file.seek(spot["at"])
                packed = json.loads(file.readline())["private_test_cases"]
        except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError):
            packed = ""
        if hashlib.sha256(packed.encode()).hexdigest() != spot["sha256"]:
            raise StudyError(f"{spot['path']} has changed since it was loaded: begin anew")
        return problem["tests"] + private_tests(packed)

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
            "tests": TESTS.format(sources=sources("evalplus", "livecodebench"), job=job),
            "data": {"_inputs": json.dumps(inputs)},
            "report": "_report",
            "time": ((self.seconds + self.slack[0]) * len(inputs) + self.slack[1]) * time_scale,
        }
        return {"base": program}

    def meaning(self, task: str, part: str, verdict: Record) -> Outcome:
        """A pass has the digest of every expected output; the first other one is a failure, whatever came after it."""
        expected, report = self.expected(task), verdict.get("report")
        kind = {"graded_on": self.problems[task]["graded_on"]}
        if not expected:
            return Outcome("fail", "the task has no tests: no program can pass", values=kind)
        match report:
            case {"status": str(status), "why": str(why), "digests": str(digests), "heads": list(heads)}:
                pass
            case _:
                found = plain(verdict)
                return found._replace(status="fail" if found.status == "pass" else found.status, values=kind)
        given = [digests[at : at + DIGEST] for at in range(0, len(digests), DIGEST)]
        wrong = next(
            (n for n, (one, (digest, _)) in enumerate(zip(given, expected, strict=False)) if one != digest), None
        )
        if wrong is not None:
            shown = str(heads[wrong]) if wrong < len(heads) else "another output"
            detail = f"test {wrong + 1} of {len(expected)}: {shown} is not {expected[wrong][1]}"
            return Outcome("fail", " ".join(detail.split())[:300], wrong, values=kind)
        if verdict["verdict"] == "pass" and len(given) == len(expected):
            return Outcome("pass", values=kind)
        named = "timeout" if status == "timeout" and verdict["verdict"] == "fail" else "fail"
        return Outcome(
            named, f"test {len(given) + 1} of {len(expected)}: {why or verdict['detail']}", len(given), values=kind
        )


def unanswered(problem: Record) -> str:
    """Return a problem under the headings of the prompt for base models, up to where its answer begins."""
    starter = f"### Starter Code\n{problem['starter_code']}\n\n" if problem["starter_code"] else ""
    return f"### Question\n{problem['question_content']}\n\n{starter}### Answer\n\n"
