"""`edgenas info`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.options import project_options


@click.command()
@click.option("--loader/--no-loader", default=False, help="Measure how fast the training images are loaded, for 2 s.")
@project_options
def info(
    loader: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """What is in the run folder, what comes next, and which versions are at work."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes.info import InfoConfig
        from edgenas.recipes.info import run as recipe

        return recipe(InfoConfig(run, {}, overrides, measure_loader=loader))

    execute("info", start, run=run, as_json=as_json, verbose=verbose)
