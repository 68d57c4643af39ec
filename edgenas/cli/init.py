"""`edgenas init`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.completion import complete_classes, complete_recipes, complete_sources, complete_spaces
from edgenas.cli.options import NearestChoice, compact, map_label_option, parse_latency, parse_renames, project_options

SOURCES = (
    "digits, fashion-mnist[:DIR], cifar10:DIR, cifar100:DIR, folder:DIR, csv:FILE[?path=COLUMN&label=COLUMN], covidx:DIR, "
    "torchvision:NAME[:DIR] or timm:NAME:DIR."
)


@click.command()
@click.option("--data", required=True, metavar="SOURCE", shell_complete=complete_sources, help=SOURCES)
@map_label_option
@click.option("--positive", metavar="CLASS", shell_complete=complete_classes, help="The class that must not be missed.")
@click.option("--space", metavar="NAME", shell_complete=complete_spaces, help="Search space; `edgenas spaces` lists them.")
@click.option(
    "--latency-ms",
    multiple=True,
    metavar="[NAME=]MS",
    help="Limit: which spaces fit is measured, a few minutes.",
)
@click.option("--recipe", metavar="NAME", shell_complete=complete_recipes, help="Training settings of one of `edgenas recipes`.")
@click.option("--image-px", type=click.IntRange(min=16), help="Side of the image that the net sees.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the splits.")
@click.option(
    "--max-per-class", type=click.IntRange(min=1), metavar="N", help="Use N images of every class; a published test stays whole."
)
@click.option("--skip-bad-images", is_flag=True, default=None, help="Leave out images that cannot be decoded.")
@click.option(
    "--drop-overlap",
    type=NearestChoice(["train", "val"]),
    multiple=True,
    help="Published part that gives way where parts share files, pictures or patients; repeatable.",
)
@click.option("--force", is_flag=True, help="Replace the settings and splits of an earlier init.")
@project_options
def init(
    data: str,
    map_label: tuple[str, ...],
    positive: str | None,
    space: str | None,
    latency_ms: tuple[str, ...],
    recipe: str | None,
    image_px: int | None,
    seed: int | None,
    max_per_class: int | None,
    skip_bad_images: bool | None,
    drop_overlap: tuple[str, ...],
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
        from edgenas.recipes.init import run as command

        table = {
            "source": data,
            "map_label": parse_renames(map_label) or None,
            "positive": positive,
            "image_px": image_px,
            "seed": seed,
            "max_per_class": max_per_class,
            "skip_bad_images": skip_bad_images,
            "drop_overlap": drop_overlap,
        }
        search = {"latency_ms": parse_latency(latency_ms)}
        flags = compact(data=table, space={"name": space}, train={"recipe": recipe}, search=search)
        return command(InitConfig(run, flags, overrides, force))

    execute("init", start, run=run, as_json=as_json, verbose=verbose)
