"""A class may have any name: every table, picture and README shows just that, and nothing in it does anything."""

from __future__ import annotations

import csv
import html
import io
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgenas.data.problems import Problem, problems_as_csv
from edgenas.escaping import terminal
from edgenas.records import ComparePicture, DataFacts, TrainingPicture
from edgenas.report.compare import compare_plot
from edgenas.report.console import LiteralConsole
from edgenas.report.pareto import pareto_plot
from edgenas.report.plots import draw
from edgenas.report.terminal import Screen
from edgenas.runs import Outcome, Picture
from tests.deploy.conftest import exported, make_artefact
from tests.report.test_search_pictures import TEXTS, shown
from tests.report.test_views import POSITIVE, SHOWN, comparison, drawn, plot_data

__all__ = ["exported", "make_artefact"]  # fixtures of the folder beside this one

NASTY = "[bold]x[/]$a_b$`<b>:smile:\x1b[31m"
OTHERS = ("stranger", "6975P-C", "libcuda.so.1", "pneumonia")  # names of nets, devices, libraries and another class


def renamed(value: Any, names: tuple[str, ...], nasty: str) -> Any:
    """A JSON value with some names, wherever in texts and keys they stand, replaced by another."""
    if isinstance(value, dict):
        return {renamed(key, names, nasty): renamed(each, names, nasty) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [renamed(each, names, nasty) for each in value]
    if isinstance(value, str):
        for name in names:
            value = value.replace(name, nasty)
    return value


def on_screen(command: str, outcome: Outcome[Any]) -> str:
    file = io.StringIO()
    Screen(LiteralConsole(file=file, width=4000)).show(command, outcome)
    return file.getvalue()


@pytest.mark.parametrize("name", [POSITIVE, *OTHERS])
@pytest.mark.parametrize("command", SHOWN)
def test_tables_show_a_nasty_name_as_it_is(command: str, name: str) -> None:
    outcome, _ = SHOWN[command]
    before = drawn(command, outcome, 4000)
    nasty = replace(outcome, result=type(outcome.result).from_json(renamed(outcome.result.as_json(), (name,), NASTY)))
    text = on_screen(command, nasty)
    assert "\x1b" not in text
    assert "\\[bold]" not in text
    assert text.count(terminal(NASTY)) == before.count(name)


def texts_in(svg: Path) -> str:
    """What an SVG file of matplotlib's says in its comments, one a text, and in its texts."""
    text = svg.read_text(encoding="utf-8")
    return html.unescape("\n".join([*re.findall(r"<!-- (.*?) -->", text), *re.findall(r">([^<>]+)</text>", text)]))


def pictures(folder: Path) -> dict[str, Path]:
    """Every kind of plot, each with the name in its title, labels and legend."""
    data = replace(plot_data(4), title=NASTY)
    pareto_plot(data, [folder / "pareto.svg"])
    result = type(comparison().result).from_json(renamed(comparison().result.as_json(), (POSITIVE, "stranger"), NASTY))
    compare_plot(ComparePicture(result, NASTY), (folder / "compare.svg",))
    accuracies = {NASTY: {1: 0.5, 2: 0.6}}
    draw(Picture(TrainingPicture(epochs=(1, 2), loss=(2.0, 1.0), select=accuracies, title=NASTY), (folder / "training.svg",)))
    for part in TEXTS:
        found = replace(shown(part), title=NASTY)
        draw(Picture(found, (folder / f"{part}.svg",)))
    return {path.stem: path for path in folder.glob("*.svg")}


def test_plots_draw_a_nasty_name_as_it_is(tmp_path: Path) -> None:
    drawn = pictures(tmp_path)
    assert len(drawn) == 3 + len(TEXTS)
    for name, path in drawn.items():
        ElementTree.parse(path)  # no markup of the name's own
        assert terminal(NASTY) in texts_in(path), name
        assert "\x1b" not in path.read_text(encoding="utf-8")
    assert texts_in(drawn["compare"]).count(terminal(NASTY)) >= 3


@pytest.mark.parametrize("name", ["$a^{b$", r"$\frac{$", "a$b$c"])
def test_a_name_that_would_be_a_broken_formula_is_drawn(name: str, tmp_path: Path) -> None:
    result = type(comparison().result).from_json(renamed(comparison().result.as_json(), (POSITIVE,), name))
    compare_plot(ComparePicture(result, name), (tmp_path / "compare.svg",))
    assert name in texts_in(tmp_path / "compare.svg")


def test_a_readme_shows_a_nasty_name_as_text(make_artefact: Callable[..., Path]) -> None:
    classes = ("healthy", "covid-19", NASTY)
    text = (
        make_artefact(classes=classes, data=DataFacts(source=NASTY, fingerprint="0" * 64, splits={"test": 4})) / "README.md"
    ).read_text(encoding="utf-8")
    assert "<b>" not in text
    assert "\x1b" not in text
    for part in re.findall(r"<code>(.*?)</code>", text):
        assert "`" not in part
    assert terminal(NASTY) in html.unescape(text)


def test_cells_of_the_list_of_problems_are_text() -> None:
    text = problems_as_csv([Problem(NASTY, f"={NASTY}", "kept")])
    assert "\x1b" not in text
    assert list(csv.reader(io.StringIO(text)))[1] == [terminal(NASTY), f"'={terminal(NASTY)}", "kept"]
