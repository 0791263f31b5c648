"""The training set's metadata in the Croissant format (MLCommons, version 1.1), made with its own library."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import mlcroissant as mlc
import yaml
from mlcroissant._src.core.rdf import make_context  # the public default has the names of version 1.0 only
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from lib.core.paths import ROOT
from lib.core.records import Record, file_sha256

VERSION = "http://mlcommons.org/croissant/1.1"
PROV = "http://www.w3.org/ns/prov#"  # PROV-O, which version 1.1 recommends for provenance
TYPES = {"string": "TEXT", "int64": "INTEGER", "double": "FLOAT", "list<string>": "TEXT"}


@dataclass(frozen=True)
class Column:
    """A column of the data: its Arrow type (a key of TYPES) and what it holds."""

    type: str
    description: str


def citation() -> tuple[Record, str]:
    """Return the study's own CITATION.cff, and the paper that it names as a BibTeX entry."""
    study = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    paper = study["preferred-citation"]
    authors = " and ".join(f"{author['family-names']}, {author['given-names']}" for author in paper["authors"])
    lines = {
        "title": paper["title"],
        "author": authors,
        "booktitle": paper["collection-title"],
        "year": paper["year"],
        "note": paper["identifiers"][0]["value"],
    }
    entry = ",\n".join(f"  {name} = {{{value}}}" for name, value in lines.items())
    return study, f"@inproceedings{{selfcodealign,\n{entry}\n}}"


def licence_url(licence: str) -> str:
    """Return the address of a single licence in the SPDX list; an expression or another text is returned as it is."""
    try:
        name = canonicalize_license_expression(licence)
    except InvalidLicenseExpression:
        return licence
    return f"https://spdx.org/licenses/{name}.html" if " " not in name and not name.startswith("LicenseRef") else name


def entities(sources: Sequence[tuple[str, str, str]]) -> list[Record]:
    """Return (package, version, licence) triples as PROV-O entities."""
    return [
        {"@type": "prov:Entity", "prov:label": f"{package} {version}", "license": licence_url(licence)}
        for package, version, licence in sources
    ]


def metadata(
    folder: Path,
    files: Mapping[str, str],
    columns: Mapping[str, Column],
    sources: Sequence[tuple[str, str, str]],
    made: str,
    writer: str,
    **texts: Any,
) -> str:
    """Return the Croissant JSON of the data set in `folder`.

    `files` maps a split to its Parquet file, relative to `folder`; each split becomes a record set with all `columns`.
    `sources` are the (package, version, licence) that the data derive from; `made` is the time, in ISO 8601; `writer`
    is the model that wrote them; `texts` are further properties of mlcroissant's Metadata. Raises mlcroissant's
    ValidationError for a result that breaks the format.
    """
    context = mlc.Context(conforms_to=VERSION)  # pyright: ignore[reportArgumentType]: it is converted there
    context.rdf = mlc.Rdf(context=make_context(context, prov=PROV))
    study, paper = citation()
    content = mlc.Metadata(
        ctx=context,
        cite_as=paper,
        creators=[mlc.Organization(ctx=context, name=author["name"]) for author in study["authors"]],
        date_created=datetime.fromisoformat(made),
        date_published=datetime.fromisoformat(made),
        version=study["version"],
        license=[*sorted({licence_url(licence) for *_, licence in sources})],
        in_language=["en"],
        distribution=[file_object(context, split, folder, file) for split, file in files.items()],
        record_sets=[record_set(context, split, columns) for split in files],
        extra_properties={
            "prov:wasDerivedFrom": entities(sources),
            "prov:wasAttributedTo": {"@type": "prov:SoftwareAgent", "prov:label": writer},
        },
        **texts,
    )
    return json.dumps(content.to_json(), indent=1, ensure_ascii=False) + "\n"


def file_object(context: mlc.Context, split: str, folder: Path, file: str) -> mlc.FileObject:
    """Return the description of a split's file."""
    return mlc.FileObject(
        ctx=context,
        id=f"{split}-file",
        name=Path(file).name,
        description=f"The split {split}.",
        content_url=file,
        content_size=f"{(folder / file).stat().st_size} B",
        encoding_formats=[mlc.EncodingFormat.PARQUET],
        sha256=file_sha256(folder / file),
    )


def record_set(context: mlc.Context, split: str, columns: Mapping[str, Column]) -> mlc.RecordSet:
    """Return the description of a split's rows."""
    fields = [
        mlc.Field(
            ctx=context,
            id=f"{split}/{name}",
            name=name,
            description=column.description,
            data_types=[getattr(mlc.DataType, TYPES[column.type])],
            is_array=True if column.type.startswith("list") else None,
            source=mlc.Source(ctx=context, file_object=f"{split}-file", extract=mlc.Extract(ctx=context, column=name)),
        )
        for name, column in columns.items()
    ]
    return mlc.RecordSet(
        ctx=context, id=split, name=split, description=f"The examples of {split}.", key=[f"{split}/id"], fields=fields
    )
