"""Bars of progress: how long they are, what stands above them, and times with their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.table import Column, Table
from rich.text import Text

from edgenas.report.front import FrontPicture


class Bars(Progress):
    """Progress bars, and above them the front of a search while there is one."""

    above: FrontPicture | None = None

    def get_renderables(self) -> Iterator[RenderableType]:
        """What is redrawn together."""
        if self.above is not None:
            yield self.above
        yield from super().get_renderables()

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        """The bars that are to be seen, below each other."""
        tasks = list(tasks)
        for column in self.columns:
            if isinstance(column, Bar):
                column.fit(tasks)
        return super().make_tasks_table(tasks)


class Bar(BarColumn):
    """Bars as long as labels, numbers and details leave room for, all alike.

    Args:
        width: columns of the terminal.
    """

    NUMBERS, DETAILS, SHORTEST, LONGEST = 44, 53, 3, 24

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width

    def fit(self, tasks: Iterable[Task]) -> None:
        """Take the length at which each of these has room."""
        needed = (len(task.description) + (self.DETAILS if task.fields.get("shown") else 0) for task in tasks if task.visible)
        self.bar_width = min(max(self._width - self.NUMBERS - max(needed, default=0), self.SHORTEST), self.LONGEST)


class Labelled(ProgressColumn):
    """A time with its name before it, without leading zeros."""

    max_refresh = 0.5

    def __init__(self, name: str, column: ProgressColumn, style: str) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._name = name
        self._column = column
        self._style = style

    def render(self, task: Task) -> Text:
        """The name, then what the column says."""
        said = str(self._column.render(task))
        return Text.assemble(f"{self._name} ", (said.removeprefix("0:").removeprefix("0"), self._style))
