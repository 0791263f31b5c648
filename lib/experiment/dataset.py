"""Data sets of arms as ids: on the same tasks, in matched lengths, or of another recipe, in as many tokens."""

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lib.core.records import Record, StudyError
from lib.experiment.plan import Line, Plan
from lib.experiment.pool import LEARNT, Made, Pool, alike
from lib.select import selection
from lib.select.training_set import build_training_set
from lib.train.template import IGNORED, encode

KINDS = ("passing", "failing")
# What a selection takes of a task. "shuffled" deals passing answers out among the tasks; "random" takes one of the two
# by a coin that falls as often on passing as the task's responses pass.
TAKES = {"passing": ("passing",), "shuffled": ("passing",), "failing": ("failing",), "random": KINDS}
CHOICE = {"shuffled": "passing"}  # the choice of notebook 03, where it is not called like the selection
SIZES = ("tokens", "trained")  # of an example: all tokens, and those on which the loss is taken
Source = tuple[str, str]  # a pool's name, one of KINDS
Offer = dict[Source, list[Record]]  # the examples of one task
Reason = Callable[[str], str | None]  # names the benchmark that a text repeats


@dataclass(frozen=True)
class Stock:
    """What data sets are made from: the examples that could be kept of each task, by pool and kind.

    `tasks` are those that may be learnt from. An example has its sizes, and `task`, its task in the main pool. `made`
    are the examples of recipes, by name, with their sizes.
    """

    plan: Plan
    pools: Mapping[str, Pool]
    offers: Mapping[str, Offer]
    tasks: Collection[str]
    reason: Reason
    made: Mapping[str, Sequence[Record]]


def examples(pool: Pool, names: Collection[str]) -> list[Record]:
    """Return the examples that notebook 03 makes of these responses, with the same final text."""
    rates = selection.pass_rates(pool.responses.values(), set(pool.named("passing")))
    programs = [pool.programs[name] for name in sorted(names)]
    return selection.examples(programs, pool.responses, pool.tasks, pool.sources, rates, pool.options, pool.style)


def offered(pool: Pool, main: Pool, tokenizer: Any, max_length: int, reason: Reason) -> list[tuple[str, Record]]:
    """Return (kind, example) for all that notebook 03 could keep of a pool, at tasks of the main pool.

    Left out is what it would drop whatever else there is, and what is longer than `max_length` tokens.
    """
    instructions = {name: task["instruction"] for name, task in pool.tasks.items()}
    alone = (
        selection.pick([program], pool.responses, instructions, pool.options)[0] for program in pool.programs.values()
    )
    made = examples(pool, [program["id"] for found in alone for program in found])
    if pool.options.decontaminate:
        made = selection.decontaminate(made, reason)[0]
    tasks, found = alike(main, pool), list[tuple[str, Record]]()
    measured = sized((each for each in made if pool.task(each["parent"]) in tasks), tokenizer, max_length)
    for example in (each | {"task": tasks[pool.task(each["parent"])]} for each in measured):
        verdict = pool.verdicts[example["parent"]]["verdict"]
        found += [(kind, example) for kind in KINDS if selection.CHOICES[kind](verdict)]
    return found


def sized(given: Iterable[Record], tokenizer: Any, max_length: int) -> list[Record]:
    """Return examples with their SIZES, without those that are longer than `max_length` tokens."""
    if not (made := list(given)):
        return []
    labels = {row["id"]: row["labels"] for row in encode(made, tokenizer, max_length)[0]}
    sizes = {name: (len(of), len(of) - of.count(IGNORED)) for name, of in labels.items()}
    return [each | dict(zip(SIZES, sizes[each["id"]], strict=True)) for each in made if each["id"] in sizes]


def stock(
    plan: Plan,
    pools: Mapping[str, Pool],
    tasks: Collection[str],
    tokenizer: Any,
    reason: Reason,
    made: Mapping[str, Sequence[Record]],
) -> Stock:
    """Return what data sets can be made from; the first of `pools` is the main one, `made` are recipes' examples."""
    main, offers = next(iter(pools.values())), dict[str, Offer]()
    for name, pool in pools.items():
        for kind, example in offered(pool, main, tokenizer, plan.budget.training.max_length, reason):
            offers.setdefault(example["task"], {}).setdefault((name, kind), []).append(example)
    longest = plan.budget.training.max_length
    learnable = {name: selection.decontaminate(of, reason)[0] for name, of in made.items()}
    return Stock(plan, pools, offers, tasks, reason, {n: sized(of, tokenizer, longest) for n, of in learnable.items()})


def matched(offer: Offer) -> dict[Source, Record]:
    """Return one example of a task from each source, as close in length as they can be.

    Passing answers are shorter than failing ones, so that a random pair would differ in length, too.
    """

    def nearest(length: int) -> dict[Source, Record]:
        return {
            source: min(found, key=lambda example: (abs(example["trained"] - length), example["id"]))
            for source, found in offer.items()
        }

    def unlike(chosen: dict[Source, Record]) -> int:
        lengths = [example["trained"] for example in chosen.values()]
        return max(lengths) - min(lengths)

    return min((nearest(each["trained"]) for found in offer.values() for each in found), key=unlike)


def drawn(offer: Offer, seed: str) -> dict[Source, Record]:
    """Return one random example of a task from each source."""
    return {source: random.Random(f"{seed}:{source}").choice(found) for source, found in offer.items()}


def kept(stock: Stock, line: Line, names: Collection[str]) -> list[str]:
    """Return the responses that notebook 03 keeps for an arm where it may draw from these only."""
    pool = stock.pools[line.recipe]
    options = replace(pool.options, choice=CHOICE.get(line.selection, line.selection))
    given = (pool.verdicts, pool.responses, pool.tasks, pool.sources, options, pool.style, stock.reason)
    made, _ = build_training_set([pool.programs[name] for name in sorted(names)], *given)
    return [example["parent"] for example in made]


def balanced(tasks: Sequence[str], arms: Mapping[str, Mapping[str, Record]], tolerance: float) -> list[str]:
    """Return the tasks without those, as few as possible, for which arms' total sizes differ by more than `tolerance`.

    `arms` are {arm: {task: example}}. StudyError when none is left.
    """
    left = list(tasks)
    while left:
        for size in SIZES:
            totals = {name: sum(chosen[task][size] for task in left) for name, chosen in arms.items()}
            low, high = min(totals, key=totals.__getitem__), max(totals, key=totals.__getitem__)
            if totals[high] > (1 + tolerance) * totals[low]:
                left.remove(max(left, key=lambda task: arms[high][task][size] - arms[low][task][size]))
                break
        else:
            return left
    raise StudyError("no tasks are left on which the arms' tokens are alike: raise the budget's tolerance")


def candidates(stock: Stock, lines: Mapping[str, Line], match: bool) -> dict[str, dict[str, Record]]:
    """Return {arm: {task: example}} for arms that share their tasks: those with an example for all."""
    sources = sorted({(line.recipe, kind) for line in lines.values() for kind in TAKES[line.selection]})
    chosen: dict[str, dict[str, Record]] = {name: {} for name in lines}
    for task in sorted(stock.tasks):
        offer = {source: stock.offers.get(task, {}).get(source, []) for source in sources}
        if not all(offer.values()):
            continue
        seed = f"{stock.plan.seed}:{task}"
        taken = matched(offer) if match else drawn(offer, seed)
        for name, line in lines.items():
            own = [(line.recipe, kind) for kind in TAKES[line.selection]]
            coin = random.Random(f"{seed}:random").choices(own, [len(offer[source]) for source in own])
            chosen[name][task] = taken[coin[0]]
    return chosen


def shared(stock: Stock, tasks: str) -> dict[str, dict[str, Record]]:
    """Return {arm: {task: example}} for the arms that share a set of tasks: those that notebook 03 keeps for all.

    StudyError when fewer than two are left.
    """
    plan, lines, group = stock.plan, stock.plan.group(tasks), stock.plan.tasks[tasks]
    chosen = candidates(stock, lines, group.match)
    left = set.intersection(*(set(of) for of in chosen.values()))
    for name, line in lines.items():
        parents = {example["parent"]: task for task, example in chosen[name].items()}
        left &= {parents[parent] for parent in kept(stock, line, parents)}
    order = sorted(left)
    random.Random(plan.seed).shuffle(order)
    order = order[: group.examples or None]
    if group.match and order:
        order = balanced(order, chosen, plan.budget.tolerance)
    if len(order) < 2:
        raise StudyError(
            f"{len(order)} tasks suit all of {', '.join(lines)}: record more, or compare fewer arms on them"
        )
    return {name: {task: of[task] for task in sorted(order)} for name, of in chosen.items()}


def as_kept(stock: Stock, line: Line, count: int) -> dict[str, Record]:
    """Return {task: example} of what notebook 03 keeps of a pool's passing responses, cut to `count` by the seed."""
    found = (offer.get((line.recipe, "passing"), []) for task, offer in stock.offers.items() if task in stock.tasks)
    by_id = {example["parent"]: example for each in found for example in each}
    names = kept(stock, replace(line, selection="passing"), by_id)
    random.Random(stock.plan.seed).shuffle(names)
    return dict(sorted((by_id[name]["task"], by_id[name]) for name in names[:count]))


def weighed(
    given: Sequence[Record], count: int, wanted: Mapping[str, int], tolerance: float, seed: int
) -> list[Record]:
    """Return `count` examples whose total sizes differ from those wanted by no more than `tolerance` (a fraction).

    They are drawn by the seed, then exchanged one by one, each time for what brings the worse of the totals nearest.
    StudyError when there are too few, or when no exchange brings them near enough.
    """
    order = sorted(given, key=lambda example: example["id"])
    random.Random(seed).shuffle(order)
    taken, rest = order[:count], order[count:]
    if len(taken) < count:
        raise StudyError(f"{len(taken)} examples suit a recipe, and {count} are needed: make more")

    def off(totals: Mapping[str, int]) -> float:
        return max(abs(totals[size] - wanted[size]) / wanted[size] for size in SIZES)

    totals = {size: sum(each[size] for each in taken) for size in SIZES}
    while (now := off(totals)) > tolerance:

        def exchanged(out: int, new: int, totals: Mapping[str, int] = totals) -> dict[str, int]:
            return {size: totals[size] - taken[out][size] + rest[new][size] for size in SIZES}

        pairs = ((out, new) for out in range(len(taken)) for new in range(len(rest)))
        out, new = min(pairs, key=lambda pair: off(exchanged(*pair)), default=(-1, -1))
        if out < 0 or off(exchanged(out, new)) >= now:
            raise StudyError(
                f"the tokens of {count} examples still differ by {now:.0%}: make more, or of other lengths"
            )
        totals = exchanged(out, new)
        taken[out], rest[new] = rest[new], taken[out]
    return sorted(taken, key=lambda example: example["id"])


def own_tasks(stock: Stock, tasks: str, model: Collection[Record]) -> dict[str, list[Record]]:
    """Return {arm: data set in ids} of arms with tasks of their own whose recipes are there.

    Each is of the size of `model`, the examples of the arm that they are like.
    """
    plan = stock.plan
    wanted = {size: sum(example[size] for example in model) for size in SIZES}
    lines = {name: line for name, line in plan.arms.items() if line.tasks == tasks and line.recipe in stock.made}
    chosen = {
        name: weighed(stock.made[line.recipe], len(model), wanted, plan.budget.tolerance, plan.seed)
        for name, line in lines.items()
    }
    return {name: [dict.fromkeys(("id", "asks", "answers"), each["id"]) for each in of] for name, of in chosen.items()}


def derangement(items: Sequence[str], seed: int) -> list[str]:
    """Return two or more items so that none is in its place: along a random cycle through all (Sattolo 1986)."""
    order, rng = list(items), random.Random(seed)
    for place in range(len(order) - 1, 0, -1):
        other = rng.randrange(place)
        order[place], order[other] = order[other], order[place]
    return order


def rows(line: Line, chosen: Mapping[str, Record], seed: int) -> list[Record]:
    """Return an arm's data set as ids: a task, the response whose example asks, and that whose example answers."""
    asking = [example["parent"] for example in chosen.values()]
    answering = derangement(asking, seed) if line.selection == "shuffled" else asking
    return [
        {"id": task, "asks": asks, "answers": answers}
        for task, asks, answers in zip(chosen, asking, answering, strict=True)
    ]


def texts(pool: Pool | Made, given: Sequence[Record]) -> list[Record]:
    """Return the examples {id, instruction, response} of a data set in ids, for training.

    Their id is the task's, so that arms on the same tasks hold out the same ones and see them in the same order; of a
    recipe's examples it is their own. KeyError for an id that is not there.
    """
    if isinstance(pool, Made):
        return [{key: pool.examples[row["id"]][key] for key in LEARNT} for row in given]
    made = {
        example["parent"]: example for example in examples(pool, {row[k] for row in given for k in ("asks", "answers")})
    }
    return [
        {"id": row["id"], "instruction": made[row["asks"]]["instruction"], "response": made[row["answers"]]["response"]}
        for row in given
    ]


def datasets(stock: Stock, groups: Collection[str]) -> dict[str, list[Record]]:
    """Return {arm: data set in ids} of all arms that are trained on the tasks of `groups`."""
    made: dict[str, list[Record]] = {}
    learnt: dict[str, Mapping[str, Record]] = {}
    for tasks in sorted(groups, key=lambda name: (bool(stock.plan.tasks[name].like), name)):
        if like := stock.plan.tasks[tasks].like:
            made |= own_tasks(stock, tasks, learnt[like].values())
            continue
        chosen = shared(stock, tasks)
        learnt |= chosen
        count = len(next(iter(chosen.values())))
        for arm, line in stock.plan.arms.items():
            if line.tasks == tasks and line.selection == "kept":
                chosen[arm] = as_kept(stock, line, count)
        made |= {arm: rows(stock.plan.arms[arm], examples, stock.plan.seed) for arm, examples in chosen.items()}
    return made
