"""`edgenas demo`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from edgenas.cli.options import NearestChoice, project_options


@click.command()
@click.option("--latency-ms", type=click.FloatRange(min=0, min_open=True), help="Default: 1.6 times the quickest hand-made net.")
@click.option(
    "--data",
    type=NearestChoice(["fashion-mnist", "dim-digits"]),
    help="Default: Fashion-MNIST where Debian's package dataset-fashion-mnist has put it, else real digits in dim light.",
)
@click.option("--quick", is_flag=True, help="A few steps of everything: shows the path, not the quality.")
@partial(project_options, run="edgenas-demo")
def demo(
    latency_ms: float | None,
    data: str | None,
    quick: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """The whole job on real images, in minutes: is a searched net better than hand-made ones and timm's?"""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes.demo import DemoConfig
        from edgenas.recipes.demo import run as recipe

        return recipe(DemoConfig(run, {}, overrides, latency_ms, quick, data))

    execute("demo", start, run=run, as_json=as_json, verbose=verbose)
