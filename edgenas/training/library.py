"""Training nets in memory, without a folder: what a notebook calls.

Shapes: N images, C channels, H and W rows and columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgenas.costs import cost_models, decompose, shape_models
from edgenas.data.batches import TrainBatches
from edgenas.data.images import Images
from edgenas.data.preprocess import Augmentation
from edgenas.fields import Count, CountOrZero, require_argument
from edgenas.records import Arch
from edgenas.spaces.base import RESOLUTION
from edgenas.spaces.even import even_pool, resolutions_of
from edgenas.supernets import Supernet
from edgenas.training.devices import torch_device
from edgenas.training.distillation import TrainingLoss
from edgenas.training.evaluation import net_accuracy, subnet_accuracies
from edgenas.training.loop import EpochRecord, Evaluate, LoopSettings, Subnets, start, train
from edgenas.training.loop_settings import DeviceChoice
from edgenas.training.readable import ImageSequence
from edgenas.training.recalibration import recalibrate
from edgenas.training.sampling import SamplingRule, even, shown_subnets


def train_net(
    net: nn.Module,
    images: Images,
    settings: LoopSettings,
    *,
    objective: TrainingLoss | None = None,
    teacher: nn.Module | None = None,
    batch_size: int = 64,
    augmentation: Augmentation = "light",
    device: DeviceChoice = "cpu",
) -> Iterator[EpochRecord]:
    """Train a net on the split train, judged on select after every epoch; at the end it holds the weights that are kept.

    Nothing is written, and nothing but these two splits is read. The records come as the epochs are done: stop asking for them,
    and the training stops there.

    Args:
        net: reads images (N, C, H, W) and gives logits (N, classes); changed in place and moved to ``device``.
        images: from `open_images`.
        settings: epochs, learning rate and the rest of the optimisation; the same seed gives the same weights.
        objective: losses and their shares; None takes labels alone, or with a teacher half of each.
        teacher: whose logits are soft targets, where ``objective.kd_weight`` is above 0; put in eval mode.
        batch_size: images a step.
        augmentation: of the training images, see `edgenas.data.augment`.
        device: where to compute.

    Raises:
        TrainingDivergedError: if a loss is not finite.
        MissingBackendError: for ``cuda`` without a usable GPU, or if the package that the augmentation needs is absent.
        ValueError: if ``batch_size`` is no number of images, or the teacher has other classes.
    """
    evaluate = net_accuracy(*images.arrays("select"))
    yield from _train(net, images, settings, objective, teacher, batch_size, augmentation, device, evaluate, None)


def train_supernet(
    supernet: nn.Module,
    images: Images,
    settings: LoopSettings,
    *,
    rule: SamplingRule | None = None,
    num_random: int = 2,
    objective: TrainingLoss | None = None,
    teacher: nn.Module | None = None,
    batch_size: int = 64,
    augmentation: Augmentation = "light",
    device: DeviceChoice = "cpu",
) -> Iterator[EpochRecord]:
    """As `train_net`, for a supernet: in every step a few subnets learn, and their gradients are averaged.

    Args:
        supernet: from `build_supernet`; changed in place.
        images: of the task that it was built for.
        settings: as `train_net`.
        rule: which subnets learn in a step, see `edgenas.training.sampling`; None draws them evenly over MACs and depth, and now
            and then the largest or the smallest.
        num_random: subnets that the rule draws at random.
        objective, teacher, batch_size, augmentation, device: as `train_net`.

    Yields:
        One record an epoch; ``select`` holds the accuracies, as fractions, of the ``smallest``, a ``random`` and the ``largest``
        subnet.

    Raises:
        TrainingDivergedError, MissingBackendError: as `train_net`.
        ValueError: as `train_net`; or if the supernet was built for images or classes that these are not.
    """
    _require_task(cast(Supernet, supernet), images)
    require_argument("num_random", num_random, CountOrZero)
    space = cast(Supernet, supernet).space
    drawn_by = rule if rule is not None else _evenly(cast(Supernet, supernet), settings.seed)

    def subnets(rng: np.random.Generator, step: int) -> list[tuple[int, ...]]:
        return drawn_by(space, rng, num_random)

    shown = shown_subnets(space, settings.seed)
    evaluate = subnet_accuracies(*images.arrays("select"), shown, training_NCHW=images.norm_images())
    yield from _train(supernet, images, settings, objective, teacher, batch_size, augmentation, device, evaluate, subnets)


def _require_task(supernet: Supernet, images: Images) -> None:
    """Check that a supernet reads these images; where genes choose the resolution, it resizes them."""
    given = replace(images.task, image_px=images.preprocess.image_px)
    if RESOLUTION in supernet.space.index:
        given = replace(given, image_px=supernet.task.image_px)
    if given != supernet.task:
        raise ValueError(f"the supernet is built for {supernet.task}, the images are of {given}")


def _evenly(supernet: Supernet, seed: int) -> SamplingRule:
    """Over MACs and depth."""
    space, task = supernet.space, supernet.task
    depth = shape_models(decompose(space, task)).depth
    macs, rng = cost_models(space, task).macs, np.random.default_rng(seed)
    return even(even_pool(space, macs, depth, rng, strata=resolutions_of(space)))


def _train(
    net: nn.Module,
    images: Images,
    settings: LoopSettings,
    objective: TrainingLoss | None,
    teacher: nn.Module | None,
    batch_size: int,
    augmentation: Augmentation,
    device: DeviceChoice,
    evaluate: Evaluate,
    subnets: Subnets | None,
) -> Iterator[EpochRecord]:
    require_argument("batch_size", batch_size, Count)
    state = start(net, settings, torch.device(torch_device(device)))
    indices_N = images.splits["train"]
    batches = TrainBatches(images.store, indices_N, batch_size, augmentation, seed=settings.seed, workers=0)
    how = objective if objective is not None else TrainingLoss(kd_weight=0.0 if teacher is None else 0.5)
    run = partial(train, state, batches, how, settings, teacher=teacher, evaluate=evaluate)
    for record in run(subnets=subnets):
        if isinstance(record, EpochRecord):
            yield record
    net.load_state_dict(state.result.state_dict())
    net.eval()


def extract(
    supernet: nn.Module, arch: Arch | Sequence[int], training_NCHW: NDArray[np.float32] | ImageSequence | None = None
) -> nn.Module:
    """The plain net of one architecture with a copy of the supernet's weights, in eval mode, on the CPU.

    Args:
        supernet: from `build_supernet`, moved to the CPU.
        arch: readable, or a row of genes.
        training_NCHW: normalised training images that its batch-norm statistics are estimated on, e.g. `Images.norm_images`; None
            keeps the supernet's, which are of no single subnet.

    Raises:
        ArchError: naming every gene that is not in the space.
    """
    elastic = cast(Supernet, supernet.cpu().eval())
    net = elastic.extract(elastic.space.row(arch))
    if training_NCHW is not None:
        recalibrate(net, training_NCHW)
    return net.eval()
