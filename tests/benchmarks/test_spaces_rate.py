"""Candidates a second on one thread; run alone, with OPENBLAS_NUM_THREADS=1:
``pytest -m benchmark -s tests/benchmarks/test_spaces_rate.py``.

A line per space: all cost models that it has on given rows, one of them alone, and the whole way of a candidate: sampled,
canonical once more (as mutants are), without doubles, all its costs. Medians of repeats with their median absolute deviation.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from edgenas.costs import CostModel, Factor, cost_models, decompose, distinct_components
from edgenas.latency import Context, LatencyTable
from edgenas.latency.fit.calibration import Calibration
from edgenas.latency.table.entries import Entry, component_json
from edgenas.latency.table.table import space_hash
from edgenas.records import ReferenceNet, TableMeasuring, TableValidation
from edgenas.spaces import SPACES, Choice, Condition, SearchSpace, Task, unique_rows

NUM = 100_000
REPEATS = 15


def autoformer_sized() -> SearchSpace:
    """As many genes, options and networks as AutoFormer-T has: 1,056,964,608."""
    deeper = {12: (13, 14), 13: (14,)}
    blocks = [
        Choice(f"blocks[{block}].{name}", options, Condition("depth", deeper[block]) if block in deeper else None)
        for block in range(14)
        for name, options in (("mlp_ratio", (3.5, 4)), ("num_heads", (3, 4)))
    ]
    choices = (Choice("embed_dim", (192, 216, 240)), Choice("depth", (12, 13, 14)), *blocks)
    return SearchSpace("(AutoFormer-T's size)", "toy", choices, Task(1000, 3, 224))


def conditional() -> SearchSpace:
    """As many genes as ViTAS has; the widths of each of 16 blocks hang on its operation."""
    widths, heads = tuple(range(1, 11)), (0, 3, 6, 12, 16)
    blocks = [
        choice
        for block in range(16)
        for choice in (
            Choice(f"blocks[{block}].num_heads", heads),
            Choice(f"blocks[{block}].qkv", widths, Condition(f"blocks[{block}].num_heads", heads[1:])),
            Choice(f"blocks[{block}].mlp", widths, Condition(f"blocks[{block}].num_heads", heads[1:])),
        )
    ]
    choices = (Choice("patch_size", (14, 16, 32)), Choice("embed_dim", widths), *blocks)
    return SearchSpace("(ViTAS's size)", "toy", choices, Task(1000, 3, 224))


def invented_costs(space: SearchSpace) -> dict[str, CostModel]:
    """Four models with a table for the first two genes and one a block, of integers as large as MACs."""
    rng = np.random.default_rng(0)

    def factor(*names: str) -> Factor:
        chosen = [space.choices[space.index[name]] for name in names]
        shape = [len(choice.options) + (choice.active_when is not None) for choice in chosen]
        return Factor(tuple(space.index[choice.name] for choice in chosen), rng.integers(0, 10**8, shape).astype(float))

    first = tuple(choice.name for choice in space.choices[:2])
    members: dict[str, list[str]] = {}
    for choice in space.choices[2:]:
        members.setdefault(choice.name.split(".")[0], [*first[:2]]).append(choice.name)
    names = ("params", "macs", "reference_macs", "ancestor_macs")
    return {name: CostModel(name, "", (factor(*first), *(factor(*genes) for genes in members.values()))) for name in names}


INVENTED = (autoformer_sized(), conditional())


def costs_of(space: SearchSpace) -> Mapping[str, CostModel]:
    return invented_costs(space) if space in INVENTED else cost_models(space, space.default_task)


def rate(work: Callable[[], object]) -> str:
    """Millions of candidates a second."""
    seconds = []
    work()
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    rates = [NUM / value / 1e6 for value in seconds]
    median = statistics.median(rates)
    return f"{median:.2f} ± {statistics.median(abs(value - median) for value in rates):.2f}"


def latency_model(space: SearchSpace) -> CostModel:
    """The cost model of a table with a cost for every component, none of them an integer."""
    rng = np.random.default_rng(0)
    parts = distinct_components(decompose(space, space.default_task))
    entries = tuple(Entry((component_json(part),), float(rng.uniform(0.01, 1.0)), 0.0, 18, "measured") for part in parts)
    context = Context("any", "cpu", "any", "1.0", "fp32", 1, 1, "end_to_end", None)
    calibration = Calibration(1.1, 0.05, 1.05, 0.95, 20)
    reference = ReferenceNet(level_ms=1.0, p50_ms=1.0, p95_ms=1.0, min_ms=1.0)
    measuring = TableMeasuring(runs_per_visit=1, visits=1, warmup_ms=0.0, seconds=1.0, date="2026-01-01")
    own = (context, space.default_task, space.name, space_hash(space), entries, calibration)
    table = LatencyTable(*own, TableValidation(), reference, measuring)
    return table.to_cost_model(space, space.default_task)


@pytest.mark.benchmark
@pytest.mark.parametrize("name", ["pvt-covidx", "pvt-nano"])
def test_predicted_latencies_a_second(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert os.environ.get("OPENBLAS_NUM_THREADS") == "1", "set OPENBLAS_NUM_THREADS=1: rates are per core"
    space = SPACES[name]
    model = latency_model(space)
    genes_AG = space.sample(NUM, np.random.default_rng(0))
    measured = rate(lambda: model(genes_AG))
    with capsys.disabled():
        host = f"{platform.machine()}, numpy {np.__version__}, {REPEATS} repeats of {NUM:,}"
        print(f"\n{name}, latency table: {measured} million/s ({host})")  # noqa: T201 - a benchmark
    assert float(measured.split()[0]) >= 5.0


@pytest.mark.benchmark
@pytest.mark.parametrize("space", [*SPACES.values(), *INVENTED], ids=lambda space: space.name)
def test_candidates_a_second(space: SearchSpace, capsys: pytest.CaptureFixture[str]) -> None:
    assert os.environ.get("OPENBLAS_NUM_THREADS") == "1", "set OPENBLAS_NUM_THREADS=1: rates are per core"
    rng = np.random.default_rng(0)
    costs, genes_AG = costs_of(space), space.sample(NUM, rng)
    kept = []

    def evaluate() -> None:
        for model in costs.values():
            model(genes_AG)

    def whole_way() -> None:
        rows_AG = unique_rows(space.canonical(space.sample(NUM, rng)))
        kept.append(len(rows_AG))
        for model in costs.values():
            model(rows_AG)

    parts = f"all {len(costs)} costs {rate(evaluate)}, params alone {rate(lambda: costs['params'](genes_AG))}"
    parts += f", sampled to costs {rate(whole_way)}"
    assert 0 < min(kept) <= NUM
    with capsys.disabled():
        host = f"{platform.machine()}, numpy {np.__version__}, {REPEATS} repeats of {NUM:,}"
        print(f"\n{space.name}, {space.num_genes} genes: {parts} million/s ({host})")  # noqa: T201 - a benchmark
