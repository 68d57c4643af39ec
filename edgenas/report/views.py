"""What a command's outcome looks like on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edgenas.runs import Outcome

VERDICT_STYLES = {"passed": "green", "failed": "bold red", "undecided": "yellow", "not_run": "yellow"}


def table(*columns: str, title: str | None = None) -> Table:
    """A borderless table; columns that start with ``>`` are aligned right."""
    result = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        result.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left")
    return result


def percent(value: float | None) -> str:
    """A share for reading."""
    return "–" if value is None else f"{100 * value:.1f} %"


def interval(value: Mapping[str, Any] | None) -> str:
    """A share with its interval and the images behind it."""
    if value is None or value["value"] is None:
        return "–"
    return f"{100 * value['value']:.1f} % [{100 * value['low']:.1f}, {100 * value['high']:.1f}] of {value['n']}"


def count(value: float) -> str:
    """A large count for reading."""
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value:.0f}"


def milliseconds(value: float | None) -> str:
    """A latency for reading."""
    return "–" if value is None else f"{value:.3g} ms"


def verdict(name: str) -> Text:
    """A verdict in its colour."""
    return Text(name.replace("_", " "), style=VERDICT_STYLES.get(name, ""))


def arch_line(arch: Mapping[str, Any]) -> str:
    """An architecture on one line."""
    return "  ".join(f"{name.replace('_', ' ')} {escape(str(value))}" for name, value in arch.items())


def init_view(outcome: Outcome) -> Iterator[RenderableType]:
    """Images per class and split, and what they can prove."""
    result = outcome.result
    splits = table(
        "class", *(f">{split}" for split in result["splits"]), title=f"{result['num_images']} images of {result['data']}"
    )
    for name in result["classes"]:
        mark = "  (positive)" if name == result["positive"] else ""
        splits.add_row(escape(name) + mark, *(str(counts[name]) for counts in result["splits"].values()))
    yield splits
    for line in result["provable"]:
        yield Text(line)
    yield Text("next: edgenas train")


def doctor_view(outcome: Outcome) -> Iterator[RenderableType]:
    """Every runtime with what was tried."""
    runtimes = table("runtime", "works", "version", "on", "what was seen")
    for row in outcome.result["runtimes"]:
        works = Text("yes", style="green") if row["works"] else Text("no", style="yellow")
        seen = row["reason"] if row["works"] or not row["fix"] else f"{row['reason']}\nmend: {row['fix']}"
        runtimes.add_row(row["name"], works, row["version"] or "–", row["device"] or "–", Text(seen))
    yield runtimes
    formats = table("format", "can be written here", "what was seen")
    for row in outcome.result["formats"]:
        seen = row["reason"] if row["works"] or not row["fix"] else f"{row['reason']}\nmend: {row['fix']}"
        formats.add_row(row["name"], Text("yes", style="green") if row["works"] else Text("no", style="yellow"), Text(seen))
    yield formats


def train_view(outcome: Outcome) -> Iterator[RenderableType]:
    """Accuracy on the select split of the teacher and of three subnets."""
    rows = table("on select", ">top-1")
    teacher, supernet = outcome.result.get("teacher"), outcome.result.get("supernet")
    if teacher:
        rows.add_row(f"teacher ({teacher['name']})", interval(teacher["select_top1"]))
    for name, value in (supernet["select_top1"] if supernet else {}).items():
        rows.add_row(f"{name} subnet", interval(value))
    yield rows
    yield Text("next: edgenas profile")


def profile_view(outcome: Outcome) -> Iterator[RenderableType]:
    """The table's context and how true its predictions are."""
    result, validation = outcome.result, outcome.result["validation"]
    context = result["context"]
    threads = f", {context['threads']} threads" if context.get("threads") else ""
    yield Text(
        f"{context['device']}, {context['runtime']} {context['runtime_version']}, {context['precision']}, "
        f"batch {context['batch_size']}{threads}, scope {context['scope']}"
    )
    rows = table("predicted against measured", ">value", title=f"{validation['num_subnets']} random subnets that fitted nothing")
    rows.add_row("mean absolute error", percent(validation["mape"]))
    rows.add_row("noise floor (same nets measured twice)", percent(validation["noise_floor_mape"]))
    rows.add_row("within 5 %", percent(validation["within_5"]))
    rows.add_row("within 10 %", percent(validation["within_10"]))
    rows.add_row("95th percentile of the error", percent(validation["p95_error"]))
    tau = validation["kendall_tau"]
    rows.add_row("Kendall's tau", "–" if tau is None else f"{tau:.3f}")
    yield rows
    yield Text(f"{result['num_entries']} entries from {result['num_nets_timed']} nets in {result['seconds']:.0f} s")
    yield Text("next: edgenas search --latency-ms MS")


def search_view(outcome: Outcome) -> Iterator[RenderableType]:
    """The finalists, the winner and what kept others out."""
    result = outcome.result
    rows = table(
        ">", "architecture", ">params", ">MACs", ">predicted", ">measured", ">top-1 select", ">top-1 confirm", title="Finalists"
    )
    for position, candidate in enumerate(result["finalists"], 1):
        mark = "→" if candidate["arch"] == (result["winner"] or {}).get("arch") else str(position)
        rows.add_row(
            mark,
            arch_line(candidate["arch"]),
            count(candidate["params"]),
            count(candidate["macs"]),
            milliseconds(candidate["latency_ms_predicted"]),
            milliseconds(candidate["latency_ms_measured"]),
            percent(candidate["top1"]),
            interval(candidate.get("top1_confirm")),
        )
    yield rows
    evaluations = result["evaluations"]
    yield Text(f"{evaluations['evaluated']} nets evaluated on {evaluations['images']} images; →: the winner")
    if result["binding"]:
        yield Text(f"binding: {', '.join(result['binding'])}")
    yield Text("next: edgenas retrain, or edgenas export with the inherited weights")


def metrics_table(reports: Mapping[str, Mapping[str, Any]], *, title: str) -> Table:
    """Accuracy and sensitivity per class, one column a net."""
    rows = table("", *(f">{name}" for name in reports), title=title)
    rows.add_row("top-1", *(interval(report["top1"]) for report in reports.values()))
    first = next(iter(reports.values()))
    for name in first["sensitivity"]:
        mark = " (positive)" if name == first.get("positive") else ""
        rows.add_row(f"sensitivity {escape(name)}{mark}", *(interval(r["sensitivity"][name]) for r in reports.values()))
    return rows


def _net_rows(nets: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = table("", *(f">{name}" for name in nets))
    rows.add_row("architecture", *("\n".join(f"{k} {escape(str(v))}" for k, v in net["arch"].items()) for net in nets.values()))
    rows.add_row("parameters", *(f"{net['params']:,}" for net in nets.values()))
    rows.add_row("MACs", *(f"{net['macs']:,}" for net in nets.values()))
    if any(net.get("latency_ms_predicted") is not None for net in nets.values()):
        rows.add_row("latency, predicted", *(milliseconds(net.get("latency_ms_predicted")) for net in nets.values()))
    if any(net.get("latency_ms_measured") is not None for net in nets.values()):
        rows.add_row("latency, measured", *(milliseconds(net.get("latency_ms_measured")) for net in nets.values()))
    rows.add_row("weights", *(str(net["weights"]) for net in nets.values()))
    return rows


def retrain_view(outcome: Outcome) -> Iterator[RenderableType]:
    """The winner on the test split, beside the hand-designed net if there is one."""
    result = outcome.result
    nets = {"winner": result} | ({"hand-designed": result["baseline"]} if result.get("baseline") else {})
    yield _net_rows(nets)
    yield metrics_table(nets, title="Test split, 95 % intervals")
    yield Text("next: edgenas export --format onnx, or --format trt")


def evaluate_view(outcome: Outcome) -> Iterator[RenderableType]:
    """Accuracy and sensitivity on one split."""
    result = outcome.result
    yield metrics_table({result["weights"]: result}, title=f"Split {result['split']}, 95 % intervals")


def parity_table(files: Sequence[Mapping[str, Any]], *, title: str) -> Table:
    """One row a file and gate."""
    rows = table("file", "gate", ">limit", ">value [95 %]", "verdict", "why", title=title)
    for file in files:
        parity = file["parity"]
        rows.add_row(escape(file["path"]), "parity", "", "", verdict(parity["verdict"]), Text(parity["reason"] or ""))
        shown = parity if parity["gates"] else (parity.get("emulated") or parity)
        for gate in shown["gates"]:
            kind = gate["name"] if shown is parity else f"{gate['name']} (emulated)"
            rows.add_row("", kind, _number(gate["limit"]), _gate_value(gate), verdict(gate["verdict"]), "")
    return rows


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _gate_value(gate: Mapping[str, Any]) -> str:
    if gate.get("low") is None or gate["value"] is None or gate["low"] == gate["value"] == gate["high"]:
        return _number(gate["value"])
    return f"{gate['value']:.4f} [{gate['low']:.4f}, {gate['high']:.4f}]"


def export_view(outcome: Outcome) -> Iterator[RenderableType]:
    """Files with their parity."""
    result = outcome.result
    yield Text.assemble("artefact: ", verdict(result["verdict"]), f"  (weights: {result['weights']})")
    yield parity_table(result["files"], title="Each image of the test split through both")
    yield Text("next: edgenas verify " + result["artifact"])


def verify_view(outcome: Outcome) -> Iterator[RenderableType]:
    """Every check of an artefact folder."""
    rows = table("check", "file", "verdict", "why")
    for check in outcome.result["checks"]:
        rows.add_row(check["name"], escape(check.get("path") or ""), verdict(check["verdict"]), Text(check.get("reason") or ""))
    yield rows


def info_view(outcome: Outcome) -> Iterator[RenderableType]:
    """Stages of the run folder, versions, settings."""
    result = outcome.result
    rows = table("stage", "state", "made", "next", title=str(result["run"]))
    for stage in result["stages"]:
        rows.add_row(stage["name"], stage["state"], stage.get("made") or "–", stage.get("command") or "")
    yield rows
    yield Text("  ".join(f"{name} {version}" for name, version in result["versions"].items()), style="dim")


def demo_view(outcome: Outcome) -> Iterator[RenderableType]:
    """The one screen at the end of the demo."""
    result = outcome.result
    nets = {"searched": result["winner"], "hand-designed": result["baseline"]}
    parts: list[RenderableType] = [
        Text(f"limit: {result['latency_limit_ms']:.3g} ms on {result['device']} ({result['runtime']})"),
        _net_rows(nets),
        metrics_table(nets, title="Test split, 95 % intervals"),
        _verdicts(result["verdicts"]),
        Text(f"took {result['seconds']:.0f} s, at most {result['peak_memory_mb']:.0f} MB; everything is in {result['run']}"),
    ]
    yield Panel(Group(*parts), title="edgenas demo: from 1,797 digits to a verified net", border_style="cyan", padding=(0, 1))


def _verdicts(rows: Sequence[Mapping[str, Any]]) -> Table:
    shown = table("check", "verdict", "why", title="Verdicts")
    for row in rows:
        shown.add_row(row["name"], verdict(row["verdict"]), Text(row["reason"] or ""))
    return shown


VIEWS: dict[str, Callable[[Outcome], Iterator[RenderableType]]] = {
    "init": init_view,
    "doctor": doctor_view,
    "train": train_view,
    "profile": profile_view,
    "search": search_view,
    "retrain": retrain_view,
    "evaluate": evaluate_view,
    "export": export_view,
    "verify": verify_view,
    "info": info_view,
    "demo": demo_view,
}
