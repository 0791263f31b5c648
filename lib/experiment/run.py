"""Runs arms one by one, each step in a process of its own; what is done is not done again."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lib.core.models import resolve
from lib.core.paths import ROOT, shown
from lib.core.progress import Progress, say
from lib.core.records import Record, StudyError, content_id, read_records, write_records
from lib.evaluate import load_benchmark
from lib.experiment.dataset import datasets, stock
from lib.experiment.job import HELD_OUT, SCORES, write_job
from lib.experiment.plan import MADE, REMEDY, UNTRAINED, Arm, Plan
from lib.experiment.pool import read_made, read_pool, strengths
from lib.experiment.validation import apart, outside, validation
from lib.overlap.contamination import Contamination
from lib.train.launch import PARENT
from lib.train.template import load_tokenizer

MINUTES = 17  # of a training of the 0.5B with its scores, where most arms were recorded
WEIGHTS = ("model", "adapter", "checkpoints")  # folders of an arm that go when it is scored


def prepare(plan: Plan, arms: Sequence[Arm], out: Path) -> None:
    """Write what determines each arm, its data set in ids, and the validation set, before anything is trained."""
    groups = {arm.tasks for arm in arms if arm.selection != UNTRAINED}
    groups |= {plan.arms[like].tasks for group in groups if (like := plan.tasks[group].like)}
    needed = {line.recipe for line in plan.arms.values() if line.tasks in groups}
    main = next(iter(plan.pools))
    pools = {name: read_pool(ROOT / folder) for name, folder in plan.pools.items() if name in {main, *needed}}
    strength = strengths(pools[main], out / f"strength-{pools[main].identity}.jsonl", plan.validation.mutants)
    held_out = validation(pools[main], strength, plan.validation.tasks, plan.validation.seed)
    keep_apart(held_out, out / HELD_OUT)
    bases = {name: resolve(name) for name in {plan.base, *(arm.base for arm in arms)}}
    made = {arm.recipe: read_made(ROOT / plan.made[arm.recipe]) for arm in arms if arm.selection == MADE}
    learnt: dict[str, list[Record]] = {}
    if groups:
        tokenizer = load_tokenizer(bases[plan.base].path)
        tasks = apart(pools[main], held_out)
        open_to_all = {name: outside(of.examples.values(), pools[main], tasks) for name, of in made.items()}
        learnt = datasets(stock(plan, pools, tasks, tokenizer, Contamination().reason, open_to_all), groups)
    # Loaded here, so that a missing one is found before anything is trained.
    hashes = {name: load_benchmark(name).sha256 for name in sorted({n for arm in arms for n in arm.scoring.benchmarks})}
    for arm in arms:
        base = bases[arm.base]
        given = {
            "base": {"name": base.name, "revision": base.revision, "sha256": base.sha256},
            "benchmarks": {name: hashes[name] for name in arm.scoring.benchmarks},
            "validation": content_id(held_out),
        }
        data = learnt[plan.line(arm.name)] if arm.selection != UNTRAINED else []
        source = made[arm.recipe] if arm.selection == MADE else pools.get(arm.recipe, pools[main])
        write_job(arm, given, pools[main], source, data, out)


def keep_apart(held_out: Mapping[str, str], path: Path) -> None:
    """Write the validation set; StudyError when another one is there, which the arms beside it were scored on."""
    made = [{"id": task, "tests": name} for task, name in sorted(held_out.items())]
    if path.is_file() and read_records(path) != made:
        raise StudyError(f"{shown(path)} is another validation set: delete its folder, or give another --out")
    write_records(path, made)


def run(
    plan: Plan, names: Sequence[str], out: Path, seed: int = 0, among: Path | None = None, keep: bool = False
) -> None:
    """Train and score the arms of these names (none: all that can be), in the plan's order; of a `seed` those alone.

    With `among`, only those that are scored in that folder, too. `keep` leaves their weights, which are deleted
    otherwise. StudyError when there is no such training, when an arm does not finish, and at the end when trained arms
    wait for a cell of the grid to be chosen.
    """
    arms = [arm for arm in plan.select(names) if seed in (0, arm.seed)]
    arms = [arm for arm in arms if among is None or (arm.folder(among) / SCORES).is_file()]
    if not arms:
        raise StudyError(f"{', '.join(names) or 'the plan'} has no such training: give another --arms or --seed")
    prepare(plan, arms, out)
    waiting = [arm for arm in arms if not (arm.folder(out) / SCORES).is_file()]
    hours = len(waiting) * MINUTES / 60
    say(f"{len(waiting)} of {len(arms)} trainings to do, about {hours:.1f} h at {MINUTES} min each on 2 idle cores")
    progress = Progress("arms", len(arms), "trained and scored", done=len(arms) - len(waiting), every=0)
    for done, arm in enumerate(waiting, progress.resumed + 1):
        say(f"{arm.name}, seed {arm.seed}")
        for step in ("scoring",) if arm.selection == UNTRAINED else ("tuning", "scoring"):
            child(step, arm, out)
        for weights in () if keep else WEIGHTS:
            shutil.rmtree(arm.folder(out) / weights, ignore_errors=True)
        progress.update(done)
    if not names and plan.grid.chosen is None:
        raise StudyError(f"the other arms need a chosen cell of the grid: {REMEDY}")


def child(step: str, arm: Arm, out: Path) -> None:
    """Do a step of an arm in a process of its own, which gives its memory back and ends with this one."""
    command = [sys.executable, "-m", f"lib.experiment.{step}", str(arm.folder(out).resolve())]
    if subprocess.run(command, cwd=ROOT, env=os.environ | {PARENT: str(os.getpid())}).returncode:
        raise StudyError(f"{step} of {arm.name}, seed {arm.seed}, did not finish; the same command goes on from there")
