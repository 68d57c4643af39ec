"""`edgenas search`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.options import compact, parse_count, parse_floors, project_options


@click.command()
@click.option("--latency-ms", type=click.FloatRange(min=0, min_open=True), help="Limit on the latency.")
@click.option("--max-params", metavar="N", help="Limit on the parameters, e.g. 3e6 or 3M.")
@click.option("--max-macs", metavar="N", help="Limit on the multiply-accumulates, e.g. 500M.")
@click.option("--min-sensitivity", multiple=True, metavar="CLASS=SHARE", help="Floor of a class's sensitivity, e.g. 8=0.95.")
@click.option("--table", metavar="NAME|FILE", help="Latency table; default: the newest that fits the run.")
@click.option("--allow-foreign-table", is_flag=True, help="Take a table of another device, runtime, precision or batch size.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the search.")
@project_options
def search(
    latency_ms: float | None,
    max_params: str | None,
    max_macs: str | None,
    min_sensitivity: tuple[str, ...],
    table: str | None,
    allow_foreign_table: bool,
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

        settings = {
            "latency_ms": latency_ms,
            "max_params": parse_count("--max-params", max_params),
            "max_macs": parse_count("--max-macs", max_macs),
            "min_sensitivity": parse_floors(min_sensitivity) or None,
            "seed": seed,
        }
        return recipe(SearchConfig(run, compact(search=settings), overrides, table, allow_foreign_table))

    execute("search", start, run=run, as_json=as_json, verbose=verbose)
