"""How many requests, tokens and hours each step of a run would take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from lib.core.shapes import BF16, Shape
from lib.core.study import only
from lib.evaluate.claims import read_claims
from lib.evaluate.steps import parts
from lib.runner.plan import hardware
from lib.runner.plan.hardware import Hardware
from lib.runner.plan.known import Known
from lib.runner.plan.memory import Engines, Processes, cache_tokens
from lib.runner.plan.prompts import Kind

# What earlier runs yielded, and so what a plan expects.
STACK_SEEDS = 248_934  # seeds that the paper gets from The Stack (section B.2)
YES = 0.69  # share of docstrings that pass the judge, in data/reference/laptop; the paper states none
TASKS = 238 / 250  # tasks a seed, StarCoder2-Instruct's report
FEW, MANY = (37_000, 15_600), (250_000, 74_000)  # seeds and examples (Table 9; section 3)
PROBLEMS = {"humaneval": 164, "mbpp": 399}  # MBPP of EvalPlus v0.1.0; the plus versions ask the same
EVOEVAL = 100  # problems of each of its sets
BYTES = 3.5  # of a token, as the tokenizers of data/reference/laptop have it
PROGRAM_SECONDS = 0.14  # of a core for a response, its controls and mutants: a laptop run's 62 s for 892 on two cores


@dataclass(frozen=True)
class Step:
    """One step of a run: requests, tokens of all prompts as computed (not from the cache) and of all answers, hours.

    `gpus` work on it for `hours`, so that it takes gpus x hours GPU-hours.
    """

    stage: str
    name: str
    requests: float
    prompts: float
    answers: float
    gpus: int
    hours: float


def counts(kind: Kind, parameters: Mapping[str, Mapping[str, Any]]) -> tuple[float, int]:
    """Return how many different prompts of a kind a run has, and how many answers each gets."""
    values = parameters[only("synthesis")]
    if kind.name == "judge":
        return judged(parameters[only("curation")]), 1
    if kind.name == "evaluation":
        return evaluated(parameters[only("evaluation")]), parameters[only("evaluation")]["SAMPLES"]
    if kind.name == "response":
        return TASKS * values["N_SEEDS"], values["SAMPLES"]
    return values["N_SEEDS"], 1


def judged(values: Mapping[str, Any]) -> float:
    """Return how many docstrings are judged, also again and in the planted cases; at most as many as the Stack has."""
    return min(values["JUDGED"], STACK_SEEDS / YES) + values["JUDGED_TWICE"] + 2 * values["PLANTED"]


def evaluated(values: Mapping[str, Any]) -> float:
    """Return how many prompts the benchmarks have for the models before and after, and the raw ones."""
    asked = parts(values["N_PROBLEMS"], values["BENCHMARKS"])
    problems: dict[str, int] = {}  # one answer serves a benchmark and the one with more tests
    for name in values["BENCHMARKS"]:
        plain = name.partition("@")[0].removesuffix("+")
        there = PROBLEMS.get(plain, EVOEVAL)
        problems[plain] = max(problems.get(plain, 0), min(there, asked[name] or there))
    return (2 + len(values["RAW_PROMPTS"])) * sum(problems.values())


def examples(seeds: float) -> float:
    """Return how many training examples come from so many seeds, in the proportion of the paper's two settings."""
    return seeds * (FEW[1] / FEW[0] if seeds <= FEW[0] else MANY[1] / MANY[0])


def generation(kind: Kind, known: Known, plan: Engines, where: Hardware, amount: tuple[float, int]) -> Step:
    """Return the step that answers a kind of prompt; `amount` is what `counts` returns.

    A prompt is computed once for all its answers, and what its examples share with other prompts once for all. Answers
    are decoded in batches as large as the cache allows; each token of one reads all weights and the batch's caches.
    """
    assert known.shape is not None
    shape, gpu = known.shape, where.gpu
    different, samples = amount
    whole = mean(map(known.tokens, kind.prompts))
    computed = mean(map(known.tokens, kind.queries)) if kind.shared else whole
    answer = min(kind.limit, mean(map(known.tokens, kind.answers)))
    prompts, answers = different * computed, different * samples * answer
    room = cache_tokens(shape, plan, where) / (whole + answer)
    batch = max(1.0, min(plan.batch, room, different * samples / max(plan.count, 1)))
    reading = seconds_of_prompts(shape, prompts, gpu)
    bytes_read = shape.parameters * BF16 + batch * (whole + answer) * shape.cache_bytes()
    step = max(
        bytes_read / (gpu.bandwidth * hardware.DECODING),
        2 * shape.parameters * batch / (gpu.operations * hardware.PROMPTS),
    )
    gpus = min(plan.gpus, where.count) or 1
    seconds = reading + answers / batch * step  # of one GPU that does all
    return Step(kind.stage, kind.name, different * samples, prompts, answers, gpus, seconds / 3600 / gpus)


def seconds_of_prompts(shape: Shape, tokens: float, gpu: hardware.Gpu) -> float:
    """Return the seconds that one GPU takes to read so many tokens: two operations for each weight and token."""
    return 2 * shape.parameters * tokens / (gpu.operations * hardware.PROMPTS)


def training(
    shape: Shape, values: Mapping[str, Any], plan: Processes, where: Hardware, given: float, example: float
) -> Step:
    """Return the fine-tuning on so many examples of a mean length in tokens.

    It takes six operations for each weight, token and epoch (four with adapters), two more with gradient checkpointing,
    and all twice with COMPARE_LOSS.
    """
    tokens = given * example * values["EPOCHS"] * (2 if values["COMPARE_LOSS"] else 1)
    each = (6 if values["METHOD"] == "full" else 4) + (2 if values["GRADIENT_CHECKPOINTING"] else 0)
    seconds = each * shape.parameters * tokens / (where.gpu.operations * hardware.TRAINING)
    gpus = min(plan.count, where.count)
    return Step(only("training"), "fine-tuning", given, tokens, 0, gpus, seconds / 3600 / gpus)


def programs(parameters: Mapping[str, Mapping[str, Any]], cores: int) -> Step:
    """Return the execution of all responses, which needs no GPU."""
    values = parameters[only("synthesis")]
    count = TASKS * values["N_SEEDS"] * values["SAMPLES"]
    return Step(only("filtering"), "programs", count, 0, 0, 0, count * PROGRAM_SECONDS / cores / 3600)


def records_bytes(steps: Sequence[Step]) -> float:
    """Return about how many bytes a run's records take: an answer is stored thrice, each time with notes on it."""
    return sum(3 * BYTES * step.answers + 1100 * step.requests for step in steps)


def table_12(name: str) -> dict[str, float]:
    """Return what Table 12 says of a model, by the benchmark's name in data/claims.yaml; {} for other models."""
    rows = [claim["values"] for claim in read_claims()["claims"] if claim["id"] == "cost-value"]
    return {row["benchmark"]: row["better"] for row in rows[0] if row["base"] == name} if rows else {}
