"""The stages of the study: what each needs and reads, and what it is for. A new notebook is a new row.

A run's stages do not go stale when this table changes (`lib.core.code.UNREAD`): that another stage exists changes no
record, and what a stage reads is in its manifest.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A notebook as a node of the graph.

    `needs` are the stages whose records it reads, "run:stage" for one of another run; `reads` are the data files and
    folders of the repository that it reads. The modules that its notebook imports are found, not listed. `roles` say
    what it is for: `make study` runs those of role "study", those of role "read" only read what is recorded, and code
    finds a stage by its role, never by its name.
    """

    name: str
    needs: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    roles: tuple[str, ...] = ("study",)

    @property
    def number(self) -> str:
        """The two digits that its name begins with, which is also its target of make."""
        return self.name[:2]


# In an order in which they can run.
STAGES = (
    Stage("00_start_here", (), ("data/reference/laptop",), ("start", "read")),
    Stage("01_seed_curation", (), ("data/corpora", "data/benchmarks", "data/judge"), ("study", "curation")),
    Stage("02_self_oss_instruct", ("01_seed_curation",), ("data/exemplars",), ("study", "synthesis")),
    Stage(
        "03_execution_filtering",
        ("01_seed_curation", "02_self_oss_instruct"),
        ("data/exemplars", "data/benchmarks", "data/audit"),
        ("study", "filtering"),
    ),
    Stage(
        "04_sft",
        ("01_seed_curation", "02_self_oss_instruct", "03_execution_filtering"),
        ("lib/publish/templates", "CITATION.cff"),
        ("study", "training"),
    ),
    Stage(
        "05_evaluation",
        ("02_self_oss_instruct", "03_execution_filtering", "04_sft"),
        ("data/benchmarks", "data/claims.yaml"),
        ("study", "evaluation", "scoring"),
    ),
    Stage("06_beyond_functions", ("02_self_oss_instruct", "04_sft"), ("data/claims.yaml",), ("beyond", "scoring")),
    Stage(
        "07_baselines",
        (),
        (
            "data/experiments",
            "data/reference/arms",
            "data/reference/made",
            "data/reference/pool",
            "data/claims.yaml",
            "data/benchmarks",
        ),
        ("baselines", "read"),
    ),
    Stage(
        "08_ablations",
        (),
        (
            "data/experiments",
            "data/reference/arms",
            "data/reference/pool",
            "data/claims.yaml",
            "data/audit",
            "data/reference/laptop",
        ),
        ("ablations", "read"),
    ),
)
