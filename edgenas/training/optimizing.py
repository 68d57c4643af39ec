"""Parameter groups: which weights decay, which learn more slowly, and which do not learn at all."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn

Undecayed = Literal["none", "vectors", "positions"]

_POSITIONS = (
    "pos_embed",
    "cls_token",
    "rel_pos",
    "relative_position",
)  # parts of the names of tables of positions and class tokens
_BLOCK = re.compile(r"(?:\w+\.)*?(?:(?:stages|transformers)\.\d+\.)?(?:blocks|layer\d+)\.\d+(?:\.\d+)?(?=\.)")


def parameter_groups(
    model: nn.Module, weight_decay: float, *, undecayed: Undecayed = "vectors", layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """What PyTorch's optimisers take, with ``lr_scale``, the share of the learning rate that a group gets.

    Args:
        model: parameters that need no gradient are left out.
        weight_decay: of weights with two axes or more, tables of positions and class tokens among them.
        undecayed: what has none: norms and biases (``vectors``), these and tables of positions and class tokens (``positions``),
            or nothing (``none``).
        layer_decay: factor on the learning rate from one block to the one before it, 1 at the head (Clark et al., ELECTRA,
            arXiv:2003.10555; Bao et al., BEiT, arXiv:2106.08254).
    """
    layers, num_layers = layer_ids(model) if layer_decay != 1 else ({}, 1)
    groups: defaultdict[tuple[int, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[layers.get(name, num_layers - 1), _decays(name, parameter, undecayed)].append(parameter)
    # the order that states of earlier versions were saved in: decayed weights first
    keys = [(layer, decays) for layer in range(num_layers) for decays in (True, False)]
    return [
        {
            "params": groups[layer, decays],
            "weight_decay": weight_decay if decays else 0.0,
            "lr_scale": layer_decay ** (num_layers - 1 - layer),
        }
        for layer, decays in keys
        if groups[layer, decays] or layer_decay == 1
    ]


def _decays(name: str, parameter: nn.Parameter, undecayed: Undecayed) -> bool:
    if undecayed == "none":
        return True
    if undecayed == "positions" and any(part in name for part in _POSITIONS):
        return False
    return parameter.ndim >= 2


def layer_ids(model: nn.Module) -> tuple[dict[str, int], int]:
    """The layer of every parameter by name, and how many layers there are.

    What comes before the first block is layer 0, every block is a layer, and what comes after the last is the highest. What stands
    between two blocks (a stage's norm, the embedding of the next) goes with the block after it. Blocks are told by their names, as
    timm gives them; those of a supernet are those of its largest net. Without any, all is one layer.
    """
    names = [name for name, _ in model.named_parameters()]
    blocks = [match[0] if (match := _BLOCK.match(name)) is not None else None for name in names]
    order = {block: position for position, block in enumerate(dict.fromkeys(filter(None, blocks)), 1)}
    if not order:
        return dict.fromkeys(names, 0), 1
    highest = len(order) + 1
    layers: dict[str, int] = {}
    layer = highest
    for name, block in zip(reversed(names), reversed(blocks), strict=True):
        layer = order[block] if block is not None else layer
        layers[name] = layer
    for name, block in zip(names, blocks, strict=True):
        if block is not None:
            break
        layers[name] = 0
    return layers, highest + 1
