"""`edgenas spaces`: what can be searched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from edgenas.costs import CostModels, cost_models
from edgenas.records import (
    ChoiceFacts,
    ConditionFacts,
    NamedFacts,
    ReportedFacts,
    SizeFacts,
    SpaceDescription,
    SpacesResult,
    TaskFacts,
)
from edgenas.runs import Note, Outcome, Record
from edgenas.spaces import SPACES, Choice, SearchSpace, get_space
from edgenas.spaces.named import ENDS, named_archs
from edgenas.spaces.reported import NamedArch


@dataclass(frozen=True, slots=True)
class SpacesConfig:
    """What `edgenas spaces` was asked for: one space, or all of them."""

    name: str | None = None


def run(config: SpacesConfig) -> Iterator[Record]:
    """Describe the spaces; one of them with its choices.

    Raises:
        UsageError: if there is none of that name.
    """
    spaces = list(SPACES.usable().values()) if config.name is None else [get_space(config.name)]
    for problem in SPACES.problems().values() if config.name is None else ():
        yield Note(str(problem), is_warning=True)
    described = tuple(_describe(space, with_choices=config.name is not None) for space in spaces)
    yield Outcome(SpacesResult(spaces=described))


def _describe(space: SearchSpace, *, with_choices: bool) -> SpaceDescription:
    models = cost_models(space, space.default_task)
    ends = {name: _end(space, models, largest=largest) for name, largest in ENDS.items()}
    return SpaceDescription(
        name=space.name,
        family=space.family,
        num_subnets=space.cardinality,
        num_genes=space.num_genes,
        task=TaskFacts(**asdict(space.default_task)),
        **ends,
        purpose=space.purpose or None,
        needs_images=space.needs_images or None,
        choices=tuple(map(_choice, space.choices)) if with_choices else None,
        named=tuple(_named(name, named) for name, named in named_archs(space).items()) if with_choices else None,
    )


def _end(space: SearchSpace, models: CostModels, *, largest: bool) -> SizeFacts:
    """The least or the most of every cost on its own: no single net has them all where choices trade off."""
    rows_AG, end = space.corners(largest=largest), np.max if largest else np.min
    params, macs = (round(float(end(model(rows_AG)))) for model in (models.params, models.macs))
    return SizeFacts(params=params, macs=macs)


def _named(name: str, named: NamedArch) -> NamedFacts:
    reported = None if named.reported is None else ReportedFacts(**asdict(named.reported))
    return NamedFacts(name=name, arch=named.arch, reported=reported)


def _choice(choice: Choice) -> ChoiceFacts:
    when = choice.active_when
    return ChoiceFacts(
        name=choice.name,
        options=tuple(choice.readable(option) for option in choice.options),
        active_when=None if when is None else ConditionFacts(choice=when.choice, values=tuple(when.values)),
    )
