"""Learning rates over a run: a cosine that is laid out from the start, or a plateau whose end the select split decides.

The second is warm-up, stable, decay (Hu et al., MiniCPM, arXiv:2404.06395, section 4): a constant learning rate, then a short
decay, so that a run may end early or go on without having been laid out for it (Hägele et al., arXiv:2405.18392). Deviation: the
decay begins when the accuracy on select no longer rises, or when the epochs or the time are spent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ScheduleName = Literal["cosine", "wsd"]

COOLDOWN = 0.3  # share of a run's epochs over which the learning rate of wsd falls
PATIENCE = 0.2  # share of the laid-out epochs without a better accuracy that is a plateau
MIN_PATIENCE = 4  # epochs


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rate of every step.

    Attributes:
        name: cosine (Loshchilov & Hutter, arXiv:1608.03983) or wsd, both after a linear warm-up.
        highest: learning rate after the warm-up.
        final: at the end.
        warmup_epochs: may be a fraction; at most half the run.
    """

    name: ScheduleName
    highest: float
    final: float
    warmup_epochs: float

    def __call__(self, step: int, *, epochs: int, steps_per_epoch: int, decay_from: int | None = None) -> float:
        """Learning rate of step 0, 1, ... of a run of ``epochs``; wsd falls from epoch ``decay_from`` on, if that is known."""
        warmup_steps = min(self.warmup_epochs, epochs / 2) * steps_per_epoch
        if step < warmup_steps:
            return self.highest * (step + 1) / (warmup_steps + 1)
        begin: float = warmup_steps
        if self.name == "wsd":
            begin = math.inf if decay_from is None else max(warmup_steps, decay_from * steps_per_epoch)
        if step < begin:
            return self.highest
        progress = min(1.0, (step - begin) / max(1.0, epochs * steps_per_epoch - 1 - begin))
        left = (1 + math.cos(math.pi * progress)) / 2 if self.name == "cosine" else 1 - math.sqrt(progress)
        return self.final + (self.highest - self.final) * left


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
