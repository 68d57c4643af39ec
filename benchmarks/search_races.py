"""What races save and what they cost, replayed on a table of nets that were all evaluated once (`benchmarks.search_table`).

Every algorithm that draws searches the part of `pvt-elastic-nano` whose every net is in the table, at the default sizes,
once without races and once with each setting, from the same seeds, each of which draws another order of the images: what share of
the images is predicted, how often the winner is the same or one that cannot be told from it, what another winner loses, and how
often a net was dropped though all images show it ahead of its rival. What is done is kept: the same command goes on.

    python -m benchmarks.search_races --seeds 50
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.search_replay import QUANTILES, SPLIT, Replay, Scene, extra_arguments, scene, source_sha256
from benchmarks.search_table import TABLE, Table, load
from edgenas.costs import cost_models
from edgenas.errors import EdgeNASError
from edgenas.portable.facts import cpu_model
from edgenas.project.planning.pace import evolution_settings
from edgenas.project.settings import SearchSettings
from edgenas.runs import Journal
from edgenas.search import ALGORITHMS, EvolutionSettings, Raced, UpperLimit
from edgenas.search.base import Candidate
from edgenas.search.constraints import MetricConstraint
from edgenas.search.racing import SeenPredictions
from edgenas.spaces import Genes
from edgenas.stats import mcnemar

NAME = "search-races_pvt-elastic-nano_{month}.md"
KEPT, MARGIN = SearchSettings().num_finalists, SearchSettings().racing_margin
RACES = ((0.2, KEPT, MARGIN),)  # error, nets kept, margin
SAME_NETS = ("training-free",)  # of which all seeds evaluate the same ones here, where parameters score them
NOISE = 0.05  # least p of two winners on the same images that cannot be told apart


class Watched(Raced):
    """Races of which it is known what all images would have said."""

    def __init__(self, replay: Replay, race: tuple[float, int, float], order: int) -> None:
        super().__init__(replay, error=race[0], keep=race[1], margin=race[2], order=order)
        self.replay, self.num_ahead, self.num_lost = replay, 0, 0

    def run(self, genes_AG: Genes, labels_N: NDArray[np.int64], floors: Sequence[MetricConstraint]) -> list[SeenPredictions]:
        """As a race, and count the nets that are ahead of their rival by the margin, and those of them that were dropped."""
        rival = self._best[self.keep - 1] if len(self._best) >= self.keep else None
        seen = super().run(genes_AG, labels_N, floors)
        if rival is not None:
            right_AN = self.replay(genes_AG, np.arange(len(labels_N))).argmax(axis=2) == labels_N
            self.replay.num_images -= right_AN.size
            for right_N, shown in zip(right_AN, seen, strict=True):
                noise = math.sqrt(float((right_N != rival.right_N).mean()) / len(labels_N))
                if right_N.mean() - rival.right_N.mean() > self.margin * noise:
                    self.num_ahead += 1
                    self.num_lost += shown.images_M is not None
        return seen


@dataclass(frozen=True, slots=True)
class Run:
    """One search.

    Attributes:
        share: of the images that it would predict without races.
        winner: its place in the table.
        ahead: nets that all images show ahead of their rival.
        lost: how many of these were dropped.
    """

    share: float
    winner: int
    ahead: int = 0
    lost: int = 0


def search(name: str, at: Scene, seed: int, settings: EvolutionSettings, race: tuple[float, int, float] | None) -> Run:
    """A search for accuracy whose nets are raced, if they are, with an error, so many nets to keep and a margin."""
    part, replay = at.table.part, Replay(at.table)
    limit = UpperLimit("macs", at.limit, cost_models(part, part.default_task)["macs"])
    watched = None if race is None else Watched(replay, race, seed)
    rng, extra = np.random.default_rng(seed), extra_arguments(name, "accuracy", at)
    evaluate = replay if watched is None else watched
    *_, last = ALGORITHMS[name](part, evaluate, replay.labels_N, [limit], rng=rng, settings=settings, **extra)
    best: Candidate = last.elite[0]
    winner = int(replay.places(np.array([best.genes], dtype=np.int16))[0])
    share = replay.num_images / (last.num_evaluated * len(replay.labels_N))
    return Run(share, winner) if watched is None else Run(share, winner, watched.num_ahead, watched.num_lost)


def searches(table: Table, seeds: int, settings: EvolutionSettings, journal: Journal) -> dict[tuple[Any, ...], list[Run]]:
    """A run for each seed, by limit, algorithm and race; an algorithm that refuses the part is left out."""
    scenes, done = [scene(table, quantile) for quantile in QUANTILES], {}
    for at, name in product(scenes, (each for each in ALGORITHMS.usable() if each not in SAME_NETS)):
        for race in (None, *RACES):
            runs = []
            try:
                for seed in range(seeds):
                    key = f"{name} {at.quantile} {race} {seed}"
                    kept = journal.recall(key)
                    run = search(name, at, seed, settings, race) if kept is None else Run(**kept)
                    if kept is None:
                        journal.record(key, asdict(run))
                    runs.append(run)
            except EdgeNASError:  # exhaustive: more nets than the budget
                break
            done[at.quantile, name, race] = runs
        print(f"{name} under the {at.quantile:.0%} quantile is done", file=sys.stderr)  # noqa: T201 - a script's screen
    return done


def lines(table: Table, done: dict[tuple[Any, ...], list[Run]]) -> Iterator[str]:
    """A table for each limit."""
    right = {split: table.right(split) for split in (SPLIT, "confirm")}
    for quantile in QUANTILES:
        at = scene(table, quantile)
        yield f"## At most {at.limit / 1e6:.2f} M MACs: {int((at.macs_A <= at.limit).sum()):,} nets\n"
        yield (
            "| algorithm | error | kept | margin | images predicted | the same winner | within noise | "
            "winner's loss on select | on confirm | ahead, but dropped |"
        )
        yield "|---|---|---|---|---|---|---|---|---|---|"
        for (of, name, race), runs in done.items():
            if of == quantile and race is not None:
                yield _row(name, race, done[of, name, None], runs, right)
        yield ""


def _row(
    name: str,
    race: tuple[float, int, float],
    plain: Sequence[Run],
    raced: Sequence[Run],
    right: dict[str, NDArray[np.bool_]],
) -> str:
    pairs = [(before.winner, after.winner) for before, after in zip(plain, raced, strict=True)]
    same = sum(before == after for before, after in pairs)
    alike = sum(_alike(right[SPLIT][before], right[SPLIT][after]) for before, after in pairs)
    lost = [mean_of([float(each[before].mean() - each[after].mean()) for before, after in pairs]) for each in right.values()]
    share = float(np.mean([run.share for run in raced]))
    ahead, dropped = sum(run.ahead for run in raced), sum(run.lost for run in raced)
    told = f"{race[0]:g} | {race[1]} | {race[2]:g} | {100 * share:.0f} % | {same} of {len(pairs)} | {alike} of {len(pairs)}"
    wrong = f"{dropped} of {ahead}" + (f" ({100 * dropped / ahead:.0f} %)" if ahead else "")
    return f"| {name} | {told} | {lost[0]} | {lost[1]} | {wrong} |"


def _alike(first_N: NDArray[np.bool_], second_N: NDArray[np.bool_]) -> bool:
    """Whether two nets cannot be told apart on the same images."""
    return bool(
        np.array_equal(first_N, second_N) or mcnemar(int((first_N & ~second_N).sum()), int((second_N & ~first_N).sum())) > NOISE
    )


def mean_of(values: Sequence[float]) -> str:
    """A mean in points, with its standard error over seeds."""
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{100 * float(np.mean(values)):.2f} ± {100 * error:.2f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay what is missing, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--journal", type=Path, default=Path("search-races.jsonl"), help="of what is done")
    parser.add_argument("--output", type=Path, default=Path("docs/measurements"), help="folder of the report")
    asked = parser.parse_args(arguments)
    table, settings, now = load(TABLE), evolution_settings(SearchSettings()), datetime.now(UTC)
    identity = {"table": hashlib.sha256(TABLE.read_bytes()).hexdigest(), "code": source_sha256(), "sizes": asdict(settings)}
    journal = Journal(asked.journal, identity)
    done = searches(table, asked.seeds, settings, journal)
    journal.close()
    num_images = int((table.split_N == SPLIT).sum())
    command = " ".join(["python -m benchmarks.search_races", *(sys.argv[1:] if arguments is None else arguments)])
    told = [
        "# What races save, replayed on a table\n",
        f"`{command}`, {now:%Y-%m-%d}, {cpu_model()}.",
        f"Every algorithm that draws, for accuracy at the default budget: {settings.budget} nets, {seeds_of(asked.seeds)},",
        f"each with another order of the {num_images:,} images of *select*. The table is that of `benchmarks.search_replay`.",
        "*Error* is the bound on the probability of dropping a net that all images would show ahead of its rival by the *margin*",
        "(in standard errors of the difference of the two); *ahead, but dropped* is how often that happened, over all nets that",
        "were ahead. *Kept* is how many nets the rival is the last of. *Within noise*: the winner is the same, or McNemar's exact",
        f"test on *select* cannot tell the two apart (p above {NOISE:g}). Losses are in points: of the winner without races less",
        f"that of the winner with them, mean and standard error over seeds; one image is {100 / num_images:.2f} points, the",
        f"standard error of one accuracy here about {noise(table):.1f}.\n",
        *lines(table, done),
    ]
    asked.output.mkdir(parents=True, exist_ok=True)
    path = asked.output / NAME.format(month=f"{now:%Y%m}")
    path.write_text("\n".join(told).rstrip() + "\n", encoding="utf-8")
    print(path)  # noqa: T201 - a script's screen
    return 0


def seeds_of(num: int) -> str:
    """Seeds in words."""
    return f"{num} seeds" if num > 1 else "one seed"


def noise(table: Table) -> float:
    """Binomial standard error of the best nets' accuracy on select, in points."""
    right = table.right(SPLIT)
    share = float(right.mean(axis=1).max())
    return 100 * math.sqrt(share * (1 - share) / right.shape[1])


if __name__ == "__main__":
    sys.exit(main())
