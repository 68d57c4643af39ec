"""How long a training-free search of AutoFormer-T takes: DSS as published of 8,000 nets between 5.0 and 6.0 M parameters.

TF-TAS states 5 hours for its search of as many (Zhou et al., CVPR 2022, arXiv:2203.12217). Nets are drawn within the window, none
twice, and scored on fresh weights, one net a thread. What is done is kept: the same command goes on, and the time told is that of
the pieces, whenever they were computed.

    python -m benchmarks.dss_search --num 8000 --workers 2
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.costs import cost_models
from edgenas.portable.facts import cpu_model
from edgenas.proxies.scoring import DssProxy, scored
from edgenas.runs import Journal
from edgenas.runs.versions import versions
from edgenas.search import LowerLimit, UpperLimit, feasible_set
from edgenas.spaces import Genes, get_space
from edgenas.stats import kendall_tau

SPACE = get_space("autoformer-tiny")
WINDOW = (5.0e6, 6.0e6)  # parameters
ANCESTOR_S = 5 * 3600
PIECE = 20  # nets between two entries of the journal


@dataclass(frozen=True, slots=True)
class Scored:
    """What the search has found.

    Attributes:
        scores_A: mean DSS over seeds.
        wall_s, cpu_s: of all pieces; CPU seconds are of all threads together.
    """

    scores_A: NDArray[np.float64]
    wall_s: float
    cpu_s: float


def candidates(num: int, seed: int) -> Genes:
    """Distinct nets within the window, the same for the same seed."""
    params = cost_models(SPACE, SPACE.default_task)["params"]
    limits = (LowerLimit("params", WINDOW[0], params), UpperLimit("params", WINDOW[1], params))
    left = feasible_set(SPACE, limits)
    assert left is not None
    rows_AG: Genes = left.distinct(num, np.random.default_rng(seed))
    return rows_AG[:num]


def score(rows_AG: Genes, seeds: int, workers: int, journal: Journal) -> Scored:
    """Score what the journal does not have, piece by piece."""
    import torch

    from edgenas.supernets import build_supernet

    nets = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        nets.append(build_supernet(SPACE, SPACE.default_task))
    of_rows = scored(DssProxy("published"), nets, workers)
    scores, wall_s, cpu_s = [], 0.0, 0.0
    for start in range(0, len(rows_AG), PIECE):
        piece_AG = rows_AG[start : start + PIECE]
        key = f"{start} {len(piece_AG)}"
        kept: Any = journal.recall(key)
        if kept is None:
            wall, cpu = time.perf_counter(), time.process_time()
            found = of_rows(piece_AG).tolist()
            kept = {"scores": found, "wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
            journal.record(key, kept)
        scores += kept["scores"]
        wall_s, cpu_s = wall_s + kept["wall_s"], cpu_s + kept["cpu_s"]
        print(f"\r{len(scores):,} of {len(rows_AG):,} nets, {wall_s:.0f} s", end="", file=sys.stderr)  # noqa: T201 - a script's screen
    return Scored(np.array(scores), wall_s, cpu_s)


def report(rows_AG: Genes, found: Scored, seeds: int, workers: int) -> str:
    """Time, winner and what the ranking knows beside size."""
    costs = {name: cost_models(SPACE, SPACE.default_task)[name](rows_AG) for name in ("params", "macs")}
    best, num = int(np.argmax(found.scores_A)), len(rows_AG)
    share = ANCESTOR_S * num / 8000
    is_inside = WINDOW[0] <= costs["params"][best] <= WINDOW[1]
    taus = ", ".join(f"{kendall_tau(found.scores_A, cost_A).value:.2f} with {name}" for name, cost_A in costs.items())
    lines = [
        f"{num:,} nets of {SPACE.name}, {seeds} seed{'s' if seeds > 1 else ''}, {workers} threads: {found.wall_s:.0f} s wall, "
        f"{found.cpu_s:.0f} s CPU, {found.cpu_s / num:.3f} CPU s a net",
        f"TF-TAS states 5 h for 8,000, so {share:.0f} s for {num:,}: {share / found.wall_s:.1f} times faster by wall time, "
        f"{share / (found.cpu_s / workers):.1f} if {workers} cores are free",
        f"winner: {costs['params'][best] / 1e6:.3f} M parameters ({'inside' if is_inside else 'outside'} 5.0 to 6.0 M), "
        f"DSS {found.scores_A[best]:.6g}: {SPACE.to_json(rows_AG[best])}",
        f"Kendall's tau of DSS: {taus}",
        f"{cpu_model()}, python {platform.python_version()}, torch {versions().get('torch')}",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Score what is missing, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=8000)
    parser.add_argument("--seeds", type=int, default=1, help="fresh supernets whose scores are averaged; TF-TAS takes one")
    parser.add_argument("--seed", type=int, default=0, help="of the nets that are drawn")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="nets at a time")
    parser.add_argument("--journal", type=Path, default=Path("dss-search.jsonl"), help="of what is done")
    asked = parser.parse_args(arguments)
    rows_AG = candidates(asked.num, asked.seed)
    journal = Journal(asked.journal, {"num": asked.num, "seeds": asked.seeds, "seed": asked.seed, "workers": asked.workers})
    found = score(rows_AG, asked.seeds, asked.workers, journal)
    journal.close()
    sys.stdout.write("\n" + report(rows_AG, found, asked.seeds, asked.workers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
