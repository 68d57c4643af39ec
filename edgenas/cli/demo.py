"""`edgenas demo`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from edgenas.cli.options import project_options


@click.command()
@click.option(
    "--latency-ms", type=click.FloatRange(min=0, min_open=True), help="Default: half-way between the fastest and the slowest."
)
@click.option("--quick", is_flag=True, help="A few steps of everything: shows the path, not the quality.")
@partial(project_options, run="edgenas-demo")
def demo(
    latency_ms: float | None,
    quick: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """The whole job on the real digits of scikit-learn, in minutes."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes.demo import DemoConfig
        from edgenas.recipes.demo import run as recipe

        return recipe(DemoConfig(run, {}, overrides, latency_ms, quick))

    execute("demo", start, run=run, as_json=as_json, verbose=verbose)
