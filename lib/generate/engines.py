"""Opening an engine by its name."""

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
    """Return the engine called `name` for a model; it decodes at most `max_seqs` sequences at once (per worker).

    `options` are the arguments of its class; "vllm" and "ray" pass further ones on to vllm.LLM. "replay" needs no
    model, only the recorded stage in the folder `reference`; "server" uses a server that runs elsewhere.
    Raises StudyError for an unknown engine, option or model before anything is loaded; vLLM refuses arguments that it
    does not know when it loads.
    """
    if name not in ENGINES:
        raise StudyError(f"ENGINE={name!r} is unknown; choose one of {', '.join(ENGINES)}")
    options = options or {}
    if name == "replay":
        if reference is None:
            raise StudyError("ENGINE=replay has no recorded completions for this notebook; use ENGINE=vllm")
        return Replay(recorded_revision(model, reference))
    kind = ENGINES[name]
    try:
        inspect.signature(kind).bind(model, max_seqs, **options)
    except TypeError as error:
        raise StudyError(f"ENGINE_OPTIONS={dict(options)}: {error}; see {kind.__name__} in lib/generate") from None
    return kind(model if kind is Server else resolve(model), max_seqs, **options)
