"""The engine for OpenAI-compatible servers: with vLLM's, llama.cpp's, and a simulated one with every kind of fault."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from asked import DTYPE, NAME, SERVED, STARTS

from lib.core.models import fetch_gguf, resolve
from lib.core.records import Journal, StudyError
from lib.core.tokenizer import PIECES
from lib.generate import Request, complete
from lib.generate.engines import open_engine
from lib.generate.server import Server
from lib.generate.vllm_engine import SETTINGS
from lib.generate.window import too_long

FACTS = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)


def answer(text, finish="stop", usage=FACTS):
    return json.dumps({"choices": [{"index": 0, "text": text, "finish_reason": finish}], "usage": usage})


def refusal(message):
    return json.dumps({"error": {"message": message, "type": "x"}})


class Rogue(ThreadingHTTPServer):
    """Serves model "m" as `act(body, attempt)` says: (status, headers, text) to send, or "drop", "half", "hang".

    Counts what came: bodies, attempts by prompt, arrival times, open connections, the most requests at once.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, act=lambda body, attempt: (200, {}, answer(body["prompt"]))):
        super().__init__(("127.0.0.1", 0), Handler)
        self.act, self.lock = act, threading.Condition()
        self.encode, self.text, self.asked = None, "prompt", []  # a text's tokens, what the server calls a text
        self.bodies, self.attempts, self.keys, self.arrivals = [], Counter(), [], []
        self.open, self.now, self.most, self.dead = set(), 0, 0, False
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    def die(self):
        self.dead = True
        self.shutdown()
        self.server_close()
        for connection in list(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Rogue

    def setup(self):
        super().setup()
        self.server.open.add(self.connection)

    def finish(self):
        self.server.open.discard(self.connection)
        super().finish()

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        assert self.path == "/v1/models"
        self.reply(200, {}, json.dumps({"object": "list", "data": [{"id": "m"}, {"id": "n"}]}))

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path in ("/tokenize", "/detokenize"):
            return self.tokens(body)
        assert self.path == "/v1/completions"
        with server.lock:
            server.bodies.append(body)
            server.keys.append(self.headers["Authorization"])
            server.arrivals.append(time.monotonic())
            server.attempts[body["prompt"]] += 1
            attempt = server.attempts[body["prompt"]]
            server.now += 1
            server.most = max(server.most, server.now)
            server.lock.notify_all()
        act = server.act(body, attempt)
        if act == "hang":
            self.connection.recv(1)  # until the client gives up
        with server.lock:  # before the reply is on its way: the next request may come at once
            server.now -= 1
        if server.dead or act in ("drop", "hang"):
            self.close_connection = True
        elif act == "half":
            self.reply(200, {"Content-Length": "500"}, '{"choices": [')
            self.close_connection = True
        else:
            self.reply(*act)

    def tokens(self, body):
        """As vLLM and llama.cpp answer, or a server that knows no such request."""
        self.server.asked.append((self.path, self.headers["Authorization"]))
        if self.server.encode is None:
            self.reply(404, {}, '{"detail": "Not Found"}')
        elif self.path == "/tokenize":
            assert body["add_special_tokens"] is body["add_special"] is False
            self.reply(200, {}, json.dumps({"tokens": self.server.encode(body[self.server.text])}))
        else:
            self.reply(200, {}, json.dumps({self.server.text: bytes(body["tokens"]).decode()}))

    def reply(self, status, headers, text):
        self.send_response(status)
        content = {"Content-Type": "application/json", "Content-Length": str(len(text.encode()))}
        for name, value in {**content, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())


@pytest.fixture
def rogue():
    made = []

    def make(*arguments):
        made.append(Rogue(*arguments))
        return made[-1]

    yield make
    for server in made:
        if not server.dead:
            server.die()


def asked(count, **changes):
    return [
        Request(**{**dict(prompt=f"p{n}", temperature=0.7, max_tokens=5, stop=()), **changes}) for n in range(count)
    ]


def client_threads():
    return [thread for thread in threading.enumerate() if "portal" in thread.name or "AnyIO" in thread.name]


def until(true):
    deadline = time.monotonic() + 30
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()


def test_a_request_is_sent_unchanged_and_its_answer_returned_in_full(rogue, monkeypatch):
    server = rogue()
    monkeypatch.setenv("OPENAI_API_KEY", "from the environment")
    seeded = Request("p", 0.7, 5, ("x", "y"), seed=3, sample=1, top_p=0.95)
    engine = open_engine("server", "m", 2, {"urls": [server.url], "extra": {"top_k": 0}})
    engine.load()
    assert list(engine.generate([seeded])) == [
        (0, {"text": "p", "finish_reason": "stop", "prompt_tokens": 3, "cached_tokens": 1, "tokens": 2})
    ]
    list(Server("m", 2, server.url, key="given").generate([Request("p", 0.0, 5, ())]))
    sent = {"model": "m", "prompt": "p", "temperature": 0.7, "top_p": 0.95, "max_tokens": 5, "top_k": 0}
    assert server.bodies[0] == {**sent, "stop": ["x", "y"], "seed": 3}
    assert server.bodies[1].keys() == sent.keys() - {"top_k"} and server.bodies[1]["top_p"] == 1
    assert server.keys == ["Bearer from the environment", "Bearer given"]
    assert (engine.revision, engine.version) == ("m as served", "openai-compatible server")
    engine.close()


def test_samples_of_a_prompt_are_sent_one_by_one(rogue):
    server = rogue()
    requests = [Request("same", 0.7, 5, (), sample=n) for n in range(3)]
    assert sorted(place for place, _ in Server("m", 2, server.url).generate(requests)) == [0, 1, 2]
    assert server.attempts == {"same": 3}


def test_no_stop_string_stays_in_a_text(rogue):
    server = rogue(lambda body, attempt: (200, {}, answer("one END two STOP", "length", dict(FACTS))))
    ((_, completion),) = Server("m", 2, server.url).generate(asked(1, stop=("STOP", "END")))
    assert (completion["text"], completion["finish_reason"]) == ("one ", "stop")


SIX = ("\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ", "\n# ")
TOO_MANY = {
    "OpenAI": (400, refusal("Invalid 'stop': array too long. Expected an array with maximum length 4, but got 6")),
    "text-generation-inference": (422, json.dumps({"error": "`stop` supports up to 4 stop sequences. Given: 6"})),
    "FastAPI": (422, json.dumps({"detail": [{"type": "too_long", "loc": ["body", "stop"], "input": list(SIX)}]})),
}


@pytest.mark.parametrize("kind", TOO_MANY)
def test_a_server_that_takes_four_stop_strings_gets_four_and_texts_end_at_all_six(rogue, kind):
    def act(body, attempt):
        if len(body["stop"]) > 4:
            return TOO_MANY[kind][0], {}, TOO_MANY[kind][1]
        return 200, {}, answer(f"{body['prompt']}\n# six\nassert five", "length", dict(FACTS, completion_tokens=9))

    server = rogue(act)
    answers = dict(Server("m", 1, server.url).generate(asked(5, stop=SIX)))
    ended = {"finish_reason": "stop", "prompt_tokens": 3, "cached_tokens": 1, "tokens": 9}
    assert answers == {n: {"text": f"p{n}", **ended} for n in range(5)}
    assert [len(body["stop"]) for body in server.bodies] == [6, 4, 4, 4, 4, 4]
    assert all(body["stop"] == list(SIX[: len(body["stop"])]) for body in server.bodies)


def test_requests_in_flight_get_four_stop_strings_too(rogue):
    def act(body, attempt):
        with server.lock:
            server.lock.wait_for(lambda: server.most == 4, 10)
        return (400, {}, refusal("too many")) if len(body["stop"]) > 4 else (200, {}, answer("x"))

    server = rogue(act)
    assert len(dict(Server("m", 4, server.url).generate(asked(12, stop=SIX)))) == 12
    assert Counter(len(body["stop"]) for body in server.bodies) == {6: 4, 4: 12}


def test_a_server_that_takes_more_stop_strings_gets_all(rogue):
    server = rogue()
    list(Server("m", 1, server.url).generate(asked(3, stop=SIX)))
    assert [body["stop"] for body in server.bodies] == [list(SIX)] * 3


def test_a_refusal_for_another_reason_is_not_blamed_on_stop_strings(rogue):
    server = rogue(lambda body, attempt: (404, {}, refusal("no model m")))
    with pytest.raises(StudyError, match="404 no model m"):
        list(Server("m", 1, server.url).generate(asked(3, stop=SIX)))
    assert len(server.bodies) == 2


def test_the_end_at_a_stop_string_may_have_a_name_of_its_own(rogue):
    server = rogue(lambda body, attempt: (200, {}, answer("a\n\n", "stop_sequence")))
    ((_, completion),) = Server("m", 1, server.url).generate(asked(1, stop=("\n\n",)))
    assert (completion["text"], completion["finish_reason"]) == ("a", "stop")


def error(status, message, **more):
    return status, {}, json.dumps({"error": {"message": message, **more}})


WINDOWS = {
    "OpenAI": error(400, "Please reduce your prompt.", type="invalid_request_error", code="context_length_exceeded"),
    "vLLM": error(
        400, "This model's maximum context length is 4096 tokens. However, your prompt contains at least ..."
    ),
    "vLLM, flat": (400, {}, json.dumps({"message": "This model's maximum context length is 8 tokens.", "code": 400})),
    "llama.cpp": error(400, "request (90 tokens) exceeds the available context size", type="exceed_context_size_error"),
    "llama.cpp, older": error(500, "the request is too large", type="exceed_context_size_error"),
    "text-generation-inference": (422, {}, json.dumps({"error": "`inputs` must have less than 8 tokens. Given: 90"})),
    "SGLang": (400, {}, json.dumps({"message": "The input (90 tokens) is longer than the model's context length"})),
    "a proxy": (413, {"Content-Type": "text/html"}, "<html>413 Request Entity Too Large</html>"),
}


@pytest.mark.parametrize("kind", WINDOWS)
def test_a_request_that_is_too_long_for_the_window_is_left_out_alone(rogue, kind, capsys):
    server = rogue(lambda body, attempt: WINDOWS[kind] if body["prompt"] in ("p1", "p7") else (200, {}, answer("x")))
    answers = dict(Server("m", 2, server.url, retries=1).generate(asked(10)))
    assert sorted(answers) == list(range(10))
    assert [n for n in answers if answers[n] == too_long()] == [n for n in answers if n in (1, 7)]
    assert all(answers[n]["text"] == "x" for n in answers if n not in (1, 7))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "too long for every URL" in line]
    assert f"{server.url}: {WINDOWS[kind][0]}" in line


def test_a_request_that_is_too_long_for_one_window_goes_to_the_next(rogue):
    first = rogue(lambda body, attempt: WINDOWS["vLLM"] if body["prompt"] == "p0" else (200, {}, answer("first")))
    second = rogue(lambda body, attempt: (200, {}, answer("second")))
    answers = dict(Server("m", 1, [first.url, second.url]).generate(asked(6)))
    assert answers[0]["text"] == "second" and len(answers) == 6


def test_a_request_that_is_too_long_is_told_from_too_many_stop_strings(rogue):
    def act(body, attempt):
        if body["prompt"] == "p0":
            return WINDOWS["text-generation-inference"]
        return (422, {}, "too many") if len(body["stop"]) > 4 else (200, {}, answer("x"))

    server = rogue(act)
    answers = dict(Server("m", 1, server.url).generate(asked(3, stop=SIX)))
    assert [answers[n]["finish_reason"] for n in range(3)] == ["too long", "stop", "stop"]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_other_refusals_end_the_run_whatever_they_say(rogue, status):
    server = rogue(lambda body, attempt: error(status, "no access to the context length"))
    with pytest.raises(StudyError, match=f"{status} no access"):
        list(Server("m", 1, server.url).generate(asked(3)))


def test_the_count_of_cached_tokens_may_be_missing(rogue):
    usages = [{"prompt_tokens": 3, "completion_tokens": 2}]
    usages += [{**usages[0], "prompt_tokens_details": details} for details in (None, {}, {"cached_tokens": None})]
    server = rogue(lambda body, attempt: (200, {}, answer("x", usage=usages[int(body["prompt"][1:])])))
    completions = dict(Server("m", 2, server.url).generate(asked(4)))
    assert [completions[n]["cached_tokens"] for n in range(4)] == [0, 0, 0, 0]


TROUBLE = {
    "connection dropped": "drop",
    "half a reply": "half",
    "no reply in time": "hang",
    "too many requests": (429, {"retry-after-ms": "5"}, refusal("slow down")),
    "server error": (500, {}, refusal("boom")),
    "gateway error in HTML": (502, {"Content-Type": "text/html"}, "<html>bad gateway</html>"),
    "a login page": (200, {"Content-Type": "text/html"}, "<html>log in</html>"),
    "malformed JSON": (200, {}, '{"choices": [{"text"'),
    "another JSON": (200, {}, "[1]"),
    "no choices": (200, {}, json.dumps({"usage": FACTS})),
    "empty choices": (200, {}, json.dumps({"choices": [], "usage": FACTS})),
    "no text": (200, {}, answer(None)),
    "no usage": (200, {}, answer("x", usage=None)),
    "broken off": (200, {}, answer("x", "abort")),
}


def test_transient_faults_are_retried_and_every_completion_comes_once(rogue):
    troubles = list(TROUBLE.values())
    server = rogue(
        lambda body, attempt: (
            troubles[int(body["prompt"][1:])] if attempt <= 2 else (200, {}, answer(body["prompt"] + " done"))
        )
    )
    answers = list(Server("m", 4, server.url, timeout=2).generate(asked(len(troubles))))
    assert sorted(place for place, _ in answers) == list(range(len(troubles)))
    assert all(completion["text"] == f"p{place} done" for place, completion in answers)
    few = [name for n, name in enumerate(TROUBLE) if server.attempts[f"p{n}"] < 3]
    assert not few


def test_retry_after_is_waited_for(rogue):
    server = rogue(lambda body, attempt: (429, {"Retry-After": "1"}, "{}") if attempt == 1 else (200, {}, answer("x")))
    assert len(list(Server("m", 1, server.url).generate(asked(1)))) == 1
    assert server.arrivals[1] - server.arrivals[0] >= 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_stops_at_once_in_one_line(rogue, status):
    server = rogue(lambda body, attempt: (status, {}, refusal("no\nsuch thing")))
    engine = Server("m", 1, [server.url])
    with pytest.raises(StudyError) as error:
        list(engine.generate(asked(50)))
    assert f"{server.url}: {status} no such thing" in str(error.value)
    assert "\n" not in str(error.value)
    assert (sum(server.attempts.values()), client_threads()) == (1, [])


def test_a_refusal_stops_the_other_requests_too(rogue):
    def act(body, attempt):
        if body["prompt"] != "p3":
            return "hang"
        with server.lock:
            server.lock.wait_for(lambda: server.now == 4, 10)
        return 400, {}, refusal("no")

    server = rogue(act)
    with pytest.raises(StudyError, match="400 no"):
        list(Server("m", 4, server.url).generate(asked(50)))
    assert until(lambda: not server.open)
    assert sorted(server.attempts) == ["p0", "p1", "p2", "p3"]


def test_a_url_that_dies_is_no_longer_used_and_the_other_one_gets_the_rest(rogue, capsys):
    def act(body, attempt):
        if sum(second.attempts.values()) > 6:
            second.die()
        return 200, {}, answer(body["prompt"])

    def slow(body, attempt):
        time.sleep(0.01)  # so that requests overlap
        return 200, {}, answer(body["prompt"])

    first, second = rogue(slow), rogue(act)
    answers = list(Server("m", 2, [first.url, second.url], retries=1).generate(asked(60)))
    assert sorted(place for place, _ in answers) == list(range(60))
    assert all(completion["text"] == f"p{place}" for place, completion in answers)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "no longer used" in line]
    assert second.url in line
    assert first.most <= 2


def test_a_request_that_one_url_cannot_answer_moves_on_to_the_next(rogue, capsys):
    first = rogue(lambda body, attempt: (500, {}, "{}") if body["prompt"] == "p0" else (200, {}, answer("first")))
    second = rogue(lambda body, attempt: (429, {}, "{}") if body["prompt"] == "p1" else (200, {}, answer("second")))
    completions = dict(Server("m", 1, [first.url, second.url], retries=1).generate(asked(20)))
    assert len(completions) == 20
    assert (completions[0]["text"], completions[1]["text"]) == ("second", "first")
    assert (first.attempts["p0"], second.attempts["p1"]) == (2, 2)
    assert "no longer used" not in capsys.readouterr().out


def test_a_request_that_no_url_can_answer_is_named_after_all_others(rogue):
    def act(body, attempt):
        return (500, {}, refusal("boom")) if body["prompt"] == "p0" else (200, {}, answer("x"))

    first, second = rogue(act), rogue(act)
    arrived = []
    with pytest.raises(StudyError, match=r"1 requests had no answer .*500 boom.* stored"):
        for place, _ in Server("m", 1, [first.url, second.url], retries=1).generate(asked(20)):
            arrived.append(place)
    assert sorted(arrived) == list(range(1, 20))
    assert (first.attempts["p0"], second.attempts["p0"]) == (2, 2)


def test_failures_that_are_not_in_a_row_exclude_no_url(rogue, capsys):
    bad = {"p0", "p4", "p8", "p12", "p16"}
    server = rogue(lambda body, attempt: (500, {}, "{}") if body["prompt"] in bad else (200, {}, answer("x")))
    with pytest.raises(StudyError, match="5 requests had no answer"):
        list(Server("m", 1, server.url, retries=1).generate(asked(20)))
    assert server.attempts == {f"p{n}": 2 if f"p{n}" in bad else 1 for n in range(20)}
    assert "no longer used" not in capsys.readouterr().out


def test_when_all_servers_are_gone_completions_are_stored_and_the_next_run_makes_the_rest(rogue, tmp_path):
    def act(body, attempt):
        if sum(first.attempts.values()) > 6:
            first.die()
        return 200, {}, answer(body["prompt"])

    first, second = rogue(act), rogue()
    requests = asked(20)
    with Journal(tmp_path / "cache.jsonl") as cache:
        with pytest.raises(StudyError, match=r"no server answers any more .* stored.* run again"):
            complete(Server("m", 2, first.url, retries=1), requests, cache, "test")
        stored = {request.prompt for request in requests if request.id("m as served") in cache}
        assert 4 <= len(stored) <= 6
    with Journal(tmp_path / "cache.jsonl") as cache:
        records = complete(Server("m", 2, second.url), requests, cache, "test")
        assert [record["text"] for record in records] == [request.prompt for request in requests]
    assert second.attempts == {request.prompt: 1 for request in requests if request.prompt not in stored}


def test_every_url_gets_max_seqs_requests_at_once_and_no_more(rogue):
    def act(server):
        def wait(body, attempt):
            with server().lock:
                server().lock.wait_for(lambda: server().most >= 3, 10)
            time.sleep(0.01)  # so that requests overlap
            return 200, {}, answer("x")

        return wait

    first, second = rogue(act(lambda: first)), rogue(act(lambda: second))
    assert len(list(Server("m", 3, [first.url, second.url]).generate(asked(60)))) == 60
    assert (first.most, second.most) == (3, 3)


def test_requests_are_drawn_lazily_and_an_abandoned_call_leaves_no_thread(rogue):
    drawn = 0

    def many():
        nonlocal drawn
        for n in range(1_000_000):
            drawn += 1
            yield Request(f"p{n}", 0.7, 5, ())

    server = rogue()
    answers = Server("m", 4, server.url).generate(many())
    for count in range(1, 51):
        next(answers)
        assert drawn <= count - 1 + 2 * 4
    assert client_threads()
    answers.close()
    assert until(lambda: not client_threads() and not server.open)
    assert drawn <= 49 + 2 * 4


def test_requests_in_flight_end_with_the_consumer(rogue):
    server = rogue(lambda body, attempt: (200, {}, answer("x")) if body["prompt"] == "p0" else "hang")
    answers = Server("m", 4, server.url).generate(asked(10))
    assert next(answers)[0] == 0
    assert until(lambda: sum(server.attempts.values()) == 5)
    answers.close()
    assert until(lambda: not client_threads() and not server.open)
    assert sum(server.attempts.values()) == 5


@pytest.fixture
def interruptible():
    """SIGINT raises KeyboardInterrupt, also in a background job, whose shell lets it ignore the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_the_thread_and_its_connections(rogue):
    def act(body, attempt):
        os.kill(os.getpid(), signal.SIGINT)
        return "hang"

    server = rogue(act)
    with pytest.raises(KeyboardInterrupt):
        list(Server("m", 1, server.url).generate(asked(3)))
    assert until(lambda: not client_threads() and not server.open)


def test_an_error_in_the_requests_reaches_the_consumer(rogue):
    def failing():
        yield from asked(1)
        raise KeyError("no such seed")

    with pytest.raises(KeyError, match="no such seed"):
        list(Server("m", 1, rogue().url).generate(failing()))
    assert until(lambda: not client_threads())


def test_it_works_inside_a_running_event_loop(rogue):
    async def notebook():
        engine = Server("m", 2, rogue().url)
        engine.load()
        return list(engine.generate(asked(5)))

    assert len(asyncio.run(notebook())) == 5


def test_loading_names_what_is_wrong_with_each_url(rogue):
    server, gone = rogue(), rogue()
    gone.die()
    Server("m", 2, [server.url, server.url]).load()
    with pytest.raises(StudyError, match=rf"{server.url} serves m, n; set MODEL \(JUDGE in notebook 01, .*'other'"):
        Server("other", 2, server.url).load()
    with pytest.raises(StudyError, match=rf"{gone.url} does not list its models \(.*connect.*start"):
        Server("m", 2, [server.url, gone.url]).load()
    with pytest.raises(StudyError, match="base URLs such as http"):
        Server("m", 2, "localhost:8000/v1")
    with pytest.raises(StudyError, match="base URLs such as http"):
        Server("m", 2, [])


def test_a_server_whose_tokenizer_loses_code_is_refused(rogue):
    right, without, lossy = rogue(), rogue(), rogue()
    right.encode = lambda text: list(f" {text}".encode())  # llama.cpp keeps a space that is put first
    right.text = "content"
    lossy.encode = lambda text: list(text.replace("\t", "").replace("    ", " ").encode())
    Server("m", 2, [right.url, without.url], key="k").load()
    assert len(right.asked) == 2 * len(PIECES) and len(without.asked) == 1
    assert set(right.asked) == {("/tokenize", "Bearer k"), ("/detokenize", "Bearer k")}
    with pytest.raises(StudyError) as refused:
        Server("m", 2, [right.url, lossy.url]).load()
    said = str(refused.value)
    assert said.startswith(f"{lossy.url}: the tokenizer of m loses aligned columns, indents, tabs, line breaks: 'one ")
    assert "--tokenizer" in said and "\n" not in said


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


SEEDED = [Request(start, 0.9, 16, ("\n\n",), seed=7) for start in STARTS]


@pytest.mark.engine
def test_vllm_gives_over_http_what_it_gives_in_process(in_process, tmp_path):
    port, model = free_port(), resolve(NAME)
    environment = os.environ | {key: value for key, value in SETTINGS.items() if "MULTIPROCESSING" not in key}
    environment["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"  # it would keep a core for itself, and there may be one
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model.path)]
    command += ["--served-model-name", NAME, "--host", "127.0.0.1", "--port", str(port), "--dtype", DTYPE]
    command += ["--max-model-len", "1024", "--max-num-batched-tokens", "1024"]
    command += ["--max-num-seqs", "8", "--no-enable-chunked-prefill", "--enforce-eager"]
    command += ["--enable-prompt-tokens-details", "--generation-config", "vllm"]
    expected = in_process["served"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        engine = Server(NAME, 8, f"http://127.0.0.1:{port}/v1")
        for _ in range(300):
            try:
                engine.load()
                break
            except StudyError:
                assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
                time.sleep(0.5)
        served = dict(engine.generate(SERVED))
        fields = ("text", "finish_reason", "prompt_tokens", "tokens")
        different = [
            (served[n], expected[n])
            for n in range(len(SERVED))
            if any(served[n][field] != expected[n][field] for field in fields)
        ]
        assert not different
        again = [[completion for _, completion in sorted(engine.generate(SEEDED))] for _ in range(2)]
        assert [completion["text"] for completion in again[0]] == [completion["text"] for completion in again[1]]
        assert not any("\n\n" in completion["text"] for completion in again[0])
        long = Request("word " * 600, 0.0, 1, ())
        cached = [completion["cached_tokens"] for _ in range(2) for _, completion in engine.generate([long])]
        assert cached[0] == 0 < cached[1]
        several = [Request(" word" * size, 0.0, 4, SIX) for size in (1200, 10, 1024, 1023, 40_000)]
        assert [made == too_long() for _, made in sorted(engine.generate(several))] == [True, False, True, False, True]
        with pytest.raises(StudyError, match=f"serves {NAME}"):
            Server("other", 8, engine.urls).load()
        with pytest.raises(StudyError, match="404 .*other"):
            list(Server("other", 8, engine.urls).generate(SERVED))
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


LLAMA = """
import sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.model_alias = sys.argv[1], {"smollm"}
params.hostnames, params.port = ["127.0.0.1"], 0
params.n_ctx, params.n_parallel = 2048, 4
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.mark.engine
def test_llama_cpp_heeds_stop_strings_and_seeds(tmp_path):
    gguf = tmp_path / "smollm.gguf"
    fetch_gguf("smollm2-135m-instruct", gguf)
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", LLAMA, str(gguf)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout
            engine = Server("smollm", 4, process.stdout.readline().strip() + "/v1", extra={"top_k": 0, "min_p": 0})
            engine.load()
            requests = [Request(prompt, 0.0, 40, (".", "\n\n")) for prompt in ("The sky is", "Once upon a time")]
            requests += [Request("1, 2, 3, 4,", 0.0, 8, ())]
            completions = dict(engine.generate(requests))
            assert [completions[n]["finish_reason"] for n in range(3)] == ["stop", "stop", "length"]
            assert completions[2]["tokens"] == 8
            for place, completion in completions.items():
                assert completion["text"]
                assert not any(stop in completion["text"] for stop in requests[place].stop)
                assert 0 < completion["tokens"] <= requests[place].max_tokens
                assert 0 <= completion["cached_tokens"] <= completion["prompt_tokens"] > 0
            seeds = [Request("My name is", 1.0, 16, (), seed=seed) for seed in (1, 1, 2)]
            same, too, other = (dict(Server("smollm", 1, engine.urls).generate(seeds))[n]["text"] for n in range(3))
            assert same == too != other
            several = [Request("word " * size, 0.0, 4, SIX) for size in (3000, 10)]
            assert [made == too_long() for _, made in sorted(engine.generate(several))] == [True, False]
        finally:
            process.kill()
