"""What makes visits on a device: calls of ONNX Runtime timed here, or processes of trtexec that time themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgenas.latency.kit.script_base import Kit
from edgenas.latency.kit.script_runners import OrtRunner, Trtexec, ort_info
from edgenas.portable.calls import MAX_RUNS, RESIDENT_BYTES, CallTimer
from edgenas.portable.rounds import Visit


class OrtBackend:
    """Visits as `edgenas profile` makes them: one live session at a time, or all kept where no idle thread can spin."""

    def __init__(
        self,
        kit: Kit,
        open_runner: Callable[[int], Any] | None = None,
        clock: Callable[[], int] = time.perf_counter_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        request = kit.plan["request"]
        timing, fps = request["settings"]["timing"], request["settings"]["fps"]
        period_ns = 0 if fps is None else round(1e9 / fps)
        self.timer = CallTimer(clock, sleep, period_ns, timing["runs"], timing["visit_ms"], timing["warmup_ms"])
        self.threads: int | None = request["threads"]
        self.precision = "int8" if request["precision"] == "int8" else "fp32"  # it computes in no other
        self.open = open_runner or (lambda net: OrtRunner(kit.model(net), kit.shape_of(net), self.threads))
        sizes = (kit.num_bytes(net) for net in range(len(kit.plan["nets"])))
        self.resident = self.threads == 1 and open_runner is None and sum(sizes) <= RESIDENT_BYTES
        self.kept: dict[int, Any] = {}

    def info(self) -> dict[str, Any]:
        """What the live session reports."""
        return ort_info(self.threads, self.precision)

    def prepare(self, nets: list[int]) -> Iterator[int]:
        """Make nothing ready: sessions open fast."""
        yield from ()

    def probe(self, net: int) -> float:
        """Seconds that one visit takes, loading included unless nets stay loaded."""
        start = self.timer.clock()
        runner = self.open(net)
        loading_ns = self.timer.clock() - start
        try:
            return self.timer.visit_seconds(runner, 0 if self.resident else loading_ns)
        finally:
            runner.close()

    def num_runs(self, net: int) -> int:
        """Wake the processor up; how many runs a visit has."""
        runner = self._runner(net)
        try:
            return self.timer.wake(runner)
        finally:
            self._done(runner)

    def visit(self, net: int, runs: int) -> Visit:
        """Timed calls of one net."""
        runner = self._runner(net)
        try:
            return Visit(self.timer.visit(runner, runs))
        finally:
            self._done(runner)

    def soak(self, net: int, seconds: float) -> Iterator[tuple[float, float]]:
        """Work until ``seconds`` are over; the moment in seconds and the milliseconds of every call."""
        runner = self._runner(net)
        try:
            yield from self.timer.work(runner, seconds)
        finally:
            self._done(runner)

    def close(self) -> None:
        """Free what is kept."""
        while self.kept:
            self.kept.popitem()[1].close()

    def _runner(self, net: int) -> Any:
        if net in self.kept:
            return self.kept[net]
        runner = self.open(net)
        if self.resident:
            self.kept[net] = runner
        return runner

    def _done(self, runner: Any) -> None:
        if not self.resident:
            runner.close()


class TrtexecBackend:
    """Every visit is a process of trtexec; engines are built once and kept beside the results."""

    def __init__(self, kit: Kit, tool: Trtexec) -> None:
        request = kit.plan["request"]
        self.kit, self.tool, self.precision = kit, tool, request["precision"]
        self.timing: dict[str, Any] = request["settings"]["timing"]
        fps = request["settings"]["fps"]
        self.period_ms = 0.0 if fps is None else 1e3 / fps
        self.expected_ms = 0.0

    def info(self) -> dict[str, Any]:
        """What trtexec reports."""
        return self.tool.info(self.precision)

    def prepare(self, nets: list[int]) -> Iterator[int]:
        """Build the engines that are missing; how many are there after each."""
        for done, net in enumerate(nets, 1):
            self._engine(net)
            yield done

    def probe(self, net: int) -> float:
        """Seconds that one visit takes, most of them to start trtexec."""
        self._engine(net)
        start = time.monotonic()
        self.visit(net, self.num_runs(net))
        return (time.monotonic() - start) / 2  # num_runs is a visit too

    def num_runs(self, net: int) -> int:
        """How many runs a visit has."""
        samples = self.visit(net, MAX_RUNS).ms
        self.expected_ms = sorted(samples)[len(samples) // 2]
        wanted = int(self.timing["visit_ms"] / max(min(samples), self.period_ms, 1e-6))
        return int(max(self.timing["runs"], min(MAX_RUNS, wanted)))

    def visit(self, net: int, runs: int) -> Visit:
        """Timed queries of one net."""
        idle_ms = max(0.0, self.period_ms - self.expected_ms)
        samples, compute_ms = self.tool.times_ms(self._engine(net), runs, self.timing["warmup_ms"], idle_ms)
        return Visit(samples, compute_ms)

    def soak(self, net: int, seconds: float) -> Iterator[tuple[float, float]]:
        """Work until ``seconds`` are over, in pieces of a few seconds."""
        start, now = time.monotonic(), 0.0
        while now < seconds:
            now = time.monotonic() - start
            runs = max(MAX_RUNS, int(2000 / max(self.expected_ms, self.period_ms, 0.1)))
            samples = self.visit(net, runs).ms
            yield now, sorted(samples)[len(samples) // 2]

    def close(self) -> None:
        """Do nothing: no process is kept open."""

    def _engine(self, net: int) -> Path:
        name = f"{self.kit.plan['nets'][net]}-{self.kit.sha256[:8]}"  # another plan may compute the same net otherwise
        return self.tool.engine(name, lambda: self.kit.model(net))
