"""How much a teacher teaches the nets of a run."""

from __future__ import annotations

from edgenas.recipes.project import Project


def teaching_of(project: Project) -> tuple[float, float]:
    """Share of the distillation in the loss, 0 where labels alone teach, and the temperature of its soft targets."""
    train = project.settings.train
    return train.kd_weight, train.temperature
