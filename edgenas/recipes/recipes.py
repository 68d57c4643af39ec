"""`edgenas recipes`: settings by name, of published systems and of our own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from edgenas.project.named_recipes import RECIPES, NamedRecipe, find_recipe
from edgenas.project.setting_help import meaning, tables
from edgenas.records import ExplainedSetting, RecipeRow, RecipesResult
from edgenas.runs import Outcome, Record

TRAINING = ("teacher", "train", "retrain")  # tables of which the default is shown whole


@dataclass(frozen=True, slots=True)
class RecipesConfig:
    """What `edgenas recipes` was asked for: one recipe, or all of them."""

    name: str | None = None


def run(config: RecipesConfig) -> Iterator[Record]:
    """Describe the recipes; one of them with every key.

    Raises:
        UsageError: if there is none of that name.
    """
    named = list(RECIPES.values()) if config.name is None else [find_recipe(config.name)]
    yield Outcome(RecipesResult(rows=tuple(_row(recipe, explained=config.name is not None) for recipe in named)))


def _row(recipe: NamedRecipe, *, explained: bool) -> RecipeRow:
    return RecipeRow(
        name=recipe.name,
        title=recipe.title,
        trains=recipe.trains,
        source=recipe.source,
        suits=recipe.suits,
        settings=recipe.settings,
        departures=recipe.departures,
        explained=tuple(_explained(recipe)) if explained else None,
    )


def _explained(recipe: NamedRecipe) -> Iterator[ExplainedSetting]:
    """Every key that the recipe sets; of the default, which sets none, every key of the tables that train."""
    for table, cls in tables().items():
        own = recipe.settings.get(table, {})
        for each in dataclasses.fields(cls):
            default = (
                each.default_factory() if each.default is dataclasses.MISSING and callable(each.default_factory) else each.default
            )
            if each.name not in own and (recipe.settings or table not in TRAINING):
                continue
            yield ExplainedSetting(
                key=f"{table}.{each.name}",
                value=own.get(each.name, default),
                default=None if default is dataclasses.MISSING else default,
                why=recipe.why.get(table, {}).get(each.name, ""),
                meaning=meaning(table, each.name),
            )
