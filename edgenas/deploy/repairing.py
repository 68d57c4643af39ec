"""Which parts of a net must stay in a higher precision so that its gates hold: bisected, and the cheap parts kept first.

The search is QuickXplain (Junker, "QuickXplain: preferred explanations and relaxations for over-constrained problems", AAAI 2004,
section 4): of n parts, k of which are needed, it asks about k log(n / k) + 2k times and gives a set that no part can be taken out
of. Like there, a set that passes is taken to pass with more in it too; what is returned has been asked itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edgenas.records import RepairTrial

MAX_TRIALS = 80


class Part(Protocol):
    """A block or an operator, as `edgenas.graphs.blocks.GraphPart`."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def kept(self) -> tuple[str, ...]:
        """Names that keep it in a higher precision."""
        ...

    @property
    def cost(self) -> float:
        """What keeping it costs: multiply-accumulates, or milliseconds."""
        ...

    @property
    def parts(self) -> Sequence[Part]:
        """Operators of a block."""
        ...


@dataclass(frozen=True, slots=True)
class RepairOutcome:
    """What a repair came to.

    Attributes:
        kept: names that stay in a higher precision; None where not even all of them help.
        blocks: names of the blocks that they belong to.
        trials: in order, the plain conversion first.
    """

    kept: tuple[str, ...] | None
    blocks: tuple[str, ...]
    trials: tuple[RepairTrial, ...]


class _OutOfTrialsError(Exception):
    """The budget is used up."""


Asking = Generator[RepairTrial, None, bool]


def repair(
    judge: Callable[[tuple[str, ...]], str],
    blocks: Sequence[Part],
    *,
    needed: Sequence[str] = (),
    max_trials: int = MAX_TRIALS,
) -> Generator[RepairTrial, None, RepairOutcome]:
    """Find what must stay in a higher precision: first among blocks, then among the operators of those that were found.

    Args:
        judge: why the gates do not hold with some names kept, empty where they do.
        blocks: in the order of the graph, each with its cost and operators.
        needed: names that are kept whatever is found, those of operators that cannot be converted at all.
        max_trials: after which the smallest set that is known to pass is taken.

    Yields:
        Every trial when it is done.
    """
    bench = _Bench(judge, tuple(needed), max_trials)
    if (yield from bench.passes(())):
        return RepairOutcome(bench.needed, _blocks_with(blocks, bench.needed), tuple(bench.trials))
    if not blocks or not (yield from bench.passes(blocks)):
        return RepairOutcome(None, (), tuple(bench.trials))
    try:
        explaining = yield from _explained(bench, [], False, sorted(blocks, key=_cost))
        if (yield from bench.passes(explaining)):
            operators = [part for block in explaining for part in block.parts or (block,)]
            inside = yield from _explained(bench, [], False, sorted(operators, key=_cost))
            yield from bench.passes(_whole(inside, explaining))
    except _OutOfTrialsError:
        pass
    kept = bench.smallest()
    return RepairOutcome(kept, _blocks_with(blocks, kept), tuple(bench.trials))


def _cost(part: Part) -> float:
    return part.cost


def _explained(bench: _Bench, background: list[Part], is_new: bool, parts: list[Part]) -> Generator[RepairTrial, None, list[Part]]:
    """Parts that must join ``background`` for the gates to hold: QuickXplain, which leaves out the last of ``parts`` first."""
    if is_new and (yield from bench.passes(background)):
        return []
    if len(parts) == 1:
        return parts
    cheap, dear = parts[: len(parts) // 2], parts[len(parts) // 2 :]
    of_dear = yield from _explained(bench, [*background, *cheap], True, dear)
    of_cheap = yield from _explained(bench, [*background, *of_dear], bool(of_dear), cheap)
    return [*of_cheap, *of_dear]


def _whole(operators: Sequence[Part], blocks: Sequence[Part]) -> list[Part]:
    """The operators, a block in the place of its own where all of them are among these."""
    names = {part.name for part in operators}
    whole = [block for block in blocks if block.parts and all(part.name in names for part in block.parts)]
    covered = {part.name for block in whole for part in block.parts}
    return [*whole, *(part for part in operators if part.name not in covered)]


def _names(parts: Sequence[Part]) -> tuple[str, ...]:
    return tuple(name for part in parts for name in part.kept)


def _blocks_with(blocks: Sequence[Part], kept: Sequence[str]) -> tuple[str, ...]:
    """Names of the blocks that some kept names belong to."""
    return tuple(block.name for block in blocks if not set(kept).isdisjoint(_names([block, *block.parts])))


@dataclass(slots=True)
class _Bench:
    """Asks the judge, nothing twice, and remembers what passed."""

    judge: Callable[[tuple[str, ...]], str]
    needed: tuple[str, ...]
    max_trials: int
    trials: list[RepairTrial] = field(default_factory=list)
    asked: dict[frozenset[str], bool] = field(default_factory=dict)
    passed: list[tuple[float, int, tuple[str, ...]]] = field(default_factory=list)  # cost, number of names, names

    def passes(self, parts: Sequence[Part]) -> Asking:
        """Whether the gates hold with these parts kept."""
        names = tuple(dict.fromkeys((*self.needed, *_names(parts))))
        key = frozenset(names)
        if key not in self.asked:
            if len(self.trials) >= self.max_trials:
                raise _OutOfTrialsError
            reason = self.judge(names)
            self.asked[key] = not reason
            self.trials.append(RepairTrial(kept=names, passed=not reason, reason=reason))
            if not reason:
                self.passed.append((sum(part.cost for part in parts), len(names), names))
            yield self.trials[-1]
        return self.asked[key]

    def smallest(self) -> tuple[str, ...]:
        """The names of the cheapest set that passed, of several the shortest."""
        return min(self.passed, key=lambda each: each[:2])[2]
