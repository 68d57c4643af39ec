"""Weights of AutoFormer's and TF-TAS's own supernets (microsoft/Cream, decemberzhou/TF_TAS), read into ours.

Their rows of q, k and v are interleaved (q0, k0, v0, q1, ...) and are sorted here; their embedding is wider than any net that was
drawn, and its surplus is left out. Two of their defects stay visible in what is loaded, see `DEFECTS`.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor

from edgenas.errors import CheckpointError
from edgenas.runs.outside import MAX_WEIGHTS_BYTES, OutsideError, require_regular
from edgenas.spaces.autoformer import AutoFormerSpec
from edgenas.supernets.autoformer import largest_net
from edgenas.supernets.sliced import SlicedSupernet
from edgenas.supernets.starting import abbreviated, fill, refuse

DEFECTS = (
    "biases of q, k and v were not interleaved as their weights were: nets with fewer heads than the largest were trained with "
    "biases of other rows and answer differently here",
    "the position tables were decayed in training although they were meant not to be",
)
_RENAMED = {
    "patch_embed_super.": "patch_embed.",
    "attn_layer_norm.": "norm1.",
    "ffn_layer_norm.": "norm2.",
    ".rel_pos_embed_": ".rel_pos_",
    ".embeddings_table_v": ".vertical",
    ".embeddings_table_h": ".horizontal",
    ".fc1.": ".mlp.fc1.",
    ".fc2.": ".mlp.fc2.",
}
_RIGID = {  # axes that are the same at every embedding and MLP width
    "patch_embed.proj.weight": (1, 2, 3),
    "pos_embed": (0, 1),
    "head.weight": (0,),
    "head.bias": (0,),
    "attn.qkv.weight": (0,),
    "attn.qkv.bias": (0,),
    "attn.proj.weight": (1,),
}


def read_ancestor_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in one of their ``.pth`` files, bare or under ``model``.

    Raises:
        CheckpointError: if there is none, it is no regular file or too large, or the file holds code.
    """
    try:
        require_regular(path, MAX_WEIGHTS_BYTES)
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OutsideError as error:
        raise CheckpointError(f"{path} {error}") from error
    except Exception as error:
        raise CheckpointError(f"{path} cannot be read as weights: {error}") from error
    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path} holds no state dict, neither bare nor under 'model'")
    return state


@torch.no_grad()
def load_ancestor_weights(
    supernet: SlicedSupernet[AutoFormerSpec], state: Mapping[str, Tensor], *, fresh: Collection[str] = (), source: str = "the file"
) -> tuple[str, ...]:
    """Fill ``supernet`` from a state dict of an ancestor's and say which of their defects stay visible.

    Args:
        supernet: changed in place.
        state: under their names.
        fresh: names of ours that may be missing and then keep what they are.
        source: of the weights, for messages.

    Raises:
        CheckpointError: listing every weight that is missing, unknown or of another shape; nothing is loaded then.
    """
    tensors = {_our_name(name): value for name, value in state.items()}
    ours = largest_net(supernet).state_dict()
    problems = abbreviated([f"{name} is missing" for name in ours if name not in tensors and name not in fresh], "missing")
    problems += abbreviated([f"{name} is unknown" for name in tensors if name not in ours], "unknown")
    shapes, weights = [], {}
    for name, target in ours.items():
        if name not in tensors:
            continue
        value = _sorted_rows(tensors[name]) if name.endswith("attn.qkv.weight") else tensors[name]
        if _fits(name, value, target):
            weights[name] = value[tuple(slice(size) for size in target.shape)]
        else:
            shapes.append(f"{name} has shape {tuple(value.shape)}; wanted: {tuple(target.shape)}")
    refuse(problems + abbreviated(shapes, "of other shapes"), supernet, source)
    fill(ours, weights)
    return DEFECTS


def _our_name(name: str) -> str:
    for theirs, ours in _RENAMED.items():
        name = name.replace(theirs, ours)
    return name


def _sorted_rows(weight: Tensor) -> Tensor:
    """Rows q0, k0, v0, q1, ... as all of q, of k, of v."""
    return torch.cat([weight[part::3] for part in range(3)])


def _fits(name: str, value: Tensor, target: Tensor) -> bool:
    """Whether ``value`` has the shape of ``target`` or is wider in the embedding or the hidden channels alone."""
    if value.dim() != target.dim() or any(have < want for have, want in zip(value.shape, target.shape, strict=True)):
        return False
    kind = name.split(".", 2)[-1] if name.startswith("blocks.") else name
    rigid = (0, 1) if "rel_pos" in kind else _RIGID.get(kind, ())
    return all(value.shape[axis] == target.shape[axis] for axis in rigid)
