"""`edgenas evaluate`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.options import NearestChoice, device_option, project_options


@click.command()
@click.option(
    "--split",
    type=NearestChoice(["select", "confirm", "calibrate", "test"]),
    default="confirm",
    show_default=True,
    help="Which images.",
)
@click.option(
    "--prevalence",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of a class in use, for the predictive values that it has there.",
)
@device_option
@project_options
def evaluate(
    split: str,
    prevalence: float | None,
    device: str | None,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Accuracy, and per class sensitivity, specificity, predictive values and AUROC, with intervals."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes import require_ready

        require_ready(run, {}, overrides, "net")  # before PyTorch is imported
        from edgenas.recipes.evaluate import EvaluateConfig
        from edgenas.recipes.evaluate import run as recipe

        return recipe(EvaluateConfig(run, {}, overrides, split, device if device is not None else "auto", prevalence))

    execute("evaluate", start, run=run, as_json=as_json, verbose=verbose)
