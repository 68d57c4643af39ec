"""Is an artefact folder what its manifest says? Hashes, precision and golden outputs, file by file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy._apart import Patience, check_apart
from edgenas.deploy._facts import check_facts
from edgenas.deploy._graphs import check_emulation, check_onnx
from edgenas.deploy._manifest import MANIFEST, load_manifest
from edgenas.deploy._plausible import check_parity_file
from edgenas.deploy.acceptance import check_acceptance
from edgenas.deploy.contracts import ImageRows, Precision, Runner, Runtime
from edgenas.deploy.golden import Golden, golden_or_why
from edgenas.deploy.plugins import get_runtime
from edgenas.deploy.signing import SIGNATURE
from edgenas.errors import ArtefactError, EdgeNASError, MissingBackendError, PluginError, PrecisionError, UsageError
from edgenas.percents import percent
from edgenas.records import Check, FileIdentity, Manifest, ModelFile, Verdict
from edgenas.runs import sha256_file
from edgenas.runs.outside import MAX_MODEL_BYTES, OutsideError, require_regular

EMULATION_RUNTIME = "onnxruntime-cpu"
MAX_FILES, MAX_SHOWN = 10_000, 20  # in a folder that are looked at; that are named


def verify(folder: Path, runtimes: Mapping[str, Runtime] | None = None) -> list[Check]:
    """Check every file of an artefact folder against its manifest.

    A file whose runtime or device is missing here is ``not_run``; its emulation is checked beside it.

    Args:
        folder: as `write_artefact` wrote it.
        runtimes: by name; None takes the installed ones.

    Raises:
        ArtefactError: if the manifest itself cannot be used.
    """
    # engines for several targets share one emulation, which need not be listed again
    return list(dict.fromkeys(check for checks in verify_files(folder, runtimes) for check in checks))


def verify_files(folder: Path, runtimes: Mapping[str, Runtime] | None = None) -> Iterator[list[Check]]:
    """What `verify` checks, part by part: what goes with the models first, then each of them.

    Raises:
        ArtefactError: as `verify`.
    """
    manifest = load_manifest(folder)
    checks = [_check_hash(folder, entry) for entry in manifest.support_files]
    checks += _check_unlisted(folder, manifest)
    checks += check_parity_file(folder, manifest)
    checks += check_acceptance(folder, manifest)
    golden = golden_or_why(folder, manifest, checks)
    if isinstance(golden, Check):
        checks.append(golden)
    yield checks
    patience = Patience()
    for number, entry in enumerate(manifest.files):
        checks = []
        runnable = [(entry, False)]
        if entry.emulation is not None:
            same = entry.emulation
            runnable.append((replace(entry, path=same.path, size_bytes=same.size_bytes, sha256=same.sha256), True))
        for file, is_emulation in runnable:
            parts = () if is_emulation else file.parts or ()
            entries: tuple[FileIdentity | ModelFile, ...] = (file, *parts)
            hashed = [_check_hash(folder, each) for each in entries]
            checks += hashed
            if all(check.verdict == "passed" for check in hashed):
                if runtimes is not None:
                    checks += _check_live(folder, manifest, file, golden, runtimes, is_emulation=is_emulation)
                else:
                    checks += _check_elsewhere(folder, manifest, number, file, patience, is_emulation=is_emulation)
        yield checks


def _check_elsewhere(
    folder: Path, manifest: Manifest, number: int, file: ModelFile, patience: Patience, *, is_emulation: bool
) -> list[Check]:
    """The live checks of a file in a process of its own: the model may be a stranger's."""
    name = EMULATION_RUNTIME if is_emulation else file.runtime
    try:
        runtime = get_runtime(name)
    except (MissingBackendError, PluginError, UsageError):
        unopened = Check(file.path, "golden", "failed", "")
        return _check_live(folder, manifest, file, unopened, None, is_emulation=is_emulation)
    on_gpu = runtime.device_kind == "cuda"
    checks = check_apart(folder, number, file, patience, runtime=name, is_emulation=is_emulation, on_gpu=on_gpu)
    return [replace(check, path=file.path) for check in checks]


def live_checks(folder: Path, number: int, *, is_emulation: bool) -> list[Check]:
    """What `verify_files` checks of a model by running it, in this process.

    Args:
        folder: as `verify` takes it.
        number: of the file in the manifest.
        is_emulation: whether its emulation is meant.
    """
    manifest = load_manifest(folder)
    file = manifest.files[number]
    if is_emulation and file.emulation is not None:
        file = replace(file, path=file.emulation.path, size_bytes=file.emulation.size_bytes, sha256=file.emulation.sha256)
    return _check_live(folder, manifest, file, golden_or_why(folder, manifest, ()), None, is_emulation=is_emulation)


def _check_unlisted(folder: Path, manifest: Manifest) -> list[Check]:
    """A check for what lies beside the files of the manifest: a ``numpy.py`` there would be run by `example.py`."""
    models = [file for entry in manifest.files for file in (entry, entry.emulation, *(entry.parts or ())) if file is not None]
    listed = {MANIFEST, SIGNATURE, *(file.path for file in (*models, *manifest.support_files))}
    if manifest.status == "rejected":
        listed.add("REJECTED")
    beside = []
    try:
        for path in islice(folder.rglob("*"), MAX_FILES):
            name = path.relative_to(folder).as_posix()
            is_way = path.is_dir() and not path.is_symlink() and any(each.startswith(f"{name}/") for each in listed)
            if name not in listed and not is_way:
                beside.append(name)
    except OSError as error:
        return [Check(MANIFEST, "listed", "failed", f"the folder cannot be read: {error.strerror or error}")]
    return [Check(name, "listed", "failed", "it is not in the manifest; take it away") for name in sorted(beside)[:MAX_SHOWN]]


def _check_hash(folder: Path, entry: FileIdentity | ModelFile) -> Check:
    path = folder / entry.path
    try:
        size = require_regular(path, MAX_MODEL_BYTES)
        if size != entry.size_bytes:
            return Check(entry.path, "sha256", "failed", f"it has {size} bytes, the manifest says {entry.size_bytes}")
        sha256 = sha256_file(path)
    except OutsideError as error:
        return Check(entry.path, "sha256", "failed", str(error))
    except OSError as error:
        return Check(entry.path, "sha256", "failed", f"cannot be read: {error.strerror or error}")
    if sha256 != entry.sha256:
        reason = f"sha256 is {sha256[:12]}… ({size} bytes), the manifest says {entry.sha256[:12]}… ({entry.size_bytes})"
        return Check(entry.path, "sha256", "failed", reason)
    return Check(entry.path, "sha256", "passed", f"{size} bytes")


def _check_live(
    folder: Path,
    manifest: Manifest,
    file: ModelFile,
    golden: Golden | Check,
    runtimes: Mapping[str, Runtime] | None,
    *,
    is_emulation: bool,
) -> list[Check]:
    """Precision and golden outputs of one file; of an emulation, what it rounds."""
    path = file.path
    runtime_name = EMULATION_RUNTIME if is_emulation else file.runtime
    precision: Precision = "fp32" if is_emulation else file.precision
    is_engine = file.kind == "engine" and not is_emulation
    checks = check_onnx(folder / path, manifest, file) if file.kind == "onnx" and not is_emulation else []
    checks += check_emulation(folder / path, file) if is_emulation else []
    try:
        runtime = get_runtime(runtime_name) if runtimes is None else runtimes[runtime_name]
        checks += [] if is_emulation else check_facts(folder / path, manifest, file, runtime)
        runner = runtime.load(folder / path, precision=precision)
    except (MissingBackendError, PluginError, UsageError, KeyError) as error:
        reason = f"{runtime_name} is not given" if isinstance(error, KeyError) else f"{runtime_name}: {error}"
        if is_engine:
            checks.append(Check(path, "precision", "not_run", _proof_of_build(file)))
        return [*checks, Check(path, "golden", "not_run", reason)]
    except PrecisionError as error:
        return [*checks, Check(path, "precision", "failed", f"{runtime_name}: {error}")]
    except EdgeNASError as error:
        # The bytes are those that were exported; an engine among them may still be of another GPU or version.
        verdict: Verdict = "not_run" if is_engine else "failed"
        return [*checks, Check(path, "golden", verdict, f"{runtime_name}: {error}")]
    try:
        if is_engine or ((file.precision == "int8" or file.kind == "openvino") and not is_emulation):
            checks.append(_check_engine(path, runner, file.precision, "engine" if is_engine else "session"))
        if not isinstance(golden, Check):
            checks.append(_check_golden(file, runner, golden))
    except EdgeNASError as error:
        checks.append(Check(path, "golden", "failed", f"{runtime_name}: {error}"))
    finally:
        runner.close()
    return checks


def _proof_of_build(file: ModelFile) -> str:
    notes = file.notes
    if isinstance(notes.get("precision_share"), str):
        proof = notes.get("precision_proof", "types of the graph")
        return f"the engine cannot be opened here; when it was built: {notes['precision_share']:.200} (proof: {proof!s:.100})"
    share = notes.get("engine_half_share", notes.get("network_half_share"))
    if not isinstance(share, int | float) or isinstance(share, bool):
        return "the engine cannot be opened here"
    return f"the engine cannot be opened here; when it was built, {percent(share)} of its float layers were half precision"


def _check_engine(path: str, runner: Runner, precision: str, what: str) -> Check:
    """What the live engine's inspector names; one that names nothing proves nothing."""
    info = runner.info
    proof = str(info.details.get("precision_proof", "the runtime"))
    if info.precision != precision:
        return Check(path, "precision", "failed", f"the live {what} computes in {info.precision}, the manifest says {precision}")
    shares = [
        f"{key.removeprefix('engine_share_')} {percent(float(share))}"
        for key, share in info.details.items()
        if key.startswith("engine_share_")
    ]
    if proof.startswith("nothing"):
        return Check(path, "precision", "not_run", f"the engine was opened, but its precision is not proven: {proof}")
    listed = f" ({', '.join(shares)} of its inner tensors)" if shares else ""
    return Check(path, "precision", "passed", f"the live {what} computes in {precision}{listed}, by {proof}")


def _check_golden(file: ModelFile, runner: Runner, golden: Golden) -> Check:
    logits_NK = run_in_batches(runner, golden.images_NCHW, file.batch_size)
    return golden.check(file.path, file.precision, logits_NK, f"{runner.info.runtime} on {runner.info.device}")


def run_in_batches(
    runner: Callable[[NDArray[np.float32]], NDArray[np.float32]], images_NCHW: ImageRows, batch_size: int | None
) -> NDArray[np.float32]:
    """Logits of any number of images with a runner that takes exactly ``batch_size`` at once (None: any number).

    Raises:
        ArtefactError: if the runner does not take these images.
    """
    size = len(images_NCHW) if batch_size is None else batch_size
    parts = []
    try:
        for start in range(0, len(images_NCHW), max(1, size)):
            part = np.asarray(images_NCHW[start : start + size], dtype=np.float32)
            padded = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
            parts.append(runner(np.ascontiguousarray(padded))[: len(part)])
    except (RuntimeError, ValueError) as error:
        raise ArtefactError(f"the model does not run: {' '.join(str(error).split())[:200]}") from error
    return np.concatenate(parts)
