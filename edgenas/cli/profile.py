"""`edgenas profile`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgenas.cli.completion import complete_runtimes, complete_tables
from edgenas.cli.devices import AnyDevice
from edgenas.cli.options import NearestChoice, compact, project_options, quick_option, quickly

if TYPE_CHECKING:
    from edgenas.remote import Address


@click.command()
@click.option("--device", type=AnyDevice(), help="Which device to measure: of this machine, or another one over the network.")
@click.option(
    "--runtime", metavar="NAME", shell_complete=complete_runtimes, help="Default: ONNX Runtime on a CPU; the best present on a GPU."
)
@click.option("--precision", type=NearestChoice(["fp32", "fp16", "bf16", "int8"]), help="Of the computation.")
@click.option("--batch-size", type=click.IntRange(1, 4096), help="Images a call.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads on a CPU; default: all usable cores.")
@click.option("--budget", type=click.FloatRange(min=0, min_open=True), metavar="MIN", help="Minutes for tracing and timing.")
@click.option("--fps", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Time as a camera calls: N times a second.")
@click.option("--soak", type=click.FloatRange(min=0), metavar="MIN", help="Minutes of work before timing, until it has settled.")
@click.option(
    "--pack", type=click.Path(dir_okay=False, path_type=Path), metavar="KIT.zip", help="Write a kit for a device without PyTorch."
)
@click.option(
    "--import",
    "results",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="RESULTS.json",
    help="Make the table of what a kit measured.",
)
@click.option("--again", is_flag=True, help="Add a session to a table: what hours and days differ by becomes part of its bounds.")
@click.option(
    "--table", metavar="NAME|FILE", shell_complete=complete_tables, help="The table that gets the session; default: the run's."
)
@click.option("--keep", is_flag=True, help="With --device ssh://…: leave the kit's folder there, with its engines.")
@click.option(
    "--workers",
    type=click.IntRange(1, 4096),
    help="Processes that trace, by Ray; timing is by this one.  [default: this one alone]",
)
@click.option("--ray-address", metavar="ADDRESS", help="Ray cluster that traces, e.g. HOST:6379 or auto.")
@quick_option
@project_options
def profile(
    device: str | Address | None,
    runtime: str | None,
    precision: str | None,
    batch_size: int | None,
    threads: int | None,
    budget: float | None,
    fps: float | None,
    soak: float | None,
    pack: Path | None,
    results: Path | None,
    again: bool,
    table: str | None,
    keep: bool,
    workers: int | None,
    ray_address: str | None,
    quick: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Measure this device: blocks inside whole nets, with the runtime that will ship.

    A device without PyTorch is measured with a kit: --device ssh://USER@HOST does it all; or --pack here, `python measure.py`
    there, --import here.

    Bounds of one session do not hold on a slower day: --again, at another hour or on another day, takes up to 5 minutes.
    """
    from edgenas.cli.runner import execute

    address = None if isinstance(device, str) else device
    _require_sense(pack, results, address, again=again, has_table=table is not None, keep=keep)
    _require_tracing(pack, results, address, {"--workers": workers, "--ray-address": ray_address})

    def start() -> Iterator[Any]:
        from edgenas.recipes.profile import ProfileConfig
        from edgenas.recipes.profile import run as recipe

        here = device if address is None else None
        session = {"device": here, "runtime": runtime, "precision": precision, "batch_size": batch_size, "threads": threads}
        flags = compact(profile=session | {"budget_min": budget, "fps": fps, "soak_min": soak})
        chosen = quickly(quick, overrides)
        return recipe(ProfileConfig(run, flags, chosen, pack, results, again, table, address, keep, workers, ray_address))

    execute("profile", start, run=run, as_json=as_json, verbose=verbose, quick=quick)


def _require_sense(
    pack: Path | None, results: Path | None, address: Address | None, *, again: bool, has_table: bool, keep: bool
) -> None:
    """Refuse flags that contradict each other, or that say nothing without another one.

    Raises:
        click.UsageError: naming the flags.
    """
    if pack is not None and results is not None:
        raise click.UsageError("--pack and --import exclude each other")
    if again and pack is not None:
        raise click.UsageError("--pack and --again exclude each other")
    if has_table and not again:
        raise click.UsageError("--table goes with --again")
    if address is not None and (pack is not None or results is not None):
        raise click.UsageError("--device ssh://… packs and imports by itself; leave --pack and --import out")
    if keep and address is None:
        raise click.UsageError("--keep goes with --device ssh://…")


def _require_tracing(pack: Path | None, results: Path | None, address: Address | None, workers: Mapping[str, object]) -> None:
    """Refuse workers where this device is not measured.

    Raises:
        click.UsageError: naming the flags.
    """
    others = {"--pack": pack, "--import": results, "--device ssh://…": address}
    for flag in (flag for flag, value in workers.items() if value is not None):
        for other in (other for other, value in others.items() if value is not None):
            raise click.UsageError(f"{flag} and {other} exclude each other: workers trace what is timed on this machine")
