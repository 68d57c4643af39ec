"""Counting and drawing the rows whose cost lies in a band, by dynamic programming over a diagram with the cost in bins.

Every cost of a layer is rounded to whole bins. How far the sum of rounded costs can be from the cost itself is known, so the
programme counts all rows that may lie in the band, and a few more at its edges. Draws from these are uniform, and whoever drops
those that lie outside by their exact cost has uniform draws from the band itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenas.search.diagrams import Diagram, Layer
from edgenas.spaces import Genes

MEMORY = 64 * 2**20  # bytes of counts, about
MOST_BINS, FEWEST_BINS = 8192, 128
PIECE = 8192  # rows drawn at a time, so that what is known of them stays in the cache
BELOW_ONE = 1.0 - 2.0**-48  # a draw that rounding would lift to the whole stays below it
SLACK = 1e-6  # bins that sums of floats may be off
ROUNDED = 1e-12  # of a cost that sums of floats may be off


@dataclass(frozen=True, slots=True)
class BinSteps:
    """How costs become bins.

    Attributes:
        shifts: per layer, state and value in whole bins; what is not allowed has as many as leave the band.
        first, last: bins of rows that may lie in the band.
        is_exact: no cost was rounded.
    """

    shifts: tuple[NDArray[np.int64], ...]
    first: int
    last: int
    is_exact: bool


@dataclass(frozen=True, slots=True, eq=False)
class Programme:
    """Rows that may lie in a band of costs, counted.

    Attributes:
        num_genes: columns of a row.
        columns: genes in the order in which they are decided.
        values: per layer what its gene may be.
        offsets: per layer, state and value the place that the row goes on to, less its bin.
        counts: per layer how many rows are ahead, by state and bin, flat; a zero row last, which what is not allowed leads to.
        widths: places of a state's counts, per layer.
        is_exact: no cost was rounded, so that every row counted lies in the band.
    """

    num_genes: int
    columns: tuple[int, ...]
    values: tuple[NDArray[np.int16], ...]
    offsets: tuple[NDArray[np.intp], ...]
    counts: tuple[NDArray[np.float64], ...]
    widths: tuple[int, ...]
    is_exact: bool

    @property
    def num_rows(self) -> float:
        """Rows that may lie in the band, those at its edges included."""
        return float(self.counts[0][0])

    def draw(self, num: int, rng: np.random.Generator) -> Genes:
        """Canonical rows, shape (num, genes), uniform over those that may lie in the band.

        Raises:
            ValueError: if there are none.
        """
        if not self.num_rows > 0:
            raise ValueError("no row lies in the band")
        genes_GA = np.empty((self.num_genes, num), dtype=np.int16)
        for start in range(0, num, PIECE):
            self._draw(genes_GA[:, start : start + PIECE], rng)
        return genes_GA.T

    def _draw(self, genes_GA: NDArray[np.int16], rng: np.random.Generator) -> None:
        """Fill in rows, one gene after another."""
        num = genes_GA.shape[1]
        places_A = np.zeros(num, dtype=np.intp)
        draws_A, sums_A, ahead_A = (np.empty(num) for _ in range(3))
        firsts_A, next_A = np.empty(num, dtype=np.intp), np.empty(num, dtype=np.intp)
        for layer, column in enumerate(self.columns):
            offsets_SO, values_O = self.offsets[layer], self.values[layer]
            num_values = offsets_SO.shape[1]
            states_A, bins_A = np.divmod(places_A, self.widths[layer])
            rng.random(out=draws_A)
            draws_A *= BELOW_ONE
            draws_A *= self.counts[layer].take(places_A, out=ahead_A, mode="clip")
            chosen_A = np.zeros(num, dtype=np.int16)
            sums_A.fill(0.0)
            np.multiply(states_A, num_values, out=firsts_A)
            for value in range(num_values - 1):
                offsets_SO.take(firsts_A + value, out=next_A, mode="clip")
                next_A += bins_A
                sums_A += self.counts[layer + 1].take(next_A, out=ahead_A, mode="clip")
                chosen_A += sums_A <= draws_A
            genes_GA[column] = values_O[chosen_A]
            places_A = offsets_SO.take(firsts_A + chosen_A) + bins_A


def build_programme(diagram: Diagram, low: float, high: float) -> Programme | None:
    """Count the rows whose cost is in [``low``, ``high``], either of which may be infinite; None where no cost comes near.

    Args:
        diagram: of the cost.
        low: least cost.
        high: most cost.
    """
    least, most = (diagram.extreme(largest=largest)[0] for largest in (False, True))
    slack = ROUNDED * max(abs(least), abs(most))  # sums in another order end elsewhere
    low, high = low - slack, high + slack
    if low > most or high < least:
        return None
    if most - low < high - least:  # bins are as fine as the band is near to one end
        return _counted(diagram, _steps(diagram, -1.0, -min(high, most + slack), -max(low, least - slack)))
    return _counted(diagram, _steps(diagram, 1.0, max(low, least - slack), min(high, most + slack)))


def _steps(diagram: Diagram, sign: float, low: float, high: float) -> BinSteps:
    """Bins of ``sign`` times the cost, from the least sum that a row could have to ``high``."""
    lowest = [float((sign * layer.cost_SO)[layer.allowed].min()) for layer in diagram.layers]
    rises = [sign * layer.cost_SO - least for layer, least in zip(diagram.layers, lowest, strict=True)]
    base = sign * diagram.constant + sum(lowest)
    size = _bin_size(diagram, rises, high - base)
    errors_LE = np.zeros((len(rises), 2))
    shifts = []
    for number, (layer, rise_SO) in enumerate(zip(diagram.layers, rises, strict=True)):
        whole_SO = np.rint(rise_SO / size)
        error_A = (whole_SO - rise_SO / size)[layer.allowed]
        errors_LE[number] = error_A.min(), error_A.max()
        shifts.append(whole_SO.astype(np.int64))
    below, above = errors_LE.sum(axis=0)
    first = max(0, math.ceil((low - base) / size + below - SLACK))
    last = math.floor((high - base) / size + above + SLACK)
    return BinSteps(tuple(shifts), first, last, is_exact=not errors_LE.any())


def _bin_size(diagram: Diagram, rises: Sequence[NDArray[np.float64]], span: float) -> float:
    """So many bins as memory allows; one for each value that a cost of whole numbers can take, where these are few."""
    most = int(np.clip(MEMORY / (8 * diagram.num_states), FEWEST_BINS, MOST_BINS))
    known = np.concatenate([rise_SO[layer.allowed] for layer, rise_SO in zip(diagram.layers, rises, strict=True)])
    if (known == np.rint(known)).all() and known.max(initial=0.0) < 2**53:
        unit = math.gcd(*np.unique(known).astype(np.int64).tolist())
        if span <= most * unit or unit == 0:
            return float(max(unit, 1))
    return max(span, np.finfo(np.float64).tiny) / most


def _counted(diagram: Diagram, steps: BinSteps) -> Programme | None:
    """The programme, its layers from the last to the first."""
    num_bins = steps.last + 1
    moves = [np.minimum(shift_SO, num_bins) for shift_SO in steps.shifts]
    # what goes beyond the last bin reads zeros behind it, so that no place is ever clipped
    widths = [
        num_bins,
        *(num_bins + int(np.where(layer.allowed, move_SO, 0).max()) for layer, move_SO in zip(diagram.layers, moves, strict=True)),
    ]
    ends = np.zeros((2, widths[-1]))
    ends[0, steps.first : num_bins] = 1.0
    counts = [ends]
    offsets = []
    for layer, move_SO, width in zip(reversed(diagram.layers), reversed(moves), reversed(widths[:-1]), strict=True):
        ahead_SB = counts[-1]
        counts.append(_layer_counts(layer, move_SO, ahead_SB, num_bins, width))
        row_SO = np.where(layer.allowed, layer.next_SO, len(ahead_SB) - 1)
        offsets.append(row_SO * ahead_SB.shape[1] + np.where(layer.allowed, move_SO, 0))
    flat = tuple(count_SB.reshape(-1) for count_SB in reversed(counts))
    if not flat[0][0] > 0:
        return None
    return Programme(
        num_genes=diagram.num_genes,
        columns=tuple(layer.column for layer in diagram.layers),
        values=tuple(layer.values_O for layer in diagram.layers),
        offsets=tuple(offset_SO.astype(np.intp) for offset_SO in reversed(offsets)),
        counts=flat,
        widths=tuple(widths),
        is_exact=steps.is_exact,
    )


def _layer_counts(
    layer: Layer, move_SO: NDArray[np.int64], ahead_SB: NDArray[np.float64], num_bins: int, width: int
) -> NDArray[np.float64]:
    """How many rows are ahead of every state of a layer in every bin, and a row of zeros."""
    count_SB = np.zeros((len(move_SO) + 1, width))
    states, values = np.nonzero(layer.allowed & (move_SO < num_bins))
    following, moved = layer.next_SO[states, values].tolist(), move_SO[states, values].tolist()
    for state, after, move in zip(states.tolist(), following, moved, strict=True):
        count_SB[state, : num_bins - move] += ahead_SB[after, move:num_bins]
    return count_SB
