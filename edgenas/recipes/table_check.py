"""`edgenas tables validate`: is a table whole, does it cover its space, and does it still hold on this device?"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgenas.errors import EdgeNASError, GateError, LatencyTableError
from edgenas.latency import LatencyTable
from edgenas.latency.measuring import Workshop
from edgenas.latency.nets import components_of, reference_net
from edgenas.latency.table import Drift, check_table, drift_of, nets_to_time, origins, remarks, same_timing
from edgenas.latency.timing import Session, time_nets
from edgenas.project.of_table import open_table, runtime_of, workshop_of
from edgenas.recipes.tables import header
from edgenas.records import TableCheck, TableValidated
from edgenas.runs import Note, Outcome, Progress, Record
from edgenas.spaces import Genes, SearchSpace


@dataclass(frozen=True, slots=True)
class ValidateConfig:
    """What `edgenas tables validate` was asked for.

    Attributes:
        run: whose tables go by name too, and whose traced components are used.
        table: name or file.
        measure: nets to time again on this device; 0 for none.
        seed: draws these nets.
    """

    run: Path
    table: str
    measure: int = 0
    seed: int = 1


def run(config: ValidateConfig) -> Iterator[Record]:
    """Check file, content, space, entries and predictions; with ``measure``, time nets and compare.

    Raises:
        LatencyTableError: if the file is missing, truncated, edited or of another schema; with ``measure``, if it is of another
            device.
        MissingBackendError: if its runtime does not work here.
    """
    path, table, space = open_table(config.run, config.table)
    checks = check_table(table, space)
    problems = [f"{check.name}: {problem}" for check in checks if check.verdict == "failed" for problem in _named(check)]
    for text in remarks(table):
        yield Note(text, is_warning=True, in_view=True)
    failure: EdgeNASError | None = None
    drift: Drift | None = None
    if problems:
        failure = LatencyTableError(f"{path} is not sound", problems=problems, hint="measure again with `edgenas profile`")
    elif config.measure:
        drift = yield from _measure(config, table, space)
        if drift.verdict != "passed":
            failure = GateError(f"{path} {drift.words}", hint="measure again with `edgenas profile`")
    file = TableCheck(name="file", verdict="passed", reason="whole, unchanged, and every number can be")
    result = TableValidated(
        table=header(path, table),
        checks=(file, *checks),
        entries=origins(table, space),
        remarks=tuple(remarks(table)),
        drift=None if drift is None else drift.facts,
    )
    yield Outcome(result, failure=failure)


def _named(check: TableCheck) -> tuple[str, ...]:
    return check.problems or (check.reason,)


def _measure(config: ValidateConfig, table: LatencyTable, space: SearchSpace) -> Generator[Record, None, Drift]:
    """Time fresh nets as the table's were and compare."""
    context = table.context
    runtime = runtime_of(table)
    rng = np.random.default_rng(config.seed)
    genes_AG = nets_to_time(table, space, config.measure, rng)
    with workshop_of(config.run, table, space, runtime) as shop:
        session = yield from _time(shop, table, genes_AG, rng)
    if session.info.runtime_version != context.runtime_version:
        text = f"the table was measured with {context.runtime} {context.runtime_version}, here is {session.info.runtime_version}"
        yield Note(text, is_warning=True)
    drift = drift_of(table, space, genes_AG, session)
    yield Note(f"the table {drift.words}", is_warning=drift.verdict != "passed", in_view=True)
    return drift


def _time(shop: Workshop, table: LatencyTable, genes_AG: Genes, rng: np.random.Generator) -> Generator[Progress, None, Session]:
    chains = [components_of(shop.space, genes_G, shop.task) for genes_G in genes_AG]
    reference = reference_net(shop.space, shop.task)
    yield from shop.prepare_chains([reference, *chains])
    sources, beside = [shop.build(chain) for chain in chains], shop.build(reference)
    target = shop.target(table.context.threads)
    for record in time_nets(target, sources, beside, same_timing(table), rng=rng, label="timing nets again"):
        if isinstance(record, Session):
            return record
        yield record
    raise AssertionError("a series of rounds ends with its session")
