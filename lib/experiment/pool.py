"""A recorded pool as tasks with their responses and verdicts, and the strength of its tests."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lib.core.paths import shown
from lib.core.progress import Progress
from lib.core.records import Journal, Record, StudyError, content_id, read_records, write_records
from lib.core.study import only, read_stored
from lib.sandbox import Limits, run_with_journal
from lib.select import selection
from lib.select.strength import mutant_programs
from lib.synthesize import prompts

EXAMPLES, LEARNT = "examples.jsonl", ("id", "instruction", "response")  # of another way to make data
STRENGTH = "strength.jsonl"  # {id, mutants, killed} for every passing program; may lie beside a pool's verdicts


@dataclass(frozen=True)
class Pool:
    """What the stages 01 to 03 of a run recorded, by id: tasks, well-ended responses, verdicts of well-formed ones.

    `options`, `style` and `limits` are those of its notebook 03; `samples` were drawn for each task.
    """

    folder: Path
    tasks: Mapping[str, Record]
    responses: Mapping[str, Record]
    verdicts: Mapping[str, Record]
    sources: Mapping[str, Record]
    options: selection.Options
    style: prompts.Style
    limits: Limits
    samples: int

    @cached_property
    def programs(self) -> dict[str, Record]:
        """The well-formed responses as programs, by id."""
        made = selection.programs(self.responses.values(), self.style)[0]
        return {program["id"]: program for program in made}

    @cached_property
    def identity(self) -> str:
        """A hash of the tasks, the responses and the verdicts."""
        seen = [(name, verdict["verdict"]) for name, verdict in sorted(self.verdicts.items())]
        return content_id(sorted(self.tasks), sorted(self.responses), seen)

    def task(self, response: str) -> str:
        """Return the id of a response's task."""
        return self.responses[response]["parent"]

    def named(self, kind: str) -> list[str]:
        """Return the responses whose verdict a choice of notebook 03 takes: "passing", "failing" or "random"."""
        return sorted(name for name, seen in self.verdicts.items() if selection.CHOICES[kind](seen["verdict"]))

    def solved(self) -> dict[str, int]:
        """Return how many of a task's `samples` responses passed, by task; those cut off or malformed did not."""
        return dict.fromkeys(self.tasks, 0) | Counter(map(self.task, self.named("passing")))

    def divided(self) -> list[str]:
        """Return the tasks that have a passing and a failing response."""
        return sorted(set(map(self.task, self.named("passing"))) & set(map(self.task, self.named("failing"))))


def read_json(path: Path) -> Record:
    """Return the object in a JSON file; StudyError when there is none."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        raise StudyError(f"{shown(path)} cannot be read: record it first, or correct its name") from None


def whole_or_packed(path: Path) -> Path | None:
    """Return a file, or the one beside it that a record has gzipped; None where there is neither."""
    return next((found for found in (path, path.with_name(f"{path.name}.gz")) if found.is_file()), None)


@dataclass(frozen=True)
class Made:
    """Examples that another way to make data wrote, by id (`lib.synthesize.recipes`; another run of notebook 03)."""

    folder: Path
    examples: Mapping[str, Record]

    @cached_property
    def identity(self) -> str:
        """A hash of the examples' texts."""
        return content_id([[row[key] for key in LEARNT] for _, row in sorted(self.examples.items())])


def read_made(folder: Path) -> Made:
    """Return the examples in a recipe's folder, or those that notebook 03 kept in a run's; StudyError for none."""
    if found := whole_or_packed(folder / EXAMPLES):
        examples = read_records(found)
    elif (folder / only("filtering")).is_dir():
        examples = read_stored(folder, "filtering", "dataset.jsonl")
    else:
        place = shown(folder / EXAMPLES)
        raise StudyError(f"{place} is missing: run `python -m lib.synthesize.recipes`, or correct made in the plan")
    return Made(folder, {record["id"]: record for record in examples})


def read_pool(folder: Path) -> Pool:
    """Return the pool recorded in the folder of a run or of a reference; StudyError when a part of it is missing."""
    manifests = (read_json(folder / only(role) / "manifest.json") for role in ("synthesis", "filtering"))
    asked, filtered = (manifest["parameters"] for manifest in manifests)
    by_id = {
        file: {record["id"]: record for record in read_stored(folder, role, f"{file}.jsonl")}
        for role, file in (
            ("synthesis", "instructions"), ("synthesis", "responses"), ("filtering", "verdicts"), ("curation", "seeds"),
        )
    }  # fmt: skip
    limits = (filtered["CPU_SECONDS"], filtered["MEMORY_MB"])
    return Pool(
        folder, by_id["instructions"], by_id["responses"], by_id["verdicts"],
        {name: seed["source"] for name, seed in by_id["seeds"].items()},
        selection.preset(filtered["SELECTION"], **filtered["SELECTION_OPTIONS"]),
        # Responses are read here, none is asked for: a style without its system texts will do.
        prompts.style(asked["PROMPTS"], defaultdict(str)),
        Limits(*limits, output_kb=filtered["OUTPUT_KB"], packages=tuple(filtered["PACKAGES"])),
        asked["SAMPLES"],
    )  # fmt: skip


def alike(main: Pool, other: Pool) -> dict[str, str]:
    """Return {task of the other pool: the same task of the main one}: those with the same text, white space aside."""
    texts = {"".join(task["instruction"].split()): name for name, task in main.tasks.items()}
    keys = {name: "".join(task["instruction"].split()) for name, task in other.tasks.items()}
    return {name: texts[key] for name, key in keys.items() if key in texts}


def strengths(pool: Pool, path: Path, mutants: int) -> dict[str, Record]:
    """Return {id, mutants, killed} of every passing program: how many mutants of it its own tests fail.

    Read from the pool where it has STRENGTH, else from `path`, else measured in the sandbox and written there; killed
    meanwhile, it goes on.
    """
    recorded = pool.folder / only("filtering")
    if found := [p for p in (recorded / STRENGTH, recorded / f"{STRENGTH}.gz", path) if p.is_file()]:
        return {record["id"]: record for record in read_records(found[0])}
    changed = list(mutant_programs([pool.programs[name] for name in pool.named("passing")], mutants, pool.options.seed))
    made = {name: {"id": name, "mutants": 0, "killed": 0} for name in pool.named("passing")}
    progress = Progress("mutants of the pool", len(changed), "programs")
    with Journal(path.with_suffix(".partial.jsonl")) as journal:
        for done, seen in enumerate(run_with_journal(changed, journal, pool.limits), 1):
            record = made[seen["id"].rpartition(":")[0]]
            record["mutants"] += 1
            record["killed"] += seen["verdict"] != "pass"
            progress.update(done)
    write_records(path, made.values())
    return made
