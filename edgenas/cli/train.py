"""`edgenas train`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.completion import complete_recipes
from edgenas.cli.options import NearestChoice, compact, device_option, project_options, quick_option, quickly


@click.command()
@click.option(
    "--recipe",
    metavar="NAME",
    shell_complete=complete_recipes,
    help="Settings of one of `edgenas recipes`; those of edgenas.toml count more.",
)
@click.option("--only", type=NearestChoice(["teacher", "supernet"]), help="Train just this one.")
@click.option(
    "--teacher",
    multiple=True,
    metavar="NAME",
    help="auto (tries a few), cnn, self, timm:NAME, onnx:FILE or run:FOLDER; several are averaged.  [default: auto]",
)
@click.option(
    "--teacher-checkpoint",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Trained weights of the teacher (.safetensors, .pth); NAME=FILE takes part in auto's choice.",
)
@click.option("--init", metavar="SOURCE", help="Weights that the supernet starts from: timm:NAME, a file or another run's folder.")
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of the supernet.")
@click.option("--latency-ms", type=click.FloatRange(min=0, min_open=True), help="Train mostly nets near this limit; needs a table.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MIN",
    help="Minutes for the supernet: it trains on while its accuracy rises, and ends in time.",
)
@click.option("--tensorboard", is_flag=True, default=None, help="Write the curves as TensorBoard's events, too.")
@device_option
@click.option("--force", is_flag=True, help="Train again what is there already.")
@quick_option
@project_options
def train(
    recipe: str | None,
    only: str | None,
    teacher: tuple[str, ...],
    teacher_checkpoint: Path | None,
    init: str | None,
    epochs: int | None,
    latency_ms: float | None,
    budget: float | None,
    tensorboard: bool | None,
    device: str | None,
    force: bool,
    quick: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Train the teacher, then the supernet; what is there already is kept."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes import require_ready

        name = teacher[0] if len(teacher) == 1 else teacher
        checkpoint = str(teacher_checkpoint) if teacher_checkpoint is not None else None
        schedule = "wsd" if budget is not None else None  # a budget's end is not known beforehand
        settings = {"recipe": recipe, "init": init, "epochs": epochs, "latency_ms": latency_ms, "budget_min": budget}
        settings |= {"schedule": schedule, "tensorboard": tensorboard, "device": device}
        flags, chosen = compact(teacher={"name": name, "checkpoint": checkpoint}, train=settings), quickly(quick, overrides)
        require_ready(run, flags, chosen)  # before PyTorch is imported
        from edgenas.recipes.train import TrainConfig
        from edgenas.recipes.train import run as command

        return command(TrainConfig(run, flags, chosen, only, force))

    execute("train", start, run=run, as_json=as_json, verbose=verbose, quick=quick)
