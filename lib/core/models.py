"""Turns a model's name into a local folder in Hugging Face format, with its revision, licence and hash.

Four models, the embedded ones, come from the Python package index itself (lib.core.embedded).
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from lib.core.cli import command
from lib.core.embedded import EMBEDDED, fetch_gguf, last_line
from lib.core.paths import ROOT, cache_folder
from lib.core.records import StudyError, file_sha256, write_text
from lib.core.tokenizer import tokenizer_folder

HUB = "Hugging Face hub"  # the note of a model whose name is its hub id
SMALL_FILES = ["*.json", "*.jinja", "*.txt", "*.model", "README.md", "LICENSE*"]


@dataclass(frozen=True)
class Model:
    """A model ready to load; `revision` names its exact weights, `sha256` is the hash of the safetensors at `path`."""

    name: str
    path: Path
    revision: str
    licence: str
    sha256: str
    note: str


def resolve(name: str) -> Model:
    """Return the model called `name`: an embedded name, a hub id (`owner/model[@revision]`) or a local folder.

    Fetches and converts what is not there yet. StudyError for an unknown name, a failed download, a damaged file, and
    for a tokenizer that code does not survive.
    """
    if name in EMBEDDED:
        return resolve_embedded(name)
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return describe(name, folder.resolve(), note="local folder")
    if re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", name) and not name.startswith((".", "~")):
        return resolve_hub(name)
    known = ", ".join(EMBEDDED)
    raise StudyError(f"no model {name!r}: give one of {known}; a hub id such as owner/model@revision; or a folder")


def is_cached(name: str) -> bool:
    """Tell whether an embedded model has been fetched and converted already, as it is today (without hashing it)."""
    path = cache_folder() / "models" / name / "MODEL.json"
    return path.is_file() and json.loads(path.read_text())["revision"] == EMBEDDED[name].revision


def resolve_embedded(name: str) -> Model:
    """Return an embedded model, fetched and converted at the first call and checked at every call."""
    folder = cache_folder() / "models" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{name}.lock")):  # a second process waits for the first one's conversion
        if not is_cached(name):
            for leftover in (folder, *folder.parent.glob(f".{name}-*")):  # of an earlier conversion, a killed process
                shutil.rmtree(leftover, ignore_errors=True)
            make_embedded(name, folder)
        record = json.loads((folder / "MODEL.json").read_text())
        weights = folder / "model.safetensors"
        if not weights.is_file():
            raise StudyError(f"{weights} is missing; delete the folder {folder} and run again to fetch it anew")
        seen = weights_sha256(folder)
    if seen != record["sha256"]:
        raise StudyError(
            f"{weights} refused: sha256 seen {seen} ({weights.stat().st_size} bytes), expected {record['sha256']} "
            f"({record['size']} bytes); delete the folder {folder} and run again to fetch it anew"
        )
    tokenizer_folder(folder, name)
    return Model(name, folder, record["revision"], record["licence"], seen, record["note"])


def make_embedded(name: str, folder: Path) -> None:
    """Fetch, join, check and convert an embedded model into `folder`, which appears only when it is whole."""
    model, began = EMBEDDED[name], time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as work:
        gguf, made = Path(work) / f"{name}.gguf", Path(work) / "made"
        source = fetch_gguf(name, gguf)
        print(f"{name}: converting to bf16 safetensors (once; a minute or two)", flush=True)
        # A process of its own: its memory is given back, and a notebook's kernel stays light.
        command = [sys.executable, "-m", "lib.core.models", "--convert", str(gguf), str(made)]
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise StudyError(f"converting {name} failed (exit {done.returncode}): {last_line(done.stderr)}")
        record = {"name": name, "revision": model.revision, "licence": model.licence, "source": source}
        weights = made / "model.safetensors"
        facts = {"sha256": file_sha256(weights), "size": weights.stat().st_size}
        (made / "MODEL.json").write_text(json.dumps(record | facts | {"note": model.note}, indent=2) + "\n")
        made.rename(folder)
    print(f"{name}: ready after {time.monotonic() - began:.0f} s in {folder}", flush=True)


def convert(gguf: Path, folder: Path) -> None:
    """Write a GGUF file's weights (dequantized, bf16), tokenizer and settings into `folder` in Hugging Face format."""
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    tokenizer = tokenizer_of_gguf(gguf)
    model = AutoModelForCausalLM.from_pretrained(
        str(gguf.parent), gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    # A GGUF names one end token. As completion models these also end with <|endoftext|>, as their publishers list.
    ends = [tokenizer.eos_token_id, tokenizer.get_vocab().get("<|endoftext|>")]
    model.generation_config.eos_token_id = sorted({token for token in ends if token is not None})
    model.save_pretrained(folder, max_shard_size="100GB")
    tokenizer.save_pretrained(folder)


def tokenizer_of_gguf(gguf: Path) -> Any:
    """Return a GGUF file's tokenizer, which begins texts with BOS if the file says so (transformers does not heed it).

    llama.cpp reads this from the same key (LLM_KV_TOKENIZER_ADD_BOS, `tokenizer.ggml.add_bos_token`).
    """
    from transformers import AutoTokenizer
    from transformers.integrations.gguf.reader import read_gguf_metadata

    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    if read_gguf_metadata(str(gguf))[0].get("tokenizer.ggml.add_bos_token"):
        tokenizer.add_bos_token = True
    return tokenizer


def resolve_hub(name: str) -> Model:
    """Return a hub model's snapshot, downloaded unless the hub's cache has it; `name` is `owner/model[@revision]`."""
    folder = download(name, SMALL_FILES)
    tokenizer_folder(folder, name)  # refused before its weights are fetched
    folder = download(f"{name.partition('@')[0]}@{folder.name}", [*SMALL_FILES, "*.safetensors"])
    return describe(name, folder, note=HUB, revision=folder.name)


def download(name: str, patterns: list[str]) -> Path:
    """Return the folder with those files of the hub model `owner/model[@revision]` that match the patterns."""
    from huggingface_hub import snapshot_download

    repo, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repo, revision=revision or None, allow_patterns=patterns))
    except Exception as error:  # the client raises a dozen unrelated kinds; each means that there is no model
        raise StudyError(
            f"cannot get {name} from the Hugging Face hub ({type(error).__name__}); check the name and the network, "
            f"log in for a gated model, or use an embedded one: {', '.join(EMBEDDED)}"
        ) from error


def describe(name: str, folder: Path, note: str, revision: str = "") -> Model:
    """Return the facts of a folder in Hugging Face format; StudyError when it holds no model that can be used."""
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise StudyError(f"{folder} is not a model: it needs config.json and *.safetensors")
    tokenizer_folder(folder, name)
    card = folder / "README.md"
    licence = re.search(r"^license:\s*(\S+)", card.read_text(), re.M) if card.is_file() else None
    sha256 = weights_sha256(folder)
    return Model(name, folder, revision or sha256, licence[1] if licence else "not stated", sha256, note)


def weights_sha256(folder: Path) -> str:
    """Return the sha256 of a folder's safetensors (of the list of hashes when there are several).

    A hash is remembered by the file's size and modification time, so that a large model is read once.
    """
    memory = cache_folder() / "hashes.json"
    known = json.loads(memory.read_text()) if memory.is_file() else {}
    fresh = {}
    for path in sorted(folder.glob("*.safetensors")):
        facts = path.resolve().stat()
        key = f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}"
        fresh[key] = known.get(key) or file_sha256(path)
    if not fresh.keys() <= known.keys():
        write_text(memory, json.dumps(known | fresh, indent=1) + "\n")
    hashes = list(fresh.values())
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def main() -> None:
    """Fetch the named models and print their facts (`--convert GGUF FOLDER` is the conversion's own process)."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--convert"]:
        return convert(Path(arguments[1]), Path(arguments[2]))
    for name in arguments:
        model = resolve(name)
        facts = asdict(model) | {"tokenizer": tokenizer_folder(model.path)}
        print(json.dumps({key: str(value) for key, value in facts.items()}, indent=2))


if __name__ == "__main__":
    command(main)
