"""`edgenas recipes`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from edgenas.cli.completion import complete_recipes
from edgenas.cli.options import output_options


@click.command()
@click.argument("name", required=False, shell_complete=complete_recipes)
@output_options
def recipes(name: str | None, as_json: bool, verbose: bool) -> None:
    """Settings by name for `train --recipe` and `retrain --recipe`: all recipes, or every key of one."""
    from edgenas.cli.runner import execute

    def start() -> Iterator[Any]:
        from edgenas.recipes.recipes import RecipesConfig
        from edgenas.recipes.recipes import run as recipe

        return recipe(RecipesConfig(name))

    execute("recipes", start, run=None, as_json=as_json, verbose=verbose)
