"""What a latency study says: error shares, rank correlations, and the report as text, numbers and picture. Shapes: A nets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.latency.fit import bootstrap_mean, kendall_tau, mape
from edgenas.latency.table import slug
from edgenas.report.scatter import scatter_plot
from edgenas.runs import write_json, write_text
from edgenas.stats import wilson

Floats = NDArray[np.float64]
NEAR = 0.2  # nets within this share of the budget are compared with each other too


def scores(predicted_A: Floats, measured_A: Floats) -> dict[str, Any]:
    """Error shares with intervals, and rank correlations: of all nets, and of those near the median as a budget."""
    error_A = np.abs(predicted_A / measured_A - 1)
    budget = float(np.median(measured_A))
    near_A = np.abs(measured_A / budget - 1) <= NEAR
    return {
        "mape": mape(predicted_A, measured_A),
        "mape_interval": bootstrap_mean(error_A).as_json(),
        "within_5": wilson(int((error_A <= 0.05).sum()), len(error_A)).as_json(),
        "within_10": wilson(int((error_A <= 0.10).sum()), len(error_A)).as_json(),
        "p95_error": float(np.quantile(error_A, 0.95)),
        "bias": float((predicted_A / measured_A - 1).mean()),
        "kendall_tau": kendall_tau(predicted_A, measured_A),
        "kendall_tau_near_budget": kendall_tau(predicted_A[near_A], measured_A[near_A]),
        "num_near_budget": int(near_A.sum()),
    }


def markdown(report: Mapping[str, Any], picture: str) -> str:
    """The report for a reader."""
    context = report["context"]
    lines = [
        f"# Latency of {report['space']} on {context['device']}",
        "",
        f"{context['runtime']} {context['runtime_version']}, {context['precision']}, batch {context['batch_size']}, "
        f"{context['threads']} thread(s), {_image_px(report)}, {report['date']}.",
        f"`{report['command']}`",
        "",
        f"{report['num_held_out']} random nets that fitted nothing ({report['measured_ms']['min']:.2f} to "
        f"{report['measured_ms']['max']:.2f} ms), each timed in two sessions; {report['num_nets_profiled']} nets profiled in "
        f"{report['seconds']['profile'] / 60:.1f} min, {report['num_calibration_nets']} of them whole nets for calibration and "
        f"{report['num_bound_nets']} behind the bounds.",
        f"Noise floor between the two sessions: MAPE {report['noise_floor_mape']:.2%}, tau {report['noise_floor_tau']:.3f}; "
        f"{report['noise_floor_within_5']:.1%} of the nets repeat within 5 %.",
        "",
        "| way | MAPE | ±5 % | ±10 % | p95 error | bias | tau | tau near the budget |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, found in report["methods"].items():
        interval = found["mape_interval"]
        lines.append(
            f"| {name} | {found['mape']:.2%} ({interval['low']:.2%} to {interval['high']:.2%}) | "
            f"{found['within_5']['value']:.1%} | {found['within_10']['value']:.1%} | {found['p95_error']:.1%} | "
            f"{found['bias']:+.1%} | {found['kendall_tau']:.3f} | {found['kendall_tau_near_budget']:.3f} |"
        )
    near = next(iter(report["methods"].values()))["num_near_budget"]
    lines += ["", f"Tau near the budget: {near} nets within ±{NEAR:.0%} of the median.", ""]
    lines += ["| bound on | confidence | held (95 % interval) | above, on average | at the profile's speed | above |"]
    lines += ["|---|---|---|---|---|---|"]
    for bound in report["bounds"]:
        what = "what is predicted" if bound["of"] == "level" else f"{bound['of']} of a net's calls"
        cells = [what, f"{bound['confidence']:g}"]
        for suffix in ("", "_at_speed"):
            covers, above = bound[f"coverage{suffix}"], bound[f"slack{suffix}"]["value"]
            cells += [f"{covers['value']:.1%} ({covers['low']:.1%} to {covers['high']:.1%})", f"{above:.1%}"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "What is predicted is compared beside a reference net, so that a slower hour slows both. Bounds on calls are on the",
    ]
    lines += [
        f"plain distribution of calls. By the reference net these sessions ran {report['speed']:.3f} times as long as the profile;"
    ]
    lines += ["the last two columns take that off, as `edgenas search` does when it measures finalists."]
    lines += ["", f"![predicted against measured]({picture})", ""]
    return "\n".join(lines)


def _image_px(report: Mapping[str, Any]) -> str:
    """Of the images that the nets read."""
    sizes = sorted({row["arch"].get("resolution_px", report["task"]["image_px"]) for row in report["rows"]})
    return f"{' and '.join(map(str, sizes))} px"


def write(report: Mapping[str, Any], folder: Path, stem: str) -> list[Path]:
    """Report as text, numbers and picture."""
    paths = [folder / f"{stem}.md", folder / f"{stem}.json", folder / f"{stem}.png"]
    write_text(paths[0], markdown(report, paths[2].name))
    write_json(paths[1], report)
    rows = report["rows"]
    title = (
        f"{report['space']}, {report['context']['runtime']} on {report['context']['device']}: {len(rows)} nets that fitted nothing"
    )
    scatter_plot(
        [row["measured_ms"] for row in rows],
        {name: [row["predicted_ms"][name] for row in rows] for name in report["methods"]},
        title=title,
        paths=[paths[2]],
    )
    return paths


def stem_of(report: Mapping[str, Any]) -> str:
    """``latency-<space>_<device>_<runtime>_<precision>_<yyyymm>``."""
    context = report["context"]
    parts = [
        f"latency-{report['space']}",
        context["device"],
        context["runtime"],
        context["precision"],
    ]
    return "_".join([*map(slug, parts), report["date"][:7].replace("-", "")])
