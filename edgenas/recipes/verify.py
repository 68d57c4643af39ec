"""`edgenas verify`: is an artefact folder what its manifest says?"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenas.config import Flags, blamed, build, parse_overrides
from edgenas.data import ImageSource, absolute_source, open_source
from edgenas.data.hashing import content_hashes
from edgenas.data.images import positive_index
from edgenas.data.loaders import ImageStore, read_split
from edgenas.data.preprocess import Preprocess
from edgenas.data.splits import fingerprint, load_splits
from edgenas.data.subset import without
from edgenas.deploy.artefact import MANIFEST, load_manifest, overall, verify_files
from edgenas.deploy.contracts import ExportedFile
from edgenas.deploy.judging import FileJudge, exported_file
from edgenas.deploy.junit import junit
from edgenas.deploy.parity import Gates
from edgenas.deploy.recorded import read_answers
from edgenas.deploy.signing import SIGNATURE, load_signatory, read_signature
from edgenas.errors import (
    ArtefactError,
    ConfigError,
    DataError,
    EdgeNASError,
    GateError,
    ParityError,
    RunFolderError,
    StoppedError,
    UsageError,
)
from edgenas.project.acceptance import history_checks, plan_of
from edgenas.project.gates import gates_of
from edgenas.project.opening import load_settings
from edgenas.project.settings import GateSettings
from edgenas.records import EQUAL_WORD, AcceptancePlan, Check, Manifest, Parity, Verdict, VerifyResult
from edgenas.runs import Note, Outcome, Record, RunFolder, write_text
from edgenas.runs.background import watched
from edgenas.runs.outside import MAX_JSON_BYTES, OutsideError, read_regular
from edgenas.runs.verified import keep_verified


@dataclass(frozen=True, slots=True)
class VerifyConfig:
    """What `edgenas verify` was asked for."""

    run: Path
    flags: Flags
    overrides: tuple[str, ...]
    folder: Path
    data: str | None = None
    require_run: bool = False
    map_label: Mapping[str, str] = field(default_factory=dict)
    public_key: Path | None = None
    junit: Path | None = None


def run(config: VerifyConfig) -> Iterator[Record]:
    """Check hashes, precision and golden outputs, the signature where a key is given, and parity where ``data`` is.

    The checks are written as JUnit XML where that is asked for, whatever becomes of them.

    Raises:
        ArtefactError: if the folder has no usable manifest.
        GateError: if its manifest is neither usable nor as it was signed.
        UsageError: if the key is none, the file has no place, or labels or settings are given for no data.
        RunFolderError: if the file cannot be written.
    """
    if config.map_label and config.data is None:
        raise UsageError("--map-label renames classes of data; give --data SOURCE too")
    if config.overrides and config.data is None:
        raise UsageError(f"--set {config.overrides[0]} would do nothing: settings are for --data SOURCE, give that too")
    if config.junit is None:
        yield from _verified(config)
        return
    _require_place(config.junit, config.folder)
    start, name = time.monotonic(), str(config.folder)
    try:
        for record in _verified(config):
            if isinstance(record, Outcome):
                seconds = time.monotonic() - start
                manifest = load_manifest(config.folder)
                write_text(config.junit.resolve(), junit(name, record.result.checks, manifest=manifest, seconds=seconds))
                record = replace(record, outputs={**record.outputs, "junit": config.junit})
            yield record
    except EdgeNASError as error:
        if not isinstance(error, RunFolderError):
            write_text(config.junit.resolve(), junit(name, (), error=str(error), seconds=time.monotonic() - start))
        raise


def _require_place(path: Path, folder: Path) -> None:
    """Check that a file can be written beside the artefact, before work is done for it.

    Raises:
        UsageError: if its folder is not there, or is the artefact's, where it would be a file that does not belong; if a
            device or a pipe stands there.
    """
    if path.exists() and not path.resolve().is_file():
        raise UsageError(f"--junit {path} cannot be written: it is no file")
    if not path.parent.is_dir():
        raise UsageError(f"--junit {path} cannot be written: {path.parent} is no folder")
    if path.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"--junit {path} lies in the artefact, to which it would not belong; write it elsewhere")


def _verified(config: VerifyConfig) -> Iterator[Record]:
    """Every check of the folder."""
    signed = _check_signature(config.folder, config.public_key)
    try:
        manifest = load_manifest(config.folder)
    except ArtefactError as error:
        if signed and signed[0].verdict == "failed":
            raise GateError(f"{config.folder} is failed: {signed[0].path}: signature {signed[0].reason}") from error
        raise
    by_file = yield from watched(verify_files(config.folder), "verifying", total=1 + len(manifest.files))
    checks = _distinct((*signed, *(check for of_file in by_file for check in of_file)))
    checks += history_checks(RunFolder(config.run), config.folder, manifest)
    if config.data is not None and overall(checks) != "failed":  # what failed here is not run again
        checks += yield from _parity_checks(config, config.data, manifest)
    judged_anew = any(check.name == "parity" and check.verdict != "not_run" for check in checks)
    if not judged_anew:
        checks += _undecided_export(manifest)
    verdict = "failed" if manifest.status == "rejected" else overall(checks)
    yield Note(f"the export's verdict: {manifest.verdict_word.replace('_', ' ')}", in_view=True)
    for check in checks:
        if check.verdict == "not_run":
            yield Note(f"{check.path}: {check.name} not run, {check.reason}", is_warning=True, in_view=True)
    failure = _failure(config, manifest, checks, verdict)
    if failure is None:
        keep_verified(RunFolder(config.run), config.folder)
    word = manifest.verdict_word
    result = VerifyResult(artifact=str(config.folder), verdict=verdict, checks=tuple(checks), exported=word)
    yield Outcome(result, {"artifact": config.folder}, failure)


def _parity_checks(config: VerifyConfig, data: str, manifest: Manifest) -> Generator[Record, None, list[Check]]:
    """Parity once more on some data, by the gates of the sealed plan, or by those that are given here."""
    plan = plan_of(config.folder, manifest)
    if plan is not None and any(each.startswith("gates.") for each in config.overrides):
        yield Note("parity is judged by the gates given here, not by those that the plan was sealed with", is_warning=True)
        plan = None
    repeated = _repeat_parity(config.run, config.overrides, config.folder, manifest, data, config.map_label, plan)
    return (yield from watched(repeated, "parity", total=len(manifest.files)))


def _failure(config: VerifyConfig, manifest: Manifest, checks: Sequence[Check], verdict: Verdict) -> GateError | None:
    """What the checks end the command with; None where all is well, or only did not run and need not."""
    failed = [f"{check.path}: {check.name} {check.reason}" for check in checks if check.verdict == "failed"]
    undecided = [f"{check.path}: {check.name} {check.reason}" for check in checks if check.verdict == "undecided"]
    if failed or undecided:
        return GateError(f"{config.folder} is {verdict}", problems=[*failed, *undecided])
    if config.require_run and any(check.verdict == "not_run" for check in checks):
        return GateError(f"{config.folder}: some checks did not run, and --require-run was given")
    if manifest.status == "rejected":
        return GateError(f"{config.folder} was rejected by its gates when it was exported", hint="parity.json says why")
    return None


def _check_signature(folder: Path, public_key: Path | None) -> list[Check]:
    """Whether the manifest is signed with a key; nothing where none is given.

    Raises:
        UsageError: if the file holds no key.
    """
    if public_key is None:
        return []
    signatory = load_signatory(public_key)
    try:
        text = read_signature(folder)
    except ArtefactError as error:
        return [Check(MANIFEST, "signature", "failed", f"it cannot be read: {error.message}")]
    if text is None:
        return [Check(MANIFEST, "signature", "failed", f"there is none: {SIGNATURE} is missing")]
    try:
        reason = signatory.doubt(read_regular(folder / MANIFEST, MAX_JSON_BYTES), text)
    except OutsideError as error:
        reason = str(error)
    if reason is not None:
        return [Check(MANIFEST, "signature", "failed", reason)]
    return [Check(MANIFEST, "signature", "passed", f"by the key in {public_key.name}")]


def _undecided_export(manifest: Manifest) -> list[Check]:
    """A check of the export's own verdict, where it was undecided and nothing judges it anew."""
    if manifest.verdict != "undecided":
        return []
    reason = "the gates were undecided when it was exported, parity.json says why; more images (--data) would decide"
    return [Check("manifest.json", "export", "undecided", reason)]


def _distinct(checks: Iterable[Check]) -> list[Check]:
    """In order, each once: engines for several targets share an emulation."""
    return list(dict.fromkeys(checks))


def _renames_of(run: Path, overrides: Sequence[str], data: str) -> Mapping[str, str]:
    """How the run renames labels of just these data; nothing where it divides others or is none."""
    folder = RunFolder(run)
    if not (folder.config.is_file() and folder.splits.is_file()):
        return {}
    settings = load_settings(folder, {}, overrides).data
    return settings.map_label if settings.source == absolute_source(data) else {}


def _repeat_parity(
    run: Path,
    overrides: Sequence[str],
    folder: Path,
    manifest: Manifest,
    data: str,
    map_label: Mapping[str, str],
    plan: AcceptancePlan | None,
) -> Iterator[Check]:
    """Parity of every file of an artefact folder on a data set, against what its source answered when it was exported.

    The test split of ``run`` is taken where it divides just these data; else every image. Those count that the export knew. The
    gates are those of the plan, else of the run's settings.

    Yields:
        One check a file, as `verify` lists them, with ``parity`` added.

    Raises:
        DataError: if the data cannot be used or have other classes.
        ArtefactError: if the artefact's record of answers is damaged.
    """
    source = open_source(data, map_label or _renames_of(run, overrides, data))
    classes = manifest.classes
    if source.class_names != classes:
        raise DataError(f"{data} has classes {', '.join(source.class_names)}; the artefact knows {', '.join(classes)}")
    source, indices_N, gates = _images_of(run, overrides, source, manifest)
    if plan is not None:
        gates = Gates.from_limits(plan.gates, plan.floor_confidence)
    files = [exported_file(folder, entry) for entry in manifest.files]
    reference, reason = _reference(folder, manifest, source, indices_N)
    if reference is None:
        for file in files:
            yield Check(file.path.name, "parity", "not_run", f"there is no reference to compare with: {reason}")
        return
    known_N, reference_NK = reference
    store = ImageStore(source, Preprocess.from_json(manifest.preprocessing))
    judge = FileJudge(
        read_split(store, known_N),
        source.labels_N[known_N],
        reference_NK,
        classes,
        positive_index(manifest.positive, classes),
        manifest.threshold,
        gates,
        reference="what the source answered when it was exported",
        is_foreign=True,
    )
    yield from _judged(files, judge)


def _judged(files: Sequence[ExportedFile], judge: FileJudge) -> Iterator[Check]:
    """Parity of every file; after one that took all its time none of the others runs."""
    stopped = ""
    for file in files:
        if stopped:
            yield Check(file.path.name, "parity", "failed", f"not run, after {stopped}")
            continue
        try:
            parity = judge(file)
        except (ArtefactError, ParityError) as error:
            stopped = file.path.name if isinstance(error, StoppedError) else ""
            yield Check(file.path.name, "parity", "failed", str(error))
            continue
        yield Check(file.path.name, "parity", parity.verdict, parity.reason or _passed_words(parity), parity)


def _passed_words(parity: Parity) -> str:
    """What a passed parity rests on."""
    if parity.word == EQUAL_WORD and parity.equality is not None:
        return f"{EQUAL_WORD} on {parity.num_images:,} images: {parity.equality.words}"
    return f"{parity.num_images:,} images agree with {parity.reference} as the gates ask"


def _images_of(
    run: Path, overrides: Sequence[str], source: ImageSource, manifest: Manifest
) -> tuple[ImageSource, NDArray[np.int64], Gates]:
    """The images that may judge, and the gates: those of the run folder where it divides just these data."""
    indices_N, run_folder = np.arange(len(source.labels_N)), RunFolder(run)
    gates = _gates_in(run_folder, overrides)
    if run_folder.config.is_file() and run_folder.splits.is_file():
        splits = load_splits(run_folder.splits)
        kept = without(source, splits.excluded)
        if splits.fingerprint == fingerprint(kept) == manifest.data.fingerprint:
            return kept, splits["test"], gates
    return source, indices_N, gates


@dataclass(frozen=True, slots=True)
class _Given:
    """What may be set where there is no run folder."""

    gates: GateSettings


def _gates_in(run: RunFolder, overrides: Sequence[str]) -> Gates:
    """The gates of a run folder's settings, or, where there is none, those that the command line sets.

    Raises:
        ConfigError: if a setting is unknown or out of range.
    """
    if run.config.is_file():
        return gates_of(load_settings(run, {}, overrides).gates)
    given = parse_overrides(overrides)
    try:
        return gates_of(build(_Given, given, source="the command line").gates)
    except ConfigError as error:
        raise ConfigError(error.message, problems=blamed(error.problems, given, {}), hint=error.hint) from error


def _reference(
    folder: Path, manifest: Manifest, source: ImageSource, indices_N: NDArray[np.int64]
) -> tuple[tuple[NDArray[np.int64], NDArray[np.float32] | NDArray[np.int64]] | None, str]:
    """Positions of the images that the export knew, with the source's logits (or decisions); else None and why not."""
    if manifest.answers is None:
        return None, "the artefact holds no answers of its source (an earlier edgenas wrote it); export it again"
    answers = read_answers(folder, manifest.answers, len(manifest.classes))
    there_M, here_M = answers.of(content_hashes(source, indices_N))
    if not len(there_M):
        return None, f"none of the {len(indices_N)} images is among the {len(answers.hashes_N)} that judged the export"
    return (indices_N[there_M], (answers.decisions_N if answers.logits_NK is None else answers.logits_NK)[here_M]), ""
