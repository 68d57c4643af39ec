"""What an engine's inspector proves: reports of TensorRT 10, of TensorRT 11 and TensorRT-RTX, and reports that say nothing.

The keys are those of the libraries: 10 writes `Format/Datatype` and a list of names as `Bindings`, later ones `Datatype` beside
`Format`, and objects with a `DataType` as `I/O Tensors`.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from edgenas.exporters import _inspecting, _trt
from edgenas.exporters._inspecting import NOTHING, EngineTypes, parse

from edgenas.deploy.contracts import Precision
from edgenas.errors import PrecisionError

FORMATS = {
    "Half": "Row major linear FP16 format (kLINEAR)",
    "Float": "Row major linear FP32 format (kLINEAR)",
    "BFloat16": "kLINEAR",
}


def tensor(name: str, kind: str, style: str) -> dict[str, Any]:
    shape: dict[str, Any] = {"Name": name, "Dimensions": [1, 8]}
    if style == "10":
        return shape | {"Format/Datatype": FORMATS.get(kind, kind)}
    if style == "10 myelin":
        return shape | {"Format/Datatype": kind}
    if style == "format":  # no data type at all, only a format that names it
        return shape | {"Format": FORMATS.get(kind, kind)}
    return shape | {"Strides": [8, 1], "StrideOrder": [1, 0], "Datatype": kind, "Format": "kLINEAR"}


def report(kinds: list[str], style: str) -> str:
    """Layers in a row from ``image`` to ``logits``, both float32, the values between them of these types."""
    names = ["image", *(f"value {i}" for i in range(len(kinds))), "logits"]
    types = ["Float", *kinds, "Float"]
    layers = [
        {
            "Name": f"layer {i}",
            "Inputs": [tensor(names[i], types[i], style)],
            "Outputs": [tensor(names[i + 1], types[i + 1], style)],
        }
        for i in range(len(names) - 1)
    ]
    border: dict[str, Any] = {"Bindings": ["image", "logits"]}
    if not style.startswith("10"):
        border = {"I/O Tensors": [{"Name": name, "DataType": "Float"} for name in ("image", "logits")]}
    return json.dumps({"Layers": [*layers, "a name only"], **border})


STYLES = ["10", "10 myelin", "11", "format"]


@pytest.mark.parametrize("style", STYLES)
def test_a_half_engine_is_proven_in_every_version(style: str) -> None:
    types = parse(report(["Half", "Half", "Float", "Int64"], style))
    assert (types.num_layers, dict(types.tensors)) == (6, {"fp16": 2, "fp32": 1})
    assert types.prove("fp16") == {
        "engine_layers": 6,
        "engine_share_fp16": 0.6667,
        "engine_share_fp32": 0.3333,
        "engine_half_share": 0.6667,
        "precision_proof": "engine inspector",
    }


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("kinds", "precision", "said"),
    [
        (["Float", "Float"], "fp16", r"fp16 was asked for, but no inner tensor of the engine is in it \(2 fp32\)"),
        (["Half", "Float"], "fp32", r"fp32 was asked for, but 50.0 % of the engine's inner tensors are not \(1 fp16, 1 fp32\)"),
        (["Half", "Float"], "int8", "int8 was asked for, but no inner tensor"),
    ],
)
def test_an_engine_of_another_precision_ends_with_exit_4(style: str, kinds: list[str], precision: Precision, said: str) -> None:
    with pytest.raises(PrecisionError, match=said) as caught:
        parse(report(kinds, style)).prove(precision)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        "{}",
        json.dumps({"Layers": ["layer 0", "layer 1"]}),  # built without detailed profiling
        json.dumps({"Layers": [{"Name": "all of it", "Outputs": [{"Name": "logits", "Type of data": "Half"}]}]}),
        report([], "10"),  # one layer between input and output, which are float32 in any precision
        report([], "11"),
    ],
)
def test_nothing_read_is_never_a_pass(text: str, precision: Precision) -> None:
    assert parse(text).prove(precision)["precision_proof"] == NOTHING


def test_bf16_and_int8_are_told_apart() -> None:
    assert parse(report(["BFloat16", "BFloat16"], "11")).prove("bf16")["engine_share_bf16"] == 1
    assert parse(report(["Int8", "Half"], "11")).prove("int8")["engine_share_int8"] == 0.5
    assert dict(parse(report(["UInt8", "Bool", "Int32"], "11")).tensors) == {}


def test_weights_count_where_a_layer_names_them() -> None:
    layer = {"Name": "conv", "Outputs": [], "Weights": {"Type": "Half", "Count": 864}, "Bias": {"Type": "Float", "Count": 0}}
    assert dict(parse(json.dumps({"Layers": [layer]})).tensors) == {"fp16": 1}


def test_what_was_seen_at_the_build_stands_in_for_an_inspector_that_says_nothing() -> None:
    built = _trt.Built(b"", b"", {"precision_proof": "types of the network"})
    silent = EngineTypes(1, {})
    assert _trt._proof(silent, "fp16", None)["precision_proof"] == NOTHING
    said = "types of the network; the engine's inspector names no data type"
    assert _trt._proof(silent, "fp16", built)["precision_proof"] == said
    with pytest.raises(PrecisionError):
        _trt._proof(EngineTypes(1, {"fp32": 3}), "fp16", built)
    assert _inspecting.NOTHING.startswith("nothing")
