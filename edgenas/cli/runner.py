"""Runs a recipe for a command: progress to stderr, the result to stdout, the contract's exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from edgenas.cli.closing import say_rest
from edgenas.cli.ranks import take_place
from edgenas.cli.speaking import leave_stdout, note, require_stdout, say, say_object
from edgenas.errors import EdgeNASError, RankError

if TYPE_CHECKING:
    from edgenas.report.terminal import Screen
    from edgenas.runs import Outcome

SCHEMA_VERSION = 1
MAX_LINES = 1000  # problems shown on a terminal
_NO_MEMORY = ("can't allocate memory", "Cannot allocate memory", "CUDA out of memory")  # of libraries
PATIENCE_S = 5.0  # between a SIGTERM and the next sign of a command that is alive


class StopRequest:
    """Ctrl-C or SIGTERM: the first asks the recipe to stop where its state is whole, the second stops at once.

    A SIGTERM also stops at once a command that has not begun or gives no sign for some seconds: it may wait for something for ever.

    Args:
        together: this is one of several processes, which `torchrun` sends a SIGTERM when it gets a Ctrl-C: that is no second wish.
    """

    def __init__(self, *, together: bool = False) -> None:
        self.made = False
        self.together = together
        self.first: int | None = None
        self.has_begun = False

    def __bool__(self) -> bool:
        """Whether to stop, asked at every sign of life."""
        self.has_begun = True
        return self.made

    @contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Take over both signals within the block."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._on_silence)
        try:
            yield self
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: object) -> None:
        if self.made and (not self.together or number == self.first):
            raise KeyboardInterrupt
        if self.made:
            return
        self.made, self.first = True, number
        if number == signal.SIGTERM and not self.together:
            if not self.has_begun:
                raise KeyboardInterrupt
            signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
        note("\nstopping at the next safe point; once more stops at once")

    def _on_silence(self, number: int, frame: object) -> None:
        raise KeyboardInterrupt


def execute(
    command: str,
    start: Callable[[], Iterator[Any]],
    *,
    run: Path | None,
    as_json: bool,
    verbose: bool = False,
    quick: bool = False,
    rows: Iterable[str] | None = None,
) -> None:
    """Drive a recipe to its `Outcome`, show it and exit.

    Args:
        command: as the user typed it.
        start: makes the recipe's iterator; settings are read in it, so their errors are reported like any other.
        run: the run folder that outputs are relative to; None for a command that needs none.
        as_json: print the contract's object instead of tables and paths.
        verbose: show log messages.
        quick: the settings are those of a quick run, which the run folder remembers.
        rows: JSON texts of the result's ``rows`` where there are too many to be kept.
    """
    from edgenas.report.terminal import Screen
    from edgenas.runs import RunFolder
    from edgenas.runs.quick import quick_words, remembering

    rank = _rank(command, run=run, as_json=as_json)
    if rank is not None:
        take_place(command, start, rank)
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, stream=sys.stderr, format="%(name)s: %(message)s")
    screen, stop = Screen(), StopRequest(together=rank is not None)
    folder = RunFolder(run) if run is not None else None
    with _failing(command, stop, screen.warnings, run=run, as_json=as_json):
        with stop.listening(), remembering(folder, command, quick=quick):
            with screen.starting():
                records = start()
            outcome = screen.follow(records, stop)
        doubt = quick_words(folder, command)
        screen.warnings += [] if doubt is None else [doubt]
    outputs = {name: folder.relative(path) if folder is not None else str(path) for name, path in outcome.outputs.items()}
    exit_code = outcome.failure.exit_code if outcome.failure is not None else 0
    with _told(exit_code):
        if as_json:
            _print_object(command, run, outcome.result, outputs, screen.warnings, outcome.failure, rows=rows)
        else:
            _print_tables(command, outcome, screen)
    if not as_json:
        say_rest(command, outcome, folder, doubt)
        if outcome.failure is not None:
            _print_line(outcome.failure)
    sys.exit(exit_code)


def _print_tables(command: str, outcome: Outcome[Any], screen: Screen) -> None:
    """What a person asked for, and the files that hold it."""
    require_stdout()
    screen.show(command, outcome)
    for path in outcome.outputs.values():
        say(str(path))


@contextmanager
def _failing(command: str, stop: StopRequest, warnings: list[str], *, run: Path | None, as_json: bool) -> Iterator[None]:
    """Say why the block did not end well, and exit with the status of that; ``warnings`` grow while it runs."""
    from edgenas.runs.place import word

    try:
        yield
    except EdgeNASError as error:
        if stop and isinstance(error, RankError):  # they were told to stop, too, and were faster
            _interrupted(command, run=run, warnings=warnings, as_json=as_json)
        emit_failure(command, error, run=run, warnings=warnings, as_json=as_json)
        word.say(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _interrupted(command, run=run, warnings=warnings, as_json=as_json)
    except OSError as error:
        problem = EdgeNASError(
            f"{error.filename or 'a file'}: {error.strerror or error}",
            hint="free space, correct permissions or move away what has its name",
        )
        emit_failure(command, problem, run=run, warnings=warnings, as_json=as_json)
        sys.exit(1)
    except click.ClickException:
        raise
    except Exception as error:
        logging.getLogger(__name__).info("a bug in edgenas", exc_info=error)
        emit_failure(command, _unforeseen(error), run=run, warnings=warnings, as_json=as_json)
        sys.exit(1)


@contextmanager
def _told(exit_code: int = 1) -> Iterator[None]:
    """Leave where the block's words cannot be written: the work is done, only nobody can be told.

    A reader that has seen enough (``| head``) is no fault: in silence, with the command's ``exit_code``. Else with a line and 1.
    """
    try:
        yield
    except BrokenPipeError:
        leave_stdout()
        sys.exit(exit_code)
    except (OSError, ValueError) as error:  # ValueError: of a stream that was closed
        note(f"edgenas: the result cannot be printed: {getattr(error, 'strerror', None) or error}")
        os._exit(1)


def _interrupted(command: str, *, run: Path | None, warnings: list[str], as_json: bool) -> NoReturn:
    """Say that the command was stopped, and leave."""
    interrupted = EdgeNASError("interrupted")
    if run is not None:
        interrupted = EdgeNASError("interrupted, state saved", hint="the same command, with the same flags, goes on")
    from edgenas.runs.place import word

    word.say("interrupted")
    emit_failure(command, interrupted, status="interrupted", exit_code=130, run=run, warnings=warnings, as_json=as_json)
    _leave(130)


def _rank(command: str, *, run: Path | None, as_json: bool) -> int | None:
    """Which of several processes of this command this is; 0 is the one that writes and talks, None one that is alone."""
    from edgenas.runs.place import place_of

    try:
        place = place_of()
    except EdgeNASError as error:
        emit_failure(command, error, run=run, as_json=as_json)
        sys.exit(error.exit_code)
    return None if place is None else place.rank


def _unforeseen(error: Exception) -> EdgeNASError:
    """An error that nobody foresaw: there was not enough memory, or it is a bug; installed packages that took part are named."""
    from edgenas.registries import in_use

    text = " ".join(str(error).split())[:300]
    if isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY):
        hint = "end other programs, or take smaller images, nets or batches"
        return EdgeNASError(f"there is not enough memory{f': {text}' if text else ''}", hint=hint)
    text = f"{type(error).__name__}: {text}"
    if packages := in_use():
        why = f"{text}; in use {'were' if len(packages) > 1 else 'was'} {' and '.join(packages)}"
        return EdgeNASError(f"a bug in edgenas, or in a package that it used: {why}", hint="--verbose shows where")
    return EdgeNASError(f"a bug in edgenas: {text}", hint="--verbose shows where; please report it")


def _leave(exit_code: int) -> NoReturn:
    """Exit; without waiting where a call in the background cannot be stopped."""
    if any(thread.daemon for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                with suppress(OSError, ValueError):
                    stream.flush()
        os._exit(exit_code)
    sys.exit(exit_code)


def emit_failure(
    command: str,
    error: EdgeNASError,
    *,
    status: str | None = None,
    exit_code: int | None = None,
    run: Path | None = None,
    warnings: list[str] | None = None,
    as_json: bool = True,
) -> None:
    """Say why a command failed: one JSON object on stdout, or one line (and one per problem) on stderr."""
    if not as_json:
        _print_line(error)
        return
    with _told():
        _print_object(command, run, error.result, {}, warnings or [], error, status=status, exit_code=exit_code)


def _print_line(error: EdgeNASError) -> None:
    text = error.message.rstrip(".")
    if error.problems:
        text += ":\n" + "\n".join(f"  {problem}" for problem in error.problems[:MAX_LINES])
        rest = len(error.problems) - MAX_LINES
        text += f"\n  {rest:,} more; --json lists all" if rest > 0 else ""
    if error.hint:
        text += f"\n{error.hint}" if error.problems else f"; {error.hint}"
    note(text, head="edgenas: ")


def _print_object(
    command: str,
    run: Path | None,
    result: Any,
    outputs: dict[str, str],
    warnings: list[str],
    error: EdgeNASError | None,
    *,
    status: str | None = None,
    exit_code: int | None = None,
    rows: Iterable[str] | None = None,
) -> None:
    from edgenas.runs import jsonable

    code = exit_code if exit_code is not None else (error.exit_code if error is not None else 0)
    shown = status if status is not None else (error.status if error is not None else "ok")
    description = None
    if error is not None:
        name = type(error).__name__
        description = {"type": name, "message": error.message, "problems": list(error.problems), "hint": error.hint}
    value = {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "exit_code": code,
        "status": shown,
        "run": str(run) if run is not None else None,
        "result": result,
        "outputs": outputs,
        "warnings": warnings,
        "error": description,
    }
    say_object(jsonable(value), rows)
