"""`edgenas search`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.options import (
    LimitFlags,
    compact,
    floor_option,
    limit_options,
    parse_floors,
    project_options,
    quick_option,
    quickly,
)


@click.command()
@limit_options
@floor_option
@click.option("--maximize", multiple=True, metavar="WHAT", help="accuracy, sensitivity:CLASS or a cost; repeatable.")
@click.option("--minimize", multiple=True, metavar="WHAT", help="A cost: latency_ms, params, macs, ...; repeatable.")
@click.option("--continue", "continued", is_flag=True, help="Start from what earlier searches evaluated with these weights.")
@click.option("--strict-sensitivity", is_flag=True, help="Exit 3 where no net reaches the floors, instead of taking the nearest.")
@click.option("--workers", type=click.IntRange(1, 4096), help="Processes that evaluate nets, by Ray.  [default: this one alone]")
@click.option("--ray-address", metavar="ADDRESS", help="Ray cluster that evaluates nets, e.g. HOST:6379 or auto.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the search.")
@quick_option
@project_options
def search(
    limits: LimitFlags,
    min_sensitivity: tuple[str, ...],
    maximize: tuple[str, ...],
    minimize: tuple[str, ...],
    continued: bool,
    strict_sensitivity: bool,
    workers: int | None,
    ray_address: str | None,
    seed: int | None,
    quick: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Find the most accurate subnets that meet hard limits."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes import require_ready

        settings = limits.settings() | {"min_sensitivity": parse_floors(min_sensitivity) or None, "seed": seed}
        settings |= {"maximize": maximize, "minimize": minimize}
        settings |= {"strict_sensitivity": True} if strict_sensitivity else {}
        flags, tables, chosen = compact(search=settings), limits.tables, quickly(quick, overrides)
        require_ready(run, flags, chosen, "supernet")  # before PyTorch is imported
        from edgenas.recipes.search import SearchConfig
        from edgenas.recipes.search import run as recipe

        return recipe(SearchConfig(run, flags, chosen, tables, limits.allow_foreign_table, continued, workers, ray_address))

    execute("search", start, run=run, as_json=as_json, verbose=verbose, quick=quick)
