"""`edgenas plan`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.options import LimitFlags, compact, device_option, limit_options, project_options, quick_option, quickly


@click.command()
@click.option("--spaces", is_flag=True, help="Look at every space with the limit on this device, as `init` does; no table needed.")
@limit_options
@device_option
@quick_option
@project_options
def plan(
    spaces: bool,
    limits: LimitFlags,
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

        flags = compact(search=limits.settings(), train={"device": device})
        chosen = quickly(quick, overrides)
        require_ready(run, flags, chosen)  # before PyTorch is imported
        from edgenas.recipes.plan import PlanConfig
        from edgenas.recipes.plan import run as recipe

        return recipe(PlanConfig(run, flags, chosen, limits.tables, limits.allow_foreign_table, spaces))

    execute("plan", start, run=run, as_json=as_json, verbose=verbose, quick=quick)
