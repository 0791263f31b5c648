"""An engine's name -> the engine."""

from pathlib import Path

from lib.generate.protocol import Engine
from lib.generate.replay import Replay
from lib.models import resolve
from lib.records import StudyError


def open_engine(name: str, model: str, max_seqs: int, reference: Path | None = None) -> Engine:
    """Return the engine called `name` for a model; at most `max_seqs` sequences are decoded at once.

    "vllm" loads the model's weights; "replay" needs none, only the recorded stage in the folder `reference`.
    Raises StudyError for an unknown engine or model.
    """
    if name == "replay":
        if reference is None:
            raise StudyError("ENGINE=replay holds no answers to this notebook's questions; use ENGINE=vllm")
        return Replay(model, reference)
    if name == "vllm":
        from lib.generate.vllm_engine import Vllm  # here, because importing vLLM takes ten seconds

        return Vllm(resolve(model), max_seqs)
    raise StudyError(f"ENGINE={name!r} is unknown; choose vllm or replay")
