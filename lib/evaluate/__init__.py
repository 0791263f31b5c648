"""Evaluation: load a benchmark, ask a model, grade its solutions in the sandbox, score them.

A benchmark is one module of `lib.evaluate.benchmarks` with a class of `Benchmark` and a function that loads it: its
problems, what a model is asked, the solution in a completion, the programs (one or several) that run a solution in the
sandbox, and what their verdicts mean. There are one or several samples per problem; pass@k is computed from their
outcomes.
"""

from lib.evaluate.asking import ask, ask_all
from lib.evaluate.benchmark import RAW_STOP, Benchmark, Outcome
from lib.evaluate.benchmarks import BENCHMARKS, load_benchmark, named
from lib.evaluate.data import Missing
from lib.evaluate.grading import grade, public
from lib.evaluate.scoring import score, table

load = load_benchmark  # its earlier name, in scripts written for this package (shared/cases)

__all__ = ["BENCHMARKS", "RAW_STOP", "Benchmark", "Missing", "Outcome", "ask", "ask_all", "grade", "load"]
__all__ += ["load_benchmark", "named", "public", "score", "table"]
