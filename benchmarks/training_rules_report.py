"""What a study of training says: every arm against the one that it differs from in one thing; text, numbers and a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from edgenas.exporters._host import cpu_name
from numpy.typing import NDArray

from edgenas.runs import write_json, write_text
from edgenas.runs.versions import versions
from edgenas.stats import paired_difference

EXPLAINED = (
    "Steps are equal, the work of a step is not: `even` trains 2.3 subnets on average, `adjacent` 2, `sandwich` here 3, the "
    "others 1; seconds are in the table, those of a machine that had other work beside. Inherited accuracy is with the supernet's "
    "weights; the median net is also fine-tuned. Which epoch's weights count is decided on *select*; *test* is read once an arm. "
    "Intervals are over images, paired, at 0.95; a difference is told only where it has one sign in all of several seeds. The "
    "smallest net of `vitas-nano` has no block, so that its class token sees no image: 10 % is chance. BCNet "
    "runs every subnet with its leading and its trailing channels, in training and inherited; the net that is fine-tuned takes the "
    "leading ones, which were trained as one half of a sum. `start` fills the supernet with weights selected from a ViT-Ti of timm "
    "(192 wide, 12 blocks, patches of 16 px) that was trained alone for 30 epochs on scikit-learn's digits at 32 px."
)
CLAIMS = {
    "BCNet": "ViTAS: BCNet's two sides train better nets than AutoSlim's one side",
    "BCNet, 5 times as long": "ViTAS: the same, five times as long",
    "uniform of AutoFormer": "AutoFormer: one uniformly drawn subnet a step trains better nets than the sandwich of as many steps",
    "uniform of AutoFormer, 3 times as long": "AutoFormer: the same against the sandwich of as many passes of subnets",
}
SHOWN = ("smallest", "median", "largest", "median, fine-tuned")


def write(
    rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], folder: Path, earlier: Mapping[str, Any] | None = None
) -> list[Path]:
    """Report, numbers and picture of everything that is done; nothing without a row.

    ``earlier`` are the numbers of an earlier report, of which every arm and comparison is taken over that is not done anew.
    """
    if not rows and earlier is None:
        return []
    date = datetime.now(UTC)
    stem = folder / f"training-rules_fashion-mnist_{date:%Y%m}"
    numbers, compared = [brief(row) for row in rows], comparisons(rows, facts)
    if earlier is not None:
        numbers = _with_earlier(numbers, earlier["rows"], facts, "arm", "seed")
        compared = _with_earlier(compared, earlier["comparisons"], facts, "arm", "net")
        facts = {**facts, "earlier": {"command": earlier["command"], "date": earlier["date"], "versions": earlier["versions"]}}
    write_text(stem.with_suffix(".md"), text(numbers, compared, facts, f"{stem.name}.png", f"{date:%Y-%m-%d}"))
    content = {"schema_version": 1, "date": f"{date:%Y-%m-%d}", **facts, "versions": versions(), "rows": numbers}
    write_json(stem.with_suffix(".json"), {**content, "comparisons": compared})
    picture(compared, stem.with_suffix(".png"))
    return [stem.with_suffix(suffix) for suffix in (".md", ".json", ".png")]


def _with_earlier(
    now: Sequence[dict[str, Any]], then: Sequence[dict[str, Any]], facts: Mapping[str, Any], *keys: str
) -> list[dict[str, Any]]:
    """What there is now, and of what there was then everything else, in the order of the arms."""
    known = {tuple(each[key] for key in keys) for each in now}
    every, arms = [*now, *(each for each in then if tuple(each[key] for key in keys) not in known)], list(facts["arms"])
    return sorted(every, key=lambda each: arms.index(each["arm"]))


def brief(row: Mapping[str, Any]) -> dict[str, Any]:
    """One arm of one seed, without the images."""
    top1 = {name: float(right_N.mean()) for name, right_N in row["right"].items()}
    return {**{name: row[name] for name in ("arm", "seed", "seconds", "epochs", "images", "sets")}, "top1": top1}


def comparisons(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every arm minus the one that it is compared with, over all seeds that both are done for, by net.

    The interval is over images, paired, all seeds' images together: it says nothing of other subsets or seeds, whose differences
    stand beside it.
    """
    done = {(row["arm"], row["seed"]): row for row in rows}
    result = []
    for name, arm in facts["arms"].items():
        seeds = [seed for other, seed in done if other == name and (arm["against"], seed) in done]
        if not seeds:
            continue
        for net in SHOWN:
            pairs = [(done[name, seed]["right"][net], done[arm["against"], seed]["right"][net]) for seed in sorted(seeds)]
            first_N, second_N = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
            difference = paired_difference(first_N, second_N, rng=np.random.default_rng(0))
            result.append(
                {
                    "arm": name,
                    "against": arm["against"],
                    "factor": arm["factor"],
                    "net": net,
                    "seeds": sorted(seeds),
                    "difference": {"value": difference.value, "low": difference.low, "high": difference.high},
                    "by_seed": [_mean(first) - _mean(second) for first, second in pairs],
                }
            )
    return result


def _mean(right_N: NDArray[np.bool_]) -> float:
    return float(right_N.mean())


def agree(compared: Mapping[str, Any]) -> bool:
    """Whether a difference is told from 0 by images and has one sign in all of several seeds."""
    difference, signs = compared["difference"], {math.copysign(1, value) for value in compared["by_seed"]}
    return len(compared["by_seed"]) > 1 and len(signs) == 1 and not difference["low"] <= 0 <= difference["high"]


def text(
    rows: Sequence[Mapping[str, Any]], compared: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], picture_name: str, date: str
) -> str:
    """The report for a reader."""
    lines = _heading(rows, facts, date)
    for name, arm in facts["arms"].items():
        mine = sorted((row for row in rows if row["arm"] == name), key=lambda row: row["seed"])
        if mine:
            cells = [", ".join(f"{100 * row['top1'][net]:.1f}" for row in mine) for net in SHOWN]
            seconds = ", ".join(f"{row['seconds']:.0f}" for row in mine)
            lines.append(f"| {name} | {arm['space']} | {mine[0]['epochs']} | {' | '.join(cells)} | {seconds} |")
    lines += [
        "",
        "Test accuracy in percent, by seed.",
        "",
        "| arm − against | " + " | ".join(SHOWN) + " |",
        "|---|" + "---|" * len(SHOWN),
    ]
    pairs = dict.fromkeys((each["arm"], each["against"]) for each in compared)
    for pair in pairs:
        cells = [_difference(each) for each in compared if (each["arm"], each["against"]) == pair]
        lines.append(f"| {pair[0]} − {pair[1]} | {' | '.join(cells)} |")
    lines += ["", "Points, with the interval over images and the seeds' own differences; **bold** where told.", ""]
    lines += [*claims(compared), ""]
    return "\n".join([*lines, f"![differences]({picture_name})", ""])


def _heading(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], date: str) -> list[str]:
    """What was run where, down to the head of the first table."""
    seeds = sorted({row["seed"] for row in rows})
    subsets = f"{len(seeds)} subset{'s' if len(seeds) > 1 else ''} (seeds {', '.join(map(str, seeds))})"
    return [
        "# Sampling rules and lessons on Fashion-MNIST, one factor at a time",
        "",
        f"{facts['per_class']} of 6,000 training images a class (divided into train, select, confirm and calibrate; "
        f"{rows[0]['images']:,} are trained on), the whole test set of 10,000; {subsets}. {date}.",
        "",
        f"{cpu_name()}, one thread; {', '.join(f'{name} {each}' for name, each in versions().items())}.",
        "",
        f"`{facts['command']}`",
        "",
        *_earlier_words(facts),
        f"Settings of all arms: {', '.join(f'`{each}`' for each in facts['sets'])}. {EXPLAINED}",
        "",
        "| arm | space | epochs | smallest | median | largest | median, fine-tuned | seconds of training |",
        "|---|---|---|---|---|---|---|---|",
    ]


def _earlier_words(facts: Mapping[str, Any]) -> list[str]:
    """Where arms are from that were not done anew."""
    earlier = facts.get("earlier")
    if earlier is None:
        return []
    return [f"Arms but those of the factor *start* and what they are compared with: `{earlier['command']}`, {earlier['date']}.", ""]


def claims(compared: Sequence[Mapping[str, Any]]) -> list[str]:
    """What becomes of the ancestors' claims here, a line each, by the median net."""
    result = []
    for each in compared:
        if each["arm"] not in CLAIMS or not each["net"].startswith("median"):
            continue
        how = "fine-tuned" if "fine-tuned" in each["net"] else "inherited"
        if not agree(each):
            outcome = "not told" if len(each["by_seed"]) > 1 else "not told by one subset"
        else:
            outcome = "better here" if each["difference"]["value"] > 0 else "worse here"
        result.append(f"- {CLAIMS[each['arm']]} ({how}): {outcome}, {_difference(each).strip('*')}.")
    return ["What becomes of the ancestors' claims, by the median net:", "", *result] if result else []


def _difference(compared: Mapping[str, Any]) -> str:
    value, low, high = (100 * compared["difference"][name] for name in ("value", "low", "high"))
    seeds = ", ".join(f"{100 * each:+.1f}" for each in compared["by_seed"])
    shown = f"{value:+.1f} [{low:+.1f}, {high:+.1f}] ({seeds})"
    return f"**{shown}**" if agree(compared) else shown


def picture(compared: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Differences with their intervals, a row an arm."""
    mpl.use("Agg")
    from matplotlib import pyplot

    pairs = list(dict.fromkeys((each["arm"], each["against"]) for each in compared))
    figure, axes = pyplot.subplots(figsize=(8, 1.2 + 0.55 * max(1, len(pairs))))
    for place, net in enumerate(SHOWN):
        mine = [each for each in compared if each["net"] == net]
        heights = [len(pairs) - 1 - pairs.index((each["arm"], each["against"])) + 0.24 - 0.16 * place for each in mine]
        values = [100 * each["difference"]["value"] for each in mine]
        errors = [[100 * abs(each["difference"][end] - each["difference"]["value"]) for each in mine] for end in ("low", "high")]
        axes.errorbar(values, heights, xerr=errors, fmt="o", markersize=4, label=net, color=f"C{place}", linewidth=1)
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(pairs)), [f"{first} − {second}" for first, second in reversed(pairs)])
    axes.set_xlabel("difference of test accuracy, points")
    figure.legend(fontsize=8, loc="upper center", ncols=len(SHOWN))
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.35 / figure.get_figheight()))
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
