"""How selection changes the mix of difficulties, categories, lengths and pass rates."""

from collections.abc import Collection, Mapping

import pandas as pd

from lib.core.records import Record

DIFFICULTIES = ("easy", "medium", "hard")
WORDS = {"under 25": 0, "25 to 49": 25, "50 to 99": 50, "100 to 199": 100, "200 or more": 200}  # least number of words
ORDER = {name: place for place, name in enumerate((*DIFFICULTIES, *WORDS))}
RATES = {"none": 0.0, "to 1/4": 0.25, "to 1/2": 0.5, "to 3/4": 0.75, "under 1": 0.9999, "all": 1.0}  # highest pass rate


def length(response: str) -> str:
    """The group of WORDS to which a response belongs."""
    words = len(response.split())
    return [name for name, least in WORDS.items() if words >= least][-1]


def mix(
    stages: Mapping[str, Collection[Record]],
    parents: Mapping[str, Record],
    tasks: Mapping[str, Record],
    rates: Mapping[str, float],
) -> dict[str, pd.DataFrame]:
    """Counts of programs by difficulty, category, words of the response and pass rate of its task: rows are groups,
    columns the `stages`, for example all, passing and kept programs.

    `parents` are response records by program id, `tasks` and `rates` are by instruction id. `figures.grouped` draws the
    shares, `table / table.sum()`.
    """
    rows = []
    for stage, programs in stages.items():
        for program in programs:
            task = tasks[parents[program["id"]]["parent"]]
            rows.append((stage, task["difficulty"], task["category"], length(program["response"]), rates[task["id"]]))
    frame = pd.DataFrame(rows, columns=["stage", "difficulty", "category", "words", "pass rate"])
    order = list(dict.fromkeys([*DIFFICULTIES, *frame["difficulty"]]))
    frame["difficulty"] = pd.Categorical(frame["difficulty"], order)
    frame["words"] = pd.Categorical(frame["words"], list(WORDS))
    frame["pass rate"] = pd.cut(frame["pass rate"], [-1.0, *RATES.values()], labels=list(RATES))
    traits = ("difficulty", "category", "words", "pass rate")
    tables = {trait: pd.crosstab(frame[trait], frame["stage"], dropna=False) for trait in traits}
    return {trait: table.reindex(columns=list(stages), fill_value=0) for trait, table in tables.items()}
