"""Several artefacts of one export: one that cannot be written, or fails, keeps no other from being written."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgenas.deploy.contracts import ExportedFile, ExportSpec
from edgenas.deploy.orders import Order, orders_of
from edgenas.errors import BatchError, EdgeNASError, ExportError, GateError
from edgenas.project.exporting import writing
from edgenas.recipes import export
from edgenas.recipes.export import ExportConfig
from edgenas.records import Parity, Verdict
from edgenas.runs import Note


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the artefacts in the order in which they were written; those of an odd name cannot be, or fail."""
    names: list[str] = []

    def write(source: object, order: Order, folder: Path, extras: object, signer: object) -> Generator[Note, None, Any]:
        yield Note(f"writing {order.name}")
        names.append(order.name)
        if order.precision == "bf16":
            raise ExportError("this net holds values outside of bf16")
        verdict: Verdict = "failed" if order.precision == "fp16" else "passed"
        return SimpleNamespace(order=order, parities=[Parity(verdict, "" if verdict == "passed" else "too many flips")])

    monkeypatch.setattr(export, "write_one", write)
    monkeypatch.setattr(type(orders_of(["onnx"], []).each[0].exporter), "precisions", ("fp32", "fp16", "bf16"))
    return names


def ended(*precisions: str) -> tuple[list[str], list[tuple[str, EdgeNASError]], list[str]]:
    """What stands, what failed, and the warnings."""
    orders = orders_of(["onnx"], precisions).each
    folders = [Path(order.name) for order in orders]
    steps = export._write(None, orders, folders, ExportConfig(Path("run"), {}, (), ("onnx",), precisions), None)  # type: ignore[arg-type]
    warnings: list[str] = []
    while True:
        try:
            record = next(steps)
        except StopIteration as end:
            stands, failures = end.value
            return [each.order.name for each in stands], failures, warnings
        if isinstance(record, Note) and record.is_warning:
            warnings.append(record.text)


def test_those_that_can_be_written_stand_and_the_first_is_put_in_place_last(written: list[str]) -> None:
    stands, failures, warnings = ended("fp32", "fp16", "bf16")
    assert stands == ["onnx", "onnx-fp16"]
    assert [(name, type(error)) for name, error in failures][1] == ("onnx-bf16", ExportError)
    assert failures[0][1].exit_code == GateError.exit_code
    assert not warnings
    assert written == ["onnx-bf16", "onnx-fp16", "onnx"]


@pytest.mark.usefixtures("written")
def test_of_auto_what_only_was_tried_warns() -> None:
    stands, failures, warnings = ended("auto")
    assert stands == ["onnx", "onnx-fp16"]
    assert not failures
    assert [text.split(":")[0] for text in warnings] == ["onnx-bf16", "onnx-fp16"]


@pytest.mark.usefixtures("written")
def test_one_alone_that_cannot_be_written_is_raised() -> None:
    with pytest.raises(ExportError, match="outside of bf16"):
        ended("bf16")


class Fixed:
    """A format of files for one image alone."""

    name, precisions = "fixed", ("fp32",)

    def export(self, model: object, spec: ExportSpec, folder: Path) -> list[ExportedFile]:
        if spec.batch_size is None:
            raise BatchError("this net is for one image a call alone")
        return [ExportedFile(folder / "model.bin", "onnx", "onnxruntime-cpu", "fp32", spec.batch_size)]


def test_a_net_that_has_no_file_for_any_number_of_images_gets_the_others(tmp_path: Path) -> None:
    order: Any = SimpleNamespace(name="fixed", exporter=Fixed())
    staging: Any = SimpleNamespace(files=lambda name, write: list(write(tmp_path)))
    one, any_number = ExportSpec((3, 8, 8)), ExportSpec((3, 8, 8), batch_size=None)

    def told(specs: list[ExportSpec]) -> Generator[Any, None, None]:
        found = yield from writing.write_files(order, None, specs, staging)  # type: ignore[arg-type]
        assert found[0] == [one]
        assert [file.batch_size for file in found[1]] == [1]

    notes = [record.text for record in told([one, any_number]) if isinstance(record, Note)]
    assert notes == ["fixed: no file for any number of images: this net is for one image a call alone"]
    with pytest.raises(BatchError, match="one image a call alone"):
        list(told([any_number]))
