"""`edgenas settings`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.completion import complete_setting_names
from edgenas.cli.options import project_options, quick_option, quickly


@click.command()
@click.argument("name", metavar="[KEY|TABLE]", required=False, shell_complete=complete_setting_names)
@click.option("--schema", is_flag=True, help="Write a JSON schema that editors complete and check `edgenas.toml` by.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to; default: edgenas.schema.json in the run folder.",
)
@quick_option
@project_options
def settings(
    name: str | None,
    schema: bool,
    output: Path | None,
    quick: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """All settings: what they mean, what they may be, what they are here and why.

    `edgenas settings train` shows one table, `edgenas settings train.epochs` one setting in full.
    """
    from edgenas.cli.runner import execute

    if output is not None and not schema:
        raise click.UsageError("--output goes with --schema")

    def start() -> Iterator[Any]:
        from edgenas.recipes.settings import SettingsConfig
        from edgenas.recipes.settings import run as recipe

        return recipe(SettingsConfig(run, quickly(quick, overrides), name, schema, output))

    execute("settings", start, run=run, as_json=as_json, verbose=verbose)
