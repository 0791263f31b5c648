"""Promotes a finished run into data/reference/<name>/ and writes the README's results from it."""

import argparse
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from lib.core import markdown
from lib.core.cli import command
from lib.core.paths import ROOT, cache_folder, run_folder, runs_folder
from lib.core.progress import clock
from lib.core.records import Record, StudyError, file_sha256, write_text
from lib.core.study import only, read_manifest, stage_of, undone, with_role
from lib.evaluate import claims
from lib.experiment.compare import arms_of, compare, controls_in_words, questions_in_words
from lib.experiment.plan_file import read_plan
from lib.experiment.records import RECORDED
from lib.runner.pace import PACE, seconds
from lib.runner.profiles import settle
from lib.runner.verify import WRONG, unfinished, verify
from lib.runner.verify.finished import REFERENCES

KEPT = (
    "*.jsonl", "scores.json", "README.md", "dataset/README.md", "dataset/croissant.json", "adapter/README.md",
    "model/training.json",
)  # fmt: skip
LARGEST = 1_000_000  # bytes of one committed file


def without_machine(text: str) -> str:
    """Return a text with this machine's folders made relative or general."""
    pairs = (
        (f"{ROOT}/", ""),
        (str(ROOT), "."),
        (f"{runs_folder()}/", "data/runs/"),
        (str(cache_folder()), "~/.cache/selfcodealign-study"),
        (str(Path.home()), "~"),
    )
    for found, general in pairs:
        text = text.replace(found, general)
    return text


def promote(run: str, profile: str, name: str = "", numbers: Sequence[str] = ()) -> Path:
    """Copy records (gzipped), results, executed notebooks and figures of a finished run; return the folder.

    It is called `name`, or like the profile. `numbers` are those of the stages to copy, such as "06", and the others
    that the reference has stay; none: the study's, and no other stays.
    Raises StudyError when a stage is not finished with this profile or a file would be too large to commit.
    """
    settled = settle(profile, {"RUN": run})
    names = [stage_of(number).name for number in numbers] or [stage.name for stage in with_role("study")]
    for stage in names:
        if reason := undone(run, stage, settled[stage]):
            raise StudyError(
                f"run {run!r} is not this profile's: {stage}: {reason}; run `make study` with the same names"
            )
    target = REFERENCES / (name or Path(profile).stem)
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    if numbers and target.exists():
        shutil.copytree(target, fresh)
    for stage in names:
        shutil.rmtree(fresh / stage, ignore_errors=True)
        source = run_folder(run) / stage
        for path in sorted({path for pattern in KEPT for path in source.glob(pattern)}):
            copy(path, fresh / stage / path.relative_to(source))
        copy(source / f"{stage}.ipynb", fresh / stage / f"{stage}.ipynb")
        copy(source / "manifest.json", fresh / stage / "manifest.json")
    if target.exists():
        shutil.rmtree(target)
    fresh.rename(target)
    if target.name == "laptop" and not numbers:
        write_text(target / PACE, json.dumps({"seconds": round(seconds(), 4)}) + "\n")
    if target.name == "laptop":
        copy_figures(run, names)
    return target


def restamp(run: str, name: str) -> list[str]:
    """Take over from a finished replay which code and data a reference's stages read; return what that changed.

    For code that has been rewritten without changing any record. Raises StudyError when the replay is not finished or
    any of its checks against the reference is wrong.
    """
    reference = REFERENCES / name
    wrong = [check for check in verify(run_folder(run), reference) if check.mark == WRONG]
    replayed = [stage for stage in with_role("study") if (reference / stage.name).is_dir()]
    if missing := unfinished(run_folder(run), reference):
        raise StudyError(f"run {run!r} has not finished {', '.join(missing)}: run `make replay` first")
    if wrong:
        raise StudyError(f"{wrong[0].stage}, {wrong[0].what}: {wrong[0].said}; the reference must be recorded anew")
    changed: set[str] = set()
    for stage in replayed:
        path = reference / stage.name / "manifest.json"
        manifest, reads = json.loads(path.read_text()), (read_manifest(run, stage.name) or {})["reads"]
        before = manifest.get("reads", {})
        changed |= {name for name in reads.keys() | before.keys() if reads.get(name) != before.get(name)}
        manifest["reads"] = reads
        write_text(path, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    return sorted(changed)


def copy(source: Path, target: Path) -> None:
    """Copy a text file without this machine's paths; records are gzipped, byte for byte the same when repeated.

    A manifest comes last: it gets the hashes of the files so copied, but of none that the run itself had altered.
    """
    if source.name.endswith(".partial.jsonl"):
        return
    text = source.read_text()
    if source.suffix == ".jsonl":
        target = target.with_name(f"{target.name}.gz")
    else:
        text = without_machine(text)
    if source.name == "manifest.json":
        made = json.loads(text)
        for file, facts in made["outputs"].items():
            path = target.parent / file
            if path.is_file() and file_sha256(source.parent / file) == facts["sha256"]:
                facts.update(sha256=file_sha256(path), bytes=path.stat().st_size)
        text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
    write_text(target, text)
    if target.stat().st_size > LARGEST:
        raise StudyError(
            f"{source} is too large to commit ({target.stat().st_size:,} bytes); lower the profile's sizes"
        )


def copy_figures(run: str, names: Sequence[str]) -> None:
    """Copy a run's figures to figures/, named by notebook number, in place of those that these notebooks had."""
    folder = ROOT / "figures"
    folder.mkdir(exist_ok=True)
    for name in names:
        for old in folder.glob(f"{name[:2]}_*.png"):
            old.unlink()
        for path in sorted((run_folder(run) / name / "figures").glob("*.png")):
            shutil.copy(path, folder / f"{name[:2]}_{path.name}")


def load(profile: str, name: str, file: str = "manifest.json") -> Record:
    """Return a JSON file of a reference run."""
    return json.loads((REFERENCES / profile / name / file).read_text())


def results(profile: str = "laptop") -> str:
    """Return the README's results in Markdown, every figure read from the reference run."""
    manifests = {stage.name: load(profile, stage.name) for stage in with_role("study")}
    seeds, tuned, evaluated = (manifests[only(role)] for role in ("curation", "training", "evaluation"))
    scores = load(profile, only("evaluation"), "scores.json")
    examples = tuned["funnel"][-1]["out"]
    rows = claims.judge_claims(claims.read_claims(), scores, evaluated["parameters"]["MODEL"], examples)
    facts = evaluated["environment"]
    parts = [
        markdown.table(["stage", "in", "out"], "lrr", [ends(name, made) for name, made in manifests.items()]),
        "How functions became seeds:",
        markdown.table(
            ["filter", "removed", "left"],
            "lrr",
            [(row["step"], f"{row['in'] - row['out']:,}", f"{row['out']:,}") for row in seeds["funnel"][1:]],
        ),
        judgement(seeds["metrics"]["judge"]),
        training(tuned),
        scores["table"],
        scores["summary"],
        "The paper's claims that this run can be asked about (notebook 05 has the others):",
        claims.table([row for row in rows if row["ours"]]),
        f"Measured on {facts['cores']} cores ({facts['system']}), Python {facts['python']}.",
    ]
    return "\n\n".join(parts)


def ends(name: str, manifest: Record) -> list[str]:
    """Return a stage's name, what went into its first step and what came out of its last, with their units."""
    rows = manifest["funnel"]
    first, last = rows[0], rows[-1]
    return [name, f"{first['in']:,} {first['unit']}", f"{last['out']:,} {last['unit']}"]


def training(manifest: Record) -> str:
    """Return in a sentence what the fine-tuning did to the held-out loss, from its manifest."""
    metrics, counts = manifest["metrics"], manifest["funnel"][-1]
    held_out = counts["reasons"].get("held out", 0)
    before, after, saved = (metrics[f"held_out_loss_{when}"] for when in ("before", "after", "as_saved"))
    return (
        f"Fine-tuning on {counts['out']} examples took {clock(metrics['train_seconds'])} of updates "
        f"({metrics['tokens_per_second']:,.0f} tokens/s): the loss on {held_out} held-out examples went from "
        f"{before:.2f} to {after:.2f} nats per token ({saved:.2f} as saved in bfloat16)."
    )


def judgement(judge: Record) -> str:
    """Return in a sentence or two how far the judge of docstrings can be trusted, from its metrics."""
    own, *planted = judge["yes rates"].items()
    others = " and ".join(f"{rate:.0%} when shown {kind}" for kind, rate in planted)
    return (
        f"The judge of docstrings says Yes to {judge['yes']} of {judge['asked']} ({own[1]:.0%}); with its examples in "
        f"another order it agrees with itself on {judge['agree']:.0%} of {judge['n']} (kappa {judge['kappa']:.2f}). "
        f"It says Yes to {others}."
    )


def finding(profile: str = "laptop") -> str:
    """Return in a sentence what the reference run finds on its first benchmark, step by step."""
    return load(profile, only("evaluation"), "scores.json")["summary"].splitlines()[0].removeprefix("- ")


def arms() -> str:
    """Return in Markdown what the recorded arms say about the plan's questions."""
    plan = read_plan()
    compared = compare(plan, RECORDED)
    every = len(arms_of(plan))
    scored = f"{len(compared['arms'])} of the plan's {every} models, one per training seed, are scored and recorded."
    return "\n\n".join([scored, controls_in_words(compared["controls"]), questions_in_words(plan, compared)])


BLOCKS: dict[str, Callable[[], str]] = {"finding": finding, "results": results, "arms": arms}


def marks(name: str) -> tuple[str, str]:
    """Return the two lines of README.md between which a block is written."""
    return f"<!-- {name}: written by make readme -->", f"<!-- end of {name} -->"


def write_readme() -> None:
    """Put all blocks between their marks in README.md; StudyError when marks are gone."""
    path = ROOT / "README.md"
    text = path.read_text()
    for name, block in BLOCKS.items():
        first, last = marks(name)
        made = f"{first}\n{block()}\n{last}"
        text, count = re.subn(
            f"{re.escape(first)}.*?{re.escape(last)}", lambda _, made=made: made, text, flags=re.DOTALL
        )
        if count != 1:
            raise StudyError(f"{path} must hold the two marks of {name} once: {first} and {last}")
    write_text(path, text)


def main() -> None:
    """Promote the run named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m lib.runner.reference", description=__doc__)
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--run", default="")
    parser.add_argument("--name", default="", help="of the folder in data/reference; like the profile when empty")
    parser.add_argument("--stages", default="", help="numbers of the stages to copy, such as 01,02,03; all when empty")
    parser.add_argument("--readme", action="store_true", help="write the README's blocks anew, and nothing else")
    parser.add_argument("--restamp", action="store_true", help="take over the code's stamps from an equal replay")
    arguments = parser.parse_args()
    if arguments.readme:
        write_readme()
        return
    if arguments.restamp:
        profile = Path(arguments.profile).stem
        changed = restamp(arguments.run or f"{profile}-replay", arguments.name or profile)
        print(f"{len(changed)} stamps changed")
        return
    numbers = [number for number in arguments.stages.split(",") if number]
    folder = promote(arguments.run or Path(arguments.profile).stem, arguments.profile, arguments.name, numbers)
    if folder.name == "laptop":
        write_readme()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder.relative_to(ROOT)}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    command(main)
