"""Supernets of a run folder: built as its settings say, and loaded."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from edgenas.costs import decompose
from edgenas.project.net_facts import TaskAndSplits, facts_of, require_facts
from edgenas.project.opening import Project
from edgenas.project.results import require_supernet
from edgenas.project.training_settings import TrainSettings
from edgenas.records import CheckpointFacts
from edgenas.spaces import Task
from edgenas.supernets import build_supernet
from edgenas.supernets.bilateral import with_both_sides
from edgenas.supernets.classical import ClassicalSupernet
from edgenas.supernets.sliced import SlicedSupernet
from edgenas.training.checkpoints import copy_into, load_weights
from edgenas.training.folder import WEIGHTS, has_weights
from edgenas.training.sampling import SAMPLING_RULES, WithIdentities


def new_supernet(project: Project, task: Task) -> nn.Module:
    """A freshly initialised supernet whose weights are shared as `sharing_of` says.

    Raises:
        UsageError: if its subnets are to be run with both of their sides, but have one.
    """
    sharing = sharing_of(project.settings.train)
    if sharing == "classical":
        return ClassicalSupernet(project.space, task, decompose(project.space, task))
    supernet = build_supernet(project.space, task)
    if sharing == "bilateral":
        supernet = with_both_sides(supernet)
    if isinstance(supernet, SlicedSupernet):
        supernet.drop_path_rate = project.settings.train.supernet_drop_path_rate
    return supernet


def sharing_of(settings: TrainSettings) -> str:
    """How subnets share weights: ``entangled``, ``classical``, or ``bilateral`` where each is run with both of its sides."""
    rule = SAMPLING_RULES.find(settings.sampling)
    return "bilateral" if isinstance(rule, WithIdentities) and rule.both_sides else settings.sharing


def sharing_facts(sharing: str) -> dict[str, Any]:
    """What a supernet's checkpoint says of its weights besides `facts_of`; nothing where they are entangled."""
    return {} if sharing == "entangled" else {"sharing": sharing}


def load_supernet(project: Project, images: TaskAndSplits) -> nn.Module:
    """The trained supernet, in eval mode, on the CPU.

    Raises:
        MissingInputError: naming `edgenas train`.
        CheckpointError: if it belongs to other data or another space.
    """
    path = project.run.supernet / WEIGHTS
    require_supernet(project.run)
    tensors, facts = load_weights(path)
    told = {"sharing": "entangled", **facts}
    expected = facts_of(project.space, images, "supernet", sharing=sharing_of(project.settings.train))
    require_facts(told, expected, path, "edgenas train --force")
    supernet = new_supernet(project, images.task)
    copy_into(supernet, tensors, path)
    return supernet.eval()


ALONE = 30  # epochs of a proof after which no fresh weights are trained
PROOF_SHARE = 0.6  # of the epochs that fresh weights get in the end: what the proof of a search gives the nets that it keeps


def proof_epochs(project: Project) -> int:
    """Epochs that the best finalists of a search are trained alone for; 0 where nothing is proven.

    As long a share of the training that follows as it takes to tell nets apart that learn late
    (docs/measurements/compare_star-long_fashion-mnist_202611.md), where ``search.proof_epochs`` gives no number; `ALONE` where none
    follows.
    """
    asked = project.settings.search.proof_epochs
    if asked is not None:
        return asked
    return ALONE if project.settings.retrain.start in ("inherited", "given") else math.ceil(PROOF_SHARE * scratch_epochs(project))


def scratch_epochs(project: Project) -> int:
    """Epochs that `edgenas retrain` trains fresh weights for."""
    settings = project.settings.retrain
    if settings.scratch_epochs is not None:
        return settings.scratch_epochs
    return settings.epochs + (supernet_epochs(project) if settings.start == "auto" else 0)


def supernet_epochs(project: Project) -> int:
    """Epochs that the run's supernet was trained for; those of the settings where it is still to be trained."""
    if not has_weights(project.run.supernet):
        return project.settings.train.epochs
    path = project.run.supernet / WEIGHTS
    trained_for = CheckpointFacts.said_by(path, load_weights(path)[1]).settings
    if trained_for is None or trained_for.epochs is None:
        return project.settings.train.epochs
    return trained_for.epochs
