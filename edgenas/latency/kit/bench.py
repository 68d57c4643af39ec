"""Files of exported nets, timed in turn on a device without edgenas: what is sent there, and what comes back.

The visits are those that `timing.take_turns` makes here: one live session at a time, rounds of random order, the reference around
each; the device's script and this machine share the code (`edgenas.portable.rounds`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import Precision, RunnerInfo
from edgenas.errors import LatencyTableError, RunFolderError
from edgenas.latency.kit.pack import script
from edgenas.latency.kit.script_bench import BENCH_KIND, BENCH_SCHEMA, PLAN_KIND, shuffled
from edgenas.latency.table import machine_problems
from edgenas.latency.timing import TimingSettings, Turns, timings_of
from edgenas.portable.machine import Watches
from edgenas.portable.rounds import Rounds, Visit
from edgenas.portable.sealing import canonical_sha256, sealed
from edgenas.records import MachineFacts, SentFile, TriedFile, TurnsPlan, TurnsResults, VisitFacts
from edgenas.runs import read_sealed, sha256_file, sha256_json, write_text

BENCH_SCRIPTS = (
    *(
        f"portable/{name}.py"
        for name in ("facts", "quota", "memory", "outside", "sealing", "journal", "machine", "calls", "rounds")
    ),
    *(f"latency/kit/script_{name}.py" for name in ("base", "runners", "files", "bench")),
)
BENCH_RUNTIMES = ("onnxruntime-cpu", "openvino-cpu", "executorch-cpu")
HINT = "time the files again"
LONGEST_MS = 1e9
MOST_ANSWERS = 1 << 20  # numbers


@dataclass(frozen=True, slots=True)
class TurnFile:
    """A file that a device is to time.

    Attributes:
        path: of the file; one of OpenVINO's has its ``.bin`` beside it.
        runtime: one of ``BENCH_RUNTIMES``.
        precision: of the computation.
        shape: of the input.
        threads: None takes all usable cores of the device.
        golden: an ``.npz`` with ``images`` that the file is asked about there.
    """

    path: Path
    runtime: str
    precision: Precision
    shape: tuple[int, ...]
    threads: int | None
    golden: Path | None = None


@dataclass(frozen=True, slots=True)
class BenchKit:
    """What is sent: files by their names there, and the plan that is among them."""

    files: Mapping[str, Path]
    plan: TurnsPlan


@dataclass(frozen=True, slots=True)
class TurnsThere:
    """What came back.

    Attributes:
        infos: of the reference and every file's live session there; for one that does not work there, the reason.
        answers: of each, logits of its golden images (N, K); None of one without any, or that does not work there.
        turns: of the files that work, in order.
    """

    infos: tuple[RunnerInfo | str, ...]
    answers: tuple[NDArray[np.float32] | None, ...]
    turns: Turns


def bench_kit(folder: Path, reference: TurnFile, others: Sequence[TurnFile], settings: TimingSettings, *, seed: int) -> BenchKit:
    """Write plan and script into ``folder``; files of equal content are sent once."""
    files: dict[str, Path] = {}

    def sent(each: TurnFile) -> SentFile:
        parts = [each.path, each.path.with_suffix(".bin")] if each.path.suffix == ".xml" else [each.path]
        stem = sha256_json([sha256_file(part) for part in parts])[:16]
        files.update({f"{stem}{part.suffix}": part for part in parts})
        golden = None
        if each.golden is not None:
            golden = f"{sha256_file(each.golden)[:16]}{each.golden.suffix}"
            files[golden] = each.golden
        return SentFile(
            path=f"{stem}{each.path.suffix}",
            runtime=each.runtime,
            precision=each.precision,
            shape=each.shape,
            threads=each.threads,
            golden=golden,
        )

    timing = VisitFacts(**asdict(settings))
    plan = TurnsPlan(reference=sent(reference), entrants=tuple(map(sent, others)), timing=timing, seed=seed)
    write_text(folder / "plan.json", json.dumps(sealed(PLAN_KIND, plan.as_json())))
    write_text(folder / "bench.py", script(BENCH_SCRIPTS))
    return BenchKit({**files, "plan.json": folder / "plan.json", "bench.py": folder / "bench.py"}, plan)


def read_turns(path: Path, kit: BenchKit) -> TurnsThere:
    """Read and check what the script wrote.

    Raises:
        LatencyTableError: naming what keeps it from being used: edited, of another plan, visits that are missing or no times.
    """
    try:
        content = read_sealed(path, BENCH_KIND, schema_version=BENCH_SCHEMA, hint=HINT)
    except RunFolderError as error:
        raise LatencyTableError(error.message, hint=error.hint) from error
    try:
        results = TurnsResults.from_json(content)
    except RunFolderError as error:
        raise LatencyTableError(f"{path} holds no times of files", problems=error.problems, hint=HINT) from error
    if results.plan_sha256 != canonical_sha256(kit.plan.as_json()):
        raise LatencyTableError(f"{path} is of other files", hint=HINT)
    try:
        return _turns(path, kit.plan, results)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise LatencyTableError(f"{path} holds no times of files: {type(error).__name__} {error}", hint=HINT) from error


def _turns(path: Path, plan: TurnsPlan, results: TurnsResults) -> TurnsThere:
    """What the device made of its plan.

    Raises:
        LatencyTableError: as `read_turns`.
        KeyError, TypeError, ValueError: if a visit or a session says something else than the script writes.
    """
    asked = (plan.reference, *plan.entrants)
    infos = tuple(_info(each, sent) for each, sent in zip(results.tried, asked, strict=True))
    if isinstance(infos[0], str):
        raise LatencyTableError(f"{path} says nothing of the file that the others are compared with", hint=HINT)
    num = sum(isinstance(info, RunnerInfo) for info in infos) - 1
    rounds = _replayed(results.memory, num, plan, path)
    if not _is_number(results.seconds):
        raise LatencyTableError(f"{path}: seconds is {results.seconds!r:.40}", hint=HINT)
    machine = rounds.watch.end(0)
    problems = list(machine_problems("machine", machine))
    if problems:
        raise LatencyTableError(f"{path} cannot be used", problems=problems, hint=HINT)
    assert rounds.num_runs is not None
    seen = MachineFacts.from_json(machine)
    answers = tuple(_answers(each, sent) for each, sent in zip(results.tried, asked, strict=True))
    return TurnsThere(infos, answers, Turns(*timings_of(rounds, num), rounds.num_runs, float(results.seconds), seen))


def _info(tried: TriedFile, asked: SentFile) -> RunnerInfo | str:
    if tried.reason is not None:
        return tried.reason[:300]
    info = RunnerInfo(**tried.info or {})
    if (info.runtime, info.precision) != (asked.runtime, asked.precision):
        raise ValueError(f"{asked.path} was to run in {asked.runtime} in {asked.precision}, not in {info.runtime}")
    if not all(isinstance(text, str) and text.strip() for text in (info.device, info.runtime_version)):
        raise ValueError(f"a device is called {info.device!r:.40}")
    return info


def _answers(tried: TriedFile, asked: SentFile) -> NDArray[np.float32] | None:
    """Logits of the golden images, as they were given; what is no number is nan."""
    if tried.reason is not None or asked.golden is None:
        return None
    rows = tried.answers or ()
    if not rows or len({len(row) for row in rows}) > 1 or len(rows) * len(rows[0]) > MOST_ANSWERS:
        raise ValueError(f"{asked.path} gave no answers to its golden images")
    return np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Recalled:
    """The visits of a file of results; nothing is measured here."""

    memory: Mapping[str, Any]
    path: Path

    def recall(self, key: str) -> Any | None:
        return self.memory.get(key)

    def record(self, key: str, value: Any) -> None:
        raise LatencyTableError(f"{self.path} lacks {key!r}", hint=HINT)

    def wake(self) -> int:
        raise LatencyTableError(f"{self.path} lacks visits", hint=HINT)

    def visit(self, net: int, num_runs: int) -> Visit:
        raise LatencyTableError(f"{self.path} lacks visits", hint=HINT)


def _replayed(memory: Mapping[str, Any], num: int, plan: TurnsPlan, path: Path) -> Rounds:
    """The rounds that the device made."""
    recalled = _Recalled(memory, path)
    rounds = Rounds(recalled, recalled, Watches(recalled), plan.timing.reference_every)
    for _ in rounds.run(shuffled(num, plan.timing.visits, plan.seed)):
        pass
    for visit in (*rounds.beside, *(visit for visits in rounds.visits.values() for visit in visits)):
        if not isinstance(visit.ms, list) or len(visit.ms) != rounds.num_runs or not all(map(_is_number, visit.ms)):
            raise ValueError("a visit holds no times")
        if visit.compute_ms is not None:
            raise ValueError("a visit holds other times")
    return rounds


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and 0 < value < LONGEST_MS
