"""DICOM files: pixels as their headers say that they are meant. Needs pydicom, the extra ``dicom``.

Shapes: H and W rows and columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgenas.data.preprocess import SHOWN
from edgenas.data.quiet import MAX_PIXELS, quietly
from edgenas.errors import DataError, MissingBackendError


def import_pydicom() -> Any:
    """The package.

    Raises:
        MissingBackendError: if it is not installed.
    """
    try:
        import pydicom
        import pydicom.pixels
    except ImportError as error:
        raise MissingBackendError(
            "DICOM files need the package pydicom, which is not installed", hint="pip install 'edgenas[dicom]'"
        ) from error
    return pydicom


def decode_dicom(path: Path) -> Image.Image:
    """Decode one DICOM file; of several frames the first.

    Colours become RGB. Grey values are rescaled by slope and intercept (as CT's are to Hounsfield units) and turned round where 0
    is white (MONOCHROME1); they come as mode F. Padding outside of what was seen becomes the darkest that was seen. Where the
    header holds a window or a table of how values are shown, the image shown so is in `Image.info` under `SHOWN`.

    Raises:
        DataError: naming the file and why it cannot be decoded.
        MissingBackendError: without pydicom.
    """
    pydicom = import_pydicom()
    try:
        with quietly():
            header = pydicom.dcmread(path)
            rows, columns = int(header.get("Rows", 0)), int(header.get("Columns", 0))
            if rows * columns > MAX_PIXELS:
                raise DataError(f"{path} is too large: {columns} x {rows} pixels, at most {MAX_PIXELS:,} are decoded")
            return _image(pydicom, header)
    except (DataError, MissingBackendError):
        raise
    except Exception as error:  # of pydicom and whatever decodes compressed pixels for it
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} is no DICOM file that can be decoded: {reason}") from error


def _image(pydicom: Any, header: Any) -> Image.Image:
    kind = str(header.get("PhotometricInterpretation", "")).strip()
    pixels = pydicom.pixels.pixel_array(header, index=0)  # YBR becomes RGB
    if kind == "PALETTE COLOR":
        pixels = pydicom.pixels.apply_color_lut(pixels, header)
        return Image.fromarray(_eight_bits(pixels, 8 * pixels.dtype.itemsize))
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return Image.fromarray(_eight_bits(pixels, int(header.BitsStored)))
    if kind not in ("MONOCHROME1", "MONOCHROME2") or pixels.ndim != 2:
        raise DataError(f"its photometric interpretation is {kind or 'missing'}, of pixels {pixels.shape}")
    is_turned = kind == "MONOCHROME1"
    pixels = _without_padding(pixels, header, is_turned=is_turned)
    values_HW = pydicom.pixels.apply_modality_lut(pixels, header).astype(np.float64)
    low, high = _ends(pydicom, header)
    image = Image.fromarray((low + high - values_HW if is_turned else values_HW).astype(np.float32))
    if _says_how_it_is_shown(header):
        shown_HW = _shown(pydicom, header, pydicom.pixels.apply_modality_lut(pixels, header), (low, high))
        image.info[SHOWN] = Image.fromarray(255 - shown_HW if is_turned else shown_HW)
    return image


def _without_padding(pixels_HW: NDArray[Any], header: Any, *, is_turned: bool) -> NDArray[Any]:
    """Stored values in which those that only fill the rectangle are as dark as the darkest of the others.

    They are one value, often far below all that was measured, or those between it and a limit (DICOM PS3.3, C.7.5.1.1.2).
    """
    first = header.get("PixelPaddingValue")
    if first is None:
        return pixels_HW
    last = header.get("PixelPaddingRangeLimit")
    ends = sorted((int(first), int(first) if last is None else int(last)))
    is_padding_HW = (pixels_HW >= ends[0]) & (pixels_HW <= ends[1])
    if not is_padding_HW.any() or is_padding_HW.all():
        return pixels_HW
    seen = pixels_HW[~is_padding_HW]
    return np.where(is_padding_HW, seen.max() if is_turned else seen.min(), pixels_HW)


def _says_how_it_is_shown(header: Any) -> bool:
    """Whether a window or table is there; tags may be empty."""
    return bool(header.get("VOILUTSequence")) or None not in (header.get("WindowCenter"), header.get("WindowWidth"))


def _eight_bits(pixels: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    shift = max(0, bits - 8)
    return np.ascontiguousarray((pixels >> shift).astype(np.uint8))


def _ends(pydicom: Any, header: Any) -> tuple[float, float]:
    """The least and the largest value that stored ones can become, in the units of the rescaled."""
    bits, is_signed = int(header.BitsStored), bool(header.get("PixelRepresentation", 0))
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
    ends = pydicom.pixels.apply_modality_lut(np.array([least, most], dtype=np.int64), header)
    return float(ends.min()), float(ends.max())


def _shown(pydicom: Any, header: Any, values_HW: NDArray[Any], ends: tuple[float, float]) -> NDArray[np.uint8]:
    """Values as the first window or table of the header shows them."""
    out_HW = pydicom.pixels.apply_voi_lut(values_HW, header).astype(np.float64)
    if header.get("VOILUTSequence"):
        low, high = 0.0, float(2 ** int(header.VOILUTSequence[0].LUTDescriptor[2]) - 1)
    else:
        low, high = ends
    levels_HW = np.floor((np.clip(out_HW, low, high) - low) * 255 / max(high - low, 1e-12) + 0.5)
    result: NDArray[np.uint8] = levels_HW.astype(np.uint8)
    return result
