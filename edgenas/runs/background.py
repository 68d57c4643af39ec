"""Parts of long work that run in a thread, so that the terminal stays alive and Ctrl-C is heard."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import TypeVar

from edgenas.runs.records import Progress

Part = TypeVar("Part")
TICK_S = 0.2


def _one(_: object) -> int:
    return 1


def watched(
    parts: Iterator[Part], label: str, *, total: int, count: Callable[[Part], int] = _one
) -> Generator[Progress, None, list[Part]]:
    """Do work part by part in threads and report how many things are done; return the parts, or raise what one raises.

    Args:
        parts: does the next part of the work when it is asked for it; touches nothing that the caller uses meanwhile.
        label: of the progress.
        total: things that all parts have together.
        count: things that a part had.
    """
    results: list[Part] = []
    done = 0
    while True:
        part = yield from _in_thread(partial(_next, parts), label, done, total)
        if not part:
            return results
        results += part
        done += count(part[0])
        yield Progress(label, done, total)


def _next(parts: Iterator[Part]) -> list[Part]:
    """The next part, or nothing."""
    for part in parts:
        return [part]
    return []


def _in_thread(call: Callable[[], list[Part]], label: str, done: int, total: int) -> Generator[Progress, None, list[Part]]:
    results: list[list[Part]] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=work, name=label, daemon=True)
    thread.start()
    while thread.is_alive():
        yield Progress(label, done, total)
        thread.join(TICK_S)
    if errors:
        raise errors[0]
    return results[0]
