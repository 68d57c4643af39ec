"""`edgenas export`: write the final net and prove, image by image, that it still answers the same."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgenas.config import Flags
from edgenas.deploy.artefact import require_writable
from edgenas.deploy.beside import require_possible
from edgenas.deploy.orders import AUTO, BASELINE_FORMAT, Order, baseline_order, orders_of, with_engines
from edgenas.deploy.parity import Gates, probabilities
from edgenas.deploy.signing import Signer, load_signer
from edgenas.errors import ConfigError, EdgeNASError, GateError, UsageError
from edgenas.latency.timing import BENCH_TIMING, TimingSettings
from edgenas.project.answers import keep_answers
from edgenas.project.devices import There
from edgenas.project.exporting.benching import bench, bench_file, standing_results
from edgenas.project.exporting.entries import artefacts_in, has_baseline
from edgenas.project.exporting.source import Source, opened_source
from edgenas.project.exporting.verdicts import failure_of, joined
from edgenas.project.exporting.writing import Written, artefact_folder, notes_of, result_of, write_one
from edgenas.project.gates import floors_in, gates_of
from edgenas.project.opening import SET_POSITIVE, Project, open_images, open_project
from edgenas.project.paging.writing import page_beside
from edgenas.records import BenchResult
from edgenas.remote import Address
from edgenas.runs import Note, Outcome, Record, locked

Failure = tuple[str, EdgeNASError]  # name of an artefact, and why it is not as asked


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """What `edgenas export` was asked for.

    Attributes:
        formats: to be written; none is ONNX, or, where artefacts are only to be timed, nothing.
        precisions: of each; none takes the settings', else the format's own, ``auto`` is all that a format writes.
        output: folder of the artefact, where there is one.
        sign: private key that signs every manifest.
        bench: time all artefacts of the run in turn, afterwards.
        bench_net: and the net itself in PyTorch.
        rebuild: how often each engine is built, to say how far its builds differ.
        device: over the network that times them instead of this one.
    """

    run: Path
    flags: Flags
    overrides: tuple[str, ...]
    formats: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    output: Path | None = None
    require_run: bool = False
    extras: tuple[str, ...] = ()
    sign: Path | None = None
    bench: bool = False
    bench_net: bool = False
    rebuild: int = 1
    device: Address | None = None

    @property
    def is_benched(self) -> bool:
        """Whether artefacts are timed: trying all precisions is for that."""
        return self.bench or self.bench_net or AUTO in self.precisions

    @property
    def only_times(self) -> bool:
        """Whether what is there already may do."""
        return self.is_benched and not (self.formats or self.precisions or self.output or self.extras or self.sign)


def run(config: ExportConfig) -> Iterator[Record]:
    """Export, compare on the test split, write the artefact folders; time them in turn where that is asked for.

    Raises:
        UsageError: if there is no such format, what else is asked for is not for it, or the key is none to sign with.
        PluginError: naming the package that brings it, if it cannot be used.
        MissingInputError: if there is nothing to export yet.
        MissingBackendError: if this machine cannot write the format.
        PrecisionError: if a file does not compute in the precision asked for.
        ExportError, ArtefactError: if the net or the folder cannot be written.
    """
    project = open_project(config.run, config.flags, config.overrides)
    formats, default = config.formats or (BASELINE_FORMAT,), project.settings.export.precision
    orders = orders_of(formats, config.precisions, default, are_compared=config.is_benched)
    orders = with_engines(orders, config.flags.get("export", {}).get("targets") or (), config.rebuild)
    for name in dict.fromkeys(order.format_name for order in orders.each):
        require_possible(config.extras, name)
    signer = load_signer(config.sign) if config.sign is not None else None
    images = open_images(project)
    gates = _gates(project, images.class_names, images.positive)
    _folders(project, orders.each, config.output)
    yield from (Note(text, is_warning=True) for text in orders.notes)
    with locked(project.run):
        source = yield from opened_source(project, images, gates)
        asked = yield from _still_to_write(source, orders.each, config)
        folders = _folders(project, asked, config.output)
        for folder in folders:
            require_writable(folder)
        written, failures = yield from _write(source, asked, folders, config, signer)
        if written:
            yield from _keep(source)
        timed, there = None, None if config.device is None else There(config.device)
        if config.is_benched:
            timed = yield from bench(source, _timing(project.settings.export.bench_visits), with_net=config.bench_net, there=there)
        for each in written:
            each.staging.remove()
        page = yield from page_beside(project, source.images)
    for each in written:
        yield from notes_of(each)
    if signer is not None:
        yield Note(f"signed: minisign -V -P {signer.public_key} -m manifest.json, or edgenas verify --public-key FILE")
    results = [result_of(source, each) for each in written] or standing_results(source)
    several = tuple(results) if len(orders.each) > 1 or len(results) > 1 else None
    result = replace(results[0], artifacts=several, bench=timed, only_timed=None if written else True)
    outputs = {"artifact": project.run.path / result.artifact} if config.output is None else {"artifact": folders[0]}
    outputs |= {} if timed is None else {"bench": bench_file(project.run, there)}
    yield from _recommended(timed)
    yield Outcome(result, outputs | page, joined(failures) or _nothing_to_deploy(timed))


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


def _still_to_write(source: Source, orders: Sequence[Order], config: ExportConfig) -> Generator[Record, None, list[Order]]:
    """What is asked for, and what the others are compared with; nothing where timing what is there was all that was asked for."""
    if not config.is_benched:
        return list(orders)
    artefacts, _ = artefacts_in(source.project.run)
    is_there = has_baseline(artefacts, source)
    if config.only_times and is_there:
        return []
    baseline = baseline_order()
    if any(order.name == baseline.name for order in orders) or (is_there and config.output is None):
        return list(orders)
    yield Note(f"{baseline.format_name} {baseline.precision} is written too: the others are compared with it")
    return [*orders, baseline]


def _timing(visits: int) -> TimingSettings:
    return replace(BENCH_TIMING, visits=visits)


def _recommended(timed: BenchResult | None) -> Iterator[Note]:
    """What is the fastest here, and why not something that seems faster."""
    if timed is None:
        return
    for text in timed.why:
        yield Note(text, in_view=True)
    if timed.choice is not None:
        yield Note(timed.choice.words, in_view=True)


def _nothing_to_deploy(timed: BenchResult | None) -> GateError | None:
    """That no file's gates passed, where files were compared to choose one."""
    if timed is None or timed.choice is not None:
        return None
    return GateError("no file is recommended: no file's gates passed", problems=timed.why)


def _write(
    source: Source, orders: Sequence[Order], folders: Sequence[Path], config: ExportConfig, signer: Signer | None
) -> Generator[Record, None, tuple[list[Written], list[Failure]]]:
    """Write and judge one artefact after the other; one that cannot be written, or fails, does not stop the others.

    The first that was asked for is put in place last: of several, other commands take the newest.
    Of ``--precision auto``, a precision beside the format's own that fails is a warning: nobody asked to ship just that.
    """
    written: list[Written] = []
    failures: list[Failure] = []
    for order, folder in reversed(list(zip(orders, folders, strict=True))):
        is_tried = AUTO in config.precisions and order.precision != order.exporter.precisions[0]
        try:
            done = yield from write_one(source, order, folder, config.extras, signer)
        except EdgeNASError as error:
            if len(orders) == 1:
                raise
            failure: EdgeNASError | None = error
        else:
            written.append(done)
            failure = failure_of(done.parities, folder, require_run=config.require_run)
        if failure is not None and is_tried:
            yield Note(f"{order.name}: {failure.message}", is_warning=True)
        elif failure is not None:
            failures.append((order.name if len(orders) > 1 else "", failure))
    if orders and not written:
        raise joined(failures) or UsageError("nothing was written")
    return written[::-1], failures[::-1]


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
