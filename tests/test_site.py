"""The site: built from what is recorded, its links hold, its pages and its search work in a browser."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag

from helpers import BROWSER, in_browser

from lib.core.paths import ROOT
from lib.core.stages import STAGES
from lib.lineage.page import write_page

REFERENCE = ROOT / "data" / "reference"
GENERATED = shutil.ignore_patterns("notebooks", "api", "solutions")


def test_the_site_has_everything_recorded_its_links_hold_and_its_search_finds(tmp_path) -> None:
    """One test, because a process of its own would build the site again."""
    docs, extra, html = (
        shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=GENERATED),
        "site/extra",
        tmp_path / "html",
    )
    (tmp_path / extra).mkdir(parents=True)
    write_page(REFERENCE / "laptop", tmp_path / extra / "lineage")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(docs), str(html)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for stage in STAGES:
        text = (html / "notebooks" / f"{stage.name}.html").read_text()
        assert "cell_output" in text and (stage.name.startswith("00") or "<img" in text)
        assert not re.search(r"\| [—-]{1,3}:? \|", text), "a table is not one"
        assert not re.search(r'<img alt="[^"]*\.\./_images', text), "a figure has its file's name for a text"
    assert "write_page" in (html / "api" / "lineage.html").read_text()
    solved = (html / "solutions" / "07_baselines.html").read_text()
    assert solved.count("<details") >= solved.count('class="cell_input') > 2, "a solution is not folded"
    assert broken_links(html) == []
    if BROWSER:
        assert "A teacher?" in in_browser((html / "index.html").as_uri())
        results = in_browser(f"{(html / 'search.html').as_uri()}?q=bubblewrap").partition('id="search-results"')[2]
        assert "notebooks/03_execution_filtering.html" in results
        listed = in_browser(f"{(html / 'lineage' / 'index.html').as_uri()}#/examples")
        assert listed.count('href="#/example/') > 10


def broken_links(html: Path) -> list[str]:
    """Return the links of all pages to a page, a file or a place in a page that is not there."""
    texts = {page: page.read_text() for page in html.rglob("*.html")}
    broken = []
    for page, text in texts.items():
        for link in re.findall(r'<a\b[^>]*\bhref="([^"]+)"', text):
            if re.match(r"[a-z]+:", link):
                continue
            path, place = urldefrag(link)
            target = (page.parent / unquote(path)).resolve() if path else page
            there = target.exists() and (not place or place.startswith("/") or f'id="{place}"' in texts.get(target, ""))
            if not there:
                broken.append(f"{page.relative_to(html)}: {link}")
    return broken
