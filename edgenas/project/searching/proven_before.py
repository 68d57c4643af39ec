"""Nets that earlier searches of a run have proven: a search that continues has them at no cost, whatever their limits were."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np

from edgenas.latency import Memory
from edgenas.project.searching.continuing import EarlierNets
from edgenas.project.searching.finalists import Panel
from edgenas.project.searching.proof import Prover
from edgenas.runs import Note, Record
from edgenas.search.finalists import Finalist
from edgenas.training.probing import many

PROVEN = "proven when it was continued"  # key in the journal of a question


def proven_before(
    panel: Panel, prover: Prover, finalists: Sequence[Finalist], earlier: EarlierNets, memory: Memory
) -> Generator[Record, None, tuple[list[Finalist], set[tuple[int, ...]]]]:
    """The best nets that were proven before with the same images and epochs, ``search.proof_nets`` at most: those that are no
    finalists yet, measured, and the genes of all.

    Args:
        panel: of all candidates, the earlier ones among them.
        prover: remembers.
        finalists: that there are already.
        earlier: nets that meet the limits.
        memory: of this question. What was proven when it was first put is kept there, so that a search that was stopped takes the
            same way again.
    """
    first = memory.recall(PROVEN)
    if first is None:
        first = [list(genes) for genes in _best(panel, prover, earlier)]
        memory.record(PROVEN, first)
        if not first and len(prover.memory):
            yield Note(_none_takes_part(prover.epochs))
    known = {tuple(genes) for genes in first}
    left = known - {finalist.candidate.genes for finalist in finalists}
    fresh = yield from panel.judge([i for i, candidate in enumerate(panel.candidates) if candidate.genes in left])
    if fresh:
        yield Note(f"proof: {many(len(fresh), 'net')} that earlier searches have proven, beside the finalists, at no cost")
    return fresh, known


def _none_takes_part(epochs: int) -> str:
    what = f"was evaluated with this supernet, meets these limits and was trained alone for {epochs} epochs with these settings"
    return f"proof: no net that earlier searches have proven takes part: none of them {what}"


def _best(panel: Panel, prover: Prover, earlier: EarlierNets) -> list[tuple[int, ...]]:
    """Genes of the best, by their likelihood on select and confirm."""
    space, found = panel.project.space, []
    for candidate in earlier.candidates:
        likelihood = prover.log_likelihood(space.to_json(np.array(candidate.genes, dtype=np.int16)), prover.epochs)
        if likelihood is not None and candidate.shortfall == 0:
            found.append((-likelihood, candidate.genes))
    return [genes for _, genes in sorted(found)[: panel.project.settings.search.proof_nets]]
