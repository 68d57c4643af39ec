"""Finding latency tables: in a run folder, among those that come with edgenas, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from edgenas.errors import LatencyTableError
from edgenas.latency.table.table import LatencyTable
from edgenas.registries import nearest


class Fitting(NamedTuple):
    """A table that fits what was asked for.

    Attributes:
        warnings: differences that are allowed.
    """

    path: Path
    table: LatencyTable
    warnings: tuple[str, ...]


def find_tables(folder: Path) -> tuple[Path, ...]:
    """The JSON files of ``folder``, newest first."""
    if not folder.is_dir():
        return ()
    paths = [path for path in folder.glob("*.json") if not path.name.startswith(".") and path.exists()]  # no dangling link
    return tuple(sorted(paths, key=lambda path: (-path.stat().st_mtime_ns, path.name)))


def named_table(name: str, folder: Path | None = None) -> Path:
    """A table by file, by the name of one in ``folder``, or of one that comes with edgenas.

    Raises:
        LatencyTableError: naming those that there are.
    """
    path = Path(name)
    if path.exists() and not path.is_dir():  # a pipe is refused by whoever reads it
        return path
    own = {} if folder is None else {path.stem: path for path in find_tables(folder)}
    shipped = shipped_tables()
    stem = name.removesuffix(".json")
    if stem not in own and stem not in shipped:
        known = ", ".join(sorted(shipped)) or "none"
        near = nearest(stem, [*own, *shipped])
        hint = "" if near is None else f"did you mean {near!r}? "
        hint += f"give a file, or one that comes with edgenas: {known}"
        if own:
            hint += f"; or one of the run: {', '.join(sorted(own))}"
        raise LatencyTableError(f"there is no latency table {name!r}", hint=hint)
    return own[stem] if stem in own else shipped[stem]


def load_table(name: str | Path) -> LatencyTable:
    """A table by file, or by the name of one that comes with edgenas; nobody has changed it since it was measured.

    Raises:
        LatencyTableError: naming those that there are; or if the file is damaged, edited or of another schema.
    """
    return LatencyTable.load(named_table(str(name)))


def shipped_tables() -> dict[str, Path]:
    """The tables that come with edgenas, by name."""
    folder = files("edgenas.latency_tables")
    return {Path(str(item)).stem: Path(str(item)) for item in folder.iterdir() if item.name.endswith(".json")}


def tables_that_fit(paths: Sequence[Path], device_of: Callable[[LatencyTable], str], **wanted: Any) -> list[Fitting]:
    """Those of ``paths`` that `LatencyTable.require_matches`, with their warnings, in their order.

    Args:
        paths: newest first, as `find_tables` gives them.
        device_of: the device that a table has to be of.
        wanted: other arguments of `LatencyTable.require_matches`.

    Raises:
        LatencyTableError: if none fits, naming what is wrong with every one.
    """
    tables, problems = [], []
    for path in paths:
        try:
            table = LatencyTable.load(path)
            tables.append(Fitting(path, table, table.require_matches(name=str(path), device=device_of(table), **wanted)))
        except LatencyTableError as error:
            problems.append(f"{error.message}{': ' if error.problems else ''}{', '.join(error.problems)}")
    if tables:
        return tables
    if not problems:
        raise LatencyTableError("there is no latency table", hint="run `edgenas profile`")
    raise LatencyTableError("no latency table fits", problems=problems, hint="run `edgenas profile`")


def one_context(fitting: Sequence[Fitting], *usual: Callable[[LatencyTable], bool]) -> Fitting:
    """The newest of tables of one context; of several contexts of one device, of the usual one.

    Args:
        fitting: newest first.
        usual: what the usual context is; every one is asked in turn, as long as several are left.

    Raises:
        LatencyTableError: naming the tables of several contexts that are left.
    """
    newest: dict[tuple[Any, ...], Fitting] = {}
    for each in fitting:
        newest.setdefault(each.table.context.key, each)
    is_one_device = len({each.table.context.device for each in newest.values()}) == 1
    for is_usual in usual if is_one_device else ():
        if len(newest) > 1:
            newest = {key: each for key, each in newest.items() if is_usual(each.table)} or newest
    if len(newest) > 1:
        raise LatencyTableError(
            f"there are latency tables of {len(newest)} contexts",
            problems=[f"{each.path.stem}: {each.table.context}" for each in newest.values()],
            hint="choose one with --table NAME",
        )
    return next(iter(newest.values()))
