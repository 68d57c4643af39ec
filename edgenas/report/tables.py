"""What a terminal shows of latency tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgenas.records import (
    BreakdownFacts,
    ContextFacts,
    DriftFacts,
    EntryCounts,
    EntryRatio,
    GpuFacts,
    MachineFacts,
    RatioFacts,
    TableHeader,
    TablesCompared,
    TableShown,
    TablesListed,
    TablesMerged,
    TableValidated,
    ValidationFigures,
)
from edgenas.report.cells import arch_line, calls_of, milliseconds, minute, percent, table, verdict
from edgenas.report.plan import promises, sessions_table
from edgenas.runs import Outcome

BAR = 24  # characters of a whole net's time


Answer = TablesListed | TableShown | TableValidated | TablesCompared | TablesMerged


def tables_view(outcome: Outcome[Answer]) -> Iterator[RenderableType]:
    """What one of the subcommands found out."""
    result = outcome.result
    match result:
        case TablesListed():
            yield from _list(result)
        case TableShown():
            yield from _show(result)
        case TableValidated():
            yield from _validate(result)
        case TablesCompared():
            yield from _diff(result)
        case TablesMerged():
            yield from _merge(result)


def _list(result: TablesListed) -> Iterator[RenderableType]:
    """One row a table."""
    if not result.tables:
        yield Text("there are no latency tables; `edgenas profile` makes one")
    for one in result.tables:
        yield _block(one.header, f"from {'the run' if one.source == 'run' else 'edgenas'}", is_here=bool(one.of_this_device))


def _block(header: TableHeader, origin: str, *, is_here: bool = False) -> Text:
    """A table's name on a line of its own, so that it can be copied, then what it is of and how good."""
    mark = " (this one)" if is_here else ""
    context = header.context
    about = f"{context.device}{mark}, {_runtime(context)}, {context.precision}, batch {context.batch_size}, {header.space}"
    quality = f"{origin}, {_age(header.age_days)}, {_accuracy(header.validation)}"
    return Text.assemble((header.name, "bold"), f"\n  {about}\n  {quality}", overflow="fold")


def _runtime(context: ContextFacts) -> str:
    return f"{context.runtime} {context.runtime_version}{_threads(context)}"


def _threads(context: ContextFacts) -> str:
    num = context.threads
    return "" if num is None else f", {num} thread{'' if num == 1 else 's'}"


def _age(days: float | None) -> str:
    if days is None:
        return "of unknown age"
    return f"{days:.0f} days old" if days >= 1.5 else f"{24 * max(days, 0.0):.0f} h old"


def _header(header: TableHeader) -> Text:
    task, context = header.task, header.context
    return Text(
        f"{context.device}, {_runtime(context)}, {context.precision}, batch {context.batch_size}"
        f", scope {context.scope}; {header.space} at {task.image_px} px, {task.num_classes} classes; "
        f"measured {minute(header.date)}"
    )


def _entries(counted: EntryCounts) -> str:
    missing = f", {counted.missing} missing" if counted.missing else ""
    return f"{counted.measured} components measured, {counted.interpolated} interpolated{missing}"


def _accuracy(validation: ValidationFigures) -> str:
    floor = percent(validation.noise_floor_mape)
    return f"error {percent(validation.mape)} on {validation.num_subnets:,} nets, noise floor {floor}"


def _show(result: TableShown) -> Iterator[RenderableType]:
    """Where the time of every net goes, then how the table was measured."""
    yield _header(result.table)
    for net in result.nets:
        yield from _net(net)
    calibration, calls = result.calibration, result.reference
    weights = f" + {calibration.weights_ms:.3g} ms per million parameters" if calibration.weights_ms else ""
    formula = f"{calibration.scale:.4g} × their sum {calibration.offset_ms:+.3g} ms{weights}"
    yield Text(f"{_entries(result.entries)}; predicted = {formula}; {_accuracy(result.table.validation)}")
    quantiles = {"p50": calls.p50_ms, "p90": calls.p90_ms, "p95": calls.p95_ms, "p99": calls.p99_ms}
    shown = "  ".join(f"{name} {milliseconds(ms)}" for name, ms in quantiles.items())
    yield Text(f"calls of the reference net: {shown}, MAD {milliseconds(calls.mad_ms)}, CoV {percent(calls.variation)}")
    yield from calls_of(result.percentiles)
    for number, session in enumerate(result.measuring.machine or (), 1):
        yield Text(f"session {number}: {_machine(session)}", style="dim")
    yield from promises(result.promises or ())
    yield from sessions_table(result.each_session or ())
    for text in result.remarks:
        yield Text(text, style="yellow")


def _net(net: BreakdownFacts) -> Iterator[RenderableType]:
    title = f"{net.name}: {milliseconds(net.predicted_ms)} predicted, at most {milliseconds(net.upper_ms)}"
    rows = table("stage", "kind", ">parts", ">ms", ">share", "", title=title)
    for part in net.parts:
        bar = "█" * round(BAR * max(0.0, part.share))
        stage = "–" if part.stage is None else str(part.stage)
        rows.add_row(stage, part.kind, str(part.num), f"{part.ms:.3g}", percent(part.share), Text(bar, style="cyan"))
    yield rows
    yield Text(arch_line(net.arch), style="dim")


def _machine(seen: MachineFacts) -> str:
    """What went on beside a session; unknown where the system did not tell."""
    governors = " and ".join(seen.governors) if seen.governors else "unknown"
    others, stolen = seen.other_cores, seen.steal_share
    parts = [
        f"other processes used {'unknown' if others is None else format(others, '.2f')} of {seen.num_cores} cores",
        f"stolen {'unknown' if stolen is None else percent(stolen)}",
        f"governor {governors}",
        f"load {_number(seen.load_average_before)} before, {_number(seen.load_average_after)} after",
    ]
    if seen.cpu_quota is not None:
        parts.append(f"quota of {seen.cpu_quota:g} cores, which held back {seen.quota_events or 0} times")
    if seen.gpu is not None and seen.gpu != GpuFacts():
        parts.append(_gpu(seen.gpu))
    return ", ".join(parts)


def _gpu(gpu: GpuFacts) -> str:
    if gpu.unknown is not None:
        return f"GPU state unknown ({gpu.unknown})"
    shown = [f"GPU driver {gpu.driver or 'unknown'}"]
    for span, unit in ((gpu.sm_clock_mhz, "MHz"), (gpu.power_w, "W"), (gpu.temperature_c, "°C")):
        shown.append(f"{span.min:.0f} to {span.max:.0f} {unit}" if span is not None else f"{unit} unknown")
    reasons = gpu.throttle_reasons
    shown.append("throttling unknown" if reasons is None else f"throttled by {', '.join(reasons)}" if reasons else "not throttled")
    return ", ".join(shown)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _validate(result: TableValidated) -> Iterator[RenderableType]:
    """Every check, and what timing nets again said."""
    yield _header(result.table)
    rows = table("check", "verdict", "what was seen")
    for check in result.checks:
        rows.add_row(check.name, verdict(check.verdict), Text(check.reason))
    drift = result.drift
    if drift is not None:
        rows.add_row("on this device", verdict(drift.verdict), Text(drift.words))
    yield rows
    if drift is not None:
        yield _drift(drift)
        yield Text(f"measured to predicted: {_ratios(drift.ratios)}")
        yield Text(f"noise floor now (same nets measured twice): {percent(drift.noise_floor_mape)}")
        yield Text(_machine(drift.machine), style="dim")
    for text in result.remarks:
        yield Text(f"when it was measured: {text}", style="yellow")


def _drift(drift: DriftFacts) -> Table:
    rows = table("net", ">predicted", ">measured", ">ratio", ">error at the same speed", title="Nets timed again")
    for row in drift.rows:
        cells = (milliseconds(row.predicted_ms), milliseconds(row.measured_ms), f"{row.ratio:.3f}", percent(row.error))
        rows.add_row(Text(arch_line(row.arch)), *cells)
    return rows


def _ratios(ratios: RatioFacts) -> str:
    middle = f" (90 % in {ratios.p5:.3f} to {ratios.p95:.3f})" if ratios.p5 is not None else ""
    around = f"median {ratios.median:.3f}, MAD {ratios.mad:.3f}{middle}"
    return f"{around}, {ratios.min:.3f} to {ratios.max:.3f}, n {ratios.n:,}"


def _diff(result: TablesCompared) -> Iterator[RenderableType]:
    """Differences of the contexts, then ratios."""
    if result.differences:
        rows = table("differs", "first", "second", "so")
        says = {"refused": "their numbers are not mixed", "warns": "costs may have changed", "noted": ""}
        for each in result.differences:
            shown = (str(value) for value in (each.key, each.first, each.second))
            rows.add_row(*shown, says[each.weight])
        yield rows
    else:
        yield Text("the contexts are equal")
    entries, nets = result.entries, result.nets
    if entries.ratios is not None:
        yield Text(f"entries, second to first: {_ratios(entries.ratios)}")
    only = {"first": entries.only_first, "second": entries.only_second}
    lacking = [f"{num} only in the {name}" for name, num in only.items() if num]
    if lacking:
        yield Text(f"entries {', '.join(lacking)}", style="yellow")
    tau = nets.kendall_tau
    yield Text(f"predicted nets, second to first: {_ratios(nets.ratios)}, Kendall's tau {'–' if tau is None else f'{tau:.3f}'}")
    if entries.largest:
        yield _largest(entries.largest)


def _largest(entries: Sequence[EntryRatio]) -> Table:
    rows = table("component", ">first", ">second", ">ratio", title="Farthest from the median ratio")
    for entry in entries:
        first, *others = entry.components
        text = ", ".join(f"{name} {value}" for name, value in first.items() if value is not None)
        more = f" and {len(others)} more" if others else ""
        rows.add_row(Text(text + more), milliseconds(entry.first_ms), milliseconds(entry.second_ms), f"{entry.ratio:.3f}")
    return rows


def _merge(result: TablesMerged) -> Iterator[RenderableType]:
    """The new table beside its sources."""
    for one in result.sources:
        yield _block(one, "a source")
    yield _block(result.table, "merged")
