"""Visits to nets: some untimed calls, then timed ones, each kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgenas.latency.kit.script_base import Kit
from edgenas.latency.kit.script_runners import OrtRunner, Trtexec, ort_info

MAX_RUNS = 32
RESIDENT_BYTES = 256 << 20  # of nets that may stay loaded together


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
        self.timing: dict[str, Any] = request["settings"]["timing"]
        self.threads: int | None = request["threads"]
        fps = request["settings"]["fps"]
        self.period_ns = 0 if fps is None else round(1e9 / fps)
        self.clock, self.sleep = clock, sleep
        self.open = open_runner or (lambda net: OrtRunner(kit.model(net), kit.shape_of(net), self.threads))
        sizes = (kit.num_bytes(net) for net in range(len(kit.plan["nets"])))
        self.resident = self.threads == 1 and open_runner is None and sum(sizes) <= RESIDENT_BYTES
        self.kept: dict[int, Any] = {}
        self.last: int | None = None

    def info(self) -> dict[str, Any]:
        """Of the live session."""
        return ort_info(self.threads)

    def prepare(self, nets: list[int]) -> Iterator[int]:
        """Nothing: sessions open fast."""
        yield from ()

    def probe(self, net: int) -> float:
        """Seconds that one visit takes, loading included unless nets stay loaded."""
        start = self.clock()
        runner = self.open(net)
        loading = self.clock() - start
        runner()
        begin = self.clock()
        runner()
        each = max(self.clock() - begin, self.period_ns)
        runner.close()
        runs = max(self.timing["runs"], min(MAX_RUNS, int(self.timing["visit_ms"] * 1e6 / max(each, 1))))
        warm = max(2 * each, self.timing["warmup_ms"] * 1e6)
        return float((0 if self.resident else loading) + warm + (runs + 1) * each) / 1e9

    def num_runs(self, net: int) -> int:
        """Wake the processor up; how many runs a visit has."""
        runner = self._runner(net)
        for _ in range(3):
            runner()
        start, self.last = self.clock(), None
        each: list[int] = []
        while len(each) < 5 or (self.clock() - start < 2e8 and len(each) < 1000):
            begin = self._wait()
            runner()
            each.append(self.clock() - begin)
        self._done(runner)
        wanted = self.timing["visit_ms"] * 1e6 / max(min(each), self.period_ns, 1)
        return int(min(max(wanted, self.timing["runs"]), max(MAX_RUNS, self.timing["runs"])))

    def visit(self, net: int, runs: int) -> dict[str, Any]:
        """Timed calls of one net, in milliseconds."""
        runner = self._runner(net)
        start, count, self.last = self.clock(), 0, None
        while count < 2 or self.clock() - start < self.timing["warmup_ms"] * 1e6:
            self._wait()
            runner()
            count += 1
        samples = []
        for _ in range(runs):
            begin = self._wait()
            runner()
            samples.append((self.clock() - begin) / 1e6)
        self._done(runner)
        return {"ms": samples, "compute_ms": None}

    def soak(self, net: int, seconds: float) -> Iterator[tuple[float, float]]:
        """Work until ``seconds`` are over; the moment in seconds and the milliseconds of every call."""
        runner = self._runner(net)
        start, self.last, now = self.clock(), None, 0.0
        try:
            while now < seconds:
                begin = self._wait()
                runner()
                now = (begin - start) / 1e9
                yield now, (self.clock() - begin) / 1e6
        finally:
            self._done(runner)

    def close(self) -> None:
        """Free what is kept."""
        while self.kept:
            self.kept.popitem()[1].close()

    def _wait(self) -> int:
        """Sleep until the next call is due; the moment that it starts at."""
        if self.period_ns and self.last is not None:
            rest = self.last + self.period_ns - self.clock()
            if rest > 0:
                self.sleep(rest / 1e9)
        self.last = self.clock()
        return self.last

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
        """As trtexec tells."""
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
        samples = self.visit(net, MAX_RUNS)["ms"]
        self.expected_ms = sorted(samples)[len(samples) // 2]
        wanted = int(self.timing["visit_ms"] / max(min(samples), self.period_ms, 1e-6))
        return int(max(self.timing["runs"], min(MAX_RUNS, wanted)))

    def visit(self, net: int, runs: int) -> dict[str, Any]:
        """Timed queries of one net, in milliseconds."""
        idle_ms = max(0.0, self.period_ms - self.expected_ms)
        samples, compute_ms = self.tool.times_ms(self._engine(net), runs, self.timing["warmup_ms"], idle_ms)
        return {"ms": samples, "compute_ms": compute_ms}

    def soak(self, net: int, seconds: float) -> Iterator[tuple[float, float]]:
        """Work until ``seconds`` are over, in pieces of a few seconds."""
        start, now = time.monotonic(), 0.0
        while now < seconds:
            now = time.monotonic() - start
            runs = max(MAX_RUNS, int(2000 / max(self.expected_ms, self.period_ms, 0.1)))
            samples = self.visit(net, runs)["ms"]
            yield now, sorted(samples)[len(samples) // 2]

    def close(self) -> None:
        """Nothing is kept open."""

    def _engine(self, net: int) -> Path:
        name = f"{self.kit.plan['nets'][net]}-{self.kit.sha256[:8]}"  # another plan may compute the same net otherwise
        return self.tool.engine(name, lambda: self.kit.model(net))
