"""What files of tables are called, and what tells two of them apart that would have the same name."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass

from edgenas.latency.timing import SCOPE, Context
from edgenas.spaces import Task


@dataclass(frozen=True, slots=True)
class Kind:
    """Tables of one kind replace each other in a folder.

    Attributes:
        context: what tells contexts apart.
        task: of the nets.
        space_sha256: hash of the space's choices.
        threads: on a CPU.
        is_of_kit: whether a kit measured it.
    """

    context: tuple[Hashable, ...]
    task: Task
    space_sha256: str
    threads: int | None
    is_of_kit: bool

    def words_beside(self, other: Kind) -> tuple[str, ...]:
        """What a name says of a table of this kind beside one of another."""
        words = (
            (self.threads != other.threads, f"{self.threads}-threads"),
            (self.task.image_px != other.task.image_px, f"{self.task.image_px}px"),
            (self.is_of_kit != other.is_of_kit, "kit" if self.is_of_kit else "no-kit"),
        )
        return tuple(text for is_other, text in words if is_other)


def kind_of_table(context: Context, task: Task, space_sha256: str) -> Kind:
    """The kind of a table of this context, task and space."""
    return Kind(context.key, task, space_sha256, context.threads, "kit" in context.details)


def name_of_file(context: Context, space: str) -> str:
    """``<device>_<runtime>_<precision>_b<batch>_<space>.json``, with the scope at the end where it is not ``end_to_end``."""
    scope = () if context.scope == SCOPE else (context.scope,)
    parts = (context.device, context.runtime, context.precision, f"b{context.batch_size}", space, *scope)
    return "_".join(slug(part) for part in parts) + ".json"


def slug(text: str) -> str:
    """Lower-case letters, digits, dots and dashes, as in file names; never nothing."""
    return re.sub(r"[^a-z0-9.]+", "-", re.sub(r"\((r|tm)\)", " ", text.lower())).strip("-.") or "device"
