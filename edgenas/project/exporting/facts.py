"""What the manifest of an artefact says of the net that it holds."""

from __future__ import annotations

from edgenas.deploy.artefact import Facts
from edgenas.project.exporting.source import Source
from edgenas.records import ArchitectureFacts, DataFacts, DecisionRule, SplitMetrics, WeightsFacts
from edgenas.runs.quick import quick_stages
from edgenas.runs.stages import ORDER
from edgenas.runs.versions import versions


def facts_of(source: Source, extras: tuple[str, ...] = ()) -> Facts:
    """Everything that the manifest says beside its files.

    Args:
        source: what is exported.
        extras: what else is written.
    """
    settings, images, final = source.project.settings, source.images, source.final
    counts = {name: sum(classes.values()) for name, classes in images.splits.class_counts.items()}
    return Facts(
        input_shape=source.shape,
        preprocessing=source.preprocessing,
        classes=images.class_names,
        positive=settings.data.positive,
        threshold=final.threshold,
        architecture=ArchitectureFacts(space=final.space, arch=final.arch, params=final.params, macs=final.macs),
        weights=WeightsFacts(origin=final.weights, sha256=final.sha256),
        data=DataFacts(source=images.source.name, fingerprint=images.splits.fingerprint, splits=counts),
        metrics=SplitMetrics(split="test", metrics=source.metrics),
        latency=final.latency,
        versions=versions(),
        decision=decision_of(source),
        gates=source.gates.limits,
        answers=source.answers,
        quick=tuple(stage for stage in quick_stages(source.project.run) if stage in ORDER),
        net=final.source,
        extras=extras,
    )


def decision_of(source: Source) -> DecisionRule:
    """The rule that ships."""
    final = source.final
    refer = None if final.choice is None or final.choice.refer is None else (final.choice.refer.low, final.choice.refer.high)
    return DecisionRule(
        rule="argmax" if final.threshold is None else "threshold",
        positive=source.project.settings.data.positive,
        threshold=final.threshold,
        choice=final.choice,
        refer=refer,
    )
