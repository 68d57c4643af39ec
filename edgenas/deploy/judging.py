"""Parity of exported files: each image through the source net and through the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.artefact import run_in_batches
from edgenas.deploy.contracts import ExportedFile, ImageRows
from edgenas.deploy.parity import Gates, compare, not_run
from edgenas.deploy.plugins import get_runtime
from edgenas.errors import DataError, MissingBackendError
from edgenas.records import ModelFile, Parity

EMULATION_RUNTIME = "onnxruntime-cpu"
DYNAMIC_BATCH = 32


class Answers(Protocol):
    """Keeps what files answered, so that an interrupted export does not ask them again."""

    def array(self, name: str, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """What ``make`` gives, or gave in an interrupted call."""
        ...


def answers(path: Path, runtime: str, precision: Any, batch_size: int | None, images_NCHW: ImageRows) -> NDArray[np.float32]:
    """Logits (N, classes) of a file on a runtime.

    Raises:
        MissingBackendError: if the runtime or its device is missing here.
        ArtefactError: if the file cannot be loaded or run.
    """
    runner = get_runtime(runtime).load(path, precision=precision)
    try:
        return run_in_batches(runner, images_NCHW, batch_size if batch_size is not None else DYNAMIC_BATCH)
    finally:
        runner.close()


@dataclass(frozen=True, slots=True)
class Judge:
    """Compares files with the source's logits.

    Attributes:
        images_NCHW: preprocessed.
        reference_NK: the source's logits for them.
        reference: its name for the report.
        staging: keeps answers of an export that may be interrupted.
    """

    images_NCHW: ImageRows
    labels_N: NDArray[np.int64]
    reference_NK: NDArray[np.float32]
    class_names: Sequence[str]
    positive: int | None
    threshold: float | None
    gates: Gates
    reference: str = "PyTorch fp32 on this CPU"
    staging: Answers | None = None
    _emulated: dict[Path, Parity] = field(default_factory=dict)  # engines for several targets share one emulation

    def __call__(self, file: ExportedFile) -> Parity:
        """Parity of a file; where it cannot run, ``not_run`` with the parity of its emulation inside."""
        try:
            candidate_NK = self._answers(file.path, file.runtime, file.precision, file.batch_size)
        except MissingBackendError as error:
            emulated = None
            if file.emulation is not None:
                if file.emulation not in self._emulated:
                    emulated_NK = self._answers(file.emulation, EMULATION_RUNTIME, "fp32", file.batch_size)
                    self._emulated[file.emulation] = self._compare(emulated_NK)
                emulated = self._emulated[file.emulation]
            return not_run(f"{file.runtime} cannot run here: {error.message}", emulated=emulated)
        return self._compare(candidate_NK)

    def _answers(self, path: Path, runtime: str, precision: Any, batch_size: int | None) -> NDArray[np.float32]:
        """As `answers`; what was answered before an interruption is not asked again."""
        ask = partial(answers, path, runtime, precision, batch_size, self.images_NCHW)
        return ask() if self.staging is None else self.staging.array(f"{path.parent.name}-{path.name}", ask)

    def _compare(self, candidate_NK: NDArray[np.float32]) -> Parity:
        return compare(
            self.reference_NK,
            candidate_NK,
            self.labels_N,
            class_names=self.class_names,
            positive=self.positive,
            threshold=self.threshold,
            gates=self.gates,
            reference=self.reference,
        )


def exported_file(folder: Path, entry: ModelFile) -> ExportedFile:
    """A file of an artefact folder, as the exporter said that it can run."""
    return ExportedFile(
        folder / entry.path,
        entry.kind,
        entry.runtime,
        entry.precision,
        entry.batch_size,
        entry.targets,
        folder / entry.emulation.path if entry.emulation is not None else None,
    )


def reference_among(files: Sequence[ExportedFile]) -> ExportedFile:
    """What the others are compared with: the first fp32 ONNX file, else the first emulation.

    Raises:
        DataError: if there is neither.
    """
    for file in files:
        if file.kind == "onnx" and file.precision == "fp32":
            return file
    for file in files:
        if file.emulation is not None:
            return ExportedFile(file.emulation, "onnx", EMULATION_RUNTIME, "fp32", file.batch_size)
    raise DataError("the artefact holds no file that can give reference outputs here")
