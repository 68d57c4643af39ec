"""`edgenas predict`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from edgenas.cli.options import output_options
from edgenas.errors import EdgeNASError, UsageError

if TYPE_CHECKING:
    from edgenas.records import Prediction


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
    """
    from edgenas.cli.runner import execute

    with ExitStack() as stack:
        spool = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) if as_json else None

        def start() -> Iterator[Any]:
            from edgenas.recipes.predict import Frames, PredictConfig
            from edgenas.recipes.predict import run as recipe

            if as_json and csv == "-":
                raise UsageError("--json and --csv - both want standard output; give --csv a file")
            if artifact is not None and net is not None:
                raise UsageError("--net chooses among the nets of a run; leave it out beside --artifact")
            sinks: list[Callable[[Sequence[Prediction], Sequence[str]], None]] = [] if spool is None else [_Spool(spool)]
            sinks += [] if csv is None else [_csv(csv, stack)]
            return recipe(
                PredictConfig(
                    artifact if artifact is not None else run,
                    paths,
                    net,
                    batch_size,
                    Frames(every, frames),
                    getattr(sys.stdin, "buffer", None),
                    tuple(sinks),
                    csv,
                )
            )

        rows = None if spool is None else _lines(spool)
        execute("predict", start, run=run if artifact is None else None, as_json=as_json, verbose=verbose, rows=rows)


class _Spool:
    """Keeps every row as a line of JSON on the disk, so that a million rows fill no memory."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def __call__(self, rows: Sequence[Prediction], classes: Sequence[str]) -> None:
        from edgenas.cli.speaking import json_text
        from edgenas.runs import jsonable

        for row in rows:
            self._file.write(json_text(jsonable(row)) + "\n")


def _csv(target: str, stack: ExitStack) -> Callable[[Sequence[Prediction], Sequence[str]], None]:
    """What writes rows to a file, or to standard output.

    Raises:
        EdgeNASError: if the file cannot be written.
    """
    from edgenas.report.predict import CsvRows

    if target == "-":
        return _until_left(CsvRows(sys.stdout))
    try:
        return CsvRows(stack.enter_context(Path(target).open("w", encoding="utf-8", newline="")))
    except OSError as error:
        raise EdgeNASError(f"{target} cannot be written: {error.strerror or error}") from error


def _until_left(
    write: Callable[[Sequence[Prediction], Sequence[str]], None],
) -> Callable[[Sequence[Prediction], Sequence[str]], None]:
    """As ``write``, ending the command in silence where the reader of standard output has seen enough."""
    from edgenas.cli.speaking import leave_stdout

    def writing(rows: Sequence[Prediction], classes: Sequence[str]) -> None:
        try:
            write(rows, classes)
        except BrokenPipeError:
            leave_stdout()
            sys.exit(0)

    return writing


def _lines(file: IO[str]) -> Iterator[str]:
    """Lines of JSON from the beginning, once they are asked for."""
    file.flush()
    file.seek(0)
    for line in file:
        yield line.rstrip("\n")
