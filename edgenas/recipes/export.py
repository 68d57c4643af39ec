"""`edgenas export`: write the final net and prove, image by image, that it still answers the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgenas import __version__
from edgenas.config import Flags
from edgenas.data.images import Images, decode
from edgenas.deploy.artefact import Facts, require_writable, write_artefact
from edgenas.deploy.beside import require_possible
from edgenas.deploy.contracts import Exporter, ExportSpec
from edgenas.deploy.judging import Judge
from edgenas.deploy.metadata import metadata
from edgenas.deploy.parity import probabilities
from edgenas.deploy.plugins import get_exporter
from edgenas.deploy.recorded import RecordedAnswers, kept
from edgenas.errors import ConfigError, EdgeNASError, GateError, ParityError
from edgenas.project.acceptance import decision_of, require_threshold, seal_plan
from edgenas.project.answers import keep_answers
from edgenas.project.deployed import FinalNet, final_images, load_final
from edgenas.project.gates import floors_in, gates_of
from edgenas.project.opening import SET_POSITIVE, Project, open_images, open_project
from edgenas.project.paging.writing import page_beside
from edgenas.project.rival_nets import OWN
from edgenas.project.settings import ExportSettings
from edgenas.project.staging import Staging
from edgenas.records import (
    ArchitectureFacts,
    DataFacts,
    ExportResult,
    Metrics,
    Parity,
    SplitMetrics,
    ThresholdChoice,
    WeightsFacts,
)
from edgenas.runs import Note, Outcome, Progress, Record, locked
from edgenas.runs.background import watched
from edgenas.runs.quick import quick_stages
from edgenas.runs.stages import ORDER
from edgenas.runs.versions import versions
from edgenas.stats import decide
from edgenas.training.evaluation import logits, report


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """What `edgenas export` was asked for."""

    run: Path
    flags: Flags
    overrides: tuple[str, ...]
    format_name: str
    output: Path | None = None
    require_run: bool = False
    extras: tuple[str, ...] = ()


def run(config: ExportConfig) -> Iterator[Record]:
    """Write the files, seal the plan that they are judged by, compare on the test split, write the artefact folder.

    Raises:
        UsageError: if there is no such format, or what else is asked for is not for it.
        PluginError: naming the package that brings it, if it cannot be used.
        MissingInputError: if there is nothing to export yet.
        MissingBackendError: if this machine cannot write the format.
        GateError: if the net's answers are no numbers.
        ExportError, ArtefactError: if the net or the folder cannot be written.
    """
    exporter = get_exporter(config.format_name)
    require_possible(config.extras, config.format_name)
    project = open_project(config.run, config.flags, config.overrides)
    settings = project.settings
    images = open_images(project)
    gates = gates_of(settings.gates, floors_in(project.run, images.class_names))
    if gates.min_sensitivity is not None and images.positive is None:
        raise ConfigError("gates.min_sensitivity is set, but no positive class", hint=SET_POSITIVE)
    folder = (
        config.output if config.output is not None else project.run.export / _folder_name(settings.export.net, config.format_name)
    )
    with locked(project.run):
        require_writable(folder)
        images = final_images(project, images)
        yield from decode(images, "calibrate")
        final = load_final(project, images)
        for warning in final.warnings:
            yield Note(warning, is_warning=True)
        for note in final.notes:
            yield Note(note)
        require_threshold(final)
        specs = _specs(project.settings.export, exporter, images, final.threshold)
        staging = Staging.open(
            project.run, config.format_name, _identity(project.space.name, config.format_name, images, final, specs)
        )
        writing = (staging.files(f"spec-{i}", partial(exporter.export, final.net, spec)) for i, spec in enumerate(specs))
        written = yield from watched(writing, f"writing {config.format_name}", total=len(specs))
        # nothing of test is read until its plan is sealed
        sealed = seal_plan(project.run, images, final, gates, format_name=config.format_name, specs=specs, versions=versions())
        yield from sealed.notes()
        yield from decode(images, "test")
        images_NCHW, labels_N = images.arrays("test")
        reference_NK = staging.array("source", partial(logits, final.net, images_NCHW))
        judge = Judge(
            *(images_NCHW, labels_N, reference_NK, images.class_names, images.positive, final.threshold, gates),
            staging=staging,
            plain_graph=partial(_plain_graph, staging, final.net, specs[0]),
        )
        files = [file for part in written for file in part]
        judged = []
        for position, file in enumerate(files):
            yield Progress("parity", position, len(files), {"file": file.path.name})
            judged.append((file, judge(file)))
        yield Progress("parity", len(files), len(files), {"images": len(labels_N)})
        keep_answers(
            *(project.run, images, probabilities(reference_NK)),
            net=final.source,
            weights_sha256=final.sha256,
            threshold=final.threshold,
        )
        metrics = report_of(reference_NK, labels_N, images, final.threshold, final.choice)
        doubts = metrics.doubts("the net on test")
        yield from [] if doubts is None else [Note(doubts, is_warning=True, in_view=True)]
        facts = replace(
            _facts(project, images, final, metrics),
            gates=gates.limits,
            extras=config.extras,
            answers=_answers(sealed.hashes_N, reference_NK, images.positive, final.threshold),
            acceptance=(sealed.plan, sealed.facts),
            quick=tuple(stage for stage in quick_stages(project.run) if stage in ORDER),
        )
        artefact = write_artefact(folder, judged, facts, reference=lambda batch: logits(final.net, batch))
        staging.remove()
        page = yield from page_beside(project, images)
    shown = project.run.relative(artefact.folder)
    result = ExportResult(
        artifact=shown,
        verdict=artefact.verdict,
        weights=final.weights,
        net=final.source,
        files=tuple(replace(each, file=replace(each.file, path=f"{shown}/{each.file.path}")) for each in artefact.files),
        metrics=facts.metrics,
        word=artefact.word,
        acceptance=sealed.facts,
    )
    parities = [parity for _, parity in judged]
    for file, parity in judged:
        if parity.verdict == "not_run":
            yield Note(f"{file.path.name}: parity not run, {parity.reason}", is_warning=True, in_view=True)
    yield Outcome(result, {"artifact": artefact.folder} | page, _failure(parities, folder, require_run=config.require_run))


def _plain_graph(staging: Staging, net: nn.Module, spec: ExportSpec, precision: str) -> Path | None:
    """The net as ONNX in float32 for one image, of a file in some precision; of a float32 one as it was traced."""
    rewrites = () if precision == "fp32" else spec.rewrites
    plain = replace(spec, batch_size=1, precision="fp32", targets=(), metadata={}, rewrites=rewrites, kept=(), calibration=None)
    try:
        (file,) = staging.files(f"plain-{precision}", partial(get_exporter("onnx").export, net, plain))
    except EdgeNASError:  # no verdict depends on it
        return None
    return file.path


def _folder_name(net: str, format_name: str) -> str:
    """Of the artefact folder: a rival's does not take the place of the run's own net."""
    return format_name if net in OWN else f"{format_name}-{net.replace('/', '-')}"


def _identity(space: str, format_name: str, images: Images, final: FinalNet, specs: Sequence[ExportSpec]) -> dict[str, Any]:
    """Everything that written files and the source's answers depend on."""
    return {
        "format": format_name,
        "specs": [spec.as_json() for spec in specs],
        "weights": [final.sha256, final.arch],
        "data": images.splits.fingerprint,
        "images": {name: images.splits[name] for name in ("train", "test")},
        "preprocessing": images.preprocess.as_json(),
        "versions": versions(),
        "edgenas": __version__,
        "space": space,
    }


def report_of(
    logits_NK: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    images: Images,
    threshold: float | None,
    choice: ThresholdChoice | None = None,
) -> Metrics:
    """Accuracy and sensitivities of logits of the test split, with intervals."""
    positive = images.class_names[images.positive] if images.positive is not None else None
    return report(
        probabilities(logits_NK),
        labels_N,
        images.class_names,
        positive=positive,
        threshold=threshold,
        sites=images.sites("test"),
        choice=choice,
    )


def _answers(
    hashes_N: Sequence[str], logits_NK: NDArray[np.float32], positive: int | None, threshold: float | None
) -> RecordedAnswers:
    """What `verify --data` compares with later: the source's answers to the test images, by their hash."""
    return kept(hashes_N, decide(probabilities(logits_NK), positive, threshold), logits_NK)


def _specs(settings: ExportSettings, exporter: Exporter, images: Images, threshold: float | None) -> list[ExportSpec]:
    """ONNX is written for one image a call and for any number; engines for one."""
    shape = (images.task.in_channels, images.preprocess.image_px, images.preprocess.image_px)
    sizes = (1, None) if exporter.name == "onnx" else (1,)
    precision = settings.precision or exporter.precisions[0]
    positive = None if images.positive is None else images.class_names[images.positive]
    texts = metadata(images.class_names, images.preprocess.as_json(), positive, threshold)
    return [ExportSpec(shape, size, precision, settings.opset, tuple(settings.targets), texts) for size in sizes]


def _facts(project: Project, images: Images, final: FinalNet, metrics: Metrics) -> Facts:
    settings = project.settings
    shape = (images.task.in_channels, images.preprocess.image_px, images.preprocess.image_px)
    counts = {name: sum(classes.values()) for name, classes in images.splits.class_counts.items()}
    return Facts(
        input_shape=shape,
        preprocessing=images.preprocess.as_json(),
        classes=images.class_names,
        positive=settings.data.positive,
        threshold=final.threshold,
        architecture=ArchitectureFacts(space=final.space, arch=final.arch, params=final.params, macs=final.macs),
        weights=WeightsFacts(origin=final.weights, sha256=final.sha256),
        data=DataFacts(source=images.source.name, fingerprint=images.splits.fingerprint, splits=counts),
        metrics=SplitMetrics(split="test", metrics=metrics),
        latency=final.latency,
        versions=versions(),
        decision=decision_of(settings.data.positive, final),
        net=final.source,
    )


def _failure(parities: Sequence[Parity], folder: Path, *, require_run: bool) -> EdgeNASError | None:
    """The error that makes the command exit 4, if a gate failed, is undecided, or did not run though it had to."""
    for verdict, hint in (("failed", f"{folder} is marked rejected"), ("undecided", "more test images would decide it")):
        for parity in parities:
            if parity.verdict != verdict:
                continue
            try:
                parity.require()
            except ParityError as error:
                return ParityError(error.message, problems=error.problems, hint=hint)
    for parity in parities:
        if parity.verdict == "not_run" and require_run:
            return GateError(f"parity did not run, and --require-run was given: {parity.reason}")
    return None
