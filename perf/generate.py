"""Seeds per hour of the three generation steps: `python -m perf.generate [SEEDS [SAMPLES]]`.

Ours is compared with the official schedule (self_ossinstruct.py of the paper's repository, reimplemented) on one loaded
model, one machine, the same inputs and sampling. In the official one, every prompt has a fresh random sample of
exemplars, and a batch must be finished before the next begins. The batches are those of its shell scripts (8, 8 and 16
prompts) and, as a second peer, those of its README (2,000, 2,000 and 500). The prefix cache is on for all and emptied
before each. The seeds are the first of the recorded laptop run; the peers get the first quarter of ours, because more
prompts would not make theirs share more. The table also has the machine's measured bf16 matrix rate and the share of it
that the model's arithmetic took.
"""

import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from itertools import islice
from pathlib import Path

from lib.core.models import resolve
from lib.core.notebooks import parameter_defaults
from lib.core.paths import ROOT
from lib.core.records import Journal, Record, StudyError, iter_records
from lib.generate import Engine, Request, cost
from lib.generate.vllm_engine import Vllm
from lib.synthesize import prompts
from lib.synthesize import self_oss_instruct as instruct
from lib.synthesize.exemplars import Decks, load_exemplars, load_systems
from perf.machine import matrices, matrix_rate

DEFAULTS = parameter_defaults("02_self_oss_instruct")
STEPS, TOKENS = ("concepts", "instructions", "responses"), ("CONCEPT_TOKENS", "INSTRUCTION_TOKENS", "RESPONSE_TOKENS")
SEED, OURS = DEFAULTS["SAMPLING_SEED"], "ours"
# Decks of the first two steps, decks of the third, and prompts per batch in each of the three.
SCHEMES = {
    "official, scripts": (0, 0, (8, 8, 16)),
    "official, README": (0, 0, (2000, 2000, 500)),
    OURS: (DEFAULTS["DECKS"], DEFAULTS["RESPONSE_DECKS"], (10**9,) * 3),
}


class Schedule:
    """An engine that finishes each batch before the next and starts with an empty prefix cache."""

    def __init__(self, engine: Vllm, batch: int) -> None:
        self.engine, self.batch, self.seconds = engine, batch, 0.0
        self.revision, self.version = engine.revision, engine.version

    def load(self) -> None:
        """Empty the prefix cache."""
        assert self.engine._llm is not None
        self.engine._llm.reset_prefix_cache()

    def generate(self, requests: Iterable[Request]) -> Generator[tuple[int, Record], None, None]:
        """Yield completions and measure the time."""
        start = time.perf_counter()
        waiting, first = iter(requests), 0
        while batch := list(islice(waiting, self.batch)):
            for index, completion in self.engine.generate(batch):
                yield first + index, completion
            first += len(batch)
        self.seconds = time.perf_counter() - start

    def count_tokens(self, text: str) -> int:
        """Count as the engine does."""
        return self.engine.count_tokens(text)

    def close(self) -> None:
        """Do nothing: the engine is used again."""


def arithmetic(folder: Path, computed: int, generated: int) -> float:
    """Return the operations of the model's matrices for `computed` prompt tokens and `generated` tokens."""
    layers, head = matrices(folder)
    return 2.0 * layers * (computed + generated) + 2.0 * head * generated


def ask(
    step: int, engine: Engine, cache: Journal, style: prompts.Style, deal: Decks, given: list[Record], samples: int
) -> instruct.Step:
    """Make one of the three steps, with the notebook's defaults."""
    sampling = instruct.Sampling(DEFAULTS["TEMPERATURE"], DEFAULTS[TOKENS[step]], SEED)
    if step == 0:
        return instruct.ask_concepts(engine, cache, style, deal, given, sampling)
    if step == 1:
        weights, max_words = (DEFAULTS["CATEGORIES"], DEFAULTS["DIFFICULTIES"]), DEFAULTS["MAX_WORDS"]
        return instruct.ask_instructions(engine, cache, style, deal, given, sampling, weights, max_words)
    return instruct.ask_responses(engine, cache, style, deal, given, sampling, samples)


def row(step: int, scheme: str, schedule: Schedule, given: int, spent: Record, rate: float) -> str:
    """Return a line of the table; `rate` is the machine's matrix rate in operations per second."""
    work = arithmetic(schedule.engine.model.path, spent["computed"], spent["completion tokens"])
    return (
        f"{STEPS[step]:13}{scheme:18} {schedule.seconds:7.1f} s "
        f"{given:4} of {3600 * given / schedule.seconds:6,.0f} an hour "
        f"{spent['completion tokens'] / schedule.seconds:6.0f} tokens/s "
        f"{spent['computed']:8,} of {spent['prompt tokens']:8,} prompt tokens computed "
        f"{100 * work / schedule.seconds / rate:5.0f}% of the matrix rate"
    )


def measure(engine: Vllm, seeds: list[Record], samples: int, rate: float) -> dict[str, float]:
    """Run the three steps under each schedule, print a line for each; return the seconds per seed by schedule."""
    style, exemplars = prompts.style("fenced", load_systems()), load_exemplars(DEFAULTS["EXEMPLARS"])
    totals = dict.fromkeys(SCHEMES, 0.0)
    inputs = seeds
    for step, name in enumerate(STEPS):
        made: list[Record] = []
        for scheme, (decks, response_decks, batches) in SCHEMES.items():
            given = inputs if scheme == OURS else inputs[: -(-len(inputs) // 4)]
            schedule = Schedule(engine, batches[step] * (samples if name == "responses" else 1))
            shots = ("RESPONSE_SHOTS", response_decks) if name == "responses" else ("SHOTS", decks)
            deal = Decks(exemplars, DEFAULTS[shots[0]], shots[1], SEED)
            with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "cache.jsonl") as cache:
                done = ask(step, schedule, cache, style, deal, given, samples)
                spent, made = cost(done.completions), list(done.records)
            totals[scheme] += schedule.seconds / len(given) * len(inputs) / len(seeds)
            print(row(step, scheme, schedule, len(given), spent, rate), flush=True)
        inputs = made  # of the last scheme, ours: the next step has the same inputs under all
    return totals


def main() -> None:
    """Measure and print a table."""
    count, samples = (int(argument) for argument in [*sys.argv[1:], *("256", "2")[len(sys.argv) - 1 :]])
    recorded = ROOT / "data" / "reference" / "laptop" / "01_seed_curation" / "seeds.jsonl.gz"
    if not recorded.is_file():
        raise StudyError(f"{recorded} is missing: it comes with the repository")
    seeds = sorted(iter_records(recorded), key=lambda seed: seed["order"])[:count]
    rate = matrix_rate()
    engine = Vllm(resolve(DEFAULTS["MODEL"]), DEFAULTS["MAX_SEQS"])
    engine.load()
    print(f"{count} seeds, {samples} responses for each task; {rate / 1e12:.2f} bf16 matrix Tflop/s")
    totals = measure(engine, seeds, samples, rate)
    for scheme, seconds in totals.items():
        print(f"all steps    {scheme:18} {3600 / seconds:8,.0f} seeds an hour; ours {seconds / totals[OURS]:.2f} times")


if __name__ == "__main__":
    main()
