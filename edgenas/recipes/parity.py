"""Parity on the whole test split: each image through the source net and through the exported file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.data import open_source
from edgenas.data.loaders import ImageStore, read_split
from edgenas.data.preprocess import Preprocess
from edgenas.data.splits import fingerprint, load_splits
from edgenas.data.subset import without
from edgenas.deploy.artefact import run_in_batches
from edgenas.deploy.contracts import ExportedFile, ImageRows
from edgenas.deploy.parity import Gates, compare, not_run
from edgenas.deploy.plugins import get_runtime
from edgenas.errors import ConfigError, DataError, MissingBackendError
from edgenas.recipes.project import load_settings, positive_index
from edgenas.recipes.settings import GateSettings
from edgenas.recipes.staging import Staging
from edgenas.records import Check, Manifest, ModelFile, Parity
from edgenas.runs import RunFolder

EMULATION_RUNTIME = "onnxruntime-cpu"
DYNAMIC_BATCH = 32


def gates_of(settings: GateSettings) -> Gates:
    """The gates of `edgenas.toml`.

    Raises:
        ConfigError: if a limit is out of range.
    """
    try:
        return Gates(settings.min_top1_agreement, settings.max_new_false_negatives, settings.min_sensitivity)
    except ValueError as error:
        raise ConfigError(f"[gates] {error}") from error


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
    staging: Staging | None = None
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


def repeat_parity(run: Path, overrides: Sequence[str], folder: Path, manifest: Manifest, data: str) -> Iterator[Check]:
    """Parity of every file of an artefact folder on a data set, against its first fp32 ONNX file.

    The test split of ``run`` is taken where it divides just these data; else every image.

    Yields:
        One check a file, as `verify` lists them, with ``parity`` added.

    Raises:
        DataError: if the data cannot be used or have other classes.
    """
    source = open_source(data)
    classes = manifest.classes
    if source.class_names != classes:
        raise DataError(f"{data} has classes {', '.join(source.class_names)}; the artefact knows {', '.join(classes)}")
    indices_N = np.arange(len(source.labels_N))
    run_folder = RunFolder(run)
    gates = Gates()
    if run_folder.config.is_file() and run_folder.splits.is_file():
        gates = gates_of(load_settings(run_folder, {}, overrides).gates)
        splits = load_splits(run_folder.splits)
        kept = without(source, splits.excluded)
        if splits.fingerprint == fingerprint(kept) == manifest.data.fingerprint:
            source, indices_N = kept, splits["test"]
    store = ImageStore(source, Preprocess.from_json(manifest.preprocessing))
    images_NCHW, labels_N = read_split(store, indices_N), source.labels_N[indices_N]
    files = [_exported(folder, entry) for entry in manifest.files]
    reference = _reference(files)
    reference_NK = answers(reference.path, EMULATION_RUNTIME, "fp32", reference.batch_size, images_NCHW)
    judge = Judge(
        images_NCHW,
        labels_N,
        reference_NK,
        classes,
        positive_index(manifest.positive, classes),
        manifest.threshold,
        gates,
        reference=reference.path.name,
    )
    for file in files:
        parity = judge(file)
        reason = parity.reason or f"{len(labels_N)} images agree with {reference.path.name} as the gates ask"
        yield Check(file.path.name, "parity", parity.verdict, reason, parity)


def _exported(folder: Path, entry: ModelFile) -> ExportedFile:
    return ExportedFile(
        folder / entry.path,
        entry.kind,
        entry.runtime,
        entry.precision,
        entry.batch_size,
        entry.targets,
        folder / entry.emulation.path if entry.emulation is not None else None,
    )


def _reference(files: Sequence[ExportedFile]) -> ExportedFile:
    """What the others are compared with: the first fp32 ONNX file, else the first emulation."""
    for file in files:
        if file.kind == "onnx" and file.precision == "fp32":
            return file
    for file in files:
        if file.emulation is not None:
            return ExportedFile(file.emulation, "onnx", EMULATION_RUNTIME, "fp32", file.batch_size)
    raise DataError("the artefact holds no file that can give reference outputs here")
