"""Which nets are timed to know the cost of every component.

Blocks are timed inside whole nets: the frame (everything but blocks) with four copies of one block in its stage costs what the
frame costs plus four blocks as they run in context, cache contents and fusions across borders included.

Evidence for subtracting the frame, against a plain chain of four in token layout (T / 4): 100 nets of `pvt-nano` held out, ONNX
Runtime on two shared cores, 20 of them for the affine calibration (10 draws), factors smoothed; MAPE by session, with the median
ratio to the reference 1.7 and 1.9 % (chain 3.1 and 2.3 %), with the fastest run 1.8 and 1.2 % (chain 1.7 and 1.2 %). Before
calibration the frame's way is 4 to 5 % low, the chain's 5 to 9 %. It also needs only one kind of input.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from importlib import import_module

import numpy as np

from edgenas.costs import Term, decompose
from edgenas.errors import LatencyTableError
from edgenas.latency.timing import TimingSettings
from edgenas.spaces import Genes, SearchSpace, Task, unique_rows

Chain = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """How much is measured.

    Attributes:
        timing: visits and runs of every net.
        copies: of a block in the net that tells its cost.
        calibration_nets: random nets that scale, offset and bound are fitted on.
        bound_nets: further random nets that nothing is fitted on, measured twice, which promises come from; none, no promises.
        validation_nets: random nets that nothing is fitted on, measured twice.
        confidence: one-sided, of the upper bound.
        seconds: budget; fewer visits, at least 2, are made where more would not fit. None is no limit.
    """

    timing: TimingSettings = field(default_factory=TimingSettings)
    copies: int = 4
    calibration_nets: int = 20
    bound_nets: int = 0
    validation_nets: int = 20
    confidence: float = 0.95
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The nets to time, as chains of components.

    Attributes:
        frame: every net's components that no gene chooses, in order: a net without blocks.
        block_chains: for every distinct block, the frame with copies of it in its place.
        calibration: rows of genes, shape (nets, genes).
        bound: rows of genes of other nets.
        validation: rows of genes of yet other nets.
        calibration_chains: of these rows.
        bound_chains: of these rows.
        validation_chains: of these rows.
        reference: a net of middling size.
        tracing_chain: every distinct component once, in an order in which they fit together.
    """

    frame: Chain
    block_chains: dict[Hashable, Chain]
    calibration: Genes
    bound: Genes
    validation: Genes
    calibration_chains: tuple[Chain, ...]
    bound_chains: tuple[Chain, ...]
    validation_chains: tuple[Chain, ...]
    reference: Chain
    tracing_chain: Chain

    @property
    def first_chains(self) -> tuple[Chain, ...]:
        """What the first session times: the frame, the nets of blocks, calibration, bound and validation nets."""
        return (self.frame, *self.block_chains.values(), *self.calibration_chains, *self.second_chains)

    @property
    def second_chains(self) -> tuple[Chain, ...]:
        """What the second session times again, the last of the first: bound and validation nets."""
        return (*self.bound_chains, *self.validation_chains)

    @property
    def num_nets(self) -> int:
        """Different nets, with the reference."""
        return len(dict.fromkeys((*self.first_chains, self.reference)))

    @property
    def num_visits(self) -> int:
        """Visits to nets in one round of the first session and one of the second."""
        return len(self.first_chains) + len(self.second_chains)


def components_of(space: SearchSpace, genes_G: Genes, task: Task) -> Chain:
    """The net of one row of genes as a chain, by the module of the space's family."""
    chain: Chain = import_module(f"edgenas.spaces.{space.family}").lower(space, genes_G, task).components
    return chain


def reference_net(space: SearchSpace, task: Task) -> Chain:
    """The net that is returned to while timing: of every choice the middle option."""
    middle = np.array([[len(choice.options) // 2 for choice in space.choices]], dtype=np.int16)
    return components_of(space, space.canonical(middle)[0], task)


def make_plan(space: SearchSpace, task: Task, settings: ProfileSettings, *, rng: np.random.Generator) -> Plan:
    """Lay down what is timed.

    Args:
        space: whose blocks are wanted.
        task: classes, channels and resolution.
        settings: how many nets.
        rng: draws calibration and validation nets.

    Raises:
        LatencyTableError: if every component depends on a gene, as in AutoFormer's spaces.
    """
    terms = decompose(space, task)
    frame: Chain = tuple(component for term in terms if not term.genes for _, cell in term for component in cell)
    if not frame:
        raise LatencyTableError(
            f"{space.name} cannot be profiled yet: all components of its nets depend on genes, no fixed net is around a block",
            hint="search it with --max-params or --max-macs",
        )
    places = _places(space, task, terms, frame)
    block_chains = {block: (*frame[:at], *(block,) * settings.copies, *frame[at:]) for block, at in places.items()}
    wanted = (settings.calibration_nets, settings.bound_nets, settings.validation_nets)
    rows, chains = _random_nets(space, task, sum(wanted), rng)
    fitted, bound = (len(chains) * end // max(1, sum(wanted)) for end in (wanted[0], wanted[0] + wanted[1]))
    return Plan(
        frame=frame,
        block_chains=block_chains,
        calibration=rows[:fitted],
        bound=rows[fitted:bound],
        validation=rows[bound:],
        calibration_chains=chains[:fitted],
        bound_chains=chains[fitted:bound],
        validation_chains=chains[bound:],
        reference=reference_net(space, task),
        tracing_chain=_tracing_chain(frame, places),
    )


def _places(space: SearchSpace, task: Task, terms: Sequence[Term], frame: Chain) -> dict[Hashable, int]:
    """For every block, how many components of the frame come before it."""
    places: dict[Hashable, int] = {}
    fixed = set(frame)
    smallest_G = space.extreme(largest=False)[0]
    for term in terms:
        for index, cell in term:
            if not term.genes or all(component in places for component in cell):
                continue
            genes_G = smallest_G.copy()
            genes_G[list(term.genes)] = index
            before = 0
            for component in components_of(space, space.canonical(genes_G[None])[0], task):
                if component in fixed:
                    before += 1
                elif component in cell:
                    places.setdefault(component, before)
    return places


def _tracing_chain(frame: Chain, places: dict[Hashable, int]) -> Chain:
    chain: list[Hashable] = []
    for position in range(len(frame) + 1):
        chain += [block for block, at in places.items() if at == position]
        chain += frame[position : position + 1]
    return tuple(dict.fromkeys(chain))


def _random_nets(space: SearchSpace, task: Task, num: int, rng: np.random.Generator) -> tuple[Genes, tuple[Chain, ...]]:
    """Up to ``num`` nets that differ in their components, in random order."""
    small = space.cardinality <= 8 * num
    rows_AG = rng.permutation(space.enumerate()) if small else unique_rows(space.sample(8 * num, rng))
    found: dict[Chain, int] = {}
    for position, genes_G in enumerate(rows_AG):
        if len(found) == num:
            break
        found.setdefault(components_of(space, genes_G, task), position)
    return rows_AG[list(found.values())], tuple(found)
