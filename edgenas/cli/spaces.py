"""`edgenas spaces`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from edgenas.cli.completion import complete_spaces
from edgenas.cli.options import output_options


@click.command()
@click.argument("name", required=False, shell_complete=complete_spaces)
@output_options
def spaces(name: str | None, as_json: bool, verbose: bool) -> None:
    """What can be searched: all spaces, or the choices and named architectures of one."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes.spaces import SpacesConfig
        from edgenas.recipes.spaces import run as recipe

        return recipe(SpacesConfig(name))

    execute("spaces", start, run=None, as_json=as_json, verbose=verbose)
