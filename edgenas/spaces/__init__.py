"""Search spaces by name."""

from edgenas.errors import UsageError
from edgenas.spaces.autoformer import AUTOFORMER_SPACES
from edgenas.spaces.base import Choice, Condition, Genes, SearchSpace, Task
from edgenas.spaces.pit import PIT_SPACES
from edgenas.spaces.pvt import PVT_COVIDX, PVT_NANO
from edgenas.spaces.pvt_elastic import PVT_ELASTIC_SPACES
from edgenas.spaces.rows import unique_rows
from edgenas.spaces.vitas import VITAS_SPACES

SPACES: dict[str, SearchSpace] = {
    space.name: space for space in (PVT_NANO, PVT_COVIDX, *PVT_ELASTIC_SPACES, *AUTOFORMER_SPACES, *VITAS_SPACES, *PIT_SPACES)
}


def get_space(name: str) -> SearchSpace:
    """The space called ``name``.

    Raises:
        UsageError: naming the known ones.
    """
    if name not in SPACES:
        raise UsageError(f"there is no search space {name!r}", hint=f"known are: {', '.join(SPACES)}")
    return SPACES[name]


__all__ = ["SPACES", "Choice", "Condition", "Genes", "SearchSpace", "Task", "get_space", "unique_rows"]
