"""How much a teacher teaches the nets of a run: as the settings say, or with ``auto`` as a short probe found."""

from __future__ import annotations

from edgenas.project.opening import Project
from edgenas.project.training_settings import AUTO, TrainSettings
from edgenas.records import TeachingProbe
from edgenas.training.folder import weights_sha256
from edgenas.training.lessons import TEMPERATURE

TEACHING = "teaching.json"
KD_WEIGHT = 0.9  # where nothing was probed
CUTMIX = 0.5  # of a batch
CUTMIX_STEPS = 1500  # of the supernet: nets that are trained for less have not learnt what the images themselves teach


def needs_teacher(train: TrainSettings) -> bool:
    """Whether a teacher teaches, or a probe is to say whether one does; not where ``train.kd_weight`` is 0."""
    return train.kd_weight != 0


def teaching_of(project: Project) -> tuple[float, float]:
    """Share of the distillation in the loss, 0 where labels alone teach, and the temperature of its soft targets."""
    train = project.settings.train
    probed = probed_teaching(project)
    kd_weight, temperature = (KD_WEIGHT, TEMPERATURE) if probed is None else (probed.kd_weight, probed.temperature)
    kd_weight = kd_weight if train.kd_weight == AUTO else float(train.kd_weight)
    temperature = temperature if train.temperature == AUTO else float(train.temperature)
    return float(kd_weight), float(temperature)


def flip_of(project: Project) -> bool:
    """Whether every other training image is mirrored."""
    flip = project.settings.train.flip
    if not isinstance(flip, str):
        return flip
    probed = probed_teaching(project)
    return probed is not None and probed.flip


def cutmix_of(train: TrainSettings, steps_per_epoch: int) -> float:
    """Share of a batch that nets trained alone by a teacher see with a rectangle of another image pasted into it."""
    if isinstance(train.cutmix, str):
        return CUTMIX if train.epochs * steps_per_epoch >= CUTMIX_STEPS else 0.0
    return train.cutmix


def probed_teaching(project: Project) -> TeachingProbe | None:
    """What the probe found for the run's teacher; None if it was not made, or for another teacher, unless labels alone teach."""
    path = project.run.teacher / TEACHING
    if not path.is_file():
        return None
    kept = TeachingProbe.read(path)
    is_current = not needs_teacher(project.settings.train) or kept.teacher_sha256 == weights_sha256(project.run.teacher)
    return kept if is_current else None
