"""The table of every file of a net: ready to be pasted, with whatever is not known shown as not known."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks import export_nets, export_study, export_weights
from benchmarks.export_table import tables
from edgenas.deploy.contracts import ExportSpec
from edgenas.deploy.plugins import get_exporter
from edgenas.runs import read_json
from edgenas.testing.exporters import tiny_net

FILE = {"runtime": "openvino-cpu", "precision": "int8", "targets": [], "size_bytes": 4_640_000, "notes": {}}
JUDGED = {"verdict": "undecided", "flips": {"a": 2, "b": 1}, "new_false_negatives": 1, "reason": "too few images"}


def rows_of(entries: dict[str, Any]) -> list[str]:
    return tables({"some net": {"other": {}, **entries}}, list(entries)).splitlines()


def test_a_row_holds_times_of_both_numbers_of_threads_and_what_was_decided() -> None:
    timed = {"ms": 4.0, "ratio": [0.5, 0.49, 0.512], "calls": 100}
    entry = {"files": [FILE], "parity": JUDGED, "accuracy": 0.7, "num_images": 600, "1_threads": timed, "2_threads": timed}
    title, _, heads, _, row = rows_of({"openvino-int8": entry})[:5]
    assert title == "### some net, which decides 70.0% of 600 images rightly"
    assert row == ("| openvino int8 | OpenVINO | 0.500 [0.490, 0.512] | 0.500 [0.490, 0.512] | undecided | 3 | 1 | 4.6 | – |")
    assert heads.count("|") == row.count("|")


def test_a_ratio_of_too_few_visits_has_no_interval() -> None:
    row = rows_of({"openvino-int8": {"files": [FILE], "1_threads": {"ms": 4.0, "ratio": [0.5, None, None], "calls": 9}}})[4]
    assert row.startswith("| openvino int8 | OpenVINO | 0.500 | – |")


def test_a_file_that_was_not_written_stands_with_its_reason_on_one_line() -> None:
    heads, _, row = rows_of({"executorch-int8": {"error": "GateError: changes\n decisions | all of them; allowed are 2"}})[2:5]
    assert row.startswith("| executorch int8 | not written: changes decisions / all of them | – |")
    assert heads.count("|") == row.count("|")
    little = "PrecisionError: 2 % of it in int8; expected is 50 %. in another precision: all. export with --precision fp32"
    assert "| not written: 2 % of it in int8 | – |" in rows_of({"onnx-int8": {"error": little}})[4]
    refused = "ExportError: OpenVINO cannot run it. export with precision fp32 or bf16"
    assert "| not written: OpenVINO cannot run it | – |" in rows_of({"openvino-int8": {"error": refused}})[4]


def test_an_engine_is_judged_by_its_emulation_and_names_the_gpu_whose_file_is_of_another_size() -> None:
    files = [
        {
            **FILE,
            "runtime": "tensorrt-rtx",
            "precision": "fp16",
            "targets": [gpu],
            "size_bytes": size,
            "notes": {"macs_share_fp16": 0.9},
        }
        for gpu, size in (("sm75", 990_000), ("sm80", 660_000), ("sm86", 661_000))
    ]
    row = rows_of({"trt-rtx-fp16": {"files": files, "parity": {"verdict": "not run", "emulated": JUDGED}}})[4]
    assert row == "| trt-rtx fp16 | TensorRT-RTX | – | – | undecided (emulated) | 3 | 1 | 0.66 (SM75: 0.99) | 90.0% |"


def test_files_are_timed_without_images_and_not_timed_again(tmp_path: Path) -> None:
    kept = export_study.Kept(tmp_path / "found.json")
    (file,) = get_exporter("onnx").export(tiny_net().eval(), ExportSpec((3, 16, 16)), tmp_path)
    kept.of("tiny", export_study.BASE)["files"] = [export_study.described(file, tmp_path)]
    kept.of("tiny", "onnx-fp32")["error"] = "refused"
    options = argparse.Namespace(folder=tmp_path, threads=[1], visits=2)
    export_study.time_files("tiny", kept, options)
    timed = read_json(tmp_path / "found.json")["tiny"][export_study.BASE]["1_threads"]
    assert timed["ms"] > 0
    export_study.time_files("tiny", kept, options)
    assert kept.of("tiny", export_study.BASE)["1_threads"] == timed


def test_images_are_read_only_where_a_file_is_to_be_judged(tmp_path: Path) -> None:
    kept = export_study.Kept(tmp_path / "found.json")
    kept.of("tiny", "onnx-int8")["error"] = "refused"
    kept.of("tiny", "onnx-fp32").update(files=[{}], parity={"verdict": "passed"})
    unread = export_study.Net("tiny", tiny_net(), cast(Any, None), 8)
    export_study.judge(unread, kept, argparse.Namespace(num_test=2, folder=tmp_path))  # raises where images are asked for
    assert kept.found["tiny"]["onnx-fp32"]["parity"] == {"verdict": "passed"}


def test_trained_weights_are_taken_by_the_name_in_their_file_and_read_images_as_they_were_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images_NHW, labels_N = np.arange(2 * 28 * 28).reshape(2, 28, 28).astype(np.uint8), np.array([3, 6])
    monkeypatch.setattr(export_weights, "read_images", lambda split: (images_NHW, labels_N))
    monkeypatch.setattr(export_study, "nets_of", lambda names: [export_nets.Net(names[0], tiny_net(), (3, 16, 16))])
    changed = tiny_net()
    with torch.no_grad():
        for each in changed.parameters():
            each.add_(1)
    export_weights.save(changed, tmp_path / "trained.safetensors", {"net": "pvt-elastic"})
    options = argparse.Namespace(weights=[tmp_path / "trained.safetensors"], nets=["pvt-elastic"], folder=tmp_path)
    (net,) = export_study.nets(options)
    assert all(torch.equal(one, other) for one, other in zip(net.module.parameters(), changed.parameters(), strict=True))
    x_NCHW, found_N = export_study.rows_of(net.images, "test", 600)
    np.testing.assert_array_equal(x_NCHW, export_weights.preprocessed(images_NHW).numpy())
    assert found_N.tolist() == [3, 6]
    assert net.images.class_names[net.images.positive or 0] == "shirt"


def test_nets_of_a_space_are_trained_as_those_of_timm_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    read = rng.integers(0, 256, (4, 28, 28), dtype=np.uint8), np.array([0, 1, 2, 6])
    monkeypatch.setattr(export_weights, "read_images", lambda split: read)
    monkeypatch.setattr(export_weights, "STAGES", (export_weights.Stage(56, 2, 1, 1e-3),))
    path = tmp_path / "weights.safetensors"
    export_weights.main(["--net", "pvt-elastic", "--output", str(path)])
    assert export_weights.named_net(path) == "pvt-elastic"
    (drawn,) = export_nets.nets(["pvt-elastic"])
    trained = export_study.trained_net("pvt-elastic", path).module.state_dict()
    same = [torch.equal(value, trained[name]) for name, value in drawn.module.state_dict().items()]
    assert trained.keys() == drawn.module.state_dict().keys()
    assert not all(same)


def test_weights_go_from_one_side_of_images_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def drawn(names: list[str], *, seed: int, px: int) -> Iterator[export_nets.Net]:
        torch.manual_seed(seed)
        asked.append(px)
        yield export_nets.Net(names[0], tiny_net(), (3, px, px))

    def trained(net: torch.nn.Module, stage: export_weights.Stage, *, seed: int) -> Iterator[tuple[int, float]]:
        with torch.no_grad():
            next(net.parameters()).add_(stage.image_px)
        yield 0, 0.0

    monkeypatch.setattr(export_weights, "nets", drawn)
    monkeypatch.setattr(export_weights, "train", trained)
    monkeypatch.setattr(export_weights, "accuracy", lambda *_: 0.5)
    path = tmp_path / "trained.safetensors"
    export_weights.main(["--net", "pvt-elastic", "--output", str(path), "--sides", "56", "224"])
    (start,) = drawn(["pvt-elastic"], seed=0, px=224)
    name, weight = next(start.module.named_parameters())
    assert torch.equal(load_file(path)[name], weight.detach() + 56 + 224)
    assert asked[:2] == [56, 224]
    assert export_weights.named_net(path) == "pvt-elastic"


def test_a_net_of_a_space_is_drawn_for_smaller_images_than_its_options_with_the_same_weights() -> None:
    (small,), (usual,) = (list(export_nets.nets(["pvt-elastic"], px=px)) for px in (64, export_nets.PX))
    assert small.module.spec.task.image_px == 64
    assert all(torch.equal(one, other) for one, other in zip(small.module.parameters(), usual.module.parameters(), strict=True))
    usual.module.load_state_dict(small.module.state_dict())
