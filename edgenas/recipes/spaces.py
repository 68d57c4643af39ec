"""`edgenas spaces`: what can be searched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgenas.costs import cost_models
from edgenas.runs import Outcome, Record
from edgenas.spaces import SPACES, Choice, SearchSpace, get_space
from edgenas.spaces.named import ENDS, named_archs


@dataclass(frozen=True, slots=True)
class SpacesConfig:
    """What `edgenas spaces` was asked for: one space, or all of them."""

    name: str | None = None


def run(config: SpacesConfig) -> Iterator[Record]:
    """Describe the spaces; one of them with its choices.

    Raises:
        UsageError: if there is none of that name.
    """
    spaces = list(SPACES.values()) if config.name is None else [get_space(config.name)]
    described = [_describe(space, with_choices=config.name is not None) for space in spaces]
    yield Outcome({"spaces": described})


def _describe(space: SearchSpace, *, with_choices: bool) -> dict[str, Any]:
    models = cost_models(space, space.default_task)
    result: dict[str, Any] = {
        "name": space.name,
        "family": space.family,
        "num_subnets": space.cardinality,
        "num_genes": space.num_genes,
        "task": asdict(space.default_task),
    }
    for name, largest in ENDS.items():  # of every cost on its own: no single net has them all where choices trade off
        rows_AG, end = space.corners(largest=largest), np.max if largest else np.min
        result[name] = {cost: round(float(end(models[cost](rows_AG)))) for cost in ("params", "macs")}
    if with_choices:
        result["choices"] = [_choice(choice) for choice in space.choices]
        result["named"] = [
            {"name": name, "arch": dict(named.arch), "reported": None if named.reported is None else asdict(named.reported)}
            for name, named in named_archs(space).items()
        ]
    return result


def _choice(choice: Choice) -> dict[str, Any]:
    when = choice.active_when
    return {
        "name": choice.name,
        "options": [choice.readable(option) for option in choice.options],
        "active_when": None if when is None else {"choice": when.choice, "values": list(when.values)},
    }
