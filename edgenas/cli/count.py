"""`edgenas count`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from edgenas.cli.completion import complete_spaces
from edgenas.cli.options import output_options


@click.command()
@click.option(
    "--space", required=True, metavar="NAME", shell_complete=complete_spaces, help="Search space; `edgenas spaces` lists them."
)
@click.option(
    "--arch",
    required=True,
    metavar="FILE|NAME",
    help="JSON file of one architecture, of a list or of one a line; or a name that `edgenas spaces NAME` lists.",
)
@click.option("--check", is_flag=True, help="Build every net and compare its parameters and MACs.")
@click.option("--image-px", type=click.IntRange(1, 8192), help="Side of the image; default: that of the space's publication.")
@click.option("--num-classes", type=click.IntRange(1, 10_000_000), help="Classes; default: as above.")
@click.option("--in-channels", type=click.IntRange(1, 65_536), help="Channels of the image; default: as above.")
@output_options
def count(
    space: str,
    arch: str,
    check: bool,
    image_px: int | None,
    num_classes: int | None,
    in_channels: int | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """Parameters and MACs of architectures, exact."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes.count import CountConfig
        from edgenas.recipes.count import run as recipe

        return recipe(CountConfig(space, arch, check, image_px, num_classes, in_channels))

    execute("count", start, run=None, as_json=as_json, verbose=verbose)
