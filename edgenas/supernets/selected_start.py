"""Supernets and plain nets that start from selected weights of a larger net (`selection`).

A supernet is filled at its largest net; what its subnets do not share, such as the convolutions of other patches or other
reductions, is derived from the same weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from edgenas.errors import CheckpointError
from edgenas.spaces.base import SearchSpace
from edgenas.spaces.pvt_elastic import NUM_STAGES
from edgenas.spaces.vitas import GEOMETRIES
from edgenas.supernets.autoformer_start import simplify
from edgenas.supernets.pvt_elastic import stage_of, views
from edgenas.supernets.pvt_files import derive_reductions
from edgenas.supernets.selection import Donor, Method, Selected, exceeds, require_tables, select
from edgenas.supernets.selection_layouts import LAYOUTS, VIT, guessed_heads, heads_of, layout_of, named
from edgenas.supernets.sliced import SlicedSupernet
from edgenas.supernets.starting import abbreviated

Genes = tuple[int, ...]


def donor_of(state: Mapping[str, Tensor], source: str, heads: Mapping[str, int] | None = None) -> Donor:
    """Weights as a net that others can be started from.

    Args:
        state: of a plain net, by timm's names.
        source: where they are from, for messages.
        heads: by block; None where nothing tells, so that published nets have to.

    Raises:
        CheckpointError: if they are of no kind of net that is known, or listing what in them is not.
    """
    weights = named(state)
    layout = layout_of(weights)
    if layout is None:
        kinds = ", ".join(f"{kind.title} ({', '.join(kind.families)})" for kind in LAYOUTS.values())
        raise CheckpointError(f"{source} is of another kind of net than weights can be selected from: {kinds}")
    notes = simplify(weights) if layout is VIT else []
    unknown = [name for name in weights if layout.axes(name) is None]
    if unknown:
        problems = abbreviated([f"{name} is unknown" for name in unknown], "unknown")
        raise CheckpointError(f"{source} is no {layout.title} whose weights can be selected", problems=problems)
    if heads is None:
        heads, words = guessed_heads(layout, weights, source)
        notes.append(words)
    return Donor(layout, weights, heads, tuple(notes))


def require_kind(space: SearchSpace, donor: Donor, source: str) -> None:
    """Check that nets of a space are of the source's kind.

    Raises:
        CheckpointError: if they are of another.
    """
    if space.family not in donor.layout.families:
        raise CheckpointError(f"{source} is a {donor.layout.title}, and nets of {space.name} are of another family")


def select_net(net: nn.Module, space: SearchSpace, donor: Donor, method: Method, source: str) -> tuple[str, ...]:
    """Fill a plain net of a space with selected weights, in place.

    Returns:
        What was taken, adapted and left fresh, a sentence each.

    Raises:
        CheckpointError: if the source is of another family; nothing is changed then.
    """
    selected = _selected(net, space, donor, method, source)
    net.load_state_dict(selected.state)
    return selected.notes


def _selected(net: nn.Module, space: SearchSpace, donor: Donor, method: Method, source: str) -> Selected:
    require_kind(space, donor, source)
    heads = heads_of(net)
    require_tables(donor, heads, source, space.name)
    return select(donor, net.state_dict(), heads, method)


@torch.no_grad()
def select_supernet(supernet: nn.Module, donor: Donor, method: Method, source: str) -> tuple[str, ...]:
    """Fill a supernet with selected weights, in place; notes and errors as `select_net`."""
    ours = cast(SlicedSupernet[Any], supernet)
    require_kind(ours.space, donor, source)
    genes = _largest(ours, donor)
    selected = _selected(ours.extract(genes), ours.space, donor, method, source)
    if ours.space.family == "vitas":
        _fill_vitas(ours, genes, donor, method, source, selected.state)
    elif ours.space.family == "pvt_elastic":
        notes = tuple(_fill_elastic(ours, genes, selected.state))
        return (*selected.notes, *notes)
    else:
        ours.get_submodule("net").load_state_dict(selected.state)
    return selected.notes


def is_wider(donor: Donor, supernet: nn.Module) -> bool:
    """Whether a source is wider or deeper anywhere than the largest net of a supernet of its kind."""
    ours = cast(SlicedSupernet[Any], supernet)
    return ours.space.family in donor.layout.families and exceeds(donor, ours.extract(_largest(ours, donor)).state_dict())


def _largest(supernet: SlicedSupernet[Any], donor: Donor) -> Genes:
    """The largest net; of its reductions, those that the source has where the space does."""
    space = supernet.space
    row = space.extreme(largest=True)[0].copy()
    if space.family == "pvt_elastic":
        for stage in range(NUM_STAGES):
            weight = donor.state.get(f"stages.{stage}.blocks.0.attn.sr.weight")
            if weight is None:
                continue
            gene, kernel = space.index[f"stages[{stage}].reduction"], weight.shape[-1]
            for number, option in enumerate(space.choices[gene].options):
                kind, size = cast(Any, option)
                if (kind == "pool" and kernel == 1) or (kind == "conv" and kernel == size > 1):
                    row[gene] = number
                    break
    return tuple(int(gene) for gene in row)


def _fill_elastic(supernet: SlicedSupernet[Any], genes: Genes, state: Mapping[str, Tensor]) -> Iterator[str]:
    for name, view in views(supernet, genes).items():
        view.copy_(state[name].reshape(view.shape))
    kinds: dict[str, list[str]] = {}
    for index, stage in enumerate(supernet.spec(genes).stages):
        for block, spec in zip(stage_of(supernet, index).blocks, stage.blocks, strict=True):
            for key, how in derive_reductions(block, spec):
                kinds.setdefault(how, []).append(f"{key} of stages[{index}]")
    for how, names in kinds.items():
        yield f"{how}: {', '.join(dict.fromkeys(names))}"


def _fill_vitas(
    supernet: SlicedSupernet[Any], genes: Genes, donor: Donor, method: Method, source: str, state: Mapping[str, Tensor]
) -> None:
    """Every patch size has its own frame, and every number of heads its own q and k: rows of the same channels."""
    space = supernet.space
    own = supernet.state_dict()
    gene = space.index["patch_size"]
    for number, patch in enumerate(space.choices[gene].options):
        row = (*genes[:gene], number, *genes[gene + 1 :])
        framed = _selected(supernet.extract(row), space, donor, method, source).state
        for name in ("patch_embed.proj.weight", "patch_embed.proj.bias", "cls_token", "pos_embed"):
            own[f"embeds.{patch}.{name}"].copy_(framed[name])
    for name, value in state.items():
        if name.startswith(("norm.", "head.")):
            own[f"head.{name}"].copy_(value)
        elif name.startswith("blocks.") and ".attn.qkv." in name:
            block, _, kind = name.partition(".attn.qkv.")
            q, k, v = value.chunk(3)
            for heads in GEOMETRIES[space.base_name].num_heads:
                own[f"{block}.attn.qk.{heads}.{kind}"].copy_(torch.cat([q, k]))
            own[f"{block}.attn.v.{kind}"].copy_(v)
        elif name.startswith("blocks."):
            own[name].copy_(value)
