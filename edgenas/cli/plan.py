"""`edgenas plan`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.options import (
    compact,
    device_option,
    limit_options,
    limit_settings,
    parse_tables,
    project_options,
    quick_option,
    quickly,
)


@click.command()
@click.option("--spaces", is_flag=True, help="Look at every space with the limit on this device, as `init` does; no table needed.")
@limit_options
@device_option
@quick_option
@project_options
def plan(
    spaces: bool,
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
    device: str | None,
    quick: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """What limits leave and how long training would take, before any training."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes import require_ready

        least = {"min_params": min_params, "min_macs": min_macs, "min_throughput": min_throughput}
        more = least | {"max_memory_mb": max_memory_mb}
        settings = limit_settings(limit, latency_ms, latency_quantile, confidence, max_params, max_macs, **more)
        flags = compact(search=settings, train={"device": device})
        chosen = quickly(quick, overrides)
        require_ready(run, flags, chosen)  # before PyTorch is imported
        from edgenas.recipes.plan import PlanConfig
        from edgenas.recipes.plan import run as recipe

        return recipe(PlanConfig(run, flags, chosen, parse_tables(table), allow_foreign_table, spaces))

    execute("plan", start, run=run, as_json=as_json, verbose=verbose, quick=quick)
