"""A model's tokenizer, loaded as its tokenizer.json describes it, and refused where code does not survive it.

Transformers chooses a tokenizer's class by what the model's settings declare, and for some kinds of model by the kind
alone. The class then replaces what tokenizer.json says of splitting and joining, so that a wrong one loses the spaces
of every text (CodeQwen1.5, DeepSeek-Coder from a local folder; transformers 5.19, `AutoTokenizer.from_pretrained`).
"""

import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from lib.core.paths import cache_folder
from lib.core.progress import say
from lib.core.records import Record, StudyError, content_id, file_sha256
from lib.core.template import render_example

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DESCRIPTION, SETTINGS, SPECIAL = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
PLAIN = "plain_tokenizer.py"  # the class that a saved tokenizer brings where it must
COPIED = (SPECIAL, "added_tokens.json", "chat_template.jinja")  # what a corrected folder takes over as it is
# Whatever may decide how a tokenizer is loaded.
DECIDING = ("config.json", DESCRIPTION, SETTINGS, *COPIED, "tokenizer.model", "vocab.json", "merges.txt")
OTHER = "choose another MODEL (JUDGE in notebook 01)"
VERSION = 1  # grows when the same files come to be judged or corrected otherwise: what was found before is then void

# What prompts and code are made of. None begins with a space: some tokenizers put one first and take it away again.
PIECES = {
    "spaces": "def f( x , y ): return x + y . z  # don 't\n",
    "aligned columns": "one   =  1     # first\nthree =  3     # third\n",
    "indents": f"if x:\n    if y:\n{' ' * 8}return [\n{' ' * 41}1,\n{' ' * 8}]\n",
    "tabs": "for\tx in y:\n\tif x:\n\t\tpass\t# x\n",
    "line breaks": "\nimport re\n\n\n\ndef f():\n\n    pass\n    \n",
    "characters beyond ASCII": "# naïve, Größe, λ, 中文, ☃, 🎉\n",
    "the template": "".join(render_example("Add 1 to a number.", "```python\nx + 1\n```")),
}


def open_tokenizer(folder: Path) -> Any:
    """Return the transformers tokenizer of the model in `folder`, a new one at each call; StudyError as below."""
    return _load(tokenizer_folder(folder))


def tokenizer_folder(folder: Path, name: str = "") -> Path:
    """Return the folder from which transformers and vLLM load the tokenizer of the model in `folder` as it should be.

    That is `folder` itself, unless what they load from it encodes or decodes otherwise than tokenizer.json describes,
    leaves out the token with which the model's texts begin, or puts one behind them. Then it is a corrected copy of the
    tokenizer in the study's cache (STUDY_CACHE; on a cluster it must be one that all machines see).

    Raises StudyError, which calls the model `name`, when no tokenizer can be loaded or code does not survive it. What
    was found is remembered in the cache, so that transformers need not be loaded to ask again.
    """
    found = {file: _sha256(folder / file) for file in DECIDING if (folder / file).is_file()}
    key = content_id(VERSION, importlib.metadata.version("transformers"), PIECES, found)
    kept = cache_folder() / "tokenizers" / key
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{kept}.lock"), tempfile.TemporaryDirectory(dir=kept.parent, prefix=f".{key}-") as work:
            if not kept.is_dir():  # another process may have been first
                made = Path(work) / "made"
                made.mkdir()
                _settle(folder, name or str(folder), made)
                made.rename(kept)
    return kept if (kept / DESCRIPTION).is_file() else folder


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write a tokenizer into `folder`, for a tuned model beside its config.json, so that AutoTokenizer loads the same.

    For some kinds of model transformers 5.19 takes its own class for them, whatever is declared, but not where the
    folder brings one; then it takes the declared class, which is the plain one, and the folder's where it is trusted.
    Raises StudyError when that does not help either.
    """
    tokenizer.save_pretrained(folder)
    if not (folder / DESCRIPTION).is_file() or _as_described(_load(folder), *described(folder)):
        return  # a tokenizer written in Python has no such file
    shutil.copyfile(Path(__file__).with_name(PLAIN), folder / PLAIN)
    own = {"auto_map": {"AutoTokenizer": [None, f"{Path(PLAIN).stem}.Plain"]}}
    _declare(folder, _read(folder / SETTINGS) | own)
    if not _as_described(_load(folder), *described(folder)):
        raise StudyError(f"transformers does not load the tokenizer of {folder} as it was saved; {OTHER}")


def described(folder: Path) -> tuple["Tokenizer", list[int]]:
    """Return the tokenizer that tokenizer.json describes, and the tokens with which a model's texts begin.

    Those are what its post-processor puts first, or else the BOS token if the settings ask for one: `add_bos_token`,
    which transformers 5 does not read where there is a tokenizer.json.
    """
    from tokenizers import Tokenizer  # late: a replay does without it

    tokenizer = Tokenizer.from_file(str(folder / DESCRIPTION))
    tokenizer.no_truncation()  # which some files ask for
    tokenizer.no_padding()
    first = beginning(lambda text, special: tokenizer.encode(text, add_special_tokens=special).ids)
    settings = _settings(folder)
    if not first and settings.get("add_bos_token"):
        bos = settings.get("bos_token")
        number = tokenizer.token_to_id(bos["content"] if isinstance(bos, dict) else bos or "")
        first = [] if number is None else [number]
    return tokenizer, first


def beginning(encode: Callable[[str, bool], list[int]]) -> list[int]:
    """Return the tokens that a tokenizer puts before every text; `encode` takes a text, and whether to put any."""
    whole, plain = encode("x", True), encode("x", False)
    places = range(len(whole) - len(plain) + 1)
    return whole[: next((place for place in places if whole[place : place + len(plain)] == plain), 0)]


def changed(back: Mapping[str, str]) -> str:
    """Return which of PIECES came back otherwise than they went in, and what the first became; "" for none."""
    parts = [part for part, text in back.items() if text != PIECES[part]]
    return f"{', '.join(parts)}: {PIECES[parts[0]]!r} becomes {back[parts[0]]!r}" if parts else ""


def _sha256(path: Path) -> str:
    facts = path.stat()
    return _unchanged_sha256(path, facts.st_size, facts.st_mtime_ns)


@cache
def _unchanged_sha256(path: Path, size: int, changed: int) -> str:
    """Return the hash of a file of this size and time of change: loading a model asks for it again and again."""
    return file_sha256(path)


def _load(folder: Path) -> Any:
    from transformers import AutoTokenizer  # late: a replay does without it

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    tokenizer.clean_up_tokenization_spaces = False  # which some files ask for: "x , y" would become "x, y"
    return tokenizer


def _settle(folder: Path, name: str, made: Path) -> None:
    """Write a corrected tokenizer into `made` if the model in `folder` needs one; StudyError if code is lost."""
    tokenizer, why = None, "it has no tokenizer"
    try:
        tokenizer = _load(folder)
    except Exception as error:  # a dozen unrelated kinds: a class that is unknown or brings code, a missing file
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    if (folder / DESCRIPTION).is_file():
        try:
            raw, first = described(folder)
        except Exception as error:  # tokenizers raises nothing more special
            raise StudyError(f"{folder / DESCRIPTION} cannot be read ({error}); fetch {name} again") from error
        if tokenizer is None or not _as_described(tokenizer, raw, first):
            _write(folder, made, raw, first)
            tokenizer = _load(made)
            if not _as_described(tokenizer, raw, first):
                raise StudyError(f"transformers cannot load {name}'s tokenizer.json as it is; {OTHER}")
            say(f"{name}: its tokenizer is loaded as tokenizer.json describes it, not as transformers would by itself")
    if tokenizer is None:
        raise StudyError(f"the tokenizer of {name} cannot be loaded ({why}); {OTHER}")
    ids = {part: tokenizer(text, add_special_tokens=False).input_ids for part, text in PIECES.items()}
    if fault := changed({part: tokenizer.decode(tokens) for part, tokens in ids.items()}):
        raise StudyError(f"the tokenizer of {name} loses {fault}; {OTHER}, or fix {folder / DESCRIPTION}")


def _as_described(tokenizer: Any, raw: "Tokenizer", first: list[int]) -> bool:
    """Return whether a transformers tokenizer encodes and decodes PIECES as the raw one, with `first` before each."""
    for text in PIECES.values():
        ids = raw.encode(text, add_special_tokens=False).ids
        if tokenizer(text).input_ids != first + ids:
            return False
        if tokenizer.decode(ids) != raw.decode(ids, skip_special_tokens=False):
            return False
    return True


def _write(folder: Path, made: Path, raw: "Tokenizer", first: list[int]) -> None:
    """Write a tokenizer into `made` that loads as `raw` and puts `first` before a text, and nothing behind it."""
    from tokenizers import processors

    if raw.encode("x").ids != first + raw.encode("x", add_special_tokens=False).ids:
        tokens = [str(raw.id_to_token(number)) for number in first]
        named = list(zip(tokens, first, strict=True))
        raw.post_processor = processors.TemplateProcessing(single=[*tokens, "$A"], special_tokens=named)
    raw.save(str(made / DESCRIPTION))
    for file in COPIED:
        if (folder / file).is_file():
            shutil.copyfile(folder / file, made / file)
    kept = {key: value for key, value in _read(folder / SETTINGS).items() if key != "auto_map"}
    _declare(made, kept)


def _declare(folder: Path, settings: Record) -> None:
    """Write a tokenizer's settings, with the class that takes everything from tokenizer.json.

    Transformers takes it whatever the kind of model if there is no config.json, or an `auto_map` beside it.
    """
    settings = settings | {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / SETTINGS).write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _settings(folder: Path) -> Record:
    """Return what a tokenizer's files of settings say; tokenizer_config.json takes precedence."""
    return _read(folder / SPECIAL) | _read(folder / SETTINGS)


def _read(path: Path) -> Record:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
