"""The supernet of every family: modules that hold weights, and plain nets that compute with slices of them.

A subnet is computed by the very modules that an extracted net consists of, component by component: each is built once without
weights, and called with the slices of one architecture in their place (`slots`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from threading import get_ident
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from edgenas.spaces import Genes, SearchSpace, Task
from edgenas.spaces.families import Spec
from edgenas.supernets.functional import FunctionalSubnet, WeightGroup
from edgenas.supernets.resize import resized
from edgenas.supernets.slots import Skeleton
from edgenas.supernets.weightless import weightless

Row = tuple[int, ...]


S = TypeVar("S", bound=Spec)


@dataclass(frozen=True, slots=True)
class ComponentWeights:
    """The weights of one component of a subnet.

    Attributes:
        prefix: what their names begin with in the plain net.
        weights: slices of the supernet's, by their names in the plain net without ``prefix``.
        statistics: buffers that training updates and files hold, named likewise.
        inner: what their names begin with in the component instead.
    """

    prefix: str
    weights: Mapping[str, Tensor]
    statistics: Mapping[str, Tensor] = field(default_factory=dict)
    inner: str = ""

    def given(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the component is called with: ``weights`` in the place of the part's own, and its statistics, by its names."""
        every = {**weights, **self.statistics}
        return {self.inner + name: value for name, value in every.items()} if self.inner else every


Parts = Callable[["SlicedSupernet[S]", S], Iterable[ComponentWeights]]


@dataclass(frozen=True, slots=True)
class Sharing(Generic[S]):
    """How the subnets of one family share weights.

    Attributes:
        lower: from a space, a row of genes and a task to the net that they stand for.
        build_net: a plain net.
        build_component: a component of it; one tensor to one tensor.
        parts: of a `SlicedSupernet`, the weights of every component of one subnet, in order.
        groups: the weights of a subnet that play a role in its blocks.
        sides: of families whose subnets may keep either end of a weight, the ways to slice it (BCNet), the family's own first.
        begins_alike: subnets whose components begin alike compute alike so far: a component's place in the net and the components
            before it decide which weights it has.
    """

    lower: Callable[[SearchSpace, Genes, Task], S]
    build_net: Callable[[S], nn.Module]
    build_component: Callable[[Hashable], nn.Module]
    parts: Parts[S]
    groups: Callable[[S], tuple[WeightGroup, ...]]
    sides: tuple[Parts[S], ...] = ()
    begins_alike: bool = False

    def net_of(self, space: SearchSpace, genes: Row, task: Task) -> nn.Module:
        """A freshly initialised plain net of one architecture."""
        return self.build_net(self.lower(space, np.asarray(genes, dtype=np.int16), task))


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and how a component computes.

    Attributes:
        device: of weights and constants.
        dtype: likewise.
        training: the mode of its modules.
        thread: that calls it; each has modules of its own, since those hold the weights of a call while it lasts.
    """

    device: torch.device
    dtype: torch.dtype
    training: bool
    thread: int


class SlicedSupernet(nn.Module, Generic[S]):
    """One set of weights that runs every architecture of a space.

    No active subnet is kept: the architecture is an argument of `forward`.

    Args:
        space: of the family that ``sharing`` is of.
        task: classes, channels and resolution.
        sharing: how weights become those of subnets.
        weights: modules that hold them, by the names that they have in a state dict; they are never called.

    Attributes:
        drop_path_rate: how often what a block adds is dropped in training, image by image: linearly from 0 at the first block to
            this at the last of the largest net, by a block's place and whatever the depth of a subnet, as AutoFormer does it.
    """

    def __init__(self, space: SearchSpace, task: Task, sharing: Sharing[S], weights: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.space = space
        self.task = task
        self.sharing = sharing
        self.drop_path_rate = 0.0
        self.spec = lru_cache(maxsize=65536)(self._spec)
        for name, module in weights.items():
            self.add_module(name, module)

    def _spec(self, genes: Row) -> S:
        return self.sharing.lower(self.space, np.asarray(genes, dtype=np.int16), self.task)

    def forward(self, images_NCHW: Tensor, genes: Row, parts: Parts[S] | None = None) -> Tensor:
        """Logits, shape (N, classes), of the subnet that one row of genes stands for; images are resized to its resolution.

        Args:
            images_NCHW: a batch.
            genes: one row.
            parts: another way to slice than the family's own.
        """
        spec, skeleton_of = self.spec(genes), self._skeletons(training=self.training)
        x = resized(images_NCHW, spec.task.image_px)
        drops = self._drops() if self.training and self.drop_path_rate else None
        for component, part in zip(spec.components, self._parts(spec, parts), strict=True):
            compute = skeleton_of(component)
            y = compute(part.given(part.weights), x)
            x = x + _dropped(y - x, next(drops)) if drops is not None and is_block(compute.module) else y
        return x

    def chain(self, genes: Row) -> list[tuple[Hashable, ComponentWeights]]:
        """The components of one subnet with their weights, in order."""
        spec = self.spec(genes)
        return list(zip(spec.components, self._parts(spec), strict=True))

    def compute(self, genes: Row, place: int, x: Tensor) -> Tensor:
        """What the component at one place of a subnet makes of its input, in eval mode."""
        component, part = self.chain(genes)[place]
        return self._skeletons(training=False)(component)(part.given(part.weights), x)

    def _drops(self) -> Iterator[float]:
        """The probability of every block of a subnet, in order."""
        largest = self.spec(tuple(int(gene) for gene in self.space.extreme(largest=True)[0]))
        skeleton_of = self._skeletons(training=self.training)
        depth = sum(is_block(skeleton_of(component).module) for component in largest.components)
        return (self.drop_path_rate * position / max(1, depth - 1) for position in range(depth))

    def _parts(self, spec: S, parts: Parts[S] | None = None) -> Iterable[ComponentWeights]:
        return (self.sharing.parts if parts is None else parts)(self, spec)

    def _skeletons(self, *, training: bool) -> Callable[[Hashable], Skeleton]:
        """What computes a component, on this net's device and in its precision."""
        some = next(self.parameters())
        return partial(skeleton, self.sharing.build_component, Setting(some.device, some.dtype, training, get_ident()))

    def slices(self, genes: Row, parts: Parts[S] | None = None) -> dict[str, Tensor]:
        """The weights of one subnet by their names in its plain net; gradients flow through to the supernet's."""
        sliced = self._parts(self.spec(genes), parts)
        return {part.prefix + name: value for part in sliced for name, value in part.weights.items()}

    @torch.no_grad()
    def extract(self, genes: Row, parts: Parts[S] | None = None) -> nn.Module:
        """A plain net that computes the same and owns a copy of exactly its weights, in this net's mode, on its device."""
        spec, some = self.spec(genes), next(self.parameters())
        net = weightless(lambda: self.sharing.build_net(spec), some.device, some.dtype)
        copies: dict[str, Tensor] = {}
        for part in self._parts(spec, parts):
            for name, value in (*part.weights.items(), *part.statistics.items()):
                copies[part.prefix + name] = value.clone(memory_format=torch.contiguous_format)
        net.load_state_dict(copies, assign=True)
        return net.requires_grad_().train(self.training)

    def functional(self, genes: Row) -> FunctionalSubnet:
        """One subnet as a function of its weights, in their precision."""
        spec, some = self.spec(genes), next(self.parameters())
        chain = list(zip(spec.components, self._parts(spec), strict=True))

        def logits(images_NCHW: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
            dtype = next(iter(weights.values())).dtype
            setting = Setting(some.device, dtype, training=False, thread=get_ident())
            x = resized(images_NCHW, spec.task.image_px)
            for component, part in chain:
                own = {name: weights[part.prefix + name] for name in part.weights}
                statistics = {
                    name: value.to(dtype) if value.is_floating_point() else value for name, value in part.statistics.items()
                }
                x = skeleton(self.sharing.build_component, setting, component)(replace(part, statistics=statistics).given(own), x)
            return x

        return FunctionalSubnet(self.slices(genes), logits, self.sharing.groups(spec))


def _dropped(added: Tensor, probability: float) -> Tensor:
    """What a block adds, left out of each image with a probability."""
    from timm.layers.drop import drop_path

    result: Tensor = drop_path(added, probability, True)
    return result


def is_block(module: nn.Module) -> bool:
    """Whether a component adds to what it is given, which may then be all that is left."""
    return type(module).__name__.endswith("Block")


@lru_cache(maxsize=2048)
def skeleton(build_component: Callable[[Hashable], nn.Module], setting: Setting, component: Hashable) -> Skeleton:
    """A component without weights, but with its constants; kept."""
    module = weightless(lambda: build_component(component), setting.device, setting.dtype)
    return Skeleton(module.train(setting.training))
