"""A device whose line may drop: what is asked of it is asked again over a new one."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from edgenas.errors import EdgeNASError
from edgenas.escaping import one_line
from edgenas.remote.address import Address
from edgenas.remote.line import TICK_S, Answer, DroppedError, Line, Request
from edgenas.remote.refusals import RemoteError, UnreachableError
from edgenas.runs import Note, Progress
from edgenas.runs.durations import duration

PATIENCE_S = 300.0
WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
STOP_S = 40.0  # to reach a device and stop it, after Ctrl-C
Shown = Generator[Progress | Note, None, Any]
Answered = Generator[Progress | Note, None, tuple[Answer, bytes]]


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What a device says of itself.

    Attributes:
        python: its version.
        executable: the path of Python there.
        modules: versions of those that were asked about, None for one that cannot be imported.
        programs: paths of those that were asked about, None for one that is not there.
    """

    python: str
    executable: str
    system: str
    machine: str
    modules: Mapping[str, str | None]
    programs: Mapping[str, str | None]


class Device:
    """A device over the network; a context manager that hangs up.

    Args:
        address: where it is.
        patience_s: how long a line that dropped is made again and again.
    """

    def __init__(self, address: Address, patience_s: float = PATIENCE_S) -> None:
        self.address, self.patience_s = address, patience_s
        self._line: Line | None = None
        self._opened: Request | None = None
        self._was_reached = False
        self._lost_at: float | None = None
        self._tries = 0

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    def facts(self, modules: Sequence[str], programs: Mapping[str, Sequence[str]]) -> Generator[Progress | Note, None, DeviceFacts]:
        """Connect, and ask what is there.

        Raises:
            UnreachableError: if it cannot be reached; a `MissingBackendError` if it has no Python.
            RemoteError: if its answer cannot be used.
        """
        request = {"ask": "probe", "modules": list(modules), "programs": {name: list(each) for name, each in programs.items()}}
        answer, _ = yield from self.ask(request, step=Progress(f"connecting to {self.address}", 0, 1))
        try:
            own = {name: _text(answer[name]) for name in ("python", "executable", "system", "machine")}
            versions = {name: _text_or_none(answer["modules"][name]) for name in modules}
            paths = {name: _text_or_none(answer["programs"][name]) for name in programs}
        except (KeyError, TypeError, ValueError) as error:
            raise RemoteError(f"{self.address} answers with what cannot be read: {error}") from error
        yield Progress(f"connecting to {self.address}", 1, 1)
        return DeviceFacts(**own, modules=versions, programs=paths)

    def open(self, folder: str, files: Mapping[str, tuple[int, str]], *, step: Progress) -> Answered:
        """Make or enter a folder, which later requests are about, over later lines too; ``files`` are sizes and hashes by name."""
        self._opened = {"ask": "open", "folder": folder, "files": {name: list(each) for name, each in files.items()}}
        return (yield from self.ask(self._opened, step=step))

    def ask(self, request: Request, data: bytes = b"", *, step: Progress) -> Answered:
        """Ask until there is an answer, whatever the line does; ``step`` is what goes on meanwhile.

        Raises:
            UnreachableError: if the device is not reached the first time, or not again within the patience.
            RemoteError: with what it refused.
        """
        while True:
            try:
                if self._line is None:
                    yield from self._connect(step)
                assert self._line is not None
                answer: tuple[Answer, bytes] = yield from _ticking(self._line.ask(request, data), step)
            except (DroppedError, UnreachableError) as error:
                self.hang_up()
                yield from self._wait(error, step)
                continue
            self._lost_at, self._tries, self._was_reached = None, 0, True
            return answer

    def stop(self) -> bool:
        """Stop what runs in the folder; whether the device was reached. Nothing is shown meanwhile."""
        self.hang_up()  # an answer may be half read
        ends = time.monotonic() + STOP_S
        if self._opened is None:
            return True
        with suppress(EdgeNASError, DroppedError):
            line = self._line = Line(self.address)
            for wait in (line.begin(), line.ask(self._opened), line.ask({"ask": "stop"})):
                for _ in wait:
                    if time.monotonic() > ends:
                        return False
            return True
        return False

    def hang_up(self) -> None:
        """End the line; what runs there goes on."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _connect(self, step: Progress) -> Shown:
        self._line = Line(self.address)
        yield from _ticking(self._line.begin(), step)
        if self._opened is not None and self._was_reached:
            yield from _ticking(self._line.ask(self._opened), step)

    def _wait(self, error: DroppedError | UnreachableError, step: Progress) -> Shown:
        """Let some time pass before the next try.

        Raises:
            UnreachableError: if there is none.
        """
        why = error.message if isinstance(error, UnreachableError) else f"the line to {self.address} broke: {error}"
        if not self._was_reached or (isinstance(error, UnreachableError) and not error.is_passing):
            if isinstance(error, UnreachableError):
                raise error
            raise UnreachableError(why, hint=f"try by hand: {self.address.by_hand}") from error
        now = time.monotonic()
        if self._lost_at is None:
            self._lost_at = now
            yield Note(f"{why}; trying again for {duration(self.patience_s)}")
        wait_s = WAITS_S[min(self._tries, len(WAITS_S) - 1)]
        self._tries += 1
        if now + wait_s - self._lost_at > self.patience_s:
            hint = "what was begun there goes on, and the same command goes on with it"
            raise UnreachableError(f"{why}; it did not come back within {duration(self.patience_s)}", hint=hint) from error
        yield from pausing(wait_s, step)


def pausing(seconds: float, step: Progress) -> Generator[Progress, None, None]:
    """Let seconds pass with signs of life."""
    ends = time.monotonic() + seconds
    while (rest := ends - time.monotonic()) > 0:
        yield step
        time.sleep(min(rest, TICK_S))


def _ticking(wait: Generator[None, None, Any], step: Progress) -> Generator[Progress, None, Any]:
    """Show a step as often as something is waited for; return what came."""
    while True:
        try:
            next(wait)
        except StopIteration as end:
            return end.value
        yield step


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} is no text")
    return one_line(value)[:200]


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)
