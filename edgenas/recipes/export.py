"""`edgenas export`: write the final net and prove, image by image, that it still answers the same."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgenas.config import Flags
from edgenas.deploy.artefact import require_writable
from edgenas.deploy.beside import require_possible
from edgenas.deploy.orders import AUTO, Order, orders_of
from edgenas.deploy.parity import Gates, probabilities
from edgenas.errors import ConfigError, EdgeNASError, UsageError
from edgenas.project.answers import keep_answers
from edgenas.project.exporting.source import Source, opened_source
from edgenas.project.exporting.verdicts import failure_of, joined
from edgenas.project.exporting.writing import Written, artefact_folder, notes_of, result_of, write_one
from edgenas.project.gates import floors_in, gates_of
from edgenas.project.opening import SET_POSITIVE, Project, open_images, open_project
from edgenas.project.paging.writing import page_beside
from edgenas.runs import Note, Outcome, Record, locked

Failure = tuple[str, EdgeNASError]  # name of an artefact, and why it is not as asked


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """What `edgenas export` was asked for.

    Attributes:
        formats: to be written, at least one.
        precisions: of each; none takes the settings', else the format's own, ``auto`` is all that a format writes.
        output: folder of the artefact, where there is one.
    """

    run: Path
    flags: Flags
    overrides: tuple[str, ...]
    formats: tuple[str, ...]
    precisions: tuple[str, ...] = ()
    output: Path | None = None
    require_run: bool = False
    extras: tuple[str, ...] = ()


def run(config: ExportConfig) -> Iterator[Record]:
    """Export, compare on the test split, write the artefact folders.

    Raises:
        UsageError: if there is no such format, or what else is asked for is not for it.
        PluginError: naming the package that brings it, if it cannot be used.
        MissingInputError: if there is nothing to export yet.
        MissingBackendError: if this machine cannot write the format.
        ExportError, ArtefactError: if the net or the folder cannot be written.
    """
    project = open_project(config.run, config.flags, config.overrides)
    orders = orders_of(config.formats, config.precisions, project.settings.export.precision)
    for name in dict.fromkeys(order.format_name for order in orders.each):
        require_possible(config.extras, name)
    images = open_images(project)
    gates = _gates(project, images.class_names, images.positive)
    folders = _folders(project, orders.each, config.output)
    yield from (Note(text, is_warning=True) for text in orders.notes)
    with locked(project.run):
        for folder in folders:
            require_writable(folder)
        source = yield from opened_source(project, images, gates)
        written, failures = yield from _write(source, orders.each, folders, config)
        yield from _keep(source)
        for each in written:
            each.staging.remove()
        page = yield from page_beside(project, source.images)
    results = [result_of(source, each) for each in written]
    result = replace(results[0], artifacts=tuple(results) if len(orders.each) > 1 else None)
    for each in written:
        yield from notes_of(each)
    yield Outcome(result, {"artifact": written[0].artefact.folder} | page, joined(failures))


def _gates(project: Project, class_names: Sequence[str], positive: int | None) -> Gates:
    """The limits that every file is held to.

    Raises:
        ConfigError: if one is of a positive class, and there is none.
    """
    gates = gates_of(project.settings.gates, floors_in(project.run, class_names))
    if gates.min_sensitivity is not None and positive is None:
        raise ConfigError("gates.min_sensitivity is set, but no positive class", hint=SET_POSITIVE)
    return gates


def _folders(project: Project, orders: Sequence[Order], output: Path | None) -> list[Path]:
    """Where every artefact goes.

    Raises:
        UsageError: if one folder is named for several.
    """
    if output is None:
        return [artefact_folder(project.run, project.settings.export.net, order) for order in orders]
    if len(orders) > 1:
        names = ", ".join(order.name for order in orders)
        raise UsageError(f"--output names one folder, but {len(orders)} artefacts are written ({names}); leave it out")
    return [output]


def _write(
    source: Source, orders: Sequence[Order], folders: Sequence[Path], config: ExportConfig
) -> Generator[Record, None, tuple[list[Written], list[Failure]]]:
    """Write and judge one artefact after the other; one that cannot be written, or fails, does not stop the others.

    Of ``--precision auto``, a precision beside the format's own that fails is a warning: nobody asked to ship just that.
    """
    written: list[Written] = []
    failures: list[Failure] = []
    for order, folder in zip(orders, folders, strict=True):
        is_tried = AUTO in config.precisions and order.precision != order.exporter.precisions[0]
        try:
            done = yield from write_one(source, order, folder, config.extras)
        except EdgeNASError as error:
            if len(orders) == 1:
                raise
            failure: EdgeNASError | None = error
        else:
            written.append(done)
            failure = failure_of(done.parities, folder, require_run=config.require_run)
        if failure is not None and is_tried:
            yield Note(f"{order.name}: {failure}", is_warning=True)
        elif failure is not None:
            failures.append((order.name, failure))
    if not written:
        raise joined(failures) or UsageError("nothing was written")
    return written, failures


def _keep(source: Source) -> Generator[Record, None, None]:
    """Keep what the net answered to test, for the page; say where its metrics are in doubt."""
    final = source.final
    probabilities_NK = probabilities(source.answered())
    keep_answers(
        *(source.project.run, source.images, probabilities_NK),
        net=final.source,
        weights_sha256=final.sha256,
        threshold=final.threshold,
    )
    doubts = source.metrics.doubts("the net on test")
    yield from [] if doubts is None else [Note(doubts, is_warning=True, in_view=True)]
