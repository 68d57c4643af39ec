"""Whether what a run folder holds is of the space and the images that its settings name now, without reading an image."""

from __future__ import annotations

from pathlib import Path

from edgenas.data.splits import Splits
from edgenas.errors import EdgeNASError
from edgenas.latency import LatencyTable
from edgenas.latency.table import find_tables
from edgenas.project.net_facts import facts_of
from edgenas.project.opening import Divided, Project, is_side_known
from edgenas.training.headers import facts_in

IMAGES = ("data_fingerprint", "splits_sha256")  # facts of trained nets that are told in words
OTHER_IMAGES = "its images were others, or divided otherwise"


def weights_of_another(project: Project, splits: Splits, path: Path) -> str | None:
    """How trained weights differ from what the settings ask for, in words; None where they do not, or tell nothing of it."""
    told, expected = facts_in(path), facts_of(project.space, Divided.told(project.settings, splits), "")
    names = [name for name, value in expected.items() if name != "net" and name in told and told[name] != value]
    if "image_px" in names and not is_side_known(project.settings):
        names.remove("image_px")
    problems = [f"{name} is {told[name]!r} there, {expected[name]!r} here" for name in names if name not in IMAGES]
    problems += [OTHER_IMAGES] if any(name in IMAGES for name in names) else []
    return f"{path} belongs to another project: {'; '.join(problems)}" if problems else None


def tables_of_another(project: Project, splits: Splits) -> str | None:
    """Why no latency table of the run is of its space and task; None where one is, or there is none."""
    why = None
    for path in find_tables(project.run.latency) if is_side_known(project.settings) else ():
        try:
            LatencyTable.load(path).require_matches(
                space=project.space, task=Divided.told(project.settings, splits).task, name=str(path)
            )
        except EdgeNASError as error:
            why = str(error) if why is None else why
        else:
            return None
    return why
