"""`edgenas search`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.completion import complete_classes
from edgenas.cli.options import (
    compact,
    limit_options,
    limit_settings,
    parse_floors,
    parse_tables,
    project_options,
    quick_option,
    quickly,
)


@click.command()
@limit_options
@click.option(
    "--min-sensitivity",
    multiple=True,
    metavar="CLASS=SHARE",
    shell_complete=complete_classes,
    help="Floor of a class's sensitivity, e.g. 8=0.95.",
)
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
    limit: tuple[str, ...],
    latency_ms: tuple[str, ...],
    latency_quantile: str | None,
    confidence: float | None,
    max_params: str | None,
    max_macs: str | None,
    min_params: str | None,
    min_macs: str | None,
    max_memory_mb: float | None,
    min_throughput: float | None,
    table: tuple[str, ...],
    allow_foreign_table: bool,
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

        least = {"min_params": min_params, "min_macs": min_macs, "min_throughput": min_throughput}
        more = least | {"max_memory_mb": max_memory_mb}
        settings = limit_settings(limit, latency_ms, latency_quantile, confidence, max_params, max_macs, **more)
        settings |= {"min_sensitivity": parse_floors(min_sensitivity) or None, "seed": seed}
        settings |= {"maximize": maximize, "minimize": minimize}
        settings |= {"strict_sensitivity": True} if strict_sensitivity else {}
        flags, tables = compact(search=settings), parse_tables(table)
        chosen = quickly(quick, overrides)
        require_ready(run, flags, chosen, "supernet")  # before PyTorch is imported
        from edgenas.recipes.search import SearchConfig
        from edgenas.recipes.search import run as recipe

        return recipe(SearchConfig(run, flags, chosen, tables, allow_foreign_table, continued, workers, ray_address))

    execute("search", start, run=run, as_json=as_json, verbose=verbose, quick=quick)
