"""`edgenas search`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.options import compact, limit_options, limit_settings, parse_floors, parse_tables, project_options


@click.command()
@limit_options
@click.option("--min-sensitivity", multiple=True, metavar="CLASS=SHARE", help="Floor of a class's sensitivity, e.g. 8=0.95.")
@click.option("--continue", "continued", is_flag=True, help="Start from what earlier searches evaluated with these weights.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the search.")
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
    continued: bool,
    seed: int | None,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Find the most accurate subnets that meet hard limits."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes.search import SearchConfig
        from edgenas.recipes.search import run as recipe

        least = {"min_params": min_params, "min_macs": min_macs, "min_throughput": min_throughput}
        more = least | {"max_memory_mb": max_memory_mb}
        settings = limit_settings(limit, latency_ms, latency_quantile, confidence, max_params, max_macs, **more)
        settings |= {"min_sensitivity": parse_floors(min_sensitivity) or None, "seed": seed}
        tables = parse_tables(table)
        return recipe(SearchConfig(run, compact(search=settings), overrides, tables, allow_foreign_table, continued))

    execute("search", start, run=run, as_json=as_json, verbose=verbose)
