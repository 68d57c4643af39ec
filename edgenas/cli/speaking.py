"""What a command says, whatever its streams are: closed, full, or of an encoding that lacks a character."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import sys
import textwrap
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

_HERE = "\x1e rows"  # stands for rows in an object; no text of a result is like it
_GLUE = "\ue000"  # of a private area: a space at which no line ends


def keep_streams() -> None:
    """Open what was closed when the process began, so that no file of a run gets its number; called before anything else."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # the lowest free number
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the process
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # of an encoding that lacks a character


def require_stdout() -> None:
    """Raise an `OSError` if stdout was closed before the process began."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, "stdout is closed")


def leave_stdout() -> None:
    """Let what is still buffered for a reader that has gone be written nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """A line of the result on stdout; control characters in it are shown, not obeyed.

    Raises:
        OSError: if it cannot be written.
    """
    from edgenas.escaping import terminal

    _write(terminal(text))


def say_object(value: Any, rows: Iterable[str] | None = None) -> None:
    """One JSON object on stdout, in ASCII where the stream takes nothing else.

    Args:
        value: the object.
        rows: JSON texts that are to stand in its ``result`` as ``rows``, too many to be kept; None leaves the object as it is.

    Raises:
        OSError: if it cannot be written.
    """
    if rows is None or "rows" not in (value["result"] or {}):
        _write(json_text(value))
        return
    head, _, tail = json_text({**value, "result": {**value["result"], "rows": [_HERE]}}).partition(json.dumps(_HERE))
    _write(head, end="")
    for number, row in enumerate(rows):
        _write(row if number == 0 else f", {row}", end="")
    _write(tail)


def json_text(value: Any) -> str:
    """A value as JSON, in ASCII where standard output takes nothing else."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(_stdout_encoding())
    except UnicodeEncodeError:
        text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    return text


def note(text: str, *, head: str = "") -> None:
    """A line on stderr, after a head in red; where nobody can read it, nothing."""
    from edgenas.escaping import terminal

    with suppress(OSError, ValueError):
        if head:
            click.secho(head, fg="red", bold=True, nl=False, err=True)
        click.echo(wrapped(terminal(text), _stderr_width(), len(head)), err=True)


def _stderr_width() -> int:
    """Columns of the terminal that stderr is, whatever stdout is; 0 where it is none."""
    if not sys.stderr.isatty():
        return 0
    asked = os.environ.get("COLUMNS", "")
    if asked.isdigit() and int(asked):
        return int(asked)
    with suppress(OSError, ValueError):
        if columns := os.get_terminal_size(sys.stderr.fileno()).columns:
            return columns
    return 80


def wrapped(text: str, width: int, indent: int = 0) -> str:
    """Lines of at most ``width`` characters that end between words; what is to be copied stays in one piece.

    Paths and other long words are never cut, nor are commands in backticks: a terminal itself goes on in its next line.

    Args:
        text: may have lines of its own.
        width: of the terminal; 0 leaves the text as it is.
        indent: characters that stand before the first line.
    """
    if width <= indent:
        return text
    whole = re.sub(r"`[^`\n]+`", lambda quoted: quoted.group().replace(" ", _GLUE), text)
    lines = []
    for number, line in enumerate(whole.split("\n")):
        start = " " * (len(line) - len(line.lstrip(" ")))
        first = "-" * indent if number == 0 else start
        parts = textwrap.wrap(
            line.lstrip(" "),
            width,
            initial_indent=first,
            subsequent_indent=f"{start}  " if start else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
        parts = parts or [first]
        lines += [parts[0][indent:] if number == 0 else parts[0], *parts[1:]]
    return "\n".join(lines).replace(_GLUE, " ")


def _stdout_encoding() -> str:
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def _write(text: str, *, end: str = "\n") -> None:
    require_stdout()
    encoding = _stdout_encoding()
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding) + end, nl=False)
    sys.stdout.flush()
