"""Replay: recorded completions in place of a model."""

import json
from collections.abc import Generator, Iterable
from pathlib import Path

from lib.core.records import Journal, Record, StudyError, iter_records
from lib.generate.protocol import Request

ROLES = ("model", "teacher")  # metrics of a recorded stage that name a model it asked


class Replay:
    """An engine without a model: the recorded cache holds all completions, so none is ever generated."""

    version = "replay"

    def __init__(self, revision: str) -> None:
        self.revision = revision  # of the recorded model

    def load(self) -> None:
        """Nothing to load."""

    def generate(self, requests: Iterable[Request]) -> Generator[tuple[int, Record], None, None]:
        """Raise StudyError for the first request, which the recorded cache lacks."""
        for request in requests:
            end = " ".join(request.prompt[-80:].split())
            raise StudyError(
                f"ENGINE=replay has no completion {request.id(self.revision)} (its prompt ends {end!r}): seeds, "
                "parameters or exemplars differ from the recorded run; use ENGINE=vllm to generate it"
            )
        yield from ()

    def count_tokens(self, text: str) -> int:
        """Return 0: what was too long for the recorded run is noted in its cache."""
        return 0

    def close(self) -> None:
        """Nothing to free."""


def recorded_revision(model: str, reference: Path) -> str:
    """Return the revision of the model of a recorded stage; StudyError if there is none or it is another model's."""
    path = reference / "manifest.json"
    metrics = json.loads(path.read_text())["metrics"] if path.is_file() else {}
    recorded = {metrics[role]["name"]: metrics[role]["revision"] for role in ROLES if role in metrics}
    if not recorded:
        raise StudyError(f"ENGINE=replay finds no recorded run in {reference}; set REPLAY_FROM, or use ENGINE=vllm")
    if model not in recorded:
        raise StudyError(
            f"the recorded run in {reference} is of {' and '.join(recorded)}, not {model}: "
            "name that as MODEL (JUDGE in notebook 01), or another run as REPLAY_FROM"
        )
    return recorded[model]


def open_cache(path: Path, engine: str, reference: Path) -> Journal:
    """Open the cache of a stage; with ENGINE="replay", add the completions recorded in the folder `reference`."""
    recorded = [*reference.glob("completions.jsonl*")]
    cache = Journal(path)
    if engine == "replay" and recorded:
        for record in iter_records(recorded[0]):
            if record["id"] not in cache:
                cache.add(record)
    return cache
