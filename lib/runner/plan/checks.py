"""What stops a run of a profile, found before it starts, and what its reader should know all the same."""

import importlib.util
import inspect
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib import evaluate
from lib.core.paths import ROOT, runs_folder
from lib.core.records import StudyError
from lib.core.study import only
from lib.corpora import HUB
from lib.corpora.hub import NAME
from lib.evaluate import beyond, steps
from lib.generate.engines import ENGINES
from lib.runner.doctor import existing
from lib.runner.plan import memory
from lib.runner.plan.hardware import GIB, Hardware
from lib.runner.plan.known import Known, access, has_token
from lib.runner.plan.memory import Engines, Processes
from lib.runner.plan.prompts import Kind
from lib.sandbox.interpreters import package_paths
from lib.select import selection

Parameters = Mapping[str, Mapping[str, Any]]
OWN_RATE, OTHERS_RATE = 1e-5, 2e-5  # of full fine-tuning, on a model's own data and on another model's (section C.3)
METHODS = ("lora", "qlora", "full")


@dataclass
class Findings:
    """What stops a run, and notes that do not; a line each."""

    stops: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def tried(self, check: Any, *arguments: Any) -> Any:
        """Return what a check returns; a StudyError of it is a stop, and None returned."""
        try:
            return check(*arguments)
        except StudyError as error:
            self.stops.append(str(error))
            return None


def check_names(parameters: Parameters, found: Findings) -> None:
    """Check what notebooks would refuse later: engines and their options, selection, method, benchmarks, packages."""
    for stage, values in parameters.items():
        kind = ENGINES.get(values.get("ENGINE", "vllm"))
        if kind is None:
            found.stops.append(f"{stage}: ENGINE={values['ENGINE']!r} is unknown; choose one of {', '.join(ENGINES)}")
        elif values.get("ENGINE", "replay") != "replay":
            try:
                inspect.signature(kind).bind(None, values["MAX_SEQS"], **values["ENGINE_OPTIONS"])
            except TypeError as error:
                found.stops.append(f"{stage}: ENGINE_OPTIONS: {error}; see {kind.__name__} in lib/generate")
    filtering, training = parameters[only("filtering")], parameters[only("training")]
    changes = {"choice": filtering["CHOICE"], **filtering["SELECTION_OPTIONS"]}
    found.tried(lambda: selection.preset(filtering["SELECTION"], **changes))
    found.tried(package_paths, filtering["PACKAGES"])
    if training["METHOD"] not in METHODS:
        found.stops.append(f"{only('training')}: METHOD={training['METHOD']!r} is unknown; choose {', '.join(METHODS)}")
    for name in parameters[only("evaluation")]["BENCHMARKS"]:
        found.tried(evaluate.named, name)
    found.tried(steps.raw_labels, parameters[only("evaluation")]["RAW_PROMPTS"])


def check_beyond(asked: Mapping[str, Any], found: Findings) -> None:
    """Check the names in the parameters of notebook 06, which is no part of the study and not reckoned."""
    for name in asked["BENCHMARKS"]:
        found.tried(evaluate.named, name)
        found.tried(beyond.decoding, asked["DECODING"], name)


def check_engines(stage: str, known: Known, plan: Engines, where: Hardware, found: Findings) -> None:
    """Check an engine's GPUs, its division of heads, its window and the room for its cache."""
    shape, options = known.shape, f"{stage}: tensor_parallel_size={plan.parts} in ENGINE_OPTIONS"
    if where.source != "CPU" and plan.gpus > where.count:
        asked = f"{plan.count} x {plan.parts} (workers x tensor_parallel_size)"
        found.stops.append(f"{stage}: ENGINE_OPTIONS asks for {asked} GPUs and there are {where.count}: lower either")
    if shape is None:
        return
    if shape.heads % plan.parts:
        found.stops.append(f"{options} does not divide the {shape.heads} heads of {known.name}: choose a divisor")
    elif shape.kv_heads % plan.parts and plan.parts % shape.kv_heads:
        heads = f"{shape.kv_heads} key-value heads of {known.name}"
        found.stops.append(f"{options} neither divides the {heads} nor is a multiple of them: choose another")
    if plan.window > shape.window:
        window = f"{stage}: max_model_len={plan.window}"
        found.stops.append(f"{window} is more than the {shape.window} of {known.name}: lower it in ENGINE_OPTIONS")
    if memory.cache_tokens(shape, plan, where) < plan.window:
        found.stops.append(
            f"{stage}: {known.name} leaves no room for a cache of {plan.window:,} tokens on {plan.parts} x "
            f"{where.gpu.memory:.0f} GiB: raise tensor_parallel_size or lower max_model_len in ENGINE_OPTIONS"
        )


def check_window(kind: Kind, longest: int, window: int, found: Findings) -> None:
    """Check that the longest prompt of a kind fits the window, and note where little room is left for its answer."""
    if longest >= window:
        found.stops.append(
            f"{kind.stage}: a prompt for {kind.name} has {longest:,} tokens and the window {window:,}: raise "
            "max_model_len in ENGINE_OPTIONS or show fewer exemplars"
        )
    elif longest + kind.limit > window:
        found.notes.append(
            f"{kind.stage}: after the longest prompt for {kind.name} the window has room for {window - longest:,} of "
            f"the {kind.limit:,} tokens that an answer may have"
        )


def check_training(
    parameters: Parameters, known: Known, plan: Processes, where: Hardware, example: float, found: Findings
) -> None:
    """Check the batch, the processes and their memory, and the learning rate."""
    stage, values = only("training"), parameters[only("training")]
    at_once = plan.count * values["MICRO_BATCH"]
    if at_once < 1 or values["BATCH"] % at_once:
        found.stops.append(
            f"{stage}: BATCH={values['BATCH']} is not a multiple of {at_once}, MICRO_BATCH x processes: change either"
        )
    if where.source != "CPU" and plan.count > where.count:
        found.stops.append(
            f"{stage}: LAUNCH={values['LAUNCH']} starts {plan.count} processes and there are {where.count} GPUs: "
            "change num_processes in a configuration of your own, or choose another"
        )
    if plan.kind == "DEEPSPEED" and importlib.util.find_spec("deepspeed") is None:
        found.stops.append(f"{stage}: LAUNCH={values['LAUNCH']} needs the package deepspeed: install it, or use fsdp")
    if values["METHOD"] == "qlora" and where.source == "CPU":
        found.stops.append(f"{stage}: METHOD=qlora needs a GPU: use lora here")
    check_rate(parameters, found)
    if known.shape is None or where.source == "CPU" or values["METHOD"] not in METHODS:
        return
    state = sum(memory.training_state(known.shape, values, plan).values())
    total = state + memory.activations(known.shape, values, plan, example)
    if total > where.gpu.memory * GIB:
        more = "" if values["GRADIENT_CHECKPOINTING"] else "set GRADIENT_CHECKPOINTING, "
        found.stops.append(
            f"{stage}: training {known.name} takes about {total / GIB:.0f} GiB of each GPU, which has "
            f"{where.gpu.memory:.0f}: {more}shard it with LAUNCH=fsdp over more GPUs, or train with METHOD=lora"
        )


def check_rate(parameters: Parameters, found: Findings) -> None:
    """Note a learning rate of full fine-tuning that is not the paper's for this origin of the data."""
    training, synthesis = parameters[only("training")], parameters[only("synthesis")]
    writer = synthesis["TEACHER"] or synthesis["MODEL"]
    if training["METHOD"] == "full":
        own = training["MODEL"] == writer
        paper = OWN_RATE if own else OTHERS_RATE
        if training["LEARNING_RATE"] != paper:
            whose = "its own data" if own else f"data of {writer}"
            found.notes.append(
                f"{only('training')}: LEARNING_RATE={training['LEARNING_RATE']:g}, where the paper has {paper:g} for a "
                f"model trained on {whose}"
            )


def check_corpus(corpus: str, found: Findings) -> None:
    """Check that a corpus of the hub, which is streamed, can be had from here, and that a local one exists."""
    if not corpus.startswith(HUB):
        if corpus != "packages" and not (ROOT / Path(corpus).expanduser()).exists():
            found.stops.append(f"CORPUS={corpus} does not exist: name a folder, a list of files or a data set")
        return
    parts = NAME.fullmatch(corpus.removeprefix(HUB))
    if parts is None:
        found.stops.append(f"CORPUS={corpus} is no data set of the hub: write hub:owner/name")
        return
    answers, problem = access(parts[1], "dataset")
    token = "" if has_token() else ", with HF_TOKEN set if it is gated"
    away = f"the hub does not answer, and {corpus} is streamed from it: run 01 where there is a network{token}"
    if problem or not answers:
        found.stops.append(problem or away)


def check_disk(run: float, fetched: float, found: Findings) -> str:
    """Return a line on the disks of runs and of downloads; a stop where one has too little room."""
    from huggingface_hub.constants import HF_HUB_CACHE  # late: it reads the environment when it is imported

    wanted: dict[int, tuple[float, Path]] = {}
    for size, place in ((run, runs_folder()), (fetched, Path(HF_HUB_CACHE))):
        device = os.stat(existing(place)).st_dev
        wanted[device] = wanted.get(device, (0.0, place))[0] + size, wanted.get(device, (0.0, place))[1]
    said = []
    for size, place in wanted.values():
        free = shutil.disk_usage(existing(place)).free
        said.append(f"{size / 1e9:.1f} GB of {free / 1e9:.0f} GB free in {place}")
        if size > free:
            found.stops.append(
                f"{place} has {free / 1e9:.0f} GB free and the run writes up to {size / 1e9:.0f}: free some, or move "
                "STUDY_RUNS or HF_HOME"
            )
    return "; ".join(said)
