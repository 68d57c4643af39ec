"""What a new `edgenas.toml` will say, from flags, ``--set`` and what the images suggest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgenas.config import Flags, blamed, build, merge, parse_overrides
from edgenas.costs import cost_models
from edgenas.data import ImageSource, absolute_source
from edgenas.data.names import tidy
from edgenas.errors import ConfigError
from edgenas.project.opening import image_px_of
from edgenas.project.settings import ProjectSettings
from edgenas.records import ChosenSpace
from edgenas.spaces import SearchSpace, Task, get_space


@dataclass(frozen=True, slots=True)
class NewSettings:
    """Settings by table as they will be written, and where they come from.

    Attributes:
        tables: by name; what was not given is left to the defaults.
        source: of the images, as `edgenas init --data` names it, its path absolute.
        is_space_given: whether a space was chosen by hand.
        flags: of the command line, by table.
        overrides: each written ``table.key=value``; they count more than flags.
    """

    tables: Flags
    source: str
    is_space_given: bool
    flags: Flags
    overrides: tuple[str, ...]

    @classmethod
    def given(cls, flags: Flags, overrides: tuple[str, ...]) -> NewSettings:
        """What the command line gives; ``flags`` name a source of images.

        Raises:
            ConfigError: naming every override that has another form.
        """
        source = absolute_source(flags["data"]["source"])
        tables = merge(merge(flags, {"data": {"source": source}}), parse_overrides(overrides))
        return cls(tables, source, "name" in tables.get("space", {}), flags, overrides)

    @property
    def map_label(self) -> Mapping[str, str]:
        """How labels are renamed, checked before images are looked for.

        Raises:
            ConfigError: as `built`, if labels are renamed.
        """
        return self.built().data.map_label if self.tables.get("data", {}).get("map_label") else {}

    def of_source(self, source: ImageSource) -> NewSettings:
        """With the source's own positive class and space where nothing was given, and without tables that are empty."""
        data = {"positive": source.default_positive, **self.tables.get("data", {})}
        spelled = {key: tidy(value) if key == "positive" and isinstance(value, str) else value for key, value in data.items()}
        space = {"name": source.default_space, **self.tables.get("space", {})}
        rest = {name: table for name, table in self.tables.items() if name not in ("data", "space") and table}
        tables = {"data": {key: value for key, value in spelled.items() if value is not None}, "space": space, **rest}
        return replace(self, tables=tables)

    def with_choice(self, chosen: ChosenSpace) -> NewSettings:
        """With the space and the side that a look chose."""
        return replace(self, tables=merge(self.tables, {"data": {"image_px": chosen.image_px}, "space": {"name": chosen.space}}))

    def built(self) -> ProjectSettings:
        """The settings; what is wrong is said of the flag or ``--set`` that gave it.

        Raises:
            ConfigError: listing everything that is wrong.
        """
        try:
            return build(ProjectSettings, self.tables, source="a setting of the command line")
        except ConfigError as error:
            problems = blamed(error.problems, parse_overrides(self.overrides), self.flags)
            raise ConfigError(error.message, problems=problems, hint=error.hint) from error


def space_and_task(settings: ProjectSettings, source: ImageSource) -> tuple[SearchSpace, Task]:
    """The space, and what its nets are for.

    Raises:
        ConfigError: if it has no nets for images of this size.
    """
    space = get_space(settings.space.name)
    task = Task(len(source.class_names), 3, image_px_of(settings, source))
    try:
        cost_models(space, task)
    except ValueError as error:  # the layers' own word for a task that a family has no nets for
        text = f"images of {task.image_px} px are too small for {space.name}"
        raise ConfigError(text, hint="choose a larger --image-px") from error
    return space, task
