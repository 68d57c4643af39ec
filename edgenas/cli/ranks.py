"""One of several processes of a command: the first one writes and talks, the others take part in silence or end."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, NoReturn

from edgenas.cli.speaking import note
from edgenas.errors import EdgeNASError

TOGETHER = ("train", "retrain")  # commands that several processes run together; the others are run by the first one alone
SINGLE = ("run", "demo")  # that refuse to: what they train first is what several processes train together
SILENCE_S = 5.0


def take_place(command: str, start: Callable[[], Iterator[Any]], rank: int) -> None:
    """Go on as the first of several processes; the others end here, with what they take part in."""
    if rank > 0:
        _follow_first(start, rank, takes_part=command in TOGETHER)
    if command not in (*TOGETHER, *SINGLE):
        _go_alone(command)


def _go_alone(command: str) -> None:
    """Do the work of a command in the first of several processes; the others end by themselves."""
    from edgenas.runs.place import leave_others

    note(f"edgenas {command} does its work in one process: the first one goes on, the others have ended")
    leave_others()


def _follow_first(start: Callable[[], Iterator[Any]], rank: int, *, takes_part: bool) -> NoReturn:
    """Take part in what the first process does, in silence; where it fails too, only that one says so.

    Ctrl-C is for the first process, which saves its state; this one ends when it is told to, or when the first one is gone.
    """
    if not takes_part:
        sys.exit(0)
    told: list[int] = []

    def tell(number: int, frame: object) -> None:
        """Leave after this step, or when the first process is found to be gone; at once if told again."""
        if told:
            sys.exit(128 + number)
        told.append(number)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, tell)
    records = start()
    try:
        for _ in records:
            if told and isinstance(records, Generator):
                records.close()  # this rank's own folder is removed on the way out
                sys.exit(128 + told[0])
    except EdgeNASError as error:
        ends = time.monotonic() + SILENCE_S
        while not told and time.monotonic() < ends:  # the first process ends all if it has found the same
            time.sleep(0.1)
        _say(rank, str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        _say(rank, f"{error.filename or 'a file'}: {error.strerror or error}")
        sys.exit(1)
    sys.exit(0)


def _say(rank: int, why: str) -> None:
    """Say why this rank ends, unless another one has said why all do."""
    from edgenas.runs.place import word

    if not word.was_said():
        word.say(why)
        note(f"edgenas: rank {rank}: {why}")
