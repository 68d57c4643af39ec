"""A subnet as a function of its weights, with the roles that its weights play: what training-free indicators work on."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Role = Literal["qkv", "reduction", "proj", "mlp", "depthwise"]


@dataclass(frozen=True, slots=True)
class WeightGroup:
    """Weights of one block that play one role together.

    Attributes:
        role: in attention ``qkv``, ``reduction`` (of the tokens that keys and values are made from) or ``proj``; in the MLP ``mlp``
            (its linear layers) or ``depthwise`` (the convolution between them).
        names: of the weights; their rows, one weight's under another's, are one matrix.
        parts: of how many matrices with equally many rows that one consists.
        variant: tells apart slices of the same weights that have the same shape but other entries.
    """

    role: Role
    names: tuple[str, ...]
    parts: int = 1
    variant: Hashable = None


@dataclass(frozen=True, slots=True)
class FunctionalSubnet:
    """One subnet of a supernet.

    Attributes:
        weights: by their names in the plain net; slices of the supernet's, through which gradients flow.
        logits: of images, shape (N, classes), in eval mode, for weights given under these names.
        groups: the weights of its blocks that have a role.
    """

    weights: dict[str, Tensor]
    logits: Callable[[Tensor, Mapping[str, Tensor]], Tensor]
    groups: tuple[WeightGroup, ...]


def transformer_block_groups(prefix: str, variant: Hashable = None) -> tuple[WeightGroup, ...]:
    """The groups of a plain Transformer block under timm's names, whose q, k and v are one weight."""
    return (
        WeightGroup("qkv", (f"{prefix}attn.qkv.weight",), 3, variant),
        WeightGroup("proj", (f"{prefix}attn.proj.weight",), 1, variant),
        WeightGroup("mlp", (f"{prefix}mlp.fc1.weight",), 1, variant),
        WeightGroup("mlp", (f"{prefix}mlp.fc2.weight",), 1, variant),
    )


def pyramid_block_groups(prefix: str, *, reduced: bool) -> tuple[WeightGroup, ...]:
    """The groups of a plain block of a Pyramid Vision Transformer under timm's names; ``reduced``: with fewer keys than queries."""
    reduction = (WeightGroup("reduction", (f"{prefix}attn.sr.weight",)),) if reduced else ()
    return (
        WeightGroup("qkv", (f"{prefix}attn.q.weight", f"{prefix}attn.kv.weight"), 3),
        *reduction,
        WeightGroup("proj", (f"{prefix}attn.proj.weight",)),
        WeightGroup("mlp", (f"{prefix}mlp.fc1.weight",)),
        WeightGroup("depthwise", (f"{prefix}mlp.dwconv.weight",)),
        WeightGroup("mlp", (f"{prefix}mlp.fc2.weight",)),
    )
