"""Parameters and multiply-accumulates of elastic PVTs: the components are a PVT's, the terms have more genes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from edgenas.costs.model import Term
from edgenas.costs.models import CostModels, counted
from edgenas.costs.pvt import count_macs, count_params, count_reference_macs, largest_tensor
from edgenas.spaces import SearchSpace, Task
from edgenas.spaces.base import RESOLUTION
from edgenas.spaces.pvt import HeadSpec, StageNormSpec
from edgenas.spaces.pvt_elastic import GEOMETRIES, NUM_STAGES, block_spec, patch_embed_spec


def decompose(space: SearchSpace, task: Task) -> tuple[Term, ...]:
    """The space's nets as terms, all of which hang on the resolution: stems, stages' frames, blocks, the head.

    The genes of a block that a net may lack are -1 there, which indexes the last entry of its term: no component.

    Args:
        space: of the elastic PVT family.
        task: classes and channels; the resolution is a gene.
    """
    terms = [_frame(space, stage, task) for stage in range(NUM_STAGES)]
    last = f"stages[{NUM_STAGES - 1}].embed_dim"
    grids = GEOMETRIES[space.base_name].grids
    terms.append(_term(space, (RESOLUTION, last), lambda px, dim: (HeadSpec(grids(px)[-1], dim, (), (), task.num_classes),)))
    for stage in range(NUM_STAGES):
        depths: Any = space.choices[space.index[f"stages[{stage}].depth"]].options
        terms += [_block(space, stage, block) for block in range(max(depths))]
    return tuple(terms)


def _term(space: SearchSpace, names: tuple[str, ...], components: Callable[..., tuple[Any, ...]]) -> Term:
    """The components that every combination of some choices' options makes; none where a conditional one is inactive."""
    columns = tuple(space.index[name] for name in names)
    choices = [space.choices[column] for column in columns]
    cells = np.empty([len(choice.options) + (choice.active_when is not None) for choice in choices], dtype=object)
    cells.fill(())
    for index in product(*(range(len(choice.options)) for choice in choices)):
        cells[index] = components(*(choice.options[option] for choice, option in zip(choices, index, strict=True)))
    return Term(columns, cells)


def _frame(space: SearchSpace, stage: int, task: Task) -> Term:
    """Patch embedding and norm of a stage."""
    geometry = GEOMETRIES[space.base_name]

    def components(resolution_px: int, *dims: int) -> tuple[Any, ...]:
        in_channels = dims[0] if stage else task.in_channels
        embed = patch_embed_spec(geometry, stage, resolution_px, in_channels=in_channels, embed_dim=dims[-1])
        return embed, StageNormSpec(embed.grid, dims[-1])

    before = (f"stages[{stage - 1}].embed_dim",) if stage else ()
    return _term(space, (RESOLUTION, *before, f"stages[{stage}].embed_dim"), components)


def _block(space: SearchSpace, stage: int, block: int) -> Term:
    geometry, at = GEOMETRIES[space.base_name], f"stages[{stage}]"

    def components(resolution_px: int, embed_dim: int, reduction: Any, qkv_dim: int, mlp_ratio: float) -> tuple[Any, ...]:
        grid = geometry.grids(resolution_px)[stage]
        return (block_spec(geometry, grid, embed_dim=embed_dim, reduction=reduction, qkv_dim=qkv_dim, mlp_ratio=mlp_ratio),)

    genes = (RESOLUTION, *(f"{at}.{name}" for name in ("embed_dim", "reduction", f"blocks[{block}].qkv_dim")))
    return _term(space, (*genes, f"{at}.blocks[{block}].mlp_ratio"), components)


def cost_models(space: SearchSpace, task: Task) -> CostModels:
    """``params``, ``macs`` and ``reference_macs`` of the space's extracted nets."""
    return counted(decompose(space, task), params=count_params, macs=count_macs, reference_macs=count_reference_macs)


__all__ = ["cost_models", "count_params", "decompose", "largest_tensor"]
