"""The page on which every training example is followed home: static files, written from a run's records."""

import ast
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from difflib import unified_diff
from pathlib import Path

from lib.core.paths import shown
from lib.core.records import Record, StudyError, write_text
from lib.core.study import only, read_stored
from lib.evaluate import Missing, load_benchmark
from lib.evaluate.steps import samples_file
from lib.lineage.follow import Followed, Lineage
from lib.overlap.contamination_report import SIMILAR, Index, closest, indexed, most_similar
from lib.overlap.fingerprints import TOKEN
from lib.overlap.ngrams import distinct_ngrams

TEMPLATES = Path(__file__).parent / "templates"
PER_FILE = 100  # examples in a data file, of which a reader's browser loads those that are looked at
ALIKE = 0.5  # similarity from which a passing answer to another task is shown as much like an example
TITLE = 110  # characters of a task in the list, by which it is also found


def write_page(folder: Path, out: Path) -> Path:
    """Write the page of a run's or a reference's folder into `out`, in place of what is there; return its index.html.

    Of benchmarks it has ids and outcomes, no text. StudyError when the training set or what led to it is missing.
    """
    out = out.resolve()
    if out.is_dir() and any(out.iterdir()) and not (out / "lineage.js").is_file():
        raise StudyError(f"{shown(out)} holds something else than a lineage page: give another --out")
    followed = Followed(folder)
    lineages = [followed.lineage(name) for name in sorted(followed.by_name["dataset"])]
    fresh = out.with_name(f".{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(TEMPLATES, fresh)
    listed: list[list[object]] = []
    similar = alike(followed, lineages)
    for start in range(0, len(lineages), PER_FILE):
        file = f"{start // PER_FILE:04d}"
        part = lineages[start : start + PER_FILE]
        listed += [[*row(one), file] for one in part]
        script(fresh / "data" / f"{file}.js", "page", file, [details(one, followed, similar) for one in part])
    asked = list(problems(folder, [one.example for one in lineages]))
    about = (
        f"{len(lineages):,} examples of {shown(folder)}; each with its source line, its task, all answers and verdicts."
    )
    script(fresh / "data" / "index.js", "index", {"about": about, "examples": listed, "problems": asked})
    shutil.rmtree(out, ignore_errors=True)
    fresh.rename(out)
    return out / "index.html"


def script(path: Path, function: str, *arguments: object) -> None:
    """Write a data file: a call of one of the page's functions."""
    path.parent.mkdir(exist_ok=True)
    texts = (json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in arguments)
    write_text(path, f"lineage.{function}({','.join(texts)});\n")


def row(lineage: Lineage) -> list[object]:
    """Return what the list and its filters need of an example: FIELDS of templates/lineage.js, without the file."""
    source, task = lineage.seed["source"], lineage.task
    title = " ".join(task["instruction"].split())
    title = title if len(title) <= TITLE else title[: TITLE - 1].rsplit(" ", 1)[0] + " …"
    facts = (source["package"], source["licence"], task["category"], task["difficulty"])
    return [lineage.example["id"], title, *facts, lineage.example["pass_rate"]]


def details(lineage: Lineage, followed: Followed, similar: Mapping[str, Sequence[Record]]) -> Record:
    """Return all that the page shows of one example."""
    example = lineage.example
    mutants = followed.mutants.get(example["parent"], [])
    return {
        "id": example["id"],
        "place": lineage.place,
        "code": lineage.seed["code"],
        "concepts": lineage.concepts and lineage.concepts["concepts"],
        "instruction": example["instruction"],
        "response": example["response"],
        "answers": [answer(*pair, example["parent"]) for pair in lineage.answers],
        "why": why(lineage),
        "mutants": len(mutants),
        "survived": [
            change(lineage.drawn["code"], one["code"]) for one in mutants if lineage.drawn and one["verdict"] == "pass"
        ],
        "alike": similar.get(example["id"], []),
        "model": example["model"],
        "engine": example["engine"],
        "seed": example["sampling_seed"],
    }


def answer(response: Record, seen: Record | None, drawn: str) -> Record:
    """Return an answer as the page shows it: its program and tests, or its text where it was not of a form to run."""
    program = {"code": seen["code"], "tests": seen["tests"]} if seen else {"code": None, "text": response["text"]}
    verdict = {"verdict": seen["verdict"], "detail": seen["detail"]} if seen else {"verdict": "not run", "detail": ""}
    return {"sample": response["sample"], "drawn": response["id"] == drawn, **verdict, **program}


def why(lineage: Lineage) -> str:
    """Return how the drawn answer was drawn."""
    said = f"{lineage.verdicts.count('pass')} of {len(lineage.answers)} pass their own tests."
    of = "these" if lineage.drawn and lineage.drawn["verdict"] == "pass" else "all, whether they pass or not"
    return f"{said} Of {of}, the first in a seeded random order that the rules of notebook 03 accept was drawn."


def change(code: str, mutant: str) -> str:
    """Return the lines in which a mutant differs from the program that it was made of."""
    lines = unified_diff(ast.unparse(ast.parse(code)).splitlines(), mutant.splitlines(), lineterm="", n=0)
    return "\n".join(line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---"))


def alike(followed: Followed, lineages: Sequence[Lineage]) -> dict[str, list[Record]]:
    """Return by example the passing answers to tasks without an example whose programs are much like its own.

    The most alike come first; an answer stands with the example that it is most like. Similarity is `most_similar`'s.
    """
    records, verdicts = followed.by_name, followed.by_name["verdicts"]
    drawn = {one.example["id"]: verdicts[one.example["parent"]]["code"] for one in lineages}
    index, tasks = indexed_programs(drawn), {one.task["id"] for one in lineages}
    found: dict[str, list[Record]] = {}
    for name, seen in sorted(verdicts.items()):
        task = records["responses"][name]["parent"]
        if seen["verdict"] == "pass" and task not in tasks:
            example, similarity = most_similar(index, distinct_ngrams([seen["code"]], TOKEN, SIMILAR))
            if similarity >= ALIKE:
                said = {"instruction": records["instructions"][task]["instruction"], "code": seen["code"]}
                found.setdefault(example, []).append(said | {"similarity": round(similarity, 4)})
    return {name: sorted(rows, key=lambda row: -row["similarity"]) for name, rows in found.items()}


def indexed_programs(programs: Mapping[str, str]) -> Index:
    """Return the index of programs, by their ids, that `most_similar` compares with."""
    return indexed([{"id": name, "instruction": "", "response": code} for name, code in programs.items()])


def problems(folder: Path, dataset: Sequence[Record]) -> Iterator[Record]:
    """Yield for each problem that was scored before and after: its outcomes, and the training example nearest to it.

    None where nothing was scored; without an example where the benchmark's texts are not at hand.
    """
    place = folder / only("evaluation")
    if not (place / "manifest.json").is_file():
        return
    parameters, index = json.loads((place / "manifest.json").read_text())["parameters"], indexed(dataset)
    scored = json.loads((place / "scores.json").read_text())["problems"]
    nearest: dict[tuple[str, str], Record] = {}
    for name in parameters["BENCHMARKS"]:
        try:
            benchmark = load_benchmark(name, parameters["DATA"] or None)
        except (Missing, StudyError) as reason:
            print(f"without the examples nearest to {name}: {reason}")
            continue
        nearest |= {
            (each["benchmark"], each["task_id"]): each for each in closest(index, benchmark.name, benchmark.problems)
        }
    for name, tasks in scored.items():
        before, after = (outcomes(place, label, name) for label in ("before", "after"))
        for task in tasks:
            near = nearest.get((name, task), {"example": "", "similarity": 0.0})
            facts = {"benchmark": name, "task": task, "before": before[task], "after": after[task]}
            yield facts | {"example": near["example"], "similarity": round(near["similarity"], 4)}


def outcomes(place: Path, label: str, benchmark: str) -> Mapping[str, float]:
    """Return the share of a model's answers to each problem that are correct."""
    file, counted = samples_file(label, benchmark), dict[str, list[bool]]()
    for sample in read_stored(place.parent, "evaluation", file):
        counted.setdefault(sample["task_id"], []).append(sample["passed"])
    return {task: sum(each) / len(each) for task, each in counted.items()}
