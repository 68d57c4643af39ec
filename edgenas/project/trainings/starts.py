"""What nets of a run start from besides drawn weights, as its settings say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgenas.data.images import Images
from edgenas.project.opening import Project
from edgenas.project.training_settings import TrainSettings
from edgenas.records import CheckpointFacts, InitFacts
from edgenas.spaces import SearchSpace
from edgenas.supernets import build_net
from edgenas.training.folder import STATE
from edgenas.training.foreign import Foreign, fetch
from edgenas.training.headers import facts_in
from edgenas.training.initial import Chooser, chosen_before, require_like, start_net
from edgenas.training.linear_head import linear_head_loss
from edgenas.training.ranks import current


def start_chooser(images: Images, train: TrainSettings, device: str) -> Chooser:
    """The method of ``train.init_selection``; auto judges nets on train and select."""

    def judge(net: nn.Module) -> float:
        return current().first(linear_head_loss(net, images, device=device, seed=train.seed))  # all ranks choose alike

    return Chooser(train.init_selection, judge, images.class_names)


@dataclass(frozen=True, slots=True)
class GivenWeights:
    """Weights that plain nets start from.

    Attributes:
        weights: of ``retrain.init``.
        train: with ``init_selection``, and the seed of its judging.
        device: where nets are judged.
        init: what is said of the start of one net; None before that net was begun.
    """

    weights: Foreign
    train: TrainSettings
    device: str
    init: InitFacts | None = None

    @classmethod
    def of(cls, project: Project, device: str) -> GivenWeights | None:
        """Those of the settings; None where there are none.

        Raises:
            UsageError, CheckpointError: if they cannot be fetched, or are of another family.
        """
        source = project.settings.retrain.init
        if source is None:
            return None
        weights = fetch(source, prefers="retrain")
        require_like(project.space, weights)
        return cls(weights, project.settings.train, device)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a checkpoint says: what decides the weights, and once a net was begun what was taken."""
        init = InitFacts(source=self.weights.source, sha256=self.weights.sha256) if self.init is None else self.init
        plain = init.as_json()
        if self.init is None:
            plain.pop("notes")
        return {"init": plain, "init_selection": self.train.init_selection}

    def begun(self, space: SearchSpace, images: Images, genes: tuple[int, ...], folder: Path, seed: int) -> GivenWeights:
        """With what is said of one net's start; what an interrupted training chose is not chosen again.

        Raises:
            CheckpointError: if the weights are none for this net.
        """
        kept = CheckpointFacts.said_by(folder / STATE, facts_in(folder / STATE)).init
        if kept is not None and (kept.source, kept.sha256) == (self.weights.source, self.weights.sha256):
            return replace(self, init=kept)
        torch.manual_seed(seed)
        net = build_net(space, images.task, genes)
        return replace(self, init=start_net(net, space, genes, self.weights, start_chooser(images, self.train, self.device)))

    def fill(self, net: nn.Module, space: SearchSpace, genes: tuple[int, ...], images: Images) -> None:
        """Put the weights into a fresh net, as they were taken when it was begun."""
        chooser = start_chooser(images, self.train, self.device)
        start_net(net, space, genes, self.weights, chooser if self.init is None else chosen_before(chooser, self.init))
