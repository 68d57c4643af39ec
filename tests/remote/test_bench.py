"""`edgenas export --bench --device ssh://…`: exported files timed in turn on another machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgenas.deploy.contracts import RunnerInfo
from edgenas.errors import LatencyTableError
from edgenas.project import devices
from edgenas.project.devices import There, time_files_there
from edgenas.remote import run_job
from edgenas.runs import Note, Progress
from tests.cli.conftest import Run, edgenas  # noqa: F401 # a fixture
from tests.latency.kit.test_bench_kit import TIMING, model
from tests.remote.servers import Server
from tests.remote.test_job import done


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "run_job", lambda *arguments: run_job(*arguments, poll_s=(0.1,)))


def test_files_are_timed_there_and_nothing_stays(server: Server, tmp_path: Path) -> None:
    there = There(server.address(folder=str(server.folder / "bench")))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no net")
    others = [model(tmp_path, 3), replace(model(tmp_path, 2), path=broken), replace(model(tmp_path, 2), runtime="openvino-cpu")]
    seen, found = done(time_files_there(there, model(tmp_path, 1), others, TIMING, seed=0))
    assert [isinstance(info, RunnerInfo) for info in found.infos[:3]] == [True, True, False]
    num = sum(isinstance(info, RunnerInfo) for info in found.infos) - 1  # OpenVINO may be there, too
    assert len(found.turns.timings) == num
    assert ("timing in turn", 3 * num) in {(step.label, step.done) for step in seen if isinstance(step, Progress)}
    assert any("4 files, " in note.text for note in seen if isinstance(note, Note))
    assert not list((server.folder / "bench").iterdir())


def test_times_that_were_changed_there_are_refused_and_made_anew(server: Server, tmp_path: Path) -> None:
    there = There(server.address(folder=str(server.folder / "changed bench")), keep=True)

    def times(change: bool) -> Any:
        records = time_files_there(there, model(tmp_path, 1), [], TIMING, seed=0)
        while True:
            try:
                record = next(records)
            except StopIteration as end:
                return end.value
            if change and isinstance(record, Progress) and record.label.startswith("working on") and record.done == 1:
                (path,) = (server.folder / "changed bench").glob("*/results.json")
                path.write_text(path.read_text().replace('"seconds": ', '"seconds": 1'))

    with pytest.raises(LatencyTableError, match=r"what ssh://.* brought back cannot be used: results.json was edited"):
        times(change=True)
    assert times(change=False).turns.timings == ()


@pytest.mark.parametrize(
    "arguments", [("--device", "ssh://pi"), ("--bench", "--device", "cpu"), ("--bench", "--bench-net", "--device", "ssh://pi")]
)
def test_combinations_that_cannot_be_meant_are_refused(arguments: tuple[str, ...], edgenas: Run) -> None:  # noqa: F811
    assert edgenas("export", *arguments)[0] == 2
