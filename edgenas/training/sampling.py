"""Which subnets a training step runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import InfeasibleError
from edgenas.registries import Registry
from edgenas.spaces import Genes, SearchSpace
from edgenas.spaces.even import EvenPool
from edgenas.spaces.vitas import IDENTITY

Subnets = list[tuple[int, ...]]
SamplingRule = Callable[[SearchSpace, np.random.Generator, int], Subnets]


@dataclass(frozen=True, slots=True)
class OverPool:
    """A rule that draws from a pool of nets, spread over what they cost: ``make(pool)`` is the rule."""

    make: Callable[[EvenPool], SamplingRule]


@dataclass(frozen=True, slots=True)
class OverSteps:
    """A rule for which it matters which step it is: ``make(pool, seed)`` gives the rule of step 0, 1, ... of a training."""

    make: Callable[[EvenPool, int], Callable[[int], SamplingRule]]


@dataclass(frozen=True, slots=True)
class WithIdentities:
    """A rule that leaves out a share of the blocks, which is fitted to what nets are to cost on average.

    Attributes:
        both_sides: every subnet is run with its leading and with its trailing channels.
    """

    both_sides: bool = False


LARGEST_SHARE, SMALLEST_SHARE = 0.25, 0.1  # of the steps of `even`


def sandwich(space: SearchSpace, rng: np.random.Generator, num_random: int = 2) -> Subnets:
    """The largest, the smallest and ``num_random`` random subnets (Yu & Huang, arXiv:1903.05134, section 3.2), in this order."""
    extremes = [space.extreme(largest=True)[0], space.extreme(largest=False)[0]]
    return [as_key(row) for row in (*extremes, *space.sample(num_random, rng))]


def uniform(space: SearchSpace, rng: np.random.Generator, num_random: int = 1) -> Subnets:
    """``num_random`` random subnets, one by default: single path (Guo et al., arXiv:1904.00420, section 3.2)."""
    return [as_key(row) for row in space.sample(max(1, num_random), rng)]


def uniform_genes(space: SearchSpace, rng: np.random.Generator, num_random: int = 1) -> Subnets:
    """As `uniform`, but every gene uniform over its options, so that all depths are drawn alike (Chen et al., arXiv:2107.00651)."""
    start_AG = np.repeat(space.extreme(largest=True), max(1, num_random), axis=0)
    return [as_key(row) for row in space.mutate(start_AG, rng, prob=1.0)]


def even(pool: EvenPool) -> SamplingRule:
    """``num_random`` subnets of a pool, evenly over cost and depth, and the largest or the smallest in some steps.

    The sandwich's extremes in every step take two thirds of the gradients; they are needed here only as long as slices of them are
    (Yu et al., BigNAS, arXiv:2003.11142, section 3.1, keeps both; here their shares are `LARGEST_SHARE` and `SMALLEST_SHARE`).
    """

    def rule(space: SearchSpace, rng: np.random.Generator, num_random: int = 2) -> Subnets:
        place = rng.random()
        rows = list(pool.draw(max(1, num_random), rng))
        if place < LARGEST_SHARE:
            rows.insert(0, space.extreme(largest=True)[0])
        elif place < LARGEST_SHARE + SMALLEST_SHARE:
            rows.append(space.extreme(largest=False)[0])
        return [as_key(row) for row in rows]

    return rule


def with_identities(share: float) -> SamplingRule:
    """A rule like `uniform_genes` in which a block is an identity with probability ``share`` (Su et al., arXiv:2106.13700)."""

    def rule(space: SearchSpace, rng: np.random.Generator, num_random: int = 1) -> Subnets:
        return [as_key(row) for row in draw_with_identities(space, rng, max(1, num_random), share)]

    return rule


def draw_with_identities(space: SearchSpace, rng: np.random.Generator, num: int, share: float) -> Genes:
    """``num`` canonical rows whose genes are uniform, but for identities, which have probability ``share`` each.

    A larger share makes of the same random numbers the same nets with more identities.
    """
    drawn_AG = np.column_stack([_but_identities(choice.options, rng, num) for choice in space.choices]).astype(np.int16)
    for column, choice in enumerate(space.choices):
        if IDENTITY in choice.options:
            is_identity_A = rng.random(num) < share
            drawn_AG[is_identity_A, column] = choice.options.index(IDENTITY)
    return space.canonical(drawn_AG)


def _but_identities(options: tuple[object, ...], rng: np.random.Generator, num: int) -> NDArray[np.int64]:
    others = np.array([index for index, option in enumerate(options) if option != IDENTITY])
    return others[rng.integers(len(others), size=num)]


def share_of_identities(
    space: SearchSpace,
    cost: Callable[[Genes], NDArray[np.float64]],
    low: float,
    high: float,
    *,
    seed: int,
    num: int = 1000,
    max_steps: int = 60,
) -> float:
    """The share with which nets cost from ``low`` to ``high`` on average, as ViTAS calibrates it before it trains.

    ViTAS steps by 0.01 from 0.5 with other nets at every step, for ever where the window is narrow. Here the same random numbers
    serve all shares, so that the mean cost falls as the share grows, and is bisected.

    Args:
        space: with identities.
        cost: of rows of genes, e.g. a cost model.
        low: least mean cost.
        high: most mean cost.
        seed: of the random numbers.
        num: nets that the mean is taken over.
        max_steps: bisections at most.

    Raises:
        InfeasibleError: if no share gives such a mean cost.
    """

    def mean_at(share: float) -> float:
        return float(np.mean(cost(draw_with_identities(space, np.random.default_rng(seed), num, share))))

    dearest, cheapest = mean_at(0.0), mean_at(1.0)
    if dearest == cheapest:
        raise InfeasibleError(
            f"no block of {space.name} can be left out, so that no share of identities changes what its nets cost",
            hint="min_macs and max_macs go with spaces whose blocks may be identities, as ViTAS's",
        )
    least, most = 0.0, 1.0
    for _ in range(max_steps):
        share = (least + most) / 2
        mean = mean_at(share)
        if low <= mean <= high:
            return share
        least, most = (share, most) if mean > high else (least, share)
    raise InfeasibleError(
        f"no share of identities makes nets of {space.name} cost {low:g} to {high:g} on average",
        hint=f"their mean cost is {cheapest:g} with nothing but identities and {dearest:g} without any; widen the window",
    )


def as_key(row_G: np.ndarray[tuple[int, ...], np.dtype[np.int16]]) -> tuple[int, ...]:
    """A row of genes as the tuple that a supernet takes."""
    return tuple(int(gene) for gene in row_G)


def shown_subnets(space: SearchSpace, seed: int) -> dict[str, tuple[int, ...]]:
    """The three subnets whose accuracy is shown: smallest, largest and a fixed random one."""
    return {
        "smallest": as_key(space.extreme(largest=False)[0]),
        "random": as_key(space.sample(1, np.random.default_rng(seed))[0]),
        "largest": as_key(space.extreme(largest=True)[0]),
    }


@dataclass(frozen=True, slots=True, eq=False)
class RandomWalk:
    """Numbers from 0 to ``num`` - 1 of which neighbours are neighbours in time: every one moves by one or not at all.

    A random walk between two mirrors, which visits all numbers alike in the long run; the same for the same seed, whichever step
    is asked for first.

    Attributes:
        num: 1 or more.
        seed: of the moves.
    """

    num: int
    seed: int
    _places: list[int] = field(default_factory=list, init=False, repr=False)

    def __call__(self, step: int) -> int:
        """The number of a step, 0 or later."""
        if step >= len(self._places):
            length = max(1024, 2 * step)
            draws = np.random.default_rng([self.seed, _WALK]).random(length)
            period = max(1, 2 * (self.num - 1))
            moves = np.where(draws < 1 / 3, -1, np.where(draws < 2 / 3, 0, 1))
            moves[0] = int(draws[0] * period)
            turned = np.cumsum(moves) % period
            self._places[:] = np.minimum(turned, period - turned).tolist()
        return self._places[step]


def adjacent(pool: EvenPool, seed: int) -> Callable[[int], SamplingRule]:
    """``num_random`` subnets of like cost, and of nearly the cost of the step before.

    Subnets of very different cost pull the shared weights in different directions. ElasticViT's complexity-aware sampling (Tang et
    al., ICCV 2023, arXiv:2303.09730, section 4) therefore lets neither those of one step nor those of adjacent ones differ much,
    while all costs come in turn. Deviations: costs go up and down as a random walk; its several smallest nets and its memory of
    good ones (performance-aware sampling) are left out.
    """
    walk = RandomWalk(len(pool.levels), seed)

    def at(step: int) -> SamplingRule:
        def rule(space: SearchSpace, rng: np.random.Generator, num_random: int = 2) -> Subnets:
            return [as_key(row) for row in pool.draw_level(walk(step), max(1, num_random), rng)]

        return rule

    return at


_WALK = 0xE1A5  # tells its random numbers from others of the same seed
SINGLE_PATH = frozenset({"uniform", "uniform-genes", "identities", "left-only", "bilateral"})  # one subnet a step, as published
SAMPLING_RULES: Registry[SamplingRule | OverPool | OverSteps | WithIdentities] = Registry(
    "sampling rule",
    "edgenas.sampling",
    {
        "even": OverPool(even),
        "sandwich": sandwich,
        "uniform": uniform,
        "uniform-genes": uniform_genes,
        "adjacent": OverSteps(adjacent),
        "identities": with_identities(0.5),
        "left-only": WithIdentities(),
        "bilateral": WithIdentities(both_sides=True),
    },
    accepts=lambda thing: callable(thing) or isinstance(thing, (OverPool, OverSteps, WithIdentities)),
    expected="a function (space, rng, num_random) -> subnets, or an OverPool, OverSteps or WithIdentities",
)
