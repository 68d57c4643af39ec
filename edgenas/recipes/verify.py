"""`edgenas verify`: is an artefact folder what its manifest says?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgenas.config import Flags
from edgenas.data import open_source
from edgenas.data.images import positive_index
from edgenas.data.loaders import ImageStore, read_split
from edgenas.data.preprocess import Preprocess
from edgenas.data.splits import fingerprint, load_splits
from edgenas.data.subset import without
from edgenas.deploy.artefact import load_manifest, overall, verify_files
from edgenas.deploy.judging import EMULATION_RUNTIME, Judge, answers, exported_file, reference_among
from edgenas.deploy.parity import Gates
from edgenas.errors import DataError, EdgeNASError, GateError
from edgenas.project.gates import gates_of
from edgenas.project.opening import load_settings
from edgenas.records import Check, Manifest, VerifyResult
from edgenas.runs import Note, Outcome, Record, RunFolder
from edgenas.runs.background import watched


@dataclass(frozen=True, slots=True)
class VerifyConfig:
    """What `edgenas verify` was asked for."""

    run: Path
    flags: Flags
    overrides: tuple[str, ...]
    folder: Path
    data: str | None = None
    require_run: bool = False


def run(config: VerifyConfig) -> Iterator[Record]:
    """Check hashes, precision and golden outputs, and parity where ``data`` is given.

    Raises:
        ArtefactError: if the folder has no usable manifest.
    """
    manifest = load_manifest(config.folder)
    num_files = len(manifest.files)
    found = yield from watched(verify_files(config.folder), "verifying", total=1 + num_files)
    checks = _distinct(check for part in found for check in part)
    if config.data is not None and overall(checks) != "failed":  # what failed here is not run again without limits
        repeated = _repeat_parity(config.run, config.overrides, config.folder, manifest, config.data)
        checks += yield from watched(repeated, "parity", total=num_files)
    verdicts = {check.verdict for check in checks}
    verdict = overall(checks)
    for check in checks:
        if check.verdict == "not_run":
            yield Note(f"{check.path}: {check.name} not run, {check.reason}", is_warning=True, in_view=True)
    failure: EdgeNASError | None = None
    failed = [f"{check.path}: {check.name} {check.reason}" for check in checks if check.verdict == "failed"]
    open_checks = [f"{check.path}: {check.name} {check.reason}" for check in checks if check.verdict == "undecided"]
    if failed or open_checks:
        failure = GateError(f"{config.folder} is {verdict}", problems=[*failed, *open_checks])
    elif "not_run" in verdicts and config.require_run:
        failure = GateError(f"{config.folder}: some checks did not run, and --require-run was given")
    elif manifest.status == "rejected":
        failure = GateError(f"{config.folder} was rejected by its gates when it was exported", hint="parity.json says why")
    result = VerifyResult(artifact=str(config.folder), verdict=verdict, checks=tuple(checks))
    yield Outcome(result, {"artifact": config.folder}, failure)


def _distinct(checks: Iterable[Check]) -> list[Check]:
    """In order, each once: engines for several targets share an emulation."""
    return list(dict.fromkeys(checks))


def _repeat_parity(run: Path, overrides: Sequence[str], folder: Path, manifest: Manifest, data: str) -> Iterator[Check]:
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
    files = [exported_file(folder, entry) for entry in manifest.files]
    reference = reference_among(files)
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
