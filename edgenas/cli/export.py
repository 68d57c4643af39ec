"""`edgenas export`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgenas.cli.completion import complete_formats, complete_precisions
from edgenas.cli.devices import AnyDevice
from edgenas.cli.options import KeyPath, compact, listed, project_options

if TYPE_CHECKING:
    from edgenas.remote import Address


class _WithFormats(click.Command):
    """A command whose help ends with the formats that are installed."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A line a format."""
        from edgenas.offering import formats

        with formatter.section("Formats"):
            formatter.write_dl(list(formats().items()))


@click.command(cls=_WithFormats)
@click.option(
    *("--format", "format_names"),
    metavar="NAMES",
    shell_complete=complete_formats,
    help="What to write, one or several of those below, e.g. onnx,openvino.  [default: onnx]",
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
@click.option(
    "--gpu",
    metavar="LIST",
    help="Architectures to build engines for ahead of time: sm86,sm120; sm86+sm89 is one engine for both, portable one for all.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Artefact folder; default: RUN/export/FORMAT.")
@click.option("--with", "extras", multiple=True, metavar="NAMES", help="Write as well: triton (a model repository), docker.")
@click.option("--sign", metavar="KEY", type=KeyPath(path_type=Path), help="Sign the manifest with an Ed25519 private key.")
@click.option("--bench", is_flag=True, help="Time all artefacts of the run in turn; without --format and --precision just that.")
@click.option("--bench-net", is_flag=True, help="Time the net itself in PyTorch beside them.")
@click.option(
    "--rebuild",
    type=click.IntRange(min=2),
    metavar="N",
    help="Build each engine N times, and say how far speed and answers differ.",
)
@click.option("--device", type=AnyDevice(here=False), help="With --bench: time them on a device over the network.")
@click.option("--require-run", is_flag=True, help="Fail when a check could not run here.")
@click.option("--no-repair", is_flag=True, help="In fp16 and bf16, keep nothing in fp32 that makes a gate fail.")
@project_options
def export(
    format_names: str | None,
    net: str | None,
    precision: str | None,
    gpu: str | None,
    output: Path | None,
    extras: tuple[str, ...],
    sign: Path | None,
    bench: bool,
    bench_net: bool,
    rebuild: int | None,
    device: Address | None,
    require_run: bool,
    no_repair: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Write the winner for deployment and prove that it still answers the same."""
    from edgenas.cli.runner import execute

    if device is not None and (bench_net or not bench):
        what = "the net itself is timed here alone: leave --bench-net or --device out"
        raise click.UsageError(what if bench else "--device goes with --bench")

    def start() -> Iterator[Any]:
        from edgenas.recipes import require_ready

        formats, precisions = listed(format_names), listed(precision)
        targets = list(listed(gpu)) if gpu is not None else None
        flags = compact(export={"net": net, "targets": targets, "repair": False if no_repair else None})
        # before PyTorch is imported
        require_ready(run, flags, overrides, "net", formats=formats or ("onnx",), precisions=precisions)
        from edgenas.recipes.export import ExportConfig
        from edgenas.recipes.export import run as recipe

        written = (formats, precisions, output, require_run, listed(*extras), sign)
        return recipe(ExportConfig(run, flags, overrides, *written, bench, bench_net, rebuild=rebuild or 1, device=device))

    execute("export", start, run=run, as_json=as_json, verbose=verbose)
