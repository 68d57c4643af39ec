"""The upload page in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serving import browser
from tests.serving.conftest import Served


@pytest.mark.skipif(browser.chromium() is None, reason="Chromium is not installed")
def test_images_are_uploaded_and_answered_in_a_browser(served: Served, pictures: Callable[..., list[Path]], tmp_path: Path) -> None:
    paths = pictures(4)
    odd = paths[0].rename(paths[0].parent / "<img src=x onerror=alert(1)>.png")
    text = tmp_path / "text.png"
    text.write_text("no image")
    _, expected = served.predict(*((path.name, path.read_bytes()) for path in (odd, *paths[1:])))
    with browser.page() as page:
        page.size(1000, 700)
        page.open(served.url)
        page.until("document.getElementById('what').textContent.includes('3 classes')")
        page.choose("#files", [odd, *paths[1:], text])
        page.until("document.querySelectorAll('#rows .decision, #rows .error').length === 5")
        page.until("!document.getElementById('sums').textContent.includes('waiting')")
        names = page.ask("[...document.querySelectorAll('#rows .name')].map((e) => e.textContent)")
        decisions = page.ask("[...document.querySelectorAll('#rows .decision')].map((e) => e.textContent)")
        notes = page.ask("document.querySelectorAll('#rows .note').length")
        errors = page.ask("[...document.querySelectorAll('#rows .error')].map((e) => e.textContent)")
        widths = page.ask("[...document.querySelectorAll('#rows li:first-child .bar i')].map((e) => e.offsetWidth)")
        page.screenshot(tmp_path / "wide.png")
        page.size(390, 700)
        is_narrow = page.ask("document.documentElement.scrollWidth <= window.innerWidth")
        page.screenshot(tmp_path / "narrow.png")
    assert names == [odd.name, *(path.name for path in paths[1:]), "text.png"]
    assert decisions == [row["decision"] for row in expected["rows"]]
    assert notes == sum(row["referred"] for row in expected["rows"])
    assert errors == ["the file is no image of a known kind"]
    assert is_narrow
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] > 0
    assert {url.split("/")[2] for url in page.requests if url.startswith("http")} == {served.url.split("/")[2]}
    refused = [words for words in page.console if "415" in words]  # the browser tells of every status of 400 or more
    assert page.console == refused
    assert len(refused) == 1
