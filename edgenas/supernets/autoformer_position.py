"""Attention with 2-D relative position on keys and values, by rows and columns.

A pair of patches has two learnt vectors, one by the distance of their rows and one by that of their columns; any pair with the
class token has vector 0 of both tables. Queries meet the keys' vectors in the logits, and the attention gathers the values'
vectors (Shaw et al., arXiv:1803.02155; Chen et al., AutoFormer, arXiv:2107.00651, section 3.1).

The ancestor builds one vector for each of the L² pairs. But all keys of a row of the grid share their vertical vector, and those
of a column their horizontal one, so that a query needs 2G + 1 numbers: one per row, one for the class token, one per column. They
are more features of the query, which the keys answer by saying where they are; likewise the values say where they are, and the
attention sums its weights per row and column in the same product. The class token's query has the same vector for every key,
which softmax does not see.

Those numbers come out of one product of all queries with the vectors of all distances; which distance a row has moves by one from
each row of queries to the next, so that picking them is a change of strides (as Huang et al., Music Transformer,
arXiv:1809.04281, section 3.4.1, do for one axis), and not a gather.

Shapes: N images, h heads, L tokens (1 + G²), d channels of a head, G rows or columns, E = 2G + 1 places, D = 2G - 1 distances,
T table rows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TokenPlaces(NamedTuple):
    """Where tokens are, as constants.

    Attributes:
        index_D: table row of every distance between two rows of the grid, or two columns, from most negative to most positive.
        places_LE: 1 where a token is in this row, is the class token, or is in this column.
    """

    index_D: Tensor
    places_LE: Tensor


def make_layout(grid: int, max_distance: int) -> TokenPlaces:
    """The layout of ``grid``² patches and the class token before them; farther than ``max_distance`` is all the same."""
    index_D = torch.arange(1 - grid, grid).clamp(-max_distance, max_distance) + max_distance + 1
    places_LE = torch.zeros(grid**2 + 1, 2 * grid + 1)
    patches = torch.arange(grid**2)
    places_LE[0, grid] = 1.0
    places_LE[1 + patches, patches // grid] = 1.0
    places_LE[1 + patches, grid + 1 + patches % grid] = 1.0
    return TokenPlaces(index_D, places_LE)


class RelativePosition(nn.Module):
    """Two tables of vectors: row 0 for pairs with the class token, then distances from most negative to most positive."""

    def __init__(self, max_distance: int, head_dim: int) -> None:
        super().__init__()
        self.vertical = nn.Parameter(torch.zeros(2 * max_distance + 2, head_dim))
        self.horizontal = nn.Parameter(torch.zeros(2 * max_distance + 2, head_dim))

    def forward(self, index_D: Tensor) -> Tensor:
        """The vectors of all vertical distances, of the class token and of all horizontal distances, shape (2D + 1, d)."""
        class_1d = self.vertical[:1] + self.horizontal[:1]
        return torch.cat([self.vertical[index_D], class_1d, self.horizontal[index_D]])


def relative_attention(
    qkv_NhLd: tuple[Tensor, Tensor, Tensor], vectors_of_keys: Tensor, vectors_of_values: Tensor, places_LE: Tensor, grid: int
) -> Tensor:
    """Attention of every head, shape (N, h, L, d).

    Args:
        qkv_NhLd: queries, keys and values.
        vectors_of_keys: as `RelativePosition` gives them.
        vectors_of_values: likewise.
        places_LE: of the layout.
        grid: its rows or columns.
    """
    q_NhLd, k_NhLd, v_NhLd = qkv_NhLd
    num, heads, length, width = q_NhLd.shape
    places_NhLE = places_LE.to(q_NhLd.dtype).expand(num, heads, length, -1)
    q_NhLd = q_NhLd * width**-0.5
    features_NhLE = _query_features(q_NhLd, vectors_of_keys, grid)
    logits_NhLL = torch.matmul(
        torch.cat([q_NhLd, features_NhLE], dim=-1), torch.cat([k_NhLd, places_NhLE], dim=-1).transpose(-1, -2)
    )
    gathered = torch.matmul(logits_NhLL.softmax(dim=-1), torch.cat([v_NhLd, places_NhLE], dim=-1))
    y_NhLd, weights_NhLE = gathered[..., :width], gathered[..., width:]
    return y_NhLd + _gathered_positions(weights_NhLE, vectors_of_values, grid)


def _query_features(q_NhLd: Tensor, vectors: Tensor, grid: int) -> Tensor:
    """Products of every query with the vectors of its rows, class token and columns, shape (N, h, L, E); 0 for the class token."""
    num, heads, length, width = q_NhLd.shape
    distances = 2 * grid - 1
    products = F.linear(q_NhLd[:, :, 1:].reshape(-1, width), vectors).view(num, heads, grid, grid, -1)
    by_row = _of_each(products[..., :distances].transpose(2, 3), grid).transpose(2, 3)
    by_column = _of_each(products[..., distances + 1 :], grid)
    features = torch.cat([by_row, products[..., distances : distances + 1], by_column], dim=-1)
    return F.pad(features.view(num, heads, length - 1, -1), (0, 0, 1, 0))


def _gathered_positions(weights_NhLE: Tensor, vectors: Tensor, grid: int) -> Tensor:
    """What the attention of every query gathers of the vectors of its rows, class token and columns, shape (N, h, L, d)."""
    num, heads, length, places = weights_NhLE.shape
    distances, width = 2 * grid - 1, vectors.shape[-1]
    weights_NhGGE = weights_NhLE[:, :, 1:].reshape(num, heads, grid, grid, places)
    by_row = _by_distance(weights_NhGGE[..., :grid].transpose(2, 3), grid).transpose(2, 3)
    by_column = _by_distance(weights_NhGGE[..., grid + 1 :], grid)
    by_vector = torch.cat([by_row, weights_NhGGE[..., grid : grid + 1], by_column], dim=-1)
    patches = torch.matmul(by_vector.view(-1, 2 * distances + 1), vectors).view(num, heads, length - 1, width)
    return torch.cat([vectors[distances].expand(num, heads, 1, -1), patches], dim=2)


def _of_each(x_GD: Tensor, grid: int) -> Tensor:
    """From a number for each distance to one for each row: ``y[..., i, r] = x[..., i, r - i + G - 1]``, shape (..., G, G)."""
    if grid == 1:
        return x_GD
    steps = 2 * grid - 2
    flat = x_GD.flatten(-2)[..., grid - 1 : grid - 1 + grid * steps]
    return torch.unflatten(flat, -1, (grid, steps))[..., :grid]


def _by_distance(x_GG: Tensor, grid: int) -> Tensor:
    """The inverse of `_of_each`; 0 for distances that no row has, shape (..., G, D)."""
    if grid == 1:
        return x_GG
    distances = 2 * grid - 1
    flat = F.pad(x_GG, (0, distances - 1 - grid)).flatten(-2)
    return torch.unflatten(F.pad(flat, (grid - 1, 1)), -1, (grid, distances))
