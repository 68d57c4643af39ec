"""`edgenas tables`: list, show, compare and merge latency tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edgenas.errors import EdgeNASError, LatencyTableError
from edgenas.latency import LatencyTable, find_tables, shipped_tables
from edgenas.latency.measuring import percentiles_of
from edgenas.latency.table import (
    break_down,
    check_table,
    compare_entries,
    compare_nets,
    differences,
    merge_tables,
    origins,
    remarks,
    require_sound,
    typical_nets,
)
from edgenas.latency.timing import cpu_model
from edgenas.project.of_table import open_table, session_facts
from edgenas.records import (
    CalibrationFacts,
    ContextFacts,
    JsonRecord,
    ListedTable,
    Percentile,
    PromisedBound,
    ReferenceNet,
    TableHeader,
    TableMeasuring,
    TablesCompared,
    TableShown,
    TablesListed,
    TablesMerged,
    TaskFacts,
    ValidationFigures,
)
from edgenas.runs import Note, Outcome, Record, RunFolder, jsonable
from edgenas.spaces import Genes, SearchSpace
from edgenas.spaces.given import read_given

FIGURES = ("mape", "noise_floor_mape", "within_5", "within_10", "p95_error", "kendall_tau", "num_subnets")


@dataclass(frozen=True, slots=True)
class ListConfig:
    """What `edgenas tables list` was asked for: the tables of a run and those that come with edgenas."""

    run: Path


@dataclass(frozen=True, slots=True)
class ShowConfig:
    """What `edgenas tables show` was asked for.

    Attributes:
        run: whose tables go by name too.
        table: name or file.
        arch: name or file of architectures; None shows the smallest, the median and the largest net.
    """

    run: Path
    table: str
    arch: str | None = None


@dataclass(frozen=True, slots=True)
class DiffConfig:
    """What `edgenas tables diff` was asked for."""

    run: Path
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class MergeConfig:
    """What `edgenas tables merge` was asked for.

    Attributes:
        run: whose tables go by name too.
        tables: names or files.
        output: file to write.
        force: replace it.
    """

    run: Path
    tables: tuple[str, ...]
    output: Path
    force: bool = False


def header(path: Path, table: LatencyTable) -> TableHeader:
    """What every command says of a table."""
    date = table.measuring.date
    return TableHeader(
        name=path.stem,
        path=str(path),
        sha256=table.sha256,
        context=ContextFacts.from_json(table.context.as_json()),
        space=table.space,
        task=TaskFacts(**asdict(table.task)),
        date=date,
        age_days=_age_days(date),
        num_entries=len(table.entries),
        validation=ValidationFigures(**{name: getattr(table.validation, name) for name in FIGURES}),
    )


def _age_days(date: str) -> float | None:
    try:
        made = datetime.fromisoformat(date)
    except ValueError:
        return None
    made = made if made.tzinfo is not None else made.replace(tzinfo=UTC)
    return (datetime.now(UTC) - made).total_seconds() / 86400


def run_list(config: ListConfig) -> Iterator[Record]:
    """Describe every table of the run and of edgenas; those that cannot be read are named in warnings."""
    here = cpu_model()
    places = [("run", path) for path in find_tables(RunFolder(config.run).latency)]
    places += [("edgenas", path) for _, path in sorted(shipped_tables().items())]
    rows = []
    for source, path in places:
        try:
            table = LatencyTable.load(path)
        except EdgeNASError as error:
            yield Note(str(error), is_warning=True)
            continue
        same = table.context.device == here if table.context.device_kind == "cpu" else None
        rows.append(ListedTable(header=header(path, table), source=source, of_this_device=same))
    yield Outcome(TablesListed(device=here, tables=tuple(rows)))


def run_show(config: ShowConfig) -> Iterator[Record]:
    """Where the predicted time goes, and how the table was measured.

    Raises:
        LatencyTableError: as `open_table` and `require_sound`, or if a net needs an entry that the table lacks.
        ArchError: if ``arch`` is none of the space.
    """
    path, table, space = open_table(config.run, config.table)
    require_sound(path, table, space)
    nets = [break_down(table, space, genes_G, name) for name, genes_G in _chosen(config, table, space).items()]
    for text in remarks(table):
        yield Note(text, is_warning=True, in_view=True)
    result = TableShown(
        table=header(path, table),
        entries=origins(table, space),
        calibration=CalibrationFacts(**asdict(table.calibration)),
        reference=ReferenceNet.from_json(_without(table.reference, "components")),
        measuring=TableMeasuring.from_json(_without(table.measuring, "calibration_rows")),
        details=table.context.details,
        remarks=tuple(remarks(table)),
        nets=tuple(nets),
        promises=tuple(PromisedBound.from_json(jsonable(bound)) for bound in table.promise.bounds()),
        each_session=session_facts(table),
        percentiles=_reference_percentiles(table),
    )
    yield Outcome(result)


def _without(part: JsonRecord, name: str) -> dict[str, object]:
    """A part of a table without what would fill pages."""
    return {key: value for key, value in part.as_json().items() if key != name}


def _reference_percentiles(table: LatencyTable) -> dict[str, Percentile] | None:
    """How slow the reference net's slowest calls are; None where the table does not say how many there were."""
    reference = table.reference
    known = {"p90": reference.p90_ms, "p95": reference.p95_ms, "p99": reference.p99_ms}
    uppers = {"p90": reference.p90_upper_ms, "p95": reference.p95_upper_ms, "p99": reference.p99_upper_ms}
    return percentiles_of({name: ms for name, ms in known.items() if ms is not None}, uppers, reference.n or 0)


def _chosen(config: ShowConfig, table: LatencyTable, space: SearchSpace) -> Mapping[str, Genes]:
    if config.arch is None:
        return typical_nets(table, space, np.random.default_rng(0))
    given = read_given(space, config.arch)
    names = [given.name or f"architecture {number}" for number in range(1, len(given.genes_AG) + 1)]
    return dict(zip(names, given.genes_AG, strict=True))


def run_diff(config: DiffConfig) -> Iterator[Record]:
    """Compare contexts, entries and predictions of two tables, the second to the first.

    Raises:
        LatencyTableError: as `open_table` and `require_sound`.
    """
    (first_path, first, space), (second_path, second, _) = (open_table(config.run, name) for name in (config.first, config.second))
    different = differences(first, second)
    other_nets = [each for each in different if each.key in ("space", "choices of the space", *asdict(first.task))]
    if other_nets:
        problems = [str(difference) for difference in other_nets]
        raise LatencyTableError("the tables are of different nets, so their costs cannot be compared", problems=problems)
    require_sound(first_path, first, space)
    require_sound(second_path, second, space)
    result = TablesCompared(
        first=header(first_path, first),
        second=header(second_path, second),
        differences=different,
        can_be_merged=not any(difference.weight == "refused" for difference in different),
        entries=compare_entries(first, second),
        nets=compare_nets(first, second, space, np.random.default_rng(0)),
    )
    yield Outcome(result)


def run_merge(config: MergeConfig) -> Iterator[Record]:
    """Write one table of several.

    Raises:
        LatencyTableError: as `open_table` and `merge_tables`; if the output exists.
    """
    if config.output.exists() and not config.force:
        raise LatencyTableError(f"{config.output} exists already", hint="take another name, or --force to replace it")
    opened = [open_table(config.run, name) for name in config.tables]
    for path, table, space in opened:
        failed = [f"{check.name}: {check.reason}" for check in check_table(table, space) if check.verdict == "failed"]
        if failed:
            raise LatencyTableError(f"{path} is not sound", problems=failed, hint="`edgenas tables validate` says more")
    merged = merge_tables([table for _, table, _ in opened], opened[0][2])
    for text in (*merged.warnings, *remarks(merged.table)):
        yield Note(text, is_warning=True)
    merged.table.write(config.output)
    sources = tuple(header(path, table) for path, table, _ in opened)
    result = TablesMerged(table=header(config.output, merged.table), sources=sources)
    yield Outcome(result, {"table": config.output})
