"""What a replay of search algorithms says: text, numbers and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from edgenas.exporters._host import cpu_name
from numpy.typing import NDArray

from edgenas.runs import atomic_path, write_json, write_text
from edgenas.runs.versions import versions

RANDOM = "random"
NUM_RESAMPLES = 10_000
AIM_OF = {"best": "accuracy", "early": "accuracy", "confirm": "accuracy", "evaluated": "accuracy", "volume": "front"}
CURVES = {"best_curve": "best net so far (top-1 on select, %)", "volume_curve": "hypervolume (% of that of all nets)"}


def write(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], folder: Path) -> list[Path]:
    """Report, numbers and picture."""
    date = datetime.now(UTC)
    stem = folder / f"search-replay_pvt-elastic-nano_{date:%Y%m}"
    told = summaries(rows)
    write_text(stem.with_suffix(".md"), text(told, facts, f"{stem.name}.png", f"{date:%Y-%m-%d}"))
    content = {
        "schema_version": 1,
        "date": f"{date:%Y-%m-%d}",
        **facts,
        "versions": versions(),
        "summaries": told,
        "by_seed": by_seed(rows),
    }
    write_json(stem.with_suffix(".json"), content)
    picture(rows, facts, [stem.with_suffix(".png")])
    return [stem.with_suffix(suffix) for suffix in (".md", ".json", ".png")]


def summaries(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds with intervals, and what of each is beyond random search, by limit and algorithm.

    The hypervolume is that of the search for accuracy and MACs, where there is one; the rest is of the search for accuracy.
    """
    result = []
    for quantile, name in dict.fromkeys((row["quantile"], row["algorithm"]) for row in rows):
        told: dict[str, Any] = {"quantile": quantile, "algorithm": name, "has_front": bool(of(rows, quantile, name, "front"))}
        for key, aim in AIM_OF.items():
            values_S, random_S = (
                np.array(
                    [row[key] for row in of(rows, quantile, each, aim) or of(rows, quantile, each, "accuracy")], dtype=np.float64
                )
                for each in (name, RANDOM)
            )
            told[key] = spread(values_S, np.zeros(1))
            if name != RANDOM and len(random_S):
                told[f"{key}_beyond_random"] = spread(values_S, random_S)
        result.append(told)
    return result


def by_seed(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The numbers of every seed, in their order, by limit, algorithm and aim."""
    result = []
    for quantile, name, aim in dict.fromkeys((row["quantile"], row["algorithm"], row["aim"]) for row in rows):
        mine = of(rows, quantile, name, aim)
        numbers = {key: [round(row[key], 6) for row in mine] for key in ("evaluated", "images", *AIM_OF) if key in mine[0]}
        result.append({"quantile": quantile, "algorithm": name, "aim": aim, **numbers})
    return result


def of(rows: Sequence[Mapping[str, Any]], quantile: float, algorithm: str, aim: str) -> list[Mapping[str, Any]]:
    """The rows of one algorithm under one limit."""
    wanted = (quantile, algorithm, aim)
    return [row for row in rows if (row["quantile"], row["algorithm"], row["aim"]) == wanted]


def spread(first_S: NDArray[np.float64], second_S: NDArray[np.float64]) -> dict[str, float]:
    """The difference of two means with its percentile bootstrap interval at 0.95; seeds of both are resampled."""
    rng = np.random.default_rng(0)
    means = [each_S[rng.integers(len(each_S), size=(NUM_RESAMPLES, len(each_S)))].mean(axis=1) for each_S in (first_S, second_S)]
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
    return {"value": float(first_S.mean() - second_S.mean()), "low": float(low), "high": float(high)}


def text(told: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], picture_name: str, date: str) -> str:
    """The report for a reader."""
    lines = _heading(facts, date)
    for at in facts["scenes"]:
        lines += [
            f"## At most {at['limit'] / 1e6:.2f} M MACs: {at['feasible']:,} nets, the best has {100 * at['best']:.2f} %",
            "",
            f"| algorithm | nets | best of {facts['budget'] // 3}, % | best of all, % | beyond random | hypervolume, % "
            "| beyond random | winner on confirm, % |",
            "|---|---|---|---|---|---|---|---|",
        ]
        mine = [each for each in told if each["quantile"] == at["quantile"]]
        for each in sorted(mine, key=lambda each: -each["best"]["value"]):
            cells = [f"{each['evaluated']['value']:.0f}", _percent(each["early"], 2)]
            for key in ("best", "volume"):
                beyond = each.get(f"{key}_beyond_random")
                mark = "" if key == "best" or each["has_front"] else " *"
                cells += [_percent(each[key], 2) + mark, "–" if beyond is None else _percent(beyond, 2, sign=True)]
            cells.append(_percent(each["confirm"], 2))
            lines.append(f"| {each['algorithm']} | {' | '.join(cells)} |")
        lines.append("")
    lines += [f"- {name} was left out: {reason}" for name, reason in facts["refused"].items()]
    lines += ["", f"![Best net and hypervolume over the nets evaluated]({picture_name})", ""]
    return "\n".join(lines)


def _heading(facts: Mapping[str, Any], date: str) -> list[str]:
    table, nets = facts["table"], facts["table"]["nets"]
    used = ", ".join(f"{name} {version}" for name, version in versions().items())
    scored = "; ".join(f"{name} is given {score} as its score" for name, score in facts["scored"].items())
    return [
        "# Search algorithms at equal budget, replayed on a table",
        "",
        f"`{facts['command'].strip()}`, {date}, {cpu_name()}, {used}.",
        "",
        f"The table: `{table['command']}`, {table['date']}. {sum(nets.values()):,} subnets of {table['space']} were evaluated once "
        f"on {table['data']} with a trained supernet's weights, on {facts['num_images']:,} images of *select* and on those of "
        f"*confirm*. {nets['part']:,} of them are all nets of the part of the space in which resolution, widths, depths and the "
        "reduction of the third stage are free: the space of this replay. A draw, a mutant or a child is one of its nets, so that "
        f"no answer is mapped or guessed. The table's rows: {_sizes(nets)}.",
        "",
        f"Every algorithm that is registered evaluates at most {facts['budget']} nets, {facts['seeds']} seeds each, from draws "
        f"alone ({_sizes(facts['sizes'])}); {scored}. Hypervolume is of MACs and accuracy on *select*, up to the limit and "
        "the lowest accuracy of the part, as a share of that of all nets within the limit; it is of a search for both, or, "
        "marked with an asterisk, of one for accuracy alone. Means over seeds, intervals bootstrapped over seeds at 0.95. One "
        f"image of *select* is {100 / facts['num_images']:.2f} points. The best net on *select* is not the best one on other "
        "images: the last column reads the net that a search for accuracy ends with on *confirm*.",
        "",
    ]


def _sizes(sizes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sizes.items())


def _percent(share: Mapping[str, float], digits: int, *, sign: bool = False) -> str:
    value, low, high = (100 * share[name] for name in ("value", "low", "high"))
    mark = "+" if sign else ""
    return f"{value:{mark}.{digits}f} [{low:{mark}.{digits}f}, {high:{mark}.{digits}f}]"


def picture(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], paths: Sequence[Path]) -> None:
    """Draw both curves of every algorithm, a row of panels a limit."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scenes = facts["scenes"]
    figure = Figure(figsize=(10, 3.6 * len(scenes) + 0.3), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    for place, (at, (curve, label)) in enumerate(((at, each) for at in scenes for each in CURVES.items()), 1):
        axes = figure.add_subplot(len(scenes), 2, place)
        for name in dict.fromkeys(row["algorithm"] for row in rows):
            aim = "front" if curve == "volume_curve" and of(rows, at["quantile"], name, "front") else "accuracy"
            curves_SK = 100 * np.array([row[curve] for row in of(rows, at["quantile"], name, aim)])
            if len(curves_SK) == 0:
                continue
            evaluated = facts["step"] * np.arange(1, curves_SK.shape[1] + 1)
            (line,) = axes.plot(
                evaluated, curves_SK.mean(axis=0), label=name, linewidth=1.3, linestyle="--" if name == RANDOM else "-"
            )
            margin_K = 1.96 * curves_SK.std(axis=0, ddof=1) / len(curves_SK) ** 0.5 if len(curves_SK) > 1 else 0.0
            axes.fill_between(
                evaluated, curves_SK.mean(axis=0) - margin_K, curves_SK.mean(axis=0) + margin_K, color=line.get_color(), alpha=0.15
            )
        if curve == "best_curve":
            axes.axhline(100 * at["best"], color="black", linewidth=0.8, linestyle=":", label="the best there is")
        axes.set_title(f"at most {at['limit'] / 1e6:.2f} M MACs ({at['feasible']:,} nets)", fontsize=9)
        axes.set_xlabel("nets evaluated", fontsize=8)
        axes.set_ylabel(label, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7, loc="lower right")
    figure.suptitle(f"Means of {facts['seeds']} seeds; bands are 1.96 standard errors", fontsize=10)
    for path in paths:
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=path.suffix.lstrip("."))
