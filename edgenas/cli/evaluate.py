"""`edgenas evaluate`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.options import device_option, project_options


@click.command()
@click.option(
    "--split",
    type=click.Choice(["select", "confirm", "calibrate", "test"]),
    default="confirm",
    show_default=True,
    help="Which images.",
)
@device_option
@project_options
def evaluate(
    split: str,
    device: str | None,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Accuracy and sensitivity per class, with intervals."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes.evaluate import EvaluateConfig
        from edgenas.recipes.evaluate import run as recipe

        return recipe(EvaluateConfig(run, {}, overrides, split, device if device is not None else "auto"))

    execute("evaluate", start, run=run, as_json=as_json, verbose=verbose)
