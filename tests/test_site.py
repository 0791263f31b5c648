"""The site: built from what is recorded, its links hold, its pages and its search work in a browser."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from helpers import in_browser

from lib.core.paths import ROOT
from lib.core.stages import STAGES
from lib.lineage.page import write_page

LAPTOP = ROOT / "data" / "reference" / "laptop"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Return the folder of the built site."""
    extra = ROOT / "site" / "extra"
    extra.mkdir(parents=True, exist_ok=True)
    write_page(LAPTOP, extra / "lineage")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", folder / "trees"]
    done = subprocess.run([*command, ROOT / "docs", folder / "html"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_every_recorded_notebook_has_a_page_with_its_outputs(site) -> None:
    recorded = [stage.name for stage in STAGES if (LAPTOP / stage.name / f"{stage.name}.ipynb").is_file()]
    assert len(recorded) >= 6
    for name in recorded:
        text = (site / "notebooks" / f"{name}.html").read_text()
        assert 'class="output' in text or "cell_output" in text
        assert "<img" in text or name.startswith("00")
    assert (
        "A run's or a reference" in (site / "api" / "lineage.html").read_text()
        or "write_page" in (site / "api" / "lineage.html").read_text()
    )


def test_its_links_hold(site) -> None:
    broken = []
    for page in site.rglob("*.html"):
        for link in re.findall(r'<a\b[^>]*\bhref="([^"]+)"', page.read_text()):
            path, _ = urldefrag(link)
            if path and not re.match(r"[a-z]+:", path) and not (page.parent / unquote(path)).exists():
                broken.append(f"{page.relative_to(site)}: {link}")
    assert broken == []


@pytest.mark.browser
def test_pages_load_and_the_search_finds_without_a_network(site) -> None:
    assert "A teacher?" in in_browser((site / "index.html").as_uri())
    found = in_browser(f"{(site / 'search.html').as_uri()}?q=bubblewrap")
    assert "03_execution_filtering.html" in found
    assert "examples" in in_browser(f"{(site / 'lineage' / 'index.html').as_uri()}#/examples")
