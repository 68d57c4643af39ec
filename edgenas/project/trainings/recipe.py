"""How the nets of a run are optimised, as its settings say: the loop, the batches, the objective."""

from __future__ import annotations

import torch

from edgenas.data.batches import TrainBatches
from edgenas.data.images import Images
from edgenas.data.order import Balance, class_weights
from edgenas.project.opening import Project
from edgenas.project.training_settings import TeacherSettings, TrainSettings
from edgenas.project.trainings.teaching import flip_of, teaching_of
from edgenas.training.distillation import TrainingLoss
from edgenas.training.loop import LoopSettings
from edgenas.training.teaching_losses import DISTILLATION_LOSSES


def loop_settings(settings: TrainSettings | TeacherSettings, *, seed: int) -> LoopSettings:
    """The loop's settings from a table of `edgenas.toml`."""
    return LoopSettings(
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        warmup_epochs=settings.warmup_epochs,
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm or None,
        ema_decay=settings.ema_decay or None,
        final_learning_rate=settings.final_learning_rate,
        plateau_factor=settings.plateau_factor,
        plateau_patience=settings.plateau_patience,
        stop_patience=settings.stop_patience,
        undecayed=settings.undecayed,
        layer_decay=settings.layer_decay,
        sam_rho=settings.sam_rho,
        accumulate=settings.accumulate,
        amp_dtype=settings.amp_dtype,
        channels_last=settings.channels_last,
        seed=seed,
        schedule=settings.schedule,
        end_early=settings.end_early,
        keep_best=True,
        max_seconds=settings.budget_min * 60 if isinstance(settings, TrainSettings) and settings.budget_min is not None else None,
    )


def batches_for(
    images: Images,
    settings: TrainSettings | TeacherSettings,
    *,
    balance: Balance,
    seed: int,
    workers: int | None = None,
    flip: bool = False,
) -> TrainBatches:
    """Augmented batches of the train split; ``workers`` processes load them, None decides by the machine.

    With ``flip`` every other image is mirrored, where the augmentation does not do that anyway.

    Raises:
        MissingBackendError: if the package that the augmentation needs is absent.
    """
    return TrainBatches(
        images.store,
        images.splits["train"],
        settings.batch_size,
        settings.augmentation,
        seed=seed,
        balance=balance,
        repeats=settings.repeats if isinstance(settings, TrainSettings) else 1,
        workers=workers,
        flip=flip,
    )


def batches_of(project: Project, images: Images, *, seed: int) -> TrainBatches:
    """Batches for the supernet and for nets that are trained alone, mirrored where that is set or was found."""
    train, workers = project.settings.train, project.settings.data.workers
    return batches_for(images, train, balance=train.balance, seed=seed, workers=workers, flip=flip_of(project))


def objective_of(project: Project, images: Images, *, is_taught: bool, device: str) -> TrainingLoss:
    """What the supernet and nets that are trained alone minimise: what ``[train]`` says, labels alone where nothing teaches.

    Raises:
        UsageError, PluginError: as `objective_for`.
    """
    train, (kd_weight, temperature) = project.settings.train, teaching_of(project)
    return objective_for(
        images,
        smoothing=train.label_smoothing,
        kd_weight=kd_weight if is_taught else 0.0,
        temperature=temperature,
        kd=train.kd,
        balance=train.balance,
        device=device,
    )


def objective_for(
    images: Images, *, smoothing: float, kd_weight: float, temperature: float, balance: str, device: str, kd: str = "soft"
) -> TrainingLoss:
    """Label loss and distillation; class weights where ``balance`` asks for them.

    Raises:
        UsageError, PluginError: if there is no loss ``kd``, or the package that brings it is broken.
    """
    DISTILLATION_LOSSES.find(kd)  # before anything is trained
    weights = None
    if balance == "weights":
        weights = torch.from_numpy(class_weights(images.labels("train"), len(images.class_names))).to(device)
    return TrainingLoss(smoothing=smoothing, class_weights_C=weights, kd=kd, kd_weight=kd_weight, temperature=temperature)
