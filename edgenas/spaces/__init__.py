"""Search spaces by name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgenas.errors import UsageError
from edgenas.fields import require_argument
from edgenas.registries import Registry, choices
from edgenas.spaces.autoformer import AUTOFORMER_SPACES
from edgenas.spaces.base import Choice, Condition, Genes, SearchSpace, Task
from edgenas.spaces.pit import PIT_SPACES
from edgenas.spaces.pvt import PVT_COVIDX, PVT_NANO
from edgenas.spaces.pvt_elastic import PVT_ELASTIC_SPACES
from edgenas.spaces.pvt_mobile import PVT_MOBILE_SPACES
from edgenas.spaces.rows import unique_rows
from edgenas.spaces.vitas import VITAS_SPACES

_NEXT_PIN = re.compile(r",(?=[^,=]+=)")  # an option may hold commas itself

_OWN = (PVT_NANO, PVT_COVIDX, *PVT_ELASTIC_SPACES, *PVT_MOBILE_SPACES, *AUTOFORMER_SPACES, *VITAS_SPACES, *PIT_SPACES)
SPACES: Registry[SearchSpace] = Registry(
    "search space",
    "edgenas.spaces",
    {space.name: space for space in _OWN},
    accepts=lambda thing: isinstance(thing, SearchSpace),
    expected="a SearchSpace",
)


def get_space(name: str) -> SearchSpace:
    """The space called ``name``, or the part of it in which some choices have one value: ``NAME[CHOICE=VALUE,...]``.

    Raises:
        UsageError: naming the known ones, or the choices or values there are.
        PluginError: naming the package that brings it, if it cannot be used.
        ValueError: if ``name`` is no string.
    """
    require_argument("name", name, str)
    base, bracket, pins = name.partition("[")
    if base not in SPACES or (bracket and not pins.endswith("]")):
        raise UsageError(f"there is no search space {name!r}", hint=choices(base, SPACES))
    return pinned(SPACES[base], _NEXT_PIN.split(pins[:-1])) if bracket else SPACES[base]


def pinned(space: SearchSpace, pins: Sequence[str]) -> SearchSpace:
    """The part of a space in which choices have one value.

    Args:
        space: the whole.
        pins: each written ``CHOICE=VALUE``; none gives the whole.

    Raises:
        UsageError: naming the choices or values there are.
    """
    if not pins:
        return space
    wanted = {name.strip(): value.strip() for name, _, value in (pin.partition("=") for pin in pins)}
    if len(wanted) < len(pins):
        raise UsageError(f"a choice is given twice in {', '.join(pins)}")
    if unknown := sorted(set(wanted) - set(space.index)):
        raise UsageError(f"{space.name} has no choice {', '.join(unknown)}", hint=f"it has {', '.join(space.index)}")
    choices = []
    for choice in space.choices:
        options = tuple(option for option in choice.options if str(option) == wanted.get(choice.name, str(option)))
        if not options:
            known = ", ".join(map(str, choice.options))
            raise UsageError(f"{choice.name} cannot be {wanted[choice.name]!r} in {space.name}", hint=f"it is one of {known}")
        choices.append(replace(choice, options=options))
    _require_whole(space, choices, wanted)
    name = f"{space.name}[{','.join(f'{key}={wanted[key]}' for key in sorted(wanted))}]"
    return replace(space, name=name, choices=tuple(choices))


def _require_whole(space: SearchSpace, choices: Sequence[Choice], wanted: Mapping[str, str]) -> None:
    """Raise a `UsageError` where a choice would lose a value that others exist for."""
    left = {choice.name: choice.options for choice in choices}
    for choice in space.choices:
        when = choice.active_when
        if when is None or set(when.values) <= set(left[when.choice]):
            continue
        where = f"{choice.name} is there where it is {' or '.join(map(str, when.values))}"
        raise UsageError(
            f"{when.choice} of {space.name} cannot be cut down to {wanted[when.choice]}: {where}",
            hint=f"leave {when.choice} whole; `edgenas search --limit 'depth<=N'` limits how many blocks nets have",
        )


__all__ = ["SPACES", "Choice", "Condition", "Genes", "SearchSpace", "Task", "get_space", "pinned", "unique_rows"]
