"""int8 for OpenVINO: what NNCF is given to quantise, which products stay in integers, and what the file says of the rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edgenas.exporters import _int8, _int8_openvino
from edgenas.exporters._int8_openvino import _options, load_nncf, openvino_int8
from edgenas.exporters._ir import read_ir
from edgenas.exporters._openvino_layers import (
    fold,
    macs_of,
    product_sets,
    quantized_products,
    returned,
    shares_of_compiled,
    weights_first,
)
from edgenas.exporters._openvino_timing import Candidate, Timed, quickest, timed
from edgenas.exporters.onnx import OnnxExporter
from edgenas.exporters.openvino import OpenVinoCpu, OpenVinoExporter, computes_bf16, weighted_layers
from torch import nn

from edgenas.deploy.calibrating import CalibrationImages
from edgenas.deploy.contracts import ExportSpec, Precision
from edgenas.errors import ExportError, GateError, PrecisionError, UsageError
from edgenas.graphs.shares import SHARE_NOTES
from edgenas.testing.exporters import INPUT_SHAPE, images, reference_logits, tiny_net, tiny_onnx
from tests.exporters.outliers import outlier_net

SPEC = ExportSpec(INPUT_SHAPE, precision="int8", calibration=CalibrationImages(images(16), max_changed=1.0, max_new_misses=16))
CALIBRATION = CalibrationImages(images(48, seed=1), max_changed=0.05)
STRICT = replace(SPEC, calibration=CALIBRATION)


class Attention(nn.Module):
    """Tokens that are read by two layers, one of them behind a move, and look at each other; a depthwise convolution before."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(INPUT_SHAPE[0], 16, 4, stride=4)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.norm, self.query, self.key = nn.LayerNorm(16), nn.Linear(16, 16), nn.Conv2d(16, 16, 1)
        self.head = nn.Linear(16, 3)

    def forward(self, image_NCHW: torch.Tensor) -> torch.Tensor:
        """Logits."""
        x_NCHW = torch.relu(self.depthwise(torch.relu(self.patches(image_NCHW))))
        tokens_NTC = self.norm(x_NCHW.flatten(2).transpose(1, 2))
        key_NCHW = self.key(tokens_NTC.transpose(1, 2).reshape(x_NCHW.shape))
        weights_NTT = (self.query(tokens_NTC) @ key_NCHW.flatten(2) / 4).softmax(-1)
        logits: torch.Tensor = self.head((weights_NTT @ tokens_NTC).mean(1))
        return logits


@pytest.fixture
def all_in_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever takes less time."""
    monkeypatch.setattr(_int8_openvino, "quickest", lambda timed_graphs: timed_graphs[0].candidate)


def core() -> Any:
    """OpenVINO, which the worker that runs this imports alone."""
    import openvino

    return openvino.Core()


class Pooled(nn.Module):
    """Rows of an image pooled by a product with constants, then a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        height, width = INPUT_SHAPE[1:]
        self.pool = nn.Parameter(torch.rand(height // 2, height))
        self.first = nn.Linear(INPUT_SHAPE[0] * width, 16)
        self.head = nn.Linear(16 * (height // 2), 3)

    def forward(self, image_NCHW: torch.Tensor) -> torch.Tensor:
        """Logits."""
        rows_NHX = image_NCHW.permute(0, 2, 1, 3).flatten(2)
        logits: torch.Tensor = self.head(self.first(self.pool @ rows_NHX).flatten(1))
        return logits


def opened(net: nn.Module, folder: Path) -> Any:
    """A drawn net as OpenVINO reads its ONNX file."""
    path = OnnxExporter().export(net.eval(), ExportSpec(INPUT_SHAPE, rewrites=()), folder)[0].path
    return core().read_model(path)


def drawn(kind: Any, *arguments: Any) -> nn.Module:
    """A module of fixed weights."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        made: nn.Module = kind(*arguments)
    return made


@pytest.mark.usefixtures("all_in_integers")
def test_depthwise_convolutions_are_multiplied_in_integers(tmp_path: Path) -> None:
    channels = INPUT_SHAPE[0]
    layers = [drawn(nn.Conv2d, channels, 16, 3), nn.ReLU(), drawn(lambda: nn.Conv2d(16, 16, 3, groups=16)), nn.ReLU()]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), drawn(nn.Linear, 16, 3))
    model, notes = openvino_int8(opened(net, tmp_path), SPEC)
    assert notes["macs_share_int8"] == 1
    found = weighted_layers(core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}))
    assert found["u8"] + found["i8"] == sum(found.values()) == 3


def biases(model: Any) -> list[float]:
    """What is added, as one sorted list."""
    added = (node.input_value(1).get_node() for node in model.get_ordered_ops() if node.get_type_name() == "Add")
    return sorted(value for node in added if node.get_type_name() == "Constant" for value in node.get_data().ravel().tolist())


def test_biases_stay_as_they_were_trained(tmp_path: Path) -> None:
    layers = [drawn(nn.Conv2d, INPUT_SHAPE[0], 16, 3), nn.ReLU(), drawn(nn.Conv2d, 16, 16, 3), nn.ReLU(), nn.Flatten()]
    model = opened(nn.Sequential(*layers, drawn(nn.Linear, 16 * 16, 3)), tmp_path)
    fold(model)
    before = biases(model)
    assert len(before) == 16 + 16 + 3
    assert biases(openvino_int8(model, SPEC)[0]) == before


@pytest.mark.usefixtures("all_in_integers")
def test_products_of_constants_with_what_they_read_stay_float(tmp_path: Path) -> None:
    model = opened(drawn(Pooled), tmp_path)
    fold(model)
    (pool,) = weights_first(model)
    quantised, notes = openvino_int8(model, SPEC)
    assert notes["int8_layers"] == notes["int8_layers_possible"] == 2
    assert pool in {node.get_friendly_name() for node in quantised.get_ops()}
    assert pool not in quantized_products(quantised)


def quantised(model: Any) -> Any:
    """By NNCF, all that it can."""
    nncf = load_nncf()
    rows = [images(16)[row : row + 1] for row in range(16)]
    return nncf.quantize(model, nncf.Dataset(rows), subset_size=16, **_options(nncf, CALIBRATION, (), weights_first(model)))


def answers(model: Any) -> Any:
    """Logits of four images in float32 around integers."""
    compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([np.array(compiled([images(4)[row : row + 1]])[0]) for row in range(4)])


def test_products_return_to_what_they_were(tmp_path: Path) -> None:
    model = opened(drawn(Attention), tmp_path)
    fold(model)
    int8 = quantised(model)
    names = quantized_products(int8)
    assert len(names) > 4
    before_NK, after_NK = answers(model), answers(int8)
    assert np.abs(after_NK - before_NK).max() > 1e-4
    np.testing.assert_array_equal(answers(returned(int8, model, names)), before_NK)
    for name in names:  # what two products read is still rounded for the other one
        assert quantized_products(returned(int8, model, [name])) == [each for each in names if each != name]
    np.testing.assert_array_equal(answers(int8), after_NK)  # it was a copy


def test_products_are_tried_by_kinds(tmp_path: Path) -> None:
    model = opened(drawn(Attention), tmp_path)
    fold(model)
    names = tuple(macs_of(model))
    every, *others = product_sets(model, names)
    assert every == names
    kinds = {node.get_friendly_name(): node.get_type_name() for node in model.get_ordered_ops()}
    linear = [name for name in names if kinds[name] == "MatMul" and name in others[0]]
    assert len(linear) == 2  # query and head; the products of tokens with each other have left
    assert {kinds[name] for name in others[1]} == {"Convolution", "GroupConvolution"}
    assert {kinds[name] for name in others[2]} == {"Convolution"}
    assert product_sets(model, others[2]) == [others[2]]


def test_work_is_the_same_for_one_image_and_for_any_number(tmp_path: Path) -> None:
    made = [
        OnnxExporter().export(drawn(Attention).eval(), ExportSpec(INPUT_SHAPE, rewrites=(), batch_size=size), tmp_path)[0].path
        for size in (1, None)
    ]
    one, many = (macs_of(core().read_model(path)) for path in made)
    assert one == many
    side = INPUT_SHAPE[1] // 4
    assert one["patches/Conv/WithoutBiases"] == side * side * 16 * INPUT_SHAPE[0] * 16
    assert one["depthwise/Conv/WithoutBiases"] == side * side * 16 * 9
    assert sum(one.values()) == side**2 * (16 * INPUT_SHAPE[0] * 16 + 16 * 9 + 2 * 16 * 16) + 2 * side**4 * 16 + 16 * 3


@pytest.mark.parametrize("precision", ["fp32", *(["bf16"] if computes_bf16() else [])])
@pytest.mark.parametrize("batch_size", [1, None])
def test_a_file_says_what_its_compiled_model_computes_in(tmp_path: Path, precision: Precision, batch_size: int | None) -> None:
    spec = ExportSpec(INPUT_SHAPE, precision=precision, batch_size=batch_size)
    layers = [nn.Conv2d(INPUT_SHAPE[0], 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=16), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    net = nn.Sequential(*layers, nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 3))
    (file,) = OpenVinoExporter().export(net.eval(), spec, tmp_path)
    shares = {key: note for key, note in file.notes.items() if key.startswith(SHARE_NOTES)}
    assert shares.pop("precision_share") == f"100.0 % of multiply-accumulates and 100.0 % of operators in {precision}"
    assert shares == {f"macs_share_{precision}": 1, f"nodes_share_{precision}": 1}


@pytest.mark.usefixtures("all_in_integers")
def test_what_was_promised_in_integers_is_compiled_so(tmp_path: Path) -> None:
    model = opened(drawn(Attention), tmp_path)
    fold(model)
    macs = macs_of(model)
    int8, notes = openvino_int8(model, SPEC)
    shares = shares_of_compiled(core().compile_model(int8, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}), macs, "int8")
    assert sum(shares.macs.values()) == sum(macs.values())
    assert sum(shares.nodes.values()) == len(macs)
    assert shares.of_macs == pytest.approx(float(notes["macs_share_int8"]), abs=1e-6)
    assert shares.macs["fp32"] == macs["key/Conv/WithoutBiases"] + macs["MatMul"]  # behind a move; and a product that is not told
    assert notes["precision_rest"] == "OpenVINO runs 20.5 % more of the work otherwise"
    left = returned(int8, model, quantized_products(int8)[1:])
    some = shares_of_compiled(core().compile_model(left, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}), macs, "int8")
    assert some.nodes["int8"] == 1
    assert sum(kept.num_nodes for kept in some.rest) == len(macs) - 1
    with pytest.raises(PrecisionError, match="int8 was asked for"):
        some.require()


def test_integers_stand_where_they_take_less_time() -> None:
    def slower(seconds: float) -> Callable[[], None]:
        def call() -> None:
            end = time.process_time() + seconds
            while time.process_time() < end:
                pass

        return call

    both, one = Candidate(("a", "b"), "f32"), Candidate(("a",), "f32")
    found = timed([(both, slower(2e-3)), (one, slower(1e-3))])
    assert [each.candidate for each in found] == [both, one]
    assert found[0].ratio == 1
    assert 0.4 < found[1].ratio < 0.7
    assert quickest(found) == one
    assert quickest([Timed(both, 1.0), Timed(one, 1.1)]) == both
    assert quickest([Timed(both, 1.0), Timed(one, 1.019)]) == one  # level: what rounds less
    half = replace(both, around="bf16")
    assert quickest([Timed(both, 1.0), Timed(half, 0.99)]) == both
    assert quickest([Timed(both, 1.0), Timed(half, 0.9)]) == half


@pytest.mark.parametrize("around", ["f32", "bf16"] if computes_bf16() else ["f32"])
def test_a_file_says_what_is_computed_beside_integers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, around: str) -> None:
    monkeypatch.setattr(_int8_openvino, "quickest", lambda timed_graphs: replace(timed_graphs[0].candidate, around=around))
    (file,) = OpenVinoExporter().export(tiny_net(), STRICT, tmp_path)
    assert file.notes["int8_around"] == read_ir(file.path.read_bytes()).around == around
    runner = OpenVinoCpu().load(file.path, precision="int8", threads=1)
    assert runner._compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == around
    assert runner.info.precision == "int8"
    runner.close()
    said = f'<int8_around value="{around}" />'
    text = file.path.read_text()
    assert said in text
    file.path.write_text(text.replace(said, ""))  # as files of before
    runner = OpenVinoCpu().load(file.path, precision="int8", threads=1)
    assert runner._compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
    runner.close()
    file.path.write_text(text.replace(said, '<int8_around value="f64" />'))
    assert read_ir(file.path.read_bytes()).around == "f32"


@pytest.mark.usefixtures("all_in_integers")
def test_the_class_that_must_not_be_missed_is_raised(tmp_path: Path) -> None:
    calibration = CalibrationImages(images(16), positive=1, max_changed=1.0, max_new_misses=16)
    found = {}
    for adjusts in (True, False):
        spec = replace(SPEC, calibration=replace(calibration, adjusts=adjusts))
        model, notes = openvino_int8(opened(drawn(Attention), tmp_path), spec)
        assert ("logit_adjustment" in notes) == adjusts
        assert model.outputs[0].get_names() == {"logits"}
        found[adjusts] = answers(model), float(notes.get("logit_adjustment", 0))
    raised_NK = found[True][0] - found[False][0]
    assert found[True][1] > 1e-4
    np.testing.assert_allclose(raised_NK[:, 1], found[True][1], rtol=1e-3)
    np.testing.assert_array_equal(raised_NK[:, [0, 2]], 0)


def last_alone(candidate: Candidate) -> Candidate:
    """The same with its last product alone in integers."""
    return replace(candidate, names=candidate.names[-1:])


def test_less_than_half_of_the_work_in_integers_is_no_int8_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_int8_openvino, "quickest", lambda timed_graphs: last_alone(timed_graphs[0].candidate))
    with pytest.raises(PrecisionError, match="int8 was asked for, but the graph does") as raised:
        openvino_int8(opened(drawn(Attention), tmp_path), SPEC)
    assert any("no faster in int8" in problem for problem in raised.value.problems)


@pytest.mark.usefixtures("all_in_integers")
def test_openvino_runs_what_nncf_quantised() -> None:
    x_NCHW = images(16)
    model, notes = openvino_int8(core().read_model(tiny_onnx(), b""), STRICT)
    compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    layers = weighted_layers(compiled)
    assert layers["u8"] + layers["i8"] >= 4
    logits_NK = np.concatenate([np.array(compiled([x_NCHW[row : row + 1]])[0]) for row in range(16)])
    difference = np.abs(logits_NK - reference_logits(tiny_net(), x_NCHW)).max()
    assert 0 < difference < 0.1
    assert notes["calibration"] == "minmax over 48 images of calibrate"


@pytest.mark.usefixtures("all_in_integers")
def test_openvino_puts_back_what_loses_decisions_or_refuses(tmp_path: Path) -> None:
    path = OnnxExporter().export(outlier_net(), ExportSpec(INPUT_SHAPE), tmp_path)[0].path
    _, notes = openvino_int8(core().read_model(path), STRICT)
    assert 0 < int(notes["int8_layers"]) < int(notes["int8_layers_possible"])
    assert notes["int8_left_out"]


def test_what_openvino_refuses_after_it_was_quantised_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    compile_model = openvino.Core.compile_model
    said = "Exception from src/core.cpp:117:\nCheck 'any_of(scale.size(), OC, 1U)' failed at dnnl_postops_composer.cpp:526\n"

    def compiled(self: Any, model: Any, *rest: Any, **named: Any) -> Any:
        if quantized_products(model):
            raise RuntimeError(said)  # as OpenVINO 2026.4 does for COViT++
        return compile_model(self, model, *rest, **named)

    monkeypatch.setattr(openvino.Core, "compile_model", compiled)
    with pytest.raises(ExportError, match=r"OpenVINO cannot run what NNCF quantised: Check 'any_of\(scale.size\(\), OC, 1U\)'"):
        openvino_int8(core().read_model(tiny_onnx(), b""), STRICT)


@pytest.mark.usefixtures("all_in_integers")
def test_openvino_gives_up_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = OnnxExporter().export(outlier_net(), ExportSpec(INPUT_SHAPE), tmp_path)[0].path
    monkeypatch.setattr(_int8, "BUDGET_S", 0.0)
    with pytest.raises(GateError, match="when 0 s of trying layers alone, or 0 s in all, were over"):
        openvino_int8(core().read_model(path), STRICT)


def test_openvino_says_which_ranges_it_takes() -> None:
    spec = replace(STRICT, calibration=replace(CALIBRATION, method="entropy"))
    with pytest.raises(UsageError, match="by minmax or percentile, not by entropy"):
        openvino_int8(core().read_model(tiny_onnx(), b""), spec)
