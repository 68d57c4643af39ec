"""Parameters and multiply-accumulates of Pyramid Vision Transformers, component by component."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import pairwise, product

import numpy as np

from edgenas.costs.model import Term
from edgenas.costs.models import CostModels, counted
from edgenas.spaces import SearchSpace, Task
from edgenas.spaces.pvt import (
    GEOMETRIES,
    BlockSpec,
    HeadSpec,
    PatchEmbedSpec,
    StageNormSpec,
    block_spec,
    lower,
    stage_option,
)


def decompose(space: SearchSpace, task: Task) -> tuple[Term, ...]:
    """The space's nets as terms: one of everything but blocks, then the blocks of every stage.

    Args:
        space: of the PVT family.
        task: classes, channels and resolution.
    """
    geometry = GEOMETRIES[space.base_name]
    smallest = lower(space, space.extreme(largest=False)[0], task)
    frame = np.empty((), dtype=object)
    frame[()] = tuple(component for component in smallest.components if not isinstance(component, BlockSpec))
    terms = [Term((), frame)]
    for stage in range(len(geometry.embed_dims)):
        pool_column = space.index["pool_size"]
        depth_column, depths = stage_option(space, "depths", stage)
        qkv_column, qkv_dims = stage_option(space, "qkv_dims", stage)
        mlp_column, mlp_ratios = stage_option(space, "mlp_ratios", stage)
        pools = space.choices[pool_column].options
        cells = np.empty((len(pools), len(depths), len(qkv_dims), len(mlp_ratios)), dtype=object)
        for index in product(*(range(size) for size in cells.shape)):
            pool, depth, qkv, mlp = index
            block = block_spec(
                geometry,
                task.image_px,
                stage,
                pool_size=pools[pool],  # type: ignore[arg-type]  # pool sizes are integers
                qkv_dim=qkv_dims[qkv],
                mlp_ratio=mlp_ratios[mlp],
            )
            cells[index] = (block,) * depths[depth]
        terms.append(Term((pool_column, depth_column, qkv_column, mlp_column), cells))
    return tuple(terms)


def num_keys(block: BlockSpec) -> int:
    """Tokens that keys and values are computed for."""
    if block.reduction == "none":
        return block.grid**2
    if block.reduction == "pool":
        return block.reduction_size**2
    return (block.grid // block.reduction_size) ** 2


def count_params(component: Hashable) -> int:
    """Parameters of a component, equal to those of the module built from it."""
    match component:
        case PatchEmbedSpec():
            return component.embed_dim * (component.in_channels * component.kernel_size**2 + 1) + 2 * component.embed_dim
        case StageNormSpec():
            return 2 * component.embed_dim
        case HeadSpec():
            dims = (component.embed_dim, *component.hidden_dims, component.num_classes)
            linear = sum(first * second + second for first, second in pairwise(dims))
            return linear + 2 * sum(component.hidden_dims)
        case BlockSpec():
            dim, qkv, hidden = component.embed_dim, component.qkv_dim, component.mlp_hidden
            attention = 3 * (dim * qkv + qkv) + qkv * dim + dim
            if component.reduction != "none":
                kernel = component.reduction_size**2 if component.reduction == "conv" else 1
                attention += dim * dim * kernel + dim + 2 * dim
            mlp = dim * hidden + hidden + 10 * hidden + hidden * dim + dim
            return attention + mlp + 4 * dim
    raise TypeError(f"{component!r} is no component of a PVT")


def count_macs(component: Hashable) -> int:
    """MACs of a component for one image: convolutions, linear layers and matrix products, as the built module runs them."""
    return count_reference_macs(component) + _pooling_macs(component)


def count_reference_macs(component: Hashable) -> int:
    """MACs of a component in the literature's convention: as `count_macs`, but pooling is free and before the linear layer."""
    match component:
        case PatchEmbedSpec():
            return component.grid**2 * component.embed_dim * component.in_channels * component.kernel_size**2
        case StageNormSpec():
            return 0
        case HeadSpec():
            dims = (component.embed_dim, *component.hidden_dims, component.num_classes)
            return sum(first * second for first, second in pairwise(dims))
        case BlockSpec():
            dim, qkv, hidden = component.embed_dim, component.qkv_dim, component.mlp_hidden
            tokens, keys = component.grid**2, num_keys(component)
            attention = 2 * tokens * dim * qkv + 2 * keys * dim * qkv + 2 * tokens * keys * qkv
            if component.reduction != "none":
                kernel = component.reduction_size**2 if component.reduction == "conv" else 1
                attention += keys * dim * dim * kernel
            return attention + 2 * tokens * dim * hidden + 9 * tokens * hidden
    raise TypeError(f"{component!r} is no component of a PVT")


def _pooling_macs(component: Hashable) -> int:
    """What averaging adds; where there are more cells than tokens it comes after the linear layer, which then sees fewer."""
    if not isinstance(component, BlockSpec) or component.reduction != "pool" or component.reduction_size == component.grid:
        return 0
    cells, grid = component.reduction_size, component.grid
    saved = max(0, cells**2 - grid**2) * component.embed_dim**2
    return (cells * grid * grid + cells * cells * grid) * component.embed_dim - saved


def largest_tensor(component: Hashable) -> int:
    """Numbers in the largest tensor that a component reads as an image or writes for one image."""
    match component:
        case PatchEmbedSpec():
            image = component.in_channels * component.in_grid**2 if component.reads_image else 0
            return max(image, component.grid**2 * component.embed_dim)
        case BlockSpec():
            return _largest_of_block(component)
        case StageNormSpec():
            return component.grid**2 * component.embed_dim
        case HeadSpec():
            return max(component.embed_dim, *component.hidden_dims, component.num_classes)
    raise TypeError(f"{component!r} is no component of a PVT")


def _largest_of_block(block: BlockSpec) -> int:
    """Norms, shortcuts and the MLP on all tokens; keys and values in one tensor; scores of every head."""
    tokens, keys = block.grid**2, num_keys(block)
    reduced = 0 if block.reduction == "none" else keys * block.embed_dim
    of_tokens = tokens * max(block.embed_dim, block.qkv_dim, block.mlp_hidden)
    return max(of_tokens, reduced, 2 * keys * block.qkv_dim, block.num_heads * tokens * keys)


def cost_models(space: SearchSpace, task: Task) -> CostModels:
    """``params``, ``macs`` and ``reference_macs`` of the space's extracted nets."""
    return counted(decompose(space, task), params=count_params, macs=count_macs, reference_macs=count_reference_macs)
