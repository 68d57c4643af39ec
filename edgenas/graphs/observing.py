"""Ranges of activations, observed on images by the calibrators of `onnxruntime.quantization`."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import ExportError
from edgenas.records import CalibrationMethod

if TYPE_CHECKING:
    import onnx

WEIGHTED = ("Conv", "Gemm", "MatMul")  # operators whose tensors are observed
Ranges = Mapping[str, tuple[float, float]]  # least and greatest value by the name of a tensor
_IMAGES_AT_ONCE = 8  # histograms are made of whole tensors: so many images of them are in memory


class PreprocessedImages(Protocol):
    """Preprocessed images of shape (N, C, H, W)."""

    def __len__(self) -> int:
        """N."""
        ...

    def __getitem__(self, rows: slice, /) -> Any:
        """What NumPy makes a float32 array of."""
        ...


def measured_ranges(model: onnx.ModelProto, images_NCHW: PreprocessedImages, method: CalibrationMethod = "minmax") -> Ranges:
    """Ranges of all tensors around convolutions and products over images, each run alone.

    Args:
        model: float32.
        images_NCHW: finite, one or more.
        method: minmax takes the extremes, percentile all but one in 100,000 values, entropy what loses least information in 8 bits.

    Raises:
        ExportError: if there is no image, or one holds what is not a number.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod as Method
    from onnxruntime.quantization import calibrate

    if len(images_NCHW) == 0:
        raise ExportError("int8 needs images to calibrate with, there are none")
    methods = {"minmax": Method.MinMax, "percentile": Method.Percentile, "entropy": Method.Entropy}
    with tempfile.TemporaryDirectory() as folder, hushed():
        path = Path(folder) / "float.onnx"
        onnx.save(model, path)
        augmented = str(Path(folder) / "augmented.onnx")
        calibrator = calibrate.create_calibrator(path, list(WEIGHTED), augmented, methods[method])
        for start in range(0, len(images_NCHW), _IMAGES_AT_ONCE):
            part_NCHW = np.asarray(images_NCHW[start : start + _IMAGES_AT_ONCE], dtype=np.float32)
            if not np.isfinite(part_NCHW).all():
                raise ExportError("images to calibrate with hold what is not a number")
            calibrator.collect_data(_Reader(model.graph.input[0].name, iter(part_NCHW)))
        data = calibrator.compute_data()
    ranges = {
        name: (float(np.min(observed.range_value[0])), float(np.max(observed.range_value[1]))) for name, observed in data.items()
    }
    if wild := sorted(name for name, ends in ranges.items() if not np.isfinite(ends).all()):
        raise ExportError(f"the net gives what is not a number on images to calibrate with, first in {wild[0]}")
    return ranges


class _Reader:
    """One image a call, as the library asks for it."""

    def __init__(self, name: str, images: Iterator[NDArray[np.float32]]) -> None:
        self._name, self._images = name, images

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image_CHW = next(self._images, None)
        return None if image_CHW is None else {self._name: image_CHW[None]}


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """The library prints what it does and warns the root logger of what was decided here."""
    root = logging.getLogger()
    before, root.level = root.level, logging.ERROR
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.level = before
