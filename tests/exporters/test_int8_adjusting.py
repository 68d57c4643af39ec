"""int8 files with adjusted logits: what rounding loses of the class that must not be missed is found, the rest stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from edgenas.exporters import _int8
from edgenas.exporters._int8 import RANKED, adjusted_plan, planned
from edgenas.exporters._int8_executorch import Quantiser
from edgenas.exporters.onnx import OnnxExporter
from edgenas.exporters.tensorrt_rtx import TensorRtRtxExporter
from numpy.typing import NDArray
from torch import nn

from edgenas.deploy.calibrating import CalibrationImages
from edgenas.deploy.contracts import Exporter, ExportSpec
from edgenas.deploy.plugins import get_runtime
from edgenas.graphs import leaving
from edgenas.testing.exporters import INPUT_SHAPE, images, reference_logits, tiny_net

POSITIVE, NUM = 1, 800
OTHERS = [0, 2]


def centred_net() -> nn.Module:
    """The tiny net, so that all classes are decided."""
    net = tiny_net()
    with torch.no_grad():
        net.head.bias -= net(torch.from_numpy(images(48, seed=1))).mean(dim=0)
    return net


class Members(nn.Module):
    """Two nets that answer together: no layer gives the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList([centred_net(), tiny_net(seed=1)])

    def forward(self, image_NCHW: torch.Tensor) -> torch.Tensor:
        """Mean logits."""
        return torch.stack([member(image_NCHW) for member in self.members]).mean(dim=0)


def spec_of(net: nn.Module, *, adjusts: bool = True, threshold: float | None = None, size: int | None = 1) -> ExportSpec:
    """int8 by noise, which is of the classes that the net decides; what is lost there is no reason to leave a layer out."""
    x_NCHW = images(48, seed=1)
    labels_N = reference_logits(net, x_NCHW).argmax(axis=1)
    calibration = CalibrationImages(x_NCHW, labels_N, POSITIVE, threshold, max_changed=1.0, max_new_misses=48, adjusts=adjusts)
    return ExportSpec(INPUT_SHAPE, precision="int8", batch_size=size, calibration=calibration)


def answers(exporter: Exporter, net: nn.Module, spec: ExportSpec, folder: Path) -> tuple[NDArray[np.float32], dict[str, object]]:
    """Logits of `NUM` other images, by the file or by what emulates it, and the file's notes."""
    folder.mkdir()
    (file,) = exporter.export(net, spec, folder)
    path, runtime, precision = file.path, file.runtime, file.precision
    if file.emulation is not None:
        path, runtime, precision = file.emulation, "onnxruntime-cpu", "fp32"
    runner = get_runtime(runtime).load(path, precision=precision, threads=1, spinning=False)
    try:
        return np.concatenate([runner(image_CHW[None]) for image_CHW in images(NUM)]), dict(file.notes)
    finally:
        runner.close()


def missed(before_NK: NDArray[np.float32], after_NK: NDArray[np.float32]) -> int:
    """Images of the positive class that only the first answers find, where the largest logit decides."""
    return int(((before_NK.argmax(axis=1) == POSITIVE) & (after_NK.argmax(axis=1) != POSITIVE)).sum())


@pytest.mark.parametrize("size", [1, None])
@pytest.mark.parametrize("net", [centred_net(), Members()], ids=["net", "members"])
def test_what_rounding_misses_newly_the_adjusted_file_finds(net: nn.Module, size: int | None, tmp_path: Path) -> None:
    before_NK = reference_logits(net, images(NUM))
    plain_NK, plain = answers(OnnxExporter(), net, spec_of(net, adjusts=False, size=size), tmp_path / "plain")
    after_NK, notes = answers(OnnxExporter(), net, spec_of(net, size=size), tmp_path / "adjusted")
    assert missed(before_NK, plain_NK) > 0
    assert missed(before_NK, after_NK) == 0
    adjustment = np.float32(notes["logit_adjustment"])  # type: ignore[arg-type]
    np.testing.assert_array_equal(after_NK[:, OTHERS], plain_NK[:, OTHERS])
    np.testing.assert_array_equal(after_NK[:, POSITIVE], plain_NK[:, POSITIVE] + adjustment)
    assert notes["logit_adjustment_class"] == POSITIVE
    assert notes["int8_effect_unadjusted"] == plain["int8_effect"] != notes["int8_effect"]
    assert "logit_adjustment" not in plain


def test_files_without_a_class_that_must_not_be_missed_stay_byte_for_byte(tmp_path: Path) -> None:
    net, files = centred_net(), []
    for adjusts in (True, False):
        spec = spec_of(net, adjusts=adjusts)
        assert isinstance(spec.calibration, CalibrationImages)
        spec = replace(spec, calibration=replace(spec.calibration, positive=None))
        files += OnnxExporter().export(net, spec, tmp_path)
        files[-1].path.rename(tmp_path / f"{adjusts}.onnx")
    assert files[0].notes == files[1].notes
    assert (tmp_path / "True.onnx").read_bytes() == (tmp_path / "False.onnx").read_bytes()


def test_a_threshold_adjusts_by_what_rounding_does_to_its_probability(tmp_path: Path) -> None:
    net = centred_net()
    by_largest = answers(OnnxExporter(), net, spec_of(net), tmp_path / "largest")[1]["logit_adjustment"]
    by_threshold = answers(OnnxExporter(), net, spec_of(net, threshold=0.3), tmp_path / "threshold")[1]["logit_adjustment"]
    assert 0 < by_threshold != by_largest  # type: ignore[operator]


def test_engines_hold_the_adjustment_and_so_does_what_emulates_them(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    net = centred_net()
    exporter, before_NK = TensorRtRtxExporter(), reference_logits(net, images(NUM))
    plain_NK, _ = answers(exporter, net, replace(spec_of(net, adjusts=False), targets=("sm86",)), tmp_path / "plain")
    after_NK, notes = answers(exporter, net, replace(spec_of(net), targets=("sm86",)), tmp_path / "adjusted")
    adjustment = np.float32(notes["logit_adjustment"])  # type: ignore[arg-type]
    np.testing.assert_array_equal(after_NK[:, OTHERS], plain_NK[:, OTHERS])
    np.testing.assert_allclose(after_NK[:, POSITIVE], plain_NK[:, POSITIVE] + adjustment, atol=1e-6)
    assert missed(before_NK, after_NK) == 0 < missed(before_NK, plain_NK)
    (emulation,) = (tmp_path / "adjusted").glob("*.emulated.onnx")
    assert "Add" not in {
        node.op_type for node in onnx.load(emulation).graph.node[-1:]
    }  # the logits' layer is float there: its bias


def test_executorch_tries_and_writes_logits_as_they_are() -> None:
    spec = spec_of(centred_net())
    assert isinstance(spec.calibration, CalibrationImages)
    assert spec.calibration.may_adjust
    assert not Quantiser.of(spec).calibration.may_adjust


def test_layers_that_lower_the_class_alone_are_not_refused_for_what_the_adjustment_turns_back() -> None:
    num = 100
    margins_N = np.linspace(-0.495, 0.495, num)  # none of them 0
    calibration = CalibrationImages(margins_N.astype(np.float32).reshape(num, 1, 1, 1), positive=1)
    before_NK = np.stack([np.zeros(num), margins_N], axis=1)
    asked: list[tuple[str, int]] = []

    def made(names: Sequence[str], some: CalibrationImages) -> NDArray[np.floating]:
        asked.append(("".join(names), len(some)))
        lowered = 0.1 * ("a" in names)  # of all alike: ten positives are lost
        margin_N = some.images_NCHW[:, 0, 0, 0]
        noise_N = 0.5 * ("b" in names) * np.sign(margin_N) * (np.abs(margin_N) < 0.12)  # turns the 24 nearest decisions
        return np.stack([np.zeros(len(some)), margin_N - lowered - noise_N], axis=1)

    plan = planned(["a", "b", "c"], made, before_NK, calibration)
    assert plan.nodes == ("a", "c")
    assert (plan.effect.new_misses, plan.effect.changed) == (0, 0)
    assert ("a", RANKED) in asked  # layers are put in order by plain logits
    unadjusted = replace(calibration, adjusts=False)
    assert "a" not in planned(["a", "b", "c"], made, before_NK, unadjusted).nodes


@pytest.mark.parametrize(("noise", "kept", "adjusts"), [(0.01, 4, True), (0.15, 4, False)])
def test_logits_stay_as_they_are_where_raising_the_class_costs_the_layers(noise: float, kept: int, adjusts: bool) -> None:
    num = 100
    margins_N = np.concatenate([np.linspace(0.6, 1, num // 2), np.linspace(-0.4, -0.2, num // 2)])
    calibration = CalibrationImages(margins_N.astype(np.float32).reshape(num, 1, 1, 1), positive=1)
    before_NK = np.stack([np.zeros(num), margins_N], axis=1)

    def made(names: Sequence[str], some: CalibrationImages) -> NDArray[np.floating]:
        margin_N = some.images_NCHW[:, 0, 0, 0].astype(np.float64)
        signs_N = np.where(np.round(margin_N * 1e4) % 2 == 0, 1, -1)  # turns no decision
        return np.stack([np.zeros(len(some)), margin_N + noise * signs_N * (len(names) > 0)], axis=1)

    found = adjusted_plan(["a", "b", "c", "d"], made, before_NK, calibration, lambda nodes: True)
    assert len(found.plan.nodes) == kept
    assert (found.adjustment > 0) == adjusts
    assert ("logit_adjustment" in found.notes) == adjusts
    assert found.notes.get("logit_adjustment_left_out") == (None if adjusts else "with it none of 4 layers would be int8")
    assert found.plan.effect.changed == 0


def test_logits_stay_as_they_are_where_too_few_layers_would_be_left() -> None:
    num = 100
    margins_N = np.concatenate([np.linspace(0.6, 1, num // 2), np.linspace(-0.4, -0.2, num // 2)])
    calibration = CalibrationImages(margins_N.astype(np.float32).reshape(num, 1, 1, 1), positive=1)

    def made(names: Sequence[str], some: CalibrationImages) -> NDArray[np.floating]:
        margin_N = some.images_NCHW[:, 0, 0, 0].astype(np.float64)
        noise_N = np.where(np.round(margin_N * 1e4) % 2 == 0, 0.15, -0.15) * ("a" in names)
        return np.stack([np.zeros(len(some)), margin_N + noise_N], axis=1)

    before_NK = made([], calibration)
    fewer = adjusted_plan(["a", "b", "c"], made, before_NK, calibration, lambda nodes: len(nodes) > 1)
    assert fewer.plan.nodes == ("b", "c")
    plain = adjusted_plan(["a", "b", "c"], made, before_NK, calibration, lambda nodes: "a" in nodes)
    assert plain.plan.nodes == ("a", "b", "c")
    assert plain.adjustment == 0
    assert plain.notes == {"logit_adjustment_left_out": "with it 2 of 3 layers would be int8"}


def test_both_searches_share_the_time_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    spent: list[float] = []
    plan = leaving.plan

    def timed(*arguments: Any, budget_s: float, **named: Any) -> Any:
        spent.append(budget_s)
        return plan(*arguments, budget_s=budget_s, **named)

    monkeypatch.setattr(leaving, "plan", timed)
    clock = iter(range(0, 10_000, 200))
    monkeypatch.setattr(_int8, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    margins_N = np.linspace(-0.4, 1, 100)
    calibration = CalibrationImages(margins_N.astype(np.float32).reshape(100, 1, 1, 1), positive=1)

    def made(names: Sequence[str], some: CalibrationImages) -> NDArray[np.floating]:
        margin_N = some.images_NCHW[:, 0, 0, 0].astype(np.float64)
        noise_N = np.where(np.abs(margin_N) > 0.3, 0.2, 0) * np.where(np.arange(len(some)) % 2, 1, -1) * ("a" in names)
        return np.stack([np.zeros(len(some)), margin_N + noise_N], axis=1)

    adjusted_plan(["a", "b"], made, made([], calibration), calibration, lambda nodes: True)
    assert spent == [_int8.BUDGET_S, _int8.BUDGET_S - 100]
