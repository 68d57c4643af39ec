"""Shapes of nets as sums of factors: how many blocks, and how wide they are inside."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from edgenas.costs.model import CostModel, Term, sum_of_components

INNER = ("qkv_dim", "mlp_hidden")  # features of a token inside a block


@dataclass(frozen=True, slots=True, eq=False)
class ShapeModels:
    """The shape of a space's nets.

    Attributes:
        depth: blocks of a net.
        inner_dims: their inner features, added up.
    """

    depth: CostModel
    inner_dims: CostModel


def shape_models(terms: tuple[Term, ...]) -> ShapeModels:
    """How deep and how wide inside a space's nets are.

    Args:
        terms: from the family's decomposition; its blocks are the components whose type's name has ``Block`` in it.
    """
    return ShapeModels(
        depth=sum_of_components("depth", "blocks", terms, lambda component: float(is_block(component))),
        inner_dims=sum_of_components("inner_dims", "features", terms, _inner),
    )


def is_block(component: Hashable) -> bool:
    """Whether a component is a block of attention and MLP, rather than an embedding, a norm or a head."""
    return "Block" in type(component).__name__


def _inner(component: Hashable) -> float:
    if not is_block(component):
        return 0.0
    known = [float(getattr(component, name)) for name in INNER if hasattr(component, name)]
    return sum(known) if known else float(getattr(component, "embed_dim", 0))


def largest_of_tokens(grid: int, embed_dim: int, qkv_dim: int, num_heads: int, mlp_hidden: int) -> int:
    """Numbers in the largest tensor of a block on ``grid``² tokens and a class token.

    Queries, keys and values are in one tensor; every head has scores between all tokens.
    """
    tokens = grid**2 + 1
    return max(tokens * max(embed_dim, 3 * qkv_dim, mlp_hidden), num_heads * tokens**2)
