"""Which of several latency tables a run rests on."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.latency import LatencyTable
from edgenas.project.opening import open_project
from edgenas.project.run_tables import run_table
from edgenas.spaces.pvt import PVT_NANO
from tests.recipes.budgets import TASK, edgenas_in, make_project, of_this_machine, scaled, toy_table

pytestmark = pytest.mark.usefixtures("times_of_one_plan")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


def add(project: Path, name: str, factor: float, *, kit: bool = False, **context: Any) -> LatencyTable:
    """A newer table of another context, of nets that are so many times slower."""
    table = scaled(of_this_machine(toy_table()), factor)
    details = {**table.context.details, **({"kit": {"edgenas": "0"}} if kit else {})}
    table = replace(table, context=replace(table.context, details=details, **context))
    path = project / "edgenas-run" / "latency" / f"{name}.json"
    table.write(path)
    late = path.stat().st_mtime + 100
    os.utime(path, (late, late))
    return table


def median_ms() -> float:
    return float(np.median(toy_table().to_cost_model(PVT_NANO, TASK)(PVT_NANO.enumerate())))


def test_the_usual_table_is_taken_whatever_was_profiled_last(project: Path) -> None:
    add(project, "four", 4.0, batch_size=4)
    add(project, "camera", 2.0, scope="end_to_end_30fps_settled")
    code, value, err = edgenas_in(project, "plan", "--latency-ms", f"{median_ms()}")
    assert code == 0, value["error"]
    assert value["result"]["space"]["feasible"]["value"] == pytest.approx(0.5, abs=0.01)
    assert f"latency by {value['result']['table']['path']}: " in " ".join(err.split())
    assert "batch 1, 2 threads" in " ".join(err.split())
    code, value, err = edgenas_in(project, "plan", "--latency-ms", f"{2 * median_ms()}", "--table", "camera")
    assert code == 0, value["error"]  # naming one of the run's own is choosing it
    assert "end to end 30fps settled" in " ".join(err.split())
    own = project / "edgenas-run" / "latency" / "camera.json"
    elsewhere = project / "elsewhere.json"
    elsewhere.write_bytes(own.read_bytes())
    code, value, _ = edgenas_in(project, "plan", "--latency-ms", "1", "--table", str(elsewhere))
    assert code == 1
    assert "scope: measured on end_to_end_30fps_settled, asked for end_to_end" in value["error"]["problems"]
    asked = ("--set", "profile.fps=30", "--set", "profile.soak_min=1")
    code, value, err = edgenas_in(project, "plan", "--latency-ms", f"{2 * median_ms()}", *asked)
    assert code == 0, value["error"]
    assert "latency by camera.json" in err


def test_of_several_others_one_is_asked_for(project: Path) -> None:
    for path in (project / "edgenas-run" / "latency").glob("*.json"):
        path.unlink()
    add(project, "four", 4.0, batch_size=4)
    code, value, _ = edgenas_in(project, "plan", "--latency-ms", f"{4 * median_ms()}")
    assert code == 0, value["error"]
    add(project, "camera", 2.0, scope="end_to_end_30fps")
    code, value, _ = edgenas_in(project, "plan", "--latency-ms", "1")
    assert code == 1
    assert value["error"]["message"] == "there are latency tables of 2 contexts"
    assert {problem.split(":")[0] for problem in value["error"]["problems"]} == {"four", "camera"}


def test_what_a_kit_measured_elsewhere_is_not_judged_by_this_machine(project: Path) -> None:
    add(project, "pi", 100.0, kit=True, device="Raspberry Pi 5")
    code, value, err = edgenas_in(project, "search", "--latency-ms", f"{100 * median_ms()}", "--table", "pi")
    assert code == 0, value["error"]
    winner = value["result"]["winner"]
    assert winner["latency_ms_measured"] is None
    assert winner["latency_ms_predicted"] > 30 * median_ms()
    assert "nets are not measured: the latency table is of Raspberry Pi 5, which is not here" in " ".join(err.split())
    code, value, _ = edgenas_in(project, "plan", "--latency-ms", "1")
    assert code == 1
    assert "tables of 2 contexts" in value["error"]["message"]


def test_a_kits_table_of_this_device_does_not_hide_its_own(project: Path) -> None:
    add(project, "kit", 3.0, kit=True)
    (project / "edgenas-run" / "latency" / "dangling.json").symlink_to("/nowhere/at/all")
    code, value, err = edgenas_in(project, "plan", "--latency-ms", f"{median_ms()}")
    assert code == 0, value["error"]
    assert value["result"]["space"]["feasible"]["value"] == pytest.approx(0.5, abs=0.01)
    assert "by a kit" not in err


def test_a_named_table_of_another_version_of_the_runtime_is_taken_where_foreign_ones_are_allowed(project: Path) -> None:
    add(project, "box", 3.0, kit=True, runtime_version="0.9.0")
    limits = ("--latency-ms", f"box={3 * median_ms()}")
    code, value, _ = edgenas_in(project, "plan", *limits)
    assert code == 1
    assert "--allow-foreign-table" in value["error"]["hint"]
    code, value, err = edgenas_in(project, "plan", *limits, "--allow-foreign-table")
    assert code == 0, value["error"]
    assert "box.json is foreign: runtime_version: measured on 0.9.0" in " ".join(err.split())


def test_later_commands_rest_on_the_table_of_the_search(project: Path) -> None:
    opened = open_project(project / "edgenas-run", {}, ())
    usual = run_table(opened, TASK)
    four = add(project, "four", 4.0, batch_size=4)
    assert usual is not None
    found, other = run_table(opened, TASK, usual.table.sha256), run_table(opened, TASK, four.sha256)
    assert (found, other) != (None, None)
    assert found is not None and other is not None  # noqa: PT018 # for the type checker
    assert (found.path, other.path.stem) == (usual.path, "four")
    gone = run_table(opened, TASK, "0" * 64)
    assert gone is not None
    assert gone.path == usual.path


def test_more_threads_than_cores_are_refused(project: Path) -> None:
    code, value, _ = edgenas_in(project, "profile", "--device", "cpu", "--threads", "4096")
    assert code == 5
    assert "4096 threads: this process may use" in value["error"]["message"]
    assert edgenas_in(project, "profile", "--set", "profile.threads=0")[0] == 1
