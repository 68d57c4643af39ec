"""Nets made to overflow in half precision: seen by the emulation, named, and repaired where the fault is."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edgenas.deploy.contracts import ExportedFile
from edgenas.deploy.judging import FileJudge
from edgenas.deploy.layers import first_not_finite
from edgenas.deploy.parity import Gates
from edgenas.deploy.reducing import Trials, repaired, value_ranges
from edgenas.errors import ExportError
from edgenas.graphs.half import emulate_half, to_half
from edgenas.records import Repair, RepairTrial
from tests.graphs.blocks_net import CLASSES, Fault, net, noise
from tests.graphs.graphs import refer, run

IMAGES = noise(400)
GUILTY: dict[Fault, set[str]] = {
    "layer_norm": {"blocks.1.norm1/Mul", "blocks.1.norm1/Add", "blocks.1.norm1/Sqrt"},  # squares, as far as their root
    "attention": {"blocks.1.attn/Attention/MatMul"},  # of queries and keys
    # what gives, passes on and reads the large numbers; the error function of infinity is 1
    "mlp": {"blocks.1.mlp.fc1/MatMul", "blocks.1.mlp.act/Gelu/Mul_1", "blocks.1.mlp.fc2/MatMul"},
}
FAULTS = tuple(GUILTY)


def judge_of(model: onnx.ModelProto, images: NDArray[np.float32] = IMAGES) -> FileJudge:
    """Held against the float32 net, whose decisions are the labels."""
    reference = run(model, images)
    assert np.isfinite(reference).all()
    names = [str(i) for i in range(CLASSES)]
    return FileJudge(images, reference.argmax(axis=1), reference, names, None, None, Gates())


def judged(model: onnx.ModelProto, graph: onnx.ModelProto, folder: Path, images: NDArray[np.float32] = IMAGES) -> tuple[str, str]:
    path = folder / "judged.onnx"
    path.write_bytes(graph.SerializeToString())
    parity = judge_of(model, images)(ExportedFile(path, "onnx", "onnxruntime-cpu", "fp32", None))
    return parity.verdict, parity.reason


def repair(model: onnx.ModelProto, folder: Path, judge: FileJudge | None = None) -> tuple[list[RepairTrial], Repair]:
    judge = judge_of(model) if judge is None else judge
    trials, work = [], repaired(Trials(model, "fp16", IMAGES, judge, folder), split="calibrate")
    while True:
        try:
            trials.append(next(work))
        except StopIteration as end:
            return trials, end.value


@cache
def once(fault: Fault) -> tuple[list[RepairTrial], Repair]:
    """The repair of a net, which several tests look at."""
    with TemporaryDirectory() as folder:
        return repair(net(fault), Path(folder))


def test_a_net_of_moderate_numbers_needs_no_repair(tmp_path: Path) -> None:
    model = net()
    trials, found = repair(model, tmp_path)
    assert (found.verdict, found.kept, found.macs_share, found.reason) == ("not_needed", (), 0.0, "")
    assert len(trials) == len(found.trials) == 1
    assert found.words == "fp16 fails no gate on 400 images of calibrate"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_plain_half_precision_fails_a_gate_and_the_repaired_graph_passes_on_other_images(fault: Fault, tmp_path: Path) -> None:
    model = net(fault)
    assert judged(model, emulate_half(model), tmp_path)[0] == "failed"
    _, found = once(fault)
    assert (found.verdict, found.blocks) == ("repaired", ("blocks.1",))
    others = noise(400, seed=7)
    assert judged(model, emulate_half(model), tmp_path, others)[0] == "failed"
    assert judged(model, emulate_half(model, kept=found.kept), tmp_path, others)[0] != "failed"


@pytest.mark.parametrize("fault", FAULTS)
def test_exactly_the_guilty_operators_stay_float32(fault: Fault) -> None:
    _, found = once(fault)
    assert set(found.kept) == GUILTY[fault]
    assert found.trials[-1].passed or any(trial.passed and trial.kept == found.kept for trial in found.trials)
    assert len(found.trials) <= 40


def test_what_a_repair_costs_is_said() -> None:
    _, norm = once("layer_norm")
    assert norm.macs_share == 0
    _, attention = once("attention")
    block = 4 * 6 * 8 * 8 + 2 * 6 * 6 * 8 + 2 * 6 * 8 * 16  # projections, attention, MLP
    total = 3 * block + 8 * 8 + 8 * CLASSES
    assert attention.macs_share == pytest.approx(6 * 6 * 8 / total)
    _, mlp = once("mlp")
    assert mlp.macs_share == pytest.approx(2 * 6 * 8 * 16 / total)
    assert f"{len(mlp.trials)} attempts on 400 images of calibrate" in mlp.words
    assert "13.9 % of the multiply-accumulates" in mlp.words
    assert mlp.words.startswith("blocks.1.mlp.act/Gelu/Mul_1, blocks.1.mlp.fc1/MatMul, blocks.1.mlp.fc2/MatMul stay fp32")
    assert mlp.words.endswith("; first in blocks.1.mlp.fc1/MatMul (MatMul)")


@pytest.mark.parametrize(
    ("fault", "layer"),
    [("attention", "blocks.1.attn/Attention/MatMul (MatMul)"), ("mlp", "blocks.1.mlp.fc1/MatMul (MatMul)")],
)
def test_the_first_layer_that_overflows_is_named(fault: Fault, layer: str, tmp_path: Path) -> None:
    model = net(fault)
    verdict, reason = judged(model, emulate_half(model), tmp_path)
    assert verdict == "failed"
    assert f"first in {layer}" in reason
    path = tmp_path / "plain.onnx"
    path.write_bytes(model.SerializeToString())
    assert first_not_finite(path, IMAGES[:8]) is None


def test_an_overflow_inside_attention_is_seen_though_its_output_would_be_finite() -> None:
    """Rounding only what Attention gives shows nothing; the real typed graph, opened, is not finite either."""
    model = net("attention")
    attended = refer(model, IMAGES[:8])
    assert np.isfinite(attended.astype(np.float16)).all()
    assert not np.isfinite(run(emulate_half(model), IMAGES[:8])).all()
    assert not np.isfinite(refer(to_half(model).model, IMAGES[:8])).all()


def test_ranges_name_where_values_are_too_large(tmp_path: Path) -> None:
    for fault, node in (("attention", "blocks.1.attn/Attention/MatMul"), ("layer_norm", "blocks.1.norm1/Mul")):
        found = value_ranges(net(fault), IMAGES, precision="fp16", kept=(), split="calibrate")
        worst = found.tensors[0]
        assert (worst.node, worst.block) == (node, "blocks.1")
        assert worst.share > 1
        assert worst.share == pytest.approx(worst.largest / 65504)
        warning = found.warning()
        assert warning is not None
        assert warning.startswith(f"fp16 holds numbers up to 65504, and over 400 images {node} reaches")
    quiet = value_ranges(net(), IMAGES, precision="fp16", kept=(), split="calibrate")
    assert quiet.warning() is None


def test_what_is_repaired_is_no_longer_warned_of(tmp_path: Path) -> None:
    model = net("attention")
    found = value_ranges(model, IMAGES, precision="fp16", kept=tuple(GUILTY["attention"]), split="calibrate")
    assert found.tensors[0].share > 1
    assert not found.tensors[0].is_reduced
    assert found.warning() is None


def test_ranges_are_those_of_the_values_themselves() -> None:
    model = net()
    found = value_ranges(model, IMAGES[:70], precision="fp16", kept=(), split="calibrate")  # batches of 32, 32 and 6
    by_node = {each.node: each for each in found.tensors}
    assert by_node["image"].largest == np.abs(IMAGES[:70]).max()
    assert by_node["head/MatMul"].largest == pytest.approx(np.abs(run(model, IMAGES[:70])).max(), rel=1e-5)
    assert (by_node["head/MatMul"].is_reduced, by_node["neck/MatMul"].is_reduced) == (False, True)
    tiny = IMAGES[:70].copy()
    tiny[:35] *= 1e-9
    assert value_ranges(model, tiny, precision="fp16", kept=(), split="calibrate").num_images == 70
    flushed = {each.node: each.flushed for each in value_ranges(model, tiny, precision="fp16", kept=(), split="x").tensors}
    assert flushed["image"] == pytest.approx(0.5, abs=1e-3)


def test_a_weight_outside_the_range_keeps_its_operator_float32_instead_of_a_refusal(tmp_path: Path) -> None:
    model = net("weight")
    with pytest.raises(ExportError, match=r"up holds 1\.04858e\+06"):
        to_half(model)
    _, found = repair(model, tmp_path)
    assert found.verdict == "repaired"
    assert "blocks.1.scale/Mul#2" in found.kept
    assert "weights lie outside its range: up holds 1.04858e+06" in found.reason
    assert to_half(model, kept=found.kept).notes["kept_fp32"] == ", ".join(found.kept)


def test_what_fails_in_float32_as_well_is_not_repaired(tmp_path: Path) -> None:
    """A floor that the source itself misses: two attempts are enough to say so."""
    model = net()
    judge = judge_of(model)
    harsh = FileJudge(IMAGES, (judge.labels_N + 1) % CLASSES, judge.reference_NK, judge.class_names, None, None, Gates())
    trials, found = repair(model, tmp_path, harsh)
    assert (found.verdict, found.kept, len(trials)) == ("impossible", (), 2)
    assert "nothing that stays fp32 repairs it" in found.words
