"""What a profile downloads is fetched once, by name; what is not to be had is said."""

import pytest
import yaml

from lib import evaluate
from lib.core import models
from lib.core.records import StudyError
from lib.runner import fetch
from lib.runner.profiles import settle

PROFILE = {
    "01_seed_curation": {"PACKAGES": "toolz", "JUDGE": "owner/judge"},
    "02_self_oss_instruct": {"MODEL": "owner/base@main"},
    "04_sft": {"MODEL": "owner/base@main"},
    "05_evaluation": {"MODEL": "owner/base@main", "BENCHMARKS": ["humaneval", "mbpp"]},
}


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Notes what would be fetched; only HumanEval, which a package brings, is there."""
    asked = []

    def resolve(name):
        asked.append(name)
        return models.Model(name, tmp_path, "", "", "", "")

    def load_benchmark(name, path):
        if name != "humaneval":
            raise evaluate.Missing("MBPP has to be fetched by hand")
        return evaluate.BENCHMARKS[name](path)

    monkeypatch.setattr(models, "resolve", resolve)
    monkeypatch.setattr(evaluate, "load_benchmark", load_benchmark)
    monkeypatch.setattr(fetch, "open_corpus", lambda *named: asked.append(named) or ["a shard"])
    return asked


def parameters(tmp_path, changes=(), **options):
    profile = tmp_path / "mine.yaml"
    profile.write_text(yaml.safe_dump({name: PROFILE[name] | dict(changes).get(name, {}) for name in PROFILE}))
    return settle(str(profile), options)


def test_models_corpus_and_benchmarks_are_fetched(asked, tmp_path, capsys):
    fetch.fetch(parameters(tmp_path))
    assert asked == ["owner/base@main", "owner/judge", ("packages", "toolz", "")]
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [
        "corpus     packages: 1 shards",
        "benchmark  humaneval: 164 problems",
        "benchmark  MBPP has to be fetched by hand",
    ]


def test_a_replay_needs_no_model_and_a_judge_of_nothing_is_none(asked, tmp_path):
    fetch.fetch(parameters(tmp_path, ENGINE="replay"))
    assert asked == [("packages", "toolz", "")]
    fetch.fetch(parameters(tmp_path, {"01_seed_curation": {"JUDGED": 0}}.items()))
    assert asked[1:] == ["owner/base@main", ("packages", "toolz", "")]


def test_the_model_and_the_judge_are_replaced_each_by_its_own_name(asked, tmp_path):
    fetch.fetch(parameters(tmp_path, MODEL="gemma3-270m"))
    assert asked[:-1] == ["gemma3-270m", "owner/judge"]
    fetch.fetch(parameters(tmp_path, JUDGE="owner/another"))
    assert asked[3:-1] == ["owner/another", "owner/base@main"]


def test_a_corpus_of_the_hub_is_not_kept(asked, tmp_path, capsys):
    fetch.fetch(parameters(tmp_path, {"01_seed_curation": {"CORPUS": "hub:owner/data"}}.items()))
    assert ("packages", "toolz", "") not in asked
    assert "hub:owner/data is streamed" in capsys.readouterr().out


def test_a_model_that_cannot_be_had_stops(asked, monkeypatch, tmp_path):
    def resolve(name):
        raise StudyError("gated")

    monkeypatch.setattr(models, "resolve", resolve)
    with pytest.raises(StudyError, match="gated"):
        fetch.fetch(parameters(tmp_path))
