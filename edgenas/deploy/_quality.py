"""What an artefact's README says of quality: figures with intervals, what it is for, what was judged, and what was not."""

from __future__ import annotations

from collections.abc import Sequence

from edgenas.escaping import markdown, markdown_code
from edgenas.records import EQUAL_WORD, LatencyFacts, Manifest, Metrics, Parity, Proportion
from edgenas.stats import wilson

_MANY = 12  # classes that are named in a sentence


def facts_table(manifest: Manifest) -> str:
    """Accuracy, sensitivity, false alarms, threshold, latency, data, net and date: a row each, as far as they are known."""
    rows = {**_figures(manifest), "Latency": _speed(manifest.latency), "Data": _data(manifest), "Net": _net(manifest)}
    rows["Date"] = manifest.created_on or "not written down"
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows.items() if text)])


def _figures(manifest: Manifest) -> dict[str, str]:
    """What was found on the images that judged it; a share with its 95 % interval and the images that it is of."""
    metrics, split = manifest.metrics.metrics, markdown(manifest.metrics.split)
    if not metrics.n:
        return {"Accuracy": "never judged"}
    top1 = metrics.top1 if metrics.threshold is None else metrics.top1_decision
    rows = {"Accuracy": f"{_share(top1)} of {metrics.n:,} images of {split}, by the rule below"}
    if metrics.positive is not None and metrics.positive in metrics.sensitivity:
        name, share = markdown_code(metrics.positive), metrics.sensitivity[metrics.positive]
        rows[f"Sensitivity for {name}"] = f"{_share(share)} of {share.n:,} images"
        alarms = false_alarms(metrics)
        if alarms is not None:
            rows["False alarms"] = f"{_share(alarms)} of {alarms.n:,} images of other classes are decided as {name}"
    elif metrics.sensitivity:
        worst = min(metrics.sensitivity, key=lambda name: metrics.sensitivity[name].value)
        share = metrics.sensitivity[worst]
        rows["Least found class"] = f"{markdown_code(worst)}: {_share(share)} of {share.n:,} images"
    if manifest.positive is not None and manifest.threshold is not None:
        rows["Threshold"] = f"{manifest.threshold:.6g} for {markdown_code(manifest.positive)}"
    else:
        rows["Threshold"] = "none: the most probable class is decided"
    return rows


def false_alarms(metrics: Metrics) -> Proportion | None:
    """The share of the other classes' images that are decided as the positive one; None where that was not counted."""
    names, rows = list(metrics.sensitivity), metrics.confusion_matrix
    if metrics.positive not in names or len(rows) != len(names):
        return None
    positive = names.index(metrics.positive)
    others = [row for index, row in enumerate(rows) if index != positive]
    return wilson(sum(row[positive] for row in others), sum(map(sum, others)))


def _speed(latency: LatencyFacts | None) -> str:
    if latency is None:
        return "never measured"
    table = latency.table
    where = "" if table is None else markdown(f" on {table.device}, {table.runtime} {table.precision}")
    if latency.latency_ms_measured is not None:
        return f"{latency.latency_ms_measured:.3g} ms (measured median of one image a call){where}"
    if latency.latency_ms_predicted is not None:
        return f"{latency.latency_ms_predicted:.3g} ms (predicted from a table, never measured){where}"
    return "never measured"


def _net(manifest: Manifest) -> str:
    made = manifest.architecture
    if not made.params:
        return "nothing is written down of it"
    together = f", the mean of {made.ensemble} nets" if made.ensemble is not None else ""
    return markdown(f"{made.space}{together}, {made.params:,} parameters, {made.macs:,} MACs, weights {manifest.weights.origin}")


def _data(manifest: Manifest) -> str:
    if not manifest.data.fingerprint:
        return "not written down"
    splits = ", ".join(f"{count:,} {name}" for name, count in manifest.data.splits.items())
    return markdown(f"{manifest.data.source}: {splits} images; fingerprint {manifest.data.fingerprint[:12]}")


def intended_use(manifest: Manifest) -> str:
    """What it is for, what it is not for, and what those who use it must know."""
    names = ", ".join(map(markdown_code, manifest.classes[:_MANY]))
    if len(manifest.classes) > _MANY:
        names += f" and {len(manifest.classes) - _MANY:,} others"
    origin = f"those of {markdown(manifest.data.source)}" if manifest.data.fingerprint else "those it was trained on"
    lines = [
        f"For images like {origin}, taken in the same way, each of which shows one of {names}. "
        "Whoever deploys it decides whether the figures above are enough for that, and has it judged on own images first.",
        "It always answers one of these classes, also for an image that shows none of them, and its probabilities are the net's "
        "own: nobody showed that 90 % of the answers of 0.9 are right.",
    ]
    metrics = manifest.metrics.metrics
    share = metrics.sensitivity.get(metrics.positive) if metrics.positive is not None else None
    if share is not None and share.n and metrics.positive is not None:
        missed = round((1 - share.value) * share.n)
        shown = f"that it finds {100 * share.low:.1f} % of all such images is shown, more is not"
        lines.append(f"It missed {missed:,} of the {share.n:,} images of {markdown_code(metrics.positive)}: {shown}.")
    return "\n".join(f"- {line}" for line in lines)


def quality(manifest: Manifest, parities: Sequence[Parity]) -> str:
    """A section of Markdown without its heading, from a manifest and the parity of its files."""
    metrics = manifest.metrics.metrics
    if not metrics.n:
        return ""
    lines = [
        _rule(manifest),
        _plan(manifest),
        *_conversion(parities),
        *_unseen(parities),
        *_accuracy(metrics, manifest.metrics.split),
        *_not_judged(manifest, metrics),
    ]
    return "\n".join(f"- {line}" for line in lines if line)


def _rule(manifest: Manifest) -> str:
    decision = manifest.decision
    if decision is None or decision.choice is None:
        return ""
    return f"Threshold {decision.choice.threshold:.6g}: {markdown(decision.choice.words)}."


def _plan(manifest: Manifest) -> str:
    """That the gates stood before anything was known of the images, or that they did not."""
    facts = manifest.acceptance
    if facts is None:
        return ""
    when = "" if facts.sealed_at is None else f", {facts.sealed_at}"
    said = f"Judged by the plan in {markdown_code(facts.path)} (SHA-256 {facts.plan_sha256[:12]}…{when}): {markdown(facts.words)}."
    return f"**Not the first plan.** {said}" if facts.was_changed else said


def _unseen(parities: Sequence[Parity]) -> list[str]:
    """What is to be expected of other images, where numbers were changed."""
    shown = [parity.emulated if parity.emulated is not None and not parity.gates else parity for parity in parities]
    bounds = [parity.unseen.words("images") for parity in shown if parity.unseen is not None and parity.word != EQUAL_WORD]
    return [f"Images that were not seen: {words}." for words in dict.fromkeys(bounds)]


def _conversion(parities: Sequence[Parity]) -> list[str]:
    """What the gates have compared; a verdict with its figures once."""
    lines = []
    for parity in parities:
        shown = parity.emulated if parity.emulated is not None and not parity.gates else parity
        how = "" if shown is parity else " (an emulation of the file, which could not run)"
        if shown.word == EQUAL_WORD and shown.equality is not None:
            lines.append(f"Likeness to the source{how}: {EQUAL_WORD} on {shown.num_images:,} images; {shown.equality.words}.")
        elif shown.decision.agreement is not None:
            same = _share(shown.decision.agreement)
            alike = f"{same} of {shown.num_images:,} images are decided alike"
            lines.append(f"Likeness to the source{how}: {alike}; the verdict of all gates: {shown.verdict}.")
    return list(dict.fromkeys(lines))


def _accuracy(metrics: Metrics, split: str) -> list[str]:
    """What the source got right, beside the most frequent class."""
    decided = f"decides {_share(metrics.top1_decision)} rightly" if metrics.threshold is not None else ""
    argmax = f"its argmax is right for {_share(metrics.top1)}"
    common = metrics.most_frequent
    always = (
        f"; always answering {markdown_code(common.class_name)} would be for {100 * common.share.value:.1f} %"
        if common is not None
        else ""
    )
    lines = [f"Quality on the {metrics.n:,} images of {split}: it {f'{decided}, ' if decided else 'is right: '}{argmax}{always}."]
    if metrics.positive is not None:
        share = metrics.sensitivity[metrics.positive]
        lines.append(f"It finds {_share(share)} of the {share.n:,} images of {markdown_code(metrics.positive)}.")
    doubts = metrics.doubts("the net")
    return [*lines, *([] if doubts is None else [f"**Nothing shows that it learned anything**: {markdown(str(doubts))}."])]


def _not_judged(manifest: Manifest, metrics: Metrics) -> list[str]:
    """What nobody looked at."""
    gates = manifest.gates or {}
    asked = [name for name in gates if name == "min_sensitivity" or name.startswith("sensitivity[")]
    if asked:
        floors = f"A floor on quality was a gate: {', '.join(f'{name} >= {gates[name]:g}' for name in asked)}."
    else:
        floors = "No floor on quality was a gate: the verdict says that the files decide as their source does, not that it is good."
    sites = "" if metrics.sites else " Of other sites, cameras or years than those of these images nothing is known."
    not_judged = f"Not judged: other images than these, and classes that are none of those above.{sites}"
    unrun = [file.path for file in manifest.files if file.emulation is not None and file.kind == "engine"]
    engines = f"How {', '.join(map(markdown_code, unrun))} decides on its GPU is shown only where the table of files says passed."
    return [
        floors,
        not_judged,
        engines if unrun else "",
        "Not measured: latency on any other device, runtime or precision than above.",
    ]


def _share(share: Proportion) -> str:
    return f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"
