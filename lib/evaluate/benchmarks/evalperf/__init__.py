"""EvalPerf (Liu et al. 2024): how efficient the right answers to 118 tasks of HumanEval+ and MBPP+ are.

A task is asked as in HumanEval+ or MBPP+, 100 times at temperature 1, and graded on EvalPlus's NoExtreme inputs. Where
at least 10 answers are right, the first 20 of them are measured on one large input beside a ladder of reference
solutions; `lib.evaluate.benchmarks.evalperf.scores` makes DPS and win rates of their costs.

Stated departures: the kind of cost stands beside every score, because few containers let instructions be counted, and
processor time is not the same; with it, costs count as equal when they differ by 5 % or less. An answer on the large
input must be right, too. Without the data set's own large inputs, ours are used, and the version says so. From the
published results alone a ladder lacks the references that no run has reached: a solution between two that are known
gets the lower one's score.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lib.core.progress import Progress
from lib.core.records import Journal, Record, StudyError
from lib.evaluate.benchmark import Benchmark, Outcome, means, shares
from lib.evaluate.benchmarks import evalplus, mbpp
from lib.evaluate.benchmarks.evalperf.costs import TOLERANCES, Bench, Cost, measure_task
from lib.evaluate.benchmarks.evalperf.data import OURS, STEMS, ladders_of, noextreme, release
from lib.evaluate.benchmarks.evalperf.inputs import scaled
from lib.evaluate.benchmarks.evalperf.scores import rung, scores, selected
from lib.evaluate.benchmarks.functions import Functions
from lib.evaluate.benchmarks.humaneval_plus import HumanEvalPlus
from lib.evaluate.data import locate
from lib.evaluate.oracles.evalperf import pack

# The paper's protocol (evalplus/evalperf.py): right answers that a task needs, and how many of them are measured.
SAMPLES, TEMPERATURE, LEAST_RIGHT, MOST_MEASURED = 100, 1.0, 10, 20
OWN = Path(__file__).parents[1] / "own" / "evalperf.json"
COLUMNS = ("dps", "dps_norm", "rung", "cost", "cost_kind", "cost_why")  # that `measured` adds to a sample
Ladder = Sequence[tuple[int, float | None]]  # number and cost of each reference


def load(path: str | Path | None = None) -> "EvalPerf":
    """Return EvalPerf from a path, or from where `lib.evaluate.data.locate` finds it; the release is downloaded once.

    `path` names the data set's file, the ladder of published results, or a folder in which it lies, in which EvalPlus's
    NoExtreme files are sought, too. Missing when one of the three is nowhere, StudyError when it is another or damaged.
    """
    place = locate(path, STEMS, "EVALPERF_PATH", "selfcodealign-study/benchmarks", release)
    facts, ladders = ladders_of(place)
    named = [folder for folder in (path, place.parent, place.parent.parent) if folder is not None]
    kinds = {"HumanEvalPlus": HumanEvalPlus, "MbppPlus": mbpp.MbppPlus}
    parts = [
        kind(stem, problems, **found) for stem, kind in kinds.items() for found, problems in [noextreme(stem, named)]
    ]
    return EvalPerf("EvalPerf", parts, ladders, **facts)


def own() -> "EvalPerf":
    """Return three tasks of the study's own, of EvalPerf's kind: references and inputs are ours, too."""
    problems = {row["task_id"]: row for row in json.loads(OWN.read_text(encoding="utf-8"))}
    sha256 = hashlib.sha256(OWN.read_bytes()).hexdigest()
    ladders = {task: {name: row[name] for name in ("references", "n_reference")} for task, row in problems.items()}
    return EvalPerf("EvalPerf's kind", [HumanEvalPlus("own", problems)], ladders, f"own tasks, {OURS}", sha256)


class EvalPerf(Benchmark):
    """Tasks of HumanEval+ and MBPP+ that have a ladder; right answers are then `measured`."""

    limits, again, measures = evalplus.LIMITS, False, ("dps", "dps_norm")
    protocols, raw_prompts = Functions.protocols, Functions.raw_prompts
    least, most = LEAST_RIGHT, MOST_MEASURED

    def __init__(
        self,
        name: str,
        parts: Sequence[Functions],
        ladders: Mapping[str, Record],
        version: str,
        sha256: str,
        md5: str = "",
    ) -> None:
        """`parts` hold the tasks' prompts and tests; StudyError when one of `ladders` is of a task that none has."""
        self.parts = {task: part for part in parts for task in part.problems if task in ladders}
        if unknown := next((task for task in ladders if task not in self.parts), None):
            raise StudyError(f"{name} has a ladder for {unknown}, which is no task of HumanEval+ or MBPP+")
        problems = {task: self.parts[task].problems[task] | ladder for task, ladder in ladders.items()}
        super().__init__(name, problems, version, sha256, md5)

    def choose_protocol(self, protocol: str) -> None:
        super().choose_protocol(protocol)
        for part in self.parts.values():
            part.choose_protocol(protocol)
            self.stop = part.stop

    def prompt(self, task: str) -> str:
        return self.parts[task].prompt(task)

    def raw_prompt(self, task: str, form: str) -> str:
        return self.parts[task].raw_prompt(task, form)

    def solution(self, task: str, completion: str) -> str:
        return self.parts[task].solution(task, completion)

    def raw_solution(self, task: str, completion: str) -> str:
        return self.parts[task].raw_solution(task, completion)

    def completed(self, task: str, completion: str) -> str:
        return self.parts[task].completed(task, completion)

    def canonical(self, task: str) -> str:
        return self.parts[task].canonical(task)

    def programs(self, task: str, solution: str, time_scale: float = 1.0) -> dict[str, Record]:
        return self.parts[task].programs(task, solution, time_scale)

    def repeated(self, task: str, solution: str, part: str, time_scale: float, seen: Record) -> Record:
        return self.parts[task].repeated(task, solution, part, time_scale, seen)

    def meaning(self, task: str, part: str, verdict: Record) -> Outcome:
        return self.parts[task].meaning(task, part, verdict)

    def outcome(self, task: str, verdicts: Mapping[str, Record]) -> Outcome:
        return self.parts[task].outcome(task, verdicts)

    # ---- measuring

    def given(self, task: str) -> str | Record:
        """Return the large input, packed: the data set's, else ours."""
        return self.problems[task].get("input") or pack(scaled(task))

    def job(self, task: str) -> Record:
        """Return what the program that measures a solution has to know (`lib.evaluate.oracles.evalperf.run`)."""
        problem, part = self.problems[task], self.parts[task]
        rule = part.rule(task) if isinstance(part, evalplus.EvalPlus) else None
        fastest = problem["references"][-1]["code"]
        return {"entry": problem["entry_point"], "rule": rule, "atol": problem["atol"], "fastest": fastest}

    def costs(
        self,
        task: str,
        solutions: Sequence[str],
        bench: Bench,
        journal: Journal | None = None,
        references: Sequence[tuple[int, str]] | None = None,
    ) -> tuple[list[Cost], list[tuple[int, float | None]]]:
        """Return the costs of solutions, and those of the references with their numbers, measured side by side.

        `references` are (number, code), those of the ladder by default; without solutions, their order is what has to
        be stable.
        """
        ladder = references or [(one["cluster"], one["code"]) for one in self.problems[task]["references"]]
        numbers, codes, n = [number for number, _ in ladder], [code for _, code in ladder], len(solutions)
        tolerance = TOLERANCES[bench.kind]

        def rungs(costs: list[Cost]) -> list[tuple[int, float | None]]:
            return [(number, cost.value) for number, cost in zip(numbers, costs[n:], strict=True)]

        def order(costs: list[Cost]) -> tuple[int, ...]:
            return tuple(rung(cost.value, rungs(costs), tolerance) for cost in (costs[:n] or costs))

        found = measure_task(bench, journal, solutions, codes, self.job(task), self.given(task), order)
        return found[:n], rungs(found)

    def finished(self, samples: Sequence[Record], journal: Journal | None = None) -> list[Record]:
        """Return graded samples with what their costs say (`measured`)."""
        return self.measured(samples, journal, self.least, self.most)

    def values(self, samples: Sequence[Record]) -> dict[str, dict[str, float]]:
        """Right answers, and how efficient they are, by both scores: of tasks with enough right answers."""
        parts = {"DPS": "dps", "DPS, normalised": "dps_norm"}
        costs = {name: {task: value / 100 for task, value in means(samples, of).items()} for name, of in parts.items()}
        return {f"{self.name} {name}": found for name, found in {"pass@1": shares(samples), **costs}.items()}

    def remarks(self, samples: Sequence[Record]) -> list[str]:
        """What costs are, and on which inputs."""
        kinds = sorted({sample["cost_kind"] for sample in samples if sample.get("cost_kind")})
        inputs = f", on {OURS}" if OURS in self.version else ""
        return [f"{self.name}: DPS rests on {' and '.join(kinds)}{inputs}"] if kinds else []

    def measured(
        self,
        samples: Sequence[Record],
        journal: Journal | None = None,
        least: int = LEAST_RIGHT,
        most: int = MOST_MEASURED,
        bench: Callable[[], Bench] = Bench,
    ) -> list[Record]:
        """Return graded samples with COLUMNS: DPS and its parts for those that were measured, None for the others.

        Measured are the first `most` right samples of each task that has at least `least`. A solution that occurs
        several times is measured once. With a journal, an interrupted measurement is continued, task by task.
        """
        done = [{**sample, **dict.fromkeys(COLUMNS)} for sample in samples]
        chosen = selected(samples, least, most)
        progress = Progress(f"{self.name}: measured", len(chosen), "tasks")
        with bench() as running:
            for count, (task, places) in enumerate(chosen.items(), 1):
                solutions = list(dict.fromkeys(samples[place]["solution"] for place in places))
                costs, ladder = self.costs(task, solutions, running, journal)
                for place in places:
                    cost = costs[solutions.index(samples[place]["solution"])]
                    done[place] |= self.columns(task, cost, ladder, running.kind)
                progress.update(count)
        return done

    def columns(self, task: str, cost: Cost, ladder: Ladder, kind: str) -> Record:
        """Return the COLUMNS of a measured sample."""
        number = rung(cost.value, ladder, TOLERANCES[kind])
        dps, normalised = scores(self.problems[task], number)
        return dict(zip(COLUMNS, (dps, normalised, number, cost.value, kind, cost.why), strict=True))
