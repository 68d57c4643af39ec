"""The table of every file of a net: ready to be pasted, with whatever is not known shown as not known."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks import export_study
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
    assert row.startswith("| executorch int8 | not written: GateError: changes decisions / all of them | – |")
    assert heads.count("|") == row.count("|")


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
