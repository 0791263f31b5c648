"""What the cards share: facts and packages as tables in Markdown, and the Hub's names for licences."""

import re
from collections import Counter
from collections.abc import Sequence

from lib.core.markdown import table
from lib.core.records import Record

# The Hub's identifiers (its documentation, "Licenses") of the licences named here, in lower case.
HUB_LICENCES = {"gemma terms of use": "gemma", "not stated": "unknown"} | {
    name: name for name in ("apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "isc", "mit", "unlicense", "zlib")
}
LONGEST = 200  # rows of a table of packages; every example still names its own package


def facts_table(facts: Record) -> str:
    """Return a two-column Markdown table of facts by name."""
    return table(("", ""), "ll", ((name, f"{v:,}" if isinstance(v, int) else v) for name, v in facts.items()))


def packages(examples: Sequence[Record]) -> Counter[tuple[str, str, str]]:
    """Return how many examples each (package, version, licence) inspired, sorted by name."""
    found = Counter((e["source"]["package"], e["source"]["version"], e["source"]["licence"]) for e in examples)
    return Counter(dict(sorted(found.items())))


def provenance(examples: Sequence[Record]) -> str:
    """Return a Markdown table of the packages whose functions inspired the examples: version, licence, count.

    If there are more than LONGEST, only those with most examples are shown and the last row counts the others.
    """
    found = packages(examples)
    shown = dict(found.most_common(LONGEST))
    rows = [(*source, f"{n:,}") for source, n in found.items() if source in shown]
    if len(shown) < len(found):
        rows.append((f"{len(found) - len(shown):,} more", "", "", f"{len(examples) - sum(shown.values()):,}"))
    return table(("package", "version", "licence", "examples"), "lllr", rows)


def hub_licences(licence: str) -> list[str]:
    """Return the Hub's sorted identifiers of a model's licence or an SPDX expression; "other" where it has none."""
    text = licence.lower()
    names = [text] if text in HUB_LICENCES else re.findall(r"[^\s()]+", text)
    return sorted({HUB_LICENCES.get(name, "other") for name in names if name not in ("and", "or")})
