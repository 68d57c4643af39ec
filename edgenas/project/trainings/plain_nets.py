"""The training of one plain net in a run folder, with the supernet's recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from edgenas.costs import decompose, shape_models
from edgenas.data.images import NUM_FINAL_NORM_IMAGES, Images
from edgenas.project.net_facts import facts_of, genes_of, images_for
from edgenas.project.nets import load_supernet
from edgenas.project.opening import Project
from edgenas.project.trainings.recipe import batches_for, loop_settings, objective_for
from edgenas.project.trainings.starts import Given
from edgenas.project.trainings.teaching import cutmix_of, flip_of, teaching_of
from edgenas.records import Arch
from edgenas.supernets import Supernet, build_net
from edgenas.training.drop_path import add_drop_path
from edgenas.training.evaluation import net_accuracy, predict
from edgenas.training.fitting import Job
from edgenas.training.folder import weights_sha256
from edgenas.training.layer_scale import add_layer_scale, fold_layer_scale
from edgenas.training.ranks import current
from edgenas.training.recalibration import batch_norms, recalibrate_where_better
from edgenas.training.ways import Weights

Build = Callable[[], nn.Module]


def plain_job(
    project: Project,
    images: Images,
    *,
    label: str,
    folder: Path,
    arch_or_build: Arch | Build,
    epochs: int,
    learning_rate: float,
    teacher: nn.Module | None,
    device: str,
    weights: Weights = "scratch",
    split: str | None = "select",
    seed: int | None = None,
    kind: str | None = None,
    facts: Mapping[str, Any] | None = None,
    given: Given | None = None,
) -> Job:
    """The training of one net; it learns on train at the project's resolution and is judged on ``split`` at its own.

    Args:
        project: with the supernet's recipe, of which ``epochs`` and ``learning_rate`` differ.
        images: as `open_images` gives them, not at a net's own resolution.
        label: on the progress bar.
        folder: for weights, state and log.
        arch_or_build: a readable architecture of the space, or what makes any other net: from PyTorch's generator, or with
            ``given`` weights of its own.
        epochs: of its schedule.
        learning_rate: highest.
        teacher: None for labels alone.
        device: ``cpu`` or ``cuda``.
        weights: ``finetuned`` from the supernet's, which only an architecture can be, from ``given`` ones, or from ``scratch``.
        split: that is read after every epoch; None reads none, for a net that is judged once it is trained.
        seed: None takes that of `[retrain]`.
        kind: of the net, in the checkpoint; None takes the label.
        facts: more that the checkpoint says of itself.
        given: what ``given`` weights are.
    """
    train = project.settings.train
    seed = project.settings.retrain.seed if seed is None else seed
    own = images
    said: dict[str, Any] = {"weights": weights}
    if train.drop_path_rate:
        said["drop_path_rate"] = train.drop_path_rate
    if train.layer_scale is not None:
        said["layer_scale"] = train.layer_scale
    if isinstance(arch_or_build, Mapping):
        own = images_for(project.space, images, arch_or_build)
        said["arch"] = dict(arch_or_build)
    elif weights == "finetuned":
        raise ValueError("only architectures of the space inherit weights")
    if given is not None:
        said |= given.facts
    if teacher is not None:
        said["teacher_sha256"] = weights_sha256(project.run.teacher)
    source = weights_sha256(project.run.supernet)
    if weights == "finetuned" and source is not None:
        said["supernet_sha256"] = source
    kd_weight, temperature = teaching_of(project)
    batches = batches_for(
        images, train, balance=train.balance, seed=seed, workers=project.settings.data.workers, flip=flip_of(project)
    )
    return Job(
        label=label,
        folder=folder,
        build=lambda: _start_net(project, images, arch_or_build, weights, seed, given),
        loop=replace(loop_settings(train, seed=seed), epochs=epochs, learning_rate=learning_rate),
        objective=objective_for(
            images,
            smoothing=train.label_smoothing,
            kd_weight=kd_weight if teacher is not None else 0.0,
            temperature=temperature,
            kd=train.kd,
            balance=train.balance,
            device=device,
        ),
        batches=batches,
        device=device,
        facts=facts_of(
            project.space if "arch" in said else None, images, kind if kind is not None else label, **said, **(facts or {})
        ),
        evaluate=net_accuracy(*own.arrays(split)) if split is not None else None,
        checkpoint_every_s=train.checkpoint_every,
        anew=True,  # what is asked for may have changed since
        teacher=teacher,
        finish=partial(_finish, own, is_scaled=train.layer_scale is not None),
        mixing=train.mixing,
        cutmix=cutmix_of(project.settings.train, batches.num_batches) if teacher is not None and kd_weight else 0.0,
    )


def _finish(own: Images, net: nn.Module, *, is_scaled: bool) -> None:
    """Fold layer scales; give batch norms statistics of the weights that are kept, where select does not say otherwise."""
    if is_scaled:
        fold_layer_scale(net)
    if batch_norms(net):  # others read no image
        images_NCHW, labels_N = own.arrays("select")

        def top1(net: nn.Module) -> float:
            return current().first(float((predict(net, images_NCHW).argmax(axis=1) == labels_N).mean()))

        recalibrate_where_better(net, own.norm_images(NUM_FINAL_NORM_IMAGES), top1)


def _start_net(
    project: Project, images: Images, arch_or_build: Arch | Build, weights: Weights, seed: int, given: Given | None
) -> nn.Module:
    """A net as it is before its training."""
    torch.manual_seed(seed)
    if not isinstance(arch_or_build, Mapping):
        return arch_or_build()
    genes = genes_of(project.space, arch_or_build)
    if weights != "finetuned":
        net = build_net(project.space, images.task, genes)
        if given is not None:
            given.fill(net, project.space, genes, images_for(project.space, images, arch_or_build))
    else:
        net = cast(Supernet, load_supernet(project, images)).extract(genes)
    if project.settings.train.drop_path_rate:
        depth = shape_models(decompose(project.space, images.task))["depth"]
        largest_depth = round(float(depth(project.space.extreme(largest=True))[0]))
        add_drop_path(net, project.settings.train.drop_path_rate, largest_depth=largest_depth)
    if project.settings.train.layer_scale is not None:
        add_layer_scale(net, project.settings.train.layer_scale)
    return net
