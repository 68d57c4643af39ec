"""Finding latency tables: in a run folder, among those that come with edgenas, by name."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgenas.errors import LatencyTableError
from edgenas.latency.table import LatencyTable


def find_tables(folder: Path) -> tuple[Path, ...]:
    """The JSON files of ``folder``, newest first."""
    if not folder.is_dir():
        return ()
    paths = [path for path in folder.glob("*.json") if not path.name.startswith(".")]
    return tuple(sorted(paths, key=lambda path: (-path.stat().st_mtime_ns, path.name)))


def named_table(name: str, folder: Path | None = None) -> Path:
    """A table by file, by the name of one in ``folder``, or of one that comes with edgenas.

    Raises:
        LatencyTableError: naming those that there are.
    """
    path = Path(name)
    if path.is_file():
        return path
    own = {} if folder is None else {path.stem: path for path in find_tables(folder)}
    shipped = shipped_tables()
    stem = name.removesuffix(".json")
    if stem not in own and stem not in shipped:
        known = ", ".join(sorted(shipped)) or "none"
        hint = f"give a file, or one that comes with edgenas: {known}"
        if own:
            hint += f"; or one of the run: {', '.join(sorted(own))}"
        raise LatencyTableError(f"there is no latency table {name!r}", hint=hint)
    return own[stem] if stem in own else shipped[stem]


def shipped_tables() -> dict[str, Path]:
    """The tables that come with edgenas, by name."""
    folder = files("edgenas.latency_tables")
    return {Path(str(item)).stem: Path(str(item)) for item in folder.iterdir() if item.name.endswith(".json")}


def newest_that_fits(paths: Sequence[Path], **wanted: Any) -> tuple[Path, LatencyTable, tuple[str, ...]]:
    """The first of ``paths`` that `LatencyTable.require_matches`, with its warnings.

    Args:
        paths: newest first, as `find_tables` gives them.
        wanted: arguments of `LatencyTable.require_matches`.

    Raises:
        LatencyTableError: naming what is wrong with every one.
    """
    problems = []
    for path in paths:
        try:
            table = LatencyTable.load(path)
            return path, table, table.require_matches(name=str(path), **wanted)
        except LatencyTableError as error:
            problems.append(f"{error.message}{': ' if error.problems else ''}{', '.join(error.problems)}")
    if not problems:
        raise LatencyTableError("there is no latency table", hint="run `edgenas profile`")
    raise LatencyTableError("no latency table fits", problems=problems, hint="run `edgenas profile`")
