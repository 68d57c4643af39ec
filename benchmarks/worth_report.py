"""What a study of worth says: searched, hand-designed and plain nets by limit, fidelity, cost; as text, numbers and picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from scipy import stats as scipy_stats

from edgenas.runs import write_json, write_text
from edgenas.runs.versions import versions

KINDS = {"searched": "C0", "hand-designed": "C1", "plain CNN": "C2"}


def write(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], folder: Path) -> list[Path]:
    """Report, numbers and plots of everything that is done; ablations are a report of their own."""
    date = datetime.now(UTC)
    paths: list[Path] = []
    for name, mine in (
        ("worth_fashion-mnist", [row for row in rows if not row["variant"]]),
        ("worth_ablation", ablated(rows)),
    ):
        if not mine:
            continue
        stem = folder / f"{name}_{date:%Y%m}"
        text = ablation_text(mine, facts) if name.endswith("ablation") else worth_text(mine, facts, f"{stem.name}.png")
        content = {
            "schema_version": 1,
            "date": f"{date:%Y-%m-%d}",
            **facts,
            "versions": versions(),
            "rows": [brief(row) for row in mine],
        }
        write_text(stem.with_suffix(".md"), text.replace("DATE", f"{date:%Y-%m-%d}"))
        write_json(stem.with_suffix(".json"), content)
        paths += [stem.with_suffix(".md"), stem.with_suffix(".json")]
        if not name.endswith("ablation"):
            picture(mine, stem.with_suffix(".png"))
            paths.append(stem.with_suffix(".png"))
    return paths


def ablated(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The ablations, and the runs with the whole recipe that they are compared with; empty without ablations."""
    pairs = {(row["seed"], row["share"]) for row in rows if row["variant"]}
    return [row for row in rows if (row["seed"], row["share"]) in pairs]


def brief(row: Mapping[str, Any]) -> dict[str, Any]:
    """One searching with its retraining, without what is only of use inside its run."""
    nets = {name: _net(net) for name, net in nets_of(row).items()}
    return {
        **{name: row[name] for name in ("seed", "variant", "share", "limit_ms", "seconds")},
        "teacher": row["train"].get("teacher"),
        "supernet": row["train"]["supernet"]["select_top1"],
        "nets": nets,
        "comparison": row["retrain"].get("comparison"),
        "cnn_comparison": (row["retrain"].get("cnn") or {}).get("comparison"),
        "chosen": row["retrain"].get("chosen"),
        "cost": row["retrain"].get("cost"),
        "fidelity": row["search"].get("fidelity"),
        "winner_origin": row["search"]["winner"]["origin"],
        "winner_hand_designed": row["search"]["winner"].get("hand_designed", False),
    }


def _net(net: Mapping[str, Any]) -> dict[str, Any]:
    names = ("arch", "params", "macs", "weights", "teaching", "epochs", "select_top1", "top1", "starts")
    return {name: net.get(name) for name in (*names, "latency_ms_predicted", "latency_ms_measured", "width")}


def nets_of(row: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The nets of one retraining by kind."""
    found = {"searched": row["retrain"], "hand-designed": row["retrain"]["baseline"], "plain CNN": row["retrain"].get("cnn")}
    return {name: net for name, net in found.items() if net is not None}


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean over seeds with its t interval at 0.95; infinite with one seed."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, -math.inf, math.inf
    half = float(scipy_stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return mean, mean - half, mean + half


def _points(value: Mapping[str, Any], *, sign: bool = False) -> str:
    form = "+.1f" if sign else ".1f"
    return f"{100 * value['value']:{form}} [{100 * value['low']:{form}}, {100 * value['high']:{form}}]"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def worth_text(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], picture_name: str) -> str:
    """The report for a reader."""
    seeds = sorted({row["seed"] for row in rows})
    lines = [
        "# Searched nets against hand-designed ones on Fashion-MNIST",
        "",
        f"pvt-elastic-nano, {facts['per_class']} of 6,000 training images a class (divided into train, select, confirm and "
        f"calibrate), "
        f"the whole test set of 10,000, {len(seeds)} subsets (seeds {', '.join(map(str, seeds))}). DATE.",
        "",
        f"{facts['device']}; {', '.join(f'{name} {number}' for name, number in versions().items())}; one thread for training.",
        "",
        f"`{facts['command']}`",
        "",
        *_missing(rows, facts),
        f"All nets of a row are trained on the same images by the same recipe ({_teachings(rows)}) and from the starts that they "
        "may have; `select` decides which weights count. Test is read once per net, at the end. Latencies are measured in turn in "
        "one session; intervals over images are paired, at 0.95.",
        "",
        "| limit (share) | seed | searched, test % (ms) | best hand-made (ms) | difference | plain CNN (ms) | origin | deployed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: (row["limit_ms"], row["seed"])):
        nets = nets_of(row)
        cells = [
            f"{row['limit_ms']:g} ms ({100 * row['share']:g} %)",
            str(row["seed"]),
            *(_cell(nets.get(name)) for name in ("searched", "hand-designed")),
            _points(row["retrain"]["comparison"]["difference"], sign=True),
            _cell(nets.get("plain CNN")),
            row["search"]["winner"]["origin"],
            "hand-made" if row["retrain"].get("chosen") == "baseline" else "searched",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Deployed is the net that `retrain` chose on select and confirm, before test was read."]
    lines += ["", "| limit | searched − best hand-made, mean over seeds [t interval over seeds] [paired interval over images] "]
    lines[-1] += "| deployed − best hand-made | latency used, measured | predicted | searched − plain CNN |"
    lines += ["|---|---|---|---|---|---|", *(_limit_line(limit_ms, mine) for limit_ms, mine in _by_limit(rows))]
    lines += ["", f"![accuracy over latency]({picture_name})", "", *_teacher_lines(rows), "", *_fidelity_lines(rows), ""]
    lines += [*_start_lines(rows), "", *_cost_lines(rows), ""]
    return "\n".join(lines)


def _limit_line(limit_ms: float, rows: Sequence[Mapping[str, Any]]) -> str:
    """What the searches under one limit have in common."""
    differences = [row["retrain"]["comparison"]["difference"] for row in rows]
    mean, low, high = mean_interval([100 * each["value"] for each in differences])
    by_images = pooled_half(differences)
    shown = f"{mean:+.2f} [{low:+.2f}, {high:+.2f}] [{mean - by_images:+.2f}, {mean + by_images:+.2f}] (n = {len(rows)})"
    used = [_shares(rows, f"latency_ms_{how}", limit_ms) for how in ("measured", "predicted")]
    cnn = [100 * row["retrain"]["cnn"]["comparison"]["difference"]["value"] for row in rows if row["retrain"].get("cnn")]
    against = f"{np.mean(cnn):+.1f} ({min(cnn):+.1f} to {max(cnn):+.1f})" if cnn else "–"
    return f"| {limit_ms:g} ms | {shown} | {_deployed(rows)} | {' | '.join(used)} | {against} |"


def _deployed(rows: Sequence[Mapping[str, Any]]) -> str:
    """Points by which the deployed nets are ahead of the best hand-designed ones, which some of them are."""
    kept = [row["retrain"].get("chosen") != "baseline" for row in rows]
    ahead = [
        100 * row["retrain"]["comparison"]["difference"]["value"] if is_searched else 0.0
        for row, is_searched in zip(rows, kept, strict=True)
    ]
    return f"{np.mean(ahead):+.2f} ({min(ahead):+.1f} to {max(ahead):+.1f})"


def pooled_half(differences: Sequence[Mapping[str, Any]]) -> float:
    """Half of the paired interval of a mean difference, in points; seeds have other nets, so errors count as independent."""
    halves = [100 * (each["high"] - each["low"]) / 2 for each in differences]
    return math.sqrt(sum(half**2 for half in halves)) / len(halves)


def _shares(rows: Sequence[Mapping[str, Any]], name: str, limit_ms: float) -> str:
    """The searched nets' latencies as shares of the limit."""
    used = [row["retrain"][name] / limit_ms for row in rows if row["retrain"].get(name) is not None]
    return f"{np.mean(used):.2f} ({min(used):.2f} to {max(used):.2f})" if used else "–"


def _teachings(rows: Sequence[Mapping[str, Any]]) -> str:
    """What was tried for the searched nets, and so for all."""
    tried = sorted({start["teaching"] for row in rows for start in row["retrain"]["starts"]})
    return "tried with " + " and with ".join("labels alone" if name == "labels" else f"the {name}" for name in tried)


def _missing(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> list[str]:
    """That the hours did not suffice, where they did not."""
    if len(rows) >= facts["num_asked"]:
        return []
    return [f"**{len(rows)} of {facts['num_asked']} searches are done**; the same command goes on with the others.", ""]


def _cell(net: Mapping[str, Any] | None) -> str:
    if net is None:
        return "–"
    return f"{100 * net['top1']['value']:.1f} ({_ms(net.get('latency_ms_measured'))})"


def _by_limit(rows: Sequence[Mapping[str, Any]]) -> Iterable[tuple[float, list[Mapping[str, Any]]]]:
    for limit_ms in sorted({row["limit_ms"] for row in rows}):
        yield limit_ms, [row for row in rows if row["limit_ms"] == limit_ms]


def _teacher_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "## Teachers and supernets",
        "",
        "| seed | teacher | on select | smallest, random, largest subnet on select |",
        "|---|---|---|---|",
    ]
    for seed, row in {row["seed"]: row for row in rows}.items():
        teacher = row["train"]["teacher"]
        subnets = ", ".join(f"{100 * share['value']:.1f}" for share in row["train"]["supernet"]["select_top1"].values())
        cells = ("none", "–") if teacher is None else (teacher["name"], _points(teacher["select_top1"]))
        lines.append(f"| {seed} | {' | '.join(cells)} | {subnets} |")
    return lines


def _fidelity_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Kendall's tau of cheap rankings with the proof's nets alone."""
    found = [(row, row["search"]["fidelity"]) for row in rows if row["search"].get("fidelity") and row["search"]["fidelity"]["tau"]]
    if not found:
        return []
    names = list(found[0][1]["tau"])
    epochs = " or ".join(str(number) for number in sorted({fidelity["epochs"] for _, fidelity in found}))
    lines = [
        "## Fidelity",
        "",
        f"Kendall's tau with nets that were trained alone for {epochs} epochs in the proof, by what ranks them, "
        "[0.95]; in the band: within 5 % of one latency.",
        "",
        f"| limit | seed | nets | {' | '.join(names)} | in the band | {' | '.join(names)} |",
        "|---" * (4 + 2 * len(names)) + "|",
    ]
    for row, fidelity in sorted(found, key=lambda each: (each[0]["limit_ms"], each[0]["seed"])):
        cells = [f"{row['limit_ms']:g}", str(row["seed"]), str(fidelity["num_nets"])]
        cells += [_tau(fidelity["tau"].get(name)) for name in names]
        cells += [str(fidelity["num_band"]), *(_tau(fidelity["tau_band"].get(name)) for name in names)]
        lines.append(f"| {' | '.join(cells)} |")
    for where in ("tau", "tau_band"):
        means = []
        for name in names:
            values = [f[where][name]["value"] for _, f in found if f[where].get(name) and f[where][name]["value"] is not None]
            mean, low, high = mean_interval(values) if values else (math.nan,) * 3
            means.append(f"{name} {mean:.2f} [{low:.2f}, {high:.2f}]")
        lines += ["", f"Mean over searches, {'in the band' if where == 'tau_band' else 'all nets'}: {', '.join(means)}."]
    return lines


def _tau(value: Mapping[str, Any] | None) -> str:
    if value is None or value["value"] is None:
        return "–"
    return f"{value['value']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"


def _start_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """How the last training of every searched net went, by its start."""
    lines = [
        "## Starts of the searched net",
        "",
        "| limit | seed | start, teaching | epochs | on select | kept |",
        "|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: (row["limit_ms"], row["seed"])):
        net = row["retrain"]
        for start in net["starts"]:
            kept = (start["weights"], start["teaching"], start["epochs"]) == (net["weights"], net["teaching"], net["epochs"])
            cells = [f"{row['limit_ms']:g}", str(row["seed"]), f"{start['weights']}, {start['teaching']}", str(start["epochs"])]
            lines.append(f"| {' | '.join([*cells, _points(start['select_top1']), 'yes' if kept else ''])} |")
    return lines


def _cost_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ["## What it cost, minutes", "", "| limit | seed | train | search | retrain and baselines |", "|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda row: (row["limit_ms"], row["seed"])):
        minutes = [f"{row['seconds'][name] / 60:.1f}" for name in ("train", "search", "retrain")]
        lines.append(f"| {row['limit_ms']:g} | {row['seed']} | {' | '.join(minutes)} |")
    return lines


def ablation_text(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    """What each part of the recipe buys."""
    whole = {row["seed"]: 100 * row["retrain"]["top1"]["value"] for row in rows if not row["variant"]}
    limits = ", ".join(f"{limit_ms:g} ms" for limit_ms in sorted({row["limit_ms"] for row in rows}))
    lines = [
        "# What each part of the recipe buys on Fashion-MNIST",
        "",
        f"Limit {limits}, {facts['per_class']} training images a class, "
        f"seeds {', '.join(str(seed) for seed in sorted({row['seed'] for row in rows}))}. DATE.",
        "",
        f"`{facts['command']}`",
        "",
        "| recipe | searched on test %, by seed | difference to the whole recipe, mean over seeds [t interval] |",
        "|---|---|---|",
        f"| whole | {', '.join(f'{whole[seed]:.1f}' for seed in sorted(whole))} | |",
    ]
    for number, name in enumerate(facts["ablations"]):
        mine = {row["seed"]: row for row in rows if row["variant"].endswith(f"-{number}")}
        tops = {seed: 100 * mine[seed]["retrain"]["top1"]["value"] for seed in sorted(mine)}
        if tops:
            mean, low, high = mean_interval([top - whole[seed] for seed, top in tops.items()])
            shown = ", ".join(f"{top:.1f}" for top in tops.values())
            lines.append(f"| {name} | {shown} | {mean:+.1f} [{low:+.1f}, {high:+.1f}] |")
    return "\n".join([*lines, ""])


def picture(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Accuracy on test over measured latency; a line joins the nets of one limit and seed."""
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for row in rows:
        points = {
            name: (net["latency_ms_measured"], 100 * net["top1"]["value"])
            for name, net in nets_of(row).items()
            if net.get("latency_ms_measured") is not None
        }
        if {"searched", "hand-designed"} <= set(points):
            axes.plot(*zip(points["searched"], points["hand-designed"], strict=True), color="0.8", zorder=1)
        for name, (latency_ms, top1) in points.items():
            axes.scatter(latency_ms, top1, color=KINDS[name], zorder=2)
    for limit_ms in sorted({row["limit_ms"] for row in rows}):
        axes.axvline(limit_ms, color="0.6", linestyle="--", linewidth=0.8)
    for name, color in KINDS.items():
        axes.scatter([], [], color=color, label=name)
    axes.set(
        xlabel="measured latency, ms (dashed: limits)",
        ylabel="top-1 on test, %",
        title="Fashion-MNIST, one point a subset and limit",
    )
    axes.legend()
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
