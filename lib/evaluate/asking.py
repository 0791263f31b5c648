"""Asks a model the problems of a benchmark."""

from collections.abc import Sequence

from lib.core.records import Journal, Record, StudyError, content_id
from lib.evaluate.benchmark import Benchmark
from lib.generate import Engine, Request, complete
from lib.generate.protocol import UNFINISHED, sampling_seed

SUMMED = ("prompt_tokens", "cached_tokens", "tokens")  # of the completions that make one answer
Place = tuple[str, int]  # a task, the number of a sample


def ask(
    engine: Engine,
    benchmark: Benchmark,
    tasks: Sequence[str],
    max_tokens: int,
    cache: Journal,
    what: str,
    *,
    samples: int = 1,
    temperature: float = 0.0,
    top_p: float = 1.0,
    raw: str = "",
    seed: int = 0,
) -> dict[str, list[Record]]:
    """Return `samples` completion records per task, by task id; `raw` names the form of the prompt for base models
    with which they are asked, "" means the template.

    The defaults (one greedy sample) are the paper's evaluation script's; the stop strings are those of the benchmark's
    protocol. At a temperature above 0 each sample has its own seed, derived from `seed`, the benchmark, the task and
    the sample's number, and each token is drawn from the likeliest that together have the probability `top_p`. Where a
    benchmark asks several times, all tasks are asked their first prompts, then their next, and a record is `together`.

    StudyError for several samples at temperature 0, which would all be equal, and for an unknown raw prompt.
    """
    if samples < 1 or (samples > 1 and temperature <= 0):
        raise StudyError(
            f"{samples} samples at temperature {temperature}: ask for 1, or for more at a temperature above 0"
        )
    if raw and raw not in benchmark.raw_prompts:
        raise StudyError(f"{benchmark.name} has no raw prompt {raw!r}; choose {' or '.join(benchmark.raw_prompts)}")
    stop = benchmark.raw_stop if raw else benchmark.stop
    answers: dict[Place, list[Record]] = {(task, sample): [] for task in tasks for sample in range(samples)}

    def request(place: Place, number: int, prompt: str) -> Request:
        task, sample = place
        parent = f"{task}, request {number}" if number else task
        drawn = sampling_seed(seed, benchmark.name, parent, sample) if temperature > 0 else None
        return Request(prompt, temperature, max_tokens, stop, drawn, sample, top_p)

    waiting = [*answers]
    while asked := [
        (place, len(answers[place]) + number, prompt)
        for place in waiting
        for number, prompt in enumerate(
            benchmark.next_prompts(place[0], [record["text"] for record in answers[place]], raw)
        )
    ]:
        requests = [request(*one) for one in asked]
        for (place, *_), record in zip(asked, complete(engine, requests, cache, what), strict=True):
            answers[place].append(record)
        waiting = list(dict.fromkeys(place for place, *_ in asked))
    found: dict[str, list[Record]] = {task: [] for task in tasks}
    for (task, _), records in answers.items():
        found[task].append(together(benchmark, task, records))
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
