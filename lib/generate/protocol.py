"""The engine protocol: requests in, completions out as they finish, each known by what determines it."""

from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Protocol

from lib.core.progress import Progress
from lib.core.records import Journal, Lazy, Record, StudyError, content_id


@dataclass(frozen=True)
class Request:
    """One completion to be made. `sample` tells apart several samples of the same prompt; 0 <= temperature."""

    prompt: str
    temperature: float
    max_tokens: int
    stop: tuple[str, ...]
    seed: int | None = None
    sample: int = 0

    def id(self, revision: str) -> str:
        """Return the id of the completion that a model of this revision owes to this request."""
        return content_id(revision, asdict(self))


class Engine(Protocol):
    """What a notebook sees of an engine; which one it has is not its business."""

    revision: str
    version: str

    def load(self) -> None:
        """Get ready to generate, if that is still to be done; a stage that needs no completion never calls it."""
        ...

    def generate(self, requests: Iterable[Request]) -> Generator[tuple[int, Record], None, None]:
        """Yield (place in `requests`, completion) as completions finish, in any order.

        Requests are taken as there is room for them: never more than a few batches of them are held at once.

        A completion has text, finish_reason ("stop" or "length"), prompt_tokens, cached_tokens, tokens.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Return a text's number of tokens, or a bound that is never too small where the engine has no tokenizer.

        A replay returns 0: the recorded cache says which texts were too long (see `fits`).
        """
        ...

    def close(self) -> None:
        """Give back the memory; the engine can't be used afterwards."""
        ...


def stopped(text: str, stop: Iterable[str]) -> str | None:
    """Return the text up to the first stop string in it, or None when it holds none."""
    ends = [text.index(string) for string in stop if string in text]
    return text[: min(ends)] if ends else None


def complete(engine: Engine, requests: Sequence[Request], cache: Journal, what: str) -> Sequence[Record]:
    """Return a completion for each request, in their order; only those not in `cache` are generated.

    Both sequences may be long and lazy: of each request, only its id is kept.

    The cache is the checkpoint: each completion is stored the moment it arrives. Progress is printed as
    completions and tokens per second, with the time left.
    """
    ids = [request.id(engine.revision) for request in requests]
    missing = [place for place, request_id in enumerate(ids) if request_id not in cache]
    if missing:
        engine.load()  # before the clock starts, or the time left would be judged by the loading
    progress = Progress(what, len(requests), "completions", done=len(requests) - len(missing))
    tokens = 0
    if missing:
        # Closed, so that whatever is in flight ends when a completion can't be stored.
        with closing(engine.generate(requests[place] for place in missing)) as arriving:
            for count, (place, completion) in enumerate(arriving, 1):
                cache.add({"id": ids[missing[place]], "engine": engine.version, **completion})
                tokens += completion["tokens"]
                progress.update(progress.resumed + count, f"{tokens / progress.seconds():.0f} tokens/s")
        progress.close(f"{tokens:,} tokens at {tokens / progress.seconds():.0f} a second")
    if absent := [request_id for request_id in ids if request_id not in cache]:
        raise StudyError(f"{what}: the engine stopped without {len(absent)} completions; run again to go on")
    return Lazy(ids, cache.__getitem__)


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
    """Return what a step's completions cost: counts, prompt and completion tokens, and the cached share of prompts."""
    spent = Counter[str]()
    for completion in completions:
        spent["completions"] += 1
        spent["prompt tokens"] += completion["prompt_tokens"]
        spent["of these cached"] += completion["cached_tokens"]
        spent["computed"] += completion["prompt_tokens"] - completion["cached_tokens"]
        spent["completion tokens"] += completion["tokens"]
        spent["cut off at the limit"] += completion["finish_reason"] == "length"
    return dict(spent)


def sampling_seed(seed: int, step: str, parent: str, sample: int = 0) -> int:
    """Return the seed of one completion: it depends on what is asked, not on when or beside what it runs."""
    return int(content_id(seed, step, parent, sample)[:8], 16) >> 1
