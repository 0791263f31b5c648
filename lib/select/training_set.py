"""From verdicts to a training set, step by step, for each arm of the ablation on which responses may be drawn."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from lib.core.records import Record
from lib.select.distinct import TEXTS, drop_near_duplicates
from lib.select.selection import CHOICES, Options, decontaminate, examples, pass_rates, pick
from lib.synthesize.prompts import Style

Step = tuple[str, int, int, dict[str, int], str]  # a row of the funnel: name, records in and out, reasons, unit


def candidates(
    programs: Iterable[Record],
    verdicts: Mapping[str, Record],
    parents: Mapping[str, Record],
    options: Options,
    among: Collection[str] | None = None,
) -> tuple[list[Record], Counter[str]]:
    """The programs that `options.choice` may draw from, and the others' verdicts.

    `verdicts` are by program id, `parents` the response records by id. With `among`, only programs for these
    instruction ids, to compare two selections on the same tasks.
    """
    kept, reasons = [], Counter[str]()
    for program in programs:
        verdict = verdicts[program["id"]]["verdict"]
        if among is not None and parents[program["id"]]["parent"] not in among:
            reasons["task not asked for"] += 1
        elif CHOICES[options.choice](verdict):
            kept.append(program)
        else:
            reasons[verdict] += 1
    return kept, reasons


def build_training_set(
    programs: Sequence[Record],
    verdicts: Mapping[str, Record],
    parents: Mapping[str, Record],
    tasks: Mapping[str, Record],
    sources: Mapping[str, Record],
    options: Options,
    style: Style,
    reason: Callable[[str], str | None],
    among: Collection[str] | None = None,
) -> tuple[list[Record], list[Step]]:
    """The training set of one selection, and its steps in the official order, each the arguments of `StageRun.step`.

    Takes well-formed programs, verdicts by program id, and the rest as `examples`, `decontaminate` and `candidates`
    do; near-duplicates are dropped by instruction, then response, then code. Nothing depends on the input's order.
    """
    rates = pass_rates(parents.values(), {name for name, verdict in verdicts.items() if verdict["verdict"] == "pass"})
    texts = {name: task["instruction"] for name, task in tasks.items()}
    steps: list[Step] = []

    def counted(step: str, before: Sequence[Record], after: tuple[list[Record], Counter[str]]) -> list[Record]:
        steps.append((step, len(before), len(after[0]), dict(after[1]), "examples" if len(steps) > 1 else "responses"))
        return after[0]

    drawable = counted(f"{options.choice} responses", programs, candidates(programs, verdicts, parents, options, among))
    step = "all different ones" if options.choice == "all passing" else "one response a task"
    picked = counted(step, drawable, pick(drawable, parents, texts, options))
    made = examples(picked, parents, tasks, sources, rates, options, style)
    if options.decontaminate:
        made = counted("in no benchmark", made, decontaminate(made, reason))
    for field in TEXTS if options.near else ():
        made = counted(f"no near-duplicate {field}", made, drop_near_duplicates(made, field, options.near, parents))
    return made, steps
