"""Finalists of a search: candidates with what was measured, confirmed and proven of them, and the one that is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edgenas.records import CandidateRow, ProofRow
from edgenas.search.base import Candidate
from edgenas.search.constraints import FLOOR
from edgenas.stats import Proportion, difference_of_means, wilson


@dataclass(frozen=True, slots=True)
class Proof:
    """What a few epochs alone showed of a net.

    Attributes:
        epochs: of the last rung that it reached.
        first_top1: accuracy of the first rung on select and confirm.
        first_log_likelihood: mean of the first rung over their images, in nats.
        right_N: images of both that it got right after its last rung.
        log_likelihood: mean over these images, in nats, after its last rung.
        score: mean log-likelihood, drawn towards what the ranker expects as far as the images are few; what decides.
        low_floors: floors on sensitivities that it does not reach yet.
        losses: the search's objectives as this net reaches them on both splits; empty for accuracy alone.
    """

    epochs: int
    first_top1: float
    first_log_likelihood: float
    right_N: NDArray[np.bool_]
    log_likelihood: float
    score: float
    low_floors: tuple[str, ...] = ()
    losses: tuple[float, ...] = ()

    def after(self, first: Proof) -> Proof:
        """The same with what an earlier rung showed first."""
        return replace(self, first_top1=first.first_top1, first_log_likelihood=first.first_log_likelihood)

    @property
    def row(self) -> ProofRow:
        """For the net's row."""
        return ProofRow(
            epochs=self.epochs,
            top1=wilson(int(self.right_N.sum()), len(self.right_N)),
            log_likelihood=self.log_likelihood,
            score=self.score,
            first_rung_top1=self.first_top1,
            low_floors=self.low_floors,
        )


@dataclass(frozen=True, slots=True)
class Finalist:
    """A candidate with its measurement and its confirmation; ``row`` is the contract's CAND.

    Attributes:
        measured: what the limits of devices judge, by their name: the median of all calls, or the quantile that is promised.
        is_hand_designed: an engineer would have written it down without a search.
        proof: of a few epochs alone; None where it was not proven.
        losses: the search's objectives on confirm, with inherited weights; empty for accuracy alone.
        right_confirm_N: images of confirm that it got right with inherited weights; None before it read them.
    """

    candidate: Candidate
    row: CandidateRow
    measured: Mapping[str, float] = field(default_factory=dict)
    is_hand_designed: bool = False
    proof: Proof | None = None
    losses: tuple[float, ...] = ()
    right_confirm_N: NDArray[np.bool_] | None = field(default=None, repr=False)

    @property
    def rank(self) -> tuple[float, ...]:
        """Smaller is better; of equal nets the faster, then the smaller.

        Nets that were proven come first, by how far they came, the floors they miss, and their score; others go by their inherited
        accuracy on confirm, then on select. Where something else than accuracy is searched for, floors and then that decide before
        all the rest, as the net alone reaches it where it was proven.
        """
        confirmed, latency_ms = self.row.top1_confirm, self.row.latency_ms
        proven: tuple[float, ...] = (0, 0, 0)
        if self.proof is not None:
            proven = (-self.proof.epochs, len(self.proof.low_floors), -self.proof.score)
        assert confirmed is not None
        first: tuple[float, ...] = self.losses
        if self.losses and self.proof is not None:
            first = (len(self.proof.low_floors), *self.proof.losses)
        elif self.losses:
            first = (len(self.row.rejected_by), *self.losses)
        return (
            *first,
            *proven,
            -confirmed.value,
            -self.candidate.top1,
            latency_ms if latency_ms is not None else 0.0,
            self.row.macs,
        )

    def proven(self, proof: Proof | None) -> Finalist:
        """With its proof, also in the row."""
        if proof is None:
            return self
        return replace(self, proof=proof, row=replace(self.row, proof=proof.row))


def capacity(row: CandidateRow) -> float:
    """What a net has to learn with, on a scale that parameters and MACs move alike: the sum of their logarithms."""
    return float(np.log(row.params) + np.log(row.macs))


def optimism(finalists: Sequence[Finalist], labels_N: NDArray[np.int64], winner: Finalist | None) -> dict[str, Proportion]:
    """Accuracy on select less that on confirm, of the winner and of the mean of all finalists, with intervals.

    Nets were chosen by select, so their luck there is part of it; confirm is read once, when they are chosen. The two splits share
    no image, so that nothing is paired.

    Args:
        finalists: confirmed, each of them on all images of select.
        labels_N: of select.
        winner: one of them; None where there is none.
    """
    known = [finalist for finalist in finalists if finalist.right_confirm_N is not None]
    on_select = {id(each): each.candidate.probabilities_NC.argmax(axis=1) == labels_N for each in known}
    on_confirm = {id(each): each.right_confirm_N for each in known if each.right_confirm_N is not None}
    chosen = [(name, some) for name, some in (("winner", [winner]), ("finalists", known)) if some and id(some[0]) in on_select]
    return {
        name: difference_of_means(
            np.mean([on_select[id(each)] for each in some], axis=0), np.mean([on_confirm[id(each)] for each in some], axis=0)
        )
        for name, some in chosen
    }


def choose(finalists: Sequence[Finalist], *, strict: bool = True) -> Finalist | None:
    """The best finalist that nothing rejects, by `Finalist.rank`; where floors reject all the nearest, unless ``strict``."""
    left = [finalist for finalist in finalists if not finalist.row.rejected_by]
    if left or strict:
        return min(left, key=lambda finalist: finalist.rank) if left else None
    low = [finalist for finalist in finalists if all(name.startswith(FLOOR) for name in finalist.row.rejected_by)]
    return min(low, key=lambda finalist: (finalist.candidate.shortfall, finalist.rank)) if low else None
