"""`edgenas export`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.completion import complete_formats
from edgenas.cli.options import OneOf, compact, project_options


@click.command()
@click.option(
    *("--format", "format_name"),
    metavar="NAME",
    shell_complete=complete_formats,
    default="onnx",
    show_default=True,
    help="What to write: onnx, trt, or what a package brings.",
)
@click.option(
    "--net",
    metavar="NAME",
    help="searched, baseline (the hand-made one), auto (the one that retrain chose), or a rival in compare.  [default: auto]",
)
@click.option(
    "--precision",
    type=OneOf(["fp32", "fp16", "bf16", "int8"]),
    help="Default: the format's own, fp32 for onnx, fp16 for trt.",
)
@click.option("--gpu", metavar="LIST", help="Architectures to build engines for ahead of time, e.g. sm86,sm89,sm120.")
@click.option("--output", type=click.Path(path_type=Path), help="Artefact folder; default: RUN/export/FORMAT, with a rival's name.")
@click.option("--with", "extras", multiple=True, metavar="NAMES", help="Write as well: triton (a model repository), docker.")
@click.option("--require-run", is_flag=True, help="Fail when a check could not run here.")
@project_options
def export(
    format_name: str,
    net: str | None,
    precision: str | None,
    gpu: str | None,
    output: Path | None,
    extras: tuple[str, ...],
    require_run: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Write the winner for deployment and prove that it still answers the same."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes import require_ready

        targets = [target.strip() for target in gpu.split(",") if target.strip()] if gpu is not None else None
        beside = tuple(name.strip() for text in extras for name in text.split(",") if name.strip())
        flags = compact(export={"net": net, "precision": precision, "targets": targets})
        require_ready(run, flags, overrides, "net", format_name=format_name)  # before PyTorch is imported
        from edgenas.recipes.export import ExportConfig
        from edgenas.recipes.export import run as recipe

        return recipe(ExportConfig(run, flags, overrides, format_name, output, require_run, beside))

    execute("export", start, run=run, as_json=as_json, verbose=verbose)
