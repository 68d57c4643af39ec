"""Files that runtimes load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgenas.errors import ArtefactError, UsageError
from edgenas.runs.outside import OutsideError, read_regular, require_regular

from ._probe import first_line

if TYPE_CHECKING:
    from torch import nn

    from edgenas.deploy.contracts import Exporter, Precision, Runtime

MAX_FILE_BYTES = 8 << 30  # engines may be larger than ONNX files


def require_file(source: Path | nn.Module, name: str, kinds: str = "ONNX files") -> Path:
    """The source, if it is a file that can be read.

    Raises:
        UsageError: for a module.
        ArtefactError: if it cannot be read.
    """
    if not isinstance(source, Path):
        raise UsageError(f"{name} runs {kinds}, not modules")
    try:
        require_regular(source, MAX_FILE_BYTES)
    except OutsideError as error:
        raise ArtefactError(f"{source} {error}") from error
    return source


def require_precision(thing: Runtime | Exporter, precision: Precision, *, hint: str = "") -> None:
    """Refuse a precision that a runtime does not compute in, or that a format is not written in.

    Raises:
        UsageError: naming those that it knows.
    """
    if precision not in thing.precisions:
        known = " and ".join(thing.precisions)
        raise UsageError(f"{thing.name} computes in {known}, not in {precision}", hint=hint)


def read_source(source: Path | nn.Module, name: str, kinds: str = "ONNX files") -> bytes:
    """A file's bytes; those of an ONNX file with the weights that it keeps in another.

    Raises:
        UsageError: for a module.
        ArtefactError: if it cannot be read.
    """
    path = require_file(source, name, kinds)
    try:
        data = read_regular(path, MAX_FILE_BYTES)
    except OutsideError as error:
        raise ArtefactError(f"{source} {error}") from error
    return _whole(path, data) if path.suffix == ".onnx" else data


def _whole(path: Path, data: bytes) -> bytes:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(data)
    except DecodeError:
        return data  # the runtime says what is wrong with it
    if not any(onnx.external_data_helper.uses_external_data(tensor) for tensor in model.graph.initializer):
        return data
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ArtefactError(f"the weights of {path} cannot be read: {first_line(error)}") from error
    whole: bytes = model.SerializeToString()
    return whole
