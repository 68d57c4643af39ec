"""A supernet without shared weights: every option of a choice block has weights of its own, as in classical one-shot search.

Single path one-shot search (Guo et al., SPOS, arXiv:1904.00420) keeps one block per option and place and runs one of them a step.
It is here to show what weight entanglement buys. Blocks of equal widths at one place are the same block at every depth; what is
before, between and after the blocks is shared where all nets have it alike.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgenas.spaces import SearchSpace, Task
from edgenas.spaces.families import family as net_family
from edgenas.supernets import build_net, family
from edgenas.supernets.resize import resized


class TermLike(Protocol):
    """Which components a few genes choose, e.g. `edgenas.costs.Term`."""

    @property
    def genes(self) -> tuple[int, ...]:
        """Columns of a row of genes."""
        ...

    @property
    def cells(self) -> NDArray[np.object_]:
        """Components in order, a tuple for all options of these genes."""
        ...


class ClassicalSupernet(nn.Module):
    """Private weights for every component that a place of a net can have.

    Args:
        space: of any family.
        task: classes, channels and resolution.
        terms: of the space's nets, from `edgenas.costs.decompose`; together a row's cells are the components of its net.
    """

    def __init__(self, space: SearchSpace, task: Task, terms: Sequence[TermLike]) -> None:
        super().__init__()
        self.space = space
        self.task = task
        self._terms = tuple(terms)
        self._keys: dict[tuple[int, int, Hashable], str] = {}
        self.options = nn.ModuleDict()
        counts: dict[tuple[int, int], int] = {}
        for number, term in enumerate(self._terms):
            for index in np.ndindex(term.cells.shape):
                cell: Any = term.cells[index]
                for place, component in enumerate(cell):
                    if (number, place, component) not in self._keys:
                        option = counts.get((number, place), 0)
                        counts[number, place] = option + 1
                        key = f"{number}_{place}_{option}"
                        self._keys[number, place, component] = key
                        self.options[key] = family(space).build_component(component)
        self.route = lru_cache(maxsize=65536)(self._route)
        self.train()

    def _route(self, genes: tuple[int, ...]) -> tuple[int, tuple[str, ...]]:
        """Resolution of one net, and the names of its components in the order they are computed."""
        left: list[tuple[Hashable, str]] = []
        for number, term in enumerate(self._terms):
            cell: Any = term.cells[tuple(genes[gene] for gene in term.genes)]
            left += [(component, self._keys[number, place, component]) for place, component in enumerate(cell)]
        route = []
        spec = net_family(self.space).lower(self.space, np.asarray(genes, dtype=np.int16), self.task)
        for component in spec.components:
            position = next(position for position, (other, _) in enumerate(left) if other == component)
            route.append(left.pop(position)[1])
        return spec.task.image_px, tuple(route)

    def forward(self, images_NCHW: Tensor, genes: tuple[int, ...]) -> Tensor:
        """Logits, shape (N, classes), of the net that one row of genes stands for; images are resized to its resolution."""
        image_px, keys = self.route(genes)
        x = resized(images_NCHW, image_px)
        for key in keys:
            x = self.options[key](x)
        return x

    @torch.no_grad()
    def extract(self, genes: tuple[int, ...]) -> nn.Module:
        """A plain net that computes the same and owns a copy of exactly its weights, in this net's mode, on its device."""
        net = build_net(self.space, self.task, genes).to(next(self.parameters()).device)
        fill_from_components(net, [self.options[key] for key in self.route(genes)[1]])
        return net.train(self.training)


def fill_from_components(net: nn.Module, components: Sequence[nn.Module]) -> None:
    """Copy the weights of a chain of components into the plain net that it stands for.

    A component's names are the net's with something before them; components come in the net's order.

    Raises:
        ValueError: if the components are not those of the net.
    """
    left = dict(net.state_dict())
    for component in components:
        for name, value in _placed(component.state_dict(), left).items():
            left.pop(name).copy_(value)
    if left:
        raise ValueError(f"the components lack {', '.join(left)}")


def _placed(part: Mapping[str, Tensor], left: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A component's weights by their names in the net: the first of those left where all of them fit."""
    if not part:
        return {}
    stripped = {name.partition(".")[2]: value for name, value in part.items() if name.partition(".")[0].isdigit()}
    for weights in (part, stripped):  # a chain of modules numbers its own
        if len(weights) != len(part):
            continue
        first = next(iter(weights))
        for candidate in left:
            prefix = candidate.removesuffix(first)
            if (prefix + first == candidate) and (not prefix or prefix.endswith(".")):
                named = {prefix + name: value for name, value in weights.items()}
                if all(name in left and left[name].shape == value.shape for name, value in named.items()):
                    return named
    raise ValueError(f"the net has no place for a component of {', '.join(part)}")
