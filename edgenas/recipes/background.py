"""Progress with time left for one long call that reports nothing itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import TypeVar

from edgenas.runs import Progress

Result = TypeVar("Result")
TICK_S = 0.2


def watched(call: Callable[[], Result], label: str, *, expected_s: float) -> Generator[Progress, None, Result]:
    """Run ``call`` in a thread and report seconds of the expected ones until it ends; return or raise what it does.

    Args:
        call: touches nothing that the caller uses meanwhile.
        label: of the progress.
        expected_s: from experience; a call that takes longer stays just below it.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    total = max(1, round(expected_s))
    thread = threading.Thread(target=work, name=label, daemon=True)
    began = time.monotonic()
    thread.start()
    while thread.is_alive():
        yield Progress(label, min(total - 1, int(time.monotonic() - began)), total, unit="s")
        thread.join(TICK_S)
    if errors:
        raise errors[0]
    yield Progress(label, total, total, unit="s")
    return results[0]
