"""Seeds per hour of the three generation steps: `python -m perf.generate [SEEDS [SAMPLES]]`.

Ours beside the official schedule (self_ossinstruct.py of the paper's repository, in our own words), on one loaded
model, one machine, the same inputs and sampling: there every prompt has a fresh random sample of exemplars, and a batch
must be finished before the next is begun. Its batches are those of its shell scripts (8, 8 and 16 prompts) and, for a
second peer, those of its README (2,000, 2,000 and 500). The prefix cache is on for all and emptied before each. The
seeds are the first of the recorded laptop run; the peers, whose prompts share nothing that more of them would share
more of, get the first quarter of what ours gets. Beside the times stand the machine's measured bf16 matrix rate and the
share of it that the model's arithmetic took.
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
from lib.generate import Request, cost
from lib.generate.vllm_engine import Vllm
from lib.synthesize import prompts
from lib.synthesize import self_oss_instruct as instruct
from lib.synthesize.exemplars import Decks, load_exemplars, load_systems
from perf.machine import matrices, matrix_rate

DEFAULTS = parameter_defaults("02_self_oss_instruct")
SCRIPTS, README = (8, 8, 16), (2000, 2000, 500)  # prompts a batch in the three steps
OURS = "ours"


class Schedule:
    """An engine that finishes a batch before it begins the next, and starts with an empty prefix cache."""

    def __init__(self, engine: Vllm, batch: int) -> None:
        self.engine, self.batch, self.seconds = engine, batch, 0.0
        self.revision, self.version = engine.revision, engine.version

    def load(self) -> None:
        """Forget all prefixes."""
        assert self.engine._llm is not None
        self.engine._llm.reset_prefix_cache()

    def generate(self, requests: Iterable[Request]) -> Generator[tuple[int, Record], None, None]:
        """Yield completions, the clock running."""
        start = time.perf_counter()
        waiting, first = iter(requests), 0
        while batch := list(islice(waiting, self.batch)):
            for place, completion in self.engine.generate(batch):
                yield first + place, completion
            first += len(batch)
        self.seconds = time.perf_counter() - start

    def count_tokens(self, text: str) -> int:
        """Count as the engine does."""
        return self.engine.count_tokens(text)

    def close(self) -> None:
        """The engine goes on."""


def arithmetic(folder: Path, computed: int, generated: int) -> float:
    """Return the operations of the model's matrices for prompt tokens computed and tokens generated."""
    layers, head = matrices(folder)
    return 2.0 * layers * (computed + generated) + 2.0 * head * generated


def main() -> None:
    """Run the three steps under each schedule and print a table."""
    count, samples = (int(argument) for argument in [*sys.argv[1:], *("256", "2")[len(sys.argv) - 1 :]])
    recorded = ROOT / "data" / "reference" / "laptop" / "01_seed_curation" / "seeds.jsonl.gz"
    if not recorded.is_file():
        raise StudyError(f"{recorded} is missing: it comes with the repository")
    seeds = sorted(iter_records(recorded), key=lambda seed: seed["order"])[:count]
    style, exemplars = prompts.style("paper", load_systems()), load_exemplars()
    model = resolve(DEFAULTS["MODEL"])
    rate = matrix_rate()
    engine = Vllm(model, DEFAULTS["MAX_SEQS"])
    engine.load()
    print(f"{count} seeds, {samples} responses a task; {rate / 1e12:.2f} bf16 matrix Tflop/s")

    shots, response_shots = DEFAULTS["SHOTS"], DEFAULTS["RESPONSE_SHOTS"]
    schemes = {
        "official, scripts": (0, 0, SCRIPTS),
        "official, README": (0, 0, README),
        OURS: (DEFAULTS["DECKS"], DEFAULTS["RESPONSE_DECKS"], (10**9,) * 3),
    }
    totals = dict.fromkeys(schemes, 0.0)
    inputs: list[list[Record]] = [seeds, [], []]
    for step in range(3):
        made: list[Record] = []
        for scheme, (decks, response_decks, batches) in schemes.items():
            given = inputs[step] if scheme == OURS else inputs[step][: -(-len(inputs[step]) // 4)]
            schedule = Schedule(engine, batches[step] * (samples if step == 2 else 1))
            deal = Decks(exemplars, shots if step < 2 else response_shots, decks if step < 2 else response_decks, 3407)
            with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "cache.jsonl") as cache:
                if step == 0:
                    sampling = instruct.Sampling(0.7, DEFAULTS["CONCEPT_TOKENS"], 3407)
                    done = instruct.ask_concepts(schedule, cache, style, deal, given, sampling)
                elif step == 1:
                    sampling = instruct.Sampling(0.7, DEFAULTS["INSTRUCTION_TOKENS"], 3407)
                    weights = DEFAULTS["CATEGORIES"], DEFAULTS["DIFFICULTIES"]
                    done = instruct.ask_instructions(schedule, cache, style, deal, given, sampling, weights, 200)
                else:
                    sampling = instruct.Sampling(0.7, DEFAULTS["RESPONSE_TOKENS"], 3407)
                    done = instruct.ask_responses(schedule, cache, style, deal, given, sampling, samples)
                spent, made = cost(done.completions), list(done.records)
            totals[scheme] += schedule.seconds / len(given) * len(inputs[step]) / len(seeds)
            share = arithmetic(model.path, spent["computed"], spent["completion tokens"]) / schedule.seconds / rate
            print(
                f"{('concepts', 'instructions', 'responses')[step]:13}{scheme:18} {schedule.seconds:7.1f} s "
                f"{len(given):4} of {3600 * len(given) / schedule.seconds:6,.0f} an hour "
                f"{spent['completion tokens'] / schedule.seconds:6.0f} tokens/s "
                f"{spent['computed']:8,} of {spent['prompt tokens']:8,} prompt tokens computed "
                f"{100 * share:5.0f}% of the matrix rate",
                flush=True,
            )
        if step < 2:
            inputs[step + 1] = made  # of the last scheme, ours: the next step has the same inputs in all
    for scheme, seconds in totals.items():
        print(f"all steps    {scheme:18} {3600 / seconds:8,.0f} seeds an hour; ours {seconds / totals[OURS]:.2f} times")


if __name__ == "__main__":
    main()
