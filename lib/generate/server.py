"""Completions from OpenAI-compatible servers that run elsewhere: /v1/completions, plain prompts, never chat."""

import asyncio
import os
from collections.abc import Awaitable, Generator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
from anyio.from_thread import start_blocking_portal

from lib.core.progress import say
from lib.core.records import Record, StudyError
from lib.core.tokenizer import OTHER, PIECES, changed
from lib.generate.protocol import Request, stopped
from lib.generate.tokens import tokens_at_most
from lib.generate.window import says_too_long, too_long

if TYPE_CHECKING:
    import openai

CONNECT_SECONDS = 20  # to connect, and to list the models
FAILURES = 3  # requests in a row that failed with all their retries, after which a URL is no longer used
STOPS = 4  # stop strings that every server takes; some refuse more
ENDS = {"stop": "stop", "length": "length", "stop_sequence": "stop"}  # the last is text-generation-inference's
STORED = "completions so far are stored: fix the server, then run again to continue"


class _NoReplyError(Exception):
    """A failed call: the reason in one line; `final` if the server refused it, so that retrying is useless.

    `too_long` if its window cannot hold the request.
    """

    def __init__(self, why: str, final: bool, long: bool = False) -> None:
        super().__init__(why)
        self.final, self.too_long = final, long


@dataclass
class _Endpoint:
    """One URL, the slots for its requests in flight, and how many requests in a row failed.

    `stops` is how many stop strings it takes, None while it has not refused any; `told` is whether it was said that a
    request is too long for it.
    """

    url: str
    client: "openai.AsyncOpenAI"
    slots: asyncio.Semaphore
    failures: int = 0
    stops: int | None = None
    told: bool = False


class Server:
    """One model behind one or several base URLs; each has at most `max_seqs` requests in flight.

    A request waits `timeout` seconds for a reply and is sent up to 1 + `retries` times, with growing pauses, to each
    URL in turn. `key` defaults to the environment variable OPENAI_API_KEY: a run records its options, but not its
    environment. `extra` is sent with every request: the server's own parameters, such as {"top_k": 0, "min_p": 0}
    where its defaults would truncate the distribution. Raises StudyError for malformed URLs.

    The server tokenizes, with a token at the beginning where its model begins texts so. Code that its tokenizer would
    lose is noticed where the server can be asked (vLLM's and llama.cpp's).

    A server that refuses a request with more than STOPS stop strings gets the first of them; texts are cut here at the
    others. Most servers but vLLM hold a request for too long if its prompt and max_tokens together exceed the window.
    """

    version = "openai-compatible server"

    def __init__(
        self,
        model: str,
        max_seqs: int = 64,
        urls: Sequence[str] | str = "http://localhost:8000/v1",
        timeout: float = 600,
        retries: int = 5,
        key: str = "",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.max_seqs, self.timeout, self.retries = model, max_seqs, timeout, retries
        self.extra = dict(extra or {})
        self.urls = (urls,) if isinstance(urls, str) else tuple(urls)
        if not self.urls or not all(url.startswith(("http://", "https://")) for url in self.urls):
            raise StudyError(f"urls={urls!r}: give base URLs such as http://localhost:8000/v1")
        self.key = key or os.environ.get("OPENAI_API_KEY") or "none"
        self.revision = f"{model} as served"  # a server does not say which weights it has

    def load(self) -> None:
        """Ask every URL for its models, and for the tokens of some code.

        StudyError if one cannot be reached, does not serve this model, or loses code.
        """
        with start_blocking_portal() as portal:
            for url in self.urls:
                served = portal.call(self._models, url)
                if self.model not in served:
                    raise StudyError(
                        f"{url} serves {', '.join(served) or 'nothing'}; set MODEL (JUDGE in notebook 01, TEACHER "
                        f"in 02 where there is one) to that, or serve {self.model!r} there"
                    )
                if fault := changed(portal.call(self._round_trips, url)):
                    raise StudyError(
                        f"{url}: the tokenizer of {self.model} loses {fault}; serve it with the one that `python -m "
                        f"lib.core.models` names for it (vLLM: --tokenizer FOLDER), or {OTHER}"
                    )

    async def _models(self, url: str) -> list[str]:
        async with self._client(url) as client:
            try:
                page = await _reply(client.with_options(max_retries=2, timeout=CONNECT_SECONDS).models.list())
            except _NoReplyError as error:
                raise StudyError(
                    f"{url} does not list its models ({error}); start an OpenAI-compatible "
                    "server there, or give the base URL (urls) and key of one that runs"
                ) from None
        return [model.id for model in page.data]

    async def _round_trips(self, url: str) -> dict[str, str]:
        """Return what a server makes of PIECES, encoded and decoded; nothing if it cannot be asked.

        vLLM calls a text "prompt" and llama.cpp "content"; both do this beside the base URL, not below it.
        """
        root, back = url.rstrip("/").removesuffix("/v1"), {}
        key = {"Authorization": f"Bearer {self.key}"}
        async with httpx2.AsyncClient(base_url=root, headers=key, timeout=CONNECT_SECONDS) as client:
            try:
                for part, text in PIECES.items():
                    plain = {"add_special_tokens": False, "add_special": False}
                    asked = {"model": self.model, "prompt": text, "content": text, **plain}
                    tokens = (await client.post("/tokenize", json=asked)).raise_for_status().json()["tokens"]
                    asked = {"model": self.model, "tokens": tokens}
                    reply = (await client.post("/detokenize", json=asked)).raise_for_status().json()
                    said = str(reply["prompt"] if "prompt" in reply else reply["content"])
                    back[part] = said.removeprefix(" ")  # llama.cpp keeps the space that some tokenizers put first
            except (httpx2.HTTPError, ValueError, LookupError, TypeError):  # other servers know no such requests
                return {}
        return back

    def generate(self, requests: Iterable[Request]) -> Generator[tuple[int, Record], None, None]:
        """Yield (index, completion) as they finish; for each URL, one batch is in flight and one waits.

        Raises StudyError at once if a server refuses a request or no URL is left that answers, and after all other
        requests for those that no URL could answer.
        """
        # Requests are drawn and completions stored in the caller's thread: their files are not thread-safe.
        waiting = iter(enumerate(requests))
        inbox: asyncio.Queue[tuple[int, Request]] = asyncio.Queue()
        done: SimpleQueue[tuple[int, Record | str] | Exception] = SimpleQueue()
        inside, lost, why = 0, 0, ""
        with start_blocking_portal() as portal:  # an event loop in a thread of its own; both end with the block
            serving = portal.start_task_soon(self._serve, inbox, done)
            while True:
                while inside < 2 * self.max_seqs * len(self.urls) and (item := next(waiting, None)) is not None:
                    portal.call(inbox.put_nowait, item)
                    inside += 1
                if not inside:
                    break
                finished = done.get()
                if isinstance(finished, Exception):
                    raise finished
                inside -= 1
                index, completion = finished
                if isinstance(completion, str):
                    lost, why = lost + 1, completion
                else:
                    yield index, completion
            serving.cancel()
        if lost:
            raise StudyError(f"{lost} requests had no answer ({why}); {STORED}")

    def count_tokens(self, text: str) -> int:
        """Return a bound: the protocol of these servers does not count tokens."""
        return tokens_at_most(text)

    def close(self) -> None:
        """Nothing to free: connections end with `generate`."""

    def _client(self, url: str) -> "openai.AsyncOpenAI":
        import openai  # takes half a second, which no other engine should cost

        limits = httpx2.Limits(max_keepalive_connections=self.max_seqs)
        http = openai.DefaultAsyncHttpxClient(limits=limits, event_hooks={"response": [_refuse_other]})
        timeout = openai.Timeout(self.timeout, connect=CONNECT_SECONDS)
        return openai.AsyncOpenAI(
            base_url=url, api_key=self.key, timeout=timeout, max_retries=self.retries, http_client=http
        )

    async def _serve(
        self, inbox: asyncio.Queue[tuple[int, Request]], done: SimpleQueue[tuple[int, Record | str] | Exception]
    ) -> None:
        """Answer the requests in `inbox` until cancelled; the first error ends all requests in flight."""

        async def work(endpoints: list[_Endpoint]) -> None:
            while True:
                index, request = await inbox.get()
                done.put((index, await self._answer(request, endpoints)))

        try:
            async with AsyncExitStack() as stack:
                endpoints = []
                for url in self.urls:
                    client = await stack.enter_async_context(self._client(url))
                    endpoints.append(_Endpoint(url, client, asyncio.Semaphore(self.max_seqs)))
                async with anyio.create_task_group() as workers:
                    for first in range(len(endpoints)):
                        for _ in range(self.max_seqs):
                            workers.start_soon(work, endpoints[first:] + endpoints[:first])
        except Exception as error:
            done.put(error.exceptions[0] if isinstance(error, ExceptionGroup) else error)

    def _arguments(self, request: Request, stop: Sequence[str]) -> dict[str, Any]:
        """Return the arguments of the call for a request, without those that it leaves open."""
        optional = {"stop": list(stop) or None, "seed": request.seed}
        return {
            "model": self.model,
            "prompt": request.prompt,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_tokens,
            "extra_body": self.extra,
            **{name: value for name, value in optional.items() if value is not None},
        }

    async def _answer(self, request: Request, endpoints: list[_Endpoint]) -> Record | str:
        """Return the completion of the first endpoint that makes one, or the reason why none did.

        A request is too long only if it is so for every endpoint that answers: their windows may differ.
        """
        why, refused = "no URL is left", False
        for endpoint in endpoints:
            async with endpoint.slots:
                if endpoint.failures >= FAILURES:
                    continue
                try:
                    completion = await self._ask(endpoint, request)
                except _NoReplyError as error:
                    why = f"{endpoint.url}: {error}"
                    if error.final and not error.too_long:
                        raise StudyError(
                            f"{why}; fix the model's name, ENGINE_OPTIONS or the server, then run again"
                        ) from None
                    if not error.too_long:
                        endpoint.failures += 1
                        if endpoint.failures == FAILURES:
                            say(f"{why}; no longer used after {FAILURES} failed requests in a row")
                        continue
                    completion, refused = None, True
                    if not endpoint.told:
                        endpoint.told = True
                        say(f"{why}; a request that is too long for every URL gets no answer and is counted")
                if endpoint.failures < FAILURES:
                    endpoint.failures = 0
                if completion is not None:
                    return _completion(completion, request.stop)
        if refused:
            return too_long()
        if all(endpoint.failures >= FAILURES for endpoint in endpoints):
            raise StudyError(f"no server answers any more ({why}); {STORED}")
        return why

    async def _ask(self, endpoint: _Endpoint, request: Request) -> Any:
        """Return an endpoint's reply to a request, or to one with STOPS stop strings if it refuses more of them.

        No server says in the same words that there are too many, so any refusal is put to this test.
        """
        stop = request.stop[: endpoint.stops]
        try:
            return await _reply(endpoint.client.completions.create(**self._arguments(request, stop)))
        except _NoReplyError as error:
            if not error.final or len(stop) <= STOPS:
                raise
        reply = await _reply(endpoint.client.completions.create(**self._arguments(request, stop[:STOPS])))
        endpoint.stops = STOPS
        return reply


async def _refuse_other(response: httpx2.Response) -> None:
    """Treat a malformed reply as a broken connection, so that the client retries."""
    if not response.is_success:
        return
    await response.aread()
    try:
        reply = response.json()
        if response.url.path.endswith("/completions"):
            choice, usage = reply["choices"][0], reply["usage"]
            sound = isinstance(choice["text"], str) and choice["finish_reason"] in ENDS
            sound &= isinstance(usage["prompt_tokens"], int) and isinstance(usage["completion_tokens"], int)
        else:
            sound = all(isinstance(model["id"], str) for model in reply["data"])
    except (ValueError, LookupError, TypeError):
        sound = False
    if not sound:
        raise httpx2.RemoteProtocolError(f"not an OpenAI-compatible reply: {response.text!r}", request=response.request)


async def _reply(call: Awaitable[Any]) -> Any:
    """Return the result of a client's call; raise _NoReplyError, with at most 300 characters, if it fails."""
    import openai

    try:
        return await call
    except openai.APIStatusError as error:
        said: Any = error.body.get("message") if isinstance(error.body, dict) else None
        status, text = error.status_code, said or error.response.text or error.response.reason_phrase
        why = " ".join(f"{status} {text}".split())[:300]
        final = status < 500 and status not in (408, 409, 429)
        # Some servers give it a status of their own, some a code, some only words.
        sized = status in (400, 422) or status >= 500
        long = status == 413 or (sized and says_too_long(f"{error.code} {error.type} {why}"))
        raise _NoReplyError(why, final, long) from None
    except openai.APIError as error:
        cause = error.__cause__ or error
        text = str(cause) or type(cause).__name__
        raise _NoReplyError(" ".join(text.split())[:300], final=False) from None


def _completion(completion: Any, stop: tuple[str, ...]) -> Record:
    choice, usage = completion.choices[0], completion.usage
    cut = stopped(choice.text, stop)  # some servers keep the stop string, or heed only some of several
    details = usage.prompt_tokens_details
    return {
        "text": choice.text if cut is None else cut,
        "finish_reason": ENDS[choice.finish_reason] if cut is None else "stop",
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": (details and details.cached_tokens) or 0,
        "tokens": usage.completion_tokens,
    }
