"""A profile that says two things, or something no one can mean, is refused in one line with its place and remedy."""

import re

import pytest

from lib.core.records import StudyError
from lib.runner.profiles import load_profile, settle

TRAINING, SYNTHESIS = "04_sft", "02_self_oss_instruct"


@pytest.fixture
def refused(tmp_path):
    """Returns what is said of a profile with this text, after its path."""

    def said(text: str | bytes, name: str = "mine.yaml") -> str:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(StudyError) as raised:
            load_profile(str(path))
        message = str(raised.value)
        assert message.startswith(str(path)) and "\n" not in message
        return message.removeprefix(str(path))

    return said


def accepted(tmp_path, text: str, notebook: str = TRAINING, name: str = "mine.yaml") -> dict:
    (tmp_path / name).write_text(text)
    return load_profile(str(tmp_path / name))[notebook]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("04_sft:\n  EPOCHS: 1\n  EPOCHS: 3\n", ", line 3: 04_sft: EPOCHS is written twice, first in line 2; keep one"),
        ('04_sft: {EPOCHS: 1, "EPOCHS": 3}\n', ", line 1: 04_sft: EPOCHS is written twice, first in line 1; keep one"),
        ("04_sft:\n  SEED: 1\n\n04_sft:\n  BATCH: 1\n", ", line 4: 04_sft is written twice, first in line 1; keep one"),
        (
            "02_self_oss_instruct:\n  DIFFICULTIES:\n    easy: 1\n    easy: 3\n",
            ", line 4: 02_self_oss_instruct: DIFFICULTIES: easy is written twice, first in line 3; keep one",
        ),
    ],
)
def test_a_name_written_twice(refused, text, message):
    assert refused(text).startswith(message)


@pytest.mark.parametrize("text", ["- 04_sft\n", "[]\n", "hello\n", "0\n", "false\n", "''\n", "&r\n- *r\n"])
def test_no_mapping_of_notebooks(refused, text):
    message = refused(text)
    assert ", line " in message and "write NAME: value" in message and "params/smoke.yaml" in message


@pytest.mark.parametrize("section", ["- EPOCHS", "EPOCHS 3", "0", "false", "[]"])
def test_no_mapping_of_parameters(refused, section):
    assert refused(f"04_sft:\n  {section}\n").startswith(", line 2: 04_sft: ")


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~\n", "04_sft:\n", "{}\n", "04_sft: {}\n"])
def test_nothing_is_the_defaults(tmp_path, text):
    assert accepted(tmp_path, text) == load_profile("laptop")[TRAINING]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_another_encoding(refused, encoding):
    message = refused("04_sft:\n  EPOCHS: 3  # für mich\n".encode(encoding))
    assert (
        message
        == f", line {2 if encoding == 'latin-1' else 1}: the text is not in UTF-8; save the file again in that encoding"
    )


def test_the_mark_that_windows_puts_first_is_no_text(tmp_path):
    assert accepted(tmp_path, "\ufeff04_sft:\r\n  EPOCHS: 3\r\n")["EPOCHS"] == 3


@pytest.mark.parametrize("suffix", ["yml", "YAML", "Yml"])
def test_other_suffixes(tmp_path, suffix):
    assert accepted(tmp_path, "04_sft:\n  EPOCHS: 3\n", name=f"mine.{suffix}")["EPOCHS"] == 3
    assert settle(str(tmp_path / f"mine.{suffix}"), {})[TRAINING]["RUN"] == "mine"


@pytest.mark.parametrize(
    "word", ["010", "-010", "0x10", "0o10", "0b1", "1:30", "1__0", "1_", "2024-01-01", "1,000", "٣", "+"]
)
def test_a_number_in_no_plain_decimal(refused, word):
    message = refused(f"04_sft:\n  SEED: {word}\n")
    assert message.startswith(
        f", line 2: 04_sft: SEED must be int, not '{word}' (str); write a whole number such as 10"
    )


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "y", "N", "1", "'true'"])
def test_a_truth_value_in_other_words(refused, word):
    message = refused(f"04_sft:\n  COMPARE_LOSS: {word}\n")
    assert message.startswith(", line 2: 04_sft: COMPARE_LOSS must be bool") and message.endswith("write True or False")


@pytest.mark.parametrize("word", ["on", "off", "yes", "No", "010", "1:30", "2024-01-01", "0x10", "=", "<<", "1.2.3"])
def test_words_are_text_where_text_is_meant(tmp_path, word):
    assert accepted(tmp_path, f"04_sft:\n  MODEL: {word}\n")["MODEL"] == word
    assert accepted(tmp_path, f"05_evaluation:\n  BENCHMARKS: [{word}]\n", "05_evaluation")["BENCHMARKS"] == [word]


@pytest.mark.parametrize("word", ["7", "1.10", "1e5", "true", "null", ""])
def test_text_that_reads_as_something_else(refused, word):
    message = refused(f"04_sft:\n  MODEL: {word}\n")
    assert message.startswith(", line 2: 04_sft: MODEL must be str") and "in quotes" in message


@pytest.mark.parametrize("word", [".nan", ".NaN", ".inf", "-.inf", "+.INF", "1e999", "-1e999"])
def test_a_number_that_is_not_finite(refused, word):
    message = refused(f"04_sft:\n  LEARNING_RATE: {word}\n")
    assert message.startswith(", line 2: 04_sft: LEARNING_RATE must be finite") and "write a number" in message
    message = refused(f"02_self_oss_instruct:\n  ENGINE_OPTIONS:\n    deep: [1, {{x: {word}}}]\n")
    assert message.startswith(", line 2: 02_self_oss_instruct: ENGINE_OPTIONS['deep'][1]['x'] must be finite")


@pytest.mark.parametrize("word", ["nan", "inf", "a lot", "[1]", "{a: 1}", "'0.5'", "0.5.1", "01.5", "true", "5 %"])
def test_a_number_in_words(refused, word):
    message = refused(f"04_sft:\n  LEARNING_RATE: {word}\n")
    assert message.startswith(", line 2: 04_sft: LEARNING_RATE must be float") and "write a number" in message


@pytest.mark.parametrize("weight", ["often", "'3'", "true", "[1]", "", ".nan", "-1", "08"])
@pytest.mark.parametrize("name", ["CATEGORIES", "DIFFICULTIES"])
def test_weights_are_numbers(refused, name, weight):
    message = refused(f"02_self_oss_instruct:\n  {name}:\n    easy: {weight}\n    hard: 1\n")
    assert message.startswith(f", line 2: 02_self_oss_instruct: {name}['easy'] must ") and "; write " in message


@pytest.mark.parametrize("weights", ["{}", "{easy: 0}", "{easy: 0, hard: 0.0}"])
def test_one_weight_is_above_zero(refused, weights):
    assert "DIFFICULTIES needs a weight above 0; write" in refused(f"{SYNTHESIS}:\n  DIFFICULTIES: {weights}\n")


def test_weights_may_be_fractions(tmp_path):
    values = accepted(tmp_path, f"{SYNTHESIS}:\n  DIFFICULTIES: {{easy: 0.5, hard: 0}}\n", SYNTHESIS)
    assert values["DIFFICULTIES"] == {"easy": 0.5, "hard": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("04_sft:\n\tEPOCHS: 3\n", "line 2: .*found character '\\\\t'"),
        ("04_sft:\n  MODEL: a\x07b\n", "line 2: YAML has no character U\\+0007; remove it"),
        ('04_sft:\n  MODEL: "a\\ud800"\n', "line 2: 04_sft: MODEL holds the character '\\\\ud800'"),
        ('04_sft:\n  MODEL: "a\\nb"\n', "line 2: 04_sft: MODEL holds the character '\\\\n'"),
        ("04_sft:\n  SEED: !!int 0x10\n", "line 2: 04_sft: SEED: 0x10 is no int; write the value alone"),
        ("04_sft:\n  SEED: !!timestamp 2024-01-01\n", "line 2: 04_sft: SEED: .*the tag"),
        ("04_sft:\n  SEED: !!python/object/apply:os.getpid []\n", "line 2: 04_sft: SEED: .*the tag"),
        ("04_sft: &a\n  SEED: *a\n", "line 1: 04_sft: SEED: .*recursive"),
        ("04_sft:\n  SEED: 1\n---\n04_sft:\n  SEED: 2\n", "line 3: expected a single document"),
        ("04_sft:\n  7: 1\n", "line 2: 04_sft: a name must be text; put it in quotes"),
        ("04_sft:\n  RUN: mine\n", "line 2: 04_sft: RUN is the same for all notebooks; give it on the command line"),
        ("04_sft:\n  SEED: 1\n06_magic:\n", "line 3: there is no notebook 06_magic"),
        ("04_sft:\n  SEED: 1\n  SEEDS: 1\n", "line 3: 04_sft has no parameter SEEDS"),
        ("01_seed_curation:\n  MODEL: a/b\n", "line 2: 01_seed_curation has no parameter MODEL; it has .* JUDGE,"),
        ("05_evaluation:\n  BENCHMARKS: [humaneval, 1]\n", r"line 2: 05_evaluation: BENCHMARKS\[1\] must be str"),
        ("05_evaluation:\n  BENCHMARKS: humaneval\n", "line 2: 05_evaluation: BENCHMARKS must be list"),
    ],
)
def test_other_slips(refused, text, message):
    assert re.match(f", {message}", refused(text))


def test_an_alias_is_what_it_stands_for(tmp_path):
    text = "04_sft:\n  MODEL: &m mine\n05_evaluation:\n  MODEL: *m\n"
    assert accepted(tmp_path, text, "05_evaluation")["MODEL"] == "mine"


def test_a_replay_written_in_a_profile_counts(tmp_path):
    (tmp_path / "mine.yaml").write_text("04_sft:\n  REPLAY: true\n")
    assert settle(str(tmp_path / "mine.yaml"), {})[TRAINING]["REPLAY"] is True


def test_a_folder_or_a_name_without_end_is_no_profile(tmp_path):
    (tmp_path / "mine.yaml").mkdir()
    with pytest.raises(StudyError, match="cannot be read .*; give the path of a YAML file"):
        load_profile(str(tmp_path / "mine.yaml"))
    with pytest.raises(StudyError, match="is unknown; choose codeqwen-7b, "):
        load_profile("x" * 5000)


@pytest.mark.parametrize("option", ["RUN", "MODEL", "JUDGE", "ENGINE"])
@pytest.mark.parametrize("odd", ["a\nb", "a\x00", "a\udcff", "a\x1b[2J"])
def test_odd_characters_of_the_command_line(option, odd):
    with pytest.raises(StudyError, match=f"{option} holds the character"):
        settle("laptop", {option: odd})


def test_nothing_runs(runner, tmp_path):
    (tmp_path / "mine.yml").write_text("04_sft:\n  EPOCHS: 1\n  EPOCHS: 3\n")
    output = runner.fail("study", "--profile", str(tmp_path / "mine.yml"))
    assert output.count("\n") == 1 and "EPOCHS is written twice" in output
    assert not list(runner.runs.iterdir())


@pytest.mark.parametrize("name", ["x" * 300, "taken"])
def test_a_run_whose_folder_cannot_be_made(runner, name):
    (runner.runs / "taken").touch()
    output = runner.fail("study", "--profile", "smoke", "--run", name)
    assert output.count("\n") == 1 and "cannot be written" in output and "choose another RUN=" in output
