"""The script that a machine with a GPU runs: its dry run goes the whole way on a CPU, with stand-ins that are called so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import export_engines, gpu_export
from benchmarks.export_nets import Net
from edgenas.testing.exporters import INPUT_SHAPE, tiny_net


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    for module in (gpu_export, export_engines):
        monkeypatch.setattr(module, "nets", lambda names, demo: iter([Net("tiny", tiny_net(), INPUT_SHAPE)]))
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def rtx() -> Any:
    return pytest.importorskip("tensorrt_rtx")


@pytest.mark.slow  # compiles with PyTorch; what is built is looked at below
def test_a_dry_run_goes_through_and_calls_stand_ins_so(rtx: Any, tmp_path: Path) -> None:
    assert gpu_export.main(["--dry-run", "--visits", "2", "--output", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "gpu-export-dry-run.json").read_text())
    assert result["is_dry_run"]
    rows = {row["label"]: row for row in result["nets"]["tiny"]}
    eager = rows["PyTorch eager fp32 [torch-cpu stands in for torch-cuda]"]
    assert eager["error"] < 1e-6
    assert eager["num_images"] == eager["same_decisions"]
    half = rows["onnxruntime-cuda fp16 [onnxruntime-cpu stands in for onnxruntime-cuda]"]
    assert 0 < half["error"] < 2e-2
    assert half["error_to_emulation"] == 0, "the stand-in is the emulation itself"
    assert half["p50_ms"] > 0
    assert any("PyTorch torch.compile fp32" in label for label in rows)
    assert rows["tensorrt-rtx fp16"]["not_run"] == "built ahead of time; no GPU runs it"
    assert all("stands in for" in label or "not_run" in row for label, row in rows.items())
    page = (tmp_path / "gpu-export-dry-run.md").read_text()
    assert "Nothing here was measured on a GPU" in page
    assert "3 builds" in page


def test_without_a_gpu_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert gpu_export.main(["--output", str(tmp_path / "none")]) == 1
    assert "--dry-run tries the same on the CPU" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_the_table_of_engines_says_what_was_built_and_why_others_were_not(rtx: Any, tmp_path: Path) -> None:
    arguments = ["--targets", "sm75", "sm86", "portable", "--precisions", "fp32", "fp16", "--output", str(tmp_path / "engines")]
    assert export_engines.main(arguments) == 0
    page = (tmp_path / "engines.md").read_text()
    assert "| tiny | fp32 | 100 % | 100 % | 0.0 | a | " in page
    assert "- a: refused by TensorRT-RTX for Turing (SM75): FP32 GEMM is not supported" in page
    assert "5 of 6 engines were built" in page
    assert "- tiny fp16: 1 Gemm (gives the logits)" in page
    rows = json.loads((tmp_path / "engines.json").read_text())["rows"]
    assert [row["half_head"] for row in rows] == [False, False, False, True, False, False]
    assert export_engines.main(arguments) == 0
    assert json.loads((tmp_path / "engines.json").read_text())["rows"] == rows, "what is there is not built again"
