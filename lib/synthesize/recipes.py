"""Recipes of other data sets, from the command line: OSS-Instruct, Evol-Instruct and direct distillation.

`python -m lib.synthesize.recipes oss-instruct --model NAME --count 220 --out FOLDER` writes examples.jsonl (id,
instruction, response, how each was made, whether its program runs) and recipe.json: what was asked for, what it cost
in tokens, what was dropped, how many programs run. Arms of `data/experiments/baselines.yaml` learn from them. Killed at
any moment, the same command goes on from the completions in the folder. (`lib.synthesize.octopack` makes examples of
commits, without a model.)
"""

import argparse
import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lib.core.cli import command
from lib.core.markdown import code_of
from lib.core.paths import ROOT, shown
from lib.core.records import Journal, Record, StudyError, content_id, write_records, write_text
from lib.core.study import read_stored
from lib.corpora import open_corpus
from lib.corpora.source import Shard
from lib.curate.extract import Unreadable, decode
from lib.generate import Engine, cost, open_engine
from lib.overlap.contamination import Contamination
from lib.sandbox import Limits, run_programs
from lib.synthesize import answers, evol_instruct, oss_instruct
from lib.synthesize.exemplars import Decks, load_exemplars
from lib.synthesize.self_oss_instruct import Sampling, Step

Made = tuple[Sequence[Record], Sequence[Step]]  # examples, and the steps with all completions


def windows(shards: Iterable[Shard], count: int, seed: int) -> list[Record]:
    """Return a window of lines (`oss_instruct.window`) of each of `count` files of a corpus, drawn evenly, as seeds."""

    def drawn() -> Iterator[tuple[str, Record]]:
        for file in (file for shard in shards for file in shard.read()):
            name = content_id(seed, file.package, file.version, file.path)
            with suppress(Unreadable):
                if code := oss_instruct.window(decode(file), name):
                    source = {"package": file.package, "version": file.version, "licence": file.licence}
                    yield name, {"id": name, "code": code, "source": source | {"path": file.path}}

    return [seed for _, seed in heapq.nsmallest(count, drawn(), key=lambda each: each[0])]


def oss(engine: Engine, cache: Journal, asked: argparse.Namespace) -> Made:
    """OSS-Instruct: a problem and its solution from windows of the corpus."""
    seeds = windows(open_corpus(asked.corpus, asked.packages, asked.licence), asked.count, asked.seed)
    sampling = Sampling(asked.temperature, asked.tokens, asked.seed)
    step = oss_instruct.ask(engine, cache, decks(asked), seeds, sampling, Contamination())
    sources = {seed["id"]: seed["source"] for seed in seeds}
    return [each | {"source": sources[each["seed"]]} for each in step.records], [step]


def evol(engine: Engine, cache: Journal, asked: argparse.Namespace) -> Made:
    """Evol-Instruct: the run's tasks, made harder in rounds, all of them answered."""
    harder = Sampling(asked.temperature, asked.task_tokens, asked.seed)
    tasks, steps = evol_instruct.evolve(engine, cache, tasks_of(asked), harder, asked.rounds)
    step = answers.ask(engine, cache, decks(asked), tasks, Sampling(asked.temperature, asked.tokens, asked.seed))
    of = {task["id"]: task for task in tasks}
    return [each | history(of[each["parent"]]) for each in step.records], [*steps, step]


def history(task: Record) -> Record:
    """Return by which method, in which round and from which task one was made; round 0 are those given."""
    made_from = task["parent"] if "round" in task else ""
    return {"round": task.get("round", 0), "method": task.get("method", ""), "made_from": made_from}


def distilled(engine: Engine, cache: Journal, asked: argparse.Namespace) -> Made:
    """Direct distillation: the run's tasks, each answered once by the model, which is another than the tuned one."""
    sampling = Sampling(asked.temperature, asked.tokens, asked.seed)
    step = answers.ask(engine, cache, decks(asked), tasks_of(asked), sampling)
    return step.records, [step]


RECIPES: dict[str, Callable[[Engine, Journal, argparse.Namespace], Made]] = {
    "oss-instruct": oss, "evol-instruct": evol, "distillation": distilled,
}  # fmt: skip
TEMPERATURE = {"evol-instruct": 0.7}  # theblackcat102/evol-dataset; the others' is 0
OPERATIONAL = ("out", "engine", "max_seqs")  # how fast the examples come and where they go, not what they are


def decks(asked: argparse.Namespace) -> Decks:
    """Return decks of one exemplar each, every exemplar in one of them."""
    exemplars = load_exemplars(asked.exemplars, restricted=True)
    return Decks(exemplars, 1, len(exemplars), asked.seed)


def tasks_of(asked: argparse.Namespace) -> list[Record]:
    """Return the first tasks, by id, of the folder of a run or a reference."""
    found = read_stored(ROOT / asked.tasks, "synthesis", "instructions.jsonl")
    return sorted(found, key=lambda task: task["id"])[: asked.count or None]


def running(examples: Iterable[Record]) -> set[str]:
    """Return the ids of the examples that have a program which loads in the sandbox to its end; nothing is tested."""
    programs = [{"id": each["id"], "code": code_of(each["response"]), "tests": "pass"} for each in examples]
    verdicts = run_programs([each for each in programs if each["code"]], Limits())
    return {verdict["id"] for verdict in verdicts if verdict["verdict"] == "notest"}  # as there is no test


def begin(asked: argparse.Namespace) -> None:
    """Write what is asked for into recipe.json; StudyError when another recipe or other parameters were begun there."""
    asked.out.mkdir(parents=True, exist_ok=True)
    place, facts = asked.out / "recipe.json", facts_of(asked)
    before = json.loads(place.read_text())["asked"] if place.is_file() else facts
    if differ := [key for key in before | facts if before.get(key) != facts.get(key)]:
        raise StudyError(f"{shown(asked.out)} was begun with another {differ[0]}: give another --out, or delete it")
    write_text(place, json.dumps({"asked": facts}, indent=1) + "\n")


def facts_of(asked: argparse.Namespace) -> Record:
    """Return what was asked for, as it is written."""
    given = {name: value for name, value in vars(asked).items() if name not in OPERATIONAL}
    return {name: shown(value) if isinstance(value, Path) else value for name, value in given.items()}


def finish(asked: argparse.Namespace, made: Iterable[Record], dropped: Counter[str], **more: Any) -> Record:
    """Write examples.jsonl, without those that repeat a benchmark, and recipe.json; return what the latter says."""
    contamination, kept, dropped = Contamination(), list[Record](), Counter(dropped)
    for each in made:
        if reason := contamination.reason(f"{each['instruction']}\n{each['response']}"):
            dropped[reason] += 1
        else:
            kept.append(each)
    run = running(kept)
    write_records(asked.out / "examples.jsonl", [each | {"runs": each["id"] in run} for each in kept])
    said = {"asked": facts_of(asked), "examples": len(kept), "run": len(run), "dropped": dict(dropped.most_common())}
    write_text(asked.out / "recipe.json", json.dumps(said | more, indent=1) + "\n")
    return said | more


def make(name: str, asked: argparse.Namespace) -> Record:
    """Write a recipe's examples and recipe.json into a folder; return what the latter says."""
    begin(asked)
    engine = open_engine(asked.engine, asked.model, asked.max_seqs)
    with Journal(asked.out / "completions.jsonl") as cache:
        made, steps = RECIPES[name](engine, cache, asked)
        spent = cost([completion for step in steps for completion in step.completions])
    engine.close()
    dropped = sum((step.reasons for step in steps), Counter[str]())
    return finish(asked, made, dropped, revision=engine.revision, cost=spent)


def command_line(words: Sequence[str] | None) -> Any:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m lib.synthesize.recipes", description=__doc__)
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("--out", type=Path, required=True, help="the folder that is written")
    parser.add_argument("--model", required=True, help="that writes; for distillation another than the tuned one")
    parser.add_argument("--engine", default="vllm", help="vllm, server or transformers")
    parser.add_argument("--tasks", default="data/reference/pool", help="run or reference whose tasks are used")
    parser.add_argument("--corpus", default="packages", help="of the windows, as notebook 01's CORPUS")
    parser.add_argument("--packages", default="", help="part of the pinned corpus, names with commas")
    parser.add_argument("--licence", default="", help="of the corpus' files, as notebook 01's LICENCE")
    parser.add_argument("--count", type=int, default=0, help="seeds or tasks to begin with; all tasks when left out")
    parser.add_argument("--rounds", type=int, default=evol_instruct.ROUNDS, help="of Evol-Instruct")
    parser.add_argument("--exemplars", default="terse", help="full or terse, as notebook 02's EXEMPLARS")
    parser.add_argument("--temperature", type=float, help="0, and 0.7 for Evol-Instruct, when left out")
    parser.add_argument("--tokens", type=int, default=400, help="of an answer")
    parser.add_argument("--task-tokens", type=int, default=200, help="of a rewritten task")
    parser.add_argument("--seed", type=int, default=3407)
    parser.add_argument("--max-seqs", type=int, default=128)
    asked = parser.parse_args(words)
    if asked.recipe == "oss-instruct" and asked.count < 1:
        raise StudyError("oss-instruct needs --count: of how many files a window is taken")
    if asked.temperature is None:
        asked.temperature = TEMPERATURE.get(asked.recipe, 0.0)
    return asked


def main(words: Sequence[str] | None = None) -> None:
    """Make what the command line names, and print what came of it."""
    asked = command_line(words)
    said = make(asked.recipe, asked)
    print(f"{said['examples']} examples in {shown(asked.out)}, of which {said['run']} have a program that runs")
    print(f"dropped: {said['dropped']}; cost: {said['cost']}")


if __name__ == "__main__":
    command(main)
