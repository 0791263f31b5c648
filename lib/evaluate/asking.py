"""Asks a model the problems of a benchmark, or of several."""

from collections.abc import Sequence
from typing import Any

from lib.core.records import Journal, Record, StudyError, content_id
from lib.evaluate.benchmark import Benchmark
from lib.generate import Engine, Request, complete
from lib.generate.protocol import UNFINISHED, sampling_seed

SUMMED = ("prompt_tokens", "cached_tokens", "tokens")  # of the completions that make one answer
Asked = tuple[Benchmark, Sequence[str], str]  # a benchmark, tasks of it, the form of the raw prompt ("": the template)
Place = tuple[int, str, int]  # the number of what is asked, a task, the number of a sample


def ask(
    engine: Engine, benchmark: Benchmark, tasks: Sequence[str], *arguments: Any, raw: str = "", **sampling: Any
) -> dict[str, list[Record]]:
    """Return what `ask_all` does, of one benchmark."""
    return ask_all(engine, [(benchmark, tasks, raw)], *arguments, **sampling)[0]


def ask_all(
    engine: Engine,
    wanted: Sequence[Asked],
    max_tokens: int,
    cache: Journal,
    what: str,
    *,
    samples: int = 1,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
) -> list[dict[str, list[Record]]]:
    """Return `samples` completion records per task, by task id, for each benchmark that is asked.

    All is asked in one batch, so that an engine is not left with the last long answers of each benchmark. The defaults
    (one greedy sample) are the paper's evaluation script's; the stop strings are those of the benchmark's protocol. At
    a temperature above 0 each sample has its own seed, derived from `seed`, the benchmark, the task and the sample's
    number, and each token is drawn from the likeliest that together have the probability `top_p`. Where a benchmark
    asks several times, all tasks are asked their first prompts, then their next, and a record is `together`.

    StudyError for several samples at temperature 0, which would all be equal, and for an unknown raw prompt.
    """
    if samples < 1 or (samples > 1 and temperature <= 0):
        raise StudyError(
            f"{samples} samples at temperature {temperature}: ask for 1, or for more at a temperature above 0"
        )
    for benchmark, _, raw in wanted:
        if raw and raw not in benchmark.raw_prompts:
            raise StudyError(f"{benchmark.name} has no raw prompt {raw!r}; choose {' or '.join(benchmark.raw_prompts)}")
    places = [(which, task) for which, (_, tasks, _) in enumerate(wanted) for task in tasks]
    answers: dict[Place, list[Record]] = {(*place, sample): [] for place in places for sample in range(samples)}

    def prompts(place: Place) -> list[str]:
        benchmark, _, raw = wanted[place[0]]
        return benchmark.next_prompts(place[1], [record["text"] for record in answers[place]], raw)

    def request(place: Place, number: int, prompt: str) -> Request:
        (benchmark, _, raw), (_, task, sample) = wanted[place[0]], place
        parent = f"{task}, request {number}" if number else task
        drawn = sampling_seed(seed, benchmark.name, parent, sample) if temperature > 0 else None
        stop = benchmark.raw_stop if raw else benchmark.stop
        return Request(prompt, temperature, max_tokens, stop, drawn, sample, top_p)

    waiting = [*answers]
    while asked := [
        (place, len(answers[place]) + number, prompt)
        for place in waiting
        for number, prompt in enumerate(prompts(place))
    ]:
        requests = [request(*one) for one in asked]
        once = list(dict.fromkeys(requests))  # HumanEval+ asks most of HumanEval's prompts again
        records = dict(zip(once, complete(engine, once, cache, what), strict=True))
        for (place, *_), one in zip(asked, requests, strict=True):
            answers[place].append(records[one])
        waiting = list(dict.fromkeys(place for place, *_ in asked))
    found: list[dict[str, list[Record]]] = [{task: [] for task in tasks} for _, tasks, _ in wanted]
    for (which, task, _), records in answers.items():
        found[which][task].append(together(wanted[which][0], task, records))
    return found


def together(benchmark: Benchmark, task: str, records: Sequence[Record]) -> Record:
    """Return one record for the answers to all prompts of a task: the only one as it is.

    Of several, `text` is the benchmark's joined completion and `steps` the texts; tokens are summed; it ends as the
    first that has no end, else as the last.
    """
    if len(records) == 1:
        return records[0]
    steps = [record["text"] for record in records]
    ended = next((one["finish_reason"] for one in records if one["finish_reason"] in UNFINISHED), "stop")
    return {
        "id": content_id(*(record["id"] for record in records)),
        "engine": records[-1]["engine"],
        "text": benchmark.joined(task, steps),
        "finish_reason": ended,
        **{name: sum(record.get(name, 0) for record in records) for name in SUMMED},
        "steps": steps,
    }
