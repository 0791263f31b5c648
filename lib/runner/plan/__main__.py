"""Reckons what a run of a profile needs, checks what would stop it, and says so; status 1 when something does."""

import argparse
import os
from collections.abc import Iterable, Sequence
from statistics import mean

from lib import sandbox
from lib.core.cli import FAILED, command
from lib.core.notebooks import parameter_defaults
from lib.core.records import StudyError
from lib.core.study import only, undone, with_role
from lib.runner.plan import checks, hardware, memory, prompts, work
from lib.runner.plan.checks import Findings, Parameters
from lib.runner.plan.hardware import GIB, Hardware
from lib.runner.plan.known import Known, look
from lib.runner.plan.prompts import Kind
from lib.runner.plan.work import Step
from lib.runner.profiles import files_of, settle
from lib.runner.run import models_of

GENERATING = ("curation", "synthesis", "evaluation")  # the roles of stages that ask a model
PATIENCE = 48  # hours of generation and training on a CPU beyond which a run is taken to need GPUs


class Plan:
    """What is reckoned for a run: its parameters, models, prompts, hardware and steps, and what was found wrong."""

    def __init__(self, profile: str, options: dict[str, str], gpus: str) -> None:
        settled = settle(profile, options)
        self.profile, self.found, self.beyond = profile, Findings(), settled[only("beyond")]
        self.parameters = {stage.name: settled[stage.name] for stage in with_role("study")}
        run = self.parameters[only("training")]["RUN"]
        self.done = {stage for stage, values in self.parameters.items() if undone(run, stage, values) is None}
        left = {stage: values for stage, values in self.parameters.items() if stage not in self.done}
        names = {stage: found for stage, values in left.items() if (found := models_of(values))}
        looked = {name: look(name) for name in sorted({name for found in names.values() for name in found})}
        self.models = {stage: [looked[name] for name in found] for stage, found in names.items()}
        self.found.stops += [known.problem for known in looked.values() if known.problem]
        self.engines = {only(role): memory.engines(self.parameters[only(role)]) for role in GENERATING}
        self.trained = next(iter(self.models.get(only("training"), [])), None)
        self.recipe = self.parameters[only("training")]
        self.processes = self.found.tried(memory.processes, self.recipe["LAUNCH"]) or memory.Processes()
        kinds = self.found.tried(prompts.kinds, self.parameters) or []
        self.kinds = [kind for kind in kinds if kind.stage in self.models]
        self.longest = {kind.name: max(map(self.asked(kind).tokens, kind.prompts)) for kind in self.kinds}
        pool = self.parameters[only("synthesis")]["RESPONSE_EXEMPLARS"]
        limit, texts = self.recipe["MAX_LENGTH"], prompts.training_examples(pool)
        self.example = mean(min(limit, self.trained.tokens(text)) for text in texts) if self.trained else 0.0
        self.hardware = self.choose(gpus)
        self.steps = self.reckon(self.hardware)
        self.fetched = sum(known.fetched for known in looked.values())

    def asked(self, kind: Kind) -> Known:
        """Return the model that prompts of a kind are for: a teacher, which comes last, answers tasks."""
        return self.models[kind.stage][-1 if kind.name == "response" else 0]

    def choose(self, gpus: str) -> Hardware:
        """Return the hardware: as stated, as found, this machine's cores where they suffice, or else assumed GPUs."""
        if gpus:
            return hardware.stated(gpus)
        if found := hardware.found():
            return found
        cores = hardware.cpu()
        if (hours := sum(step.hours for step in self.reckon(cores) if step.gpus)) <= PATIENCE:
            return cores
        wanted = max(self.processes.count, *(plan.gpus for plan in self.engines.values()))
        self.found.stops.append(
            f"there is no GPU here, and these cores would take about {hours:,.0f} hours: run it where there are "
            f"{wanted} GPUs (GPUS={wanted}xA100 makes a plan for them)"
        )
        return Hardware(hardware.KINDS["A100"], wanted, "assumed")

    def reckon(self, where: Hardware) -> list[Step]:
        """Return the steps of the run on some hardware, without those of models whose sizes are not known."""
        steps = []
        if only("filtering") not in self.done:
            steps.append(work.programs(self.parameters, len(os.sched_getaffinity(0)) if where.here else hardware.CORES))
        for kind in self.kinds:
            if (known := self.asked(kind)).shape:
                amount = work.counts(kind, self.parameters)
                steps.append(work.generation(kind, known, self.engines[kind.stage], where, amount))
        if self.trained and self.trained.shape:
            given = work.examples(self.parameters[only("synthesis")]["N_SEEDS"])
            shape, example = self.trained.shape, self.example
            steps.append(work.training(shape, self.recipe, self.processes, where, given, example))
        return sorted(steps, key=lambda step: step.stage)

    def check(self) -> None:
        """Find what stops the run; `disk` and `tier` say what this machine has."""
        checks.check_names(self.parameters, self.found)
        checks.check_beyond(self.beyond, self.found)
        for stage, engines in self.engines.items():
            for known in self.models.get(stage, ()):
                checks.check_engines(stage, known, engines, self.hardware, self.found)
        for kind in self.kinds:
            checks.check_window(kind, self.longest[kind.name], self.engines[kind.stage].window, self.found)
        if self.trained:
            where, example = self.hardware, self.example
            checks.check_training(self.parameters, self.trained, self.processes, where, example, self.found)
        if only("curation") not in self.done:
            checks.check_corpus(self.parameters[only("curation")]["CORPUS"], self.found)
        self.check_memory()
        self.disk = checks.check_disk(self.written(), self.fetched, self.found)
        self.tier = self.found.tried(sandbox.check) or "none"

    def check_memory(self) -> None:
        """Find whether this machine's own memory suffices, if the run is to happen here."""
        if self.trained and self.trained.shape and self.hardware.here:
            needed = memory.host(self.trained.shape, self.recipe, self.processes) / GIB
            if needed > (here := hardware.cpu().gpu.memory):
                self.found.stops.append(
                    f"{only('training')}: training takes about {needed:.0f} GiB of the machine's memory, which has "
                    f"{here:.0f}: use a larger machine or a smaller MODEL"
                )

    def written(self) -> float:
        """Return about how many bytes the run writes."""
        if not (self.trained and self.trained.shape):
            return 0.0
        weights = memory.disk(self.trained.shape, self.recipe, self.processes)
        return weights + work.records_bytes(self.steps)


def aligned(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in columns, the first two of them text and the others numbers."""
    lines = [list(heads), *map(list, rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads))]
    return "\n".join(
        "  " + "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )  # fmt: skip


def changed(parameters: Parameters) -> list[str]:
    """Return a line per notebook with the values that are not its defaults."""
    lines = []
    for stage, values in parameters.items():
        own = {name: value for name, value in values.items() if parameter_defaults(stage)[name] != value}
        lines.append(f"  {stage}: " + ("; ".join(f"{name}={value!r}" for name, value in own.items()) or "its defaults"))
    return lines


def prompt_rows(plan: Plan) -> list[list[str]]:
    """Return a row per kind of prompt: its tokens beside the limit of an answer and the window."""
    rows = []
    for kind in plan.kinds:
        sizes = plan.longest[kind.name], kind.limit, plan.engines[kind.stage].window
        rows.append([kind.stage, kind.name, *(f"{size:,}" for size in sizes)])
    return rows


def memory_rows(plan: Plan) -> list[list[str]]:
    """Return a row per model that a stage loads: GiB of each GPU for weights, gradients, optimizer, cache, the rest."""
    rows = []
    for stage, known in ((stage, known) for stage, models in plan.models.items() for known in models):
        if known.shape is None:
            continue
        if stage == only("training"):
            state = memory.training_state(known.shape, plan.recipe, plan.processes)
            rest = memory.activations(known.shape, plan.recipe, plan.processes, plan.example)
            parts = [state["weights"], state["gradients"], state["optimizer"], 0.0, rest]
            what = f"{plan.recipe['METHOD']}, processes: {plan.processes.count} {plan.recipe['LAUNCH']}".rstrip()
        else:
            engines = plan.engines[stage]
            tokens = memory.cache_tokens(known.shape, engines, plan.hardware)
            cached = float(tokens * known.shape.cache_bytes(engines.parts))
            parts = [memory.engine_weights(known.shape, engines), 0.0, 0.0, cached, float(memory.ENGINE_SPARE)]
            what = f"engines: {engines.count} x {engines.parts}, cache of {tokens:,} tokens"
        sizes = (f"{part / GIB:.1f}" if part else "" for part in (*parts, sum(parts)))
        rows.append([stage, f"{known.name}: {what}", *sizes])
    return rows


def step_rows(steps: Sequence[Step]) -> list[list[str]]:
    """Return a row per step, and their sums."""
    rows = [
        [step.stage, step.name, f"{step.requests:,.0f}", millions(step.prompts), millions(step.answers),
         f"{step.gpus or ''}", f"{step.gpus * step.hours:,.2f}" if step.gpus else "", f"{step.hours:,.2f}"]
        for step in steps
    ]  # fmt: skip
    spent = sum(step.gpus * step.hours for step in steps)
    return [*rows, ["", "sum", "", "", "", "", f"{spent:,.2f}", f"{sum(step.hours for step in steps):,.2f}"]]


def millions(tokens: float) -> str:
    """Return a number of tokens in millions, "" for none."""
    return f"{tokens / 1e6:,.1f}" if tokens else ""


def beside(plan: Plan) -> list[str]:
    """Return lines with the paper's own hours for this model, those at its pace for these seeds, and why ours differ.

    That its batches wait for their last answer is in the authors' self_ossinstruct.py.
    """
    name = plan.parameters[only("synthesis")]["MODEL"]
    rows = work.table_12(name.partition("@")[0])
    if not rows:
        return []
    seeds = plan.parameters[only("synthesis")]["N_SEEDS"]
    said = ", ".join(f"{value:g} {what}" for what, value in rows.items())
    table = f"  Table 12 of the paper, {work.FEW[0]:,} seeds on four A100: {said}"
    if only("synthesis") in plan.done:
        return [table]
    hours = 4 * rows["hours of generation"] * seeds / work.FEW[0]
    ours = sum(step.gpus * step.hours for step in plan.steps if step.stage == only("synthesis"))
    return [
        table,
        f"  at that pace, the generation for {seeds:,} seeds takes {hours:,.0f} GPU-hours, above it is {ours:,.0f}:",
        "  its vLLM is of 2024, and idle until the last answer of a batch is there; the GPUs above are never idle,",
        "  and answers are taken to be as long as those that the model is shown",
    ]


def show(plan: Plan, price: float) -> None:
    """Print the plan, with its cost at a price in dollars a GPU-hour (0: not known)."""
    print(f"plan of {plan.profile}: {' < '.join(path.name for path in files_of(plan.profile))}")
    print(f"hardware: {plan.hardware}")
    print(f"done before, and not planned again: {', '.join(sorted(plan.done)) or 'nothing'}")
    print("parameters that differ from the notebooks' defaults:", *changed(plan.parameters), sep="\n")
    print("models:", *dict.fromkeys(f"  {known}" for models in plan.models.values() for known in models), sep="\n")
    print("\nprompts, the longest of each kind, in tokens:")
    print(aligned(("stage", "prompt for", "tokens", "answer at most", "window"), prompt_rows(plan)))
    of = "of memory" if plan.hardware.source == "CPU" else "on each GPU"
    print(f"\nGiB {of} (weights, gradients and optimizer computed; the rest estimated, for the longest examples):")
    heads = ("stage", "what", "weights", "gradients", "optimizer", "cache", "the rest", "sum")
    print(aligned(heads, memory_rows(plan)))
    shares = f"{hardware.PROMPTS:.0%} of its operations for prompts, {hardware.TRAINING:.0%} for training"
    print(f"\nwork, estimated (each GPU at {shares}, {hardware.DECODING:.0%} of its bandwidth for answers):")
    heads = ("stage", "step", "requests", "M prompt tokens", "M answer tokens", "GPUs", "GPU-hours", "hours")
    print(aligned(heads, step_rows(plan.steps)), *beside(plan), sep="\n")
    print("  reading and type-checking the corpus is not in these hours, nor is notebook 06 (other benchmarks)")
    if plan.hardware.source != "CPU":
        held = plan.hardware.count * sum(step.hours for step in plan.steps)
        cost = f"{held * price:,.0f} dollars at {price:g} a GPU-hour" if price else "PRICE= in dollars gives the cost"
        print(f"  {plan.hardware.count} GPUs held all the while: {held:,.1f} GPU-hours; {cost}")
    if plan.trained and plan.trained.shape:
        needed = memory.host(plan.trained.shape, plan.recipe, plan.processes) / GIB
        print(f"memory: training takes up to about {needed:.0f} GiB of the machine's own")
    print(f"disk: {plan.disk}; of these, {plan.fetched / 1e9:.1f} GB of weights to fetch")
    print(f"sandbox: {plan.tier}")


def command_line() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m lib.runner.plan", description=__doc__)
    parser.add_argument("--profile", default="laptop")
    for option in ("run", "model", "judge", "engine"):
        parser.add_argument(f"--{option}", default="")
    parser.add_argument("--gpus", default="", help="GPUs to plan for, as 4xA100, where they are not in this machine")
    parser.add_argument("--price", default=0.0, type=float, help="dollars a GPU-hour")
    return parser.parse_args()


def main() -> int:
    """Make, check and print the plan; return FAILED when something stops the run, else 0."""
    arguments = command_line()
    if arguments.price < 0:
        raise StudyError(f"PRICE={arguments.price:g} is negative: give dollars a GPU-hour, such as 2.5")
    options = {name: getattr(arguments, name.lower()) for name in ("RUN", "MODEL", "JUDGE", "ENGINE")}
    plan = Plan(arguments.profile, options, arguments.gpus)
    plan.check()
    show(plan, arguments.price)
    stops = list(dict.fromkeys(plan.found.stops))
    ends = [f"stopped by {len(stops)}" if stops else "ready"]
    print(*(f"--  {note}" for note in plan.found.notes), *(f"!!  {stop}" for stop in stops), *ends, sep="\n")
    return FAILED if stops else 0


if __name__ == "__main__":
    command(main)
