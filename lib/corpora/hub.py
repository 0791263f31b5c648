"""Data sets of the Hugging Face hub, and local files laid out like them, as streams of Python files."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lib.core.records import Record, StudyError, content_id
from lib.corpora import rows
from lib.corpora.folder import stated_licence
from lib.corpora.source import SourceFile

NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([^:]+))?(?::(.*))?")  # owner/name, with @revision and :folder as options
FOLDERS = dict.fromkeys(
    ("bigcode/the-stack", "bigcode/the-stack-dedup", "bigcode/the-stack-smol", "bigcode/the-stack-smol-xl"),
    "data/python",
) | {"bigcode/starcoderdata": "python"}  # where data sets of many languages keep Python
FORMATS = (".parquet", ".json", ".jsonl")  # of files; both kinds of JSON hold a row per line
LOCAL = "set CORPUS to local Parquet files of the same columns"
TIMEOUT = 10.0  # seconds that the hub may take to answer
ROWS = 100  # rows held at once; a row may be a megabyte
BUFFER = 1 << 20  # bytes read ahead per column


@dataclass(frozen=True)
class Layout:
    """Names of a data set's columns beside `content`; "" for those it lacks."""

    path: str
    package: str = ""
    version: str = ""
    licences: str = ""

    @property
    def columns(self) -> list[str]:
        """The columns to read."""
        return [name for name in ("content", self.path, self.package, self.version, self.licences) if name]


# From the data sets' cards. The first layout whose columns are all present is used.
LAYOUTS = {
    "the-stack-dedup": Layout(
        "max_stars_repo_path", "max_stars_repo_name", "max_stars_repo_head_hexsha", "max_stars_repo_licenses"
    ),
    "the-stack-smol": Layout("path", "repository_name", licences="licenses"),
    "starcoderdata": Layout("max_stars_repo_path", "max_stars_repo_name"),
    "python-stack-v1-functions-filtered-sc2": Layout("id"),
}


@dataclass(frozen=True)
class HubShard:
    """One Parquet or JSON-lines file of a data set; `revision` is "" for a local file, whose path `file` then is."""

    name: str
    key: str
    dataset: str
    revision: str
    file: str
    licence: str

    def read(self) -> Iterator[SourceFile]:
        """Yield one file per row; a row without a permissive licence has the fault "licence" and no data.

        One whose content is neither text nor bytes has the fault "not text". The package of a row that names no
        repository is the data set. Raises StudyError when the file is damaged, the connection is lost, or the columns
        match no known data set.
        """
        layout = self.layout()
        stated = "" if layout.licences else stated_licence(self.licence)
        for row in self._rows(layout.columns):
            licence = stated or rows.permitted(row.get(layout.licences))
            package = rows.text(row.get(layout.package) or self.dataset)
            version = rows.text(row.get(layout.version) or "") if layout.version else self.revision
            content = row.get("content") or ""
            fault = "" if isinstance(content, str | bytes) else "not text"
            fault = fault if licence else "licence"
            data = b"" if fault else rows.file_bytes(content)
            yield SourceFile(package, version, licence, rows.text(row.get(layout.path)), data, fault)

    def layout(self) -> Layout:
        """Return this file's layout; StudyError when it cannot be read or its columns match no known data set.

        StudyError, too, when neither the rows nor the user state a licence.
        """
        columns = self._columns()
        for layout in LAYOUTS.values():
            if set(layout.columns) <= set(columns):
                if not layout.licences:
                    stated_licence(self.licence)
                return layout
        known = "; ".join(f"{', '.join(layout.columns)} ({name})" for name, layout in LAYOUTS.items())
        raise StudyError(f"{self.file} has the columns {', '.join(columns)}; it needs one of: {known}")

    def _columns(self) -> list[str]:
        with self._opened() as handle:
            if self.file.endswith(".parquet"):
                return _parquet(handle).schema_arrow.names
            return list(rows.from_line(next(iter(handle), b"{}")))

    def _rows(self, columns: list[str]) -> Iterator[Record]:
        with self._opened() as handle:
            if self.file.endswith(".parquet"):
                table = _parquet(handle)
                # In the file's own order: going back for a column fetches the hub's blocks again (2.3 times the bytes).
                wanted = [name for name in table.schema_arrow.names if name in columns]
                for batch in table.iter_batches(ROWS, columns=wanted, use_threads=False):
                    yield from rows.from_batch(batch)
            else:
                yield from map(rows.from_line, handle)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        import fsspec

        pinned = f"hf://datasets/{self.dataset}@{self.revision}/{self.file}"
        try:
            with fsspec.open(pinned if self.revision else self.file, "rb") as handle:
                yield handle  # pyright: ignore[reportReturnType]
        except Exception as error:  # a damaged file or a lost connection raises a dozen unrelated classes
            remedy = "run again, finished files are kept" if self.revision else "fetch or write it anew"
            raise StudyError(f"{self.file} cannot be read ({_brief(error)}); {remedy}") from error


def hub_shards(name: str, licence: str) -> list[HubShard]:
    """Return the files of a data set, "owner/name[@revision][:folder]", or of a local path as shards.

    A local path is absolute: a .parquet, .json or .jsonl file, or a folder of Parquet files. A data set of the hub is
    pinned to its current commit. `licence` is needed where the rows do not name theirs. Raises StudyError before any
    row is read: a data set that is gated, unknown or cannot be reached, unknown columns, no licence.
    """
    if Path(name).is_absolute():
        shards = _local_shards(Path(name), licence)
        checked = shards  # reading the columns of a local file is cheap
    else:
        shards = _remote_shards(name, licence)
        checked = shards[:1]
    for shard in checked:
        shard.layout()
    return shards


def _local_shards(path: Path, licence: str) -> list[HubShard]:
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise StudyError(f"there is no {path}; set CORPUS to a Parquet file or a folder that holds some")
    dataset = path.name if path.is_dir() else path.stem
    keys = [content_id(dataset, f.name, f.stat().st_size, f.stat().st_mtime_ns, licence) for f in files]
    return [
        HubShard(f"hub-{number:05d}", key, dataset, "", str(file), licence)
        for number, (key, file) in enumerate(zip(keys, files, strict=True))
    ]


def _remote_shards(name: str, licence: str) -> list[HubShard]:
    parts = NAME.fullmatch(name)
    if not parts:
        raise StudyError(
            f"hub:{name} is not a data set of the hub; write hub:owner/name, hub:owner/name@revision:folder"
        )
    dataset, revision, folder = parts[1], parts[2], parts[3] if parts[3] is not None else FOLDERS.get(parts[1], "")
    commit, found = _list_files(dataset, revision, folder)
    files = [file for file in found if file.endswith(".parquet")] or [file for file in found if file.endswith(FORMATS)]
    if not files:
        raise StudyError(
            f"{dataset} has no Parquet or JSON file under {folder or 'its root'}; name another hub:{dataset}:folder"
        )
    return [
        HubShard(f"hub-{number:05d}", content_id(dataset, commit, file, licence), dataset, commit, file, licence)
        for number, file in enumerate(files)
    ]


def _list_files(dataset: str, revision: str | None, folder: str) -> tuple[str, list[str]]:
    """Return the commit of a revision, and its files under a folder in sorted order."""
    from huggingface_hub import HfApi, errors

    api = HfApi()
    try:
        api.auth_check(dataset, repo_type="dataset")  # first: it tries once, while a listing retries for half a minute
        commit = api.dataset_info(dataset, revision=revision, timeout=TIMEOUT, expand=["sha"]).sha or ""
        tree = api.list_repo_tree(dataset, folder or None, recursive=True, revision=commit, repo_type="dataset")
        return commit, sorted(entry.path for entry in tree)
    except errors.GatedRepoError as error:
        page = f"{api.endpoint}/datasets/{dataset}"
        raise StudyError(f"{dataset} is gated: accept its terms at {page} and set HF_TOKEN") from error
    except errors.RevisionNotFoundError as error:
        raise StudyError(f"{dataset} has no revision {revision}; give a commit or a branch of it") from error
    except errors.EntryNotFoundError as error:
        raise StudyError(
            f"{dataset} has no folder {folder}; name one that holds Python: hub:{dataset}:folder"
        ) from error
    except errors.RepositoryNotFoundError as error:
        remedy = "check the name, or set HF_TOKEN if it is private"
        raise StudyError(f"the hub shows no data set {dataset}; {remedy}") from error
    except errors.HfHubHTTPError as error:
        raise StudyError(f"the hub refuses {dataset} ({_brief(error)}); check HF_TOKEN, or try later") from error
    except Exception as error:  # the client's connection errors have no common class
        raise StudyError(f"the hub cannot be reached for {dataset} ({_brief(error)}); {LOCAL}") from error


def _parquet(handle: IO[bytes]) -> Any:
    import pyarrow.parquet

    # Pre-buffering, the default, would hold a whole row group.
    return pyarrow.parquet.ParquetFile(handle, buffer_size=BUFFER, pre_buffer=False)


def _brief(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:120] or type(error).__name__
