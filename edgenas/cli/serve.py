"""`edgenas serve`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.options import output_options


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("edgenas-run"))
@click.option("--net", metavar="NAME", help="Of a run: searched, baseline or a rival of compare; default: its own.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is every network.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option(
    "--max-mb", type=click.FloatRange(min=0, min_open=True, max=4096), default=32, show_default=True, help="Of a request."
)
@click.option("--max-pixels", type=click.IntRange(1, 89_000_000), default=40_000_000, show_default=True, help="Of an image.")
@click.option("--queue", type=click.IntRange(1, 10_000), default=32, show_default=True, help="Requests at a time; more get 503.")
@output_options
def serve(
    folder: Path,
    net: str | None,
    host: str,
    port: int,
    max_mb: float,
    max_pixels: int,
    queue: int,
    as_json: bool,
    verbose: bool,
) -> None:
    """Answer over HTTP: an upload page, POST /predict, health and metrics.

    FOLDER is an artefact, or a run, whose newest artefact is taken.
    """
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes.serve import ServeConfig
        from edgenas.recipes.serve import run as recipe

        return recipe(ServeConfig(folder, net, host, port, max_mb, max_pixels, queue))

    execute("serve", start, run=None, as_json=as_json, verbose=verbose)
