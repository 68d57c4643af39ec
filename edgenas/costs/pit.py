"""Parameters and multiply-accumulates of PiT's nets, component by component."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import product
from typing import Any

import numpy as np

from edgenas.costs.model import Term
from edgenas.costs.models import CostModels, counted
from edgenas.costs.shape import largest_of_tokens
from edgenas.spaces import SearchSpace, Task
from edgenas.spaces.pit import (
    GEOMETRIES,
    NUM_STAGES,
    BlockSpec,
    EmbedSpec,
    HeadSpec,
    PoolSpec,
    block_spec,
    embed_spec,
    head_spec,
    pool_spec,
)


def decompose(space: SearchSpace, task: Task) -> tuple[Term, ...]:
    """The space's nets as terms: entrance, head, and for every stage its pooling and its blocks.

    Args:
        space: of the PiT family.
        task: classes, channels and resolution.
    """
    geometry = GEOMETRIES[space.base_name]

    def term(names: Sequence[str], components: Callable[..., tuple[Hashable, ...]]) -> Term:
        """Cells by the options of the named genes, which are handed over in order."""
        columns = tuple(space.index[name] for name in names)
        options = [space.choices[column].options for column in columns]
        cells = np.empty([len(values) for values in options], dtype=object)
        for index, values in zip(np.ndindex(cells.shape), product(*options), strict=True):
            cells[index] = components(*values)
        return Term(columns, cells)

    def blocks(stage: int) -> Callable[..., tuple[Hashable, ...]]:
        def of_genes(base: Any, ratio: Any, heads: Any, depth: int) -> tuple[Hashable, ...]:
            return (block_spec(geometry, task, stage, base_dim=base, num_heads=heads, mlp_ratio=ratio),) * depth

        return of_genes

    def pool(stage: int) -> Callable[..., tuple[Hashable, ...]]:
        def of_genes(base: Any, before: Any, heads: Any) -> tuple[Hashable, ...]:
            return (pool_spec(geometry, task, stage, base_dim=base, in_heads=before, num_heads=heads),)

        return of_genes

    terms = [term(("base_dim", "num_heads[0]"), lambda base, heads: (embed_spec(geometry, task, base_dim=base, num_heads=heads),))]
    for stage in range(NUM_STAGES):
        if stage:
            terms.append(term(("base_dim", f"num_heads[{stage - 1}]", f"num_heads[{stage}]"), pool(stage)))
        terms.append(term(("base_dim", "mlp_ratio", f"num_heads[{stage}]", f"depths[{stage}]"), blocks(stage)))
    last = f"num_heads[{NUM_STAGES - 1}]"
    terms.append(term(("base_dim", last), lambda base, heads: (head_spec(geometry, task, base_dim=base, num_heads=heads),)))
    return tuple(terms)


def count_params(component: Hashable) -> int:
    """Parameters of a component, equal to those of the module built from it."""
    match component:
        case EmbedSpec():
            dim = component.embed_dim
            return dim * (component.in_channels * component.patch_size**2 + 1) + dim + component.grid**2 * dim
        case PoolSpec():
            first, second = component.in_dim, component.embed_dim
            return 9 * max(first, second) + second + first * second + second
        case BlockSpec():
            dim, hidden = component.embed_dim, component.mlp_hidden
            return 4 * dim + 4 * (dim * dim + dim) + 2 * dim * hidden + hidden + dim
        case HeadSpec():
            return 2 * component.embed_dim + component.embed_dim * component.num_classes + component.num_classes
    raise TypeError(f"{component!r} is no component of a PiT")


def count_macs(component: Hashable) -> int:
    """MACs of a component for one image: convolutions, linear layers and matrix products, as the built module runs them."""
    attention = 2 * (component.grid**2 + 1) ** 2 * component.embed_dim if isinstance(component, BlockSpec) else 0
    return count_reference_macs(component) + attention


def count_reference_macs(component: Hashable) -> int:
    """MACs of a component in convolutions and linear layers alone.

    The reference counts of TF-TAS's nets leave out the products of queries, keys and values: they were made by fvcore with fused
    attention, which it skips. PiT's own publication counts them; so does `count_macs`.
    """
    match component:
        case EmbedSpec():
            return component.grid**2 * component.embed_dim * component.in_channels * component.patch_size**2
        case PoolSpec():
            first, second = component.in_dim, component.embed_dim
            return 9 * component.grid**2 * max(first, second) + first * second
        case BlockSpec():
            dim = component.embed_dim
            return (component.grid**2 + 1) * dim * (4 * dim + 2 * component.mlp_hidden)
        case HeadSpec():
            return component.embed_dim * component.num_classes
    raise TypeError(f"{component!r} is no component of a PiT")


def largest_tensor(component: Hashable) -> int:
    """Numbers in the largest tensor that a component reads as an image or writes for one image."""
    match component:
        case EmbedSpec():
            return max(component.in_channels * component.image_px**2, (component.grid**2 + 1) * component.embed_dim)
        case PoolSpec():
            return (component.grid**2 + 1) * component.embed_dim
        case BlockSpec():
            dim = component.embed_dim
            return largest_of_tokens(component.grid, dim, dim, component.num_heads, component.mlp_hidden)
        case HeadSpec():
            return max(component.embed_dim, component.num_classes)  # its norm reads the class token alone
    raise TypeError(f"{component!r} is no component of a PiT")


def cost_models(space: SearchSpace, task: Task) -> CostModels:
    """``params``, ``macs`` and ``reference_macs`` of the space's extracted nets."""
    return counted(decompose(space, task), params=count_params, macs=count_macs, reference_macs=count_reference_macs)
