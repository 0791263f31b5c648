"""The recorded run again, without its notebook: the same prompts, the same decisions on concepts and tasks."""

import json

import pytest

from lib.core.notebooks import parameter_defaults
from lib.core.paths import ROOT
from lib.core.records import Record, read_records
from lib.generate import open_cache
from lib.generate.replay import Replay
from lib.synthesize import prompts
from lib.synthesize import self_oss_instruct as instruct
from lib.synthesize.exemplars import Decks, load_exemplars, load_systems

REFERENCE = ROOT / "data" / "reference" / "laptop"
FOLDER = REFERENCE / "02_self_oss_instruct"
VALUES = parameter_defaults("02_self_oss_instruct")
MANIFEST = json.loads((FOLDER / "manifest.json").read_text())


def recorded(file: str) -> list[Record]:
    return read_records(FOLDER / f"{file}.jsonl.gz")


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """The three steps by the notebook's defaults, from the recorded seeds and completions."""
    style = prompts.style(VALUES["PROMPTS"], load_systems(), VALUES["RESTRICTED"])
    for_tasks = load_exemplars(VALUES["EXEMPLARS"], VALUES["RESTRICTED"])
    for_responses = style.answered(load_exemplars(VALUES["RESPONSE_EXEMPLARS"], VALUES["RESTRICTED"]))
    seed = VALUES["SAMPLING_SEED"]
    decks = Decks(for_tasks, VALUES["SHOTS"], VALUES["DECKS"], seed)
    response_decks = Decks(for_responses, VALUES["RESPONSE_SHOTS"], VALUES["RESPONSE_DECKS"], seed)
    seeds = sorted(read_records(REFERENCE / "01_seed_curation" / "seeds.jsonl.gz"), key=lambda one: one["order"])

    def sampling(tokens: str) -> instruct.Sampling:
        return instruct.Sampling(VALUES["TEMPERATURE"], VALUES[tokens], seed)

    engine = Replay(MANIFEST["metrics"]["model"]["revision"])
    weights = VALUES["CATEGORIES"], VALUES["DIFFICULTIES"]
    with open_cache(tmp_path_factory.mktemp("replay") / "completions.jsonl", "replay", FOLDER) as cache:
        concepts = instruct.ask_concepts(
            engine, cache, style, decks, seeds[: VALUES["N_SEEDS"]], sampling("CONCEPT_TOKENS")
        )
        tasks = instruct.ask_instructions(
            engine, cache, style, decks, concepts.records, sampling("INSTRUCTION_TOKENS"), weights, VALUES["MAX_WORDS"]
        )
        responses = instruct.ask_responses(
            engine, cache, style, response_decks, tasks.records, sampling("RESPONSE_TOKENS"), VALUES["SAMPLES"]
        )
        yield {"concepts": concepts, "instructions": tasks, "responses": responses}


@pytest.mark.parametrize("step", ["concepts", "instructions", "responses"])
def test_a_recorded_step_comes_out_again(step, steps):
    def without_engine(rows: list[Record]) -> list[Record]:
        return sorted(({**row, "engine": ""} for row in rows), key=lambda row: row["id"])

    made = without_engine(steps[step].records)
    assert made and made == without_engine(recorded(step))
    (row,) = [row for row in MANIFEST["funnel"] if row["step"] == step]
    assert dict(steps[step].reasons) == row["reasons"]
