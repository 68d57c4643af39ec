"""What an artefact's README says of quality: what was judged, on which images, and what was not."""

from __future__ import annotations

from collections.abc import Sequence

from edgenas.escaping import markdown, markdown_code
from edgenas.records import EQUAL_WORD, Manifest, Metrics, Parity, Proportion


def quality(manifest: Manifest, parities: Sequence[Parity]) -> str:
    """A section of Markdown without its heading, from a manifest and the parity of its files."""
    if not manifest.metrics:  # a folder that was made without a report
        return ""
    metrics = manifest.metrics.metrics
    lines = [_rule(manifest), *_conversion(parities), *_accuracy(metrics, manifest.metrics.split), *_not_judged(manifest, metrics)]
    return "\n".join(f"- {line}" for line in lines if line)


def _rule(manifest: Manifest) -> str:
    decision = manifest.decision
    if decision is None or decision.choice is None:
        return ""
    return f"Threshold {decision.choice.threshold:.6g}: {markdown(decision.choice.words)}."


def _conversion(parities: Sequence[Parity]) -> list[str]:
    """What the gates have compared; a verdict with its figures once."""
    lines = []
    for parity in parities:
        shown = parity.emulated if parity.emulated is not None and not parity.gates else parity
        how = "" if shown is parity else " (an emulation of the file, which could not run)"
        if shown.word == EQUAL_WORD and shown.equality is not None:
            lines.append(f"Likeness to the source{how}: {EQUAL_WORD} on {shown.num_images} images; {shown.equality.words}.")
        elif shown.decision.agreement is not None:
            same = _share(shown.decision.agreement)
            alike = f"{same} of {shown.num_images} images are decided alike"
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
    lines = [f"Quality on the {metrics.n} images of {split}: it {f'{decided}, ' if decided else 'is right: '}{argmax}{always}."]
    if metrics.positive is not None:
        found = metrics.sensitivity[metrics.positive]
        lines.append(f"It finds {_share(found)} of the {found.n} images of {markdown_code(metrics.positive)}.")
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
    return [floors, f"Not judged: other images than these, and classes that are none of those above.{sites}"]


def _share(share: Proportion) -> str:
    return f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"
