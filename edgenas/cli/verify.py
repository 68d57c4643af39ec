"""`edgenas verify`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgenas.cli.options import KeyPath, map_label_option, parse_renames, project_options


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--data", metavar="SOURCE", help="Repeat parity on this run's test split of SOURCE.")
@map_label_option
@click.option("--public-key", metavar="FILE", type=KeyPath(path_type=Path), help="Check that the manifest is signed with its key.")
@click.option("--junit", metavar="FILE", type=click.Path(path_type=Path), help="Write the checks as JUnit XML, failed or not.")
@click.option("--require-run", is_flag=True, help="Fail when a check could not run here.")
@project_options
def verify(
    folder: Path,
    data: str | None,
    map_label: tuple[str, ...],
    public_key: Path | None,
    junit: Path | None,
    require_run: bool,
    run: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Check an artefact folder: hashes, precision, golden outputs; with --data parity too."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes.verify import VerifyConfig
        from edgenas.recipes.verify import run as recipe

        names = parse_renames(map_label)
        return recipe(VerifyConfig(run, {}, overrides, folder, data, require_run, names, public_key, junit))

    execute("verify", start, run=run, as_json=as_json, verbose=verbose)
