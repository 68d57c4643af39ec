"""What an export is asked to write is checked before work is done for it."""

from __future__ import annotations

import pytest

from edgenas.deploy.orders import orders_of
from edgenas.deploy.plugins import get_exporter
from edgenas.errors import UsageError


def names(*arguments: object, **options: object) -> list[str]:
    return [order.name for order in orders_of(*arguments, **options).each]  # type: ignore[arg-type]


def test_one_artefact_takes_the_format_s_folder_whatever_its_precision() -> None:
    assert names(["onnx"], []) == names(["onnx"], ["fp16"]) == names(["onnx"], [], "fp16") == ["onnx"]


def test_of_several_those_in_another_precision_than_the_default_say_so() -> None:
    assert names(["onnx"], ["fp32", "fp16"]) == ["onnx", "onnx-fp16"]
    assert names(["onnx", "trt"], ["fp32", "fp16"]) == ["onnx", "onnx-fp16", "trt-fp32", "trt"]
    assert names(["onnx"], ["fp16"], are_compared=True) == ["onnx-fp16"]
    assert names(["onnx", "onnx"], ["fp16", "fp16"]) == ["onnx"]


def test_auto_is_every_precision_that_a_format_writes() -> None:
    orders = orders_of(["onnx"], ["auto"]).each
    assert tuple(order.precision for order in orders) == get_exporter("onnx").precisions


def test_all_that_is_unknown_is_named_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        orders_of(["onnx", "onx"], ["fp32", "fp9"])
    first, second = caught.value.problems
    assert "'onx'" in first
    assert second == "precision 'fp9' is unknown; known are: fp32, fp16, bf16, int8, auto"


def test_a_format_that_writes_none_of_the_precisions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(get_exporter("trt")), "precisions", ("fp16", "fp32"))
    with pytest.raises(UsageError, match="trt writes fp16, fp32, not bf16"):
        orders_of(["trt"], ["bf16"])


def test_a_precision_that_one_of_several_formats_does_not_write_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    trt = get_exporter("trt")
    monkeypatch.setattr(type(trt), "precisions", ("fp16",))
    orders = orders_of(["onnx", "trt"], ["fp32", "fp16"])
    assert [order.name for order in orders.each] == ["onnx", "onnx-fp16", "trt"]
    assert orders.notes == ("trt is not written in fp32: it writes fp16",)


def test_auto_beside_a_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="leave fp16 out"):
        orders_of(["onnx"], ["auto", "fp16"])
