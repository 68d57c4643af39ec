"""Curves of a training for TensorBoard."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from edgenas.errors import MissingBackendError
from edgenas.training.checkpoints import TrainState
from edgenas.training.loop import EpochRecord, StepRecord

EVENTS = "events"  # beside the log
EVERY = 20  # steps between two losses


def require_tensorboard() -> Any:
    """The class that writes event files.

    Raises:
        MissingBackendError: if TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingBackendError(
            "train.tensorboard needs TensorBoard", hint="pip install tensorboard, or edgenas[tensorboard]"
        ) from error
    return SummaryWriter


class Events:
    """Losses, learning rate and accuracies of a training over its optimiser steps; open until `close`.

    Args:
        folder: for event files. What an unfinished training wrote after the step that it goes on from is marked as void, which is
            how TensorBoard tells a restart; what another training wrote is removed.
        state: that the training begins or goes on with.
        num_batches: an epoch.

    Raises:
        MissingBackendError: if TensorBoard is not installed.
    """

    def __init__(self, folder: Path, state: TrainState, num_batches: int) -> None:
        writer = require_tensorboard()
        if state.step == 0:
            shutil.rmtree(folder, ignore_errors=True)
        ends_epoch = state.step == (state.epoch + 1) * num_batches  # which is told again
        self._writer = writer(str(folder), purge_step=state.step + (0 if ends_epoch else 1) if state.step else None)
        self._state = state

    def add(self, record: StepRecord | EpochRecord) -> None:
        """Write what a record says, of steps only every `EVERY`-th."""
        if isinstance(record, EpochRecord):
            self._epoch(record)
        elif record.step % EVERY == 0:
            for name, value in (record.losses or {"loss": record.loss}).items():
                self._scalar(f"step/{name}", value)
            self._scalar("step/learning_rate", record.learning_rate)

    def _epoch(self, record: EpochRecord) -> None:
        for name, value in record.losses.items():
            self._scalar(f"epoch/{name}", value)
        self._scalar("epoch/learning_rate", record.learning_rate)
        shown = record.shown
        for name, value in {**record.select, **(shown.top1 if shown is not None else {})}.items():
            self._scalar(f"select/{name}", value)
        for name, by_class in (shown.sensitivity if shown is not None else {}).items():
            for label, value in by_class.items():
                self._scalar(f"sensitivity of {name}/{label}", value)

    def _scalar(self, name: str, value: float) -> None:
        self._writer.add_scalar(name.replace(" ", "_"), value, self._state.step)

    def flush(self) -> None:
        """Put on the disk what was added, before a state is saved that goes on behind it."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
