"""One optimiser step of a plain net or of several subnets of a supernet.

Shapes: N images, C classes (of logits) or channels (of images).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from edgenas.data.order import batch_slices
from edgenas.errors import EdgeNASError
from edgenas.supernets.products import fast_products
from edgenas.training.checkpoints import TrainState
from edgenas.training.distillation import LOSS, WHOLE, TrainingLoss
from edgenas.training.mixing import Mix
from edgenas.training.projection import add_projected, take_gradients
from edgenas.training.ranks import ALONE, Ranks
from edgenas.training.seeding import step_rng
from edgenas.training.sharpness import at_sharpest

Subnets = Callable[[np.random.Generator, int], list[tuple[int, ...]]]  # of a step of the training, the first being 0


class TrainingDivergedError(EdgeNASError):
    """A loss or a gradient is not a number.

    Args:
        message: what became so, in which step, at which learning rate.
        subnets: genes of those that it may have come from; empty for a plain net.
        problems: the same for a reader.
        hint: what to do.
    """

    def __init__(
        self,
        message: str,
        *,
        subnets: Sequence[tuple[int, ...]] = (),
        problems: Sequence[str] = (),
        hint: str = "lower the learning rate or lengthen the warm-up, and start again",
    ) -> None:
        super().__init__(message, problems=problems, hint=hint)
        self.subnets = tuple(subnets)


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """What a backward pass left.

    Attributes:
        losses: means over the subnets.
        genes: of these, in order; empty for a plain net.
        of_each: losses of every one, over the parts of the batch.
    """

    losses: dict[str, Tensor]
    genes: list[tuple[int, ...]]
    of_each: list[list[Tensor]]

    def not_finite(self) -> list[tuple[int, ...]]:
        """Subnets whose own loss is not a number."""
        pairs = zip(self.genes, self.of_each, strict=False)
        return [genes for genes, losses in pairs if not math.isfinite(sum(loss.item() for loss in losses))]


@dataclass(frozen=True, slots=True, eq=False)
class Stepper:
    """One optimiser step; holds what does not change between steps."""

    objective: TrainingLoss
    seed: int
    clip_norm: float | None
    teacher: nn.Module | None
    subnets: Subnets | None
    in_place: bool
    device: torch.device
    amp: torch.dtype | None
    mix: Mix | None = None
    project: bool = False
    sam_rho: float | None = None
    accumulate: int = 1
    ranks: Ranks = ALONE

    def __call__(self, state: TrainState, images_NCHW: Tensor, labels_N: Tensor, learning_rate: float) -> dict[str, float]:
        """Mean losses over the step's subnets; ``state`` is one step further."""
        state.model.train()
        images_NCHW, labels_N = images_NCHW.to(self.device), labels_N.to(self.device)
        if self.mix is not None:
            images_NCHW, labels_N = self.mix(images_NCHW, labels_N)
        state.optimizer.zero_grad(set_to_none=True)
        with self._products(state.model):
            sums = self._backward(state, images_NCHW, labels_N)
        if self.sam_rho is not None:
            with at_sharpest(state.model, self.sam_rho), self._products(state.model):
                state.optimizer.zero_grad(set_to_none=True)
                self._backward(state, images_NCHW, labels_N)
        values = dict(zip(sums.losses, torch.stack(list(sums.losses.values())).tolist(), strict=True))
        self._require_finite("loss", values[LOSS], state, learning_rate, sums)
        self._update(state, learning_rate, sums)
        return values

    def _require_finite(self, what: str, value: float, state: TrainState, learning_rate: float, sums: _Sums) -> None:
        if not math.isfinite(value):
            raise TrainingDivergedError(
                f"the {what} became {value} in epoch {state.epoch + 1}, step {state.step + 1}, "
                f"at learning rate {learning_rate:.3g}",
                subnets=sums.not_finite() or sums.genes,
            )

    def _backward(self, state: TrainState, images_NCHW: Tensor, labels_N: Tensor) -> _Sums:
        """Add up the subnets' gradients."""
        slices = batch_slices(len(images_NCHW), math.ceil(len(images_NCHW) / self.accumulate))
        parts = [WHOLE]
        if len(slices) > 1 or self.ranks.size > 1:
            mass, num = self.ranks.total(self.objective.mass(labels_N), len(labels_N), device=self.device)
            parts = self.objective.parts(labels_N, slices, mass, num)
        targets = [self._taught(images_NCHW[each]) for each in slices]
        rng = step_rng(self.seed, state.epoch, state.step)
        calls = [()] if self.subnets is None else [(genes,) for genes in self.subnets(rng, state.step)]
        sums: dict[str, Tensor] = {}
        weights = [parameter for parameter in state.model.parameters() if parameter.requires_grad]
        firsts: list[Tensor | None] = []
        of_each: list[list[Tensor]] = []
        for position, genes in enumerate(calls):
            own: list[Tensor] = []
            objective = self.objective.in_place if self.in_place and position else self.objective
            for at, (each, part) in enumerate(zip(slices, parts, strict=True)):
                with self._autocast():
                    logits_NC = state.model(images_NCHW[each], *genes)
                losses = objective(logits_NC, labels_N[each], targets[at], part)
                loss = losses[LOSS] / len(calls)
                torch.autograd.backward(loss if state.scaler is None else state.scaler.scale(loss))
                own.append(losses[LOSS].detach())
                for name, value in losses.items():
                    sums[name] = sums.get(name, torch.zeros((), device=self.device)) + value.detach() / len(calls)
                if self.in_place and position == 0:
                    targets[at] = logits_NC.detach()
            of_each.append(own)
            if self.project and position == 0 and len(calls) > 1:
                firsts = take_gradients(weights)
                self.ranks.add_up([each for each in firsts if each is not None])
        self.ranks.add_up([each.grad for each in weights if each.grad is not None])
        self.ranks.add_up(list(sums.values()))
        if firsts:
            add_projected(weights, firsts)
        return _Sums(sums, [call[0] for call in calls if call], of_each)

    def _taught(self, images_NCHW: Tensor) -> Tensor | None:
        """The teacher's logits (N, C)."""
        if self.teacher is None:
            return None
        with torch.no_grad(), self._autocast():
            logits_NC: Tensor = self.teacher(images_NCHW)
        return logits_NC

    def _update(self, state: TrainState, learning_rate: float, sums: _Sums) -> None:
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate * group.get("lr_scale", 1.0)
        if state.scaler is not None:
            state.scaler.unscale_(state.optimizer)
        limit = math.inf if self.clip_norm is None else self.clip_norm
        norm = nn.utils.clip_grad_norm_(state.model.parameters(), limit)
        if state.scaler is None:  # a scaler skips such steps by itself
            self._require_finite("gradient's norm", norm.item(), state, learning_rate, sums)
        if state.scaler is None:
            state.optimizer.step()
        else:
            state.scaler.step(state.optimizer)
            state.scaler.update()
        state.step += 1
        if state.average is not None:
            state.average.update(state.model, step=state.step)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.amp or torch.bfloat16, enabled=self.amp is not None)

    def _products(self, model: nn.Module) -> AbstractContextManager[None]:
        """How linear layers multiply; a translated net has products of its own."""
        return fast_products(self.device) if model._compiled_call_impl is None else nullcontext()
