"""Everything that the page of a run folder shows, from what the folder holds; the images are read for thumbnails alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import numpy as np

from edgenas.data.images import Images
from edgenas.data.splits import Splits, load_splits
from edgenas.errors import EdgeNASError, LatencyTableError
from edgenas.latency import LatencyTable
from edgenas.latency.table import break_down, remarks
from edgenas.project.answers import Answers, read_answers
from edgenas.project.chosen import ChosenNet, chosen
from edgenas.project.net_facts import TaskAndSplits, genes_of
from edgenas.project.opening import Divided, Project, images_of
from edgenas.project.paging.judged import judged
from edgenas.project.paging.reading import ResultReader
from edgenas.project.paging.seal import results_of
from edgenas.project.paging.sheet import GALLERY_PX, data_sheet, page_image
from edgenas.project.results import RESULT
from edgenas.project.run_tables import run_table
from edgenas.records import (
    BreakdownFacts,
    CandidateRow,
    ComparedNet,
    ContextFacts,
    DeployedNet,
    JudgedImages,
    Metrics,
    NetReport,
    PageExport,
    PageImage,
    PageTable,
    ResultsPage,
    RetrainResult,
    SearchResult,
    StageFacts,
    TimedNet,
    ValidationFigures,
)
from edgenas.runs import RunFolder
from edgenas.runs.quick import quick_stages
from edgenas.runs.versions import versions
from edgenas.spaces import SearchSpace, Task
from edgenas.training.folder import WEIGHTS, weights_sha256


def page_of(project: Project, images: Images | None = None) -> ResultsPage:
    """What the page shows; what is damaged or cannot be read is named on it instead.

    Args:
        project: whose run folder is read.
        images: of the project, where they are open already.

    Raises:
        RunFolderError: if `edgenas init` has divided no images, or their division cannot be read.
    """
    run = project.run
    splits = load_splits(run.splits)
    reader, why = ResultReader(run, splits.sha256), ""
    if images is None:
        try:
            images = images_of(project)
        except EdgeNASError as error:
            why = f"the images cannot be read here: {error.message}"
            reader.unread.append(why)
    divided = images if images is not None else Divided.told(project.settings, splits)
    search, retrain, compare, exports = reader.search(), reader.retrain(), reader.compare(), reader.exports()
    choice = _choice(project, divided, reader)
    deployed = _deployed(run, choice, search, retrain, exports)
    return ResultsPage(
        run=str(run.path),
        made=datetime.now().isoformat(" ", "minutes"),
        space=project.space.name,
        positive=project.settings.data.positive,
        stages=tuple(stages_of(run)),
        deployed=deployed,
        judged=_judged(project.run, images, choice, splits, reader),
        search=search,
        rows=reader.rows() if search is not None else (),
        cost=_cost(search),
        retrain=retrain,
        compare=compare,
        fidelity=reader.fidelity(),
        table=_table(project, divided.task, search, deployed, reader),
        curves=reader.curves(),
        exports=exports,
        bench=reader.bench(None if deployed is None else deployed.weights_sha256),
        data=data_sheet(run, project.settings.data.source, splits, images, positive=project.settings.data.positive, why=why),
        settings=asdict(project.settings),
        versions=versions(),
        hashes=results_of(run),
        unread=tuple(reader.unread),
        quick=quick_stages(run),
    )


def stages_of(run: RunFolder) -> Iterator[StageFacts]:
    """Every stage by the file that it makes, with the command that makes it where it is missing."""
    newest_table = max(run.latency.glob("*.json"), key=lambda path: path.stat().st_mtime, default=None)
    newest_export = max(run.export.glob("*/manifest.json"), key=lambda path: path.stat().st_mtime, default=None)
    files: list[tuple[str, Path | None, str]] = [
        ("data", run.splits, "edgenas init --data SOURCE"),
        ("teacher", run.teacher / WEIGHTS, "edgenas train"),
        ("supernet", run.supernet / WEIGHTS, "edgenas train"),
        ("latency table", newest_table, "edgenas profile"),
        ("search", run.search / RESULT, "edgenas search --latency-ms MS"),
        ("retrain", run.retrain / RESULT, "edgenas retrain --baseline"),
        ("export", newest_export, "edgenas export --format onnx"),
        ("compare", run.compare / RESULT, "edgenas compare"),
        ("fidelity", run.fidelity / RESULT, "edgenas fidelity"),
    ]
    for name, path, command in files:
        if path is not None and path.is_file():
            made = datetime.fromtimestamp(path.stat().st_mtime).isoformat(" ", "minutes")
            yield StageFacts(name=name, state="there", made=made, command="")
        else:
            yield StageFacts(name=name, state="missing", made=None, command=command)


def _cost(search: SearchResult | None) -> str:
    if search is None or search.table is None:
        return "macs"
    return "latency_ms_upper" if search.promises else "latency_ms_predicted"


def _choice(project: Project, images: TaskAndSplits, reader: ResultReader) -> ChosenNet | None:
    """The net that would be deployed; None where there is none yet, or it cannot be said."""
    if not (project.run.search / RESULT).is_file() and not (project.run.retrain / WEIGHTS).is_file():
        return None
    return reader.read("the net that would be deployed", lambda: chosen(project, images))


def _deployed(
    run: RunFolder,
    choice: ChosenNet | None,
    search: SearchResult | None,
    retrain: RetrainResult | None,
    exports: tuple[PageExport, ...],
) -> DeployedNet | None:
    """What is known of it, of its report where it has one."""
    if choice is None:
        return None
    notes, sha256 = (*choice.warnings, *choice.notes), _weights_of(run, choice)
    if choice.rival is not None:
        return _of_rival(choice.rival.row, sha256, notes)
    report = _report(choice, retrain)
    row_of_search = _row_of(choice, search) if choice.num_members == 1 else None  # it knows one of several alone
    predicted = report.latency_ms_predicted if report is not None else None
    measured = report.latency_ms_measured if report is not None else None
    facts = report if report is not None else row_of_search
    return DeployedNet(
        name=choice.source,
        ensemble=choice.num_members if choice.num_members > 1 else None,
        weights=report.weights if report is not None else "inherited",
        weights_sha256=sha256,
        arch=choice.arch,
        params=None if facts is None else facts.params,
        macs=None if facts is None else facts.macs,
        metrics=report.metrics if report is not None else _of_export(choice, exports),
        latency_ms_predicted=predicted if row_of_search is None else row_of_search.latency_ms_predicted,
        latency_ms_upper=None if row_of_search is None else row_of_search.latency_ms_upper,
        latency_ms_measured=measured if measured is not None or row_of_search is None else row_of_search.latency_ms_measured,
        notes=notes,
    )


def _of_rival(row: ComparedNet, sha256: str | None, notes: tuple[str, ...]) -> DeployedNet:
    """A net of a comparison, of which no latency was predicted."""
    return DeployedNet(
        name=row.name,
        weights=row.weights,
        weights_sha256=sha256,
        arch=row.arch,
        params=row.params,
        macs=row.macs,
        metrics=row.metrics,
        latency_ms_predicted=None,
        latency_ms_upper=None,
        latency_ms_measured=row.latency_ms_measured,
        notes=notes,
    )


def _report(choice: ChosenNet, retrain: RetrainResult | None) -> NetReport | None:
    """What `retrain` says of the net; None where its weights are inherited, or the report is of another one."""
    if retrain is None or choice.folder is None:
        return None
    if choice.source == "baseline":
        return retrain.baseline.net if retrain.baseline is not None else None
    return retrain.net if retrain.net.arch == choice.arch else None


def _row_of(choice: ChosenNet, search: SearchResult | None) -> CandidateRow | None:
    """The net among the search's finalists."""
    if search is None:
        return None
    return next((row for row in (search.winner, *search.finalists) if row is not None and row.arch == choice.arch), None)


def _of_export(choice: ChosenNet, exports: tuple[PageExport, ...]) -> Metrics | None:
    """What an export with inherited weights of the same net reports."""
    for each in exports:
        manifest = each.manifest
        if manifest.weights.origin == "inherited" and manifest.architecture.arch == choice.arch:
            return manifest.metrics.metrics
    return None


def _judged(
    run: RunFolder, images: Images | None, choice: ChosenNet | None, splits: Splits, reader: ResultReader
) -> JudgedImages | None:
    """What the kept answers of the net show; None without any, or where they are of other weights or images."""
    if choice is None:
        return None
    answers = reader.read("answers to test", lambda: read_answers(run, choice.source))
    if answers is None:
        return None
    if answers.facts.splits_sha256 != splits.sha256 or answers.facts.weights_sha256 != _weights_of(run, choice):
        text = f"answers to test: what is kept of {choice.source} is of other weights or images"
        reader.unread.append(f"{text}; run `edgenas evaluate --split test`")
        return None
    return judged(answers, lambda position: _thumbnail(images, answers, position))


def _weights_of(run: RunFolder, choice: ChosenNet) -> str | None:
    if choice.rival is not None:
        return weights_sha256(choice.rival.folder)
    return weights_sha256(run.supernet if choice.folder is None else choice.folder)


def _thumbnail(images: Images | None, answers: Answers, position: int) -> PageImage | None:
    return None if images is None else page_image(images, int(images.splits[answers.facts.split][position]), GALLERY_PX)


def _table(
    project: Project,
    task: Task,
    search: SearchResult | None,
    deployed: DeployedNet | None,
    reader: ResultReader,
) -> PageTable | None:
    """The latency table that the search rested on, else the run's that fits."""
    sha256 = search.table.sha256 if search is not None and search.table is not None else None
    known = reader.read("latency table", lambda: run_table(project, task, sha256))
    if known is None:
        return None
    table = known.table
    context = ContextFacts.from_json(table.context.as_json())
    figures = {name: getattr(table.validation, name) for name in ValidationFigures.__dataclass_fields__}
    return PageTable(
        name=known.path.name,
        sha256=table.sha256,
        date=table.measuring.date,
        context=context,
        validation=ValidationFigures(**figures),
        nets=tuple(_timed(table, search)),
        breakdown=reader.read("latency by stage", lambda: _breakdown(project.space, table, deployed)),
        remarks=remarks(table),
    )


def _timed(table: LatencyTable, search: SearchResult | None) -> Iterator[TimedNet]:
    for number, row in enumerate(table.checks, 1):
        yield TimedNet(name=f"random net {number}", predicted_ms=row.predicted_ms, measured_ms=row.measured_ms)
    for number, finalist in enumerate(search.finalists if search is not None else (), 1):
        if finalist.latency_ms_predicted is not None and finalist.latency_ms_measured is not None:
            yield TimedNet(
                name=f"finalist {number}",
                predicted_ms=finalist.latency_ms_predicted,
                measured_ms=finalist.latency_ms_measured,
                is_finalist=True,
            )


def _breakdown(space: SearchSpace, table: LatencyTable, deployed: DeployedNet | None) -> BreakdownFacts | None:
    """Where the predicted time of the net goes; None for one that the table knows nothing of, and for several together."""
    if deployed is None or deployed.arch is None or deployed.ensemble is not None or table.space != space.name:
        return None
    try:
        genes_G = np.array(genes_of(space, deployed.arch), dtype=np.int16)
        return break_down(table, space, genes_G, deployed.name)
    except LatencyTableError:
        return None
