"""Batch-norm statistics of single nets: a supernet's are a mixture over its subnets and fit none of them.

Source: Yu & Huang, Universally Slimmable Networks, ICCV 2019, arXiv:1903.05134, section 3.4. Deviation: few images, and what
several subnets have in common before the first batch norm is computed once.

Shapes: N images, C channels, H and W rows and columns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor, nn

from edgenas.supernets.resize import resized
from edgenas.supernets.sliced import SlicedSupernet
from edgenas.training.readable import ImageSequence, ReadableImages, readable

BATCH_SIZE = 64
MEMORY_BYTES = 512 << 20  # of features that subnets have in common
Row = tuple[int, ...]


def batch_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The batch norms of a net, in order."""
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


@torch.no_grad()
def recalibrate(net: nn.Module, images_NCHW: ReadableImages, *, batch_size: int = BATCH_SIZE) -> None:
    """Estimate the batch-norm statistics of a plain net anew, in place, in eval mode; nothing happens without batch norm.

    Args:
        net: of one architecture; a supernet's subnets are recalibrated by `Recalibration`.
        images_NCHW: normalised training images, two or more a batch.
        batch_size: images a call.
    """
    if not batch_norms(net):
        return
    device, images = next(net.parameters()).device, readable(images_NCHW)
    with _Gathering(net):
        for start in range(0, len(images), batch_size):
            net(images[start : start + batch_size].to(device))


def recalibrate_where_better(net: nn.Module, images_NCHW: ReadableImages, judge: Callable[[nn.Module], float]) -> None:
    """Recalibrate a plain net in place, unless it is judged worse with the new statistics.

    An average of weights lags behind in its statistics: after few steps nets with many batch norms answer nothing but one class.

    Args:
        net: in eval mode afterwards.
        images_NCHW: normalised training images; one that would be alone in the last batch is left out.
        judge: larger is better.
    """
    if not batch_norms(net):
        return
    images = readable(images_NCHW)
    num = len(images) - (len(images) % BATCH_SIZE == 1)
    if num <= 1:  # of one image there is no spread
        return
    before, kept = judge(net.eval()), {name: value.clone() for name, value in net.state_dict().items()}
    recalibrate(net, images[:num])
    if judge(net.eval()) < before:
        net.load_state_dict(kept)


class _Gathering:
    """While it lasts, the batch norms of a net gather a plain average over batches; everything else is in eval mode, also after."""

    def __init__(self, net: nn.Module) -> None:
        self.net, self.norms = net, batch_norms(net)
        self.momenta = [norm.momentum for norm in self.norms]

    def __enter__(self) -> None:
        self.net.eval()
        for norm in self.norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()

    def __exit__(self, *error: object) -> None:
        for norm, momentum in zip(self.norms, self.momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


class Recalibration:
    """Subnets of a supernet as plain nets, each with batch-norm statistics of its own; the supernet is left alone.

    A state: statistics are estimated once a subnet and kept, and so are features that the subnets seen last have in common.

    Args:
        supernet: in eval mode.
        training_NCHW: normalised training images, two or more.
        memory_bytes: what the features may take.
    """

    def __init__(self, supernet: SlicedSupernet[Any], training_NCHW: ReadableImages, *, memory_bytes: int = MEMORY_BYTES) -> None:
        self.supernet = supernet
        self.training_NCHW = readable(training_NCHW)
        self._statistics: dict[Row, dict[str, Tensor]] = {}
        self._beginnings = _Beginnings(memory_bytes)

    @torch.no_grad()
    def net(self, genes: Row) -> nn.Module:
        """The plain net of one architecture in eval mode, with a copy of its weights and its own statistics."""
        if genes not in self._statistics:
            self._statistics[genes] = self._estimate(genes)
        net = self.supernet.extract(genes)
        net.load_state_dict(self._statistics[genes], strict=False)
        return net.eval()

    def _estimate(self, genes: Row) -> dict[str, Tensor]:
        """Statistics by their names in the plain net."""
        chain = self.supernet.chain(genes)
        first = next(place for place, (_, part) in enumerate(chain) if part.statistics)
        rest = nn.Sequential()
        for component, part in chain[first:]:
            module = self.supernet.sharing.build_component(component)
            own = {name: value.detach().clone() for name, value in part.given(part.weights).items()}
            module.load_state_dict(own, assign=True)
            rest.append(module)
        with _Gathering(rest):
            for start in range(0, len(self.training_NCHW), BATCH_SIZE):
                rest(self._features(genes, start, first))
        return {
            part.prefix + name: module.get_buffer(part.inner + name).clone()
            for module, (_, part) in zip(rest, chain[first:], strict=True)
            for name in part.statistics
        }

    def _features(self, genes: Row, start: int, num: int) -> Tensor:
        """What ``num`` components make of a batch of the training images."""
        net, spec = self.supernet, self.supernet.spec(genes)
        components: tuple[Hashable, ...] = tuple(spec.components[:num])
        batch = (start, spec.task.image_px)
        known, x = self._beginnings.longest(batch, components) if net.sharing.begins_alike else (0, None)
        if x is None:
            images_NCHW = _batch(self.training_NCHW, start).to(next(net.parameters()).device)
            x = resized(images_NCHW, spec.task.image_px)
        for place in range(known, num):
            x = net.compute(genes, place, x)
            if net.sharing.begins_alike:
                self._beginnings.keep(batch, components[: place + 1], x)
        return x


def recalibration_of(supernet: nn.Module, training_NCHW: ReadableImages | Recalibration | None) -> Recalibration | None:
    """What gives the subnets of a supernet their statistics; None where there is no batch norm, or nothing to estimate them on."""
    if training_NCHW is None or isinstance(training_NCHW, Recalibration):
        return training_NCHW
    if not batch_norms(supernet) or not isinstance(supernet, SlicedSupernet):  # every path of a classical one has its own
        return None
    return Recalibration(supernet, training_NCHW)


def identity_of(recalibration: Recalibration | None) -> dict[str, int]:
    """What predictions depend on beside weights and images, JSON-ready; nothing without batch norm."""
    return {} if recalibration is None else {"norm_images": len(recalibration.training_NCHW)}


def _batch(images_NCHW: Tensor | ImageSequence, start: int) -> Tensor:
    return images_NCHW[start : start + BATCH_SIZE]


class _Beginnings:
    """Features by the components that made them, the most recently asked for within so many bytes."""

    def __init__(self, memory_bytes: int) -> None:
        self.memory_bytes = memory_bytes
        self._kept: OrderedDict[tuple[Hashable, tuple[Hashable, ...]], Tensor] = OrderedDict()

    def longest(self, batch: Hashable, components: tuple[Hashable, ...]) -> tuple[int, Tensor | None]:
        """How many of the first components are known for a batch, and what they gave."""
        for num in range(len(components), 0, -1):
            key = (batch, components[:num])
            if key in self._kept:
                self._kept.move_to_end(key)
                return num, self._kept[key]
        return 0, None

    def keep(self, batch: Hashable, components: tuple[Hashable, ...], features: Tensor) -> None:
        """Keep features, and forget those that were not asked for longest."""
        self._kept[batch, components] = features
        while sum(each.nbytes for each in self._kept.values()) > self.memory_bytes:
            self._kept.popitem(last=False)
