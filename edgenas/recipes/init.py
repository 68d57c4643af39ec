"""`edgenas init`: read the images, divide them, write the settings."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgenas.config import Flags, blamed, build, merge, parse_overrides
from edgenas.costs import cost_models
from edgenas.data import ImageSource, absolute_source, scan_source
from edgenas.data.divide import Divided, Division, divide
from edgenas.data.draw import Drawn, draw_per_class
from edgenas.data.images import positive_index
from edgenas.data.inspect import Inspection, inspect
from edgenas.data.names import tidy
from edgenas.data.near import NearDuplicates, find_near
from edgenas.data.pixels import Pixels, decide_pixels
from edgenas.data.problems import save_problems
from edgenas.data.proving import count_distinct, what_can_be_proved, what_is_together
from edgenas.data.samples import sample_picture
from edgenas.data.splits import Splits, save_splits
from edgenas.errors import ConfigError, RunFolderError
from edgenas.project.choosing.asking import look_for
from edgenas.project.choosing.here import RESULT
from edgenas.project.early import require_asked
from edgenas.project.named_recipes import require_recipe
from edgenas.project.opening import Project, composed, image_px_of
from edgenas.project.setting_file import settings_text
from edgenas.project.setting_schema import FILE, schema
from edgenas.project.settings import DataSettings, ProjectSettings
from edgenas.project.trainings.inputs import known_normalisation
from edgenas.records import ChosenSpace, InitResult, SpaceSize, TaskFacts
from edgenas.runs import Note, Outcome, Progress, Record, RunFolder, locked, write_json, write_text
from edgenas.runs.stages import UNFINISHED
from edgenas.spaces import SearchSpace, Task, get_space


@dataclass(frozen=True, slots=True)
class InitConfig:
    """What `edgenas init` was asked for.

    Attributes:
        look: measure which spaces fit where a latency of this device is limited.
    """

    run: Path
    flags: Flags
    overrides: tuple[str, ...] = ()
    force: bool = False
    look: bool = True


def run(config: InitConfig) -> Iterator[Record]:
    """Divide the images and write `edgenas.toml`.

    Raises:
        RunFolderError: if the folder already holds a project and ``force`` is not set.
        DataError: listing everything that is wrong with the images.
        UsageError: if there is no such recipe.
        ConfigError: if a flag or override cannot be.
        InfeasibleError: if a limit on the latency of this device is given, and no net of any space meets it.
    """
    folder = RunFolder(config.run)
    unfinished = folder.splits.with_name(UNFINISHED)
    if folder.config.exists() and not config.force and not unfinished.exists():
        raise RunFolderError(f"{folder.config} exists already", hint="take another folder with --run, or replace it with --force")
    require_recipe(config.flags)
    given = config.flags["data"]
    flags = {**config.flags, "data": {**given, "source": absolute_source(given["source"])}}
    asked = merge(flags, parse_overrides(config.overrides))
    source = scan_source(flags["data"]["source"], _map_label(asked, config))
    tables = _tables(source, asked)
    settings = composed(_built(tables, config))
    positive_index(settings.data.positive, source.class_names)
    require_asked(settings, source.class_names)
    by_hand = "name" in asked.get("space", {})
    space, task = _space_and_task(settings, source)
    for line in source.notes:
        yield Note(line)
    with locked(folder):
        write_text(unfinished, "`edgenas init` was at work here; the same command goes on\n")
        drawn = _draw(source, settings.data)
        if settings.data.max_per_class is not None:
            yield Note(f"max_per_class {settings.data.max_per_class}: {drawn}")
        inspected = yield from _inspect(drawn.source)
        near = (yield from _near(drawn.source, inspected)) if settings.data.near_duplicates else NearDuplicates()
        divided = divide(drawn.source, inspected, _division(settings.data), left_out=drawn.left_out, near=near)
        pixels, splits = _pixels(drawn.source, inspected, divided, settings, task.image_px)
        inspected.index.save(folder.files)
        problems = tuple(dict.fromkeys((*divided.problems, *pixels.problems)))
        save_problems(folder.problems, problems)
        save_splits(folder.splits, splits)
        looked = None
        if config.look:
            looked = yield from look_for(
                Project(folder, settings),
                divided.source,
                len(splits["train"]),
                by_hand=by_hand,
                image_px=settings.data.image_px,
            )
        if looked is not None and looked.chosen is not None:
            tables = _with_choice(tables, looked.chosen)
            space, task = _space_and_task(_built(tables, config), source)
        write_json(folder.path / FILE, schema())
        write_text(folder.config, settings_text(tables))
        preprocess = replace(pixels.preprocess, image_px=task.image_px)  # which a look may have chosen
        yield sample_picture(divided.source, splits, preprocess, folder.samples)
        unfinished.unlink(missing_ok=True)
    yield from (Note(line) for line in pixels.notes)
    for line in (*divided.warnings, *pixels.warnings):
        yield Note(line, is_warning=True)
    provable = [*_provable(splits, settings.data.positive), *what_is_together(divided.source, divided.joined)]
    if settings.data.positive is None:
        yield Note("no positive class is set: `edgenas init --positive CLASS` names the class that must not be missed")
    result = InitResult(
        data=source.name,
        num_images=len(splits),
        num_excluded=len(splits.excluded) - len(drawn.left_out),
        num_not_drawn=len(drawn.left_out),
        notes=tuple(source.notes),
        classes=tuple(source.class_names),
        positive=settings.data.positive,
        space=SpaceSize(name=space.name, num_subnets=space.cardinality),
        task=TaskFacts(**asdict(task)),
        splits=splits.class_counts,
        fingerprint=splits.fingerprint,
        provable=tuple(provable),
        preprocessing=preprocess.as_json(),
        num_problems=len(problems),
        num_patients=count_distinct(divided.source.groups),
        num_sites=count_distinct(divided.source.sites),
        look=looked,
    )
    outputs = {"config": folder.config, "splits": folder.splits, "samples": folder.samples, "problems": folder.problems}
    yield Outcome(result, outputs if looked is None else outputs | {"look": folder.look / RESULT})


def _pixels(
    source: ImageSource, inspected: Inspection, divided: Divided, settings: ProjectSettings, image_px: int
) -> tuple[Pixels, Splits]:
    """How images become what nets read, and the splits that keep it."""
    asked, known = settings.data.pixels, known_normalisation(settings)
    splits = divided.splits
    pixels = decide_pixels(source, inspected, divided.source, splits["train"], image_px, asked, known)
    options = {**splits.options, **({"pixels": asked.changed} if asked.changed else {})}
    return pixels, replace(splits, options=options, pixels=pixels.stored)


def _built(tables: Mapping[str, Any], config: InitConfig) -> ProjectSettings:
    """Settings of tables; what is wrong is said of the flag or ``--set`` that gave it.

    Raises:
        ConfigError: listing everything that is wrong.
    """
    try:
        return build(ProjectSettings, tables, source="a setting of the command line")
    except ConfigError as error:
        problems = blamed(error.problems, parse_overrides(config.overrides), config.flags)
        raise ConfigError(error.message, problems=problems, hint=error.hint) from error


def _map_label(asked: Mapping[str, Any], config: InitConfig) -> Mapping[str, str]:
    """How labels are renamed, checked before images are looked for."""
    if not asked["data"].get("map_label"):
        return {}
    return _built(asked, config).data.map_label


def _space_and_task(settings: ProjectSettings, source: ImageSource) -> tuple[SearchSpace, Task]:
    """The space, and what its nets are for.

    Raises:
        ConfigError: if it has no nets for images of this size.
    """
    space = get_space(settings.space.name)
    task = Task(len(source.class_names), 3, image_px_of(settings, source))
    _require_grid(space, task)
    return space, task


def _with_choice(tables: Mapping[str, Any], chosen: ChosenSpace) -> dict[str, Any]:
    """The tables with the space and the side that a look chose."""
    return merge(tables, {"data": {"image_px": chosen.image_px}, "space": {"name": chosen.space}})


def _inspect(source: ImageSource) -> Generator[Record, None, Inspection]:
    """Decode every image once, with progress."""
    for record in inspect(source):
        if isinstance(record, Inspection):
            return record
        yield Progress("checking images", record, len(source.labels_N))
    raise AssertionError("an inspection ends with its findings")


def _near(source: ImageSource, found: Inspection) -> Generator[Record, None, NearDuplicates]:
    """Look for pictures that are nearly the same, with progress; those that are equal or plain are not compared, only counted."""
    compared = num_images = len(source.labels_N)
    for record in find_near(found.sketches_ND, source.labels_N, found.shown):
        if isinstance(record, NearDuplicates):
            if compared < num_images:
                yield Progress("comparing images", num_images, num_images)
            return record
        compared = record
        yield Progress("comparing images", compared, num_images)
    raise AssertionError("a comparison ends with its findings")


def _draw(source: ImageSource, data: DataSettings) -> Drawn:
    """What is used of the source; the rest is neither read nor decoded."""
    if data.max_per_class is None:
        return Drawn(source)
    return draw_per_class(source, data.max_per_class, seed=data.seed, val_as=data.val_as)


def _division(data: DataSettings) -> Division:
    return Division(
        fractions=data.fractions,
        seed=data.seed,
        skip_bad_images=data.skip_bad_images,
        drop_overlap=data.drop_overlap,
        map_label=data.map_label,
        near_duplicates=data.near_duplicates,
        select_per_class=data.select_per_class,
        val_as=data.val_as,
        max_per_class=data.max_per_class,
    )


def _tables(source: ImageSource, given: Mapping[str, Any]) -> dict[str, Any]:
    """The tables to write: what was given, and the source's own positive class and space where nothing was."""
    data = {"positive": source.default_positive} | dict(given.get("data", {}))
    if isinstance(data["positive"], str):
        data["positive"] = tidy(data["positive"])
    space = {"name": source.default_space} | dict(given.get("space", {}))
    rest = {name: table for name, table in given.items() if name not in ("data", "space") and table}
    return {"data": {key: value for key, value in data.items() if value is not None}, "space": space, **rest}


def _require_grid(space: SearchSpace, task: Task) -> None:
    """Check that the space has nets for such images."""
    try:
        cost_models(space, task)
    except ValueError as error:  # the layers' own word for a task that a family has no nets for
        text = f"images of {task.image_px} px are too small for {space.name}"
        raise ConfigError(text, hint="choose a larger --image-px") from error


def _provable(splits: Splits, positive: str | None) -> list[str]:
    if positive is None:
        return []
    return [what_can_be_proved(splits.class_counts, positive, split) for split in ("select", "confirm", "test")]
