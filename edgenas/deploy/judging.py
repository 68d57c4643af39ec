"""Parity of exported files: each image through the source net and through the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy._asking import answers_apart, first_not_finite_apart
from edgenas.deploy.artefact import run_in_batches
from edgenas.deploy.contracts import ExportedFile, ImageRows, Precision
from edgenas.deploy.decisions import finite_decisions
from edgenas.deploy.differences import block_differences
from edgenas.deploy.layers import first_not_finite
from edgenas.deploy.margins import margins
from edgenas.deploy.parity import Gates, compare, compare_decisions, not_run
from edgenas.deploy.plugins import get_runtime
from edgenas.errors import MissingBackendError
from edgenas.records import BlockDifferences, ModelFile, Parity

EMULATION_RUNTIME = "onnxruntime-cpu"
DYNAMIC_BATCH = 32
BLOCK_IMAGES = 2  # whose results are compared block by block


class AnswerStore(Protocol):
    """Keeps what files answered, so that an interrupted export does not ask them again."""

    def array(self, name: str, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """What ``make`` gives, or gave in an interrupted call."""
        ...


def answers(path: Path, runtime: str, precision: Precision, batch_size: int | None, images_NCHW: ImageRows) -> NDArray[np.float32]:
    """Logits (N, classes) of a file on a runtime.

    Raises:
        MissingBackendError: if the runtime or its device is missing here.
        ArtefactError: if the file cannot be loaded or run.
    """
    runner = get_runtime(runtime).load(path, precision=precision)
    try:
        return run_in_batches(runner, images_NCHW, batch_size)
    finally:
        runner.close()


@dataclass(frozen=True, slots=True)
class FileJudge:
    """Compares files with the source's logits.

    Attributes:
        images_NCHW: preprocessed.
        reference_NK: the source's logits for them, or, shape (images,), its decisions where no more is known.
        reference: its name for the report.
        staging: keeps answers of an export that may be interrupted.
        is_foreign: the files may be a stranger's: they run in a process of their own, with limits.
        plain_graph: makes an ONNX file of the source in float32 for one image, for a file in some precision; beside it the blocks
            of such a file for one image are looked at, if its numbers are not the source's. None leaves that out.
    """

    images_NCHW: ImageRows
    labels_N: NDArray[np.int64]
    reference_NK: NDArray[np.float32] | NDArray[np.int64]
    class_names: Sequence[str]
    positive: int | None
    threshold: float | None
    gates: Gates
    reference: str = "PyTorch fp32 on this CPU"
    staging: AnswerStore | None = None
    is_foreign: bool = False
    plain_graph: Callable[[str], Path | None] | None = None
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
                    self._emulated[file.emulation] = self._compare(emulated_NK, file.emulation, file)
                emulated = self._emulated[file.emulation]
            return not_run(f"{file.runtime} cannot run here: {error.message}", emulated=emulated)
        looked_at = file.emulation if file.kind != "onnx" else file.path
        return self._compare(candidate_NK, looked_at, file)

    def _answers(self, path: Path, runtime: str, precision: Precision, batch_size: int | None) -> NDArray[np.float32]:
        """As `answers`; what was answered before an interruption is not asked again."""
        how = answers_apart if self.is_foreign else answers
        ask = partial(how, path, runtime, precision, batch_size if batch_size is not None else DYNAMIC_BATCH, self.images_NCHW)
        return ask() if self.staging is None else self.staging.array(f"{path.parent.name}-{path.name}", ask)

    def _compare(self, candidate_NK: NDArray[np.float32], onnx_file: Path | None, file: ExportedFile) -> Parity:
        """Parity of a file's answers; ``onnx_file`` computes them, or emulates what does."""
        batch_size = file.batch_size

        def layer_of(position: int) -> str | None:
            if onnx_file is None:
                return None
            image = np.asarray(self.images_NCHW[position : position + 1], dtype=np.float32)
            find = first_not_finite_apart if self.is_foreign else first_not_finite
            return find(onnx_file, np.repeat(image, batch_size or 1, axis=0))

        judge: Callable[..., Parity] = compare if self.reference_NK.ndim == 2 else compare_decisions
        parity = judge(
            self.reference_NK,
            candidate_NK,
            self.labels_N,
            class_names=self.class_names,
            positive=self.positive,
            threshold=self.threshold,
            gates=self.gates,
            reference=self.reference,
            layer_of=layer_of,
        )
        return replace(parity, blocks=self._blocks(parity, candidate_NK, onnx_file, file))

    def _blocks(
        self, parity: Parity, candidate_NK: NDArray[np.float32], onnx_file: Path | None, file: ExportedFile
    ) -> BlockDifferences | None:
        """Where in the net numbers part, on images with another decision first, then on the nearest to one."""
        is_same = parity.equality is not None and parity.equality.is_equal
        if is_same or onnx_file is None or file.batch_size != 1 or self.plain_graph is None or self.reference_NK.ndim != 2:
            return None
        plain = self.plain_graph(file.precision)
        if plain is None:
            return None
        reference_NK = np.asarray(self.reference_NK, dtype=np.float32)
        margin_N = np.nan_to_num(margins(reference_NK, self.positive, self.threshold))
        before_N, after_N = (finite_decisions(each, self.positive, self.threshold) for each in (reference_NK, candidate_NK))
        worst_N = np.lexsort((margin_N, before_N == after_N))[:BLOCK_IMAGES]
        rows = [np.asarray(self.images_NCHW[row : row + 1], dtype=np.float32) for row in worst_N.tolist()]
        return block_differences(plain, onnx_file, np.concatenate(rows), precision=file.precision) if rows else None


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
        parts=tuple(folder / part.path for part in entry.parts or ()),
    )
