"""`edgenas export`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.completion import complete_formats, complete_precisions
from edgenas.cli.options import compact, listed, project_options


@click.command()
@click.option(
    *("--format", "format_names"),
    metavar="NAMES",
    shell_complete=complete_formats,
    default="onnx",
    show_default=True,
    help="What to write, e.g. onnx or onnx,openvino; `edgenas doctor` lists them.",
)
@click.option(
    "--net",
    metavar="NAME",
    help="searched, baseline (the hand-made one), auto (the one that retrain chose), or a rival in compare.  [default: auto]",
)
@click.option(
    "--precision",
    metavar="NAMES",
    shell_complete=complete_precisions,
    help="fp32, fp16, bf16, int8, several (fp32,int8), or auto: all that the format writes.  [default: the format's own]",
)
@click.option("--gpu", metavar="LIST", help="Architectures to build engines for ahead of time, e.g. sm86,sm89,sm120.")
@click.option("--output", type=click.Path(path_type=Path), help="Artefact folder; default: RUN/export/FORMAT.")
@click.option("--with", "extras", multiple=True, metavar="NAMES", help="Write as well: triton (a model repository), docker.")
@click.option("--require-run", is_flag=True, help="Fail when a check could not run here.")
@click.option("--no-repair", is_flag=True, help="In fp16 and bf16, keep nothing in fp32 that makes a gate fail.")
@project_options
def export(
    format_names: str,
    net: str | None,
    precision: str | None,
    gpu: str | None,
    output: Path | None,
    extras: tuple[str, ...],
    require_run: bool,
    no_repair: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Write the winner for deployment and prove that it still answers the same."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes import require_ready

        formats, precisions = listed(format_names), listed(precision)
        targets = list(listed(gpu)) if gpu is not None else None
        flags = compact(export={"net": net, "targets": targets, "repair": False if no_repair else None})
        # before PyTorch is imported
        require_ready(run, flags, overrides, "net", formats=formats, precisions=precisions)
        from edgenas.recipes.export import ExportConfig
        from edgenas.recipes.export import run as recipe

        return recipe(ExportConfig(run, flags, overrides, formats, precisions, output, require_run, listed(*extras)))

    execute("export", start, run=run, as_json=as_json, verbose=verbose)
