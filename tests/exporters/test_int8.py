"""int8 files: fitted on calibrate, tried there before they are written, run by ONNX Runtime and OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from edgenas.exporters._int8 import RANKED, effect_of, planned, require_plan
from edgenas.exporters.onnx import OnnxExporter
from edgenas.exporters.onnxruntime import OnnxRuntimeCpu, in_precision, runnable_in
from edgenas.exporters.tensorrt_rtx import TensorRtRtxExporter
from numpy.typing import NDArray
from torch import nn

from edgenas.deploy.calibrating import CalibrationImages, chosen_rows
from edgenas.deploy.contracts import ExportSpec
from edgenas.errors import ArtefactError, ExportError, GateError
from edgenas.graphs.leaving import Effect, LayerGroup, QuantisationPlan
from edgenas.testing.exporters import INPUT_SHAPE, images, reference_logits, tiny_net, tiny_onnx
from tests.exporters.outliers import outlier_net

CALIBRATION = CalibrationImages(images(48, seed=1), max_changed=0.05)
NUM = 7  # products of the tiny net
SPEC = ExportSpec(INPUT_SHAPE, precision="int8", calibration=CALIBRATION)


class Sole(nn.Module):
    """One product."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(int(np.prod(INPUT_SHAPE)), 3)

    def forward(self, image_NCHW: torch.Tensor) -> torch.Tensor:
        """Logits."""
        logits: torch.Tensor = self.head(image_NCHW.flatten(1))
        return logits


class Pool(nn.Module):
    """No product at all."""

    def forward(self, image_NCHW: torch.Tensor) -> torch.Tensor:
        """Means of channels."""
        return image_NCHW.mean(dim=(2, 3))


def test_a_layer_that_loses_decisions_stays_float_and_is_named(tmp_path: Path) -> None:
    net, x_NCHW = outlier_net(), images(48, seed=1)
    file = OnnxExporter().export(net, SPEC, tmp_path)[0]
    assert file.notes["int8_layers"] == NUM - 1
    assert file.notes["int8_layers_possible"] == NUM
    assert "alone" in str(file.notes["int8_left_out"])
    assert "changed" in str(file.notes["int8_effect_of_all"])
    runner = OnnxRuntimeCpu().load(file.path, precision="int8", threads=1)
    decided_N = np.concatenate([runner(x_NCHW[row : row + 1]) for row in range(len(x_NCHW))]).argmax(1)
    assert runner.info.precision == "int8"
    assert runner.info.details["int8_products"] == NUM - 1
    assert runner.info.details["float_products"] == 1
    runner.close()
    assert (decided_N != reference_logits(net, x_NCHW).argmax(1)).sum() <= 2


def test_a_net_that_int8_destroys_is_refused_by_the_gate(tmp_path: Path) -> None:
    x_NCHW = images(48, seed=1)
    x_NCHW[0, 0, 0, 0] = 1e6
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        net = Sole()
    with torch.no_grad():
        net.head.weight[:, 0] = 0
    with pytest.raises(GateError, match="int8 changes decisions on calibrate however many layers stay float") as caught:
        OnnxExporter().export(net, replace(SPEC, calibration=CalibrationImages(x_NCHW)), tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_search_that_time_ended_is_not_said_to_have_tried_everything() -> None:
    changed = Effect(0, 4, 0.1, 48)
    ended = QuantisationPlan(("b/Gemm",), ((LayerGroup("a", ("a/Gemm",)), changed),), changed, changed, holds=False)
    over = r"1 groups of layers were left out when 240 s of trying layers alone, or 480 s in all, were over"
    with pytest.raises(GateError, match=rf"at least 0 new misses, 4 of 48 decisions changed.* {over}") as caught:
        require_plan(ended, CALIBRATION)
    assert "however many" not in str(caught.value)


def test_layers_are_put_in_order_by_the_images_that_rounding_moves_most_and_taken_by_all_of_them() -> None:
    calibration = CalibrationImages(np.arange(100, dtype=np.float32).reshape(100, 1, 1, 1) / 100, max_changed=0.1)
    before_NK = np.stack([calibration.images_NCHW[:, 0, 0, 0] - 0.5, np.zeros(100)], axis=1)
    asked: list[tuple[str, int]] = []

    def answers(names: Sequence[str], some: CalibrationImages) -> NDArray[np.floating]:
        asked.append(("".join(names), len(some)))
        moved = 0.305 * ("b" in names) + 0.055 * ("a" in names)  # b turns 30 of 100 decisions, a five
        return np.stack([some.images_NCHW[:, 0, 0, 0] - 0.5 + moved, np.zeros(len(some))], axis=1)

    plan = planned(["a", "b", "c"], answers, before_NK, calibration)
    assert plan.nodes == ("a", "c")
    assert plan.effect == effect_of(before_NK, answers(["a"], calibration), calibration)
    assert plan.effect.changed == 5
    assert asked[:-1] == [("abc", 100), ("a", RANKED), ("b", RANKED), ("c", RANKED), ("ac", RANKED), ("ac", 100)]


def test_what_a_few_images_refuse_the_others_are_not_asked_about() -> None:
    calibration = CalibrationImages(np.zeros((100, 1, 1, 1), dtype=np.float32))
    before_NK = np.tile([1.0, 0.0], (100, 1))
    asked: list[int] = []

    def answers(names: Sequence[str], some: CalibrationImages) -> NDArray[np.floating]:
        asked.append(len(some))
        return np.tile([0.0, 1.0], (len(some), 1))

    with pytest.raises(GateError, match=f"at least {RANKED} new misses, {RANKED} of 100 decisions changed"):
        planned(["a", "b"], answers, before_NK, calibration)
    assert asked == [100, *[RANKED] * 6]  # each layer alone and without one; then all but each, and without one again


def test_a_net_without_products_has_nothing_to_quantise(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="nothing to quantise"):
        OnnxExporter().export(Pool(), SPEC, tmp_path)


def test_layers_that_are_named_stay_float(tmp_path: Path) -> None:
    file = OnnxExporter().export(tiny_net(), replace(SPEC, kept=("Conv",)), tmp_path)[0]
    assert file.notes["int8_layers"] == file.notes["int8_layers_possible"] == NUM - 1
    with pytest.raises(ExportError, match="beside Conv, MatMul, Gemm, which stay float"):
        OnnxExporter().export(tiny_net(), replace(SPEC, kept=("Conv", "MatMul", "Gemm")), tmp_path)


@pytest.mark.parametrize(
    ("calibration", "says"),
    [
        (None, "none were given"),
        (CalibrationImages(images(0)), "calibrate, which has 0; it takes 8 or more"),
        (CalibrationImages(images(3)), "which has 3"),
        (
            CalibrationImages(np.full((9, *INPUT_SHAPE), np.nan, dtype=np.float32)),
            "9 of 9 images of calibrate hold what is not a number",
        ),
    ],
    ids=["none", "empty", "few", "nan"],
)
def test_images_that_say_nothing_are_refused_before_anything_is_written(
    tmp_path: Path, calibration: CalibrationImages | None, says: str
) -> None:
    with pytest.raises(ExportError, match=says):
        OnnxExporter().export(tiny_net(), replace(SPEC, calibration=calibration), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_plain_images_will_do(tmp_path: Path) -> None:
    files = OnnxExporter().export(tiny_net(), replace(SPEC, calibration=images(32)), tmp_path)
    assert files[0].notes["calibration"] == "minmax over 32 images of calibrate"


def test_engines_hold_symmetric_integers_amid_float16_and_emulate_them(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    x_NCHW = images(8)
    file = TensorRtRtxExporter().export(tiny_net(), replace(SPEC, targets=("sm86",)), tmp_path)[0]
    assert file.precision == "int8"
    assert (
        file.notes["int8_layers"] == file.notes["int8_layers_possible"] == 4
    )  # q, k and v are one there, the logits' layer stays float
    assert int(file.notes["opset"]) >= 19
    assert file.emulation is not None
    runner = OnnxRuntimeCpu().load(file.emulation)
    logits_NK = np.concatenate([runner(x_NCHW[row : row + 1]) for row in range(8)])
    runner.close()
    np.testing.assert_allclose(logits_NK, reference_logits(tiny_net(), x_NCHW), atol=0.05)


def test_a_float_file_is_not_called_int8(tmp_path: Path) -> None:
    path = tmp_path / "float.onnx"
    path.write_bytes(tiny_onnx())
    with pytest.raises(ArtefactError, match="the file computes in fp32, asked for was int8"):
        OnnxRuntimeCpu().load(path, precision="int8")
    with pytest.raises(ArtefactError, match="asked for was int8"):
        runnable_in(tiny_onnx(), "int8")
    with pytest.raises(ArtefactError, match="computes in int8, asked for was fp32"):
        runnable_in(in_precision(tiny_onnx(), "int8"), "fp32")


def test_misses_are_of_the_class_that_must_not_be_missed() -> None:
    before_NK = np.array([[0.0, 4.0], [0.0, 4.0], [4.0, 0.0], [4.0, 0.0]])
    after_NK = np.array([[0.0, 4.0], [4.0, 0.0], [0.0, 4.0], [4.0, 0.0]])
    calibration = CalibrationImages(images(4), np.array([1, 1, 0, 0]), positive=1, threshold=0.5)
    effect = effect_of(before_NK, after_NK, calibration)
    assert (effect.new_misses, effect.changed, effect.num) == (1, 2, 4)
    assert effect.error == pytest.approx(0.5 * (1 / (1 + np.exp(-4)) - 1 / (1 + np.exp(4))))
    assert not replace(calibration, max_changed=0.5).holds(effect)
    assert replace(calibration, max_changed=0.5, max_new_misses=1).holds(effect)


def test_answers_that_are_not_finite_never_hold() -> None:
    logits_NK = np.zeros((9, 3))
    broken_NK = logits_NK.copy()
    broken_NK[4, 1] = np.nan
    effect = effect_of(logits_NK, broken_NK, CALIBRATION)
    assert not replace(CALIBRATION, max_changed=1.0).holds(effect)


def test_rows_to_calibrate_with_hold_half_of_the_positive_class() -> None:
    labels_N = np.array([1] * 30 + [0] * 970)
    rows_N = chosen_rows(labels_N, 1, 40)
    assert len(set(rows_N.tolist())) == 40
    assert labels_N[rows_N].sum() == 20
    assert len(chosen_rows(labels_N, 1, 100)) == 100
    assert labels_N[chosen_rows(labels_N, 1, 100)].sum() == 30
    assert chosen_rows(labels_N, None, 5).tolist() == [0, 249, 499, 749, 999]
    assert len(chosen_rows(labels_N, 1, 5000)) == 1000


def test_the_share_of_work_is_the_same_for_one_image_and_for_any_number(tmp_path: Path) -> None:
    shares = [
        OnnxExporter().export(tiny_net(), replace(SPEC, batch_size=size), tmp_path)[0].notes["macs_share_int8"]
        for size in (1, None)
    ]
    assert shares[0] == shares[1] > 0.5
