"""How an export of several artefacts ends."""

from __future__ import annotations

from edgenas.errors import EdgeNASError, ExportError, GateError, MissingBackendError, ParityError
from edgenas.project.exporting.verdicts import joined


def test_one_failure_is_said_as_it_is_and_none_is_none() -> None:
    error = ParityError("parity failed over 400 images", hint="it is marked rejected")
    for name, words in (("", "parity failed over 400 images"), ("onnx-int8", "onnx-int8: parity failed over 400 images")):
        found = joined([(name, error)])
        assert isinstance(found, ParityError)
        assert (found.message, found.hint) == (words, error.hint)
    assert joined([]) is None


def test_of_several_a_failed_gate_decides_the_exit_status_and_all_are_named() -> None:
    failures: list[tuple[str, EdgeNASError]] = [
        ("onnx-fp16", ExportError("holds values outside of float16")),
        ("onnx-int8", ParityError("parity failed over 400 images")),
    ]
    found = joined(failures)
    assert isinstance(found, GateError)
    assert found.exit_code == 4
    assert found.problems == ("onnx-fp16: holds values outside of float16", "onnx-int8: parity failed over 400 images")


def test_without_a_gate_the_first_one_s_class_stays() -> None:
    found = joined([("trt", MissingBackendError("no tensorrt")), ("openvino", ExportError("cannot be traced"))])
    assert isinstance(found, MissingBackendError)
