"""What limits leave of a space, counted and drawn from directly.

The limit that leaves least is met by construction: where its cost is a sum of tables, `edgenas.search.programme` counts the rows
that meet it and draws from them uniformly. The other limits, and the edge of the first, are met by dropping what breaks them. So
draws are uniform over what all limits leave, however small a share of the space that is, as long as it is no small share of what
the first limit leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from edgenas.costs import CostModel, Factor
from edgenas.costs.memory import MemoryCost
from edgenas.search.constraints import CostConstraint, LowerLimit, UpperLimit, total_violation
from edgenas.search.diagrams import Diagram, build_diagram
from edgenas.search.programme import Programme, build_programme
from edgenas.spaces import Genes, SearchSpace, unique_rows
from edgenas.stats import Proportion, clopper_pearson

PIECE = 16_384  # rows drawn at a time
MOST_LISTED = 4096  # rows that are listed one by one
LEAST_TRIED = 200_000  # rows drawn before it is given up that others follow
TRIED_PER_ROW = 200


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """The limits on one cost.

    Attributes:
        names: of the limits.
        model: of the cost.
        low, high: that it may be.
        is_whole: whether all within the band meets the limits; else others must be dropped.
    """

    names: tuple[str, ...]
    model: CostModel
    low: float
    high: float
    is_whole: bool = True

    def programme(self, diagram: Diagram) -> Programme | None:
        """Rows within the band, counted; None without any."""
        low, high = ((end - self.model.offset) / self.model.scale for end in (self.low, self.high))
        return build_programme(diagram, low, high)


@dataclass(frozen=True, slots=True, eq=False)
class FeasibleSet:
    """The rows of a space that limits leave.

    Attributes:
        constraints: all limits.
        programme: of the limits that are met by construction; None where no net meets these, which is proven.
        names: of the limits that are met by construction, or nearly.
        impossible: limits on one cost that no net of the space meets, whatever the others.
        is_whole: whether everything that the programme counts meets the limits of these names, its edge apart.
    """

    space: SearchSpace
    constraints: tuple[CostConstraint, ...]
    programme: Programme | None = field(repr=False)
    names: tuple[str, ...]
    impossible: tuple[str, ...] = ()
    is_whole: bool = True

    def pieces(self, rng: np.random.Generator) -> Iterator[tuple[int, Genes]]:
        """Without end: how many rows were drawn, and those of them that meet all limits. Nothing where no net does."""
        while self.programme is not None:
            drawn_AG = self.programme.draw(PIECE, rng)
            yield len(drawn_AG), drawn_AG[total_violation(self.constraints, drawn_AG) == 0]

    def draw(self, num: int, rng: np.random.Generator, *, most_tried: int | None = None) -> Genes:
        """Up to ``num`` rows, uniform over what the limits leave; fewer where almost everything drawn breaks another limit.

        Args:
            num: of rows.
            rng: of the draws.
            most_tried: draws after which it is given up; many by default.
        """
        most_tried = max(LEAST_TRIED, TRIED_PER_ROW * num) if most_tried is None else most_tried
        rows, tried, num_rows = [np.empty((0, self.space.num_genes), dtype=np.int16)], 0, 0
        for num_drawn, met_AG in self.pieces(rng):
            rows.append(met_AG)
            tried, num_rows = tried + num_drawn, num_rows + len(met_AG)
            if num_rows >= num or tried >= most_tried:
                break
        return np.concatenate(rows)[:num]

    def distinct(self, num: int, rng: np.random.Generator) -> Genes:
        """Up to ``num`` distinct rows, likewise; fewer where there are no more."""
        rows_AG, tried = np.empty((0, self.space.num_genes), dtype=np.int16), 0
        for num_drawn, met_AG in self.pieces(rng):
            before = len(rows_AG)
            rows_AG, tried = unique_rows(np.concatenate([rows_AG, met_AG])), tried + num_drawn
            seen_all = len(met_AG) > 32 * before == 32 * len(rows_AG)
            if len(rows_AG) >= num or seen_all or tried >= max(LEAST_TRIED, TRIED_PER_ROW * num):
                break
        return rows_AG[:num]

    @property
    def is_listable(self) -> bool:
        """Whether the programme counts so few rows that they can be listed one by one."""
        return self.programme is None or self.programme.num_rows <= MOST_LISTED

    def every(self) -> Genes | None:
        """All rows that meet the limits, in the order of their genes; None where they are not `is_listable`."""
        if self.programme is None:
            return np.empty((0, self.space.num_genes), dtype=np.int16)
        if not self.is_listable:
            return None
        rng, rows_AG = np.random.default_rng(0), np.empty((0, self.space.num_genes), dtype=np.int16)
        while len(rows_AG) < round(self.programme.num_rows):  # each of its rows is as likely as any other
            rows_AG = unique_rows(np.concatenate([rows_AG, self.programme.draw(PIECE, rng)]))
        met_AG: Genes = rows_AG[total_violation(self.constraints, rows_AG) == 0]
        return met_AG

    def near(self, num: int, rng: np.random.Generator) -> Genes:
        """Rows that the programme holds and that break the other limits least, shape (at most num, genes)."""
        if self.programme is None:
            return np.empty((0, self.space.num_genes), dtype=np.int16)
        drawn_AG = unique_rows(self.programme.draw(PIECE, rng))
        return drawn_AG[np.argsort(total_violation(self.constraints, drawn_AG), kind="stable")[:num]]

    def share(self, rng: np.random.Generator, num: int = 4 * PIECE) -> Proportion:
        """How many of the space's nets fit: what the programme counts, times the share of ``num`` draws that meet all limits."""
        if self.programme is None:
            return Proportion(0.0, 0.0, 0.0, num)
        counted = self.programme.num_rows / self.space.cardinality
        if self.programme.is_exact and self.is_whole and len(self.names) == len(self.constraints):
            return Proportion(counted, counted, counted, num)
        met, tried = 0, 0
        for num_drawn, met_AG in self.pieces(rng):
            met, tried = met + len(met_AG), tried + num_drawn
            if tried >= num:
                break
        of_drawn = clopper_pearson(met, tried)
        return Proportion(counted * of_drawn.value, counted * of_drawn.low, counted * of_drawn.high, tried)


def feasible_set(space: SearchSpace, constraints: Sequence[CostConstraint]) -> FeasibleSet | None:
    """What ``constraints`` leave of ``space``; None where no limit is on a sum of tables. The last answers are remembered."""
    return _solved(_Question(space, tuple(constraints)))


def extreme_rows(space: SearchSpace, constraints: Sequence[CostConstraint]) -> Genes:
    """For every limited cost that is a sum of tables the rows of its least and its most, shape (rows, genes)."""
    rows = [np.empty((0, space.num_genes), dtype=np.int16)]
    for band in bands(constraints):
        diagram = _diagram(_Cost(space, band.model))
        if diagram is not None:
            rows += [diagram.extreme(largest=largest)[1][None] for largest in (False, True)]
    return unique_rows(np.concatenate(rows))


def bands(constraints: Sequence[CostConstraint]) -> list[Band]:
    """Limits on sums of tables, those on the same cost together."""
    result: list[Band] = []
    for limit in constraints:
        if isinstance(limit, UpperLimit) and isinstance(limit.cost, MemoryCost):
            model, most = limit.cost.necessary(limit.limit)
            result.append(Band((limit.name,), model, -np.inf, most, is_whole=False))
            continue
        if not isinstance(limit, (UpperLimit, LowerLimit)) or not isinstance(limit.cost, CostModel) or not limit.cost.scale > 0:
            continue
        ends = (-np.inf, limit.limit) if isinstance(limit, UpperLimit) else (limit.limit, np.inf)
        same = next((band for band in result if band.is_whole and _is_same(band.model, limit.cost)), None)
        if same is None:
            result.append(Band((limit.name,), limit.cost, *ends))
        else:
            both = Band((*same.names, limit.name), same.model, max(same.low, ends[0]), min(same.high, ends[1]))
            result[result.index(same)] = both
    return result


def _together(others: Sequence[Band]) -> Band:
    """What limits on several costs need together: the sum of the costs in shares of their limits, lower limits counted negatively.

    Where limits pull in opposite directions, such as few parameters and many MACs, this leaves far less than each of them.
    """
    factors: list[Factor] = []
    offset = high = 0.0
    for band in others:
        upper, lower = (1 / end if 0 < end < np.inf else 0.0 for end in (band.high, band.low))
        weight, high = upper - lower, high + (upper > 0) - (lower > 0)
        factors += [Factor(factor.genes, factor.table * (weight * band.model.scale)) for factor in band.model.factors]
        offset += weight * band.model.offset
    model = CostModel("limits", "", tuple(factors), offset=offset)
    return Band(tuple(name for band in others for name in band.names), model, -np.inf, high, is_whole=False)


def _is_same(one: CostModel, other: CostModel) -> bool:
    """Whether two models give the same costs by the same tables."""
    if one is other:
        return True
    if (one.scale, one.offset, len(one.factors)) != (other.scale, other.offset, len(other.factors)):
        return False
    pairs = zip(one.factors, other.factors, strict=True)
    return all(a.genes == b.genes and np.array_equal(a.table, b.table, equal_nan=True) for a, b in pairs)


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    """A space and limits; two are equal if they are of the same objects."""

    space: SearchSpace
    constraints: tuple[CostConstraint, ...]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Question) or len(self.constraints) != len(other.constraints):
            return False
        pairs = zip(self.constraints, other.constraints, strict=True)
        return self.space is other.space and all(one is another for one, another in pairs)

    def __hash__(self) -> int:
        return hash((id(self.space), *map(id, self.constraints)))


@dataclass(frozen=True, slots=True, eq=False)
class _Cost:
    """A space and a cost; likewise."""

    space: SearchSpace
    model: CostModel

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Cost) and self.space is other.space and self.model is other.model

    def __hash__(self) -> int:
        return hash((id(self.space), id(self.model)))


@lru_cache(maxsize=8)
def _diagram(cost: _Cost) -> Diagram | None:
    return build_diagram(cost.space, cost.model)


@lru_cache(maxsize=2)  # a programme is up to 100 MB of counts
def _solved(question: _Question) -> FeasibleSet | None:
    diagrams = [(band, _diagram(_Cost(question.space, band.model))) for band in bands(question.constraints)]
    known = [(band, diagram) for band, diagram in diagrams if diagram is not None]
    if not known:
        return None
    best: tuple[Band, Programme] | None = None
    impossible: list[str] = []
    for band, diagram in known:
        programme = band.programme(diagram)
        if programme is None:
            impossible += band.names
        elif best is None or programme.num_rows < best[1].num_rows:
            best = band, programme
    if len(known) > 1 and not impossible:
        band = _together([band for band, _ in known])
        together = build_diagram(question.space, band.model)
        programme = None if together is None else band.programme(together)
        if together is not None and programme is None:
            best = None  # proven: no net meets them together
        elif programme is not None and best is not None and programme.num_rows < best[1].num_rows:
            best = band, programme
    if impossible or best is None:
        return FeasibleSet(question.space, question.constraints, None, (), tuple(impossible))
    return FeasibleSet(question.space, question.constraints, best[1], best[0].names, is_whole=best[0].is_whole)
