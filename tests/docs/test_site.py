"""The pages of `docs/` as a site: it builds without a warning, needs no other host, and names what there is in Python."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest

import edgenas

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
pytest.importorskip("material", reason="mkdocs-material is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]  # --quiet would count no warning
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env={"NO_MKDOCS_2_WARNING": "1"})
    assert (done.returncode, [line for line in done.stderr.splitlines() if not line.startswith("INFO")]) == (0, [])
    return folder


def article(page: Path) -> str:
    """What a page says, without what the theme puts around it and without code."""
    (found,) = re.findall(r"<article.*?</article>", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"<(pre|code).*?</\1>", "", found, flags=re.DOTALL)


def test_every_page_is_in_it_and_in_its_navigation(site: Path) -> None:
    pages = {page.relative_to(DOCS).with_suffix(".html").as_posix() for page in DOCS.rglob("*.md")}
    assert all((site / page).is_file() for page in pages)
    navigation = (site / "index.html").read_text(encoding="utf-8").split("<article")[0]
    assert {page for page in pages if f'href="{page}"' not in navigation} == set()


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    loads = re.compile(r'<(?:script|img|iframe|source)[^>]*\ssrc="?(https?:)?//|<link[^>]*\shref="?(https?:)?//')
    assert [page.name for page in site.rglob("*.html") if loads.search(page.read_text(encoding="utf-8"))] == []


def test_no_table_or_list_is_taken_for_prose(site: Path) -> None:
    prose = {page.name: re.findall(r"<p>(.*?)</p>", article(page), flags=re.DOTALL) for page in site.rglob("*.html")}
    raw = re.compile(r"\n\s*(-|\d+\.) |\|---|\n\|")
    assert [(name, text) for name, texts in prose.items() for text in texts if raw.search(text)] == []


def test_the_reference_shows_every_name_with_what_it_says_of_itself(site: Path) -> None:
    text = (site / "api.html").read_text(encoding="utf-8")
    said = "".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())
    missing = [name for name in edgenas.__all__ if f'id="edgenas.{name}"' not in text]
    first = {name: str(getattr(edgenas, name).__doc__).split("\n")[0] for name in edgenas.__all__ if name not in missing}
    unsaid = [name for name, line in first.items() if re.sub(r"[`*\s]", "", line) not in said.replace("*", "")]
    assert (missing, unsaid) == ([], [])
    assert not re.findall(r'id="edgenas\.\w+\._', text)  # what is private stays so
