"""Measure this device for edgenas: ``python measure.py`` in the unpacked kit, then bring ``results.json`` back.

Needs Python 3.8 and `pip install onnxruntime numpy`, or, for a kit of TensorRT, its trtexec alone. Kill it, press Ctrl-C: the same
command goes on. Back at the machine with edgenas: ``edgenas profile --import results.json``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgenas.latency.kit.script_backends import OrtBackend, TrtexecBackend
from edgenas.latency.kit.script_base import Kit, KitError, Screen, now, say
from edgenas.latency.kit.script_runners import Trtexec
from edgenas.portable.budget import OVER, choose, round_seconds
from edgenas.portable.calls import tenths_ms
from edgenas.portable.facts import machine_facts, machine_state
from edgenas.portable.journal import BusyFileError, JournalFile
from edgenas.portable.machine import Watches
from edgenas.portable.memory import PrefixedMemory, remembered
from edgenas.portable.rounds import REFERENCE, Rounds, Visit, pause
from edgenas.portable.sealing import DamagedFileError, sealed, write_beside

RESULTS_KIND, RESULTS_SCHEMA = "edgenas kit results", 1


class PlannedVisits:
    """All visits of a plan; those that the journal holds are not made again."""

    def __init__(
        self, kit: Kit, backend: Any, journal: JournalFile, seconds: float | None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.kit, self.backend, self.journal, self.seconds, self.sleep = kit, backend, journal, seconds, sleep
        self.request: dict[str, Any] = kit.plan["request"]
        self.timing: dict[str, Any] = self.request["settings"]["timing"]
        self.reference: int = kit.plan["reference"]
        self.sessions: list[Rounds] = []

    @property
    def made(self) -> int:
        """Visits that this process made."""
        return sum(rounds.num_made for rounds in self.sessions)

    @property
    def is_begun(self) -> bool:
        """Whether the journal holds visits, so that what a budget leaves of the plan is decided."""
        return self.journal.recall("shape") is not None

    def shape(self) -> tuple[int, dict[str, Any], float]:
        """Visits to every net, the nets, and the seconds that all will take, as the budget leaves them or as it was begun."""
        each = float(remembered(self.journal, "visit seconds", lambda: self.backend.probe(self.reference)))
        shapes = self.kit.plan["shapes"]
        rounds = [self._round_s(shapes[name], each) for name in ("full", "thin")]
        chosen = self.journal.recall("shape") or choose(self.seconds, self.timing["visits"], *rounds)
        visits, is_thin = int(chosen[0]), bool(chosen[1])
        return visits, shapes["thin" if is_thin else "full"], visits * rounds[1 if is_thin else 0]

    def run(self, visits: int, shape: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
        """Make every visit; what is going on, how much of it is done, and how much there is."""
        remembered(self.journal, "shape", lambda: [visits, shape is self.kit.plan["shapes"]["thin"]])
        nets = sorted({self.reference, *shape["first"]})
        for done in self.backend.prepare(nets):
            yield "building engines", done, len(nets)
        yield from self._soak()
        total, before = visits * (len(shape["first"]) + len(shape["second"])), 0
        runs = None
        for session, key in ((1, "first"), (2, "second")):
            if session == 2:
                for passed, parts in pause(self.journal, self.request["settings"]["pause_seconds"], self.sleep):
                    yield "waiting between the sessions, seconds", passed, parts
            memory = PrefixedMemory(self.journal, f"session {session} ")
            watch = Watches(memory)
            visitor = SessionVisitor(self.backend, self.reference, shape[key])
            rounds = Rounds(visitor, memory, watch, self.timing["reference_every"], runs)
            self.sessions.append(rounds)
            for done in rounds.run(shape["orders"][key][:visits]):
                yield "timing nets", before + done, total
            runs, before = rounds.num_runs, visits * len(shape["first"])
            remembered(memory, "machine", lambda: watch.end(rounds.num_made))  # noqa: B023 # called at once

    def begin(self) -> dict[str, Any]:
        """When the measurement was begun, also by an earlier process, and how the machine was then."""
        return dict(remembered(self.journal, "begun", lambda: {"started": now(), "before": machine_state()}))

    def seconds_timed(self) -> float:
        """Seconds of both sessions so far, over all processes, but for some before a kill."""
        memory = self.journal.values
        whole = [memory.get(f"session {session} machine") for session in (1, 2)]
        parts = [value for key, value in memory.items() if re.match(r"session \d machine \d", key)]
        if all(whole):
            parts = whole
        return float(sum(part["seconds"] for part in parts))

    def _soak(self) -> Iterator[tuple[str, int, int]]:
        """Keep the device busy; also after a kill, because it has cooled since."""
        seconds = self.request["settings"]["soak_seconds"]
        if seconds <= 0:
            return
        seen: list[tuple[float, float]] = []
        for moment, ms in self.backend.soak(self.reference, seconds):
            seen.append((moment, ms))
            yield "soaking, seconds", min(int(moment), int(seconds)), int(seconds)
        medians = tenths_ms(seen)
        say(f"after {seconds / 60:g} min of load a call takes {medians[-1] / medians[0]:.2f} times as long as at first")
        remembered(self.journal, "soak", lambda: {"seconds": seconds, "tenths_ms": medians})

    def _round_s(self, shape: dict[str, Any], visit_s: float) -> float:
        return round_seconds(len(shape["first"]) + len(shape["second"]), self.timing["reference_every"], visit_s)


class SessionVisitor:
    """Visits to the nets of one session, by their place in it."""

    def __init__(self, backend: Any, reference: int, nets: list[int]) -> None:
        self.backend, self.reference, self.nets = backend, reference, nets

    def wake(self) -> int:
        """Wake the device with the reference; how many runs a visit has."""
        return int(self.backend.num_runs(self.reference))

    def visit(self, net: int, num_runs: int) -> Visit:
        """Time the net at a place of the session, or the reference."""
        made: Visit = self.backend.visit(self.reference if net == REFERENCE else self.nets[net], num_runs)
        return made


def open_journal(path: Path, identity: dict[str, Any]) -> JournalFile:
    """The journal of this measurement, held alone, every result synced.

    Raises:
        KitError: if another process is at work on it, it is damaged, or of another kit, device or runtime.
    """
    try:
        journal = JournalFile(path, identity, sync_every_s=0.0, is_alone=True)
    except BusyFileError as error:
        raise KitError(f"another measure.py is at work on {path}") from error
    except DamagedFileError as error:
        raise KitError(f"{path} {error}: delete it to start again") from error
    if journal.is_other:
        journal.close()
        raise KitError(f"{path} was made with another kit, device or runtime: delete it to start again")
    return journal


def options(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="measure.py", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--output", default="results.json", metavar="FILE", help="where results go (default: results.json)")
    parser.add_argument("--budget", type=float, metavar="MIN", help="minutes that timing may take (default: the kit's)")
    parser.add_argument("--trtexec", metavar="PROGRAM", help="TensorRT's tool, for kits of TensorRT")
    parser.add_argument("--every", type=float, default=30.0, metavar="S", help="seconds between lines of progress in a file (30)")
    parser.add_argument("--check", action="store_true", help="check the kit, show the plan, measure nothing")
    asked = parser.parse_args(arguments)
    if asked.budget is not None and not 0 < asked.budget < 1e6:
        parser.error(f"--budget is {asked.budget:g}; minutes above 0 are allowed")
    return asked


def measure(asked: argparse.Namespace) -> int:
    """Check, plan, measure and write; the exit code."""
    kit = Kit(Path(__file__).resolve().parent)
    kit.prepare()
    request, output = kit.plan["request"], Path(asked.output)
    backend = backend_of(kit, asked)
    info = {key: value for key, value in backend.info().items() if key != "device"}
    facts = machine_facts(("numpy", "onnxruntime"))  # after the runtime is imported, so that its version is known
    identity = {"plan": kit.sha256, "cpu": facts["cpu"], "info": info}
    journal = open_journal(output.with_suffix(".progress.jsonl"), identity)
    seconds = request["settings"]["seconds"] if asked.budget is None else asked.budget * 60
    work = PlannedVisits(kit, backend, journal, seconds)
    is_begun = work.is_begun
    visits, shape, expected_s = work.shape()
    announce(work, visits, shape, expected_s, is_begun=is_begun)
    if asked.check:
        journal.close()
        if not is_begun:
            journal.path.unlink()  # nothing was measured yet
        return 0
    state = work.begin()
    is_complete, screen = False, Screen(asked.every)
    try:
        for step in work.run(visits, shape):
            screen(*step)
        is_complete = True
    finally:
        backend.close()
        journal.close()
        state.update(ended=now(), after=machine_state(), seconds=work.seconds_timed(), visits_made=work.made)
        results = {"schema_version": RESULTS_SCHEMA, "plan_sha256": kit.sha256, "request": request, "seconds": seconds}
        results.update(info=backend.info(), machine={**facts, **state}, complete=is_complete, memory=journal.values)
        write_beside(output, json.dumps(sealed(RESULTS_KIND, results), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.write(f"{output.resolve()}\n")
    say(f"done: edgenas profile --import {output.name}")
    return 0


def backend_of(kit: Kit, asked: argparse.Namespace) -> Any:
    """What runs the kit's nets."""
    runtime = kit.plan["request"]["runtime"]
    if runtime != "tensorrt":
        if asked.trtexec is not None:
            raise KitError(
                f"--trtexec is for kits of TensorRT (edgenas profile --pack KIT --device cuda); this one is for {runtime}"
            )
        return OrtBackend(kit)
    folder = Path(asked.output).with_suffix(".engines")
    folder.mkdir(exist_ok=True)
    return TrtexecBackend(kit, Trtexec("trtexec" if asked.trtexec is None else asked.trtexec, folder))


def announce(work: PlannedVisits, visits: int, shape: dict[str, Any], expected_s: float, *, is_begun: bool) -> None:
    """Say what will be measured, how long it takes, and what of it is done."""
    request, journal, seconds = work.request, work.journal, work.seconds
    if is_begun:
        say(f"going on after {len(journal.values)} measurements; what a budget left of the plan is decided: to decide anew, delete")
        say(f"{journal.path}")
    is_thin = shape is work.kit.plan["shapes"]["thin"]
    thin = " (only blocks that the others can be interpolated from, to keep the budget)" if is_thin else ""
    info = work.backend.info()
    say(
        f"{request['space']['name']} on {info['device']}, {request['runtime']} {info['runtime_version']}: "
        f"{len({work.reference, *shape['first']})} nets{thin}, {visits} visits each, about {expected_s / 60:.1f} min"
    )
    if seconds is not None and expected_s > OVER * seconds and not is_begun:
        say(f"that is more than the budget of {seconds / 60:g} min, but the least that makes a table")
    if request["runtime"] == "tensorrt":
        say("engines are built first, which can take a minute each; they are kept")


def main(arguments: list[str]) -> int:
    """Run the command; the exit code."""
    try:
        return measure(options(arguments))
    except KitError as error:
        say(f"measure.py: {error}")
    except OSError as error:
        say(f"measure.py: {error.filename or 'a file'}: {error.strerror or error}")
    except KeyboardInterrupt:
        say("\nmeasure.py: interrupted; what was measured is kept, the same command goes on")
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
