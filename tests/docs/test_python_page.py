"""The page and the notebook of edgenas in Python: they are the same, and what they say works."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.docs.pages import NOTEBOOK, PAGE, cells_of, notebook_of, run_cells

CELLS = cells_of(PAGE.read_text(encoding="utf-8"))
FEWER_VISITS = "timing=__import__('edgenas.latency.timing', fromlist=['x']).TimingSettings(visits=2, runs=3), "
FEWER_EPOCHS = {"epochs=8": 7, "epochs=4": 3}  # than the page has, which prints a line for each
TRACED, UNTRACED = '"onnxruntime-cpu", settings=few', '"torch-cpu", settings=few'  # of all blocks: most of the page's time


def test_the_notebook_is_the_page() -> None:
    assert json.loads(NOTEBOOK.read_text(encoding="utf-8")) == notebook_of(PAGE.read_text(encoding="utf-8"))


def test_every_cell_shows_what_it_printed() -> None:
    assert len(CELLS) == 8
    assert all(cell.printed for cell in CELLS)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("runtime", [UNTRACED, pytest.param(TRACED, marks=pytest.mark.slow)])
def test_the_notebooks_cells_run_from_images_to_a_verdict(runtime: str, tmp_path: Path) -> None:
    """All of them, but for most epochs of the two trainings, most visits of the table, and the runtime that it is of."""
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    codes = ["".join(cell["source"]) for cell in cells]
    left_out = [FEWER_EPOCHS[found[0]] if (found := re.search(r"epochs=\d+", code)) else 0 for code in codes]
    assert sum(TRACED in code for code in codes) == 1
    codes = [code.replace("MeasuringSettings(", f"MeasuringSettings({FEWER_VISITS}").replace(TRACED, runtime) for code in codes]
    printed = run_cells([re.sub(r"epochs=\d+", "epochs=1", code) for code in codes], tmp_path)
    assert [text for text, cell in zip(printed, CELLS, strict=True) if cell.is_alike] == [
        cell.printed for cell in CELLS if cell.is_alike
    ]
    lines = [cell.printed.count("\n") - fewer for cell, fewer in zip(CELLS, left_out, strict=True)]
    assert [text.count("\n") for text in printed] == lines
    assert "passed, 100.0% of 395 images decided alike" in printed[-1]
    assert [path.suffix for path in (tmp_path / "edgenas-export").glob("*.onnx")] == [".onnx"]
