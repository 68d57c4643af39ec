"""Learning rates over a run: a cosine that is laid out from the start, or rates that fall when the select split says so.

``wsd`` is warm-up, stable, decay (Hu et al., MiniCPM, arXiv:2404.06395, section 4): a constant learning rate, then a short
decay, so that a run may end early or go on without having been laid out for it (Hägele et al., arXiv:2405.18392). Deviation: the
decay begins when the accuracy on select no longer rises, or when the epochs or the time are spent.

``plateau`` is PyTorch's `ReduceLROnPlateau`, fed with the accuracy on select after every epoch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ScheduleName = Literal["cosine", "wsd", "plateau"]

COOLDOWN = 0.3  # share of a run's epochs over which the learning rate of wsd falls
PATIENCE = 0.2  # share of the laid-out epochs without a better accuracy that is a plateau
MIN_PATIENCE = 4  # epochs


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rate of every step.

    Attributes:
        name: cosine (Loshchilov & Hutter, arXiv:1608.03983), wsd or plateau, all after a linear warm-up.
        highest: learning rate after the warm-up.
        final: at the end; with plateau the lowest.
        warmup_epochs: may be a fraction; at most half the run.
        factor: of plateau, by which the rate falls.
        patience: of plateau, epochs without a better accuracy that it waits.
    """

    name: ScheduleName
    highest: float
    final: float
    warmup_epochs: float
    factor: float = 0.5
    patience: int = 2

    def __call__(
        self,
        step: int,
        *,
        epochs: int,
        steps_per_epoch: int,
        decay_from: int | None = None,
        history: Sequence[float] = (),
    ) -> float:
        """Learning rate of step 0, 1, ... of a run.

        Args:
            step: optimiser steps that are done.
            epochs: of the run.
            steps_per_epoch: optimiser steps.
            decay_from: epoch from which on wsd falls, if that is known.
            history: accuracies on select so far, which plateau goes by.
        """
        warmup_steps = min(self.warmup_epochs, epochs / 2) * steps_per_epoch
        if step < warmup_steps:
            return self.highest * (step + 1) / (warmup_steps + 1)
        if self.name == "plateau":
            return after_plateaus(self.highest, history, factor=self.factor, patience=self.patience, lowest=self.final)
        begin: float = warmup_steps
        if self.name == "wsd":
            begin = math.inf if decay_from is None else max(warmup_steps, decay_from * steps_per_epoch)
        if step < begin:
            return self.highest
        progress = min(1.0, (step - begin) / max(1.0, epochs * steps_per_epoch - 1 - begin))
        left = (1 + math.cos(math.pi * progress)) / 2 if self.name == "cosine" else 1 - math.sqrt(progress)
        return self.final + (self.highest - self.final) * left


def after_plateaus(highest: float, history: Sequence[float], *, factor: float, patience: int, lowest: float) -> float:
    """The learning rate that PyTorch's `ReduceLROnPlateau` has after these accuracies.

    It is computed anew from the whole history, so that nothing has to be kept to go on; COViT++ fed its own with the number of the
    epoch, which rises whatever the net does, so that its rate fell every third epoch.

    Args:
        highest: before the first.
        history: accuracies, of which higher is better.
        factor: by which it falls.
        patience: accuracies without improvement that it waits.
        lowest: that it never falls below.
    """
    import torch

    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=highest)
    follower = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=factor, patience=patience, threshold=0.0, min_lr=min(lowest, highest)
    )
    for accuracy in history:
        follower.step(accuracy)
    return float(optimizer.param_groups[0]["lr"])


def is_spent(history: Sequence[float], patience: int) -> bool:
    """Whether the last ``patience`` accuracies brought none above the best before them."""
    return len(history) > patience and max(history[-patience:]) <= max(history[:-patience])


def cooldown_epochs(stable_epochs: int) -> int:
    """Epochs of decay after so many without, so that they are `COOLDOWN` of the run; at least 1."""
    return max(1, round(stable_epochs * COOLDOWN / (1 - COOLDOWN)))


def is_rising(history: Sequence[float], epochs: int) -> bool:
    """Whether accuracies, one an epoch, rose in the last `PATIENCE` of the laid-out ``epochs``; True while there are fewer."""
    patience = max(MIN_PATIENCE, round(PATIENCE * epochs))
    return len(history) <= patience or max(history[-patience:]) > max(history[:-patience])


def decay_is_due(
    history: Sequence[float], *, epoch: int, epochs: int, elapsed_s: float, max_seconds: float | None, may_end_early: bool
) -> bool:
    """Whether the learning rate of wsd is to fall now.

    Args:
        history: accuracies on select so far, one an evaluated epoch.
        epoch: epochs that are done.
        epochs: that the run was laid out for; with ``max_seconds`` it goes on beyond them while accuracy rises.
        elapsed_s: seconds of these epochs.
        max_seconds: time for the whole run; None bounds it by ``epochs``.
        may_end_early: a plateau ends the run before its epochs or seconds are spent.
    """
    if may_end_early and not is_rising(history, epochs):
        return True
    if max_seconds is None:
        return epoch + cooldown_epochs(epoch) >= epochs
    pace_s = elapsed_s / max(1, epoch)
    if elapsed_s + pace_s * (1 + cooldown_epochs(epoch + 1)) > max_seconds:
        return True
    return epoch + cooldown_epochs(epoch) >= epochs and not is_rising(history, epochs)
