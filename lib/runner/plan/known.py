"""What is known of a model without its weights: from its folder, from the hub, or as published (data/models.yaml)."""

import importlib.util
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

from lib.core import models
from lib.core.embedded import EMBEDDED
from lib.core.paths import cache_folder
from lib.core.records import Record, StudyError
from lib.core.shapes import BF16, FP32, Shape, published, shape_of
from lib.generate.tokens import count_tokens

CHARACTERS = 3.0  # of a token, where there is no tokenizer: prompts of code have 3.2 to 3.6, so too many are counted
TABLE = "in data/models.yaml"


@dataclass(frozen=True)
class Known:
    """A model as far as it is known: its sizes (None: unknown), where they were read, and what keeps a run from it.

    `folder` has its tokenizer.json, where there is one; `fetched` is how many bytes of weights a run would download.
    """

    name: str
    shape: Shape | None = None
    read: str = ""
    licence: str = ""
    folder: Path | None = None
    fetched: float = 0
    problem: str = ""

    def tokens(self, text: str) -> int:
        """Return the number of tokens of a text, by the model's tokenizer or else estimated from its characters."""
        return count_tokens(self.folder, text) if self.folder else math.ceil(len(text) / CHARACTERS)

    def __str__(self) -> str:
        size = "its sizes are not known"
        if self.shape:
            size = f"{self.shape.parameters / 1e9:.2f} B parameters, window {self.shape.window:,}"
        counted = "by its tokenizer" if self.folder else f"estimated, {CHARACTERS:g} characters each"
        return f"{self.name}: {size}; {self.licence or 'licence not known'}; read {self.read}; tokens {counted}"


def look(name: str) -> Known:
    """Return what is known of a model, by the name that `lib.core.models.resolve` takes; no weights are fetched."""
    folder = cache_folder() / "models" / name if name in EMBEDDED else Path(name).expanduser()
    if name in EMBEDDED and not models.is_cached(name):
        known = from_table(name, f"{TABLE}; not fetched yet")
        return replace(known, fetched=EMBEDDED[name].size + (known.shape.parameters * BF16 if known.shape else 0))
    if name and folder.is_dir():
        licence = EMBEDDED[name].licence if name in EMBEDDED else ""
        return from_files(name, folder, "in the cache" if name in EMBEDDED else f"in {folder}", licence)
    if "/" in name.strip("/"):
        return from_hub(name)
    try:
        models.resolve(name)
    except StudyError as error:
        return Known(name, read="nothing", problem=str(error))
    raise AssertionError(f"{name} was resolved, and is neither embedded nor a folder nor on the hub")


def from_files(name: str, folder: Path, read: str, licence: str = "") -> Known:
    """Return what config.json and tokenizer.json of a folder say."""
    facts = facts_of(name)
    try:
        shape, problem = shape_of(json.loads((folder / "config.json").read_text())), ""
    except (OSError, ValueError):
        shape, problem = None, f"{folder} holds no config.json that can be read: give the folder of a whole model"
    except StudyError as error:  # of another kind: it may run all the same, but nothing can be reckoned
        shape, problem, read = None, "", f"{read} ({error})"
    readable = (folder / "tokenizer.json").is_file() and importlib.util.find_spec("tokenizers")  # a replay has it not
    tokenizer = folder if readable else None
    return Known(name, shape, read, licence or facts.get("licence", ""), tokenizer, 0, problem)


def from_table(name: str, read: str, problem: str = "") -> Known:
    """Return what is published of a model, perhaps nothing."""
    facts = facts_of(name)
    if not facts:
        return Known(name, read=f"nowhere: it is not in {read}", problem=problem)
    shape = shape_of(facts["config"])
    stored = FP32 if facts.get("stored") == "float32" else BF16
    return Known(name, shape, read, facts["licence"], fetched=shape.parameters * stored, problem=problem)


def facts_of(name: str) -> Record:
    """Return the row of a model, whatever its revision."""
    return published().get(name.partition("@")[0], {})


def from_hub(name: str) -> Known:
    """Return what the hub, or its cache on this machine, says of `owner/model[@revision]`."""
    repository, _, revision = name.partition("@")
    answers, problem = access(repository)
    folder = None if problem else hub_files(repository, revision, offline=not answers)
    if folder is None:
        without = f"{name} has no config.json on the hub: choose another model" if answers else out_of_reach(name)
        return from_table(name, TABLE if answers else f"{TABLE}; the hub does not answer", problem or without)
    known = from_files(name, folder, "on the hub" if answers else "in the hub's cache")
    if any(folder.glob("*.safetensors")):
        return known
    fetched = from_table(name, TABLE).fetched or (known.shape.parameters * BF16 if known.shape else 0)
    return replace(known, fetched=fetched, problem=known.problem or ("" if answers else out_of_reach(name)))


def out_of_reach(name: str) -> str:
    """Return what to do about a model that neither the hub nor its cache here can give."""
    gated = facts_of(name).get("gated") and not has_token()
    token = "; it is gated, so accept its terms and set HF_TOKEN there" if gated else ""
    return f"the hub does not answer and {name} is not here: run `make fetch` where there is a network{token}"


def hub_files(repository: str, revision: str, offline: bool) -> Path | None:
    """Return the folder of the hub's cache with a model's config.json, and its tokenizer.json if it has one."""
    from huggingface_hub import hf_hub_download

    folder = None
    for file in ("config.json", "tokenizer.json"):
        try:
            found = hf_hub_download(repository, file, revision=revision or None, local_files_only=offline)
        except Exception:  # the client raises a dozen unrelated kinds; each means that there is no such file
            return folder
        folder = Path(found).parent
    return folder


def access(repository: str, kind: str = "model") -> tuple[bool, str]:
    """Return whether the hub answers, and what keeps this machine from a repository of it ("" for nothing)."""
    from huggingface_hub import HfApi, errors

    api = HfApi()
    try:
        api.auth_check(repository, repo_type=kind)
    except errors.GatedRepoError:
        page = f"{api.endpoint}/{'datasets/' if kind == 'dataset' else ''}{repository}"
        return True, f"{repository} is gated: accept its terms at {page} and set HF_TOKEN"
    except errors.RepositoryNotFoundError:
        return True, f"the hub shows no {kind} {repository}: check the name, or set HF_TOKEN if it is private"
    except errors.HFValidationError:
        return True, f"{repository} is no name of the hub: write owner/name"
    except Exception:  # no network, or HF_HUB_OFFLINE
        return False, ""
    return True, ""


def has_token() -> bool:
    """Return whether a token of the hub is set, as HF_TOKEN or by a login."""
    from huggingface_hub import get_token

    return bool(get_token())
