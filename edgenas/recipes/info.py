"""`edgenas info`: what is in a run folder."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from edgenas.config import Flags
from edgenas.data.images import Images
from edgenas.data.splits import Splits, load_splits
from edgenas.deploy.artefact import load_manifest
from edgenas.errors import EdgeNASError
from edgenas.percents import percent
from edgenas.project.belonging import tables_of_another, weights_of_another
from edgenas.project.opening import Project, images_of, open_project, require_divided, use_threads
from edgenas.project.paging.seal import older_than, read_seal
from edgenas.project.results import RESULT, outdated_net, read_retrain, require_space, winner_of
from edgenas.project.settings import ProjectSettings
from edgenas.project.trainings.teaching import needs_teacher
from edgenas.records import (
    CandidateRow,
    CheckpointFacts,
    InfoResult,
    LoaderFacts,
    RetrainResult,
    SearchResult,
    SpaceSize,
    StageFacts,
    SupernetResult,
)
from edgenas.runs import Note, Outcome, Progress, Record, RunFolder
from edgenas.runs.stages import divide_again, product, typed
from edgenas.runs.versions import versions
from edgenas.training.folder import STATE, WEIGHTS
from edgenas.training.headers import facts_in

LOADER_SECONDS = 2.0
THERE, MISSING, OUTDATED = "there", "missing", "outdated"  # states of a stage


@dataclass(frozen=True, slots=True)
class InfoConfig:
    """What `edgenas info` was asked for."""

    run: Path
    flags: Flags
    overrides: tuple[str, ...]
    measure_loader: bool = False


def run(config: InfoConfig) -> Iterator[Record]:
    """List stages with their state, the settings in force and the versions at work.

    Raises:
        MissingInputError: if there is no project in the folder.
    """
    project = open_project(config.run, config.flags, config.overrides)
    folder, splits = project.run, None  # where splits cannot be read, whoever needs them says why
    with suppress(EdgeNASError):
        splits = load_splits(folder.splits) if folder.splits.exists() else None
    stages = _stages(folder, project.settings)
    if splits is not None:
        stages = yield from _checked_inputs(project, stages, splits)
    search, winner = yield from _checked_search(project, stages, splits)
    retrain = yield from _checked_retrain(folder, stages.retrain, winner)
    stages = replace(stages, search=search, retrain=retrain)
    yield from _unfinished(folder)
    page = yield from _page(folder)
    yield from _origins(folder)
    data, images = yield from _checked_data(project, stages.data, splits, measure_loader=config.measure_loader)
    loader = None if images is None else (yield from _loader(project.settings, images))
    exports, doubts = yield from _judged(folder)
    yield from (Note(text, is_warning=True, in_view=True) for text in doubts)
    result = InfoResult(
        run=str(folder.path),
        space=SpaceSize(name=project.space.name, num_subnets=project.space.cardinality),
        stages=(*replace(stages, data=data).in_order, page),
        loader=loader,
        settings=asdict(project.settings),
        versions=versions(),
        exports=exports or None,
        doubts=doubts or None,
    )
    yield Outcome(result)


@dataclass(frozen=True, slots=True)
class _Stages:
    """The stages of a run in the order in which they are made, the page of results apart."""

    data: StageFacts
    table: StageFacts
    teacher: StageFacts
    supernet: StageFacts
    search: StageFacts
    retrain: StageFacts
    export: StageFacts

    @property
    def in_order(self) -> tuple[StageFacts, ...]:
        """Each of them."""
        return self.data, self.table, self.teacher, self.supernet, self.search, self.retrain, self.export


def _stages(folder: RunFolder, settings: ProjectSettings) -> _Stages:
    """Each by the file that it makes, whatever that holds."""

    def stage(name: str, command: str, path: Path | None) -> StageFacts:
        return _stage(name, path, typed(folder, command))

    teacher = stage("teacher", "train", folder.teacher / WEIGHTS)
    if teacher.state == MISSING and not needs_teacher(settings.train):
        teacher = replace(teacher, state="not needed", command="")
    return _Stages(
        data=stage("data", "init", folder.splits),
        table=stage("latency table", "profile", product(folder, "profile")),
        teacher=teacher,
        supernet=stage("supernet", "train", product(folder, "train")),
        search=stage("search", "search", product(folder, "search")),
        retrain=stage("retrain", "retrain", product(folder, "retrain")),
        export=stage("export", "export", product(folder, "export")),
    )


def _checked_inputs(project: Project, stages: _Stages, splits: Splits) -> Generator[Note, None, _Stages]:
    """The stages that rest on the space and the images alone, outdated where these are others now."""
    folder = project.run
    again = typed(folder, "train").replace("edgenas train", "edgenas train --force", 1)
    found = {
        "table": (tables_of_another(project, splits), typed(folder, "profile")),
        "teacher": (weights_of_another(project, splits, folder.teacher / WEIGHTS), again),
        "supernet": (weights_of_another(project, splits, folder.supernet / WEIGHTS), again),
        "retrain": (weights_of_another(project, splits, folder.retrain / WEIGHTS), typed(folder, "retrain")),
    }
    for name, (why, command) in found.items():
        stage: StageFacts = getattr(stages, name)
        if why is not None and stage.state == THERE:
            yield Note(f"{stage.name}: {why}", is_warning=True)
            stages = replace(stages, **{name: replace(stage, state=OUTDATED, command=command)})
    return stages


def _checked_data(
    project: Project, stage: StageFacts, splits: Splits | None, *, measure_loader: bool
) -> Generator[Note, None, tuple[StageFacts, Images | None]]:
    """The stage with the images where their loader is to be measured, which opens them; else whether the data are as divided."""
    if not project.run.splits.exists():
        return stage, None
    try:
        if measure_loader:
            return stage, images_of(project, splits)
        require_divided(project, splits)
    except EdgeNASError as error:
        yield Note(f"the data cannot be used: {error}", is_warning=True)
        again = divide_again(project.run, project.settings.data.source)
        return replace(stage, state="unusable", command=again), None
    return stage, None


def _loader(settings: ProjectSettings, images: Images) -> Generator[Record, None, LoaderFacts | None]:
    """How fast images are loaded; None where that cannot be measured."""
    yield Progress("measuring the loader", 0, 1)
    facts = None
    try:
        facts = _rate(settings, images)
    except EdgeNASError as error:
        yield Note(f"the loader is not measured: {error}", is_warning=True)
    yield Progress("measuring the loader", 1, 1)
    return facts


def _page(folder: RunFolder) -> Generator[Note, None, StageFacts]:
    """The page of results, and whether it is still of these results."""
    stage = _stage("report", folder.page, typed(folder, "report"))
    try:
        seal = read_seal(folder)
        older = () if seal is None else older_than(folder, seal)
    except EdgeNASError as error:
        yield Note(f"report: {error}", is_warning=True)
        return replace(stage, state=OUTDATED, command=typed(folder, "report"))
    if not older:
        return stage
    yield Note(f"report: the page is older than {', '.join(older)}", is_warning=True)
    return replace(stage, state=OUTDATED, command=typed(folder, "report"))


def _judged(folder: RunFolder) -> Generator[Note, None, tuple[dict[str, str], tuple[str, ...]]]:
    """The verdict of every artefact in its own word, and what was said of nets that may have learned nothing."""
    exports: dict[str, str] = {}
    doubts: list[str] = []
    readers: list[tuple[Path, Callable[[], Iterable[str | None]]]] = [
        (folder.supernet / RESULT, lambda: SupernetResult.read(folder.supernet / RESULT).doubts),
        (folder.search / RESULT, lambda: [SearchResult.read(folder.search / RESULT).doubts]),
        (folder.retrain / RESULT, lambda: RetrainResult.read(folder.retrain / RESULT).doubts),
    ]
    for path, read in readers:
        with suppress(EdgeNASError):  # what is damaged or of before is said with its stage
            doubts += [text for text in (read() if path.is_file() else ()) if text is not None]
    for path in sorted(folder.export.glob("*/manifest.json")):
        try:
            manifest = load_manifest(path.parent)
        except EdgeNASError as error:
            yield Note(f"export {path.parent.name}: {error}", is_warning=True)
            continue
        exports[path.parent.name] = manifest.verdict_word
        said = manifest.metrics.metrics.doubts(f"the net of export {path.parent.name} on {manifest.metrics.split}")
        doubts += [] if said is None else [said]
    return exports, tuple(doubts)


def _origins(folder: RunFolder) -> Iterator[Note]:
    """Who teaches, and what the supernet started from, as their weights say."""
    teacher = _facts_of(folder.teacher / WEIGHTS)
    if teacher.members is not None:
        total = sum(member.weight for member in teacher.members)
        shares = [f"{each.name} at {each.image_px} px ({percent(each.weight / total)})" for each in teacher.members]
        yield Note(f"teacher: {', '.join(shares)}")
    elif teacher.teacher is not None:
        yield Note(f"teacher: {teacher.teacher}")
    init = _facts_of(folder.supernet / WEIGHTS).init
    if init is not None:
        how = f", {init.selection.method} weights selected" if init.selection is not None else ""
        yield Note(f"supernet: started from {init.source}{how}")


def _facts_of(path: Path) -> CheckpointFacts:
    return CheckpointFacts.said_by(path, facts_in(path))


def _stage(name: str, path: Path | None, command: str) -> StageFacts:
    """A stage by the file that it makes."""
    if path is None or not path.is_file():
        return StageFacts(name=name, state=MISSING, made=None, command=command)
    made = datetime.fromtimestamp(path.stat().st_mtime).isoformat(" ", "minutes")
    return StageFacts(name=name, state=THERE, made=made, command="")


def _checked_search(
    project: Project, stages: _Stages, splits: Splits | None
) -> Generator[Note, None, tuple[StageFacts, CandidateRow | None]]:
    """The stage of the search, outdated where later commands would refuse its result, and the winner."""
    stage, folder = stages.search, project.run
    if stage.state != THERE or stages.data.state != THERE:
        return stage, None
    try:
        require_space(folder, project.space.name)
        return stage, winner_of(folder, splits)
    except EdgeNASError as error:
        yield Note(f"search: {error}", is_warning=True)
        return replace(stage, state=OUTDATED, command=typed(folder, "search")), None


def _checked_retrain(folder: RunFolder, stage: StageFacts, winner: CandidateRow | None) -> Generator[Note, None, StageFacts]:
    """The stage of the net that was trained to the end, outdated where later commands would refuse it."""
    if stage.state != THERE:
        return stage
    try:
        read_retrain(folder)
        why = outdated_net(folder, _facts_of(folder.retrain / WEIGHTS), winner)
    except EdgeNASError as error:
        why = str(error)
    if why is None:
        return stage
    yield Note(f"retrain: {why if why.startswith(str(folder.path)) else f'the net {why}'}", is_warning=True)
    return replace(stage, state=OUTDATED, command=typed(folder, "retrain"))


def _unfinished(folder: RunFolder) -> Iterator[Note]:
    """What trainings were interrupted."""
    for part in (folder.teacher, folder.supernet, folder.retrain, folder.compare):
        if any(path.is_file() for path in part.rglob(STATE)):
            yield Note(f"{part.name}: a training is unfinished; the command that began it goes on", is_warning=True)


def _rate(settings: ProjectSettings, images: Images) -> LoaderFacts:
    """Images a second of the loader alone, as `edgenas train` uses it."""
    from edgenas.data.batches import loader_rate  # these need PyTorch, which all else here does without
    from edgenas.project.trainings.recipe import batches_for

    train = settings.train
    use_threads(train.threads, images.task)
    batches = batches_for(images, train, balance=train.balance, seed=train.seed, workers=settings.data.workers)
    return LoaderFacts(**asdict(loader_rate(batches, seconds=LOADER_SECONDS)))
