"""What int8 is fitted and tried on: images of *calibrate* as the net reads them, and the rule and the limits of the gates."""

from __future__ import annotations

import numpy as np

from edgenas.data.loaders import read_split
from edgenas.deploy.calibrating import CalibrationImages, chosen_rows, require_enough
from edgenas.project.exporting.source import Source
from edgenas.project.settings import ExportSettings
from edgenas.records import Precision


def calibration_for(source: Source, precision: Precision, settings: ExportSettings) -> CalibrationImages | None:
    """Images of *calibrate* for a precision that needs some; no image of another split is looked at.

    Half of the share of decisions that may change on test may change here, for test's share must be proven by its interval.

    Raises:
        ExportError: if *calibrate* has too few.
    """
    if precision != "int8":
        return None
    images, gates = source.images, source.gates
    labels_N = images.labels("calibrate")
    require_enough(len(labels_N))
    rows_N = chosen_rows(labels_N, images.positive, settings.calibration_images)
    return CalibrationImages(
        np.asarray(read_split(images.store, images.splits["calibrate"][rows_N])[:], dtype=np.float32),
        labels_N[rows_N],
        images.positive,
        source.final.threshold,
        settings.calibration,
        max_changed=(1 - gates.agreement) / 2,
        max_new_misses=0 if gates.max_new_false_negatives is None else gates.max_new_false_negatives,
        adjusts=settings.logit_adjustment,
    )
