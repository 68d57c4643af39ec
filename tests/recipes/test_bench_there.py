"""`export --bench --device ssh://…` in a project that went through every stage."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from edgenas.records import BenchResult
from edgenas.remote.line import CONFIG
from tests.recipes.killing import Reference
from tests.remote.servers import HAS_ALL, serving
from tests.remote.test_profile import edgenas_in


@pytest.mark.slow
@pytest.mark.skipif(not HAS_ALL, reason="needs OpenSSH's server and client")
def test_artefacts_are_timed_on_another_machine(
    reference: Reference, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    shutil.copytree(reference.folder / "after-export", work)
    with serving(tmp_path_factory.mktemp("sshd")) as server:
        monkeypatch.setenv(CONFIG, str(server.config))
        address = f"{server.address()}?python={sys.executable}&dir={server.folder}/there"
        code, value, err = edgenas_in(work, "export", "--bench", "--device", address, "--set", "export.bench_visits=5")
    assert code == 0, (value["error"], err)
    assert value["outputs"]["bench"] == "export/bench-127.0.0.1.json"
    found = value["result"]["bench"]
    kept = BenchResult.read(work / "edgenas-run" / value["outputs"]["bench"])
    assert kept.choice is not None
    assert {row["runtime"] for row in found["rows"]} >= {"onnxruntime-cpu"}
    assert not (work / "edgenas-run" / "export" / "bench.json").exists()
    assert not list((server.folder / "there").iterdir())
