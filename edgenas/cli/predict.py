"""`edgenas predict`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from edgenas.cli.options import output_options
from edgenas.errors import EdgeNASError, UsageError

if TYPE_CHECKING:
    from edgenas.records import Prediction
    from edgenas.report.predict import CsvRows

STDOUT = "-"


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--run", type=click.Path(path_type=Path), default=Path("edgenas-run"), show_default=True, help="Run folder.")
@click.option("--artifact", type=click.Path(path_type=Path), help="An artefact folder; default: the run's newest.")
@click.option("--net", metavar="NAME", help="Of the run: searched, baseline or a rival of compare; default: its own.")
@click.option("--csv", "csv", metavar="FILE", help="Write every row as CSV; - is standard output.")
@click.option("--batch-size", type=click.IntRange(1, 4096), default=1, show_default=True, help="Images a call.")
@click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, help="Every so manieth frame of a video.")
@click.option("--frames", type=click.IntRange(min=1), help="Most frames of a video or camera.")
@output_options
def predict(
    paths: tuple[str, ...],
    run: Path,
    artifact: Path | None,
    net: str | None,
    csv: str | None,
    batch_size: int,
    every: int,
    frames: int | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """Ask the exported net about images.

    PATH is a file, a folder (with all folders in it), a pattern in quotes, a video, the number of a camera, or - for
    paths on standard input. Images that cannot be read are rows with the reason; the command then ends with status 1.
    A pipe or a file gets every row, with tabs between its cells.
    """
    from edgenas.cli.runner import execute

    delimiter = ","
    if csv is None and not as_json and not _is_read_by_a_person():
        csv, delimiter = STDOUT, "\t"
    with ExitStack() as stack:
        spool = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) if as_json else None

        def start() -> Iterator[Any]:
            from edgenas.recipes.predict import Frames, PredictConfig
            from edgenas.recipes.predict import run as recipe

            if as_json and csv == STDOUT:
                raise UsageError("--json and --csv - both want standard output; give --csv a file")
            if artifact is not None and net is not None:
                raise UsageError("--net chooses among the nets of a run; leave it out beside --artifact")
            sinks: list[Callable[[Sequence[Prediction], Sequence[str]], None]] = [] if spool is None else [_Spool(spool)]
            sinks += [] if csv is None else [_Csv(csv, stack, delimiter)]
            asked, paths_in = artifact if artifact is not None else run, getattr(sys.stdin, "buffer", None)
            config = PredictConfig(asked, paths, net, batch_size, Frames(every, frames), paths_in, tuple(sinks), csv)
            return recipe(config)

        rows = None if spool is None else _lines(spool)
        execute("predict", start, run=run if artifact is None else None, as_json=as_json, verbose=verbose, rows=rows)


def _is_read_by_a_person() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


class _Spool:
    """Keeps every row as a line of JSON on the disk, so that a million rows fill no memory."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def __call__(self, rows: Sequence[Prediction], classes: Sequence[str]) -> None:
        from edgenas.cli.speaking import json_text
        from edgenas.runs import jsonable

        for row in rows:
            self._file.write(json_text(jsonable(row)) + "\n")


class _Csv:
    """Writes rows as CSV to standard output or to a file.

    A file is opened with the first rows: a command that cannot begin overwrites nothing.

    Raises:
        EdgeNASError: where they cannot be written. A reader that has seen enough, as ``| head`` has, ends the command in silence.
        UsageError: for the name of an image, as ``--csv *.png`` gives it.
    """

    def __init__(self, target: str, stack: ExitStack, delimiter: str) -> None:
        from edgenas.recipes.predict import has_name_of_image

        if has_name_of_image(target):
            raise UsageError(
                f"--csv {target} has the name of an image, which would be overwritten", hint="give it one that ends in .csv"
            )
        self._target, self._stack, self._delimiter = target, stack, delimiter
        self._write: CsvRows | None = None

    def __call__(self, rows: Sequence[Prediction], classes: Sequence[str]) -> None:
        from edgenas.cli.speaking import leave_stdout
        from edgenas.report.predict import CsvRows

        try:
            if self._write is None:
                self._write = CsvRows(self._opened(), delimiter=self._delimiter)
            self._write(rows, classes)
        except BrokenPipeError:
            if self._target != STDOUT:
                raise EdgeNASError(f"{self._target} cannot be written: nobody reads it any more") from None
            leave_stdout()
            sys.exit(0)
        except OSError as error:
            name = "standard output" if self._target == STDOUT else self._target
            raise EdgeNASError(f"{name} cannot be written: {error.strerror or error}") from error

    def _opened(self) -> TextIO:
        from edgenas.cli.speaking import require_stdout

        if self._target == STDOUT:
            require_stdout()
            return sys.stdout
        file = Path(self._target).open("w", encoding="utf-8", newline="")  # noqa: SIM115 - closed with the stack
        self._stack.callback(_close, file)
        return file


def _close(file: TextIO) -> None:
    """Close a file; what is left in it after an error of writing cannot be written now either."""
    with suppress(OSError):
        file.close()


def _lines(file: TextIO) -> Iterator[str]:
    """Lines of JSON from the beginning, once they are asked for."""
    file.flush()
    file.seek(0)
    for line in file:
        yield line.rstrip("\n")
