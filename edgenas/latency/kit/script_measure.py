"""Measure this device for edgenas: ``python measure.py`` in the unpacked kit, then bring ``results.json`` back.

Needs Python 3.8 and `pip install onnxruntime numpy`, or, for a kit of TensorRT, its trtexec alone. Kill it, press Ctrl-C: the same
command goes on. Back at the machine with edgenas: ``edgenas profile --import results.json``.
"""

from __future__ import annotations

import argparse
import gc
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgenas.latency.kit.script_backends import OrtBackend, TrtexecBackend
from edgenas.latency.kit.script_base import Journal, Kit, KitError, write_sealed
from edgenas.latency.kit.script_machine import Look, joined, machine_facts, machine_state
from edgenas.latency.kit.script_runners import Trtexec
from edgenas.portable.budget import choose

RESULTS_KIND, RESULTS_SCHEMA = "edgenas kit results", 1
TENTHS = 10
PART_S = 10.0  # of what is seen of the machine is kept at once
OVER = 1.1  # times a budget before it is said that it cannot be kept


class Measurement:
    """All visits of a plan; those that the journal holds are not made again."""

    def __init__(self, kit: Kit, backend: Any, journal: Journal, seconds: float | None) -> None:
        self.kit, self.backend, self.journal, self.seconds = kit, backend, journal, seconds
        self.request: dict[str, Any] = kit.plan["request"]
        self.timing: dict[str, Any] = self.request["settings"]["timing"]
        self.reference: int = kit.plan["reference"]
        self.made = 0

    @property
    def is_begun(self) -> bool:
        """Whether the journal holds visits, so that what a budget leaves of the plan is decided."""
        return self.journal.recall("shape") is not None

    def shape(self) -> tuple[int, dict[str, Any], float]:
        """Visits to every net, the nets, and the seconds that all will take, as the budget leaves them or as it was begun."""
        each = self._once("visit seconds", lambda: self.backend.probe(self.reference))
        shapes = self.kit.plan["shapes"]
        rounds = [self._round_s(shapes[name], each) for name in ("full", "thin")]
        chosen = self.journal.recall("shape") or choose(self.seconds, self.timing["visits"], *rounds)
        visits, is_thin = int(chosen[0]), bool(chosen[1])
        return visits, shapes["thin" if is_thin else "full"], visits * rounds[1 if is_thin else 0]

    def run(self, visits: int, shape: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
        """Make every visit; what is going on, how much of it is done, and how much there is."""
        self._once("shape", lambda: [visits, shape is self.kit.plan["shapes"]["thin"]])
        nets = sorted({self.reference, *shape["first"]})
        for done in self.backend.prepare(nets):
            yield "building engines", done, len(nets)
        yield from self._soak()
        total = visits * (len(shape["first"]) + len(shape["second"]))
        runs = None
        for session, key in ((1, "first"), (2, "second")):
            yield from self._pause() if session == 2 else ()
            runs = yield from self._session(session, shape[key], shape["orders"][key][:visits], runs, total)

    def _pause(self) -> Iterator[tuple[str, int, int]]:
        """Let the time between the sessions pass, once."""
        seconds = self.request["settings"]["pause_seconds"]
        if seconds <= 0 or self.journal.recall("paused") is not None:
            return
        for passed in range(round(seconds)):
            yield "waiting between the sessions, seconds", passed, round(seconds)
            time.sleep(1)
        self.journal.record("paused", seconds)

    def begin(self) -> dict[str, Any]:
        """When the measurement was begun, also by an earlier process, and how the machine was then."""
        return dict(self._once("begun", lambda: {"started": now(), "before": machine_state()}))

    def seconds_timed(self) -> float:
        """Of both sessions so far, over all processes, but for some seconds before a kill."""
        found = self.journal.found
        whole = [found.get(f"session {session} machine") for session in (1, 2)]
        parts = [value for key, value in found.items() if re.match(r"session \d machine \d", key)]
        if all(whole):
            parts = whole
        return float(sum(part["seconds"] for part in parts))

    def _session(self, session: int, nets: list[int], orders: list[list[int]], runs: int | None, total: int) -> Any:
        """Rounds of visits in the plan's orders; a net that is returned to before and after every few."""
        prefix = f"session {session} "
        watch = Watch(self.journal, prefix)
        found = self.backend.num_runs(self.reference)  # and the processor is awake
        runs = int(self._once(f"{prefix}runs", lambda: found if runs is None else runs))
        beside, every, before = 0, self.timing["reference_every"], (total - len(nets) * len(orders)) * (session - 1)
        for number, order in enumerate(orders):
            self._visit(f"{prefix}reference {beside}", self.reference, runs)
            beside += 1
            for position, net in enumerate(order):
                if position and position % every == 0:
                    self._visit(f"{prefix}reference {beside}", self.reference, runs)
                    beside += 1
                self._visit(f"{prefix}round {number} net {net}", nets[net], runs)
                watch.glance(self.made)
                yield "timing nets", before + number * len(nets) + position + 1, total
            gc.collect(1)
        self._visit(f"{prefix}reference {beside}", self.reference, runs)
        self._once(f"{prefix}machine", lambda: watch.end(self.made))
        return runs

    def _visit(self, key: str, net: int, runs: int) -> None:
        if self.journal.recall(key) is None:
            self.journal.record(key, self.backend.visit(net, runs))
            self.made += 1

    def _once(self, key: str, find: Any) -> Any:
        if self.journal.recall(key) is None:
            self.journal.record(key, find())
        return self.journal.recall(key)

    def _soak(self) -> Iterator[tuple[str, int, int]]:
        """Keep the device busy; also after a kill, because it has cooled since."""
        seconds = self.request["settings"]["soak_seconds"]
        if seconds <= 0:
            return
        seen: list[tuple[float, float]] = []
        for now, ms in self.backend.soak(self.reference, seconds):
            seen.append((now, ms))
            yield "soaking, seconds", min(int(now), int(seconds)), int(seconds)
        last = seen[-1][0] or 1.0
        medians: list[float] = []
        for tenth in range(TENTHS):
            inside = sorted(ms for now, ms in seen if min(int(now / last * TENTHS), TENTHS - 1) == tenth)
            medians.append(inside[len(inside) // 2] if inside else (medians or [seen[0][1]])[-1])
        say(f"after {seconds / 60:g} min of load a call takes {medians[-1] / medians[0]:.2f} times as long as at first")
        self._once("soak", lambda: {"seconds": seconds, "tenths_ms": medians})

    def _round_s(self, shape: dict[str, Any], visit_s: float) -> float:
        num = len(shape["first"]) + len(shape["second"])
        return float(visit_s) * num * (1 + 1 / float(self.timing["reference_every"]))


class Watch:
    """What went on beside the visits of a session, in parts of some seconds, so that a kill loses one of them at most."""

    def __init__(self, journal: Journal, prefix: str) -> None:
        self.journal, self.prefix, self.look, self.kept = journal, prefix, Look(), 0
        self.parts: list[dict[str, Any]] = []
        while journal.recall(f"{prefix}machine {len(self.parts)}") is not None:
            self.parts.append(journal.recall(f"{prefix}machine {len(self.parts)}"))

    def glance(self, made: int) -> None:
        """Keep what was seen for long enough, unless no visit is new."""
        if time.monotonic() - self.look.seconds >= PART_S:
            self._keep(made)
            self.look = Look()

    def end(self, made: int) -> dict[str, Any]:
        """Of all parts, those before a kill included."""
        self._keep(made)
        return joined(self.parts) if self.parts else self.look.until_now()

    def _keep(self, made: int) -> None:
        if made == self.kept:
            return
        self.kept = made
        self.parts.append(self.look.until_now())
        self.journal.record(f"{self.prefix}machine {len(self.parts) - 1}", self.parts[-1])


class Screen:
    """Progress with the time left, on stderr."""

    def __init__(self) -> None:
        self.label, self.start, self.first, self.shown = "", 0.0, 0, 0.0

    def __call__(self, label: str, done: int, total: int) -> None:
        """Show a step, at most once a second and at the end of a part."""
        now = time.monotonic()
        if label != self.label:
            self.label, self.start, self.first, self.shown = label, now, done, now
        is_terminal = sys.stderr.isatty()
        if done < total and now - self.shown < (1 if is_terminal else 30):
            return
        self.shown = now
        left = (now - self.start) / max(done - self.first, 1) * (total - done)
        text = f"{label}: {done}/{total}" + (f", {left / 60:.1f} min left" if done > self.first and done < total else "")
        sys.stderr.write(f"\r{text:<60}" if is_terminal else f"{text}\n")
        if is_terminal and done >= total:
            sys.stderr.write("\n")
        sys.stderr.flush()


def say(text: str) -> None:
    """A line for the user."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def options(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="measure.py", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--output", default="results.json", metavar="FILE", help="where results go (default: results.json)")
    parser.add_argument("--budget", type=float, metavar="MIN", help="minutes that timing may take (default: the kit's)")
    parser.add_argument("--trtexec", default="trtexec", metavar="PROGRAM", help="TensorRT's tool, for kits of TensorRT")
    parser.add_argument("--check", action="store_true", help="check the kit, show the plan, measure nothing")
    found = parser.parse_args(arguments)
    if found.budget is not None and not 0 < found.budget < 1e6:
        parser.error(f"--budget is {found.budget:g}; minutes above 0 are allowed")
    return found


def measure(asked: argparse.Namespace) -> int:
    """Check, plan, measure and write; the exit code."""
    kit = Kit(Path(__file__).resolve().parent)
    kit.prepare()
    request, output = kit.plan["request"], Path(asked.output)
    backend: Any
    if request["runtime"] == "tensorrt":
        folder = output.with_suffix(".engines")
        folder.mkdir(exist_ok=True)
        backend = TrtexecBackend(kit, Trtexec(asked.trtexec, folder))
    else:
        backend = OrtBackend(kit)
    info = {key: value for key, value in backend.info().items() if key != "device"}
    facts = machine_facts()  # after the runtime is imported, so that its version is known
    identity = {"plan": kit.sha256, "cpu": facts["cpu"], "info": info}
    journal = Journal(output.with_suffix(".progress.jsonl"), identity)
    seconds = request["settings"]["seconds"] if asked.budget is None else asked.budget * 60
    work = Measurement(kit, backend, journal, seconds)
    is_begun = work.is_begun
    if is_begun:
        say(f"going on after {len(journal.found)} measurements; what a budget left of the plan is decided: to decide anew, delete")
        say(f"{journal.path}")
    visits, shape, expected_s = work.shape()
    thin = (
        " (only blocks that the others can be interpolated from, to keep the budget)" if shape is kit.plan["shapes"]["thin"] else ""
    )
    say(
        f"{request['space']['name']} on {backend.info()['device']}, {request['runtime']} {backend.info()['runtime_version']}: "
        f"{len({kit.plan['reference'], *shape['first']})} nets{thin}, {visits} visits each, about {expected_s / 60:.1f} min"
    )
    if seconds is not None and expected_s > OVER * seconds and not is_begun:
        say(f"that is more than the budget of {seconds / 60:g} min, but the least that makes a table")
    if request["runtime"] == "tensorrt":
        say("engines are built first, which can take a minute each; they are kept")
    if asked.check:
        journal.close()
        if not is_begun:
            journal.path.unlink()  # nothing was measured yet
        return 0
    state: dict[str, Any] = work.begin()
    complete = False
    screen = Screen()
    try:
        gc.disable()
        for step in work.run(visits, shape):
            screen(*step)
        complete = True
    finally:
        backend.close()
        journal.close()
        state.update(ended=now(), after=machine_state(), seconds=work.seconds_timed(), visits_made=work.made)
        results = {"schema_version": RESULTS_SCHEMA, "plan_sha256": kit.sha256, "request": request, "seconds": seconds}
        results.update(info=backend.info(), machine={**facts, **state}, complete=complete, memory=journal.found)
        write_sealed(output, RESULTS_KIND, results)
    sys.stdout.write(f"{output.resolve()}\n")
    say(f"done: edgenas profile --import {output.name}")
    return 0


def now() -> str:
    """UTC, in ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())


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
