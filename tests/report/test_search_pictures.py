"""What the nets of a search say together can be drawn, whatever there is of it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgenas.project.searching.analysis import analyse
from edgenas.records import AnalysisPicture
from edgenas.report.plots import draw
from edgenas.runs import Picture
from tests.project.test_search_analysis import nets


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


@pytest.mark.parametrize(("part", "positive"), [*((part, True) for part in TEXTS), ("importance", False), ("prices", False)])
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
