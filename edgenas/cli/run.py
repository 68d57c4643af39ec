"""`edgenas run`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.completion import complete_classes, complete_formats, complete_sources, complete_spaces
from edgenas.cli.options import (
    LimitFlags,
    NearestChoice,
    compact,
    device_option,
    floor_option,
    limit_options,
    listed,
    map_label_option,
    parse_floors,
    parse_renames,
    project_options,
    quick_option,
)


@click.command()
@click.option(
    "--data", metavar="SOURCE", shell_complete=complete_sources, help="Images of a new project, as `edgenas init` takes them."
)
@map_label_option
@click.option("--positive", metavar="CLASS", shell_complete=complete_classes, help="The class that must not be missed.")
@click.option("--space", metavar="NAME", shell_complete=complete_spaces, help="Search space; default: the one that fits best.")
@click.option("--image-px", type=click.IntRange(min=16), help="Side of the image that the net sees.")
@click.option("--skip-bad-images", is_flag=True, default=None, help="Leave out images that cannot be decoded.")
@limit_options
@floor_option
@click.option("--baseline/--no-baseline", default=None, help="Also train the best hand-designed net and a plain CNN, and compare.")
@click.option(
    *("--format", "formats"),
    multiple=True,
    metavar="NAMES",
    shell_complete=complete_formats,
    help="What to write, one or several, e.g. onnx,openvino.  [default: onnx]",
)
@click.option(
    "--until",
    type=NearestChoice(["init", "profile", "plan", "train", "search", "retrain", "evaluate", "export", "report"]),
    default="report",
    show_default=True,
    help="The last stage.",
)
@device_option
@quick_option
@project_options
def run(
    data: str | None,
    map_label: tuple[str, ...],
    positive: str | None,
    space: str | None,
    image_px: int | None,
    skip_bad_images: bool | None,
    limits: LimitFlags,
    min_sensitivity: tuple[str, ...],
    baseline: bool | None,
    formats: tuple[str, ...],
    until: str,
    device: str | None,
    quick: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Everything with one command: init, profile, plan, train, search, retrain, evaluate, export, report.

    Stages that are done are skipped. Killed, it goes on where it was: the same command once more.

    \b
    edgenas run --data folder:parts --positive crack --latency-ms 8
    """
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes import require_runnable

        images: dict[str, Any] = {"source": data, "map_label": parse_renames(map_label) or None, "positive": positive}
        images |= {"image_px": image_px, "skip_bad_images": skip_bad_images}
        search = limits.settings() | {"min_sensitivity": parse_floors(min_sensitivity) or None, "device": device}
        retrain = {"baseline": baseline, "device": device}
        flags = compact(data=images, space={"name": space}, search=search, train={"device": device}, retrain=retrain)
        names = listed(*formats) or ("onnx",)
        require_runnable(run, flags, overrides, names)  # before PyTorch is imported
        from edgenas.recipes.run import RunConfig
        from edgenas.recipes.run import run as recipe

        tables = (limits.tables, limits.allow_foreign_table)
        return recipe(RunConfig(run, flags, overrides, *tables, names, until=until, quick=quick))

    execute("run", start, run=run, as_json=as_json, verbose=verbose, quick=quick)
