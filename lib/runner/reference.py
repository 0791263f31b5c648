"""Promotes a finished run into data/reference/<profile>/ and writes the README's results from it."""

import argparse
import json
import re
import shutil
from pathlib import Path

from lib.core.cli import command
from lib.core.paths import ROOT, cache_folder, run_folder
from lib.core.progress import clock
from lib.core.records import Record, StudyError, file_sha256, write_text
from lib.core.study import NOTEBOOKS, undone
from lib.evaluate import claims
from lib.runner.run import settle

KEPT = ("*.jsonl", "scores.json", "README.md", "dataset/README.md", "dataset/croissant.json", "adapter/README.md")
LARGEST = 1_000_000  # bytes of one committed file
MARKS = ("<!-- results of data/reference/laptop: written by make reference -->", "<!-- end of results -->")


def without_machine(text: str) -> str:
    """Return a text with this machine's folders made relative or general."""
    pairs = (
        (f"{ROOT}/", ""),
        (str(ROOT), "."),
        (str(cache_folder()), "~/.cache/selfcodealign-study"),
        (str(Path.home()), "~"),
    )
    for found, general in pairs:
        text = text.replace(found, general)
    return text


def promote(run: str, profile: str) -> Path:
    """Copy records (gzipped), results, executed notebooks and figures of a finished run; return the folder.

    Raises StudyError when a stage is not finished with this profile or a file would be too large to commit.
    """
    for name, parameters in settle(profile, {"RUN": run}).items():
        if reason := undone(run, name, parameters):
            raise StudyError(
                f"run {run!r} is not this profile's: {name}: {reason}; run `make study` with the same names"
            )
    target = ROOT / "data" / "reference" / Path(profile).stem
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for name in NOTEBOOKS:
        source = run_folder(run) / name
        for path in sorted({path for pattern in KEPT for path in source.glob(pattern)}):
            copy(path, fresh / name / path.relative_to(source))
        copy(source / f"{name}.ipynb", fresh / name / f"{name}.ipynb")
        copy(source / "manifest.json", fresh / name / "manifest.json")
    if target.exists():
        shutil.rmtree(target)
    fresh.rename(target)
    if profile == "laptop":
        copy_figures(run)
    return target


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


def copy_figures(run: str) -> None:
    """Copy a run's figures to figures/, named by notebook number."""
    folder = ROOT / "figures"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in NOTEBOOKS:
        for path in sorted((run_folder(run) / name / "figures").glob("*.png")):
            shutil.copy(path, folder / f"{name[:2]}_{path.name}")


def load(profile: str, name: str, file: str = "manifest.json") -> Record:
    """Return a JSON file of a reference run."""
    return json.loads((ROOT / "data" / "reference" / profile / name / file).read_text())


def results(profile: str = "laptop") -> str:
    """Return the README's results in Markdown, every figure read from the reference run."""
    manifests = {name: load(profile, name) for name in NOTEBOOKS}
    lines = ["| stage | in | out |", "| --- | ---: | ---: |"]
    for name, manifest in manifests.items():
        rows = manifest["funnel"]
        ends = (f"{rows[0]['in']:,} {rows[0]['unit']}", f"{rows[-1]['out']:,} {rows[-1]['unit']}") if rows else ("", "")
        lines.append(f"| {name} | {ends[0]} | {ends[1]} |")
    lines += ["", "How functions became seeds:", "", "| filter | removed | left |", "| --- | ---: | ---: |"]
    for row in manifests["01_seed_curation"]["funnel"][1:]:
        lines.append(f"| {row['step']} | {row['in'] - row['out']:,} | {row['out']:,} |")
    lines += ["", judgement(manifests["01_seed_curation"]["metrics"]["judge"])]
    facts = manifests["05_evaluation"]["environment"]
    scores = load(profile, "05_evaluation", "scores.json")
    lines += ["", training(manifests["04_sft"])]
    lines += ["", scores["table"], "", scores["summary"]]
    judged = [row for row in scores["claims"] if row["ours"]]
    lines += ["", "The paper's claims that this run can be asked about (notebook 05 has the others):", ""]
    lines += [claims.table(judged)]
    lines += ["", f"Measured on {facts['cores']} cores ({facts['system']}), Python {facts['python']}."]
    return "\n".join(lines)


def training(manifest: Record) -> str:
    """Return in a sentence what the fine-tuning did to the held-out loss, from its manifest."""
    metrics, counts = manifest["metrics"], manifest["funnel"][-1]
    held_out = counts["reasons"].get("held out", 0)
    before, after, saved = (metrics[f"held_out_loss_{when}"] for when in ("before", "after", "as_saved"))
    return (
        f"Fine-tuning on {counts['out']} examples took {clock(metrics['train_seconds'])} of updates "
        f"({metrics['tokens_per_second']:,.0f} tokens/s): the loss on {held_out} held-out examples went from "
        f"{before:.2f} to {after:.2f} nats a token ({saved:.2f} as saved in bfloat16)."
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


def write_readme() -> None:
    """Put the results between their marks in README.md; StudyError when the marks are gone."""
    path = ROOT / "README.md"
    start, end = (re.escape(mark) for mark in MARKS)
    text, count = re.subn(
        f"{start}.*?{end}", lambda _: f"{MARKS[0]}\n{results()}\n{MARKS[1]}", path.read_text(), flags=re.DOTALL
    )
    if count != 1:
        raise StudyError(f"{path} must hold the two marks of the results once: {MARKS[0]} and {MARKS[1]}")
    write_text(path, text)


def main() -> None:
    """Promote the run named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m lib.runner.reference", description=__doc__)
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--run", default="")
    arguments = parser.parse_args()
    folder = promote(arguments.run or Path(arguments.profile).stem, arguments.profile)
    if arguments.profile == "laptop":
        write_readme()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder.relative_to(ROOT)}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    command(main)
