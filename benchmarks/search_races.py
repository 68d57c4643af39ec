"""What races save and what they cost, replayed on a table of nets that were all evaluated once (`benchmarks.search_table`).

An evolution of the default sizes searches the part of `pvt-elastic-nano` whose every net is in the table, once without races and
once with each setting, from the same seeds: images predicted, how often the winner is the same, and what another winner loses.

    python -m benchmarks.search_races --seeds 20
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.search_replay import QUANTILES, SPLIT, Replay, Scene, scene
from benchmarks.search_table import TABLE, Table, load
from edgenas.costs import cost_models
from edgenas.portable.facts import cpu_model
from edgenas.project.planning.pace import evolution_settings
from edgenas.project.settings import SearchSettings
from edgenas.search import EvolutionSettings, Raced, UpperLimit, evolve

NAME = "search-races_pvt-elastic-nano_{month}.md"
RACES = ((0.05, 10, 0.0), (0.2, 10, 0.0), (0.2, 10, 1.0), (0.2, 10, 1.645), (0.5, 10, 1.645), (0.5, 5, 2.0), (0.5, 5, 3.0))


@dataclass(frozen=True, slots=True)
class Run:
    """One search.

    Attributes:
        share: of the images that it would predict without races.
        winner: its place in the table.
    """

    share: float
    winner: int


def search(at: Scene, seed: int, settings: EvolutionSettings, race: tuple[float, int, float] | None) -> Run:
    """An evolution whose nets are raced, if they are, with an error, so many nets to keep and a margin."""
    part, replay = at.table.part, Replay(at.table)
    limit = UpperLimit("macs", at.limit, cost_models(part, part.default_task)["macs"])
    evaluate = replay if race is None else Raced(replay, error=race[0], keep=race[1], margin=race[2])
    *_, last = evolve(part, evaluate, replay.labels_N, [limit], rng=np.random.default_rng(seed), settings=settings)
    winner = int(replay.places(np.array([last.elite[0].genes], dtype=np.int16))[0])
    return Run(replay.num_images / (last.num_evaluated * len(replay.labels_N)), winner)


def lines(table: Table, seeds: int, settings: EvolutionSettings, races: Sequence[tuple[float, int, float]]) -> Iterator[str]:
    """A table for each limit."""
    for quantile in QUANTILES:
        at = scene(table, quantile)
        plain = [search(at, seed, settings, None) for seed in range(seeds)]
        yield f"## At most {at.limit / 1e6:.2f} M MACs: {int((at.macs_A <= at.limit).sum()):,} nets\n"
        yield "| error | kept | margin | images predicted | the same winner | winner's loss on select | on confirm |"
        yield "|---|---|---|---|---|---|---|"
        for race in races:
            raced = [search(at, seed, settings, race) for seed in range(seeds)]
            pairs = list(zip(plain, raced, strict=True))
            same = sum(before.winner == after.winner for before, after in pairs)
            lost = [
                mean_of([scores_A[b.winner] - scores_A[a.winner] for b, a in pairs]) for scores_A in (at.scores_A, at.confirm_A)
            ]
            share = float(np.mean([run.share for run in raced]))
            told = f"{race[0]:g} | {race[1]} | {race[2]:g} | {100 * share:.0f} % | {same} of {seeds}"
            yield f"| {told} | {lost[0]} | {lost[1]} |"
        yield ""


def mean_of(values: Sequence[float]) -> str:
    """A mean in points, with its standard error over seeds."""
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{100 * float(np.mean(values)):.2f} ± {100 * error:.2f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path("docs/measurements"), help="folder of the report")
    asked = parser.parse_args(arguments)
    table, settings, now = load(TABLE), evolution_settings(SearchSettings()), datetime.now(UTC)
    num_images = int((table.split_N == SPLIT).sum())
    command = " ".join(["python -m benchmarks.search_races", *(sys.argv[1:] if arguments is None else arguments)])
    told = [
        "# What races save, replayed on a table\n",
        f"`{command}`, {now:%Y-%m-%d}, {cpu_model()}.",
        f"Evolution at the default budget, {settings.budget} nets, {seeds_of(asked.seeds)}, on {num_images:,} images of *select*.",
        "The table is that of `benchmarks.search_replay`. *Kept* is how many nets the rival is the last of. Losses are in points:",
        "of the winner without races less that of the winner with them, mean and standard error over seeds; one image is",
        f"{100 / num_images:.2f} points, the standard error of one accuracy here about {noise(table):.1f}.\n",
        *lines(table, asked.seeds, settings, RACES),
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
