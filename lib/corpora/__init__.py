"""Where seed functions come from: pinned packages, a folder or a data set of the hub, as shards of Python files."""

from collections.abc import Sequence
from pathlib import Path

from lib.core.paths import ROOT
from lib.corpora.folder import folder_shards
from lib.corpora.hub import FORMATS, hub_shards
from lib.corpora.packages import Package, PackageShard, package_shards
from lib.corpora.source import Shard, SourceFile

__all__ = ["Package", "PackageShard", "Shard", "SourceFile", "open_corpus"]

HUB = "hub:"


def open_corpus(corpus: str, names: str = "", licence: str = "") -> Sequence[Shard]:
    """Return a corpus as shards: "packages" (those of `names`, or all), "hub:owner/name", or a local path.

    A path is a folder of Python files, a text file that lists such files, or rows laid out as the hub's data sets: a
    Parquet or JSON-lines file (FORMATS), or a folder of Parquet files. `licence` is that of files that name none.
    Raises StudyError before any file is read: unknown package, missing licence, no token for a gated data set, a
    wrong hash.
    """
    if corpus == "packages":
        return package_shards(names)
    if corpus.startswith(HUB):
        return hub_shards(corpus.removeprefix(HUB), licence)
    path = ROOT / Path(corpus).expanduser()
    if path.suffix in FORMATS or (path.is_dir() and any(path.glob("*.parquet"))):
        return hub_shards(str(path), licence)
    return folder_shards(path, licence)
