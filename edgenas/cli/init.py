"""`edgenas init`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.options import compact, project_options


@click.command()
@click.option("--data", required=True, metavar="SOURCE", help="digits, folder:DIR or fashion-mnist[:DIR].")
@click.option("--positive", metavar="CLASS", help="The class that must not be missed.")
@click.option("--space", metavar="NAME", help="Search space: pvt-nano (32 px) or pvt-covidx (256 px).")
@click.option("--image-px", type=click.IntRange(min=16), help="Side of the image that the net sees.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the splits.")
@click.option("--force", is_flag=True, help="Replace the settings and splits of an earlier init.")
@project_options
def init(
    data: str,
    positive: str | None,
    space: str | None,
    image_px: int | None,
    seed: int | None,
    force: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Read the images, split them, and write edgenas.toml."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes.init import InitConfig
        from edgenas.recipes.init import run as recipe

        flags = compact(data={"source": data, "positive": positive, "image_px": image_px, "seed": seed}, space={"name": space})
        return recipe(InitConfig(run, flags, overrides, force))

    execute("init", start, run=run, as_json=as_json, verbose=verbose)
