"""AutoFormer supernets that start from existing weights: our own, their ancestors' (`autoformer_files`), and ViT's or DeiT's.

A Vision Transformer (Dosovitskiy et al., arXiv:2010.11929; DeiT, Touvron et al., arXiv:2012.12877) is an AutoFormer net whose
relative positions are 0. Its channels, heads, hidden channels and blocks become the leading ones of the largest net, or its own
leading ones do where it has more; so the subnet of just its widths computes what it does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from edgenas.spaces.autoformer import GEOMETRIES, AutoFormerSpec
from edgenas.supernets.autoformer import largest_net
from edgenas.supernets.autoformer_files import load_ancestor_weights
from edgenas.supernets.sliced import SlicedSupernet
from edgenas.supernets.starting import TaskNames, abbreviated, fill_leading, fit_task, load_same, plain_names, refuse

_HEAD = ("head.weight", "head.bias")
_NAMES = TaskNames("patch_embed.proj.weight", _HEAD, "pos_embed")
_ANCESTOR = TaskNames("patch_embed_super.proj.weight", _HEAD, "pos_embed")
_HIDDEN = "hidden channels"
_DISTILLED = ("dist_token", "head_dist.weight", "head_dist.bias")
_GAMMA = re.compile(r"(blocks\.\d+)\.ls([12])\.gamma")
_SCALED = {"1": "attn.proj", "2": "mlp.fc2"}  # what a layer scale multiplies


def load_weights(supernet: nn.Module, state: Mapping[str, Tensor], source: str) -> tuple[str, ...]:
    """Fill an AutoFormer supernet; notes as `start.load_weights`.

    Raises:
        CheckpointError: listing every difference; nothing is loaded then.
    """
    ours = cast(SlicedSupernet[AutoFormerSpec], supernet)
    plain = plain_names(state)
    if any(".attn_layer_norm." in name for name in plain):
        own = dict(largest_net(ours).state_dict())
        own[_ANCESTOR.embed] = own[_NAMES.embed]
        fitted = fit_task(plain, own, _ANCESTOR)
        return (*load_ancestor_weights(ours, fitted.state, fresh=fitted.fresh, source=source), *fitted.notes)
    if "blocks.0.attn.qkv.weight" in plain and not any(".rel_pos_" in name for name in plain):
        return _load_vit(ours, plain, source)
    return load_same(supernet, plain, source, _NAMES)


@torch.no_grad()
def _load_vit(supernet: SlicedSupernet[AutoFormerSpec], state: dict[str, Tensor], source: str) -> tuple[str, ...]:
    own, head_dim = largest_net(supernet).state_dict(), GEOMETRIES[supernet.space.base_name].head_dim
    notes = simplify(state)
    fitted = fit_task(state, own, _NAMES)
    tensors = fitted.state
    depths = _depth(tensors), _depth(own)
    common = {name: value for name, value in tensors.items() if _block_of(name) < depths[1]}
    wanted = [name for name in own if ".rel_pos_" not in name and name not in fitted.fresh and _block_of(name) < depths[0]]
    problems = abbreviated([f"{name} is missing" for name in wanted if name not in common], "missing")
    problems += abbreviated([f"{name} is unknown" for name in common if name not in own], "unknown")
    problems += _misfits(common, own, head_dim)
    refuse(problems, supernet, source)
    _copy(common, own, head_dim)
    _silence(own, tensors, head_dim, depths[0])
    widths = [_widths(weights, head_dim) for weights in (tensors, own)]
    notes += [*fitted.notes, _coverage(widths[0] | {"blocks": depths[0]}, widths[1] | {"blocks": depths[1]})]
    notes.append("relative positions start at 0, as a plain Vision Transformer has none")
    notes.append("norms add 1e-5 to the variance here, most of its kind 1e-6")
    if largest_net(supernet).spec.head.global_pool == "avg":
        notes.append("its head read the class token; here the mean over patches is read")
    return tuple(notes)


def simplify(state: dict[str, Tensor]) -> list[str]:
    """Fold layer scales into what they scale and drop the distillation token, in place."""
    notes = []
    for name in list(state):
        match = _GAMMA.fullmatch(name)
        linear = "" if match is None else f"{match[1]}.{_SCALED[match[2]]}"
        if f"{linear}.weight" in state and f"{linear}.bias" in state:
            gamma = state.pop(name)
            state[f"{linear}.weight"] = state[f"{linear}.weight"] * gamma[:, None]
            state[f"{linear}.bias"] = state[f"{linear}.bias"] * gamma
    table, token = state.get("pos_embed"), state.get("cls_token")
    if "dist_token" in state and table is not None:
        state["pos_embed"] = torch.cat([table[:, :1], table[:, 2:]], dim=1)
        for name in _DISTILLED:
            state.pop(name, None)
        notes.append("the distillation token and its head were left out")
    elif table is not None and token is not None and table.dim() == 3 and round(table.shape[1] ** 0.5) ** 2 == table.shape[1]:
        state["pos_embed"] = torch.cat([torch.zeros_like(token), table], dim=1)  # DeiT III gives the class token no position
    return notes


def _misfits(state: Mapping[str, Tensor], own: Mapping[str, Tensor], head_dim: int) -> list[str]:
    """Shapes of which not even a leading part can be taken."""
    problems = []
    for name, value in state.items():
        wanted = tuple(own[name].shape) if name in own else ()
        rigid = (1, 2, 3) if name == _NAMES.embed else (0, 1) if name == _NAMES.positions else ()
        fits = not wanted or (value.dim() == len(wanted) and all(value.shape[axis] == wanted[axis] for axis in rigid))
        if fits and ".attn.qkv." in name:
            fits = value.shape[0] % (3 * head_dim) == 0
        if not fits:
            problems.append(f"{name} has shape {tuple(value.shape)}, of which no part fits {wanted}")
    return abbreviated(problems, "of other shapes")


def _copy(state: Mapping[str, Tensor], own: Mapping[str, Tensor], head_dim: int) -> None:
    for name, value in state.items():
        target = own[name]
        if ".attn.qkv." in name:  # leading heads of q, of k and of v
            target, value = (tensor.reshape(3, -1, head_dim, *tensor.shape[1:]) for tensor in (target, value))
        fill_leading(target, value)
    for name, target in own.items():
        if ".rel_pos_" in name:
            target.zero_()


def _silence(own: Mapping[str, Tensor], state: Mapping[str, Tensor], head_dim: int, depth: int) -> None:
    """Let blocks, heads and hidden channels that the source lacks add nothing before they learn."""
    widths = _widths(state, head_dim)
    for name, target in own.items():
        if name.endswith(("attn.proj.weight", "mlp.fc2.weight")):
            kept = widths[_HIDDEN] if "fc2" in name else head_dim * widths[f"heads of {head_dim}"]
            target[:, kept if _block_of(name) < depth else 0 :] = 0.0


def _block_of(name: str) -> int:
    return int(name.split(".")[1]) if name.startswith("blocks.") else -1


def _depth(state: Mapping[str, Tensor]) -> int:
    return 1 + max(map(_block_of, state))


def _widths(state: Mapping[str, Tensor], head_dim: int) -> dict[str, int]:
    hidden, dim = state["blocks.0.mlp.fc1.weight"].shape
    heads = state["blocks.0.attn.qkv.weight"].shape[0] // (3 * head_dim)
    return {"channels": dim, f"heads of {head_dim}": heads, _HIDDEN: hidden}


def _coverage(theirs: Mapping[str, int], ours: Mapping[str, int]) -> str:
    """What of the largest net was filled, and what of the source found no place."""
    parts = [f"{min(theirs[name], num)} of {num} {name}" for name, num in ours.items()]
    surplus = [f"{theirs[name] - num} {name}" for name, num in ours.items() if theirs[name] > num]
    text = f"filled are {', '.join(parts)}"
    text += (
        ", the others start fresh, without influence but for channels"
        if any(theirs[name] < num for name, num in ours.items())
        else ""
    )
    return text + (f"; left out are its last {', '.join(surplus)}" if surplus else "")
