"""Opening the project in a run folder: its settings with flags and overrides applied, its images as they were divided."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgenas.config import Flags, blamed, build, parse_overrides, read_toml
from edgenas.data import ImageSource, archives_of, open_source
from edgenas.data.archives import Archives
from edgenas.data.images import Images, positive_index
from edgenas.data.inspect import FileIndex, read_contents
from edgenas.data.loaders import ImageStore
from edgenas.data.names import tidy
from edgenas.data.pixels import stored_preprocess
from edgenas.data.splits import Splits, check_fingerprint, load_splits
from edgenas.data.subset import without
from edgenas.errors import ConfigError, DataError, MissingInputError, RunFolderError
from edgenas.project.named_recipes import beneath, require_recipe
from edgenas.project.setting_limits import layered, require_flags
from edgenas.project.settings import DataSettings, ProjectSettings
from edgenas.runs import RunFolder, sha256_json
from edgenas.runs.place import threads_here
from edgenas.runs.stages import divide_again
from edgenas.spaces import SearchSpace, Task, get_space

SMALL_PX = 64
_LATER = frozenset({"near_duplicates", "map_label"})  # settings that splits of before know nothing of
SET_POSITIVE = 'write positive = "CLASS" under [data] in edgenas.toml, or --set data.positive=CLASS'


@dataclass(frozen=True, slots=True)
class Project:
    """Settings of a run folder with flags and overrides applied."""

    run: RunFolder
    settings: ProjectSettings

    @property
    def space(self) -> SearchSpace:
        """The search space."""
        return get_space(self.settings.space.name)


def load_settings(run: RunFolder, flags: Flags, overrides: Sequence[str]) -> ProjectSettings:
    """The recipe that is asked for, if one is, with `edgenas.toml`, ``--set`` and then flags applied.

    Raises:
        UsageError: if limits that are flags cannot be, or a flag names no recipe.
        MissingInputError: if there is no `edgenas.toml` yet.
        ConfigError: listing everything that is wrong.
    """
    require_flags(flags)
    require_recipe(flags)
    if not run.config.exists():
        raise MissingInputError(f"{run.config} does not exist", hint="run `edgenas init --data SOURCE` first")
    file, given = read_toml(run.config), parse_overrides(overrides)
    tables = layered(beneath(file, given, flags), given, flags)
    try:
        return composed(build(ProjectSettings, tables, source=str(run.config)))
    except ConfigError as error:
        problems = blamed(error.problems, given, flags)
        in_file = not (given or any(flags.values())) or _is_wrong(beneath(file, {}, {}), str(run.config))
        message = error.message if in_file else "a setting of the command line is wrong"
        raise ConfigError(message, problems=problems, hint=error.hint) from error


def composed(settings: ProjectSettings) -> ProjectSettings:
    """Settings that name classes as data do, whatever Unicode form a keyboard or file gave them."""
    data, search = settings.data, settings.search
    return replace(
        settings,
        data=replace(data, positive=None if data.positive is None else tidy(data.positive)),
        search=replace(
            search,
            min_sensitivity={_composed(name): floor for name, floor in search.min_sensitivity.items()},
            limits=tuple(map(_composed, search.limits)),
            maximize=tuple(map(_composed, search.maximize)),
            minimize=tuple(map(_composed, search.minimize)),
        ),
    )


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _is_wrong(tables: Mapping[str, Any], source: str) -> bool:
    """Whether tables are wrong as they are."""
    try:
        build(ProjectSettings, tables, source=source)
    except ConfigError:
        return True
    return False


def open_project(run: Path, flags: Flags, overrides: Sequence[str]) -> Project:
    """The project in a run folder.

    Raises:
        MissingInputError, ConfigError: as `load_settings`.
    """
    folder = RunFolder(run)
    return Project(folder, load_settings(folder, flags, overrides))


def image_px_of(settings: ProjectSettings, source: ImageSource | None) -> int:
    """Resolution that the nets see; without a source, which cannot be read here, as of images that are large enough."""
    if settings.data.image_px is not None:
        return settings.data.image_px
    if is_side_known(settings):
        return get_space(settings.space.name).default_task.image_px
    return 32 if source is None else min(source.default_image_px, 32)


def is_side_known(settings: ProjectSettings) -> bool:
    """Whether settings and space alone tell the resolution that nets see; with one space the images have a say."""
    return settings.data.image_px is not None or settings.space.name != "pvt-nano"


@dataclass(frozen=True, slots=True)
class Divided:
    """What is known of images that are not read: the task, as settings and splits tell it, and the splits."""

    task: Task
    splits: Splits

    @classmethod
    def told(cls, settings: ProjectSettings, splits: Splits) -> Divided:
        """By the settings, and the classes of the splits."""
        return cls(Task(len(splits.class_names), 3, image_px_of(settings, None)), splits)


def open_images(project: Project) -> Images:
    """The images of a project, nothing decoded yet; from now on PyTorch uses as many threads as the settings say.

    Raises:
        MissingInputError, DataError: as `images_of`.
    """
    images = images_of(project)
    use_threads(project.settings.train.threads, images.task)
    return images


def images_of(project: Project, splits: Splits | None = None) -> Images:
    """The images of a project as `edgenas init` divided them, nothing decoded yet.

    Args:
        project: whose images are meant.
        splits: what `load_splits` reads of it; None reads them.

    Raises:
        MissingInputError: if `edgenas init` has not divided them.
        DataError: if they changed since then.
    """
    run, settings = project.run, project.settings
    if not run.splits.exists():
        raise no_splits(run)
    source, splits = open_divided(run, settings.data, splits)
    task = Task(len(source.class_names), 3, image_px_of(settings, source))
    store = ImageStore(source, stored_preprocess(splits.pixels, task.image_px), memory_bytes=settings.data.cache_mb << 20)
    return Images(source, splits, store, task, positive_index(settings.data.positive, source.class_names))


def require_divided(project: Project, splits: Splits | None = None) -> None:
    """Check what `images_of` checks; images in a few large files are not read where these are, by size and times, as before.

    Raises:
        MissingInputError, DataError, RunFolderError: as `images_of`.
    """
    run, data = project.run, project.settings.data
    if not run.splits.exists():
        raise no_splits(run)
    splits = load_splits(run.splits) if splits is None else splits
    _require_division(run, data, splits)
    archives = _archives(data, splits)
    if archives is None or archives != Archives.load(run.archives):
        images_of(project, splits)
    else:
        positive_index(data.positive, splits.class_names)


def _archives(data: DataSettings, splits: Splits) -> Archives | None:
    """The few files that hold all images, as they are now; None where images lie otherwise."""
    paths = archives_of(data.source)
    checked = sha256_json(
        {"source": data.source, "map_label": data.map_label, "splits": splits.sha256, "excluded": splits.excluded}
    )
    return Archives.seen(checked, paths) if paths else None


def no_splits(run: RunFolder) -> MissingInputError:
    """That images were never divided."""
    return MissingInputError(f"{run.splits} does not exist", hint="run `edgenas init --data SOURCE` first")


def open_divided(run: RunFolder, data: DataSettings, splits: Splits | None = None) -> tuple[ImageSource, Splits]:
    """The source without what was left out, and its splits; both are checked to be what `edgenas init` saw.

    Splits that are given are those of the run folder, read before.

    Raises:
        DataError: if images or settings of the division changed since then.
        RunFolderError: if a file of the run is damaged.
    """
    splits = load_splits(run.splits) if splits is None else splits
    _require_division(run, data, splits)
    archives = _archives(data, splits)
    source = without(open_source(data.source, data.map_label), splits.excluded)
    if splits.class_names != source.class_names:
        again = f"run `{divide_again(run, data.source)}` again"
        raise DataError(f"{run.splits} divides other classes than {data.source} has", hint=again)
    index = FileIndex.load(run.files)
    if len(source.labels_N) != len(splits):
        check_fingerprint(splits, source, (), index)
    *_, (contents, seen) = (record for record in read_contents(source, index) if not isinstance(record, int))
    check_fingerprint(splits, source, contents, index)
    # the run folder may be read-only or on a full disk; then the files are read again the next time
    with suppress(RunFolderError):
        if seen != index:
            seen.save(run.files)
        if archives is not None and archives.are_settled and archives != Archives.load(run.archives):
            archives.save(run.archives)
    return source, splits


def _require_division(run: RunFolder, data: DataSettings, splits: Splits) -> None:
    drawn = {"fractions": dict(splits.fractions), "seed": splits.seed, **splits.options}
    problems = [
        f"data.{name} is {value!r} now, {drawn.get(name)!r} when the images were divided"
        for name, value in data.division.items()
        if drawn.get(name) != value and not (name in _LATER and name not in drawn)
    ]
    then, now = drawn.get("pixels", {}), data.pixels.changed
    problems += [
        f"data.{name} is {_said(now, name)} now, {_said(then, name)} when the images were read"
        for name in dict.fromkeys((*then, *now))
        if then.get(name) != now.get(name)
    ]
    if problems:
        hint = f"set them back, or divide again with `{divide_again(run, data.source)}`"
        raise DataError(f"{run.splits} was drawn with other settings", problems=problems, hint=hint)


def _said(values: Mapping[str, Any], name: str) -> str:
    return repr(values[name]) if name in values else "the default"


def use_threads(threads: int | None, task: Task) -> None:
    """Tell PyTorch how many threads to use: two threads on small operators mostly wait, and crawl beside other programs."""
    import torch

    if threads is None and task.image_px <= SMALL_PX:
        threads = 1
    if threads is None:
        threads = min(torch.get_num_threads(), threads_here())  # PyTorch knows no quota
    torch.set_num_threads(max(1, threads))
