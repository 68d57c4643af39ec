"""The part that all algorithms share: rows are evaluated piece by piece, and told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from edgenas.search.base import PIECE, Candidate, Generation
from edgenas.search.judging import Judge
from edgenas.search.pareto import ranked
from edgenas.spaces import Genes


@dataclass(slots=True)
class Search:
    """What a search has evaluated so far; it grows.

    Attributes:
        judge: turns rows into candidates.
        keep: how many of the best are told.
        num_generations: index of the last one.
        elite: the best, best first.
        candidates: all, in order.
        seen: rows that were drawn, as bytes; nothing is evaluated twice by those that ask it.
    """

    judge: Judge
    keep: int
    num_generations: int
    elite: list[Candidate] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)

    def evaluated(self, index: int, batches: Iterable[tuple[str, Genes]], *, begun: float = 0.0) -> Iterator[Generation]:
        """Evaluate a generation, rows by origin, and tell of it after each piece; once where it is empty.

        Args:
            index: of the generation.
            batches: rows by origin.
            begun: share of the generation that was done before.
        """
        pieces = [(origin, rows_AG[i : i + PIECE]) for origin, rows_AG in batches for i in range(0, len(rows_AG), PIECE)]
        for position, (origin, piece_AG) in enumerate(pieces, 1):
            fresh = self.judge(piece_AG, index, origin)
            self.elite = ranked([*self.elite, *fresh], self.keep)
            self.candidates += fresh
            yield self._told(index, fresh, begun + (1 - begun) * position / len(pieces))
        if not pieces:
            yield self._told(index, [], 1.0)

    def waited(self, index: int, share: float) -> Generation:
        """That a share of a generation is done and nothing was evaluated meanwhile."""
        return self._told(index, [], share)

    def _told(self, index: int, fresh: list[Candidate], share: float) -> Generation:
        done = (index + share) / (self.num_generations + 1)
        return Generation(index, self.num_generations, tuple(fresh), tuple(self.elite), len(self.candidates), done)
