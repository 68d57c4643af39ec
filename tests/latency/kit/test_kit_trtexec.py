"""Kits of TensorRT against stand-ins for trtexec 10 and 11; the real one was never run."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgenas.errors import LatencyTableError
from edgenas.latency import LatencyTable, ProfileResult
from edgenas.latency.kit.pack import kit_plan
from edgenas.latency.kit.results import read_results, table_of
from edgenas.latency.kit.script_base import Kit, KitError
from edgenas.latency.kit.script_runners import parse_device, parse_times, parse_version
from tests.latency.kits import FEW, TINY, calls, fake_trtexec, old_python, request, unpacked

TASK = TINY.default_task
FEWER = replace(FEW, timing=replace(FEW.timing, visits=1, reference_every=8))


def kit_of(folder: Path, **changes: float) -> Path:
    settings = replace(FEWER, **changes)  # type: ignore[arg-type]
    return unpacked(folder, kit_plan(request(TINY, settings, runtime="tensorrt", threads=None)))


def measure(kit: Path, program: Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """The script, without anything but Python's own library."""
    command = [python, "-I", "-S", str(kit / "measure.py"), "--trtexec", str(program)]
    return subprocess.run(command, cwd=kit.parent, capture_output=True, text=True, check=False, timeout=400)


def imported(folder: Path) -> LatencyTable:
    *_, last = table_of(read_results(folder / "results.json", TINY, TASK), details={})
    assert isinstance(last, ProfileResult)
    return last.table


@pytest.mark.parametrize("version", ["10", "11"])
def test_both_versions_are_asked_for_the_same_measurement(version: str, tmp_path: Path) -> None:
    done = measure(kit_of(tmp_path), fake_trtexec(tmp_path, version))
    assert done.returncode == 0, done.stderr
    builds = [flags for flags in calls(tmp_path) if "onnx" in flags]
    visits = [flags for flags in calls(tmp_path) if "loadEngine" in flags]
    assert len(builds) == len({flags["saveEngine"] for flags in builds})
    if version == "10":
        assert all("stronglyTyped" in flags for flags in builds)
        assert all({"useCudaGraph", "useSpinWait"} <= flags.keys() for flags in visits)
    else:
        assert all("includeDataTransfers" in flags for flags in visits)
    table = imported(tmp_path)
    context = table.context
    assert (context.device, context.device_kind, context.runtime, context.precision) == ("Orin", "cuda", "tensorrt", "fp32")
    assert context.runtime_version == {"10": "10.13.3", "11": "11.4.0"}[version]
    assert (context.scope, context.threads) == ("trtexec", None)
    assert table.reference.compute_ms is not None
    assert table.reference.compute_ms < table.reference.p50_ms
    assert all(entry.origin == "measured" for entry in table.entries)
    with pytest.raises(LatencyTableError, match="scope: measured on trtexec"):
        table.require_matches(space=TINY, task=TASK, scope="end_to_end")


def test_a_camera_s_pace_is_idle_time_between_queries(tmp_path: Path) -> None:
    assert measure(kit_of(tmp_path, fps=20.0), fake_trtexec(tmp_path, "10")).returncode == 0
    visits = [flags for flags in calls(tmp_path) if "loadEngine" in flags]
    assert all(40 < float(flags["idleTime"]) < 50 for flags in visits[2:])
    assert imported(tmp_path).context.scope == "trtexec_20fps"


def test_engines_are_built_once_and_python_3_8_goes_on(tmp_path: Path) -> None:
    python = old_python()
    if python is None:
        pytest.skip("there is no Python 3.8 here")
    kit, program = kit_of(tmp_path), fake_trtexec(tmp_path, "10")
    first = measure(kit, program, python)
    assert first.returncode == 0, first.stderr
    table, num = imported(tmp_path), len(calls(tmp_path))
    assert table.context.details["python"].startswith("3.8.")
    journal = tmp_path / "results.progress.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join(lines[:-4]) + "\n")
    again = measure(kit, program, python)
    assert again.returncode == 0, again.stderr
    later = calls(tmp_path)[num:]
    assert not [flags for flags in later if "onnx" in flags]
    timed = [flags for flags in later if "loadEngine" in flags]
    assert len(timed) == 1 + 2  # the device is woken before the first of two visits; the last two lines are no visits
    plan = Kit(kit).sha256[:8]
    names = {path.name for path in (tmp_path / "results.engines").glob("*.engine")}
    assert names and all(name.endswith(f"-{plan}-trt10.13.3.engine") for name in names)  # noqa: PT018
    assert [entry.n for entry in imported(tmp_path).entries] == [entry.n for entry in table.entries]


@pytest.mark.parametrize(
    ("line", "damage", "words"),
    [
        ("[TensorRT v8601]", "pass", "TensorRT 8.6.1 is too old"),
        ("no version", "pass", "does not tell its version"),
        (None, "print('[E] out of memory'); sys.exit(1)", "failed: [E] out of memory"),
        (None, "rows = rows[:2]", "timed 2 of 32 queries"),
        (None, "sys.exit(0)", "left no times"),
        (None, "rows[0]['latencyMs'] = 0.0", "must be above 0 ms"),
    ],
)
def test_what_trtexec_does_wrong_is_one_line(line: str | None, damage: str, words: str, tmp_path: Path) -> None:
    done = measure(kit_of(tmp_path), fake_trtexec(tmp_path, "10", line=line, damage=damage))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("measure.py: ")
    assert words in done.stderr


def test_a_missing_trtexec_says_where_it_is_on_jetson(tmp_path: Path) -> None:
    done = measure(kit_of(tmp_path), tmp_path / "none")
    assert done.returncode == 1
    assert "/usr/src/tensorrt/bin/trtexec" in done.stderr


def test_versions_devices_and_times_are_read_from_what_is_printed(tmp_path: Path) -> None:
    banner = "&&&& RUNNING TensorRT.trtexec [TensorRT v{}] [b18] # trtexec --help"
    assert parse_version(banner.format("8601")) == (8, 6, 1)
    assert parse_version(banner.format("100300")) == (10, 3, 0)
    assert parse_version(banner.format("110406")) == (11, 4, 6)
    assert parse_version("[I] TensorRT version: 10.13.3") == (10, 13, 3)
    with pytest.raises(KitError, match="nknown option"):
        parse_version("x\n[E] Unknown option: --help\ny")
    assert parse_device("[05/01/2026-10:00:00] [I] Selected Device: NVIDIA GeForce RTX 4090 \n") == "NVIDIA GeForce RTX 4090"
    assert parse_device("nothing") == ""
    path = tmp_path / "times.json"
    path.write_text('[{"latencyMs": 2.0, "computeMs": 1.0}, {"latencyMs": 3.0, "computeMs": 1.5, "new": null}]')
    assert parse_times(path, 2) == ([2.0, 3.0], 1.5)
    for text in ("", "[{}]", '{"latencyMs": 1}', '[{"latencyMs": "x"}]'):
        path.write_text(text)
        with pytest.raises(KitError, match="no times that can be read"):
            parse_times(path, 1)
