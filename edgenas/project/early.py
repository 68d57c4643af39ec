"""What is wrong with a run folder or with what is asked of it, found before PyTorch is imported: an answer at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from edgenas.config import Flags
from edgenas.data.images import positive_index
from edgenas.data.splits import load_splits
from edgenas.deploy.orders import orders_of
from edgenas.errors import ConfigError
from edgenas.project.opening import SET_POSITIVE, Project, no_splits, open_project
from edgenas.project.results import require_supernet, winner_of
from edgenas.project.settings import ProjectSettings
from edgenas.registries import choices
from edgenas.runs.place import place_of
from edgenas.search.limits import SENSITIVITY
from edgenas.training.folder import has_weights

Need = Literal["supernet", "winner", "net"]


def require_ready(
    run: Path,
    flags: Flags,
    overrides: Sequence[str],
    need: Need | None = None,
    *,
    formats: Sequence[str] = (),
    precisions: Sequence[str] = (),
) -> None:
    """Check settings, classes, and that there is what an earlier command makes; the command itself checks all of it again.

    Args:
        run: the run folder.
        flags: settings of the command line.
        overrides: each written ``table.key=value``.
        formats, precisions: of an export.
        need: a trained supernet, a search's winner, or a net that could be deployed; None needs no more than divided images.

    Raises:
        UsageError: if there is no such format, or it is not written in the precision.
        MissingInputError: naming the command that makes what is missing.
        ConfigError, CheckpointError: as the command itself would.
    """
    if place_of() is not None:  # one of several processes, of which the first alone may have the folder
        return
    if formats:
        orders_of(formats, precisions)
    project = open_project(run, flags, overrides)
    require_classes(project)
    if not project.run.splits.exists():
        raise no_splits(project.run)
    positive_index(project.settings.data.positive, load_splits(project.run.splits).class_names)
    if need == "supernet":
        require_supernet(project.run)
    elif need == "winner" or (need == "net" and _inherits(project)):
        winner_of(project.run)


def require_classes(project: Project) -> None:
    """Check the classes whose sensitivity is asked for, before an image is read; nothing where none was divided yet.

    Raises:
        ConfigError: if a sensitivity is asked for without a positive class, or of no class of the data.
    """
    if _asked(project.settings) and project.run.splits.exists():
        require_asked(project.settings, load_splits(project.run.splits).class_names)


def require_asked(settings: ProjectSettings, class_names: Sequence[str]) -> None:
    """Check the same against the classes of the data.

    Raises:
        ConfigError: likewise.
    """
    wanted = _asked(settings)
    if not wanted:
        return
    if settings.data.positive is None:
        raise ConfigError("a sensitivity is asked for, but no positive class is set", hint=SET_POSITIVE)
    unknown = [name for name in wanted if name not in class_names]
    if unknown:
        raise ConfigError(
            f"a sensitivity is asked for of no class of the data: {', '.join(unknown)}",
            hint=choices(unknown[0], class_names, "classes are"),
        )


def _asked(settings: ProjectSettings) -> list[str]:
    """Classes whose sensitivity is asked for, once each."""
    goals = (goal.subject for goal in settings.search.goals if goal.kind == SENSITIVITY)
    return list(dict.fromkeys([*settings.search.floors, *goals]))


def _inherits(project: Project) -> bool:
    """Whether the net that is deployed can only be the search's winner."""
    return project.settings.export.net in ("auto", "searched") and not has_weights(project.run.retrain)
