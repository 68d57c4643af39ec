"""What a study of comparisons says: nets by limit, with equal epochs and equal time; as text, numbers and picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.worth_report import mean_interval
from edgenas.runs import write_json, write_text
from edgenas.runs.versions import versions

Row = Mapping[str, Any]
COLOURS = {"searched": "tab:red", "hand": "tab:orange", "cnn": "tab:green"}
CLOSE = 0.005  # of the best net's accuracy: the study's question


def write(rows: Sequence[Row], facts: Mapping[str, Any], folder: Path) -> list[Path]:
    """Report, numbers and picture of everything that is done; nothing where nothing is."""
    if not rows:
        return []
    date = datetime.now(UTC)
    stem = folder / f"compare_{facts['data']}_{date:%Y%m}"
    folder.mkdir(parents=True, exist_ok=True)
    content = {"schema_version": 1, "date": f"{date:%Y-%m-%d}", **facts, "versions": versions(), "rows": [*map(brief, rows)]}
    write_json(stem.with_suffix(".json"), content)
    picture(rows, stem.with_suffix(".png"), facts["positive"])
    write_text(stem.with_suffix(".md"), "\n".join(text(rows, facts, f"{stem.name}.png", f"{date:%Y-%m-%d}")) + "\n")
    return [stem.with_suffix(suffix) for suffix in (".md", ".json", ".png")]


def brief(row: Row) -> dict[str, Any]:
    """One comparison without what is only of use inside its run."""
    result = row["result"]
    names = ("limit_ms", "equal", "epochs", "seconds", "winner", "verdict", "left_out")
    dropped = ("confusion_matrix", "starts", "folder", "sites")
    nets = [{name: value for name, value in net.items() if name not in dropped} for net in result["nets"]]
    return {
        **{name: row[name] for name in ("space", "seed", "share", "seconds")},
        **{name: result[name] for name in names},
        "nets": nets,
    }


def groups(rows: Sequence[Row]) -> Iterator[tuple[float, str, str, list[Row]]]:
    """Limit, kind of equality and space, with the seeds of each."""
    keys = dict.fromkeys((row["result"]["limit_ms"], row["equal"], row["space"]) for row in rows)
    for limit_ms, equal, space in sorted(keys):
        mine = [row for row in rows if (row["result"]["limit_ms"], row["equal"], row["space"]) == (limit_ms, equal, space)]
        yield limit_ms, equal, space, mine


def text(rows: Sequence[Row], facts: Mapping[str, Any], picture_name: str, date: str) -> Iterator[str]:
    """The report for a reader."""
    seeds = sorted({row["seed"] for row in rows})
    subset = "" if facts["per_class"] is None else f", {facts['per_class']} training images a class before they are divided"
    yield f"# Searched nets beside their rivals: {facts['data']}"
    yield ""
    yield f"{', '.join(sorted({row['space'] for row in rows}))}; {len(seeds)} seeds ({', '.join(map(str, seeds))}){subset}. {date}."
    yield ""
    table = next((row["result"]["table"] for row in rows if row["result"].get("table")), None)
    device = "nothing was timed" if table is None else f"{table['device']}, {table['runtime']} {table['precision']}, one thread"
    yield f"{device}; {', '.join(f'{name} {number}' for name, number in versions().items())}."
    yield ""
    yield f"`{facts['command']}`"
    yield ""
    if len(rows) < facts["num_asked"]:
        yield f"**{len(rows)} of {facts['num_asked']} comparisons are done.** {' '.join(facts['ended_early'])}"
        yield ""
    yield f"![accuracy over measured latency]({picture_name})"
    for limit_ms, equal, space, mine in groups(rows):
        yield ""
        yield f"## {space} within {limit_ms:g} ms, equal {equal}"
        yield ""
        yield from _answer(mine)
        if len(mine) == 1:
            yield "One seed: intervals are those of its test images, and say nothing of another training."
        yield ""
        yield from _table(mine, facts["positive"])
        yield ""
        for row in mine:
            yield f"- seed {row['seed']}: {row['result']['verdict']}"


def _answer(mine: Sequence[Row]) -> Iterator[str]:
    """How often the searched net is the best within the limit, or within half a point of it."""
    gaps = []
    for row in mine:
        ours, *rivals = row["result"]["nets"]
        fitting = [net["top1"]["value"] for net in rivals if net["fits"] is not False and net["parity"] != "failed"]
        if fitting:
            gaps.append(max(fitting) - ours["top1"]["value"])
    if not gaps:
        yield "No rival fits."
        return
    mean, low, high = mean_interval([100 * gap for gap in gaps])
    ahead, close = sum(gap <= 0 for gap in gaps), sum(0 < gap <= CLOSE for gap in gaps)
    many = "" if len(gaps) == 1 else "s"
    over = f"{mean:.2f} points" if len(gaps) == 1 else f"{mean:.2f} [{low:.2f}, {high:.2f}] points (over seeds)"
    yield (
        f"Best of all in {ahead} of {len(gaps)} seed{many}, within {100 * CLOSE:g} points of the best in {close} more; "
        f"the best rival of each seed is ahead by {over}."
    )


def _table(mine: Sequence[Row], positive: str) -> Iterator[str]:
    """One row a net: means over the seeds in which it took part, and how the corrected tests went."""
    shares = f"sensitivity {positive} % | false alarms %"
    yield f"| net | seeds | px | latency ms | epochs | minutes | top-1 % | searched ahead by | tests | {shares} |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|---|--:|--:|"
    by_family: dict[str, list[Row]] = {}
    for row in mine:
        for net in row["result"]["nets"]:
            by_family.setdefault(net["kind"] if net["kind"] != "timm" else net["family"], []).append(net)
    for name, nets in sorted(by_family.items(), key=lambda item: -_mean(item[1], "top1")):
        models = dict.fromkeys(net["name"] for net in nets)
        shown = name if list(models) == [name] else f"{name} ({', '.join(models)})"
        tests = Counter(net.get("better") for net in nets if net.get("better") is not None)
        told = ", ".join(f"{outcome} {num}" for outcome, num in sorted(tests.items())) or "–"
        ahead = _shares([net["difference"] for net in nets if net["difference"] is not None], sign="+")
        sensitivity = _shares([net["sensitivity"][positive] for net in nets])
        alarms = _shares([net["false_alarms"] for net in nets if net.get("false_alarms")])
        sides = "/".join(str(side) for side in dict.fromkeys(net["image_px"] for net in nets))
        cells = [shown, str(len(nets)), sides, _number([net["latency_ms_measured"] for net in nets], 3)]
        cells += [_number([net["epochs"] for net in nets], 0), _number([_minutes(net) for net in nets], 1)]
        top1 = _shares([net["top1"] for net in nets])
        yield "| " + " | ".join([*cells, top1, ahead, told, sensitivity, alarms]) + " |"


def _minutes(net: Row) -> float | None:
    return None if net["seconds"] is None else net["seconds"] / 60


def _mean(nets: Sequence[Row], key: str) -> float:
    return float(np.mean([net[key]["value"] for net in nets]))


def _number(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    return f"{float(np.mean(known)):.{digits}f}" if known else "–"


def _shares(found: Sequence[Row], *, sign: str = "") -> str:
    """Percent: of one seed with the interval over its images, of several their mean, of differences with that over the seeds."""
    if not found:
        return "–"
    if len(found) == 1:
        value, low, high = (100 * found[0][name] for name in ("value", "low", "high"))
    else:
        value, low, high = mean_interval([100 * each["value"] for each in found])
        if not sign:
            return f"{value:{sign}.1f}"
    return f"{value:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"


def picture(rows: Sequence[Row], path: Path, positive: str) -> None:
    """Accuracy, and below it the positive's sensitivity, over measured latency: a column for every limit and kind of equality.

    Bars span the seeds; of one seed they are the interval over its images.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = sorted({(row["equal"], row["result"]["limit_ms"]) for row in rows})
    figure = Figure(figsize=(max(7.0, 4.6 * len(columns)), 7.2), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    for number, (equal, limit_ms) in enumerate(columns):
        mine = [row for row in rows if (row["equal"], row["result"]["limit_ms"]) == (equal, limit_ms)]
        for line, what in enumerate(("top-1", f"sensitivity {positive}")):
            axes = figure.add_subplot(2, len(columns), line * len(columns) + number + 1)
            _panel(axes, mine, None if line == 0 else positive)
            axes.axvline(limit_ms, color="black", linestyle="--", linewidth=0.8)
            axes.set(xlabel="measured latency (ms)", ylabel=f"{what} on test (%)")
            axes.set_title(f"within {limit_ms:g} ms, equal {equal}", fontsize=9)
            axes.grid(alpha=0.25)
    figure.savefig(path)


def _panel(axes: Any, rows: Sequence[Row], positive: str | None) -> None:
    """Every net as a point with its bar and its name."""
    points: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        for net in row["result"]["nets"]:
            name = f"searched {row['space']}" if net["kind"] == "searched" else net["name"]
            points.setdefault((net["kind"], name), []).append(net)
    for (kind, name), nets in points.items():
        timed = [net for net in nets if net["latency_ms_measured"] is not None]
        if not timed:
            continue
        x = float(np.mean([net["latency_ms_measured"] for net in timed]))
        found = [net["top1"] if positive is None else net["sensitivity"][positive] for net in timed]
        middle = float(np.mean([each["value"] for each in found]))
        ends = ("low", "high") if len(found) == 1 else ("value", "value")
        low, high = min(each[ends[0]] for each in found), max(each[ends[1]] for each in found)
        span = [[max(0.0, 100 * (middle - low))], [max(0.0, 100 * (high - middle))]]
        colour, marker = COLOURS.get(kind, "tab:blue"), "*" if kind == "searched" else "o"
        size = 11 if marker == "*" else 5
        axes.errorbar(x, 100 * middle, yerr=span, capsize=2, color=colour, marker=marker, markersize=size)
        axes.annotate(name, (x, 100 * middle), xytext=(4, 3), textcoords="offset points", fontsize=6)
