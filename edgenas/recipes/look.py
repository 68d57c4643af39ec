"""The look at spaces, as `edgenas init` and `edgenas plan --spaces` take it."""

from __future__ import annotations

from collections.abc import Generator

from edgenas.data import ImageSource
from edgenas.project.choosing.here import Wanted, limit_here, look_here, nothing_fits
from edgenas.project.choosing.sides import sides_for, stored_px
from edgenas.project.opening import Project
from edgenas.records import LookResult
from edgenas.runs import Note, Record
from edgenas.spaces import SPACES, get_space


def look_for(
    project: Project, source: ImageSource, num_images: int, *, by_hand: bool
) -> Generator[Record, None, LookResult | None]:
    """Look at the spaces that a project may take; None where no latency of this device is limited.

    Args:
        project: with its settings.
        source: of the images.
        num_images: of the train split.
        by_hand: the space of the settings is the one that is wanted; no other is looked at.

    Raises:
        InfeasibleError: if no net fits and the space was not chosen by hand; then it is a warning.
        MissingBackendError: as `look_here`.
    """
    settings = project.settings
    limit_ms = limit_here(settings)
    if limit_ms is None:
        if not by_hand:
            yield Note(_unmeasured(settings.space.name, has_limits=bool(settings.search.latency_limits)))
        return None
    asked_px = settings.data.image_px
    images_px = stored_px(source)
    for problem in SPACES.problems().values() if not by_hand else ():
        yield Note(str(problem), is_warning=True)
    spaces = {settings.space.name: get_space(settings.space.name)} if by_hand else SPACES.usable()
    sides = sides_for(spaces, images_px, asked_px) or {name: (each, (each.default_task.image_px,)) for name, each in spaces.items()}
    wanted = Wanted(sides, limit_ms, len(source.class_names), num_images, images_px)
    result = yield from look_here(project, wanted)
    if result.chosen is None:
        error = nothing_fits(result)
        if not by_hand:
            raise error
        yield Note(f"{error.message}; {error.hint}", is_warning=True)
    return result


def _unmeasured(space: str, *, has_limits: bool) -> str:
    """That the space was taken without a look."""
    why = "limits are of other devices" if has_limits else "no limit is given"
    return f"{why}: {space} is taken by the size of the images alone; `edgenas init --latency-ms MS` measures which spaces fit"
