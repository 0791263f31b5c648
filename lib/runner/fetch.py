"""Fetches what the study downloads for a profile, so that the run itself can go offline; 06 fetches its own data."""

import argparse
from typing import Any

from lib import evaluate
from lib.core import models
from lib.core.cli import command
from lib.core.study import with_role
from lib.corpora import HUB, open_corpus
from lib.runner.profiles import settle
from lib.runner.run import models_of


def fetch_corpus(parameters: dict[str, Any]) -> str:
    """Fetch the corpus of a notebook's parameters and return a line on it; StudyError when it cannot be had."""
    corpus = parameters["CORPUS"]
    if corpus.startswith(HUB):
        return f"corpus     {corpus} is streamed while it is read, so that notebook cannot go offline"
    shards = open_corpus(corpus, parameters["PACKAGES"], parameters["LICENCE"])
    return f"corpus     {corpus}: {len(shards)} shards"


def fetch_benchmark(name: str, data: str) -> str:
    """Fetch a benchmark's problems and return a line on them, or on how to get them where they cannot be downloaded."""
    try:
        benchmark = evaluate.load_benchmark(name, data or None)
    except evaluate.Missing as missing:
        return f"benchmark  {missing}"
    return f"benchmark  {name}: {len(benchmark.problems)} problems"


def fetch(parameters: dict[str, dict[str, Any]]) -> None:
    """Fetch the models, the corpus and the benchmarks that the study with these parameters asks for, a line for each.

    StudyError for a model or a corpus that cannot be had; a benchmark without its data is only reported.
    """
    asked = [parameters[stage.name] for stage in with_role("study")]
    for name in sorted({name for values in asked for name in models_of(values)}):
        print(f"model      {name}: {models.resolve(name).path}", flush=True)
    for values in asked:
        if "CORPUS" in values:
            print(fetch_corpus(values), flush=True)
        for name in values.get("BENCHMARKS", ()):
            print(fetch_benchmark(name, values["DATA"]), flush=True)


def main() -> None:
    """Read the command line and fetch."""
    parser = argparse.ArgumentParser(prog="python -m lib.runner.fetch", description=__doc__)
    parser.add_argument("--profile", default="laptop")
    for option in ("run", "model", "judge", "engine"):
        parser.add_argument(f"--{option}", default="")
    arguments = parser.parse_args()
    options = {name: getattr(arguments, name.lower()) for name in ("MODEL", "JUDGE", "ENGINE")}
    fetch(settle(arguments.profile, options))


if __name__ == "__main__":
    command(main)
