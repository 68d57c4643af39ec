"""What a terminal shows of latency tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from edgenas.report.cells import arch_line, milliseconds, percent, table, verdict
from edgenas.runs import Outcome

BAR = 24  # characters of a whole net's time


def tables_view(outcome: Outcome[Any]) -> Iterator[RenderableType]:
    """What one of the subcommands found out."""
    yield from VIEWS[outcome.result["action"]](outcome)


def _list(outcome: Outcome[Any]) -> Iterator[RenderableType]:
    """One row a table."""
    found = outcome.result["tables"]
    if not found:
        yield Text("there are no latency tables; `edgenas profile` makes one")
        return
    for one in found:
        yield _block(one, f"from {'the run' if one['source'] == 'run' else 'edgenas'}", is_here=bool(one["of_this_device"]))


def _block(header: Mapping[str, Any], origin: str, *, is_here: bool = False) -> Text:
    """A table's name on a line of its own, so that it can be copied, then what it is of and how good."""
    mark = " (this one)" if is_here else ""
    about = f"{header['device']}{mark}, {_runtime(header)}, {header['precision']}, batch {header['batch_size']}, {header['space']}"
    quality = f"{origin}, {_age(header['age_days'])}, {_accuracy(header['validation'])}"
    return Text.assemble((header["name"], "bold"), f"\n  {about}\n  {quality}", overflow="fold")


def _runtime(header: Mapping[str, Any]) -> str:
    return f"{header['runtime']} {header['runtime_version']}{_threads(header)}"


def _threads(header: Mapping[str, Any]) -> str:
    num = header["threads"]
    return "" if num is None else f", {num} thread{'' if num == 1 else 's'}"


def _age(days: float | None) -> str:
    if days is None:
        return "of unknown age"
    return f"{days:.0f} days old" if days >= 1.5 else f"{24 * max(days, 0.0):.0f} h old"


def _header(header: Mapping[str, Any]) -> Text:
    task = header["task"]
    return Text(
        f"{header['device']}, {_runtime(header)}, {header['precision']}, batch {header['batch_size']}"
        f", scope {header['scope']}; {header['space']} at {task['image_px']} px, {task['num_classes']} classes; "
        f"measured {header['date']}"
    )


def _entries(counted: Mapping[str, int]) -> str:
    missing = f", {counted['missing']} missing" if counted["missing"] else ""
    return f"{counted['measured']} components measured, {counted['interpolated']} interpolated{missing}"


def _accuracy(validation: Mapping[str, Any]) -> str:
    floor = percent(validation["noise_floor_mape"])
    return f"error {percent(validation['mape'])} on {validation['num_subnets']} nets, noise floor {floor}"


def _show(outcome: Outcome[Any]) -> Iterator[RenderableType]:
    """Where the time of every net goes, then how the table was measured."""
    result = outcome.result
    yield _header(result["table"])
    for net in result["nets"]:
        yield from _net(net)
    validation, calibration, reference = result["table"]["validation"], result["calibration"], result["reference"]
    weights_ms = calibration.get("weights_ms", 0.0)
    weights = f" + {weights_ms:.3g} ms per million parameters" if weights_ms else ""
    formula = f"{calibration['scale']:.4g} × their sum {calibration['offset_ms']:+.3g} ms{weights}"
    yield Text(f"{_entries(result['entries'])}; predicted = {formula}; {_accuracy(validation)}")
    quantiles = "  ".join(f"{name} {milliseconds(reference.get(f'{name}_ms'))}" for name in ("p50", "p90", "p95", "p99"))
    yield Text(
        f"calls of the reference net: {quantiles}, MAD {milliseconds(reference['mad_ms'])}, CoV {percent(reference['variation'])}"
    )
    for number, seen in enumerate(result["measuring"].get("machine", []), 1):
        yield Text(f"session {number}: {_machine(seen)}", style="dim")
    for text in result["remarks"]:
        yield Text(text, style="yellow")


def _net(net: Mapping[str, Any]) -> Iterator[RenderableType]:
    title = f"{net['name']}: {milliseconds(net['predicted_ms'])} predicted, at most {milliseconds(net['upper_ms'])}"
    rows = table("stage", "kind", ">parts", ">ms", ">share", "", title=title)
    for part in net["parts"]:
        bar = "█" * round(BAR * max(0.0, part["share"]))
        stage = "–" if part["stage"] is None else str(part["stage"])
        rows.add_row(stage, part["kind"], str(part["num"]), f"{part['ms']:.3g}", percent(part["share"]), Text(bar, style="cyan"))
    yield rows
    yield Text(arch_line(net["arch"]), style="dim")


def _machine(seen: Mapping[str, Any]) -> str:
    """What went on beside a session; unknown where the system did not tell."""
    governors = "unknown" if not seen.get("governors") else " and ".join(seen["governors"])
    others = seen.get("other_cores")
    stolen = seen.get("steal_share")
    parts = [
        f"other processes used {'unknown' if others is None else format(others, '.2f')} of {seen.get('num_cores')} cores",
        f"stolen {'unknown' if stolen is None else percent(stolen)}",
        f"governor {governors}",
        f"load {_number(seen.get('load_average_before'))} before, {_number(seen.get('load_average_after'))} after",
    ]
    gpu = seen.get("gpu")
    if gpu:
        parts.append(_gpu(gpu))
    return ", ".join(parts)


def _gpu(gpu: Mapping[str, Any]) -> str:
    if "unknown" in gpu:
        return f"GPU state unknown ({gpu['unknown']})"
    shown = [f"GPU driver {gpu.get('driver') or 'unknown'}"]
    for name, unit in (("sm_clock_mhz", "MHz"), ("power_w", "W"), ("temperature_c", "°C")):
        value = gpu.get(name)
        shown.append(f"{value['min']:.0f} to {value['max']:.0f} {unit}" if isinstance(value, Mapping) else f"{unit} unknown")
    reasons = gpu.get("throttle_reasons")
    shown.append("throttling unknown" if reasons is None else f"throttled by {', '.join(reasons)}" if reasons else "not throttled")
    return ", ".join(shown)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _validate(outcome: Outcome[Any]) -> Iterator[RenderableType]:
    """Every check, and what timing nets again said."""
    result = outcome.result
    yield _header(result["table"])
    rows = table("check", "verdict", "what was seen")
    for check in result["checks"]:
        rows.add_row(check["name"], verdict(check["verdict"]), Text(check["reason"]))
    drift = result["drift"]
    if drift is not None:
        rows.add_row("on this device", verdict(drift["verdict"]), Text(drift["words"]))
    yield rows
    if drift is not None:
        yield _drift(drift)
        yield Text(f"measured to predicted: {_ratios(drift['ratios'])}")
        yield Text(f"noise floor now (same nets measured twice): {percent(drift['noise_floor_mape'])}")
        yield Text(_machine(drift["machine"]), style="dim")
    for text in result["remarks"]:
        yield Text(f"when it was measured: {text}", style="yellow")


def _drift(drift: Mapping[str, Any]) -> Table:
    rows = table("net", ">predicted", ">measured", ">ratio", ">error at the same speed", title="Nets timed again")
    for row in drift["rows"]:
        cells = (milliseconds(row["predicted_ms"]), milliseconds(row["measured_ms"]), f"{row['ratio']:.3f}", percent(row["error"]))
        rows.add_row(Text(arch_line(row["arch"])), *cells)
    return rows


def _ratios(ratios: Mapping[str, Any]) -> str:
    middle = f" (90 % in {ratios['p5']:.3f} to {ratios['p95']:.3f})" if "p5" in ratios else ""
    around = f"median {ratios['median']:.3f}, MAD {ratios['mad']:.3f}{middle}"
    return f"{around}, {ratios['min']:.3f} to {ratios['max']:.3f}, n {ratios['n']}"


def _diff(outcome: Outcome[Any]) -> Iterator[RenderableType]:
    """Differences of the contexts, then ratios."""
    result = outcome.result
    if result["differences"]:
        rows = table("differs", "first", "second", "so")
        says = {"refused": "their numbers are not mixed", "warns": "costs may have changed", "noted": ""}
        for difference in result["differences"]:
            shown = (escape(str(difference[name])) for name in ("key", "first", "second"))
            rows.add_row(*shown, says[difference["weight"]])
        yield rows
    else:
        yield Text("the contexts are equal")
    entries, nets = result["entries"], result["nets"]
    if entries["ratios"] is not None:
        yield Text(f"entries, second to first: {_ratios(entries['ratios'])}")
    lacking = [f"{entries[f'only_{name}']} only in the {name}" for name in ("first", "second") if entries[f"only_{name}"]]
    if lacking:
        yield Text(f"entries {', '.join(lacking)}", style="yellow")
    tau = nets["kendall_tau"]
    yield Text(f"predicted nets, second to first: {_ratios(nets['ratios'])}, Kendall's tau {'–' if tau is None else f'{tau:.3f}'}")
    if entries["largest"]:
        yield _largest(entries["largest"])


def _largest(entries: Sequence[Mapping[str, Any]]) -> Table:
    rows = table("component", ">first", ">second", ">ratio", title="Farthest from the median ratio")
    for entry in entries:
        first, *others = entry["components"]
        text = ", ".join(f"{name} {value}" for name, value in first.items() if value is not None)
        more = f" and {len(others)} more" if others else ""
        rows.add_row(Text(text + more), milliseconds(entry["first_ms"]), milliseconds(entry["second_ms"]), f"{entry['ratio']:.3f}")
    return rows


def _merge(outcome: Outcome[Any]) -> Iterator[RenderableType]:
    """The new table beside its sources."""
    result = outcome.result
    for one in result["sources"]:
        yield _block(one, "a source")
    yield _block(result["table"], "merged")


VIEWS: dict[str, Callable[[Outcome[Any]], Iterator[RenderableType]]] = {
    "list": _list,
    "show": _show,
    "validate": _validate,
    "diff": _diff,
    "merge": _merge,
}
