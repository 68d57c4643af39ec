"""`edgenas doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.options import project_options


@click.command()
@project_options
def doctor(
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Try every runtime for real; say why one is off and what fixes it."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes.doctor import DoctorConfig
        from edgenas.recipes.doctor import run as recipe

        return recipe(DoctorConfig(run, {}, overrides))

    execute("doctor", start, run=run, as_json=as_json, verbose=verbose)
