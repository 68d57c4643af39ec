"""The training of one plain net in a run folder, with the supernet's recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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
from edgenas.project.trainings.recipe import batches_of, loop_settings, objective_of
from edgenas.project.trainings.starts import GivenWeights
from edgenas.project.trainings.teaching import cutmix_of
from edgenas.records import Arch
from edgenas.supernets import Supernet, build_net
from edgenas.training.drop_path import add_drop_path
from edgenas.training.evaluation import net_accuracy, predict
from edgenas.training.fitting import TrainingJob
from edgenas.training.folder import weights_sha256
from edgenas.training.layer_scale import add_layer_scale, fold_layer_scale
from edgenas.training.ranks import current
from edgenas.training.recalibration import batch_norms, recalibrate_where_better
from edgenas.training.ways import Weights

Build = Callable[[], nn.Module]


@dataclass(frozen=True, slots=True)
class PlainNet:
    """A net that is trained alone, and where its weights start.

    Attributes:
        arch_or_build: a readable architecture of the space, or what makes any other net: from PyTorch's generator, or with
            ``given`` weights of its own.
        weights: ``finetuned`` from the supernet's, which only an architecture can be, from ``given`` ones, or from ``scratch``.
        given: what ``given`` weights are.
        kind: of the net, in the checkpoint; None takes the label of its training.
        facts: more that the checkpoint says of itself.
    """

    arch_or_build: Arch | Build
    weights: Weights = "scratch"
    given: GivenWeights | None = None
    kind: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.weights == "finetuned" and self.arch is None:
            raise ValueError("only architectures of the space inherit weights")

    @property
    def arch(self) -> Arch | None:
        """Readable; None for a net of no space."""
        return self.arch_or_build if isinstance(self.arch_or_build, Mapping) else None


def plain_job(
    project: Project,
    images: Images,
    net: PlainNet,
    *,
    label: str,
    folder: Path,
    epochs: int,
    learning_rate: float,
    teacher: nn.Module | None,
    device: str,
    split: str | None = "select",
    seed: int | None = None,
) -> TrainingJob:
    """The training of one net; it learns on train at the project's resolution and is judged on ``split`` at its own.

    Args:
        project: with the supernet's recipe, of which ``epochs`` and ``learning_rate`` differ.
        images: as `open_images` gives them, not at a net's own resolution.
        net: what is trained.
        label: on the progress bar.
        folder: for weights, state and log.
        epochs: of its schedule.
        learning_rate: highest.
        teacher: None for labels alone.
        device: ``cpu`` or ``cuda``.
        split: that is read after every epoch; None reads none, for a net that is judged once it is trained.
        seed: None takes that of `[retrain]`.
    """
    train, is_taught = project.settings.train, teacher is not None
    seed = project.settings.retrain.seed if seed is None else seed
    own = images if net.arch is None else images_for(project.space, images, net.arch)
    batches, objective = batches_of(project, images, seed=seed), objective_of(project, images, is_taught=is_taught, device=device)
    return TrainingJob(
        label=label,
        folder=folder,
        build=partial(_start_net, project, images, net, seed),
        loop=replace(loop_settings(train, seed=seed), epochs=epochs, learning_rate=learning_rate),
        objective=objective,
        batches=batches,
        device=device,
        facts=_facts(project, images, net, label, is_taught=is_taught),
        evaluate=net_accuracy(*own.arrays(split)) if split is not None else None,
        checkpoint_every_s=train.checkpoint_every,
        anew=True,  # what is asked for may have changed since
        teacher=teacher,
        finish=partial(_finish, own, is_scaled=train.layer_scale is not None),
        mixing=train.mixing,
        cutmix=cutmix_of(train, batches.num_batches) if objective.kd_weight else 0.0,
    )


def _facts(project: Project, images: Images, net: PlainNet, label: str, *, is_taught: bool) -> dict[str, Any]:
    """What the checkpoint of a net says of itself: whatever its weights depend on beside how it is trained."""
    train = project.settings.train
    said: dict[str, Any] = {"weights": net.weights}
    if train.drop_path_rate:
        said["drop_path_rate"] = train.drop_path_rate
    if train.layer_scale is not None:
        said["layer_scale"] = train.layer_scale
    if net.arch is not None:
        said["arch"] = dict(net.arch)
    if net.given is not None:
        said |= net.given.facts
    if is_taught:
        said["teacher_sha256"] = weights_sha256(project.run.teacher)
    source = weights_sha256(project.run.supernet)
    if net.weights == "finetuned" and source is not None:
        said["supernet_sha256"] = source
    space = project.space if net.arch is not None else None
    return facts_of(space, images, net.kind if net.kind is not None else label, **said, **net.facts)


def _finish(own: Images, net: nn.Module, *, is_scaled: bool) -> None:
    """Fold layer scales; give batch norms statistics of the weights that are kept, where select does not say otherwise."""
    if is_scaled:
        fold_layer_scale(net)
    if batch_norms(net):  # others read no image
        images_NCHW, labels_N = own.arrays("select")

        def top1(net: nn.Module) -> float:
            return current().first(float((predict(net, images_NCHW).argmax(axis=1) == labels_N).mean()))

        recalibrate_where_better(net, own.norm_images(NUM_FINAL_NORM_IMAGES), top1)


def _start_net(project: Project, images: Images, net: PlainNet, seed: int) -> nn.Module:
    """A net as it is before its training."""
    torch.manual_seed(seed)
    if not isinstance(net.arch_or_build, Mapping):
        return net.arch_or_build()
    genes, train = genes_of(project.space, net.arch_or_build), project.settings.train
    if net.weights == "finetuned":
        module = cast(Supernet, load_supernet(project, images)).extract(genes)
    else:
        module = build_net(project.space, images.task, genes)
        if net.given is not None:
            net.given.fill(module, project.space, genes, images_for(project.space, images, net.arch_or_build))
    if train.drop_path_rate:
        depth = shape_models(decompose(project.space, images.task)).depth
        largest_depth = round(float(depth(project.space.extreme(largest=True))[0]))
        add_drop_path(module, train.drop_path_rate, largest_depth=largest_depth)
    if train.layer_scale is not None:
        add_layer_scale(module, train.layer_scale)
    return module
