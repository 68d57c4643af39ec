"""The finalists of a search: measured on the device, read once on the split confirm, one chosen."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgenas.data.images import Images
from edgenas.latency import Memory
from edgenas.latency.measuring import Measured, is_elsewhere
from edgenas.project.measuring import measure_archs
from edgenas.project.opening import Project
from edgenas.project.searching.costing import DeviceTable
from edgenas.project.searching.evaluating import evaluator_on
from edgenas.project.searching.question import Question, missed
from edgenas.project.searching.races import whole
from edgenas.records import CandidateRow, Latencies, PromisedQuantile, lower_name
from edgenas.runs import Journal, Note, Record
from edgenas.search import Candidate, Evaluator, pick_by_both, ranked
from edgenas.search.finalists import Finalist, capacity
from edgenas.search.limits import in_reach
from edgenas.search.proof_scores import Score, in_turn, resolution_of
from edgenas.spaces.even import NEAR
from edgenas.stats import accuracy, sensitivities
from edgenas.training.recalibration import Recalibration

MAX_ROUNDS = 3
LESS_ROOM = 0.98  # of the room below a limit, after nets measured beyond it


class Wanted(NamedTuple):
    """How many nets are to be judged; hand-designed ones are counted apart only where nets are proven."""

    num: int
    num_hand: int = 0


@dataclass(frozen=True, slots=True)
class Panel:
    """Measures and confirms candidates.

    Attributes:
        described: the contract's CAND of every candidate.
        hand_designed: genes of the space's hand-designed nets.
        evaluations: predictions, by weights; what is there already is not made again.
        memory: timings, likewise.
        select: predicts on select, for nets that a race dropped before they had seen all of it.
        statistics: of subnets' batch norms; None where there are none.
    """

    project: Project
    images: Images
    supernet: nn.Module
    candidates: Sequence[Candidate]
    described: Sequence[CandidateRow]
    hand_designed: frozenset[tuple[int, ...]]
    question: Question
    device: str
    evaluations: Journal
    memory: Memory
    select: Evaluator
    statistics: Recalibration | None = None

    def judge(self, chosen: Sequence[int]) -> Generator[Record, None, list[Finalist]]:
        """The candidates at these positions, measured and read once on confirm; nothing of none."""
        if not chosen:
            return []
        fresh = [self._finalist(i) for i in chosen]
        for place in self.question.costing.devices:
            is_first = place is self.question.costing.devices[0]
            fresh = yield from _measure(self.project, self.images, fresh, place, is_first=is_first, memory=self.memory)
        return _confirm(self, fresh)

    def _finalist(self, position: int) -> Finalist:
        candidate = whole(self.candidates[position], self.question, self.select)
        row = self.described[position] if candidate is self.candidates[position] else self.question.describe(candidate)
        is_hand_designed = candidate.genes in self.hand_designed
        return Finalist(candidate, replace(row, hand_designed=is_hand_designed), {}, is_hand_designed)

    def costs(self) -> tuple[NDArray[np.float64], float | None]:
        """What candidates are spread over, and its limit: latency where a table is there, else MACs."""
        genes_AG = np.array([candidate.genes for candidate in self.candidates], dtype=np.int16)
        costing = self.question.costing
        if (limit := costing.main_limit) is not None:
            return limit.cost(genes_AG), limit.limit
        return costing.costs.latency_or_macs(genes_AG), None

    @property
    def wanted(self) -> Wanted:
        """How many nets are worth judging."""
        settings = self.project.settings.search
        return Wanted(settings.proof_nets, settings.proof_hand) if self.question.proof_epochs else Wanted(settings.num_finalists)

    def replacing(self, slower: Sequence[Finalist]) -> Wanted:
        """How many nets take the place of these."""
        num_hand = sum(finalist.is_hand_designed for finalist in slower) if self.question.proof_epochs else 0
        return Wanted(len(slower) - num_hand, num_hand)

    def pick(self, allowed: Sequence[int], wanted: Wanted) -> list[int]:
        """Those of the allowed candidates, best first, that are worth judging.

        Where they are proven, half of the searched ones are the best by inherited accuracy, the other half those of most
        `capacity`: a supernet that ranks badly among equally dear nets then costs half of the proof, not the winner.
        """
        if self.question.proof_epochs == 0:
            return list(allowed[: wanted.num])
        costs_A, limit = self.costs()
        searched = [i for i in allowed if self.candidates[i].genes not in self.hand_designed]
        mine_A = costs_A[searched]
        high = limit if limit is not None else float(mine_A.max(initial=1.0))
        low = NEAR * high if limit is not None else float(mine_A.min(initial=high))
        inherited_A = -np.arange(len(searched), dtype=np.float64)  # they come best first
        capacity_A = np.array([capacity(self.described[i]) for i in searched])
        capacity_A[[not self._meets_floors(i) for i in searched]] = -np.inf
        places = pick_by_both(inherited_A, capacity_A, mine_A, wanted.num, low=low, high=high)
        return [*(searched[place] for place in places), *self._pick_hand_designed(allowed, wanted.num_hand)]

    def _meets_floors(self, position: int) -> bool:
        return self.candidates[position].shortfall == 0

    def _pick_hand_designed(self, allowed: Sequence[int], num: int) -> list[int]:
        """In turn the best by inherited accuracy, by parameters and by MACs."""
        mine = [i for i in allowed if self.candidates[i].genes in self.hand_designed]
        orders = [mine, *(sorted(mine, key=lambda i: -key(self.described[i])) for key in (_params, _macs))]
        return list(dict.fromkeys(i for turn in zip(*orders, strict=True) for i in turn))[:num]


def _params(row: CandidateRow) -> int:
    return row.params


def _macs(row: CandidateRow) -> int:
    return row.macs


def timed(finalist: Finalist, place: DeviceTable, net: Measured, *, is_first: bool) -> Finalist:
    """A finalist as measured on a device, and rejected by the limits that it breaks; ``is_first`` of the search's devices."""
    judged_ms = net.latency_ms if place.bound is None else net.quantile_ms(place.bound.quantile)
    row = finalist.row
    if is_first:
        row = replace(row, latency_ms_measured=net.latency_ms, latency_ms_p95=net.p95_ms, latency_ms_percentiles=net.percentiles)
        if place.bound is not None:
            row = replace(row, latency_ms_quantile=PromisedQuantile(quantile=place.bound.quantile, ms=judged_ms))
    if row.latencies is not None:
        row = replace(row, latencies={**row.latencies, place.label: _measured(row.latencies[place.label], net)})
    if place.limit_ms is not None and judged_ms > place.limit_ms:
        quantile = "median" if place.bound is None else place.bound.quantile
        text = f"measured {in_reach(judged_ms, is_lower=False)} ms ({quantile}); asked {place.limit_ms:.12g}"
        row = row.rejected(place.name, text)
    if place.least_ms is not None and net.latency_ms < place.least_ms:
        text = f"measured {in_reach(net.latency_ms, is_lower=True)} ms (median); asked {place.least_ms:.12g} or more"
        row = row.rejected(lower_name(place.name), text)
    return replace(finalist, row=row, measured={**finalist.measured, place.name: judged_ms})


def _measured(latencies: Latencies, net: Measured) -> Latencies:
    """With what was measured beside what was predicted."""
    quantiles = {"p50_ms": net.quantile_ms("p50"), "p90_ms": net.quantile_ms("p90")}
    quantiles |= {"p95_ms": net.quantile_ms("p95"), "p99_ms": net.quantile_ms("p99")}
    return replace(latencies, measured_ms=net.latency_ms, percentiles=net.percentiles, **quantiles)


def judge_finalists(panel: Panel) -> Generator[Record, None, list[Finalist]]:
    """Measure and confirm the best candidates; those that measure slower than the limit have others take their place.

    Others are predicted so much faster as these measured slower than predicted: a search picks nets whose prediction flatters.

    Returns:
        The finalists of every round, in order; ``rejected_by`` says why one cannot win.
    """
    order, wanted, room = in_order(panel), panel.wanted, _Room.of(panel)
    finalists: list[Finalist] = []
    for left in reversed(range(MAX_ROUNDS)):
        taken = {finalist.candidate.genes for finalist in finalists}
        allowed = [i for i in order if panel.candidates[i].genes not in taken and room.is_within(i)]
        chosen = panel.pick(allowed, wanted)
        fresh = yield from panel.judge(chosen)
        finalists += fresh
        slower = [finalist for finalist in fresh if room.limit_ms.keys() & set(finalist.row.rejected_by)]
        if not slower or not left:
            break
        is_every = len(slower) == len(fresh)
        which = "every finalist" if is_every else f"{len(slower)} of {len(fresh)} finalists"
        yield Note(f"{which} measured slower than the limit; trying nets that are predicted faster", is_warning=is_every)
        wanted, room = panel.replacing(slower), room.after(chosen, fresh)
    return finalists


@dataclass(frozen=True, slots=True)
class _Room:
    """What may be predicted of a net that is to measure within the limits on latency.

    Attributes:
        limit_ms: of every device that has one, by name.
        predicted_A: likewise, of every candidate: what the limit is held against.
        margin: likewise, share of the limit that a prediction may take.
    """

    limit_ms: Mapping[str, float]
    predicted_A: Mapping[str, NDArray[np.float64]]
    margin: Mapping[str, float]

    @classmethod
    def of(cls, panel: Panel) -> _Room:
        """All of every limit, before anything is measured."""
        genes_AG = np.array([candidate.genes for candidate in panel.candidates], dtype=np.int16)
        devices = [(device, device.limit_ms) for device in panel.question.costing.devices if device.limit_ms is not None]
        limits = {device.name: limit_ms for device, limit_ms in devices}
        return cls(limits, {device.name: device.limited(genes_AG) for device, _ in devices}, dict.fromkeys(limits, 1.0))

    def is_within(self, position: int) -> bool:
        """Whether a candidate is predicted fast enough."""
        return all(self.predicted_A[name][position] <= top * self.margin[name] for name, top in self.limit_ms.items())

    def after(self, chosen: Sequence[int], finalists: Sequence[Finalist]) -> _Room:
        """With less room below limits that they broke, as these measured slower than predicted, and a little less in any case."""
        margin = dict(self.margin)
        for name in self.limit_ms:
            if any(name in finalist.row.rejected_by for finalist in finalists):
                pairs = zip(chosen, finalists, strict=True)
                ratios = [self.predicted_A[name][i] / f.measured[name] for i, f in pairs if name in f.measured]
                margin[name] = min(LESS_ROOM * margin[name], float(np.median(ratios)))
        return replace(self, margin=margin)


def in_order(panel: Panel) -> list[int]:
    """Positions of the candidates, best inherited accuracy first; of equal ones the cheaper.

    With another objective by that; with several those that no other beats come first, spread over what they trade.
    """
    candidates, described = panel.candidates, panel.described
    cost = "latency_ms_predicted" if panel.question.costing.devices else "macs"
    if len(panel.question.objectives) > 1:
        places = {id(candidate): i for i, candidate in enumerate(candidates)}
        return [places[id(candidate)] for candidate in ranked(candidates)]
    return sorted(
        range(len(candidates)),
        key=lambda i: (*candidates[i].rank[:-1], described[i].cost(cost), candidates[i].rank),
    )


def further(panel: Panel, taken: Sequence[Finalist], num: int, score: Score) -> Generator[Record, None, list[Finalist]]:
    """So many finalists more, near the limit, the best by a score, measured and confirmed."""
    known = {finalist.candidate.genes for finalist in taken}
    costs_A, limit = panel.costs()
    room = _room_beside(panel, taken)
    places = [i for i in in_order(panel) if panel.candidates[i].genes not in known and panel.candidates[i].shortfall == 0]
    places = [i for i in places if room.is_within(i)] or places
    near = [i for i in places if limit is None or costs_A[i] >= NEAR * limit] or places
    if not near:
        return []
    nets = [Finalist(panel.candidates[i], panel.described[i]) for i in near]
    order = [int(place) for place in np.argsort(-score(nets), kind="stable")]
    places = in_turn(order, [resolution_of(net) for net in nets], num)
    return (yield from panel.judge([near[place] for place in places]))


def _room_beside(panel: Panel, taken: Sequence[Finalist]) -> _Room:
    """Less room than all of the limits where one of these measured beyond one."""
    room, mine = _Room.of(panel), {candidate.genes: i for i, candidate in enumerate(panel.candidates)}
    known = [finalist for finalist in taken if finalist.candidate.genes in mine]
    if not any(room.limit_ms.keys() & set(finalist.row.rejected_by) for finalist in known):
        return room
    return room.after([mine[finalist.candidate.genes] for finalist in known], known)


def _measure(
    project: Project, images: Images, finalists: Sequence[Finalist], device: DeviceTable, *, is_first: bool, memory: Memory
) -> Generator[Record, None, list[Finalist]]:
    """The finalists as timed on a device that is here, and judged; the limit without a name is always judged here."""
    if device.alias and not device.is_here:
        return list(finalists)
    rows = np.array([finalist.candidate.genes for finalist in finalists], dtype=np.int16)
    elsewhere = is_elsewhere(device.table.table)  # its nets are not measured; those of a foreign table are, with the run's own
    table = device.table if device.is_here or elsewhere else None
    label = f"measuring on {device.alias}" if device.alias else "measuring finalists"
    nets = yield from measure_archs(project, images.task, rows, label=label, table=table, memory=memory)
    if nets is None:
        return list(finalists)
    return [timed(finalist, device, net, is_first=is_first) for finalist, net in zip(finalists, nets, strict=True)]


def _confirm(panel: Panel, finalists: Sequence[Finalist]) -> list[Finalist]:
    """The finalists with accuracy and sensitivities on confirm; a floor must hold there as well."""
    images, question = panel.images, panel.question
    labels_N = images.labels("confirm")
    genes_AG = np.array([finalist.candidate.genes for finalist in finalists], dtype=np.int16)
    evaluator = evaluator_on(images, panel.supernet, "confirm", panel.device, panel.statistics, panel.evaluations)
    confirmed = []
    for finalist, p_NK in zip(finalists, evaluator(genes_AG, np.arange(len(labels_N))), strict=True):
        shares = sensitivities(p_NK.argmax(axis=1), labels_N, images.class_names)
        row = replace(finalist.row, top1_confirm=accuracy(p_NK.argmax(axis=1), labels_N), sensitivity_confirm=shares)
        genes_G = np.array(finalist.candidate.genes, dtype=np.int16)
        for floor in question.floors:
            own = floor.of_net(genes_G).plain
            if own.violation(p_NK[None], labels_N)[0] > 0:
                row = row.rejected(floor.name, missed(own, p_NK, labels_N, "confirm"))
        losses, right_N = question.losses(genes_G, p_NK, labels_N), p_NK.argmax(axis=1) == labels_N
        confirmed.append(replace(finalist, row=row, losses=losses, right_confirm_N=right_N))
    return confirmed
