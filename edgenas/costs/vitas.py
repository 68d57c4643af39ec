"""Parameters and multiply-accumulates of ViTAS's nets, component by component."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.costs import autoformer
from edgenas.costs.model import CostModel, Factor, Term
from edgenas.costs.models import CostModels
from edgenas.costs.shape import largest_of_tokens
from edgenas.spaces import SearchSpace, Task
from edgenas.spaces.autoformer import HeadSpec
from edgenas.spaces.vitas import GEOMETRIES, BlockSpec, frame


def decompose(space: SearchSpace, task: Task) -> tuple[Term, ...]:
    """The space's nets as terms: what patches and embedding decide, then one term a block, or one where all blocks are alike.

    An identity is no component; its widths are -1, which indexes the last entry of its term.

    Args:
        space: of the ViTAS family.
        task: classes, channels and resolution.
    """
    geometry = GEOMETRIES[space.base_name]
    patches, dims, heads, qkv, hidden = _axes(space)
    frames = np.empty((len(patches), len(dims)), dtype=object)
    for index in np.ndindex(frames.shape):
        frames[index] = frame(task, patches[index[0]], dims[index[1]])
    columns = (space.index["patch_size"], space.index["embed_dim"])
    optional = not geometry.tied
    shape = (len(patches), len(dims), len(heads) + optional, len(qkv) + optional, len(hidden) + optional)
    cells = np.empty(shape, dtype=object)
    cells.fill(())
    for patch, dim, head, q, mlp in product(*map(range, map(len, (patches, dims, heads, qkv, hidden)))):
        grid = task.image_px // patches[patch]
        block = BlockSpec(grid, dims[dim], heads[head], qkv[q] // 3, hidden[mlp])
        cells[patch, dim, head + optional, q, mlp] = (block,)
    if optional:
        own = [_columns(space, f"blocks[{place}]") for place in range(geometry.num_blocks)]
        return (Term(columns, frames), *(Term((*columns, *block), cells) for block in own))
    deep = np.empty((geometry.num_blocks, *shape), dtype=object)
    for index in np.ndindex(deep.shape):
        deep[index] = cells[index[1:]] * (index[0] + 1)
    return Term(columns, frames), Term((space.index["blocks.depth"], *columns, *_columns(space, "blocks")), deep)


def _axes(space: SearchSpace) -> tuple[Any, ...]:
    """Patch sizes, embedding dimensions, head numbers and widths of q, k and v together and of the MLP."""
    geometry = GEOMETRIES[space.base_name]
    widths = (geometry.widths(full) for full in (geometry.embed_dim, geometry.qkv_out, geometry.mlp_hidden))
    embed_dims, qkv_outs, hidden = widths
    return geometry.patch_sizes, embed_dims, geometry.num_heads, qkv_outs, hidden


def _columns(space: SearchSpace, block: str) -> tuple[int, ...]:
    return tuple(space.index[f"{block}.{name}"] for name in ("num_heads", "qkv_out", "mlp_hidden"))


def count_params(component: Hashable) -> int:
    """Parameters of a component, equal to those of the module built from it."""
    if not isinstance(component, BlockSpec):
        return autoformer.count_params(component)
    dim, qkv, hidden = component.embed_dim, component.qkv_dim, component.mlp_hidden
    return 4 * dim + 3 * (dim * qkv + qkv) + qkv * dim + dim + 2 * dim * hidden + hidden + dim


def count_macs(component: Hashable) -> int:
    """MACs of a component for one image: convolutions, linear layers and matrix products.

    The net executes what the literature counts, so that these are ``reference_macs`` too.
    """
    if not isinstance(component, BlockSpec):
        return autoformer.count_macs(component)
    return _block_macs(component, component.grid**2 + 1)


def _block_macs(block: BlockSpec, tokens: int) -> int:
    """How many heads there are does not matter."""
    return tokens * block.embed_dim * (4 * block.qkv_dim + 2 * block.mlp_hidden) + 2 * tokens**2 * block.qkv_dim


def count_ancestor_macs(component: Hashable) -> int:
    """What ``count_flops`` of xiusu/ViTAS counts for a component: no class token, and a head that reads every patch."""
    match component:
        case BlockSpec():
            return _block_macs(component, component.grid**2)
        case HeadSpec():
            return component.grid**2 * component.embed_dim * component.num_classes
    return autoformer.count_macs(component)


def largest_tensor(component: Hashable) -> int:
    """Numbers in the largest tensor that a component reads as an image or writes for one image."""
    if not isinstance(component, BlockSpec):
        return autoformer.largest_tensor(component)
    return largest_of_tokens(component.grid, component.embed_dim, component.qkv_dim, component.num_heads, component.mlp_hidden)


def cost_models(space: SearchSpace, task: Task) -> CostModels:
    """``params``, ``macs``, ``reference_macs`` and ``ancestor_macs`` of the space's extracted nets."""
    return CostModels(
        params=_model(space, task, "params", "params", count_params),
        macs=_model(space, task, "macs", "MACs", count_macs),
        reference_macs=_model(space, task, "reference_macs", "MACs", count_macs),
        ancestor_macs=_model(space, task, "ancestor_macs", "MACs", count_ancestor_macs),
    )


def _model(space: SearchSpace, task: Task, name: str, unit: str, count: Callable[[Hashable], int]) -> CostModel:
    """As `sum_of_components` of the terms, but from one small table for all blocks: head numbers change no count."""
    geometry = GEOMETRIES[space.base_name]
    patches, dims, heads, qkv, hidden = _axes(space)
    frames = [[sum(map(count, frame(task, patch, dim))) for dim in dims] for patch in patches]
    table = np.array(
        [
            [[[count(BlockSpec(task.image_px // p, d, heads[0], q // 3, h)) for h in hidden] for q in qkv] for d in dims]
            for p in patches
        ],
        dtype=np.float64,
    )
    columns = (space.index["patch_size"], space.index["embed_dim"])
    factors = [Factor(columns, np.array(frames, dtype=np.float64))]
    if geometry.tied:
        depths_D: NDArray[np.float64] = np.arange(1, geometry.num_blocks + 1, dtype=np.float64)
        deep = depths_D[:, None, None, None, None] * table
        factors.append(Factor((space.index["blocks.depth"], *columns, *_columns(space, "blocks")[1:]), deep))
    else:
        padded = np.pad(table, [(0, 0), (0, 0), (0, 1), (0, 1)])  # an identity costs nothing
        own = [_columns(space, f"blocks[{place}]")[1:] for place in range(geometry.num_blocks)]
        factors += [Factor((*columns, *block), padded) for block in own]
    return CostModel(name, unit, tuple(factors))
