"""The picture of a search shows what was asked for, whichever way each objective goes."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text

from edgenas.project.searching.analysis import analyse
from edgenas.records import FrontAxis, ParetoPicture, SearchResult
from edgenas.report.page.nets import nets as nets_section
from edgenas.report.pareto import pareto_figure
from tests.project.test_search_analysis import nets
from tests.report.pages import a_page

LONG = "viral-pneumonia-of-children-under-five-with-a-name-that-goes-on"
FOUND = FrontAxis(name=f"sensitivity[{LONG}]", maximize=True, values=(0.5, 0.2, 0.7, 0.6), lower=0.3)
PARAMS = FrontAxis(name="params", maximize=False, values=(2e5, 1e5, 4e5, 5e5), upper=4.5e5)
MEMORY = FrontAxis(name="memory_mb", maximize=False, values=(4.0, 3.0, 2.0, 1.0))
TOP1 = FrontAxis(name="accuracy", maximize=True, values=(0.5, 0.6, 0.7, 0.8))


def picture(*axes: FrontAxis, winner: int = 0) -> ParetoPicture:
    """Four nets in these axes."""
    found = nets(4, drawn=axes)
    front = analyse(found, 0).front
    return ParetoPicture(
        rows=found.rows,
        front=front.drawn,
        cost="latency_ms_predicted",
        limit=2.0,
        winner=found.rows[winner],
        title="pvt-nano on digits",
        axes=axes,
        asked=tuple(f"{'max' if axis.maximize else 'min'} {axis.name}" for axis in axes),
        unbeaten=front.rows if len(axes) > 2 else (),
    )


def texts(shown: ParetoPicture) -> str:
    """All that the picture says, on one line."""
    return " ".join(" ".join(text.get_text() for text in pareto_figure(shown).findobj(Text) if isinstance(text, Text)).split())


def test_the_winner_lies_on_the_line_of_what_was_asked_for() -> None:
    axes = pareto_figure(picture(PARAMS, FOUND)).axes[0]
    line = next(line for line in axes.lines if line.get_label() == "Pareto set")
    assert list(zip(*(np.asarray(line.get_data(), dtype=float).tolist()), strict=True)) == [(1e5, 20.0), (2e5, 50.0), (4e5, 70.0)]
    star = next(points for points in axes.collections if points.get_label() == "winner")
    assert np.asarray(star.get_offsets()).tolist() == [[2e5, 50.0]]
    assert {line.get_label() for line in axes.lines} >= {"limit 450,000", "at least 30 %"}
    assert axes.get_xlabel().startswith("parameters")


def test_the_line_turns_to_where_larger_is_better() -> None:
    for axis, where in ((PARAMS, "steps-post"), (replace(PARAMS, maximize=True), "steps-pre")):
        (line,) = (line for line in pareto_figure(picture(axis, FOUND)).axes[0].lines if line.get_label() == "Pareto set")
        assert line.get_drawstyle() == where


def test_of_three_objectives_the_third_is_the_colour_and_of_more_the_rest_is_named() -> None:
    said = texts(picture(PARAMS, FOUND, TOP1, MEMORY))
    assert "colour: accuracy; memory_mb not drawn" in said
    assert "beaten by none in all 4" in said
    assert "Pareto set of these two" in said
    assert "generation" not in said


def test_a_winner_that_others_beat_on_select_is_explained() -> None:
    assert "the winner is the best of the finalists on confirm" in texts(picture(PARAMS, FOUND, winner=3))
    assert "finalists" not in texts(picture(PARAMS, FOUND, winner=1))


@pytest.mark.parametrize("axes", [(PARAMS, FOUND), (FOUND, PARAMS), (PARAMS, TOP1, FOUND)])
def test_a_long_name_of_a_class_is_not_cut_off(axes: tuple[FrontAxis, ...]) -> None:
    figure = pareto_figure(picture(*axes))
    figure.draw_without_rendering()
    said = [each for axes in figure.axes for each in (axes.title, axes.xaxis.label, axes.yaxis.label)]
    for each in said:
        box = each.get_window_extent()
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1, each.get_text()
        assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1, each.get_text()
    assert any(LONG in re.sub(r"\s+", "", each.get_text()) for each in said)


def test_the_page_draws_what_was_asked_for() -> None:
    shown = a_page()
    assert shown.search is not None
    num = len(shown.rows)
    axes = tuple(replace(axis, values=tuple(np.linspace(0.1, 0.9, num).tolist())) for axis in (MEMORY, FOUND))
    front = replace(analyse(nets(4), 0).front, axes=axes, drawn=tuple(range(num)))
    analysis = replace(analyse(nets(4), 0), front=front)
    search: SearchResult = replace(shown.search, analysis=analysis, objectives=("min memory_mb", f"max {FOUND.name}"))
    text = str(nets_section(replace(shown, search=search)))
    assert ">memory (MB)</text>" in text
    assert ">sensitivity (%)</text>" in text
    assert f"Asked for: min memory_mb, max {FOUND.name}." in text
    assert ">memory (MB)</text>" not in str(nets_section(shown))
