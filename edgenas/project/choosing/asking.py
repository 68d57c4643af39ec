"""The look at spaces, as `edgenas init` and `edgenas plan --spaces` take it."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from edgenas.data import ImageSource
from edgenas.errors import ConfigError
from edgenas.project.choosing.here import RESULT, Wanted, known_look, limit_here, look_here, nothing_fits
from edgenas.project.choosing.sides import sides_for, stored_px
from edgenas.project.opening import Project, images_of
from edgenas.records import LookResult
from edgenas.runs import Note, Outcome, Record, locked
from edgenas.spaces import SPACES, get_space


def look_for(
    project: Project, source: ImageSource, num_images: int, *, by_hand: bool, image_px: int | None
) -> Generator[Record, None, LookResult | None]:
    """Look at the spaces that a project may take; None where no latency of this device is limited.

    Args:
        project: with its settings.
        source: of the images.
        num_images: of the train split.
        by_hand: the space of the settings is the one that is wanted; no other is looked at.
        image_px: the one side that is wanted; None looks at every one that makes sense.

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
    images_px = stored_px(source)
    for problem in SPACES.problems().values() if not by_hand else ():
        yield Note(str(problem), is_warning=True)
    spaces = {settings.space.name: get_space(settings.space.name)} if by_hand else SPACES.usable()
    sides = sides_for(spaces, images_px, image_px) or {name: (each, (each.default_task.image_px,)) for name, each in spaces.items()}
    wanted = Wanted(sides, limit_ms, len(source.class_names), num_images, images_px)
    result = yield from look_here(project, wanted)
    if result.chosen is None:
        error = nothing_fits(result)
        if not by_hand:
            raise error
        yield Note(f"{error.message}; {error.hint}", is_warning=True)
    return result


def look_again(project: Project) -> Iterator[Record]:
    """Look at every space for the images of a project; nothing of the project changes.

    Raises:
        ConfigError: if no latency of this device is limited.
        InfeasibleError: if no net fits.
    """
    if limit_here(project.settings) is None:
        raise ConfigError("no latency of this device is limited", hint="give --latency-ms MS")
    images = images_of(project)
    with locked(project.run):
        result = yield from look_for(project, images.source, len(images.splits["train"]), by_hand=False, image_px=None)
    assert result is not None
    yield Outcome(result, {"look": project.run.look / RESULT})


def told_earlier(project: Project) -> Iterator[Note]:
    """What an earlier look at spaces said of the limit that is set; nothing without one."""
    look = known_look(project)
    if look is None or look.chosen is None or look.chosen.space == project.settings.space.name:
        return
    yield Note(f"a look at spaces on {look.date[:10]} preferred {look.chosen.words} (`edgenas plan --spaces`)")


def _unmeasured(space: str, *, has_limits: bool) -> str:
    """That the space was taken without a look."""
    why = "limits are of other devices" if has_limits else "no limit is given"
    return f"{why}: {space} is taken by the kind of source alone; `edgenas init --latency-ms MS` measures which spaces fit"
