"""What a terminal shows of limits: what they leave, what is promised, how long training would take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from edgenas.report.cells import arch_line, count, milliseconds, percent, table
from edgenas.report.spaces import cardinality
from edgenas.runs import Outcome

METHODS = {
    "enumeration": "exactly: every net was looked at",
    "evolution": "by evolution over the cost tables; there may be better ones",
}


def plan_view(outcome: Outcome) -> Iterator[RenderableType]:
    """Feasible share, the extreme nets that fit, what binds, and the estimated times."""
    result = outcome.result
    space = result["space"]
    share, nets = space["feasible"], space["num_feasible"]
    yield Text(
        f"{_share(share, is_exact=space['is_exact'])} of {cardinality(space['num_subnets'])} nets of {space['name']} fit"
        f" ({'exactly' if space['is_exact'] else 'about'} {cardinality(nets['value'])})"
    )
    yield _nets(result)
    for name, net in result["nets"].items():
        yield Text(f"{_words(name)}: {arch_line(net['arch'])}")
    yield from promises(result["promises"])
    for name, limit in result["limits"].items():
        alone = ", alone for some: it binds" if name in result["binding"] else ""
        yield Text(f"{name} <= {limit:.6g} keeps out {result['rejected'][name]:,} of the nets looked at{alone}")
    yield _times(result)
    yield Text("estimated from a few timed steps on this device: mean, and the range of their 10th to 90th percentile", style="dim")
    yield Text("next: edgenas train")


def _share(share: Mapping[str, Any], *, is_exact: bool) -> str:
    value = f"{100 * share['value']:.3g} %"
    return value if is_exact else f"{value} [{100 * share['low']:.3g}, {100 * share['high']:.3g}]"


def _words(name: str) -> str:
    return {"largest_macs": "most MACs", "largest_params": "most parameters"}.get(name, name)


def _nets(result: Mapping[str, Any]) -> Table:
    has_latency = any(net["latency_ms_predicted"] is not None for net in result["nets"].values())
    latencies = [">predicted", ">upper"] if has_latency else []
    rows = table("nets that fit", ">params", ">MACs", *latencies, ">blocks", ">width", title=f"Found {METHODS[result['method']]}")
    for name, net in result["nets"].items():
        shown = [milliseconds(net["latency_ms_predicted"]), milliseconds(net["latency_ms_upper"])] if has_latency else []
        rows.add_row(
            _words(name), _tight(net["params"]), _tight(net["macs"]), *shown, str(net["depth"]), f"{net['mean_width']:.0f}"
        )
    return rows


def _tight(value: float) -> str:
    """A count whose unit stays on its line."""
    return count(value).replace(" ", "\N{NO-BREAK SPACE}")


def _times(result: Mapping[str, Any]) -> Table:
    rows = table("expected here", ">about", ">range", "of", title=f"On {result['device']}")
    for name, part in result.get("probes", {}).items():
        what = "teachers" if name == "teacher" else "ways to teach"
        rows.add_row(f"trying {what}", *_seconds(part["seconds"]), f"{part['nets']}, {part['steps']:,} steps together")
    for name, part in result["training"].items():
        done = " (is there already)" if part["is_done"] else ""
        of = f"{part['epochs']} epochs, {part['steps']:,} steps of {part['batch_size']} images"
        rows.add_row(escape(f"{name} ({part['net']}){done}"), *_seconds(part["seconds"]), of)
    search = result["search"]
    rows.add_row("search", *_seconds(search["seconds"]), f"{search['nets']} nets on {search['images']} images")
    proof = result.get("proof")
    if proof:
        last = f", {proof['last_nets']} of them for {proof['last_epochs']}" if proof["last_nets"] else ""
        of = f"{proof['nets']} nets for {proof['first_epochs']} epochs{last}"
        rows.add_row("its proof", *_seconds(proof["seconds"]), of)
    for name, part in result.get("retrain", {}).items():
        beside = f", {part['hand_designed']} hand-designed nets, a plain CNN" if name == "baseline" else ""
        label = "retrain --baseline" if name == "baseline" else "retrain"
        rows.add_row(label, *_seconds(part["seconds"]), f"the winner in {part['ways']} ways{beside}: {part['epochs']:,} epochs")
    return rows


def _seconds(value: Mapping[str, float]) -> tuple[str, str]:
    return duration(value["value"]), f"{duration(value['low'])} to {duration(value['high'])}"


def duration(seconds: float) -> str:
    """Seconds, minutes, hours or days for reading."""
    for factor, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 2 * factor:
            return f"{seconds / factor:.3g}\N{NO-BREAK SPACE}{unit}"
    return f"{seconds:.3g}\N{NO-BREAK SPACE}s"


def promises(bounds: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """Bounds on quantiles of calls with their coverage and slack on nets that fitted nothing; nothing without any."""
    if not bounds:
        return
    named = bounds.items() if isinstance(bounds, Mapping) else [("", bound) for bound in bounds]
    with_names = isinstance(bounds, Mapping)
    columns = ["limit"] if with_names else []
    rows = table(*columns, ">calls", ">confidence", ">x predicted", ">held for % [95 %]", ">above measured", title="Upper bounds")
    rows.columns[0].no_wrap = True
    for name, bound in named:
        kept, slack = bound["coverage"], bound["slack"]
        held = f"{100 * kept['value']:.0f} [{100 * kept['low']:.0f}, {100 * kept['high']:.0f}] of {kept['n']}" if kept["n"] else "–"
        cells = [bound["quantile"], f"{bound['confidence']:g}", f"{bound['factor']:.3f}", held, percent(slack["value"])]
        rows.add_row(*([escape(name)] if with_names else []), *cells)
    yield rows


def latencies(finalists: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """Latencies of the finalists on every device; nothing where limits have no names."""
    if not finalists or "latencies" not in finalists[0]:
        return
    names = list(finalists[0]["latencies"])
    rows = table("", *(f">{escape(name)}: predicted" for name in names), *(f">{escape(name)}: measured" for name in names))
    for position, finalist in enumerate(finalists, 1):
        found = [finalist["latencies"][name] for name in names]
        predicted = (milliseconds(values["predicted_ms"]) for values in found)
        rows.add_row(str(position), *predicted, *(milliseconds(values["measured_ms"]) for values in found))
    yield rows
