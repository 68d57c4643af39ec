"""`export --bench --device ssh://…` in a project that went through every stage."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from edgenas.records import BenchResult
from edgenas.remote.line import CONFIG
from tests.recipes.killing import Reference
from tests.remote.servers import HAS_ALL, serving
from tests.remote.test_profile import edgenas_in

UNTRAINED = ("--set", "gates.min_agreement=0.5", "--set", "gates.max_new_false_negatives=145")  # of a net of two epochs


@pytest.mark.slow
@pytest.mark.skipif(not HAS_ALL, reason="needs OpenSSH's server and client")
def test_artefacts_int8_among_them_are_timed_and_asked_on_another_machine(
    reference: Reference, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    shutil.copytree(reference.folder / "after-export", work)
    with serving(tmp_path_factory.mktemp("sshd")) as server:
        monkeypatch.setenv(CONFIG, str(server.config))
        address = f"{server.address()}?python={sys.executable}&dir={server.folder}/there"
        bench = ("export", "--bench", "--device", address, "--set", "export.bench_visits=5", *UNTRAINED)
        code, value, err = edgenas_in(work, *bench, "--precision", "int8")
        turn_answers_round(work / "edgenas-run" / value["result"]["artifact"])
        _, again, _ = edgenas_in(work, *bench)
    assert code == 0 or "parity undecided" in str(value["error"]), (value["error"], err)
    assert value["outputs"]["bench"] == "export/bench-127.0.0.1.json"
    found = value["result"]["bench"]
    kept = BenchResult.read(work / "edgenas-run" / value["outputs"]["bench"])
    assert kept.choice is not None
    timed = {(row["runtime"], row["precision"]) for row in found["rows"]}
    assert timed >= {("onnxruntime-cpu", "fp32"), ("onnxruntime-cpu", "int8")}, found["left_out"]
    assert "files answered the golden images as they must" in err
    assert not (work / "edgenas-run" / "export" / "bench.json").exists()
    assert not list((server.folder / "there").iterdir())
    others = again["result"]["bench"]
    assert {row["precision"] for row in others["rows"]} == {"fp32"}
    assert all(row["latency_ms"] > 0 for row in others["rows"])
    reasons = [each["reason"] for each in others["left_out"] if "int8" in each["path"] and each["runtime"] == "onnxruntime-cpu"]
    assert any("it answers otherwise there: largest error" in reason for reason in reasons), others["left_out"]


def turn_answers_round(artefact: Path) -> None:
    """Give the artefact's golden images other answers than its files give."""
    path = artefact / "golden.npz"
    with np.load(path) as arrays:
        images, logits = arrays["images"], arrays["logits"]
    np.savez_compressed(path, images=images, logits=5 - logits)
