"""`edgenas tables`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from edgenas.cli.completion import complete_runs, complete_tables
from edgenas.cli.groups import Group
from edgenas.cli.options import output_options

Function = TypeVar("Function", bound=Callable[..., Any])


def _options(function: Function) -> Function:
    run = click.option(
        "--run",
        type=click.Path(path_type=Path),
        default=Path("edgenas-run"),
        show_default=True,
        shell_complete=complete_runs,
        help="Run folder whose tables go by name too.",
    )
    return run(output_options(function))


@click.group(cls=Group)
def tables() -> None:
    """Latency tables: list, show, validate, compare, merge.

    A table is a file, the name of one in the run folder, or of one that comes with edgenas.
    """


@tables.command("list")
@_options
def list_tables(run: Path, as_json: bool, verbose: bool) -> None:
    """The tables of the run folder and those that come with edgenas."""

    def start() -> Iterator[Any]:
        from edgenas.recipes.tables import ListConfig, run_list

        return run_list(ListConfig(run))

    _execute(start, as_json, verbose)


@tables.command()
@click.argument("table", metavar="NAME|FILE", shell_complete=complete_tables)
@click.option("--arch", metavar="NAME|FILE", help="Architectures; default: the smallest, the median and the largest net.")
@_options
def show(table: str, arch: str | None, run: Path, as_json: bool, verbose: bool) -> None:
    """Where the predicted time goes, per stage and kind of component; how the table was measured."""

    def start() -> Iterator[Any]:
        from edgenas.recipes.tables import ShowConfig, run_show

        return run_show(ShowConfig(run, table, arch))

    _execute(start, as_json, verbose)


@tables.command()
@click.argument("table", metavar="NAME|FILE", shell_complete=complete_tables)
@click.option("--measure", type=click.IntRange(2, 1000), metavar="N", help="Time N nets again on this device and compare.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Draws these nets.")
@_options
def validate(table: str, measure: int | None, seed: int, run: Path, as_json: bool, verbose: bool) -> None:
    """Is the file whole, does it cover its space, does it still hold? No longer, or undecided, exits 4."""

    def start() -> Iterator[Any]:
        from edgenas.recipes.table_check import ValidateConfig
        from edgenas.recipes.table_check import run as recipe

        return recipe(ValidateConfig(run, table, measure if measure is not None else 0, seed))

    _execute(start, as_json, verbose)


@tables.command()
@click.argument("first", metavar="NAME|FILE", shell_complete=complete_tables)
@click.argument("second", metavar="NAME|FILE", shell_complete=complete_tables)
@_options
def diff(first: str, second: str, run: Path, as_json: bool, verbose: bool) -> None:
    """What differs in two contexts, and how the costs of the second relate to the first's."""

    def start() -> Iterator[Any]:
        from edgenas.recipes.tables import DiffConfig, run_diff

        return run_diff(DiffConfig(run, first, second))

    _execute(start, as_json, verbose)


@tables.command()
@click.argument("first", metavar="NAME|FILE", shell_complete=complete_tables)
@click.argument("others", metavar="NAME|FILE...", nargs=-1, required=True, shell_complete=complete_tables)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
@click.option("--force", is_flag=True, help="Replace it if it exists.")
@_options
def merge(first: str, others: tuple[str, ...], output: Path, force: bool, run: Path, as_json: bool, verbose: bool) -> None:
    """One table of several that were measured at different times in the same context."""

    def start() -> Iterator[Any]:
        from edgenas.recipes.tables import MergeConfig, run_merge

        return run_merge(MergeConfig(run, (first, *others), output, force))

    _execute(start, as_json, verbose)


def _execute(start: Callable[[], Iterator[Any]], as_json: bool, verbose: bool) -> None:
    from edgenas.cli.runner import execute

    execute("tables", start, run=None, as_json=as_json, verbose=verbose)
