"""`edgenas compare`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.options import NearestChoice, compact, device_option, project_options, quick_option, quickly


@click.command()
@click.option(
    *("--with", "rivals"),
    multiple=True,
    metavar="RIVALS",
    help="auto, hand, cnn, timm:NAME[@SIDE[/STRIDE]][=FILE], a run folder, onnx:FILE; several apart by commas.",
)
@click.option("--equal", type=NearestChoice(["epochs", "time"]), help="What rivals get as much of.  [default: epochs]")
@click.option("--budget", type=click.FloatRange(min=0, min_open=True), metavar="MIN", help="Minutes after which none is trained.")
@click.option("--workers", type=click.IntRange(1, 4096), help="Processes that train rivals, by Ray.  [default: this one alone]")
@click.option("--ray-address", metavar="ADDRESS", help="Ray cluster that trains rivals, e.g. HOST:6379 or auto.")
@device_option
@click.option("--force", is_flag=True, help="Train again what is there already.")
@quick_option
@project_options
def compare(
    rivals: tuple[str, ...],
    equal: str | None,
    budget: float | None,
    workers: int | None,
    ray_address: str | None,
    device: str | None,
    force: bool,
    quick: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Compare the searched net with what you would take instead: timm's nets, hand-made ones, a plain CNN, other runs."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes import require_ready

        settings = {"rivals": rivals, "equal": equal, "budget_min": budget}
        flags = compact(compare=settings, retrain={"device": device})
        chosen = quickly(quick, overrides)
        require_ready(run, flags, chosen)  # before PyTorch is imported
        from edgenas.recipes.compare import CompareConfig
        from edgenas.recipes.compare import run as recipe

        return recipe(CompareConfig(run, flags, chosen, force, workers, ray_address))

    execute("compare", start, run=run, as_json=as_json, verbose=verbose, quick=quick)
