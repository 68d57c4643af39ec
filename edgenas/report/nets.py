"""Nets side by side: what they are and cost, how accurate they are, which is better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from edgenas.report.cells import arch_value, interval, milliseconds, table
from edgenas.runs import Outcome


def metrics_table(reports: Mapping[str, Mapping[str, Any]], *, title: str) -> Table:
    """Accuracy and sensitivity per class, one column a net."""
    first = next(iter(reports.values()))
    rows = table("", ">images", *(f">{name} %" for name in reports), title=title)
    rows.add_row("top-1", str(first["top1"]["n"]), *(interval(report["top1"]) for report in reports.values()))
    for name, share in first["sensitivity"].items():
        mark = " (positive)" if name == first.get("positive") else ""
        shares = (interval(report["sensitivity"][name]) for report in reports.values())
        rows.add_row(f"sensitivity {escape(name)}{mark}", str(share["n"]), *shares)
    return rows


def sites_table(result: Mapping[str, Any]) -> Iterator[Table]:
    """Accuracy and the positive class's sensitivity at every site; nothing where sites are unknown."""
    if not result.get("sites"):
        return
    positive = result.get("positive")
    columns = [f">sensitivity {escape(positive)} %"] if positive is not None else []
    rows = table("site", ">images", ">top-1 %", *columns, title="By site, 95 % intervals")
    for name, found in result["sites"].items():
        shares = [interval(found["sensitivity"][positive])] if positive is not None else []
        rows.add_row(escape(name), str(found["n"]), interval(found["top1"]), *shares)
    yield rows


def net_rows(nets: Mapping[str, Mapping[str, Any]]) -> Table:
    """Architecture, costs and training, one column a net; one of no space has no architecture."""
    rows = table("", *(f">{name}" for name in nets))
    for name in next(iter(nets.values()))["arch"]:
        rows.add_row(name.replace("_", " "), *(arch_value(net["arch"][name]) if net["arch"] else "–" for net in nets.values()))
    if any(net.get("width") for net in nets.values()):
        rows.add_row("width", *(str(net.get("width", "–")) for net in nets.values()))
    rows.add_row("parameters", *(f"{net['params']:,}" for net in nets.values()))
    rows.add_row("MACs", *(f"{net['macs']:,}" for net in nets.values()))
    for kind in ("predicted", "measured"):
        values = [net.get(f"latency_ms_{kind}") for net in nets.values()]
        if any(value is not None for value in values):
            rows.add_row(f"latency, {kind}", *(milliseconds(value) for value in values))
    rows.add_row("weights", *(str(net["weights"]) for net in nets.values()))
    for name, title in (("teaching", "taught by"), ("epochs", "epochs")):
        if any(name in net for net in nets.values()):
            rows.add_row(title, *(str(net.get(name, "–")) for net in nets.values()))
    if any("select_top1" in net for net in nets.values()):
        rows.add_row("top-1 on select %", *(interval(net.get("select_top1")) for net in nets.values()))
    return rows


def retrain_view(outcome: Outcome) -> Iterator[RenderableType]:
    """The winner on the test split, beside the best hand-made net and a plain CNN where there are any, and which is better."""
    result = outcome.result
    nets = {"searched" if result.get("baseline") else "winner": result}
    nets |= {"hand-made": result["baseline"]} if result.get("baseline") else {}
    nets |= {"plain CNN": result["cnn"]} if result.get("cnn") else {}
    yield net_rows(nets)
    yield metrics_table(nets, title="Test split, 95 % intervals")
    yield from sites_table(result)
    yield from _tries(nets)
    yield from _costs(result.get("cost") or {})
    yield from verdict_lines(result)
    yield Text("next: edgenas export --format onnx, or --format trt")


def _tries(nets: Mapping[str, Mapping[str, Any]]) -> Iterator[Table]:
    """How every net was trained to the end, and what select says of it; nothing where there was one way."""
    if all(len(net.get("starts") or ()) < 2 for net in nets.values()):
        return
    rows = table("trained to the end", "weights", "taught by", ">epochs", ">minutes", ">select %")
    for name, net in nets.items():
        for each in net.get("starts") or ():
            kept = all(each[key] == net[key] for key in ("weights", "teaching", "epochs"))
            values = (each["weights"], each["teaching"], str(each["epochs"]), _minutes(each["seconds"]))
            rows.add_row(f"{'→' if kept else ' '} {name}", *values, interval(each["select_top1"]))
    yield rows


STAGES = ("probes", "teacher", "supernet", "search", "race", "final", "total")


def _costs(cost: Mapping[str, Mapping[str, Any]]) -> Iterator[Table]:
    """What searched and hand-made nets have cost, in minutes and epochs; nothing where just one was trained."""
    if len(cost) < 2:
        return
    titles = {"searched": "searched", "baseline": "hand-made"}
    rows = table("", *(f">{titles.get(name, name)}: minutes" for name in cost), *(f">{titles.get(n, n)}: epochs" for n in cost))
    for stage in STAGES:
        seconds = [entry.get(f"{stage}_s") for entry in cost.values()]
        epochs = [entry.get(f"{stage}_epochs") for entry in cost.values()]
        rows.add_row(stage, *(_minutes(value) for value in seconds), *("–" if value is None else str(value) for value in epochs))
    yield rows


def _minutes(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds / 60:.1f}"


def verdict_lines(result: Mapping[str, Any], *, cannot_tell: str = "") -> Iterator[Text]:
    """The sentences of the comparisons and what else must be said; ``cannot_tell`` follows where neither net is better."""
    for name, other in (("hand-made", result), ("the plain CNN", result.get("cnn") or {})):
        comparison = other.get("comparison")
        if comparison:
            is_open = comparison["better"] == "neither"
            style = "bold" if is_open or comparison["better"] == "searched" else "bold yellow"
            yield Text(f"searched against {name}: {comparison['words']}{cannot_tell if is_open else ''}", style=style)
    if result.get("chosen_by"):
        yield Text(result["chosen_by"]["words"])
    for text in result.get("remarks") or ():
        yield Text(text, style="yellow")
