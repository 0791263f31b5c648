"""The engine protocol: requests in, completions out as they finish, each identified by what determines it."""

from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Protocol

from lib.core.load import Others
from lib.core.progress import Progress, say
from lib.core.records import Journal, Lazy, Record, StudyError, content_id


@dataclass(frozen=True)
class Request:
    """One completion to be made; `sample` numbers several samples of the same prompt; temperature >= 0.

    Each token is drawn from the likeliest ones that together have the probability `top_p` (0 to 1; 1: from all).
    """

    prompt: str
    temperature: float
    max_tokens: int
    stop: tuple[str, ...]
    seed: int | None = None
    sample: int = 0
    top_p: float = 1.0

    def id(self, revision: str) -> str:
        """Return the id of this request's completion by a model of this revision.

        A `top_p` of 1 is left out, so that completions count that were recorded before requests had one.
        """
        facts = asdict(self)
        if self.top_p == 1:
            del facts["top_p"]
        return content_id(revision, facts)


class Engine(Protocol):
    """What a notebook uses of an engine, the same for all of them."""

    revision: str
    version: str

    def load(self) -> None:
        """Get ready to generate, unless it is; not called if all completions are stored already."""
        ...

    def generate(self, requests: Iterable[Request]) -> Generator[tuple[int, Record], None, None]:
        """Yield (index in `requests`, completion) as completions finish, in any order.

        Requests are drawn when there is room for them, so that no more than a few batches are held at once.
        A completion has text, finish_reason, prompt_tokens, cached_tokens, tokens (all that were made, those of a stop
        string and behind it included). It ends by "stop" or by "length"; a request that leaves no room in the window
        yields `window.too_long()`.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Return a text's number of tokens, or a bound that is never too small where the engine has no tokenizer.

        A replay returns 0: the recorded cache says which texts were too long (see `fits`).
        """
        ...

    def close(self) -> None:
        """Free the memory; the engine cannot be used afterwards."""
        ...


UNFINISHED = {"length": "cut off at the token limit", "too long": "too long for the model's window"}


def unfinished(completion: Record) -> str | None:
    """Return why a completion has no end, in the words that are counted, or None if it has one."""
    return UNFINISHED.get(completion["finish_reason"])


def stopped(text: str, stop: Iterable[str]) -> str | None:
    """Return the text before the first stop string, or None if there is none."""
    ends = [text.index(string) for string in stop if string in text]
    return text[: min(ends)] if ends else None


def complete(engine: Engine, requests: Sequence[Request], cache: Journal, what: str) -> Sequence[Record]:
    """Return a completion for each request, in their order; only those not in `cache` are generated.

    The cache is the checkpoint: each completion is stored the moment it arrives; only those of requests that were too
    long wait for the end. Progress is printed under the name `what`, and whether other programs slow down an engine
    that has this machine's cores (`on_cpu`). Both sequences may be long and lazy: only the requests' ids are kept.
    Raises StudyError if the engine leaves completions out, or finds all that it was ever asked too long.
    """
    ids = [request.id(engine.revision) for request in requests]
    missing = [index for index, request_id in enumerate(ids) if request_id not in cache]
    if missing:
        engine.load()  # before the clock starts, so that loading does not spoil the estimate of the time left
    progress = Progress(what, len(requests), "completions", done=len(requests) - len(missing))
    tokens, refused = 0, list[Record]()
    others = Others() if getattr(engine, "on_cpu", False) else None

    def pace() -> str:
        rate = f"{tokens / progress.seconds():.0f} tokens/s"
        return f"{rate} · {said}" if others and (said := others.in_words()) else rate

    if missing:
        # Closed, so that requests in flight end if a completion cannot be stored.
        with closing(engine.generate(requests[index] for index in missing)) as arriving:
            for count, (index, completion) in enumerate(arriving, 1):
                record = {"id": ids[missing[index]], "engine": engine.version, **completion}
                (refused.append if completion["finish_reason"] == "too long" else cache.add)(record)
                tokens += completion["tokens"]
                progress.update(progress.resumed + count, pace)
        progress.close(f"{tokens:,} tokens at {tokens / progress.seconds():.0f} a second")
    if refused:
        _store_refused(refused, cache, what)
    if absent := [request_id for request_id in ids if request_id not in cache]:
        raise StudyError(f"{what}: the engine left out {len(absent)} completions; run again to continue")
    return Lazy(ids, cache.__getitem__)


def _store_refused(refused: Sequence[Record], cache: Journal, what: str) -> None:
    """Store the completions of requests that were too long; StudyError, and nothing is stored, if there are no others.

    Then the window is at fault: once it is longer, these requests are made again.
    """
    if all(record["finish_reason"] == "too long" for record in cache):
        raise StudyError(
            f"{what}: all {len(refused):,} requests are too long for the model's window; lengthen it (max_model_len in "
            "ENGINE_OPTIONS, or the server's option), or lower the token limits"
        )
    for record in refused:
        cache.add(record)
    say(f"{what}: {len(refused):,} requests are too long for the model's window and get no answer")


def fits(engine: Engine, cache: Journal, text: str, limit: int) -> bool:
    """Return whether a text has at most `limit` tokens.

    One that has more is noted in the cache as a completion without text, so that a replay, which cannot count, makes
    the same requests.
    """
    refused = content_id(engine.revision, "too long", limit, text)
    if refused not in cache and engine.count_tokens(text) > limit:
        cache.add({"id": refused, "engine": engine.version, "text": "", "finish_reason": "too long"})
    return refused not in cache


def cost(completions: Iterable[Record]) -> Record:
    """Return what a step's completions cost: their number, and the tokens of prompts (cached, computed) and texts."""
    spent = Counter[str]()
    for completion in completions:
        spent["completions"] += 1
        spent["prompt tokens"] += completion["prompt_tokens"]
        spent["of these cached"] += completion["cached_tokens"]
        spent["computed"] += completion["prompt_tokens"] - completion["cached_tokens"]
        spent["completion tokens"] += completion["tokens"]
        spent["cut off at the limit"] += completion["finish_reason"] == "length"
        if completion["finish_reason"] == "too long":  # a run without any has no such row
            spent["too long for the window"] += 1
    return dict(spent)


def sampling_seed(seed: int, step: str, parent: str, sample: int = 0) -> int:
    """Return the seed of one completion, which depends on the request alone, not on when it runs or with which."""
    return int(content_id(seed, step, parent, sample)[:8], 16) >> 1
