"""The README and the pages of docs/: short enough, and no link that leads nowhere."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

import edgenas

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as its readers' sites make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    missing = []
    for link in LINK.findall(text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(link)
    assert missing == []


def test_every_page_is_reached_from_the_readme_or_has_its_place_in_the_site() -> None:
    sections = runpy.run_path(str(ROOT / "docs" / ".site" / "navigation.py"))["SECTIONS"]
    reached, waiting = {ROOT / "docs" / page for pages in sections.values() for page in pages}, [PAGES[0]]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        targets = (
            page.parent / link.partition("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link
        )
        waiting += {target.resolve() for target in targets if target.suffix == ".md"} - reached
    assert {page for page in PAGES if page.parent.name == "docs"} <= reached


def test_the_readme_can_be_read_in_ten_minutes() -> None:
    assert len(PAGES[0].read_text(encoding="utf-8").split()) < 1300


def test_the_reference_names_only_what_is_offered() -> None:
    intro = (ROOT / "docs" / "api.md").read_text(encoding="utf-8").split("\n## ")[0]
    assert set(re.findall(r"`([A-Z]\w+)`", intro)) <= set(edgenas.__all__)


def test_every_layer_has_its_row_in_the_guide() -> None:
    rows = re.findall(r"^\| (`.+?) \|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    elsewhere = {"exporters", "latency_tables"}  # links of a checkout that is not installed
    there = {path.stem for path in (ROOT / "edgenas").iterdir() if path.suffix in ("", ".py") and not path.name.startswith("_")}
    assert there - elsewhere == named
