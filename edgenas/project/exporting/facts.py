"""What the manifest of an artefact says of the net that it holds."""

from __future__ import annotations

from edgenas.deploy.artefact import Facts
from edgenas.deploy.sbom import Ancestor
from edgenas.project.acceptance import Sealed, decision_of
from edgenas.project.deployed import FinalNet
from edgenas.project.exporting.source import Source
from edgenas.project.rival_nets import OWN
from edgenas.records import (
    ArchitectureFacts,
    CheckpointFacts,
    DataFacts,
    SplitMetrics,
    WeightsFacts,
)
from edgenas.runs import sha256_file
from edgenas.runs.quick import quick_stages
from edgenas.runs.stages import ORDER, WEIGHTS
from edgenas.runs.versions import versions
from edgenas.training.headers import facts_in


def facts_of(source: Source, extras: tuple[str, ...] = (), sealed: Sealed | None = None) -> Facts:
    """Everything that the manifest says beside its files.

    Args:
        source: what is exported.
        extras: what else is written.
        sealed: the plan that the files were judged by.
    """
    settings, images, final = source.project.settings, source.images, source.final
    counts = {name: sum(classes.values()) for name, classes in images.splits.class_counts.items()}
    return Facts(
        input_shape=source.shape,
        preprocessing=source.preprocessing,
        classes=images.class_names,
        positive=settings.data.positive,
        threshold=final.threshold,
        architecture=_architecture(final),
        weights=WeightsFacts(origin=final.weights, sha256=final.sha256),
        data=DataFacts(source=images.source.name, fingerprint=images.splits.fingerprint, splits=counts),
        metrics=SplitMetrics(split="test", metrics=source.metrics),
        latency=final.latency,
        versions=versions(),
        decision=decision_of(settings.data.positive, final),
        gates=source.gates.limits,
        answers=source.answers,
        quick=tuple(stage for stage in quick_stages(source.project.run) if stage in ORDER),
        net=final.source,
        extras=extras,
        ancestors=ancestors_of(source),
        acceptance=None if sealed is None else (sealed.plan, sealed.facts),
    )


def _architecture(final: FinalNet) -> ArchitectureFacts:
    return ArchitectureFacts(
        space=final.space,
        arch=final.arch,
        params=final.params,
        macs=final.macs,
        ensemble=final.num_members if final.num_members > 1 else None,
    )


def ancestors_of(source: Source) -> tuple[Ancestor, ...]:
    """What the run's own nets learned from and started as, as far as their results say; nothing of a rival's."""
    if source.final.source not in OWN:
        return ()
    run, ancestors = source.project.run, list[Ancestor]()
    teacher, supernet = (CheckpointFacts.said_by(path, facts_in(path)) for path in (run.teacher / WEIGHTS, run.supernet / WEIGHTS))
    if teacher.members is not None:
        ancestors += [Ancestor("teacher", each.name, _licence(each.name), each.sha256) for each in teacher.members]
    elif teacher.teacher is not None:
        ancestors.append(Ancestor("teacher", teacher.teacher, _licence(teacher.teacher), sha256_file(run.teacher / WEIGHTS)))
    init = supernet.init
    return (*ancestors, *([] if init is None else [Ancestor("first weights", init.source, _licence(init.source), init.sha256)]))


def _licence(name: str) -> str | None:
    """What timm names for the weights that it publishes under a name; None where it publishes none."""
    import timm

    published = timm.get_pretrained_cfg(name.removeprefix("timm:"), allow_unregistered=True)
    licence: str | None = None if published is None else published.license
    return licence
