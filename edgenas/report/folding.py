"""Tables that lose nothing on a narrow terminal: words are never cut, and where columns have no room, rows become blocks."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.style import StyleType
from rich.table import Column, Table
from rich.text import Text

from edgenas.escaping import terminal

LONGEST = 72  # a word of more characters (a path, a hash) goes over several lines of its cell
PARTS = " _/:@-"  # characters after which a name goes on in the next line


class Cells(Table):
    """A borderless table whose cells are text: brackets, colons and backslashes in a name are those of the name.

    Args:
        headers: of the columns; those that start with ``>`` are aligned right.
        title: over the table, as wide as the terminal.
        names: least width of the first column, whose names then go over several lines, where nothing else keeps columns beside each
            other; None never parts a name.
    """

    def __init__(self, headers: Sequence[str], title: str | None = None, *, names: int | None = None) -> None:
        super().__init__(box=box.SIMPLE_HEAD, pad_edge=False)
        self.names = names
        self.heading = None if title is None else Text(title, style="bold")
        for header in headers:
            self.add_column(
                Text(terminal(header.removeprefix(">"))), justify="right" if header.startswith(">") else "left", overflow="fold"
            )

    def add_row(self, *cells: RenderableType | None, style: StyleType | None = None, end_section: bool = False) -> None:
        """One row; plain strings are shown as they are, control characters written out so that columns are as wide as they need."""
        super().add_row(*map(_readable, cells), style=style, end_section=end_section)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The title, then columns as far as they fit, cutting no word but of names, else every row as a block of lines.

        Before that, intervals go below their values.
        """
        if self.heading is not None:
            yield Text()
            yield self.heading
        laid = self._laid(console, options)
        if laid is None:
            yield from self._blocks()
        else:
            yield from self._beside(*laid, console, options)

    def is_beside(self, console: Console, options: ConsoleOptions) -> bool:
        """Whether its columns have room beside each other."""
        return self._laid(console, options) is not None

    def _laid(self, console: Console, options: ConsoleOptions) -> tuple[Sequence[Column], Sequence[int]] | None:
        """Columns with their widths; None where they have no room."""
        room = options.max_width - (3 * len(self.columns) - 1)  # what paddings and the edges of the box take
        for columns in (self.columns, [_in_two_lines(column) for column in self.columns]):
            widths = self._widths([_needs(console, options, column) for column in columns], room)
            if widths is not None:
                return columns, widths
        return None

    def _widths(self, needs: Sequence[tuple[int, int]], room: int) -> list[int] | None:
        """As `shared`, names in several lines where nothing else keeps columns beside each other."""
        widths = shared(needs, room)
        if widths is None and self.names is not None:
            others = sum(least for least, _ in needs[1:])
            if room - others >= self.names:
                widths = shared([(min(needs[0][0], room - others), needs[0][1]), *needs[1:]], room)
        return widths

    def _beside(self, columns: Sequence[Column], widths: Sequence[int], console: Console, options: ConsoleOptions) -> RenderResult:
        """The columns in these widths."""
        table = copy.copy(self)
        table.columns = [replace(column, width=width) for column, width in zip(columns, widths, strict=True)]
        if self.names is not None:
            table.columns[0]._cells = [parted(cell, widths[0]) for cell in columns[0].cells]
        yield from Table.__rich_console__(table, console, options)

    def _blocks(self) -> Iterator[RenderableType]:
        """A row under its first cell, a line for each other cell with its header before it."""
        headers = [column.header for column in self.columns]
        cells = zip(*(column.cells for column in self.columns), strict=True)
        for row, (first, *others) in zip(self.rows, cells, strict=True):
            lines = Table.grid(Column(overflow="fold", style=row.style or ""), Column(overflow="fold"), padding=(0, 2, 0, 0))
            for header, cell in zip(headers[1:], others, strict=True):
                if str(cell):
                    lines.add_row(Text.assemble("  ", _one_line(header)), cell, style=row.style)
            yield Text()
            yield from [first] if str(first) else []
            yield lines


class FirstBeside:
    """The first of several tables of the same facts whose columns have room beside each other; the last one if none has."""

    def __init__(self, *tables: Table) -> None:
        self.tables = tables

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The one table."""
        for shown in self.tables[:-1]:
            if not isinstance(shown, Cells) or shown.is_beside(console, options):
                yield shown
                return
        yield self.tables[-1]


def parted(cell: RenderableType, width: int) -> RenderableType:
    """A name over as many lines as it needs, parted after one of `PARTS` where it can be; what follows is indented as it is."""
    if not isinstance(cell, Text):
        return cell
    return Text("\n").join(_parted(line, width) for line in cell.split("\n", allow_blank=True))


def _parted(line: Text, width: int) -> Text:
    name, start, ends = line.plain, 0, []
    indent = len(name) - len(name.lstrip(" →"))
    while len(name) - start > (room := max(1, width - (indent if start else 0))):
        last = max(name.rfind(character, start, start + room) for character in PARTS) + 1
        start = last if last > start + (0 if start else indent) else start + room
        ends.append(start)
    return Text("\n" + " " * indent).join(line.divide(ends))


def shared(needs: Sequence[tuple[int, int]], room: int) -> list[int] | None:
    """Widths of columns that share ``room`` characters, the widest shortened first; None where one could not hold its words.

    Args:
        needs: of each column, the least and the most characters.
        room: for all of them.
    """
    widths = [most for _, most in needs]
    if sum(least for least, _ in needs) > room:
        return None
    while sum(widths) > room:
        slack = [width if width > least else -1 for width, (least, _) in zip(widths, needs, strict=True)]
        widths[slack.index(max(slack))] -= 1
    return widths


def _needs(console: Console, options: ConsoleOptions, column: Column) -> tuple[int, int]:
    """The least and the most characters that a column has use for; numbers, aligned right, stay on their line."""
    whole = options.update(max_width=10**6)
    header = Measurement.get(console, whole, column.header)
    cells = [Measurement.get(console, whole, cell) for cell in column.cells if str(cell)]
    most = max((header.maximum, *(cell.maximum for cell in cells)))
    if column.no_wrap:
        return most, most
    indent = max((len(str(cell)) - len(str(cell).lstrip()) for cell in column.cells), default=0)
    least = max((header.minimum, *(cell.maximum if column.justify == "right" else cell.minimum + indent for cell in cells)))
    return min(least, LONGEST), most


def _in_two_lines(column: Column) -> Column:
    """A column of numbers with each interval below its value."""
    if column.justify != "right":
        return column
    below = replace(column)
    below._cells = [_parted_interval(cell) for cell in column.cells]
    return below


def _parted_interval(cell: RenderableType) -> RenderableType:
    if not isinstance(cell, Text) or (place := cell.plain.find(" [")) < 1:
        return cell
    value, interval = cell.divide([place])
    return Text("\n").join([value, interval[1:]])


def _one_line(header: RenderableType) -> Text:
    return Text(" ".join(str(header).split()))


def _readable(cell: RenderableType | None) -> RenderableType | None:
    """A text as it is shown; one in which nothing would be written in another way stays."""
    if isinstance(cell, str):
        return Text(terminal(cell))
    if isinstance(cell, Text) and terminal(cell.plain) != cell.plain:
        return Text(terminal(cell.plain), style=cell.style)
    return cell
