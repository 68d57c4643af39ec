"""`edgenas report`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.options import project_options


@click.command()
@click.option("--pdf", is_flag=True, help="Print the page as PDF as well, with the Chromium or Chrome that is installed.")
@project_options
def report(
    pdf: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """One page with everything the run has found, to be opened in a browser, sent and printed."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes.report import ReportConfig
        from edgenas.recipes.report import run as recipe

        return recipe(ReportConfig(run, {}, overrides, pdf=pdf))

    execute("report", start, run=run, as_json=as_json, verbose=verbose)
