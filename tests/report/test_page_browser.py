"""The page in a real browser: nothing is asked of a network, every picture is drawn, words appear, pictures are enlarged."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgenas.errors import MissingBackendError
from edgenas.project.paging.pdf import FLAGS, NAMES, browser, print_pdf
from edgenas.records import Proportion
from edgenas.report.page.document import write
from tests.report.pages import a_page, data_sheet, judged
from tests.report.test_views import retrain

CHROMIUM = next((path for name in NAMES if (path := shutil.which(name)) is not None), None)
NASTY = "<script>alert(1)</script><img src=x onerror=alert(2)>"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome is on PATH")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser that is installed; playwright brings none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS[1:-1], "--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with names that would do something if they could."""
    names, page = (NASTY, "normal", "pneumonia"), a_page()
    assert page.deployed is not None
    named = retrain(names).result
    page = replace(
        page,
        positive=NASTY,
        deployed=replace(page.deployed, metrics=named.net.metrics),
        judged=judged(names),
        data=data_sheet(names),
    )
    path = tmp_path_factory.mktemp("page") / "index.html"
    write(page, path)
    return path


class Opened:
    """A page in a window, with everything that it complained about, asked for or popped up."""

    def __init__(self, chromium: Any, path: Path, width: int = 1280, scheme: str = "light") -> None:
        self.page = chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.heard: list[str] = []
        self.page.on("console", lambda message: self.heard.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.heard.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: (self.heard.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.goto(path.as_uri())

    def _asked(self, url: str) -> None:
        if not url.startswith(("data:", "file:")):
            self.heard.append(f"request: {url}")

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, *_: object) -> None:
        self.page.close()


def test_nothing_is_asked_of_a_network_and_nothing_goes_wrong(chromium: Any, written: Path) -> None:
    opened = Opened(chromium, written)
    with opened as page:
        page.wait_for_timeout(50)
        assert page.title().startswith("edgenas: pvt-nano on csv:")
    assert opened.heard == []


def test_every_picture_is_drawn(chromium: Any, written: Path) -> None:
    with Opened(chromium, written) as page:
        sizes = page.eval_on_selector_all("main img", "all => all.map(each => each.naturalWidth)")
        assert len(sizes) == 7 + 12
        assert all(size == 24 for size in sizes)
        boxes = page.eval_on_selector_all("svg.plot", "all => all.map(each => [each.getBBox().width, each.getBBox().height])")
        assert len(boxes) >= 8
        assert all(width > 200 and height > 40 for width, height in boxes)
        beyond = page.eval_on_selector_all("svg.plot .pt", "all => all.filter(each => !(each.getBBox().x > -1)).length")
        assert beyond == 0


def test_a_point_says_what_it_is_when_it_is_pointed_at_or_reached_by_keys(chromium: Any, written: Path) -> None:
    from playwright.sync_api import expect

    with Opened(chromium, written) as page:
        tip = page.locator("#tip")
        assert tip.text_content() == ""
        star = page.locator("#decisions .pt:has(.k-winner)").first
        star.hover()
        assert "threshold 0.31: finds 58 of 61" in tip.text_content()
        expect(tip).to_have_css("opacity", "1")  # which it comes to in a moment
        box = tip.bounding_box()
        assert 0 <= box["x"] <= 1280 - box["width"]
        assert box["y"] >= 0
        page.mouse.move(2, 2)
        assert "on" not in (tip.get_attribute("class") or "")
        page.locator("#nets .pt[tabindex]").first.focus()  # which scrolls it into sight
        assert "finalist" in tip.text_content()
        page.wait_for_timeout(100)
        expect(tip).to_have_css("opacity", "1")
        assert page.locator("#nets .pt[tabindex]").first.get_attribute("aria-label") == tip.text_content()


def test_a_missed_image_is_enlarged_and_the_next_one_follows(chromium: Any, written: Path) -> None:
    with Opened(chromium, written) as page:
        cards, large = page.locator("#missed .card"), page.locator("#large")
        cards.nth(0).click()
        assert large.is_visible()
        assert large.locator("p").text_content() == cards.nth(0).get_attribute("data-enlarge")
        assert NASTY in large.locator("p").text_content()
        assert large.locator("img").bounding_box()["width"] > 3 * cards.nth(0).locator("img").bounding_box()["width"]
        page.keyboard.press("ArrowRight")
        assert large.locator("img").get_attribute("src") == cards.nth(1).locator("img").get_attribute("src")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        assert large.locator("p").text_content() == cards.nth(2).get_attribute("data-enlarge")
        page.keyboard.press("Escape")
        assert not large.is_visible()


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_window(chromium: Any, written: Path, width: int) -> None:
    with Opened(chromium, written, width) as page:
        for details in page.locator("details").all():
            details.evaluate("each => { each.open = true; }")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        texts = "all => Math.min(...all.map(each => each.getBoundingClientRect().height).filter(height => height > 0))"
        assert page.eval_on_selector_all("svg.plot text:not([transform])", texts) >= 9  # px, so that it can be read


@pytest.mark.parametrize(("media", "width"), [("screen", 1280), ("print", 695)])  # A4 between its margins
def test_a_matrix_of_twenty_classes_is_whole_and_covers_no_other_picture(
    chromium: Any, tmp_path: Path, media: str, width: int
) -> None:
    page = a_page()
    assert page.deployed is not None
    assert page.deployed.metrics is not None
    shares = {f"class number {i}": Proportion(0.75, 0.3, 0.95, 4) for i in range(20)}
    plain = replace(page.deployed.metrics, positive=None, threshold=None)
    metrics = replace(plain, sensitivity=shares, confusion_matrix=((400,) * 20,) * 20)
    write(replace(page, positive=None, deployed=replace(page.deployed, metrics=metrics)), tmp_path / "index.html")
    with Opened(chromium, tmp_path / "index.html", width) as opened:
        opened.emulate_media(media=media)
        table, room = opened.evaluate(
            "['.matrix table', 'figure:has(.matrix)'].map(each => document.querySelector(each).getBoundingClientRect().width)"
        )
        assert table <= room


def test_on_paper_rows_of_nets_are_as_large_as_their_heads(chromium: Any, written: Path) -> None:
    with Opened(chromium, written, 695) as opened:
        opened.emulate_media(media="print")
        sizes = "['td', 'th'].map(each => getComputedStyle(document.querySelector(`#nets .wide tbody ${each}`)).fontSize)"
        cell, head = opened.evaluate(sizes)
        assert cell == head


def test_it_is_dark_where_that_is_wished(chromium: Any, written: Path) -> None:
    shades = []
    for scheme in ("light", "dark"):
        with Opened(chromium, written, scheme=scheme) as page:
            shades.append(page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"))
    assert shades[0] == ["rgb(246, 247, 248)", "rgb(27, 33, 38)"]
    assert shades[1] == ["rgb(18, 22, 26)", "rgb(230, 234, 237)"]


def test_lines_for_the_device_are_copied_or_selected(chromium: Any, written: Path) -> None:
    with Opened(chromium, written) as page:
        page.locator(".copy").first.click()
        page.wait_for_function("document.querySelector('.copy').textContent !== 'copy'")
        assert page.locator(".copy").first.text_content() in ("copied", "selected")


def test_the_page_is_printed_as_pdf(written: Path, tmp_path: Path) -> None:
    print_pdf(browser(), written, tmp_path / "index.pdf")
    content = (tmp_path / "index.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert len(content) > 20_000
    assert [path.name for path in tmp_path.iterdir()] == ["index.pdf"]


def test_without_a_browser_nothing_is_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingBackendError, match="printing a PDF needs Chromium or Chrome: none of chromium"):
        browser()
