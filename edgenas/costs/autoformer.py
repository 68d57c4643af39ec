"""Parameters and multiply-accumulates of AutoFormer's nets, component by component."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import product
from typing import Any

import numpy as np

from edgenas.costs.model import Term
from edgenas.costs.models import CostModels, counted
from edgenas.costs.shape import largest_of_tokens
from edgenas.spaces import SearchSpace, Task
from edgenas.spaces.autoformer import GEOMETRIES, BlockSpec, EmbedSpec, HeadSpec, block_spec, frame


def decompose(space: SearchSpace, task: Task) -> tuple[Term, ...]:
    """The space's nets as terms: what the embedding dimension alone decides, then one term a block.

    The genes of a block that a net may lack are -1 there, which indexes the last entry of its term: no component.

    Args:
        space: of the AutoFormer family.
        task: classes, channels and resolution.
    """
    geometry = GEOMETRIES[space.base_name]
    embed_column = space.index["embed_dim"]
    embed_dims: Any = space.choices[embed_column].options
    frames = np.empty(len(embed_dims), dtype=object)
    for option, embed_dim in enumerate(embed_dims):
        frames[option] = frame(geometry, task, embed_dim)
    terms = [Term((embed_column,), frames)]
    depths: Any = space.choices[space.index["depth"]].options
    for block in range(max(depths)):
        columns = (space.index[f"mlp_ratio[{block}]"], space.index[f"num_heads[{block}]"])
        ratios, heads = ([*space.choices[column].options] for column in columns)
        optional = space.choices[columns[0]].active_when is not None
        cells = np.empty((len(embed_dims), len(ratios) + optional, len(heads) + optional), dtype=object)
        cells.fill(())
        for embed, ratio, head in product(range(len(embed_dims)), range(len(ratios)), range(len(heads))):
            values: dict[str, Any] = {"embed_dim": embed_dims[embed], "mlp_ratio": ratios[ratio], "num_heads": heads[head]}
            cells[embed, ratio, head] = (block_spec(geometry, task.image_px, **values),)
        terms.append(Term((embed_column, *columns), cells))
    return tuple(terms)


def count_params(component: Hashable) -> int:
    """Parameters of a component, equal to those of the module built from it."""
    match component:
        case EmbedSpec():
            dim = component.embed_dim
            return dim * (component.in_channels * component.patch_size**2 + 1) + dim + (component.grid**2 + 1) * dim
        case BlockSpec():
            dim, qkv, hidden = component.embed_dim, component.qkv_dim, component.mlp_hidden
            positions = 4 * (2 * component.max_distance + 2) * component.head_dim
            return 4 * dim + 3 * (dim * qkv + qkv) + qkv * dim + dim + 2 * dim * hidden + hidden + dim + positions
        case HeadSpec():
            return 2 * component.embed_dim + component.embed_dim * component.num_classes + component.num_classes
    raise TypeError(f"{component!r} is no component of an AutoFormer net")


def count_macs(component: Hashable) -> int:
    """MACs of a component for one image: convolutions, linear layers and matrix products, as the built module runs them.

    Relative positions are ``2 * grid + 1`` more features of queries and keys, and of values, beside products of every patch with
    the vectors of all distances.
    """
    if not isinstance(component, BlockSpec):
        return _common_macs(component)
    patches, places = component.grid**2, 2 * component.grid + 1
    attention = 2 * (patches + 1) ** 2 * (component.qkv_dim + component.num_heads * places)
    vectors = 2 * (2 * component.grid - 1) + 1
    return _common_macs(component) + attention + 2 * patches * vectors * component.qkv_dim


def count_reference_macs(component: Hashable) -> int:
    """MACs of a component in the literature's convention: every pair of tokens meets its own row of the position tables."""
    if not isinstance(component, BlockSpec):
        return _common_macs(component)
    return _common_macs(component) + 4 * (component.grid**2 + 1) ** 2 * component.qkv_dim


def _common_macs(component: Hashable) -> int:
    """Convolutions and linear layers, which both conventions count alike."""
    match component:
        case EmbedSpec():
            return component.grid**2 * component.embed_dim * component.in_channels * component.patch_size**2
        case BlockSpec():
            widths = 4 * component.qkv_dim + 2 * component.mlp_hidden
            return (component.grid**2 + 1) * component.embed_dim * widths
        case HeadSpec():
            return component.embed_dim * component.num_classes
    raise TypeError(f"{component!r} is no component of an AutoFormer net")


def count_ancestor_macs(component: Hashable) -> float:
    """What ``get_complexity(grid²)`` of microsoft/Cream counts for a component.

    Its blocks see one token and its head no token less than there are (198 and 197 at 224 px), the head reads every token,
    relative positions cost the same at every width, and the absolute ones cost half a MAC a number.
    """
    match component:
        case EmbedSpec():
            return _common_macs(component) + component.embed_dim + (component.grid**2 + 1) * component.embed_dim / 2
        case BlockSpec():
            tokens, dim, qkv = component.grid**2 + 2, component.embed_dim, component.qkv_dim
            linear = tokens * dim * (4 * qkv + 2 * component.mlp_hidden)
            positions = tokens**2 * (2 * component.max_distance + 0.5) + tokens * qkv / 2
            return linear + 2 * tokens * dim + 2 * tokens**2 * qkv + positions
        case HeadSpec():
            return (component.grid**2 + 1) * component.embed_dim * component.num_classes
    raise TypeError(f"{component!r} is no component of an AutoFormer net")


def largest_tensor(component: Hashable) -> int:
    """Numbers in the largest tensor that a component reads as an image or writes for one image."""
    match component:
        case EmbedSpec():
            return max(component.in_channels * component.image_px**2, (component.grid**2 + 1) * component.embed_dim)
        case BlockSpec():
            return largest_of_tokens(
                component.grid, component.embed_dim, component.qkv_dim, component.num_heads, component.mlp_hidden
            )
        case HeadSpec():
            return max((component.grid**2 + 1) * component.embed_dim, component.num_classes)
    raise TypeError(f"{component!r} is no component of an AutoFormer")


def cost_models(space: SearchSpace, task: Task) -> CostModels:
    """``params``, ``macs``, ``reference_macs`` and ``ancestor_macs`` of the space's extracted nets."""
    return counted(
        decompose(space, task),
        params=count_params,
        macs=count_macs,
        reference_macs=count_reference_macs,
        ancestor_macs=count_ancestor_macs,
    )
