"""An engine's name -> the engine."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lib.core.models import resolve
from lib.core.records import StudyError
from lib.generate.protocol import Engine
from lib.generate.ray_engine import Ray
from lib.generate.replay import Replay, recorded_revision
from lib.generate.server import Server
from lib.generate.transformers_engine import Transformers
from lib.generate.vllm_engine import Vllm

ENGINES: dict[str, Callable[..., Engine]] = {
    "vllm": Vllm, "server": Server, "transformers": Transformers, "ray": Ray, "replay": Replay,
}  # fmt: skip


def open_engine(
    name: str, model: str, max_seqs: int, options: Mapping[str, Any] | None = None, reference: Path | None = None
) -> Engine:
    """Return the engine called `name` for a model; at most `max_seqs` sequences are decoded at once (by each worker).

    `options` are the engine's own: those of its class, and for "vllm" and "ray" also any argument of vllm.LLM.
    "replay" needs no model, only the recorded stage in the folder `reference`; "server" asks one that runs elsewhere.
    Raises StudyError for an unknown engine, option or model before anything is loaded; an argument that vLLM does not
    know is refused when it loads.
    """
    if name not in ENGINES:
        raise StudyError(f"ENGINE={name!r} is unknown; choose one of {', '.join(ENGINES)}")
    options = options or {}
    if name == "replay":
        if reference is None:
            raise StudyError("ENGINE=replay holds no answers to this notebook's questions; use ENGINE=vllm")
        return Replay(recorded_revision(model, reference))
    kind = ENGINES[name]
    try:
        inspect.signature(kind).bind(model, max_seqs, **options)
    except TypeError as error:
        raise StudyError(f"ENGINE_OPTIONS={dict(options)}: {error}; see {kind.__name__} in lib/generate") from None
    return kind(model if kind is Server else resolve(model), max_seqs, **options)
