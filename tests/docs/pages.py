"""Pages of `docs/` whose code is executed: their cells, the notebook of a page, and what the cells print.

``python -m tests.docs.pages`` runs the page again, puts what was printed below every cell, and writes the notebook.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE, NOTEBOOK = DOCS / "python.md", DOCS / "python.ipynb"
ALIKE = "<!-- the same everywhere -->\n"
_CELL = re.compile(rf"((?:{re.escape(ALIKE)})?)```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of code.

    Attributes:
        printed: as it stands in the page.
        is_alike: it prints the same on every machine.
    """

    code: str
    printed: str
    is_alike: bool


def cells_of(page: str) -> list[Cell]:
    """The code of a page, in order."""
    return [Cell(code, printed, bool(mark)) for mark, code, printed in _CELL.findall(page)]


def run_cells(codes: list[str], folder: Path) -> list[str]:
    """What cells print, one after the other in one namespace, inside a folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    printed = []
    with contextlib.chdir(folder):
        for code in codes:
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(code, "a cell of docs/python.ipynb", "exec"), names)
            printed.append(out.getvalue())
    return printed


def with_printed(page: str, printed: list[str]) -> str:
    """The page with what its cells have printed."""
    rest = iter(printed)
    return _CELL.sub(lambda found: f"{found[1]}```python\n{found[2]}```\n\n```text\n{next(rest)}```\n", page)


def notebook_of(page: str) -> dict[str, Any]:
    """The page as a notebook (nbformat 4.5), outputs included."""
    cells: list[dict[str, Any]] = []
    end = 0
    for found in _CELL.finditer(page):
        cells += _text(page[end : found.start()])
        output = {"name": "stdout", "output_type": "stream", "text": _lines(found[3])}
        cells.append({"cell_type": "code", "execution_count": None, "outputs": [output], "source": _lines(found[2].rstrip("\n"))})
        end = found.end()
    cells += _text(page[end:])
    numbered = [{"id": f"cell-{number}", "metadata": {}, **cell} for number, cell in enumerate(cells, 1)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": numbered, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _text(part: str) -> list[dict[str, Any]]:
    return [{"cell_type": "markdown", "source": _lines(part.strip("\n"))}] if part.strip() else []


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main() -> None:
    """Run the page, and write it and its notebook."""
    page = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        page = with_printed(page, run_cells([cell.code for cell in cells_of(page)], Path(folder)))
    PAGE.write_text(page, encoding="utf-8")
    NOTEBOOK.write_text(json.dumps(notebook_of(page), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
