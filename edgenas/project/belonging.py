"""Whether what a run folder holds is of the space and the images that its settings name now, without reading an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgenas.data.splits import Splits
from edgenas.errors import EdgeNASError
from edgenas.latency import LatencyTable
from edgenas.latency.table import find_tables
from edgenas.project.net_facts import facts_of
from edgenas.project.opening import Project, image_px_of
from edgenas.project.settings import ProjectSettings
from edgenas.spaces import Task
from edgenas.training.headers import facts_in

IMAGES = ("data_fingerprint", "splits_sha256")  # facts of trained nets that are told in words
OTHER_IMAGES = "its images were others, or divided otherwise"


@dataclass(frozen=True, slots=True)
class _Divided:
    """What the settings and the splits say of the images."""

    task: Task
    splits: Splits


def weights_of_another(project: Project, splits: Splits, path: Path) -> str | None:
    """How trained weights differ from what the settings ask for, in words; None where they do not, or tell nothing of it."""
    told, expected = facts_in(path), facts_of(project.space, _Divided(_task(project.settings, splits), splits), "")
    names = [name for name, value in expected.items() if name != "net" and name in told and told[name] != value]
    if "image_px" in names and not _is_side_known(project.settings):
        names.remove("image_px")
    problems = [f"{name} is {told[name]!r} there, {expected[name]!r} here" for name in names if name not in IMAGES]
    problems += [OTHER_IMAGES] if any(name in IMAGES for name in names) else []
    return f"{path} belongs to another project: {'; '.join(problems)}" if problems else None


def tables_of_another(project: Project, splits: Splits) -> str | None:
    """Why no latency table of the run is of its space and task; None where one is, or there is none."""
    why = None
    for path in find_tables(project.run.latency) if _is_side_known(project.settings) else ():
        try:
            LatencyTable.load(path).require_matches(space=project.space, task=_task(project.settings, splits), name=str(path))
        except EdgeNASError as error:
            why = str(error) if why is None else why
        else:
            return None
    return why


def _task(settings: ProjectSettings, splits: Splits) -> Task:
    return Task(len(splits.class_names), 3, image_px_of(settings, None))


def _is_side_known(settings: ProjectSettings) -> bool:
    """Whether the settings and the space tell the side of images; of one space the images do."""
    return settings.data.image_px is not None or settings.space.name != "pvt-nano"
