"""`edgenas init`: read the images, divide them, write the settings."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edgenas.config import Flags
from edgenas.data import ImageSource, scan_source
from edgenas.data.divide import Divided, Division, divide
from edgenas.data.draw import Drawn, draw_per_class
from edgenas.data.images import positive_index
from edgenas.data.inspect import Inspection, inspect
from edgenas.data.near import NearDuplicates, find_near
from edgenas.data.pixels import Pixels, decide_pixels
from edgenas.data.problems import Problem, save_problems
from edgenas.data.proving import count_distinct, what_can_be_proved, what_is_together
from edgenas.data.samples import sample_picture
from edgenas.data.splits import Splits, save_splits
from edgenas.errors import RunFolderError
from edgenas.project.choosing.asking import look_for
from edgenas.project.choosing.here import RESULT
from edgenas.project.early import require_asked
from edgenas.project.named_recipes import require_recipe
from edgenas.project.new_settings import NewSettings, space_and_task
from edgenas.project.opening import Project, composed
from edgenas.project.setting_file import settings_text
from edgenas.project.setting_schema import FILE, schema
from edgenas.project.settings import DataSettings, ProjectSettings
from edgenas.project.trainings.inputs import known_normalisation
from edgenas.records import InitResult, SpaceSize, TaskFacts
from edgenas.runs import Note, Outcome, Progress, Record, RunFolder, locked, write_json, write_text
from edgenas.runs.stages import UNFINISHED
from edgenas.spaces import SearchSpace, Task


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
    asked = NewSettings.given(config.flags, config.overrides)
    source = scan_source(asked.source, asked.map_label)
    asked = asked.of_source(source)
    settings = composed(asked.built())
    positive_index(settings.data.positive, source.class_names)
    require_asked(settings, source.class_names)
    space, task = space_and_task(settings, source)
    yield from (Note(line) for line in source.notes)
    with locked(folder):
        write_text(unfinished, "`edgenas init` was at work here; the same command goes on\n")
        images = yield from _divided(source, settings, task.image_px)
        images.save(folder)
        looked = None
        if config.look:
            project, by_hand = Project(folder, settings), asked.is_space_given
            looked = yield from look_for(
                project, images.source, len(images.splits["train"]), by_hand=by_hand, image_px=settings.data.image_px
            )
        if looked is not None and looked.chosen is not None:
            asked = asked.with_choice(looked.chosen)
            space, task = space_and_task(asked.built(), source)
        write_json(folder.path / FILE, schema())
        write_text(folder.config, settings_text(asked.tables))
        preprocess = replace(images.pixels.preprocess, image_px=task.image_px)  # which a look may have chosen
        yield sample_picture(images.source, images.splits, preprocess, folder.samples)
        unfinished.unlink(missing_ok=True)
    yield from images.notes()
    if settings.data.positive is None:
        yield Note("no positive class is set: `edgenas init --positive CLASS` names the class that must not be missed")
    result = images.described(source, settings.data.positive, space, task)
    result = replace(result, preprocessing=preprocess.as_json(), look=looked)
    outputs = {"config": folder.config, "splits": folder.splits, "samples": folder.samples, "problems": folder.problems}
    yield Outcome(result, outputs if looked is None else outputs | {"look": folder.look / RESULT})


@dataclass(frozen=True, slots=True)
class _Images:
    """Images of a project, looked at and divided.

    Attributes:
        drawn: what is used of the source.
        inspected: what was found out about every image of that.
        divided: without what had to be left out.
        pixels: how they become what nets read.
        splits: with what that is.
    """

    drawn: Drawn
    inspected: Inspection
    divided: Divided
    pixels: Pixels
    splits: Splits

    @property
    def source(self) -> ImageSource:
        """The images that were divided."""
        return self.divided.source

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything odd, each once."""
        return tuple(dict.fromkeys((*self.divided.problems, *self.pixels.problems)))

    def save(self, folder: RunFolder) -> None:
        """Write the files that later commands read."""
        self.inspected.index.save(folder.files)
        save_problems(folder.problems, self.problems)
        save_splits(folder.splits, self.splits)

    def notes(self) -> Iterator[Note]:
        """What was decided, and what looks wrong."""
        yield from (Note(line) for line in self.pixels.notes)
        yield from (Note(line, is_warning=True) for line in (*self.divided.warnings, *self.pixels.warnings))

    def described(self, given: ImageSource, positive: str | None, space: SearchSpace, task: Task) -> InitResult:
        """What is known of them; ``given`` is the source before anything was left out."""
        splits, source = self.splits, self.source
        provable = [] if positive is None else _provable(splits, positive)
        return InitResult(
            data=given.name,
            num_images=len(splits),
            num_excluded=len(splits.excluded) - len(self.drawn.left_out),
            num_not_drawn=len(self.drawn.left_out),
            notes=tuple(given.notes),
            classes=tuple(given.class_names),
            positive=positive,
            space=SpaceSize(name=space.name, num_subnets=space.cardinality),
            task=TaskFacts(**asdict(task)),
            splits=splits.class_counts,
            fingerprint=splits.fingerprint,
            provable=(*provable, *what_is_together(source, self.divided.joined)),
            num_problems=len(self.problems),
            num_patients=count_distinct(source.groups),
            num_sites=count_distinct(source.sites),
        )


def _divided(source: ImageSource, settings: ProjectSettings, image_px: int) -> Generator[Record, None, _Images]:
    """Look at the images, and divide them.

    Raises:
        DataError: listing everything that is wrong with them.
    """
    data = settings.data
    drawn = Drawn(source)  # what is not drawn is neither read nor decoded
    if data.max_per_class is not None:
        drawn = draw_per_class(source, data.max_per_class, seed=data.seed, val_as=data.val_as)
        yield Note(f"max_per_class {data.max_per_class}: {drawn}")
    inspected = yield from _inspect(drawn.source)
    near = (yield from _near(drawn.source, inspected)) if data.near_duplicates else NearDuplicates()
    divided = divide(drawn.source, inspected, _division(data), left_out=drawn.left_out, near=near)
    train_N, known = divided.splits["train"], known_normalisation(settings)
    pixels = decide_pixels(drawn.source, inspected, divided.source, train_N, image_px, data.pixels, known)
    options = {**divided.splits.options, **({"pixels": data.pixels.changed} if data.pixels.changed else {})}
    splits = replace(divided.splits, options=options, pixels=pixels.stored)
    return _Images(drawn, inspected, divided, pixels, splits)


def _inspect(source: ImageSource) -> Generator[Record, None, Inspection]:
    """Decode every image once, with progress."""
    for record in inspect(source):
        if isinstance(record, Inspection):
            return record
        yield Progress("checking images", record, len(source.labels_N))
    raise AssertionError("an inspection ends with its findings")


def _near(source: ImageSource, inspected: Inspection) -> Generator[Record, None, NearDuplicates]:
    """Look for pictures that are nearly the same, with progress; those that are equal or plain are not compared, only counted."""
    compared = num_images = len(source.labels_N)
    for record in find_near(inspected.sketches_ND, source.labels_N, inspected.shown):
        if isinstance(record, NearDuplicates):
            if compared < num_images:
                yield Progress("comparing images", num_images, num_images)
            return record
        compared = record
        yield Progress("comparing images", compared, num_images)
    raise AssertionError("a comparison ends with its findings")


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


def _provable(splits: Splits, positive: str) -> list[str]:
    """What the images of the class that must not be missed can prove."""
    return [what_can_be_proved(splits.class_counts, positive, split) for split in ("select", "confirm", "test")]
