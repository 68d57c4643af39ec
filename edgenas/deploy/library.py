"""Writing a net in a format and judging what was written, without a run folder: what a notebook calls.

Shapes: N images, K classes, C channels, H and W rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import ExportedFile, ExportSpec, ImageRows
from edgenas.deploy.judging import FileJudge
from edgenas.deploy.parity import Gates
from edgenas.deploy.plugins import get_exporter
from edgenas.records import Parity

if TYPE_CHECKING:
    from torch import nn


def export(net: nn.Module, spec: ExportSpec, folder: Path | str, *, format_name: str = "onnx") -> list[ExportedFile]:
    """Write a net into a folder, which is made where it is not there; earlier files of the same names are replaced.

    Args:
        net: in eval mode; reads one float32 tensor of images (N, C, H, W) and gives logits (N, K).
        spec: shape of one image (C, H, W), images a call, precision.
        folder: where to.
        format_name: an installed format, ``onnx`` or ``trt``.

    Raises:
        UsageError: if there is no such format.
        MissingBackendError: if this machine lacks what the format needs.
        ExportError: if the net cannot be written.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    return list(get_exporter(format_name).export(net, spec, place))


def judge_parity(
    file: ExportedFile,
    reference_NK: NDArray[np.float32],
    images_NCHW: ImageRows,
    labels_N: NDArray[np.int64],
    class_names: Sequence[str],
    *,
    positive: int | None = None,
    threshold: float | None = None,
    gates: Gates | None = None,
) -> Parity:
    """Does a written file decide as its source does, image by image? The file is run by the runtime that it was written for.

    The verdict is ``passed``, ``failed``, ``undecided`` (too few images to prove a share) or ``not_run`` (no such runtime here).
    `Parity.require` raises unless it is ``passed``.

    Args:
        file: from `export`.
        reference_NK: logits of the source for the same images, e.g. from `logits`.
        images_NCHW: normalised images, float32.
        labels_N: index of the right class of every image.
        class_names: one a class.
        positive: index of the class that must not be missed.
        threshold: least probability at which ``positive`` is decided; None takes the argmax.
        gates: limits; None takes 99 % of equal decisions, at most 2 % new misses and new false alarms, each shown by its
            interval, and no positive newly missed.

    Raises:
        ArtefactError: if the file cannot be loaded or run.
        ParityError: if it gives logits of another shape.
    """
    limits = gates if gates is not None else Gates()
    return FileJudge(images_NCHW, labels_N, reference_NK, class_names, positive, threshold, limits, reference="the source net")(
        file
    )
