"""`edgenas info`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.options import project_options


@click.command()
@click.option("--no-loader", is_flag=True, help="Do not measure how fast the images are loaded.")
@project_options
def info(
    no_loader: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """What is in the run folder, and which versions are at work."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes.info import InfoConfig
        from edgenas.recipes.info import run as recipe

        return recipe(InfoConfig(run, {}, overrides, measure_loader=not no_loader))

    execute("info", start, run=run, as_json=as_json, verbose=verbose)
