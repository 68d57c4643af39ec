"""Parameters and multiply-accumulates of mobile nets, component by component."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.costs.model import Term, sum_of_components
from edgenas.costs.models import CostModels
from edgenas.costs.pvt_mobile_star import star_largest_tensor, star_macs, star_params
from edgenas.spaces import SearchSpace, Task
from edgenas.spaces.base import RESOLUTION
from edgenas.spaces.pvt_mobile import (
    GEOMETRIES,
    NO_ATTENTION,
    STEM_STRIDE,
    AttentionBlockSpec,
    ConvBlockSpec,
    DownsampleSpec,
    Grids,
    HeadSpec,
    StemSpec,
    block_specs,
    downsample_spec,
    grids_of,
    head_spec,
    is_plain,
    stem_spec,
)
from edgenas.spaces.pvt_mobile_star import StarComponent

Conv = tuple[int, int, int]  # outputs, inputs of each and rows of its kernel, with a batch norm after it


def decompose(space: SearchSpace, task: Task) -> tuple[Term, ...]:
    """The space's nets as terms, all of which hang on the grids: stem, stages' entrances, places of blocks, head.

    The genes of a place that a net may lack are -1 there, which indexes the last entry of its term: no component.

    Args:
        space: of the mobile family.
        task: classes and channels; the resolution is a gene.
    """
    geometry = GEOMETRIES[space.base_name]

    def stem(grids: Grids, dim: int) -> tuple[Any, ...]:
        return (stem_spec(geometry, grids, in_channels=task.in_channels, embed_dim=dim),)

    def head(grids: Grids, dim: int, dims: tuple[int, int]) -> tuple[Any, ...]:
        return (head_spec(geometry, grids, embed_dim=dim, dims=dims, num_classes=task.num_classes),)

    terms = [_term(space, ("stem_dim",), stem)]
    drawn: dict[Hashable, NDArray[np.object_]] = {}
    for stage in range(len(geometry.stages)):
        terms.append(_entrance(space, stage))
        depth = space.index.get(f"stages[{stage}].depth")
        depths: Any = () if depth is None else space.choices[depth].options
        terms += [_place(space, stage, place, drawn) for place in range(max(depths, default=0))]
    return (*terms, _term(space, (f"stages[{len(geometry.stages) - 1}].embed_dim", "head"), head))


def _of_grids(space: SearchSpace) -> tuple[str, ...]:
    """Names of the choices that all grids hang on."""
    return tuple(name for name in (RESOLUTION, STEM_STRIDE) if name in space.index)


def _columns(space: SearchSpace, names: tuple[str, ...]) -> tuple[int, ...]:
    """The columns of a term of these choices: before them come those that its grids hang on."""
    return tuple(space.index[name] for name in (*_of_grids(space), *names))


def _term(space: SearchSpace, names: tuple[str, ...], components: Callable[..., tuple[Any, ...]]) -> Term:
    """The components of every combination of some choices' options on every grid; none where a conditional choice is inactive."""
    columns, num_first = _columns(space, names), len(_of_grids(space))
    choices = [space.choices[column] for column in columns]
    cells = np.empty([len(choice.options) + (choice.active_when is not None) for choice in choices], dtype=object)
    cells.fill(())
    for index in product(*(range(len(choice.options)) for choice in choices)):
        options: Any = [choice.options[option] for choice, option in zip(choices, index, strict=True)]
        grids = grids_of(GEOMETRIES[space.base_name], *options[:num_first])
        cells[index] = components(grids, *options[num_first:])
    return Term(columns, cells)


def _entrance(space: SearchSpace, stage: int) -> Term:
    geometry, at = GEOMETRIES[space.base_name], f"stages[{stage}]"

    def components(grids: Grids, in_dim: int, dim: int, expansion: int) -> tuple[Any, ...]:
        return (downsample_spec(geometry, stage, grids, in_dim=in_dim, embed_dim=dim, expansion=expansion),)

    before = f"stages[{stage - 1}].embed_dim" if stage else "stem_dim"
    return _term(space, (before, f"{at}.embed_dim", f"{at}.expansion"), components)


def _place(space: SearchSpace, stage: int, place: int, drawn: dict[Hashable, NDArray[np.object_]]) -> Term:
    """The blocks of a place; places of a stage that have the same options share their cells, which are kept in ``drawn``."""
    geometry, at = GEOMETRIES[space.base_name], f"stages[{stage}]"

    def components(grids: Grids, dim: int, kernels: Any, expansion: int, attention: Any = NO_ATTENTION) -> tuple[Any, ...]:
        return block_specs(geometry, stage, grids, embed_dim=dim, kernels=kernels, expansion=expansion, attention=attention)

    genes = [f"{at}.blocks[{place}].{gene}" for gene in ("kernels", "expansion", "attention")]
    names = (f"{at}.embed_dim", *(gene for gene in genes if gene in space.index))
    choices = [space.choices[space.index[name]] for name in names]
    kind = (stage, *((choice.options, choice.active_when is not None) for choice in choices))
    if kind not in drawn:
        cells = _term(space, names, components).cells
        drawn[kind] = _without_expansion(cells, len(_of_grids(space)) + 1, choices[1].options)
    return Term(_columns(space, names), drawn[kind])


def _without_expansion(cells: NDArray[np.object_], axis: int, kernels: tuple[Any, ...]) -> NDArray[np.object_]:
    """The cells of a place, in which plain blocks, whose expansion is inactive, are the same as with any; ``axis`` of kernels."""
    by_kernels = np.moveaxis(cells, (axis, axis + 1), (0, 1))  # a view; the expansions follow the kernels
    plain = [option for option, own in enumerate(kernels) if is_plain(own)]
    by_kernels[plain, -1] = by_kernels[plain, 0]
    return cells


def count_params(component: Hashable) -> int:
    """Parameters of a component, equal to those of the module built from it."""
    if isinstance(component, StarComponent):
        return star_params(component)
    convs = sum(out * each * kernel**2 + 2 * out for (out, each, kernel), _ in _convs(component))
    match component:
        case AttentionBlockSpec():
            dim = component.embed_dim
            return convs + 2 * dim + 2 * dim * (component.qkv_dim + component.kv_dim) + dim * component.layer_scale
        case DownsampleSpec() | ConvBlockSpec():
            return convs + component.embed_dim * component.layer_scale
        case HeadSpec():
            return convs + component.last_dim * component.num_classes + component.num_classes
    return convs


def count_macs(component: Hashable) -> int:
    """MACs of a component for one image: convolutions, linear layers and matrix products."""
    if isinstance(component, StarComponent):
        return star_macs(component)
    convs = sum(out * each * kernel**2 * side**2 for (out, each, kernel), side in _convs(component))
    match component:
        case AttentionBlockSpec():
            tokens, keys, dim = component.grid**2, component.key_grid**2, component.embed_dim
            projections = 2 * dim * (tokens * component.qkv_dim + keys * component.kv_dim)
            return convs + projections + 2 * tokens * keys * component.qkv_dim
        case HeadSpec():
            return convs + component.last_dim * component.num_classes
    return convs


def _convs(component: Hashable) -> list[tuple[Conv, int]]:
    """The convolutions of a component that a batch norm follows, each with the rows of what it gives."""
    match component:
        case StemSpec():
            return [((component.embed_dim, component.in_channels, 3), component.grid)]
        case DownsampleSpec():
            return _bottleneck(component, component.in_dim, component.in_grid)
        case ConvBlockSpec():
            return _bottleneck(component, component.embed_dim, component.grid)
        case AttentionBlockSpec():
            down = ((component.embed_dim, 1, 3), component.key_grid)
            return [down, down] if component.kind == "mqa" and component.kv_stride > 1 else []
        case HeadSpec():
            neck = ((component.neck_dim, component.embed_dim, 1), component.grid)
            hidden = ((component.hidden_dim, component.pooled_dim, 1), 1)
            return [conv for conv in (neck, hidden) if conv[0][0]]
    raise TypeError(f"{component!r} is no component of a mobile net")


def _bottleneck(spec: DownsampleSpec | ConvBlockSpec, in_dim: int, in_grid: int) -> list[tuple[Conv, int]]:
    """The last convolution of more than one row strides, the widening one before one that follows it."""
    start, expand, mid = spec.kernels
    if is_plain(spec.kernels):
        return [((spec.embed_dim, in_dim, mid), spec.grid)]
    after_expand = spec.grid if not mid and (expand > 1 or start) else in_grid
    after_start = spec.grid if not mid and expand == 1 else in_grid
    convs = [((in_dim, 1, start), after_start)] if start else []
    convs.append(((spec.mlp_hidden, in_dim, expand), after_expand))
    convs += [((spec.mlp_hidden, 1, mid), spec.grid)] if mid else []
    return [*convs, ((spec.embed_dim, spec.mlp_hidden, 1), spec.grid)]


def largest_tensor(component: Hashable) -> int:
    """Numbers in the largest tensor that a component reads as an image or writes for one image."""
    if isinstance(component, StarComponent):
        return star_largest_tensor(component)
    convs = max((out * side**2 for (out, _, _), side in _convs(component)), default=0)
    match component:
        case StemSpec():
            return max(component.in_channels * component.in_grid**2, convs)
        case ConvBlockSpec():
            return max(component.grid**2 * component.embed_dim, convs)
        case AttentionBlockSpec():
            tokens, keys = component.grid**2, component.key_grid**2
            features = max(tokens * max(component.embed_dim, component.qkv_dim), keys * component.kv_dim)
            return max(features, component.num_heads * tokens * keys)
        case HeadSpec():
            return max(convs, component.num_classes)
    return convs


def cost_models(space: SearchSpace, task: Task) -> CostModels:
    """``params``, ``macs`` and ``reference_macs`` of the space's extracted nets; averages before keys are free in both."""
    terms = decompose(space, task)
    macs = sum_of_components("macs", "MACs", terms, count_macs)
    return CostModels(
        params=sum_of_components("params", "params", terms, count_params),
        macs=macs,
        reference_macs=replace(macs, name="reference_macs"),
    )


__all__ = ["cost_models", "count_macs", "count_params", "decompose", "largest_tensor"]
