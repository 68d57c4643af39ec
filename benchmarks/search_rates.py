"""How many candidates a second a search looks at on one core: drawn, costed, held to limits, without doubles; and drawn within one.

CPU time of one thread by default, which other work on the machine disturbs least; wall time beside it. Many visits in turn, with
quartiles. Latencies are of an invented table with a cost for every component: only how fast they are looked up matters.

    OMP_NUM_THREADS=1 python -m benchmarks.search_rates --output rates.json
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenas.costs import CostModel, cost_models, decompose, distinct_components, sum_of_components
from edgenas.runs import write_json
from edgenas.runs.versions import versions
from edgenas.search import CostLimit, UpperLimit
from edgenas.search.diagrams import build_diagram
from edgenas.search.feasible_set import FeasibleSet, bands
from edgenas.search.programme import Programme, build_programme
from edgenas.spaces import Genes, SearchSpace, get_space, unique_rows

PIECE = 100_000  # rows drawn at a time
SPACES = ("pvt-elastic", "autoformer-tiny")
FEASIBLE = ("pvt-elastic", "autoformer-tiny", "vitas-384")
SHARE = 1e-7
HALVINGS = 30


@dataclass(frozen=True, slots=True)
class Rate:
    """Candidates a second: median and quartiles over visits, by CPU time, and the median by wall time.

    Attributes:
        share: of the space that the limit leaves; 1 where everything is looked at.
        accepted: share of the rows drawn that meet it.
        build_s: CPU seconds before the first row.
    """

    space: str
    stage: str
    value: float
    low: float
    high: float
    wall: float
    visits: int
    share: float = 1.0
    accepted: float = 1.0
    build_s: float = 0.0


def timed(space: str, stage: str, work: Callable[[], int], visits: int) -> Rate:
    """The rate of ``work``, which returns how many candidates it was through."""
    work()
    rates, walls = [], []
    for _ in range(visits):
        cpu, wall = time.thread_time(), time.perf_counter()
        num = work()
        rates.append(num / (time.thread_time() - cpu))
        walls.append(num / (time.perf_counter() - wall))
    low, median, high = np.quantile(rates, [0.25, 0.5, 0.75])
    return Rate(space, stage, float(median), float(low), float(high), float(np.median(walls)), visits)


def invented_latency(space: SearchSpace) -> CostModel:
    """Milliseconds for every component of the space, none of them a whole number."""
    terms = decompose(space, space.default_task)
    rng = np.random.default_rng(0)
    known = {component: float(rng.uniform(0.01, 1.0)) for component in distinct_components(terms)}
    return sum_of_components("latency_ms", "ms", terms, lambda component: known[component], scale=1.1, offset=0.05)


def pipeline(name: str, visits: int) -> Iterator[Rate]:
    """Drawing, removing doubles, params, MACs and latency with a limit on each, one by one and together."""
    space = get_space(name)
    rng = np.random.default_rng(0)
    costs = {key: cost_models(space, space.default_task)[key] for key in ("params", "macs")}
    costs["latency_ms"] = invented_latency(space)
    genes_AG = space.sample(PIECE, rng)
    limits: list[CostLimit] = [UpperLimit(key, float(np.median(cost(genes_AG))), cost) for key, cost in costs.items()]

    def judged(rows_AG: Genes) -> NDArray[np.bool_]:
        met_A = np.ones(len(rows_AG), dtype=bool)
        for limit in limits:
            met_A &= limit.cost(rows_AG) <= limit.limit
        return met_A

    def whole() -> int:
        rows_AG = unique_rows(space.sample(PIECE, rng))
        kept_AG = rows_AG[judged(rows_AG)]
        assert 0 < len(kept_AG) < len(rows_AG)
        return PIECE

    yield timed(name, "draw", lambda: len(space.sample(PIECE, rng)), visits)
    yield timed(name, "without doubles", lambda: PIECE + 0 * len(unique_rows(genes_AG)), visits)
    yield timed(name, "three costs, limits", lambda: len(judged(genes_AG)), visits)
    yield timed(name, "all of it", whole, visits)


def limit_at(space: SearchSpace, cost: CostModel, share: float) -> UpperLimit:
    """The limit on a cost that leaves about a share of the space, by bisection."""
    diagram = build_diagram(space, cost)
    assert diagram is not None
    low, high = (diagram.extreme(largest=largest)[0] for largest in (False, True))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        programme = build_programme(diagram, -np.inf, middle)
        if programme is None or programme.num_rows < share * space.cardinality:
            low = middle
        else:
            high = middle
    return UpperLimit(cost.name, high * cost.scale + cost.offset, cost)


def feasible(name: str, quantity: str, visits: int, share: float = SHARE) -> Rate:
    """Rows within a limit that so small a share of the space meets, the building of the programme apart."""
    space = get_space(name)
    cost = invented_latency(space) if quantity == "latency_ms" else cost_models(space, space.default_task)[quantity]
    limit = limit_at(space, cost, share)
    began = time.thread_time()
    left = FeasibleSet(space, (limit,), _programme(space, limit), (limit.name,))
    build_s = time.thread_time() - began
    rng = np.random.default_rng(0)
    rate = timed(name, f"within {quantity}", lambda: len(left.draw(PIECE, rng)), visits)
    programme = left.programme
    assert programme is not None
    exact = left.share(rng)
    accepted = exact.value / (programme.num_rows / space.cardinality)
    fields = asdict(rate) | {"share": exact.value, "accepted": accepted, "build_s": build_s}
    return Rate(**fields)


def _programme(space: SearchSpace, limit: CostLimit) -> Programme | None:
    (band,) = bands([limit])
    diagram = build_diagram(space, band.model)
    assert diagram is not None
    return band.programme(diagram)


def lines(rates: Sequence[Rate]) -> Iterator[str]:
    """A Markdown table."""
    yield "| space | what | million/s (CPU) | quartiles | million/s (wall) | share | accepted | build s |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|"
    for rate in rates:
        spread = f"{rate.low / 1e6:.2f} to {rate.high / 1e6:.2f}"
        tail = f"{rate.share:.2g} | {rate.accepted:.3f} | {rate.build_s:.2f}" if rate.share < 1 else "| |"
        yield f"| {rate.space} | {rate.stage} | {rate.value / 1e6:.2f} | {spread} | {rate.wall / 1e6:.2f} | {tail} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visits", type=int, default=15)
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args(arguments)
    if os.environ.get("OMP_NUM_THREADS") != "1":
        parser.error("set OMP_NUM_THREADS=1: rates are of one core")
    rates = [rate for name in SPACES for rate in pipeline(name, asked.visits)]
    rates += [feasible(name, quantity, asked.visits) for name in FEASIBLE for quantity in ("params", "macs", "latency_ms")]
    sys.stdout.write("\n".join(lines(rates)) + "\n")
    if asked.output is not None:
        write_json(asked.output, {"rates": [asdict(rate) for rate in rates], "piece": PIECE, "versions": versions()})


if __name__ == "__main__":
    main()
