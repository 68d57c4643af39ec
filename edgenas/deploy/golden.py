"""Golden images of an artefact: generated noise, and what a file must answer to it wherever it runs.

Shapes: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy._manifest import MAX_GOLDEN_BYTES
from edgenas.deploy.gates import SPREAD, spread_of
from edgenas.errors import ArtefactError
from edgenas.records import Check, Manifest, Precision, Verdict
from edgenas.runs.outside import OutsideError, parse_npz, read_regular


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """Images and the source's answers to them.

    Attributes:
        images_NCHW: noise.
        logits_NK: what the source answers.
        limits: largest error that is allowed, by precision, of the largest logit.
    """

    images_NCHW: NDArray[np.float32]
    logits_NK: NDArray[np.float32]
    limits: Mapping[str, float]

    def check(self, path: str, precision: Precision, logits_NK: NDArray[np.float32], where: str) -> Check:
        """Whether answers to the images are those of the source, as far as a precision allows.

        Args:
            path: of the file that answered.
            precision: that it computes in.
            logits_NK: its answers.
            where: they were given, for people.
        """
        if logits_NK.shape != self.logits_NK.shape:
            reason = f"outputs have shape {logits_NK.shape}, expected {self.logits_NK.shape}"
            return Check(path, "golden", "failed", reason)
        broken = int((~np.isfinite(logits_NK)).any(axis=1).sum())
        if broken:
            reason = f"its outputs are not finite for {broken} of {len(logits_NK)} golden images; {where}"
            return Check(path, "golden", "failed", reason)
        limit = self.limits.get(precision, 0.0)
        error = float(np.abs(logits_NK - self.logits_NK).max() / max(1.0, float(np.abs(self.logits_NK).max())))
        verdict: Verdict = "passed" if error <= limit else "failed"
        spread = spread_of(logits_NK)
        if spread is not None and spread <= SPREAD:
            reason = f"its outputs do not depend on the image: all golden images give one; {where}"
            return Check(path, "golden", "failed", reason)
        return Check(path, "golden", verdict, f"largest error {error:.2g} of the largest logit, allowed {limit:g}; {where}")


def load_golden(folder: Path, manifest: Manifest) -> Golden:
    """The golden images of an artefact folder.

    Raises:
        ArtefactError: if they are not what the manifest says.
    """
    num, shape = manifest.golden.num_samples, tuple(size or 0 for size in manifest.input.shape[1:])
    try:
        packed = read_regular(folder / manifest.golden.path, MAX_GOLDEN_BYTES)
        arrays = parse_npz(packed, {"images": (num, *shape), "logits": (num, len(manifest.classes))})
    except (OutsideError, ValueError) as error:
        raise ArtefactError(f"cannot be read: {error}") from error
    limits = {name: float(limit) for name, limit in manifest.golden.max_error.items()}
    return Golden(arrays["images"], arrays["logits"], limits)


def golden_or_why(folder: Path, manifest: Manifest, hashed: Sequence[Check]) -> Golden | Check:
    """The golden images, or what is wrong with them; a file whose hash is not the manifest's is not opened."""
    path = manifest.golden.path
    if any(check.path == path and check.verdict == "failed" for check in hashed):
        return Check(path, "golden", "failed", "not opened: it is not the file that was exported")
    try:
        return load_golden(folder, manifest)
    except ArtefactError as error:
        return Check(path, "golden", "failed", error.message)
