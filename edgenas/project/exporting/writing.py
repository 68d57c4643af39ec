"""One artefact of an export: its files written and judged, its folder put in place; an interrupted one goes on."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgenas import __version__
from edgenas.data.images import Images, decode
from edgenas.deploy.artefact import Artefact, write_artefact
from edgenas.deploy.contracts import ExportedFile, Exporter, ExportSpec
from edgenas.deploy.judging import FileJudge
from edgenas.deploy.metadata import metadata
from edgenas.deploy.orders import Order
from edgenas.deploy.parity import Gates
from edgenas.deploy.plugins import batch_sizes, get_exporter
from edgenas.deploy.signing import Signer
from edgenas.errors import BatchError, EdgeNASError
from edgenas.project.acceptance import seal_plan
from edgenas.project.deployed import FinalNet
from edgenas.project.exporting.calibrating import calibration_for
from edgenas.project.exporting.facts import facts_of
from edgenas.project.exporting.reducing import reduced
from edgenas.project.exporting.source import Source
from edgenas.project.rival_nets import OWN
from edgenas.project.settings import ExportSettings
from edgenas.project.staging import Staging
from edgenas.records import AcceptanceFacts, ExportResult, ModelFile, Parity, Repair, SplitMetrics
from edgenas.runs import Note, Progress, Record, RunFolder
from edgenas.runs.background import watched
from edgenas.runs.versions import versions
from edgenas.training.evaluation import logits

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Written:
    """An artefact that stands.

    Attributes:
        order: what was asked for.
        staging: what its steps have left, to be removed when everything that was asked for stands.
        repair: what stays float32 in a reduced precision; None where that was not looked at.
        acceptance: the plan that judged.
    """

    order: Order
    artefact: Artefact
    judged: tuple[tuple[ExportedFile, Parity], ...]
    staging: Staging
    acceptance: AcceptanceFacts
    repair: Repair | None = None

    @property
    def parities(self) -> list[Parity]:
        """What was judged of each of its files."""
        return [parity for _, parity in self.judged]


def artefact_folder(run: RunFolder, net: str, order: Order) -> Path:
    """Where an artefact goes: a rival's does not take the place of the run's own net."""
    return run.export / (order.name if net in OWN else f"{order.name}-{net.replace('/', '-')}")


def write_one(
    source: Source, order: Order, folder: Path, extras: tuple[str, ...], signer: Signer | None = None
) -> Generator[Record, None, Written]:
    """Write the files of a format, compare each with the source on test, and put the artefact folder in place.

    Args:
        source: what is exported.
        order: the format and its precision.
        folder: of the artefact.
        extras: what else is written.
        signer: signs the manifest.

    Raises:
        MissingBackendError: if this machine cannot write the format.
        ExportError, ArtefactError: if the net or the folder cannot be written.
        RunFolderError: if the history of plans was edited.
    """
    specs = specs_of(source, order, source.project.settings.export)
    staging = Staging.open(source.project.run, order.name, _identity(source, order, specs))
    try:
        reduction = yield from reduced(source, order.exporter, specs, staging)
        specs, written = yield from write_files(order, source.final.net, reduction.specs, staging)
    except EdgeNASError:  # the same command would end alike: nothing of it is kept
        staging.remove()
        raise
    # nothing of test is read until its plan is sealed
    sealed = seal_plan(*_sides(source), format_name=order.name, specs=specs, versions=versions(), hashes_N=source.hashes_N)
    yield from sealed.notes()
    yield from decode(source.images, "test")
    source.known(staging.array("source", source.answered))
    judged = yield from judge_all(source, written, staging)
    reference = partial(logits, source.final.net)
    facts = replace(facts_of(source, extras, sealed), ranges=reduction.ranges, repair=reduction.repair)
    artefact = write_artefact(folder, judged, facts, reference=reference, signer=signer)
    return Written(order, artefact, tuple(judged), staging, sealed.facts, reduction.repair)


def write_files(
    order: Order, net: nn.Module, specs: Sequence[ExportSpec], staging: Staging
) -> Generator[Record, None, tuple[list[ExportSpec], list[ExportedFile]]]:
    """Write the files of all specs; return them, and the specs that have any: not every net can be for any number of images.

    Raises:
        EdgeNASError: as the exporter, and if there is no file at all.
    """
    refused: list[BatchError] = []
    write = partial(_files_of, order.exporter, net, refused)
    parts = (staging.files(f"spec-{i}", partial(write, spec)) for i, spec in enumerate(specs))
    written = yield from watched(parts, f"writing {order.name}", total=len(specs))
    if refused and not any(written):
        raise refused[0]
    if not all(written):
        reason = f": {refused[0].message}" if refused else ""
        yield Note(f"{order.name}: no file for any number of images{reason}", is_warning=True, in_view=True)
    kept = [spec for spec, files in zip(specs, written, strict=True) if files]
    return kept, [file for files in written for file in files]


def _files_of(
    exporter: Exporter, net: nn.Module, refused: list[BatchError], spec: ExportSpec, folder: Path
) -> Sequence[ExportedFile]:
    """The files of one spec; none, and the reason among ``refused``, where they cannot be for any number of images."""
    try:
        return exporter.export(net, spec, folder)
    except BatchError as error:
        refused.append(error)
        return ()


def judge_all(
    source: Source, files: Sequence[ExportedFile], staging: Staging | None = None
) -> Generator[Record, None, list[tuple[ExportedFile, Parity]]]:
    """Parity of files with their source on test, one by one."""
    judge, judged = judge_of(source, staging), []
    for position, file in enumerate(files):
        yield Progress("parity", position, len(files), {"file": file.path.name})
        judged.append((file, judge(file)))
    yield Progress("parity", len(files), len(files), {"images": len(source.labels_N)})
    return judged


def judge_of(source: Source, staging: Staging | None = None) -> FileJudge:
    """What compares a file with the source."""
    images, final = source.images, source.final
    sides = (source.images_NCHW, source.labels_N, source.answered())
    judge = FileJudge(*sides, images.class_names, images.positive, final.threshold, source.gates, staging=staging)
    return judge if staging is None else replace(judge, plain_graph=partial(_plain_graph, source, staging))


def _plain_graph(source: Source, staging: Staging, precision: str) -> Path | None:
    """The net as ONNX in float32 for one image, beside which a file's blocks are looked at; of a float32 file as it was traced."""
    spec = ExportSpec(source.shape, opset=source.project.settings.export.opset, rewrites=() if precision == "fp32" else None)
    try:
        (file,) = staging.files(f"plain-{precision}", partial(get_exporter("onnx").export, source.final.net, spec))
    except EdgeNASError:  # no verdict depends on it
        return None
    return file.path


def _sides(source: Source) -> tuple[RunFolder, Images, FinalNet, Gates]:
    """What a plan is about."""
    return source.project.run, source.images, source.final, source.gates


def specs_of(source: Source, order: Order, settings: ExportSettings) -> list[ExportSpec]:
    """One a batch size that the format is written for: of ONNX one image a call and any number, of engines one."""
    images = source.images
    sizes = batch_sizes(order.exporter)
    positive = None if images.positive is None else images.class_names[images.positive]
    choice = source.final.choice
    refer = None if choice is None or choice.refer is None else (choice.refer.low, choice.refer.high)
    texts = metadata(images.class_names, source.preprocessing, positive, source.final.threshold, refer)
    spec = ExportSpec(source.shape, None, order.precision, settings.opset, order.targets, texts, rewrites=settings.rewrites)
    spec = replace(spec, rebuilds=order.rebuilds, ahead=tuple(settings.targets))
    spec = replace(spec, calibration=calibration_for(source, order.precision, settings))
    return [replace(spec, batch_size=size) for size in sizes]


def _identity(source: Source, order: Order, specs: Sequence[ExportSpec]) -> dict[str, Any]:
    """Everything that written files and the source's answers depend on."""
    images, final = source.images, source.final
    return {
        "format": order.format_name,
        "specs": [spec.as_json() for spec in specs],
        "weights": [final.sha256, final.arch],
        "data": images.splits.fingerprint,
        "images": {name: images.splits[name] for name in ("train", "test")},
        "preprocessing": source.preprocessing,
        "versions": versions(),
        "edgenas": __version__,
        "space": source.project.space.name,
        "repair": source.project.settings.export.repair,
    }


def result_of(source: Source, written: Written) -> ExportResult:
    """What `export` answers of an artefact, paths as the run folder's."""
    artefact = written.artefact
    shown = source.project.run.relative(artefact.folder)
    files = tuple(replace(each, file=within(shown, each.file)) for each in artefact.files)
    return ExportResult(
        artifact=shown,
        verdict=artefact.verdict,
        weights=source.final.weights,
        net=source.final.source,
        files=files,
        metrics=SplitMetrics(split="test", metrics=source.metrics),
        word=artefact.word,
        repair=written.repair,
        acceptance=written.acceptance,
    )


def within(folder: str, file: ModelFile) -> ModelFile:
    """A file and its parts, with the artefact's folder before their names."""
    parts = tuple(replace(part, path=f"{folder}/{part.path}") for part in file.parts or ())
    return replace(file, path=f"{folder}/{file.path}", parts=parts or None)


def notes_of(written: Written) -> list[Note]:
    """Warnings of files whose parity could not run here, what of int8 files stayed float and what was added to logits."""
    unrun = [(file, parity) for file, parity in written.judged if parity.verdict == "not_run"]
    notes = [Note(f"{file.path.name}: parity not run, {parity.reason}", is_warning=True, in_view=True) for file, parity in unrun]
    for file, _ in written.judged:
        if "int8_left_out" in file.notes:
            layers = f"{file.notes['int8_layers']} of {file.notes['int8_layers_possible']} products are int8"
            notes.append(Note(f"{file.path.name}: {layers}; float on calibrate's evidence: {file.notes['int8_left_out']}"))
        if "logit_adjustment" in file.notes:
            raised = f"the logit of the class that must not be missed is raised by {file.notes['logit_adjustment']:.3g}"
            notes.append(Note(f"{file.path.name}: {raised} against int8's rounding"))
    return notes
