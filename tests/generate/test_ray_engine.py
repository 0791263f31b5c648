"""Two vLLM workers on Ray give the completions of one process, also if one is killed; the sandbox on Ray Data."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from asked import DTYPE, NAME, SPREAD
from helpers import alive, below, descendants, kill_nine

from lib.core.paths import ROOT
from lib.core.records import StudyError
from lib.generate.window import too_long
from lib.sandbox import Limits, run_programs
from lib.sandbox.ray_stage import run_on_ray

pytestmark = pytest.mark.engine

# Each input line is a command; each output line reports an event. The window is small: engines try it when they start.
WINDOW = 1024
RAY = """
import json, os, sys
os.environ["VLLM_CPU_KVCACHE_SPACE"] = "1"
from lib.generate import Request, open_engine
from lib.core.records import StudyError

REQUESTS = [Request(**{**row, "stop": tuple(row["stop"])}) for row in json.loads(sys.argv[1])]
def report(*what):
    print("FOUND" + json.dumps(what), flush=True)
WORDS = [Request(" word" * size, 0.0, 4, ()) for size in (1200, 10, 1024, 1023, 9000, 20)]
REFUSED = [WORDS[1], Request("a", -1.0, 4, ())]
def lazily(times):
    for n in range(times * len(REQUESTS)):
        report("drawn", n)
        yield REQUESTS[n % len(REQUESTS)]

name, window = sys.argv[2], int(sys.argv[3])
options = {"workers": 2, "max_model_len": window, "max_num_batched_tokens": window, "dtype": sys.argv[4]}
engine = open_engine("ray", name, 2, options)
for command in sys.stdin:
    command, times = command.split()
    try:
        engine.load()
        asked = {"words": WORDS, "refused": REFUSED}.get(command) or lazily(int(times))
        for place, completion in engine.generate(asked):
            report("done", place, completion)
            if command == "abandon":
                break
        report("end")
    except StudyError as error:
        report("error", str(error))
"""


class Driver:
    """A process that drives the engine, and its reports."""

    def __init__(self):
        rows = json.dumps([vars(request) for request in SPREAD])
        command = [sys.executable, "-c", RAY, rows, NAME, str(WINDOW), DTYPE]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, bufsize=1)

    def say(self, command):
        self.process.stdin.write(command + "\n")

    def reports(self):
        """Yield the reports until the command has ended."""
        for line in self.process.stdout:
            if line.startswith("FOUND"):
                what = json.loads(line.removeprefix("FOUND"))
                yield what
                if what[0] in ("end", "error"):
                    return

    def ask(self, command):
        self.say(command)
        return list(self.reports())

    def below(self, title):
        """Return the pids of the processes below the driver whose command line has `title`."""
        return below(self.process.pid, title)


def wait_until_dead(pids):
    while any(map(alive, pids)):  # pytest's own timeout ends it
        time.sleep(0.2)


@pytest.fixture(scope="module")
def driver():
    driver = Driver()
    yield driver
    below = descendants(driver.process.pid)
    driver.process.stdin.close()  # it has no more to do, and ends
    driver.process.wait()
    wait_until_dead(below)


@pytest.fixture(scope="module")
def expected(in_process):
    return dict(enumerate(in_process["spread"]))


def assert_same(reports, expected):
    """Each completion is reported once, and is that of the one process, but for what Ray's processor does not say."""
    done = {place: completion for kind, place, completion in (what for what in reports if what[0] == "done")}
    places = [what[1] for what in reports if what[0] == "done"]
    assert sorted(places) == list(range(len(places))) and not len(places) % len(expected)
    known = dict[int, dict]()
    for place, completion in expected.items():
        full = completion["tokens"] == SPREAD[place].max_tokens  # whether it also ended there by itself is not known
        known[place] = completion | {"cached_tokens": 0} | ({"finish_reason": "length"} if full else {})
    assert done == {place: known[place % len(expected)] for place in done}


def test_two_workers_complete_as_one_process_does(driver, expected):
    reports = driver.ask("generate 1")
    assert len(driver.below("VLLM::EngineCore")) == 2
    assert {completion["finish_reason"] for completion in expected.values()} == {"stop", "length"}
    assert_same(reports, expected)
    drawn = [
        len([what for what in reports[:at] if what[0] == "drawn"])
        for at, what in enumerate(reports)
        if what[0] == "done"
    ]
    assert all(ahead - done <= 8 for done, ahead in enumerate(drawn)), (
        "requests are drawn before there is room for them"
    )


@pytest.mark.parametrize("both", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_killed_workers_lose_nothing_and_repeat_nothing(driver, expected, both):
    driver.ask("abandon 1")  # its remaining completions must not be taken for those of the next call
    driver.say("generate 4")
    reports = []
    for what in driver.reports():
        reports.append(what)
        if len(reports) == 20:
            below = driver.below("ray::MapWorker"), driver.below("VLLM::EngineCore")
            assert [len(pids) for pids in below] == [2, 2]
            killed, left = below[1] if below[1][0] in descendants(below[0][0]) else below[1][::-1]
            os.kill(below[0][0], signal.SIGKILL)  # one worker as a whole: the other does its part ...
            if both:
                os.kill(left, signal.SIGKILL)  # ... or loses its engine, too, and new ones are loaded
    assert reports[-1] == ["end"]
    assert_same(reports, expected)
    wait_until_dead([killed])
    assert alive(left) is not both


def test_a_prompt_that_fills_the_window_is_left_out_alone(driver):
    once, again = (sorted(what[1:] for what in driver.ask("words 1") if what[0] == "done") for _ in range(2))
    assert [made == too_long() for _, made in once] == [True, False, True, False, True, False]
    assert [made["prompt_tokens"] for _, made in once] == [0, 10, 0, 1023, 0, 20] and again == once
    kind, said = driver.ask("refused 1")[-1]
    assert kind == "error" and said.startswith("vLLM refuses a request (") and "temperature" in said
    assert "\n" not in said


@pytest.mark.slow
def test_a_broken_pipeline_ends_in_one_line_and_leaves_no_process(driver):
    driver.say("generate 50")
    reports = []
    for what in driver.reports():
        reports.append(what)
        if len(reports) == 20:
            everything = descendants(driver.process.pid)
            (drawing,) = driver.below("drawn")
            os.kill(drawing, signal.SIGKILL)
    assert reports[-1][0] == "error" and "run again" in reports[-1][1] and "\n" not in reports[-1][1]
    wait_until_dead(everything)


@pytest.mark.slow
def test_a_killed_driver_leaves_no_process(driver):
    driver.say("generate 1")  # loads everything again
    while not driver.below("VLLM::EngineCore"):
        time.sleep(0.5)
    below = kill_nine(driver.process)  # before Ray knows that they are ready
    assert len(below) > 6
    wait_until_dead(below)


def test_programs_run_on_a_cluster_get_the_verdicts_of_one_process():
    code = "def f(x):\n    return x + 1\n"
    programs = [{"id": f"pass {n}", "code": code, "tests": f"assert f({n}) == {n + 1}"} for n in range(5)]
    programs += [{"id": f"fail {n}", "code": code, "tests": f"assert f({n}) == {n}"} for n in range(4)]
    programs += [
        {"id": f"time {n}", "code": "def f(x):\n    while x: pass\n", "tests": "assert f(1)"} for n in range(2)
    ]
    programs += [{"id": "entry", "code": code, "tests": "def check(f):\n    assert f(1) == 2\n", "entry": "f"}]
    programs += [{"id": "no UTF-8", "code": "def f():\n    return '\ud800'\n", "tests": "assert f()"}]
    limits = Limits(cpu_seconds=1.0)
    running = run_on_ray(iter(programs), limits, workers=2)
    verdicts = [next(running)]
    os.kill(below(os.getpid(), "ray::MapBatches")[0], signal.SIGKILL)  # its programs are run again
    verdicts += running
    one = list(run_programs(programs, limits))
    assert {verdict["verdict"] for verdict in one} == {"pass", "fail", "timeout", "error"}
    for verdict in verdicts + one:
        assert min(verdict.pop(name) for name in ("seconds", "cpu_seconds", "memory_mb")) >= 0
    assert sorted(verdicts, key=lambda verdict: verdict["id"]) == sorted(one, key=lambda verdict: verdict["id"])


def test_a_missing_cluster_is_named():
    with pytest.raises(StudyError, match="ray start --head"):
        next(run_on_ray([{}], address="127.0.0.1:1"))
