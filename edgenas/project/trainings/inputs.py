"""What images weights were trained with that come from elsewhere, as far as timm says it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgenas.data.pixels import Normalisation
from edgenas.data.preprocess import Preprocess
from edgenas.project.settings import ProjectSettings
from edgenas.training.headers import TIMM, facts_in, is_file


def timm_normalisation(name: str) -> Normalisation | None:
    """Mean and deviation in timm's ``pretrained_cfg`` of a net written ``timm:NAME``; None for other nets, or where it has none.

    Raises:
        UsageError: if timm has no such model.
    """
    if not name.startswith(TIMM):
        return None
    import timm

    from edgenas.training.foreign import require_timm_model

    model = name.removeprefix(TIMM)
    require_timm_model(model)
    known = timm.get_pretrained_cfg(model)
    if known is None or len(known.mean) != 3 or len(known.std) != 3:
        return None
    mean, std = (tuple(float(value) for value in values) for values in (known.mean, known.std))
    return Normalisation(mean, std, f"{name}'s")


def given_normalisation(name: str, checkpoint: str | None) -> Normalisation | None:
    """What the weights of a checkpoint were trained with, as timm says; None for those that edgenas wrote."""
    if checkpoint is None or facts_in(Path(checkpoint)):
        return None
    return timm_normalisation(name)


def known_normalisation(settings: ProjectSettings) -> Normalisation | None:
    """How the named weights read images: those that the supernet starts from, else those of a single given teacher."""
    init, teacher = settings.train.init, settings.teacher
    if init is not None and not is_file(init):
        return timm_normalisation(init)
    if len(teacher.names) == 1 and not (teacher.mean or teacher.std):
        return given_normalisation(teacher.names[0], teacher.checkpoint)
    return None


def differs(known: Normalisation | None, given: Preprocess) -> bool:
    """Whether weights know other mean and deviation than images have."""
    return known is not None and (_unlike(known.mean, given.mean) or _unlike(known.std, given.std))


def _unlike(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    return any(abs(one - other) > 1e-6 for one, other in zip(ours, theirs, strict=True))
