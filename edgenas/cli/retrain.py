"""`edgenas retrain`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.completion import complete_recipes
from edgenas.cli.options import compact, device_option, project_options, quick_option, quickly


@click.command()
@click.option("--arch", metavar="FILE|NAME", help="JSON file of an architecture or a named one; default: the search's winner.")
@click.option("--init", metavar="SOURCE", help="Weights to start from as well: timm:NAME, a file or another run's folder.")
@click.option(
    "--recipe",
    metavar="NAME",
    shell_complete=complete_recipes,
    help="Settings of one of `edgenas recipes`; those of edgenas.toml count more.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of the winner with inherited or given weights.")
@click.option(
    "--baseline/--no-baseline", default=None, help="Compare with the best hand-designed net within the limits and with a plain CNN."
)
@device_option
@click.option("--force", is_flag=True, help="Train again what is there already.")
@quick_option
@project_options
def retrain(
    arch: str | None,
    init: str | None,
    recipe: str | None,
    epochs: int | None,
    baseline: bool | None,
    device: str | None,
    force: bool,
    quick: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Train the winner on its own and report it on the test split."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes import require_ready

        flags = compact(train={"recipe": recipe}, retrain={"init": init, "epochs": epochs, "baseline": baseline, "device": device})
        chosen = quickly(quick, overrides)
        require_ready(run, flags, chosen, "winner" if arch is None else None)  # before PyTorch is imported
        from edgenas.recipes.retrain import RetrainConfig
        from edgenas.recipes.retrain import run as command

        return command(RetrainConfig(run, flags, chosen, arch, force))

    execute("retrain", start, run=run, as_json=as_json, verbose=verbose, quick=quick)
