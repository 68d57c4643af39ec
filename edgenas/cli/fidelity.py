"""`edgenas fidelity`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.options import compact, device_option, project_options, quick_option, quickly


@click.command()
@click.option("--num", type=click.IntRange(min=4), default=12, show_default=True, help="Nets that are trained alone.")
@click.option(
    "--band",
    type=click.FloatRange(0, 50, min_open=True),
    default=5.0,
    show_default=True,
    help="Half of the nets differ in cost by at most so many percent from one middle.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of every net.  [default: search.proof_epochs]")
@click.option("--workers", type=click.IntRange(1, 4096), help="Processes that train nets, by Ray.  [default: this one alone]")
@click.option("--ray-address", metavar="ADDRESS", help="Ray cluster that trains nets, e.g. HOST:6379 or auto.")
@device_option
@quick_option
@project_options
def fidelity(
    num: int,
    band: float,
    epochs: int | None,
    workers: int | None,
    ray_address: str | None,
    device: str | None,
    quick: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """How well the supernet ranks: nets trained alone against inherited accuracy, DSS, parameters and MACs."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes import require_ready

        flags = compact(search={"device": device})
        chosen = quickly(quick, overrides)
        require_ready(run, flags, chosen, "supernet")  # before PyTorch is imported
        from edgenas.recipes.fidelity import FidelityConfig
        from edgenas.recipes.fidelity import run as recipe

        return recipe(FidelityConfig(run, flags, chosen, num, band / 100, epochs, workers, ray_address))

    execute("fidelity", start, run=run, as_json=as_json, verbose=verbose, quick=quick)
