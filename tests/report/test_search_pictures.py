"""What the nets of a search say together can be drawn, whatever there is of it."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from edgenas.project.searching.analysis import Evaluated, analyse
from edgenas.records import AnalysisPicture, SearchResult
from edgenas.report.figures import new_figure
from edgenas.report.plots import draw
from edgenas.report.search_pictures import PARTS
from edgenas.report.terminal import Screen
from edgenas.runs import Outcome, Picture
from tests.project.test_search_analysis import nets
from tests.records.test_golden import WRITTEN


def shown(part: Any, *, num: int = 32, positive: bool = True) -> AnalysisPicture:
    found = nets(num, gain=0.012, positive=positive)
    return AnalysisPicture(
        part=part,
        analysis=analyse(found, 0),
        rows=found.rows,
        cost="latency_ms_predicted",
        winner=found.rows[-1],
        title="pvt-nano on [b]digits[/b]: $x_1$ & <y>",
    )


TEXTS = {
    "hypervolume": ("reference point: 32 ms, top-1 50.0 %, sensitivity[ill] 50.0 %", "nets evaluated"),
    "top": ("sensitivity of ill (%), 200 images", "winner"),
    "importance": ("which genes decide", "second", "r2 lost when the gene is shuffled"),
    "prices": ("points gained by the step", "predicted latency (ms)"),
}


LONG = "sensitivity[viral-pneumonia-of-children]"
WITHOUT_FLOOR = [("importance", False), ("prices", False)]
WITH_FLOOR = [(part, True) for part in ("hypervolume", "top")]
AGAIN = [pytest.param(part, True, marks=pytest.mark.slow) for part in ("importance", "prices")]


@pytest.mark.parametrize(("part", "positive"), [*WITH_FLOOR, *WITHOUT_FLOOR, *AGAIN])
def test_every_part_opens_as_png_and_svg_and_says_what_it_shows(part: str, positive: bool, tmp_path: Path) -> None:
    png, svg = tmp_path / f"{part}.png", tmp_path / f"{part}.svg"
    draw(Picture(shown(part, positive=positive), (png, svg)))
    with Image.open(png) as picture:
        assert picture.format == "PNG"
        assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 10
    assert ET.parse(svg).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert {path.name for path in tmp_path.iterdir()} == {png.name, svg.name}
    text = svg.read_text(encoding="utf-8")
    for words in TEXTS[part]:
        assert f"<!-- {words} -->" in text or words in text, words


def test_a_reference_point_is_written_in_its_units(tmp_path: Path) -> None:
    found = shown("hypervolume")
    assert found.analysis.hypervolume is not None
    reference = {"accuracy": 0.5, "latency_ms[jetson]": 4.5, "macs": 3e6, "depth": 9.0}
    facts = replace(found.analysis.hypervolume, reference=reference)
    draw(Picture(replace(found, analysis=replace(found.analysis, hypervolume=facts)), (tmp_path / "picture.svg",)))
    text = (tmp_path / "picture.svg").read_text(encoding="utf-8")
    assert "reference point: accuracy 50.0 %, 4.5 ms, 3 M multiply-accumulates, 9 depth" in text


@pytest.mark.parametrize("part", ["importance", "prices"])
def test_no_title_above_one_of_two_panels_is_cut_off(part: str) -> None:
    found = shown(part)
    name = {"top1": "top1"}
    importance = [
        replace(
            each,
            metric=name.get(each.metric, LONG),
            rows=tuple(replace(row, gene=f"stages[3].blocks[{place}].expansion") for place, row in enumerate(each.rows)),
        )
        for each in found.analysis.importance
    ]
    prices = [replace(price, metric=name.get(price.metric, LONG)) for price in found.analysis.prices]
    figure = new_figure(7.2, 4.5)
    PARTS[part](figure, replace(found, analysis=replace(found.analysis, importance=tuple(importance), prices=tuple(prices))))
    figure.draw_without_rendering()
    assert len(figure.axes) == 2
    for axes in figure.axes:
        title = axes.title.get_window_extent()
        assert figure.bbox.x0 <= title.x0 < title.x1 <= figure.bbox.x1, axes.get_title()


def test_a_terminal_shows_prices_and_genes_or_that_the_images_are_too_few() -> None:
    clear, flat = (" ".join(text(nets(32, num_images=num, gain=gain)).split()) for num, gain in ((400, 0.012), (60, 0.001)))
    assert len(re.findall(r"\+\d ms buys \+\d+\.\d points of top-1 \[", clear)) == 6
    assert "all along the front, +31 ms buys +37.2 points of top-1 [" in clear
    assert "genes that decide top1, by the r2 lost without them: second" in clear
    assert "too small" not in clear
    assert "select is too small to tell nets apart: 60 images, one image = 1.7 points" in flat
    assert "buys" not in flat


def text(found: Evaluated) -> str:
    """What a terminal shows of a search's analysis."""
    result = SearchResult.from_json({**WRITTEN["SearchResult"], "analysis": analyse(found, 0).as_json()})
    file = io.StringIO()
    Screen(Console(file=file, width=100)).show("search", Outcome(result))
    return file.getvalue()
