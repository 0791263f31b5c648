"""What a plan of an experiment holds: arms, budget, scoring and questions (`lib.experiment.plan_file` reads it)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lib.core.records import StudyError
from lib.train.recipe import Recipe

SELECTIONS = ("passing", "failing", "random", "shuffled", "kept", "made", "none")
GRID = "grid"  # the name by which all cells of the grid are asked for
UNTRAINED, MADE = "none", "made"
REMEDY = f"run `make arms ARMS={GRID}`, then `python -m lib.experiment choose --write`"


@dataclass(frozen=True)
class Budget:
    """What all trained arms have alike: the recipe, and by how much their total tokens may differ (a fraction)."""

    tolerance: float = 0.05
    training: Recipe = field(default_factory=Recipe)


@dataclass(frozen=True)
class Scoring:
    """How a model is scored; `problems` bounds the problems per benchmark (0: all), tokens are those of an answer."""

    benchmarks: tuple[str, ...]
    samples: int
    temperature: float
    max_tokens: int
    problems: int = 0
    engine: str = "vllm"
    max_seqs: int = 64


@dataclass(frozen=True)
class Arm:
    """One way to a model, with one training seed; `recipe` names the pool that the answers are from.

    Arms of the same `tasks` learn from the same tasks. Selection "none" is the base model itself, "kept" what notebook
    03 keeps, cut to the number of examples that the others of its `tasks` have. With "made", `recipe` names one of the
    plan's `made`, and its tasks are its own.
    """

    name: str
    recipe: str
    selection: str
    tasks: str
    base: str
    seed: int
    budget: Budget
    scoring: Scoring

    def folder(self, out: Path) -> Path:
        """Return where its records are."""
        return out / self.name / str(self.seed)


@dataclass(frozen=True)
class Line:
    """An arm in the plan, with all its training seeds; an empty `base` and no `scoring` mean the plan's."""

    selection: str
    seeds: tuple[int, ...]
    recipe: str = ""
    tasks: str = ""
    base: str = ""
    scoring: Scoring | None = None


@dataclass(frozen=True)
class Group:
    """A set of tasks that arms share: at most `examples` (0: all there are), answers of matched length or as drawn.

    With `like`, its arms have tasks of their own: as many as that arm has, and within the tolerance as many tokens.
    """

    match: bool = True
    examples: int = 0
    like: str = ""


@dataclass(frozen=True)
class Validation:
    """How many held-out tasks judge rate and epochs, and on how many mutants their tests are tried."""

    tasks: int
    mutants: int
    seed: int


@dataclass(frozen=True)
class Cell:
    """A cell of the grid."""

    learning_rate: float
    epochs: int


@dataclass(frozen=True)
class Grid:
    """The rates and epochs that `arm` is trained with; `chosen` is the best on the validation set, then frozen."""

    arm: str
    seed: int
    learning_rates: tuple[float, ...]
    epochs: tuple[int, ...]
    chosen: Cell | None = None


@dataclass(frozen=True)
class Paper:
    """The paper's values of the two sides, in percent, and where they stand."""

    better: float
    worse: float
    source: str


@dataclass(frozen=True)
class Conclusions:
    """What is concluded when the difference is found above 0, is not found, or is found below 0."""

    above: str
    inconclusive: str
    below: str


@dataclass(frozen=True)
class Question:
    """A comparison: `better` less `worse`; `detectable` is a fraction, null until it is computed (`make arms`)."""

    id: str
    asks: str
    better: str
    worse: str
    expectation: str
    problems: int
    samples: int
    seeds: int
    conclude: Conclusions
    paper: Paper | None = None
    detectable: float | None = None


@dataclass(frozen=True)
class Controls:
    """The two arms that must part before anything else is concluded, and the arm whose seeds show their spread."""

    positive: str
    negative: str
    pilot: str


@dataclass(frozen=True)
class Plan:
    """All of an experiment; the first of `pools` (name: folder) has the tasks and the validation set.

    `made` are folders of examples that another way to make data wrote, by name (`lib.experiment.pool.read_made`).
    """

    base: str
    seed: int
    pools: dict[str, str]
    validation: Validation
    tasks: dict[str, Group]
    budget: Budget
    scoring: Scoring
    grid: Grid
    arms: dict[str, Line]
    controls: Controls
    questions: tuple[Question, ...]
    made: dict[str, str] = field(default_factory=dict)

    def group(self, tasks: str) -> dict[str, Line]:
        """Return the arms that share a set of tasks, by name; "kept" and "made" have tasks of their own."""
        apart = ("kept", MADE, UNTRAINED)
        return {name: line for name, line in self.arms.items() if line.tasks == tasks and line.selection not in apart}

    def arm(self, name: str, seed: int, cell: Cell, scoring: Scoring | None = None) -> Arm:
        """Return an arm of the plan, trained with a seed and a cell's rate and epochs."""
        line = self.arms[name]
        training = replace(self.budget.training, learning_rate=cell.learning_rate, epochs=cell.epochs, seed=seed)
        facts = (line.recipe, line.selection, line.tasks, line.base or self.base, seed)
        return Arm(name, *facts, replace(self.budget, training=training), scoring or line.scoring or self.scoring)

    def cells(self) -> dict[Cell, Arm]:
        """Return the arms of the grid, which are scored on the validation set alone."""
        blind = replace(self.scoring, benchmarks=())
        cells = [Cell(rate, epochs) for rate in self.grid.learning_rates for epochs in self.grid.epochs]
        names = {cell: f"{self.grid.arm}-{cell.learning_rate:g}-{cell.epochs}" for cell in cells}
        return {c: replace(self.arm(self.grid.arm, self.grid.seed, c, blind), name=n) for c, n in names.items()}

    def line(self, name: str) -> str:
        """Return the name in `arms` of an arm: a cell of the grid is its arm."""
        return name if name in self.arms else self.grid.arm

    def select(self, names: Sequence[str] = ()) -> list[Arm]:
        """Return the arms of these names with all their seeds: the grid's cells, every arm's first seed, the next ones.

        So that arms can be compared long before all are done. Without names all of the plan; while no cell is chosen,
        only the grid and what is not trained.
        StudyError for an unknown name, and for a trained arm that is named while no cell is chosen.
        """
        if unknown := [name for name in names if name not in (GRID, *self.arms)]:
            raise StudyError(f"the plan has no arm {unknown[0]}; choose from {', '.join((GRID, *self.arms))}")
        found = list(self.cells().values()) if not names or GRID in names else []
        wanted = [name for name in self.arms if not names or name in names]
        turns = [(turn, name, seed) for name in wanted for turn, seed in enumerate(self.arms[name].seeds)]
        for _, name, seed in sorted(turns, key=lambda turn: turn[0]):
            cell = Cell(0.0, 0) if self.arms[name].selection == UNTRAINED else self.grid.chosen
            if cell is not None:
                found.append(self.arm(name, seed, cell))
            elif names:
                raise StudyError(f"{name} needs a chosen cell of the grid: {REMEDY}")
        return found
