"""What a study of coverage says: per session and pooled, of chosen and of random nets, as numbers and text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.latency import QUANTILES, LatencyTable, Promise
from edgenas.latency.fit import bootstrap_mean
from edgenas.latency.table import slug
from edgenas.runs import write_json, write_text
from edgenas.spaces import Genes, SearchSpace
from edgenas.stats import Proportion, wilson

CONFIDENCE, WANTED = 0.95, (0.93, 0.97)
GROUPS = ("chosen", "random")

Floats = NDArray[np.float64]


def coverage_report(table: LatencyTable, space: SearchSpace, genes_AG: Genes, sessions: Mapping[str, Any]) -> dict[str, Any]:
    """Coverage of every bound, raw, with Wilson intervals.

    Args:
        table: whose bounds are judged.
        space: of the table.
        genes_AG: nets; those at even places are chosen, the others random.
        sessions: by name: quantiles in milliseconds of the first nets, the calls behind them, how much slower the machine was.
    """
    predicted_A = table.to_cost_model(space, table.task)(genes_AG)
    promises = {"all": table.promise, "first": Promise(table.bound_nets, table.checks)}
    factors: dict[str, dict[str, float]] = {
        name: {quantile: promise.bound(quantile, CONFIDENCE).factor for quantile in QUANTILES} for name, promise in promises.items()
    }
    rows = []
    for name, session in sessions.items():
        measured_AQ = np.array(session["ms"])
        for at, group in enumerate(GROUPS):
            rows.append(_judged(name, group, measured_AQ[at::2], predicted_A[: len(measured_AQ)][at::2], factors))
    pooled = []
    for at, group in enumerate(GROUPS):
        measured_AQ = np.concatenate([np.array(session["ms"])[at::2] for session in sessions.values()])
        same_A = np.concatenate([predicted_A[: len(session["ms"])][at::2] for session in sessions.values()])
        num_nets = max(len(np.array(session["ms"])[at::2]) for session in sessions.values())
        pooled.append(_judged("all", group, measured_AQ, same_A, factors, num_nets))
    return {
        "schema_version": 1,
        "table_sha256": table.sha256,
        "context": table.context.as_json(),
        "space": space.name,
        "confidence": CONFIDENCE,
        "wanted": list(WANTED),
        "num_table_sessions": 1 + len(table.sessions),
        "num_bound_nets": len(table.bound_nets),
        "factors": factors,
        "between": {bound.quantile: bound.between for bound in table.promise.bounds(CONFIDENCE)},
        "sessions": {name: {key: value for key, value in session.items() if key != "ms"} for name, session in sessions.items()},
        "rows": rows,
        "pooled": pooled,
        "nets": {
            "arch": [space.to_json(genes_G) for genes_G in genes_AG],
            "predicted_ms": predicted_A.tolist(),
            "measured_ms": {name: session["ms"] for name, session in sessions.items()},
        },
    }


def _judged(
    session: str,
    group: str,
    measured_AQ: Floats,
    predicted_A: Floats,
    factors: Mapping[str, Mapping[str, float]],
    num_nets: int | None = None,
) -> dict[str, Any]:
    """Coverage of a group's nets in a session, by the bounds of all sessions of the table, and of its first alone.

    Where rows are of several sessions, ``num_nets`` is how many different nets they are of.
    """
    by_quantile, num = {}, len(predicted_A) if num_nets is None else num_nets
    for place, quantile in enumerate(QUANTILES):
        ratio_A = measured_AQ[:, place] / predicted_A
        kept = {name: int((ratio_A <= of[quantile]).sum()) for name, of in factors.items()}
        by_quantile[quantile] = {
            "coverage": _of_nets(kept["all"] / len(ratio_A), num).as_json(),
            "coverage_by_first": _of_nets(kept["first"] / len(ratio_A), num).as_json(),
            "slack": bootstrap_mean(factors["all"][quantile] / ratio_A - 1.0).as_json(),
            "ratio": bootstrap_mean(ratio_A).as_json(),
        }
    return {"session": session, "group": group, "num_nets": num, "quantiles": by_quantile}


def _of_nets(share: float, num: int) -> Proportion:
    """A share with Wilson's interval of so many nets; between two numbers of nets it reaches over both."""
    low, high = (wilson(int(whole), num) for whole in (math.floor(share * num + 1e-9), math.ceil(share * num - 1e-9)))
    return Proportion(share, low.low, high.high, num)


def markdown(report: Mapping[str, Any]) -> str:
    """The report for a reader."""
    context = report["context"]
    low, high = report["wanted"]
    lines = [
        f"# Bounds of {report['space']} for nets that searches chose, on {context['device']}",
        "",
        f"{context['runtime']} {context['runtime_version']}, {context['precision']}, batch {context['batch_size']}, "
        f"{context['threads']} thread(s), {report['date']}.",
        f"`{report['command']}`",
        "",
        f"Bounds asked for {report['confidence']:.0%}, from {report['num_bound_nets']} nets in {report['num_table_sessions']} "
        f"session(s) of the table; wanted {low:.0%} to {high:.0%}. Intervals (Wilson, 95 %) are over nets: those of one session",
        "share its speed and are above or below together, and a net that several sessions timed counts once. So no interval here",
        "says how another session would fare; how far sessions lie apart is seen by comparing their rows.",
        "",
        "| session | began | times as long as the table's | calls a net | nets |",
        "|---|---|---|---|---|",
    ]
    for name, session in report["sessions"].items():
        num = sum(row["num_nets"] for row in report["rows"] if row["session"] == name)
        lines.append(f"| {name} | {session['began']} | {session['speed']:.3f} | {session['calls']} | {num} |")
    lines += ["", "| bound | x predicted | by the table's first session alone |", "|---|---|---|"]
    lines += [
        f"| {name} | {factor:.3f} | {report['factors']['first'][name]:.3f} |" for name, factor in report["factors"]["all"].items()
    ]
    headings = (
        "session",
        "nets",
        "bound",
        "held",
        "by the table's first session alone",
        "above, on average",
        "measured / predicted",
    )
    lines += ["", f"| {' | '.join(headings)} |", "|---|---|---|---|---|---|---|"]
    for row in (*report["rows"], *report["pooled"]):
        for quantile, found in row["quantiles"].items():
            cells = [row["session"], f"{row['num_nets']} {row['group']}", quantile]
            cells += [_interval(found["coverage"]), _interval(found["coverage_by_first"]), f"{found['slack']['value']:+.1%}"]
            ratio = found["ratio"]
            cells.append(f"{ratio['value']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _interval(share: Mapping[str, Any]) -> str:
    return f"{share['value']:.1%} ({share['low']:.1%} to {share['high']:.1%})"


def write(report: Mapping[str, Any], folder: Path, stem: str) -> list[Path]:
    """Report as text and numbers."""
    paths = [folder / f"{stem}.md", folder / f"{stem}.json"]
    write_text(paths[0], markdown(report))
    write_json(paths[1], report)
    return paths


def stem_of(report: Mapping[str, Any]) -> str:
    """``coverage-<space>_<device>_<runtime>_<precision>_<yyyymm>``."""
    context = report["context"]
    parts = [f"coverage-{report['space']}", context["device"], context["runtime"], context["precision"]]
    return "_".join([*map(slug, parts), report["date"][:7].replace("-", "")])
