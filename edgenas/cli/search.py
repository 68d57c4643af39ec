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
@click.option("--maximize", multiple=True, metavar="WHAT", help="accuracy, sensitivity:CLASS or a cost; repeatable.")
@click.option("--minimize", multiple=True, metavar="WHAT", help="A cost: latency_ms, params, macs, ...; repeatable.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the search.")
@project_options
def search(
    limit: tuple[str, ...],
    latency_ms: tuple[str, ...],
    latency_quantile: str | None,
    confidence: float | None,
    max_params: str | None,
    max_macs: str | None,
    table: tuple[str, ...],
    allow_foreign_table: bool,
    min_sensitivity: tuple[str, ...],
    maximize: tuple[str, ...],
    minimize: tuple[str, ...],
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

        settings = limit_settings(limit, latency_ms, latency_quantile, confidence, max_params, max_macs)
        settings |= {"min_sensitivity": parse_floors(min_sensitivity) or None, "seed": seed}
        settings |= {"maximize": maximize, "minimize": minimize}
        return recipe(SearchConfig(run, compact(search=settings), overrides, parse_tables(table), allow_foreign_table))

    execute("search", start, run=run, as_json=as_json, verbose=verbose)
