"""The validation set: held-out tasks of the pool whose tests hold, as a benchmark; and the tasks apart from them."""

import random
import re
from collections.abc import Collection, Iterable, Mapping

from lib.core.markdown import code_of
from lib.core.records import Record, StudyError, content_id
from lib.evaluate.benchmark import Benchmark
from lib.experiment.pool import Pool
from lib.overlap.near_duplicates import jaccard, near_duplicates, shingles
from lib.select.consensus import called
from lib.train.template import render_prompt

NEAR = 0.7  # similarity from which tasks are near-duplicates (minhash_dedup.py), where the pool's selection has none


def called_by_name(program: Record, instruction: str) -> bool:
    """Return whether the instruction names all that the tests call: else no other answer could pass them."""
    names = called(program)
    return bool(names) and all(re.search(rf"\b{name}\b", instruction) for name in names)


def validation(pool: Pool, strength: Mapping[str, Record], count: int, seed: int) -> dict[str, str]:
    """Return {task: the response whose tests judge answers to it} for `count` tasks, drawn by `seed`.

    A response will do if it passed, its tests killed all its mutants, one at least, and the task names what they call;
    of several, that with the most mutants. StudyError when there are fewer such tasks.
    """
    best: dict[str, str] = {}
    for name, record in sorted(strength.items(), key=lambda item: (-item[1]["mutants"], item[0])):
        instruction = pool.tasks[pool.task(name)]["instruction"]
        holds = 0 < record["killed"] == record["mutants"]
        if holds and called_by_name(pool.programs[name], instruction):
            best.setdefault(pool.task(name), name)
    if count > len(best):
        raise StudyError(f"validation asks for {count} tasks, and {len(best)} have tests that hold: lower its tasks")
    drawn = sorted(best)
    random.Random(seed).shuffle(drawn)
    return {task: best[task] for task in sorted(drawn[:count])}


def apart(pool: Pool, held_out: Collection[str]) -> set[str]:
    """Return the tasks that may be learnt from: none is held out, or a near-duplicate of one that is."""
    texts = {f"{task not in held_out:d}{task}": record["instruction"].lower() for task, record in pool.tasks.items()}
    near = near_duplicates(texts, pool.options.near or NEAR)
    return {key[1:] for key in texts if key[0] == "1" and key not in near}


def outside(examples: Iterable[Record], pool: Pool, tasks: Collection[str]) -> list[Record]:
    """Return the examples that neither have the seed of a task that is not to be learnt from nor ask nearly the same.

    Those tasks are the pool's other than `tasks`: the held-out ones and their near-duplicates (`apart`).
    """
    closed = [task for name, task in pool.tasks.items() if name not in tasks]
    seeds = {task["seed"] for task in closed}
    asked = [set(shingles(task["instruction"].lower()).tolist()) for task in closed]

    def open_to_all(example: Record) -> bool:
        own = set(shingles(example["instruction"].lower()).tolist())
        return all(jaccard(own, other) < (pool.options.near or NEAR) for other in asked)

    return [each for each in examples if each.get("seed") not in seeds and open_to_all(each)]


class Tasks(Benchmark):
    """Tasks asked zero-shot in the template and graded with the tests of a response that passed.

    An answer begins and ends as the model likes, and all its python blocks are its program, as in notebook 03.
    """

    stop = ()

    def prompt(self, task: str) -> str:
        return render_prompt(self.problems[task]["instruction"])

    def solution(self, task: str, completion: str) -> str:
        return code_of(completion)

    def programs(self, task: str, solution: str, time_scale: float = 1.0) -> dict[str, Record]:
        time = self.limits.cpu_seconds * time_scale
        return {"base": {"code": solution, "tests": self.problems[task]["tests"], "time": time}}


def as_benchmark(pool: Pool, held_out: Mapping[str, str]) -> Benchmark:
    """Return the validation set as a benchmark, with the limits of the pool's programs."""
    problems = {
        task: {"instruction": pool.tasks[task]["instruction"], "tests": pool.programs[name]["tests"]}
        for task, name in held_out.items()
    }
    made = Tasks("validation", problems, pool.folder.name, content_id(problems))
    made.limits = pool.limits
    return made
