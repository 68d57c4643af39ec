"""Work on a device over the network: files go there, one command runs, results come back; any part of it goes on after any end.

The folder there has the name of what it is for, so the same job finds what is there of it: files that have arrived, a command that
runs, results that wait. The command runs apart from the line: one that drops, or a process here that is killed, leaves it running;
only Ctrl-C here stops it there.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from edgenas.errors import InterruptedRunError
from edgenas.escaping import one_line
from edgenas.remote.device import Device, pausing
from edgenas.remote.line import MAX_DATA
from edgenas.remote.refusals import MAX_SAID, RemoteError
from edgenas.runs import Note, Progress, sha256_file, sha256_json
from edgenas.runs.outside import MAX_JSON_BYTES, size_words

PYTHON = "{python}"  # in a command: the Python that answers there
CHUNK = 128 << 10
POLL_S = (0.5, 1.0, 2.0, 5.0)  # between two looks, which cost the device a millisecond each
MOST_STARTS = 3
MOST_LINES = 200
SAID_BY_KITS = re.compile(r"(?P<label>[^:]{1,80}): (?P<done>\d{1,9})/(?P<total>\d{1,9})(, [\d.]+ min left)?")
UNSAID = "done: "  # what to type next, for whoever measures by hand
Shown = Generator[Progress | Note, None, None]


@dataclass(frozen=True)
class Job:
    """What is to be done on a device.

    Attributes:
        files: what goes there, by its name in the folder.
        command: that runs in the folder; ``{python}`` is the Python there. It logs to stderr: lines like ``timing nets: 3/40`` are
            its progress, others are told. Started again, it goes on.
        results: files that it leaves when it is done.
        others: files that it leaves beside; where the folder is kept, both are removed, so that the next job starts anew.
    """

    files: Mapping[str, Path]
    command: tuple[str, ...]
    results: tuple[str, ...]
    others: tuple[str, ...] = ()

    @cached_property
    def contents(self) -> dict[str, tuple[int, str]]:
        """Size and SHA-256 of every file, by its name."""
        return {name: (path.stat().st_size, sha256_file(path)) for name, path in sorted(self.files.items())}

    @cached_property
    def name(self) -> str:
        """The folder's name: a hash of everything that the job is."""
        return sha256_json({"files": self.contents, "command": self.command})[:16]


def run_job(
    device: Device, job: Job, into: Path, *, poll_s: tuple[float, ...] = POLL_S
) -> Generator[Progress | Note, None, dict[str, Path]]:
    """Do a job, or what is left of it.

    Args:
        device: where; connected or not.
        job: what.
        into: a folder for the results.
        poll_s: seconds between two looks at what runs there; the last is repeated.

    Returns:
        Results by name.

    Raises:
        UnreachableError: if the device cannot be reached.
        RemoteError: if it cannot do the job, with what it says.
        InterruptedRunError: if the user stopped the command, and the device could not be told.
    """
    try:
        yield from _sent(device, job)
        yield from _done(device, job, poll_s)
    except (KeyboardInterrupt, GeneratorExit):
        if not device.stop():
            hint = "the same command goes on with it"
            raise InterruptedRunError(
                f"interrupted; {device.address} could not be told, so the work goes on there", hint=hint
            ) from None
        raise
    fetched = {}
    for name in job.results:
        fetched[name] = into / name
        yield from _fetched(device, name, fetched[name])
    return fetched


def clear(device: Device, job: Job, *, keep: bool) -> Shown:
    """Remove the job's folder, or only what one run of it has left; that it fails is a warning, since the work is done."""
    forget = [*job.results, *job.others, "run.log", "run.exit", "run.pid"] if keep else []
    try:
        yield from device.ask({"ask": "finish", "forget": forget}, step=Progress("clearing up", 0, 1))
        yield Progress("clearing up", 1, 1)
    except RemoteError as error:
        yield Note(f"the folder on the device stays: {error}", is_warning=True)


def _sent(device: Device, job: Job) -> Shown:
    """Send what is not there yet."""
    label, total = "sending, kB", sum(size for size, _ in job.contents.values())
    folder = f"{device.address.folder.rstrip('/')}/{job.name}"
    answer, _ = yield from device.open(folder, job.contents, step=Progress(label, 0, _kb(total)))
    have = _counts(device, answer.get("have"), job.contents)
    done = sum(max(number, 0) for number in have.values())
    if done > 0:
        yield Note(f"{_kb(done)} of {_kb(total)} kB are on {device.address} already")
    for name, (size, sha256) in job.contents.items():
        others, at, damaged = done - max(have[name], 0), have[name], 0
        if at == size and size > 0:
            continue
        while True:
            at = max(at, 0)
            request = {"ask": "put", "name": name, "at": at, "size": size, "sha256": sha256}
            step = Progress(label, _kb(others + at), _kb(total))
            yield step
            answer, _ = yield from device.ask(request, _part(job.files[name], at), step=step)
            before, at = at, _count(device, answer.get("have"), "have", size)
            if at == size:
                break
            damaged += at <= before
            if damaged > MOST_STARTS:
                raise RemoteError(f"{name} does not arrive whole on {device.address}")
        done = others + size
    yield Progress(label, _kb(total), _kb(total))


def _done(device: Device, job: Job, poll_s: tuple[float, ...]) -> Shown:
    """Run the command to its end, or follow it where it runs."""
    log, starts, looks, is_attached = _Log(device), 0, 0, False
    while True:
        state, text = yield from device.ask({"ask": "state", "log_at": log.at}, step=log.step)
        yield from log.read(text)
        if text:
            continue  # there may be more
        code = state.get("exit_code")
        if state.get("running") is True:
            if starts == 0 and not is_attached:
                is_attached = True
                yield Note(f"it runs on {device.address} already: following it")
            yield from pausing(poll_s[min(looks, len(poll_s) - 1)], log.step)
            looks += 1
        elif code == 0:
            yield from log.end()
            return
        elif code is not None and (starts > 0 or is_attached):
            raise _failed(device, code, log.last)
        elif starts >= MOST_STARTS:
            raise RemoteError(f"{device.address} ended the work {starts} times without a word", hint=f"last it said: {log.last}")
        else:  # nothing yet, what an earlier command left, or what the device ended together with the line
            starts += 1
            yield from device.ask({"ask": "start", "command": list(job.command)}, step=log.step)
            log.at = looks = 0


class _Log:
    """What the command says, read as it comes; a stranger's text."""

    def __init__(self, device: Device) -> None:
        self.at = 0
        self.step = Progress(f"starting on {device.address.host}", 0, 1)  # what is waited for: never something finished
        self.last = "nothing"
        self._address = device.address
        self._rest = ""
        self._told = 0

    def read(self, text: bytes) -> Iterator[Progress | Note]:
        """Lines that are whole."""
        self.at += len(text)
        *lines, self._rest = (self._rest + text.decode("utf-8", "replace")).split("\n")
        self._rest = self._rest[-MAX_SAID:]
        for line in (one_line(line.strip())[:MAX_SAID] for line in lines):
            step = _step_of(line)
            if step is not None:
                yield from self._advance(step)
            elif line and not line.startswith(UNSAID):
                self.last = line
                self._told += 1
                if self._told <= MOST_LINES:
                    yield Note(f"{self._address.host}: {line}")

    def end(self) -> Iterator[Progress]:
        """Nothing is waited for any more."""
        yield replace(self.step, done=self.step.total)

    def _advance(self, step: Progress) -> Iterator[Progress]:
        if step.label != self.step.label:
            yield from self.end()
        self.step = step if step.done < step.total else Progress(f"working on {self._address.host}", 0, 1)
        yield step


def _step_of(line: str) -> Progress | None:
    """The progress that a line of a kit's script tells; None for other lines."""
    said = SAID_BY_KITS.fullmatch(line)
    if said is None:
        return None
    label, done, total = said.group("label", "done", "total")
    return Progress(label, int(done), int(total)) if 0 <= int(done) <= int(total) > 0 else None


def _failed(device: Device, code: object, last: str) -> RemoteError:
    go_on = "what was measured is kept, the same command goes on"
    if isinstance(code, int) and code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        why = ", often because memory ran out" if name == "SIGKILL" else ""
        return RemoteError(f"{device.address} ended the work by {name}{why}", hint=go_on)
    if code == 130:
        return RemoteError(f"the work was stopped on {device.address}", hint=go_on)
    return RemoteError(f"{device.address}: {last}", hint=f"it ended with status {code!r:.20}; the same command tries again")


def _fetched(device: Device, name: str, path: Path) -> Shown:
    """Bring one file back whole."""
    label = "fetching, kB"
    for _ in range(MOST_STARTS):
        data, size, sha256 = bytearray(), 0, None
        while not data or len(data) < size:
            step = Progress(label, _kb(len(data)), max(_kb(size), 1))
            answer, part = yield from device.ask({"ask": "get", "name": name, "at": len(data), "length": MAX_DATA // 2}, step=step)
            size = _count(device, answer.get("size"), "size", MAX_JSON_BYTES)
            data += part
            sha256 = answer.get("sha256")
            if not part:
                break
        path.write_bytes(data)
        if len(data) == size and sha256_file(path) == sha256:
            yield Progress(label, _kb(size), _kb(size))
            return
    raise RemoteError(f"{name} does not come back whole from {device.address}")


def _counts(device: Device, answer: object, most: Mapping[str, tuple[int, str]]) -> dict[str, int]:
    """Whole numbers of an answer, none above its limit."""
    told = answer if isinstance(answer, dict) else {}
    return {name: _count(device, told.get(name), name, limit) for name, (limit, _) in most.items()}


def _count(device: Device, value: object, name: str, limit: int) -> int:
    """A whole number that a device answers, not above its limit; -1 for nothing."""
    if not isinstance(value, int) or isinstance(value, bool) or not -1 <= value <= limit:
        raise RemoteError(
            f"{device.address} answers {value!r:.40} for {name}, where at most {size_words(max(limit, 1024))} are possible"
        )
    return value


def _part(path: Path, at: int) -> bytes:
    with path.open("rb") as file:
        file.seek(at)
        return file.read(CHUNK)


def _kb(num_bytes: int) -> int:
    return -(-num_bytes // 1000)
