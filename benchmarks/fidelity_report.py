"""What a study of fidelity says, as text: rankings, what judges nets best, regret, and the nets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TITLE = "# How well cheap rankings and short proofs rank nets"


def text_of(facts: Mapping[str, Any]) -> str:
    """A page of Markdown from the content of ``fidelity.json``."""
    return "\n".join([*_head(facts), *_rankings(facts), *_judges(facts), *_nets(facts)])


def _head(facts: Mapping[str, Any]) -> list[str]:
    names = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    nets = f"{len(facts['rows'])} nets, each trained alone for {facts['epochs']} epochs"
    band = (
        f"{facts['num_band']} within 5 % of one latency" if facts["band_ms"] else "none of them near enough to another in latency"
    )
    return [
        TITLE,
        "",
        f"{facts['source']}, {facts['space']}, limit {facts['limit_ms']} ms: {nets} as the proof of a search trains them, judged",
        f"on {facts['num_images']:,} training images that the run left out and that nothing was chosen by; {band}.",
        f"{facts['date']}, {names}.",
        "",
        f"`{facts['command']}`",
        "",
    ]


def _rankings(facts: Mapping[str, Any]) -> list[str]:
    lines = ["## Rankings", "", "Kendall's tau with accuracy alone, with its interval at 0.95.", ""]
    lines += ["| ranked by | all nets | near one latency |", "|---|---|---|"]
    for name, tau in facts["tau"].items():
        near = facts["tau_band"].get(name)
        lines.append(f"| {name} | {_tau(tau)} | {_tau(near) if near else '–'} |")
    regret = facts["regret"]
    told = f"The best of these nets is {_points(regret)} points better than the winner of the search."
    if regret["value"] == 0:
        told = "The winner of the search is itself the best of these nets: the regret is 0.0, without an interval."
    lines += ["", told, ""]
    return lines


def _judges(facts: Mapping[str, Any]) -> list[str]:
    lines = ["## What judges a proof", ""]
    lines += [
        f"So many of these images as select and confirm have ({facts['num_proof']:,}) judge, all others say how good a net is;",
        f"means over {facts['num_draws']} draws.",
        "",
        "| judged by | tau | points lost by taking the best |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {judge['tau']:.2f} | {100 * judge['regret']:.2f} |" for name, judge in facts["judges"].items()]
    return [*lines, ""]


def _nets(facts: Mapping[str, Any]) -> list[str]:
    lines = ["## Nets", "", "The first is the winner of the search.", ""]
    lines += [
        "| predicted ms | params | MACs | alone % | on select and confirm % | log-likelihood there |",
        "|---|---|---|---|---|---|",
    ]
    for row in facts["rows"]:
        sizes = f"{row['latency_ms_predicted']:.3f} | {row['params']:,.0f} | {row['macs']:,.0f}"
        lines.append(f"| {sizes} | {100 * row['alone']:.1f} | {100 * row['proof']:.1f} | {row['proof, log-likelihood']:.3f} |")
    return [*lines, ""]


def _tau(tau: Mapping[str, float]) -> str:
    return f"{tau['value']:.2f} [{tau['low']:.2f}, {tau['high']:.2f}]"


def _points(share: Mapping[str, float]) -> str:
    return f"{100 * share['value']:.1f} [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"
