"""What limits leave of a space, and how long training would take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from edgenas.records.candidates import Costs
from edgenas.records.codec import FLAT, OMITTED, JsonRecord
from edgenas.records.search import Nearest, OtherSpace, PromisedBound, SpaceFacts, TableFacts


@dataclass(frozen=True, slots=True)
class Estimate(JsonRecord):
    """Seconds that are extrapolated from timed parts.

    Attributes:
        value: from their mean.
        low, high: from their 10th and 90th percentile; no interval of the truth, for other programs may come or go.
        n: parts that were timed.
    """

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, seconds: Sequence[float], times: float, plus: float = 0.0) -> Estimate:
        """``times`` such parts, and ``plus`` seconds that are known."""
        low, high = np.quantile(seconds, [0.1, 0.9])
        mean = float(np.mean(seconds))
        ends = (min(float(low), mean), mean, max(float(high), mean))
        low_s, value, high_s = (each * times + plus for each in ends)
        return cls(value, low_s, high_s, len(seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedNet(JsonRecord):
    """An extreme net that fits.

    Attributes:
        costs: as predicted.
        depth: blocks.
        mean_width: inner channels of a block.
        used: share of each limit that it uses; of a lower one, what it asks for by what the net has.
        proxies: training-free scores by name, larger for what should be better; None where none was asked for.
    """

    costs: Annotated[Costs, FLAT]
    depth: int
    mean_width: float
    used: Mapping[str, float]
    proxies: Annotated[Mapping[str, float] | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTraining(JsonRecord):
    """A training of which a few steps were timed.

    Attributes:
        seconds: of all of it, select read after every epoch.
        steps: of all epochs.
        step_ms: milliseconds of one.
        evaluation_s: seconds of reading select once.
        net: that is trained.
        is_done: whether it is there already.
    """

    seconds: Estimate
    epochs: int
    steps: int
    batch_size: int
    step_ms: Estimate
    evaluation_s: float
    net: str
    is_done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedProbe(JsonRecord):
    """Short trainings, one after the other: how many nets, the epochs of the longest, the steps of all."""

    seconds: Estimate
    nets: int
    epochs: int
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSearch(JsonRecord):
    """The evaluation of so many nets on so many images."""

    seconds: Estimate
    nets: int
    images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedProof(JsonRecord):
    """The proof of a search: so many nets for the epochs of the first rung, some of them for all."""

    seconds: Estimate
    epochs: int
    nets: int
    first_epochs: int
    last_nets: int
    last_epochs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRetrain(JsonRecord):
    """`edgenas retrain`: all epochs together, the finals of the search, the ways of each, the hand-designed nets beside them."""

    seconds: Estimate
    epochs: int
    finals: Annotated[int | None, OMITTED] = None
    ways: int
    hand_designed: Annotated[int | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTimes(JsonRecord):
    """Estimates by what would be trained.

    Attributes:
        probes: ``teacher`` and ``teaching``, whichever are to be found out.
        training: ``teacher``, if there is to be one, and ``supernet``.
        proof: None where nothing is to be proven.
        retrain: ``alone`` and with the ``baseline``.
    """

    probes: Mapping[str, PlannedProbe]
    training: Mapping[str, PlannedTraining]
    search: PlannedSearch
    proof: PlannedProof | None
    retrain: Mapping[str, PlannedRetrain]


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingFits(JsonRecord):
    """What is known where no architecture meets the limits; ``nets`` is empty then."""

    space: SpaceFacts
    limits: Mapping[str, float]
    table: TableFacts | None
    tables: Mapping[str, TableFacts]
    promises: Mapping[str, PromisedBound]
    rejected: Mapping[str, int]
    nets: Mapping[str, PlannedNet]
    closest: Mapping[str, Nearest]
    binding: tuple[str, ...]
    other_spaces: Annotated[tuple[OtherSpace, ...] | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FittingNets(JsonRecord):
    """What limits leave.

    Attributes:
        limits: by name.
        tables: by device.
        promises: bounds by the name of their limit.
        rejected: nets looked at that break each limit, by its name.
        nets: the extreme ones that fit, e.g. ``largest_macs``.
        method: ``enumeration``, or ``evolution`` where the space is too large for that.
        binding: names of the limits that alone keep out some net.
    """

    space: SpaceFacts
    limits: Mapping[str, float]
    table: TableFacts | None
    tables: Mapping[str, TableFacts]
    promises: Mapping[str, PromisedBound]
    rejected: Mapping[str, int]
    nets: Mapping[str, PlannedNet]
    method: str
    binding: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanResult(JsonRecord):
    """What `edgenas plan` answers."""

    fitting: Annotated[FittingNets, FLAT]
    device: str
    times: Annotated[PlannedTimes, FLAT]
