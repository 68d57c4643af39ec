"""Which nets are timed to know the cost of every component.

Blocks are timed inside whole nets: a skeleton (a net without its blocks) with four copies of one block in its stage costs what
the skeleton costs plus four blocks as they run in context, cache contents and fusions across borders included. Where genes change
skeletons, as many are timed as tell the costs of their components apart, and half as many again; only sums matter, so components
that never come apart share their cost.

Evidence for subtracting the frame, against a plain chain of four in token layout (T / 4): 100 nets of `pvt-nano` held out, ONNX
Runtime on two shared cores, 20 of them for the affine calibration (10 draws), factors smoothed; MAPE by session, with the median
ratio to the reference 1.7 and 1.9 % (chain 3.1 and 2.3 %), with the fastest run 1.8 and 1.2 % (chain 1.7 and 1.2 %). Before
calibration the frame's way is 4 to 5 % low, the chain's 5 to 9 %. It also needs only one kind of input.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from edgenas.costs import Term, cost_models, decompose, distinct_components
from edgenas.fields import Amount, AmountOrZero, Count, CountOrZero, Range, require_allowed
from edgenas.latency.timing import TimingSettings
from edgenas.spaces import Genes, SearchSpace, Task, unique_rows
from edgenas.spaces.even import tilted
from edgenas.spaces.families import family

Chain = tuple[Hashable, ...]

POOL = 4000  # rows from which those are drawn that lie evenly over costs
SPARE = 8  # rows near a cost, where the nearest has the components of another
MAX_DRAWS = 1000  # random nets among which skeletons, and blocks that no small net has, are looked for


@dataclass(frozen=True, slots=True)
class MeasuringSettings:
    """How much is measured.

    Attributes:
        timing: visits and runs of every net.
        copies: of a block in the net that tells its cost.
        calibration_nets: whole nets that scale, offset and bound are fitted on; half of these and those below are drawn evenly over
            costs, half evenly over names.
        bound_nets: further ones that nothing is fitted on, measured twice, which promises come from; none, no promises.
        validation_nets: yet others that nothing is fitted on, measured twice.
        confidence: one-sided, of the upper bound.
        seconds: budget of tracing and timing; fewer visits, then fewer blocks where more would not fit. None is no limit.
        fps: calls a second with idle time between them, as a camera makes them; None for call after call.
        soak_seconds: of work before anything is timed.
        pause_seconds: between the two sessions.
    """

    timing: TimingSettings = field(default_factory=TimingSettings)
    copies: Count = 4
    calibration_nets: Count = 20
    bound_nets: CountOrZero = 0
    validation_nets: Count = 20
    confidence: Annotated[float, Range(gt=0, lt=1)] = 0.95
    seconds: Amount | None = None
    fps: Amount | None = None
    soak_seconds: AmountOrZero = 0.0
    pause_seconds: AmountOrZero = 0.0

    def __post_init__(self) -> None:
        require_allowed(self)


@dataclass(frozen=True, slots=True)
class TimingPlan:
    """The nets to time, as chains of components.

    Attributes:
        skeletons: nets without blocks; costs of all others are sums of what these tell.
        block_chains: for every distinct block, a skeleton with copies of it in its place.
        calibration: rows of genes, shape (nets, genes).
        bound: rows of genes of other nets.
        validation: rows of genes of yet other nets.
        calibration_chains: of these rows.
        bound_chains: of these rows.
        validation_chains: of these rows.
        reference: a net of middling size.
        tracing: chains of distinct components that fit together, each with the skeleton that holds it together; every component
            that any net has is in one of them.
    """

    skeletons: tuple[Chain, ...]
    block_chains: dict[Hashable, Chain]
    calibration: Genes
    bound: Genes
    validation: Genes
    calibration_chains: tuple[Chain, ...]
    bound_chains: tuple[Chain, ...]
    validation_chains: tuple[Chain, ...]
    reference: Chain
    tracing: tuple[tuple[Chain, Chain], ...]

    @property
    def first_chains(self) -> tuple[Chain, ...]:
        """What the first session times: skeletons, the nets of blocks, calibration, bound and validation nets."""
        return (*self.skeletons, *self.block_chains.values(), *self.calibration_chains, *self.second_chains)

    @property
    def second_chains(self) -> tuple[Chain, ...]:
        """What the second session times again, the last of the first: bound and validation nets."""
        return (*self.bound_chains, *self.validation_chains)

    def traced_for(self, chains: Sequence[Chain]) -> TimingPlan:
        """The same plan, of which only what these nets have is traced, with what holds it together."""
        needed = {component for chain in chains for component in chain}
        kept = ((tuple(each for each in chain if each in needed or each in frame), frame) for chain, frame in self.tracing)
        return replace(self, tracing=tuple((chain, frame) for chain, frame in kept if needed.intersection(chain)))

    @property
    def num_nets(self) -> int:
        """Different nets, with the reference."""
        return len(dict.fromkeys((*self.first_chains, self.reference)))

    @property
    def num_visits(self) -> int:
        """Visits to nets in one round of the first session and one of the second."""
        return len(self.first_chains) + len(self.second_chains)


def components_of(space: SearchSpace, genes_G: Genes, task: Task) -> Chain:
    """The net of one row of genes as a chain, by the space's family."""
    return family(space).lower(space, genes_G, task).components


def reference_net(space: SearchSpace, task: Task) -> Chain:
    """The net that is returned to while timing: of every choice the middle option."""
    middle = np.array([[len(choice.options) // 2 for choice in space.choices]], dtype=np.int16)
    return components_of(space, space.canonical(middle)[0], task)


def make_plan(space: SearchSpace, task: Task, settings: MeasuringSettings, *, rng: np.random.Generator) -> TimingPlan:
    """Lay down what is timed.

    Args:
        space: whose blocks are wanted.
        task: classes, channels and resolution.
        settings: how many nets.
        rng: draws calibration and validation nets.
    """
    terms = decompose(space, task)
    places = _places(space, task, terms)
    parts = [component for component in distinct_components(terms) if not is_block(space, component)]
    wanted = (settings.calibration_nets, settings.bound_nets, settings.validation_nets)
    (calibration, fitted), (bound, bounding), (validation, validating) = _whole_nets(space, task, wanted, rng)
    skeletons = _skeletons(space, task, parts, [place.skeleton for place in places.values()], rng)
    return TimingPlan(
        skeletons=skeletons,
        block_chains={block: place.around(block, settings.copies) for block, place in places.items()},
        calibration=calibration,
        bound=bound,
        validation=validation,
        calibration_chains=fitted,
        bound_chains=bounding,
        validation_chains=validating,
        reference=reference_net(space, task),
        tracing=_tracing(skeletons, places),
    )


def is_block(space: SearchSpace, component: Hashable) -> bool:
    """Whether a component is one that nets repeat."""
    return family(space).is_block(component)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a block may stand: after the first ``at`` components of a skeleton."""

    skeleton: Chain
    at: int

    def around(self, block: Hashable, copies: int) -> Chain:
        return (*self.skeleton[: self.at], *(block,) * copies, *self.skeleton[self.at :])


def _places(space: SearchSpace, task: Task, terms: Sequence[Term]) -> dict[Hashable, _Place]:
    """A place for every block, in nets that are small but for what the block needs."""
    places: dict[Hashable, _Place] = {}
    smallest_G = space.extreme(largest=False)[0]
    blocks = {component for component in distinct_components(terms) if is_block(space, component)}
    for term in terms:
        sizes = np.array([len(space.choices[gene].options) for gene in term.genes])
        for index, cell in term:
            if all(component in places or component not in blocks for component in cell):
                continue
            genes_G = smallest_G.copy()
            genes_G[list(term.genes)] = np.where(np.array(index) < sizes, index, -1)
            _find(space, components_of(space, space.canonical(genes_G[None])[0], task), places)
    rng = np.random.default_rng(0)
    for _ in range(MAX_DRAWS):  # blocks that stand in no small net
        if len(places) == len(blocks):
            break
        _find(space, components_of(space, space.sample(1, rng)[0], task), places)
    return places


def _find(space: SearchSpace, chain: Chain, places: dict[Hashable, _Place]) -> None:
    skeleton = tuple(component for component in chain if not is_block(space, component))
    before = 0
    for component in chain:
        if is_block(space, component):
            places.setdefault(component, _Place(skeleton, before))
        else:
            before += 1


def _skeletons(
    space: SearchSpace, task: Task, parts: Sequence[Hashable], needed: Sequence[Chain], rng: np.random.Generator
) -> tuple[Chain, ...]:
    """Skeletons that tell what every skeleton costs: they span all, with half as many again against noise."""
    drawn = (components_of(space, genes_G, task) for genes_G in space.sample(MAX_DRAWS, rng))
    others = (tuple(component for component in chain if not is_block(space, component)) for chain in drawn)
    candidates = list(dict.fromkeys([*needed, *others]))
    column = {part: position for position, part in enumerate(parts)}
    basis = np.zeros((0, len(parts)))
    chosen: list[Chain] = []
    for chain in candidates:
        vector_P = np.zeros(len(parts))
        np.add.at(vector_P, [column[part] for part in chain], 1.0)
        rest_P = vector_P - basis.T @ (basis @ vector_P)
        rest_P -= basis.T @ (basis @ rest_P)  # once more, against rounding
        if np.linalg.norm(rest_P) > 1e-6 * np.linalg.norm(vector_P):
            basis = np.vstack([basis, rest_P / np.linalg.norm(rest_P)])
            chosen.append(chain)
    more = [chain for chain in candidates if chain not in set(chosen)]
    return (*chosen, *more[: len(chosen) // 2])


def _tracing(skeletons: Sequence[Chain], places: Mapping[Hashable, _Place]) -> tuple[tuple[Chain, Chain], ...]:
    chains = []
    known: set[Hashable] = set()
    for skeleton in dict.fromkeys([*(place.skeleton for place in places.values()), *skeletons]):
        blocks = [(place.at, block) for block, place in places.items() if place.skeleton == skeleton]
        if not blocks and known.issuperset(skeleton):
            continue
        chain: list[Hashable] = []
        for position in range(len(skeleton) + 1):
            chain += [block for at, block in blocks if at == position]
            chain += skeleton[position : position + 1]
        known.update(chain)
        chains.append((tuple(dict.fromkeys(chain)), skeleton))
    return tuple(chains)


def _whole_nets(
    space: SearchSpace, task: Task, wanted: Sequence[int], rng: np.random.Generator
) -> list[tuple[Genes, tuple[Chain, ...]]]:
    """Sets of so many nets, rows and chains of each, that all differ in their components.

    Half of every set is drawn evenly over names, half evenly over costs: nearly all nets of a space are of middling cost, and what
    a line through those says of the small ones is a guess. A space with too few nets gives all that it has, shared out.

    Evidence: small nets near a limit of 0.0276 ms of `pvt-mobile-pico`, four profiles each. Without the even half they measured
    −1.1 to 3.6 % beyond their prediction on average, single ones up to 8.2 %; with it −0.4 to 2.5 % and up to 5.2 %.
    """
    num = sum(wanted)
    if space.cardinality <= 8 * num:
        rows_AG = _differing(space, task, rng.permutation(space.enumerate()), num, set())
        sets = np.split(rows_AG, np.cumsum(_shared_out(len(rows_AG), wanted))[:-1])
    else:
        known: set[Chain] = set()
        uniform_AG = unique_rows(space.sample(8 * num, rng))
        pool_AG = unique_rows(tilted(space, POOL, rng))
        cost_A = np.log(cost_models(space, task).macs(pool_AG))
        sets = []
        for each in wanted:
            even_AG = _differing(space, task, pool_AG[_even_order(cost_A, each // 2, rng)], each // 2, known)
            others_AG = _differing(space, task, uniform_AG, each - len(even_AG), known)
            sets.append(rng.permutation(np.concatenate([even_AG, others_AG])))
    return [(rows, tuple(components_of(space, genes_G, task) for genes_G in rows)) for rows in sets]


def _shared_out(num: int, wanted: Sequence[int]) -> NDArray[np.int64]:
    """Sizes of sets of ``num`` nets, as they are wanted. Nothing fits without the first set, nor is checked without the last: each
    has one net where there is one for it."""
    sizes = np.diff([num * int(end) // max(1, sum(wanted)) for end in np.cumsum(wanted)], prepend=0)
    for needed, left in ((0, 1), (-1, 2)):
        if num >= left and wanted[needed] and not sizes[needed]:
            sizes[np.argmax(sizes)] -= 1
            sizes[needed] += 1
    return sizes


def _even_order(cost_A: NDArray[np.float64], num: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Positions, those first that lie nearest to ``num`` random costs, one in each of as many equal steps."""
    low, high = float(cost_A.min()), float(cost_A.max())
    targets = low + (high - low) * (np.arange(num) + rng.random(num)) / max(1, num)
    nearest_TS = np.argsort(np.abs(cost_A - targets[:, None]), axis=1, kind="stable")[:, :SPARE]
    return np.asarray(nearest_TS.T.ravel())


def _differing(space: SearchSpace, task: Task, rows_AG: Genes, num: int, known: set[Chain]) -> Genes:
    """The first ``num`` rows whose components are not known; they are known then."""
    chosen: list[int] = []
    for position, genes_G in enumerate(rows_AG):
        if len(chosen) == num:
            break
        chain = components_of(space, genes_G, task)
        if chain not in known:
            known.add(chain)
            chosen.append(position)
    return rows_AG[chosen]
