"""OpenVINO's own format: what is in it, what the runtime computes in, and files that are not what they should be."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from edgenas.exporters._ir import read_ir
from edgenas.exporters.onnx import OnnxExporter
from edgenas.exporters.openvino import OpenVinoCpu, OpenVinoExporter, _Runner
from torch import nn
from torch.nn import functional

from edgenas.deploy.contracts import ExportedFile, ExportSpec
from edgenas.deploy.plugins import get_runtime
from edgenas.errors import ArtefactError, ExportError, MissingBackendError
from edgenas.testing.exporters import INPUT_SHAPE, images, reference_logits, tiny_net, tiny_onnx


class Resizing(nn.Module):
    """Images of `INPUT_SHAPE` made smaller, one row an image."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(images_NCHW, (5, 5), mode=self.mode, antialias=True).flatten(1)


TEXTS = {"classes": '["größe", "b"]', "decision": "argmax"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> ExportedFile:
    spec = ExportSpec(INPUT_SHAPE, metadata=TEXTS)
    return OpenVinoExporter().export(tiny_net(), spec, tmp_path_factory.mktemp("openvino"))[0]


@pytest.fixture
def copied(written: ExportedFile, tmp_path: Path) -> Path:
    for path in (written.path, *written.parts):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / written.path.name


def test_a_file_has_its_weights_beside_it_in_float32_and_texts_inside(written: ExportedFile) -> None:
    assert [part.name for part in written.parts] == ["model-fp32-b1.bin"]
    facts = OpenVinoCpu().facts(written.path)
    assert facts.precisions == ("fp32", "bf16")
    assert facts.metadata == TEXTS
    assert "f16" not in facts.words


def test_openvino_and_onnx_runtime_agree(written: ExportedFile, tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx").write_bytes(tiny_onnx())
    ours, theirs = OpenVinoCpu().load(written.path), get_runtime("onnxruntime-cpu").load(tmp_path / "tiny.onnx")
    np.testing.assert_allclose(ours(images(1)), theirs(images(1)), atol=1e-6)
    ours.close()
    theirs.close()


def test_a_free_batch_is_compiled_for_the_sizes_that_are_called_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgenas.exporters.openvino.MAX_SIZES", 2)
    (file,) = OpenVinoExporter().export(tiny_net(), ExportSpec(INPUT_SHAPE, None), tmp_path)
    runner = OpenVinoCpu().load(file.path, threads=1)
    assert isinstance(runner, _Runner)
    for size in (3, 1, 5, 2, 3, 5):
        np.testing.assert_allclose(runner(images(size)), reference_logits(tiny_net(), images(size)), rtol=1e-5, atol=1e-6)
    shapes = [request.model_inputs[0].get_partial_shape()[0] for request in runner._plans._requests.values()]
    assert [dim.get_length() if dim.is_static else None for dim in shapes] == [1, 3, None]
    with pytest.raises(RuntimeError, match="shape"):  # another size of images is no other plan
        runner(np.zeros((1, 3, 16, 16), np.float32))
    runner.close()


@pytest.mark.parametrize(("mode", "batch_size"), [("bilinear", None), ("bicubic", 1)])
def test_images_are_made_smaller_as_pytorch_does_it(tmp_path: Path, mode: str, batch_size: int | None) -> None:
    resizing = Resizing(mode)
    images_NCHW = images(1)
    expected = resizing(torch.from_numpy(images_NCHW)).numpy()
    (file,) = OpenVinoExporter().export(resizing, ExportSpec(INPUT_SHAPE, batch_size), tmp_path)
    (other,) = OnnxExporter().export(resizing, ExportSpec(INPUT_SHAPE, batch_size), tmp_path)
    for path in (file.path, other.path):
        runner = OpenVinoCpu().load(path, threads=1)
        np.testing.assert_allclose(runner(images_NCHW), expected, rtol=0, atol=1e-5)
        runner.close()


def test_without_the_mode_after_pillow_openvino_computes_another_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When this fails, OpenVINO has been mended: the replacement and its lines in the documentation can go."""
    (file,) = OnnxExporter().export(Resizing("bilinear"), ExportSpec(INPUT_SHAPE), tmp_path)
    monkeypatch.setattr("edgenas.exporters.openvino.resize_as_pillow", lambda model: 0)
    runner = OpenVinoCpu().load(file.path, threads=1)
    assert np.abs(runner(images(1)) - Resizing("bilinear")(torch.from_numpy(images(1))).numpy()).max() > 0.1
    runner.close()


def test_an_antialias_that_openvino_lacks_is_refused(tmp_path: Path) -> None:
    (file,) = OnnxExporter().export(Resizing("bicubic"), ExportSpec(INPUT_SHAPE), tmp_path)
    graph = onnx.load(file.path)
    (node,) = (node for node in graph.graph.node if node.op_type == "Resize")
    next(entry for entry in node.attribute if entry.name == "cubic_coeff_a").f = -0.75
    onnx.save(graph, file.path)
    with pytest.raises(ArtefactError, match="does not compute the antialias of"):
        OpenVinoCpu().load(file.path)


def test_bfloat16_is_what_the_compiled_model_says_or_it_is_refused(written: ExportedFile) -> None:
    try:
        runner = OpenVinoCpu().load(written.path, precision="bf16", threads=1)
    except MissingBackendError as error:  # which the next test shows everywhere
        pytest.skip(str(error))
    assert runner.info.precision == "bf16"
    assert runner.info.details["share_bf16"] > 0.5
    runner.close()


def test_a_precision_that_did_not_happen_is_refused(written: ExportedFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgenas.exporters.openvino.HINTS", {"bf16": "f32"})  # what a CPU without bfloat16 makes of it
    with pytest.raises(MissingBackendError, match=r"computes in fp32 on .*, asked for was bf16"):
        OpenVinoCpu().load(written.path, precision="bf16")


def test_an_int8_file_is_no_float32_file(written: ExportedFile) -> None:
    runner = OpenVinoCpu().load(written.path)
    assert isinstance(runner, _Runner)
    runner._layers.update({"u8": 1})
    with pytest.raises(ArtefactError, match="the file is quantised"):
        runner._require("fp32")
    runner.close()


@pytest.mark.parametrize("what", ["weights cut", "weights gone", "description cut", "another root", "entities"])
def test_damaged_files_are_refused_in_one_line(copied: Path, what: str) -> None:
    weights, data = copied.with_suffix(".bin"), copied.read_bytes()
    if what == "weights cut":
        weights.write_bytes(weights.read_bytes()[:100])
    elif what == "weights gone":
        weights.unlink()
    else:
        entities = b'<!DOCTYPE net [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
        new = {"description cut": data[:500], "another root": b"<a/>", "entities": entities + data.split(b"?>", 1)[1]}
        copied.write_bytes(new[what])
    with pytest.raises(ArtefactError) as caught:
        OpenVinoCpu().load(copied)
    assert "\n" not in str(caught.value)
    assert "Exception from" not in str(caught.value)


def test_descriptions_are_read_without_trust() -> None:
    with pytest.raises(ArtefactError, match="declaration"):
        read_ir(b'<?xml version="1.0"?><!DOCTYPE net SYSTEM "file:///etc/passwd"><net/>')
    with pytest.raises(ArtefactError, match="levels"):
        read_ir(b"<net>" + b"<a>" * 100 + b"</a>" * 100 + b"</net>")
    half = b'<net><layer type="Const"><data element_type="f16" shape="2, 3"/></layer></net>'
    assert not read_ir(half).is_float32
    assert read_ir(half).words == "it stores 6 f16"
    assert read_ir(b'<net><layer type="FakeQuantize"/></net>').is_quantized


@pytest.mark.parametrize(
    "shape", ["-7", "7,-7", "1e9", "9" * 20, ",".join(["9" * 15] * 16), "1,2x", "\N{ARABIC-INDIC DIGIT SEVEN}"]
)
def test_a_constant_s_shape_is_plain_so_that_none_hides_another(shape: str) -> None:
    """OpenVINO loads a constant of -7 numbers, which would be counted against 7 others."""
    layer = '<layer type="Const"><data element_type="f16" shape="{}"/></layer>'
    with pytest.raises(ArtefactError, match="a constant's shape cannot be"):
        read_ir(f"<net>{layer.format('7')}{layer.format(shape)}</net>".encode())


def test_kinds_of_numbers_are_as_few_as_openvino_has() -> None:
    layers = "".join(f'<layer type="Const"><data element_type="t{number}" shape="1"/></layer>' for number in range(40))
    with pytest.raises(ArtefactError, match="more than 32 types"):
        read_ir(f"<net>{layers}</net>".encode())


def test_a_full_disk_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("basic_ios::clear: iostream error")  # as OpenVINO 2026.4 says

    monkeypatch.setattr(openvino, "save_model", full)
    with pytest.raises(ExportError, match=r"OpenVINO cannot write model-fp32-b1\.xml: basic_ios::clear: iostream error"):
        OpenVinoExporter().export(tiny_net(), ExportSpec(INPUT_SHAPE), tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(OSError, match="No space left on device") as raised:
        OpenVinoExporter().export(tiny_net(), ExportSpec(INPUT_SHAPE), tmp_path)
    assert raised.value.filename == str(tmp_path / "model-fp32-b1.xml")
    assert not list(tmp_path.iterdir())
