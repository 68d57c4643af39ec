"""Where everything is shown: a console on which names are names, whatever characters they hold."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from edgenas.escaping import terminal

LEAST = 10  # columns or lines that anything can be drawn on
UNLIMITED = 20_000  # columns of a pipe or file: nothing is wrapped


class LiteralConsole(Console):
    """A console that takes no markup, no emoji codes and no control characters from what it is given; styles are its own.

    A terminal has its width; a pipe or file has none, and nothing is wrapped or cut there, unless ``COLUMNS`` says a width.
    """

    def __init__(self, **settings: Any) -> None:
        environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES") or _is_size(value)}
        super().__init__(markup=False, emoji=False, highlight=False, _environ=environment, **settings)
        if settings.get("width") is None and "COLUMNS" not in environment and not self.is_terminal:
            self.width = UNLIMITED

    def on_broken_pipe(self) -> None:
        """Raise what the command line takes for the end of its reader; rich itself would end with status 1."""
        raise BrokenPipeError

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Segments of what is shown, control characters of their texts written out; those of rich itself stay."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=terminal(segment.text))


def _is_size(text: str) -> bool:
    """Whether rich can draw anything on so many columns or lines."""
    return text.isdecimal() and int(text) >= LEAST
