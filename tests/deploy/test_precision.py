"""What `verify` says of the precision of files: proven, contradicted, or not proven, which is never a pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgenas.deploy.artefact import verify, write_artefact
from edgenas.deploy.contracts import ExportedFile, RunnerInfo
from edgenas.deploy.orders import orders_of, with_engines
from edgenas.deploy.parity import not_run
from edgenas.errors import MissingBackendError, PrecisionError, UsageError
from edgenas.records import Check

from .conftest import facts, parity_of, reference

SHARES = {"precision_share": "99.8 % of multiply-accumulates in fp16", "precision_proof": "types of the network"}


class Opened:
    """A runtime that opens any engine, which then says this of itself."""

    name, device_kind, accepts, precisions = "tensorrt", "cuda", ("engine",), ("fp16", "fp32")

    def __init__(self, details: dict[str, Any], error: Exception | None = None) -> None:
        self.info = RunnerInfo("RTX 3060", "cuda", "tensorrt", "11.4", "fp16", None, None, details)
        self.error = error

    def load(self, source: Path, *, precision: str = "fp32") -> Opened:
        if self.error is not None:
            raise self.error
        return self

    def __call__(self, images_NCHW: Any) -> Any:
        return reference(images_NCHW)

    def close(self) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An artefact with an engine."""
    (tmp_path / "model.engine").write_bytes(b"engine")
    engine = ExportedFile(
        tmp_path / "model.engine", "engine", "tensorrt", "fp16", 1, ("sm86",), notes=SHARES | {"rebuild_words": "2 builds"}
    )
    return write_artefact(tmp_path / "artefact", [(engine, not_run("no GPU"))], facts(), reference=reference).folder


def precision_of(folder: Path, runtime: Any) -> Check:
    (found,) = [check for check in verify(folder, {"tensorrt": runtime}) if check.name == "precision"]
    return found


def test_an_engine_whose_inspector_names_its_types_is_proven(folder: Path) -> None:
    details = {"engine_share_fp16": 0.75, "engine_share_fp32": 0.25, "precision_proof": "engine inspector"}
    check = precision_of(folder, Opened(details))
    assert (check.verdict, check.reason) == (
        "passed",
        "the live engine computes in fp16 (fp16 75.0 %, fp32 25.0 % of its inner tensors), by engine inspector",
    )


def test_an_engine_whose_inspector_names_nothing_does_not_pass(folder: Path) -> None:
    check = precision_of(folder, Opened({"precision_proof": "nothing: the engine's inspector names no data type"}))
    assert check.verdict == "not_run"
    assert "its precision is not proven: nothing" in check.reason


def test_an_engine_of_another_precision_fails(folder: Path) -> None:
    check = precision_of(folder, Opened({}, PrecisionError("fp16 was asked for, but no inner tensor of the engine is in it")))
    assert check.verdict == "failed"
    assert "no inner tensor" in check.reason


def test_an_engine_that_cannot_be_opened_says_what_was_proven_when_it_was_built(folder: Path) -> None:
    check = precision_of(folder, Opened({}, MissingBackendError("there is no GPU")))
    assert check.verdict == "not_run"
    assert check.reason.endswith("when it was built: 99.8 % of multiply-accumulates in fp16 (proof: types of the network)")


def test_the_folder_says_what_its_files_compute_in(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert "- `model.engine`: 99.8 % of multiply-accumulates in fp16, by the types of the network" in text
    assert "- `model.engine`: 2 builds" in text


def test_an_onnx_file_names_what_stayed_single(make_artefact: Callable[..., Path]) -> None:
    folder = make_artefact(parity=parity_of(), precisions=("fp16",))
    check = next(check for check in verify(folder, {}) if check.name == "precision")
    assert check.verdict == "passed"
    assert "% of operators in fp16, the manifest says fp16; the rest: 1 Gemm (gives the logits" in check.reason


def test_flags_of_engines_are_refused_where_none_is_built() -> None:
    orders = orders_of(["onnx"], [])
    with pytest.raises(UsageError, match=r"--gpu sm86 and --rebuild 3: no engine is built for onnx") as caught:
        with_engines(orders, ["sm86"], 3)
    assert caught.value.exit_code == 2
    assert with_engines(orders, [], 1) == orders


def test_flags_of_engines_reach_those_that_build_some() -> None:
    pytest.importorskip("tensorrt_rtx")
    onnx, trt = with_engines(orders_of(["onnx", "trt"], []), ["sm86+sm89"], 2).each
    assert (onnx.targets, onnx.rebuilds) == ((), 1)
    assert (trt.targets, trt.rebuilds) == (("sm86+sm89",), 2)
    with pytest.raises(UsageError, match="does not build for sm42"):
        with_engines(orders_of(["trt"], []), ["sm42"], 1)
    with pytest.raises(UsageError, match=r"does not build for sm86\+, portable\+sm89\. supported are sm75"):
        with_engines(orders_of(["trt"], []), ["sm86+", "portable+sm89"], 1)
