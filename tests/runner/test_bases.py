"""Profiles inherit: a file names its base in its first line, and says only what differs from it."""

from itertools import combinations
from pathlib import Path

import pytest
import yaml

from lib.core.paths import ROOT
from lib.core.records import StudyError
from lib.runner.profiles import BASE, FOLDER, Loader, files_of, load_profile, settle
from lib.train import launch

NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
EXPERIMENTS = tuple(name for name in NAMES if name.startswith("experiments"))
SMALL = {"smoke", "laptop", *EXPERIMENTS}  # on the notebooks' own values; the others are published
CURATION, SYNTHESIS, TRAINING, EVALUATION = "01_seed_curation", "02_self_oss_instruct", "04_sft", "05_evaluation"
MODELS = {
    "starcoder2-3b": "bigcode/starcoder2-3b",
    "llama-3-8b": "meta-llama/Meta-Llama-3-8B",
    "starcoder2-15b": "bigcode/starcoder2-15b",
    "deepseek-coder-33b": "deepseek-ai/deepseek-coder-33b-base",
    "codeqwen-7b": "Qwen/CodeQwen1.5-7B",
}


def written(name: str) -> dict[tuple[str, str], object]:
    """What a profile's own file sets."""
    sections = yaml.load((FOLDER / f"{name}.yaml").read_text(), Loader) or {}  # noqa: S506
    sections.pop(BASE, None)
    return {(notebook, key): value for notebook, values in sections.items() for key, value in values.items()}


def base_of(name: str) -> str:
    return (yaml.load((FOLDER / f"{name}.yaml").read_text(), Loader) or {}).get(BASE, "")  # noqa: S506


@pytest.mark.parametrize("name", [name for name in NAMES if base_of(name)])
def test_a_profile_repeats_no_value_of_its_base(name: str) -> None:
    settled = load_profile(base_of(name))
    repeated = [key for key, value in written(name).items() if settled[key[0]][key[1]] == value]
    assert repeated == []


@pytest.mark.parametrize(("one", "other"), [*combinations(sorted({*NAMES} - SMALL), 2)])
def test_no_value_is_written_in_two_profiles(one: str, other: str) -> None:
    """Unless one stands on the other, and takes back what a profile between them changed."""
    if one not in [path.stem for path in files_of(other)] and other not in [path.stem for path in files_of(one)]:
        assert [key for key, value in written(one).items() if written(other).get(key) == value] == []


@pytest.mark.parametrize(("name", "model"), MODELS.items())
def test_the_papers_models(name: str, model: str) -> None:
    """Tables 8 and 12: 37,000 seeds, own data at 1e-5, StarCoder2-15B as the judge of all."""
    settled, main = load_profile(name), load_profile("paper")
    assert [settled[stage]["MODEL"] for stage in (SYNTHESIS, TRAINING, EVALUATION)] == [model] * 3
    assert settled[SYNTHESIS]["N_SEEDS"] == 37_000 and main[SYNTHESIS]["N_SEEDS"] == 250_000
    assert settled[TRAINING]["LEARNING_RATE"] == main[TRAINING]["LEARNING_RATE"] == 1e-5
    assert settled[CURATION] == main[CURATION]
    assert settled[SYNTHESIS]["PROMPTS"] == ("headers" if name == "llama-3-8b" else "paper")
    differs = {key for stage in settled for key in settled[stage] if settled[stage][key] != main[stage][key]}
    allowed = {"MODEL", "N_SEEDS", "PROMPTS", "ENGINE_OPTIONS", "LAUNCH", "GRADIENT_CHECKPOINTING"}
    assert differs <= allowed
    assert settled[TRAINING]["LAUNCH"] == "" or launch.configuration(settled[TRAINING]["LAUNCH"]).is_file()


def test_data_of_another_model_are_trained_on_at_twice_the_rate() -> None:
    """Section C.3."""
    settled = load_profile("codeqwen-7b-on-deepseek-33b")
    assert settled[SYNTHESIS] == load_profile("deepseek-coder-33b")[SYNTHESIS]
    assert settled[TRAINING] == load_profile("codeqwen-7b")[TRAINING] | {"LEARNING_RATE": 2e-5}
    assert settled[EVALUATION] == load_profile("codeqwen-7b")[EVALUATION]


def test_bases_of_bases_hold_and_a_mapping_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"{SYNTHESIS}:\n  ENGINE_OPTIONS: {{workers: 4}}\n  SHOTS: 3\n  DECKS: 2\n")
    (tmp_path / "b.yaml").write_text(f"BASE: a.yaml\n{SYNTHESIS}:\n  SHOTS: 5\n{TRAINING}:\n  EPOCHS: 7\n")
    (tmp_path / "c.yml").write_text(f"BASE: b.yaml\n{SYNTHESIS}:\n  ENGINE_OPTIONS: {{address: auto}}\n")
    settled = settle(str(tmp_path / "c.yml"), {})
    asked = settled[SYNTHESIS]
    assert (asked["ENGINE_OPTIONS"], asked["SHOTS"], asked["DECKS"]) == ({"address": "auto"}, 5, 2)
    assert settled[TRAINING]["EPOCHS"] == 7 and asked["RUN"] == "c"
    assert [path.name for path in files_of(str(tmp_path / "c.yml"))] == ["c.yml", "b.yaml", "a.yaml"]


def test_a_profile_of_ones_own_may_stand_on_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("BASE: smoke\n04_sft:\n  EPOCHS: 9\n")
    smoke, mine = load_profile("smoke"), load_profile(str(tmp_path / "mine.yaml"))
    assert mine == smoke | {TRAINING: smoke[TRAINING] | {"EPOCHS": 9}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("BASE: nowhere\n", "line 1: BASE=nowhere is unknown; choose codeqwen-7b, "),
        ("# mine\nBASE: nowhere.yaml\n", "line 2: BASE=.*nowhere.yaml is unknown; choose "),
        ("04_sft:\n  EPOCHS: 1\nBASE: smoke\n", "line 3: .*BASE names a profile and stands first; write BASE: NAME"),
        ("BASE:\n", "line 1: BASE names a profile and stands first"),
        ("BASE: 7\n", "line 1: BASE names a profile and stands first"),
        ("BASE: [smoke]\n", "line 1: BASE names a profile and stands first"),
        ("BASE: smoke\nBASE: gpu\n", "line 2: BASE is written twice, first in line 1"),
        ("BASE: mine.yaml\n", r"line 1: BASE=mine.yaml makes a circle \(mine.yaml < mine.yaml\); remove one BASE"),
        ("BASE: smoke\n04_sft:\n  EPOCH: 1\n", "line 3: 04_sft has no parameter EPOCH"),
        ("04_sft:\n  BASE: smoke\n", "line 2: 04_sft has no parameter BASE"),
    ],
)
def test_a_base_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(StudyError, match=f"^{path}, {message}") as raised:
        load_profile(str(path))
    assert "\n" not in str(raised.value)


def test_an_error_in_a_base_names_the_base(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("04_sft:\n  EPOCHS: many\n")
    (tmp_path / "b.yaml").write_text("BASE: a.yaml\n")
    with pytest.raises(StudyError, match=f"^{tmp_path / 'a.yaml'}, line 2: 04_sft: EPOCHS must be int"):
        load_profile(str(tmp_path / "b.yaml"))


def test_a_circle_of_several_is_refused(tmp_path: Path) -> None:
    for name, base in ("ab", "bc", "ca"):
        (tmp_path / f"{name}.yaml").write_text(f"BASE: {base}.yaml\n")
    with pytest.raises(StudyError, match=r"c.yaml, line 1: .* a circle \(a.yaml < b.yaml < c.yaml < a.yaml\)"):
        load_profile(str(tmp_path / "a.yaml"))


def test_readers_find_every_profile_explained() -> None:
    for name in NAMES:
        assert (FOLDER / f"{name}.yaml").read_text().startswith("# "), name
    assert (ROOT / "notebooks/params/slurm/study.sbatch").is_file()
