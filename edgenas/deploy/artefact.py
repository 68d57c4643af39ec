"""The artefact folder: everything that whoever deploys a model needs, and nothing of the data set.

Written beside its place and moved there as a whole, so that a folder with a manifest is complete.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.resources import files as package_files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenas import __version__
from edgenas.deploy._elsewhere import BUILD_ENGINE
from edgenas.deploy._example_cpp import example_cpp
from edgenas.deploy._manifest import MANIFEST, load_manifest
from edgenas.deploy._placing import move, new_beside, target
from edgenas.deploy._readme import readme
from edgenas.deploy._unknown import NO_DATA, NO_METRICS, NO_NET, NO_WEIGHTS
from edgenas.deploy._verify import run_in_batches, verify, verify_files
from edgenas.deploy.acceptance import ACCEPTANCE
from edgenas.deploy.beside import write_beside
from edgenas.deploy.contracts import ExportedFile
from edgenas.deploy.recorded import RecordedAnswers
from edgenas.deploy.sbom import SBOM, Ancestor, sbom
from edgenas.deploy.signing import SIGNATURE, Signer
from edgenas.errors import ArtefactError
from edgenas.escaping import one_line
from edgenas.portable.journal import alone
from edgenas.records import (
    AcceptanceFacts,
    AcceptancePlan,
    ArchitectureFacts,
    Check,
    DataFacts,
    DecisionRule,
    ExportedModel,
    FileIdentity,
    FileParity,
    GoldenFacts,
    InputFacts,
    LatencyFacts,
    Manifest,
    ModelFile,
    OutputFacts,
    Parity,
    ParityFile,
    Precision,
    RangeReport,
    Repair,
    SplitMetrics,
    Verdict,
    WeightsFacts,
)
from edgenas.runs import sha256_file, sha256_json, write_json, write_text

__all__ = [
    "MANIFEST",
    "Artefact",
    "Check",
    "Facts",
    "load_manifest",
    "overall",
    "run_in_batches",
    "verify",
    "verify_files",
    "write_artefact",
]

REJECTED, RANGES = "REJECTED", "ranges.json"
_NUM_GOLDEN = 4
_CELL_PX = 8  # golden images are noise in cells, which compresses
# Of the largest golden logit. Noise is not what int8 was calibrated on: its outputs show a wrong file, not a lost decision.
_MAX_ERROR: dict[Precision, float] = {"fp32": 1e-3, "fp16": 5e-2, "bf16": 1e-1, "int8": 5e-1}
_ALWAYS: tuple[Precision, ...] = ("fp32", "fp16")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the manifest says beside the files.

    Attributes:
        input_shape: channels, height, width of one image.
        preprocessing: `Preprocess.as_json()`, exact enough to write in another language.
        positive: name of the class that must not be missed, None without one.
        threshold: probability from which ``positive`` is decided.
        architecture: space and readable architecture; nothing (None, or an empty object) where there is no run folder behind it.
        weights: where the weights come from, with the checkpoint's hash; nothing likewise.
        data: name, fingerprint and split sizes; nothing likewise.
        metrics: with intervals; nothing likewise.
        latency: predicted and measured, with the table's hash; None if never profiled.
        versions: packages that had a part in it.
        decision: the rule that ships, and how its threshold was chosen; None takes it from ``positive`` and ``threshold``.
        gates: limits by name that the files were held to.
        answers: of the source to the images that judged the files.
        quick: stages behind the net that took a few steps only.
        net: ``searched``, ``baseline`` or a rival's name.
        extras: what else is written: ``triton``, ``docker``.
        acceptance: the plan that was sealed before test was read, and what its history says of it.
        ancestors: what the weights come from.
        ranges: how far values reach, of a reduced precision.
        repair: what stays float32 in it.
    """

    input_shape: tuple[int, int, int]
    preprocessing: Mapping[str, object]
    classes: tuple[str, ...]
    positive: str | None
    threshold: float | None
    architecture: ArchitectureFacts | None
    weights: WeightsFacts | None
    data: DataFacts | None
    metrics: SplitMetrics | None
    latency: LatencyFacts | None
    versions: Mapping[str, str]
    decision: DecisionRule | None = None
    gates: Mapping[str, float] | None = None
    answers: RecordedAnswers | None = None
    quick: tuple[str, ...] = ()
    net: str | None = None
    extras: tuple[str, ...] = ()
    acceptance: tuple[AcceptancePlan, AcceptanceFacts] | None = None
    ancestors: tuple[Ancestor, ...] = ()
    ranges: RangeReport | None = None
    repair: Repair | None = None


@dataclass(frozen=True, slots=True)
class Artefact:
    """A written folder; ``files`` are the contract's entries of the command `export`, parity included.

    Attributes:
        word: the verdict in a word for people.
    """

    folder: Path
    verdict: Verdict
    files: tuple[ExportedModel, ...]
    word: str


def write_artefact(
    folder: Path,
    models: Sequence[tuple[ExportedFile, Parity]],
    facts: Facts,
    *,
    reference: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    seed: int = 0,
    signer: Signer | None = None,
) -> Artefact:
    """Write the artefact folder; an older artefact of that name is replaced, also behind a link, which stays; nothing else is.

    Args:
        folder: where to.
        models: exported files, which are copied, each with its parity.
        facts: the rest of the manifest.
        reference: the source model on any number of images, for the golden outputs.
        seed: of the golden images.
        signer: signs the manifest.

    Raises:
        ArtefactError: if ``folder`` is in use for something else or cannot be written.
    """
    place = target(folder)
    temporary = new_beside(place)
    held = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY)
    try:
        alone(held)  # so that no other command takes it for left over
        entries = _fill(temporary, models, facts, reference, seed)
        if signer is not None:
            _sign(temporary, signer)
        temporary.chmod(0o755)
        move(temporary, place)
    except OSError as error:
        raise ArtefactError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        os.close(held)
        shutil.rmtree(temporary, ignore_errors=True)
    parities = [parity for _, parity in models]
    exported = tuple(ExportedModel(file=entry, parity=parity) for entry, parity in zip(entries, parities, strict=True))
    return Artefact(folder, overall(parities), exported, _word(parities))


def require_writable(folder: Path) -> None:
    """Check that an artefact folder can be written there, before work is done for it.

    Raises:
        ArtefactError: if ``folder`` is in use for something else or cannot be written.
    """
    new_beside(target(folder)).rmdir()


def overall(judged: Sequence[Parity | Check]) -> Verdict:
    """The worst of several: failed, undecided, not_run, passed; without any, not_run."""
    verdicts = {each.verdict for each in judged} or {"not_run"}
    order: tuple[Verdict, ...] = ("failed", "undecided", "not_run", "passed")
    return next(verdict for verdict in order if verdict in verdicts)


def _word(parities: Sequence[Parity]) -> str:
    """The worst verdict in its word: all files are equal within rounding, or it is the plain verdict."""
    words = {getattr(parity, "word", parity.verdict) for parity in parities}
    return words.pop() if len(words) == 1 else overall(parities)


def _fill(
    folder: Path,
    models: Sequence[tuple[ExportedFile, Parity]],
    facts: Facts,
    reference: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    seed: int,
) -> list[ModelFile]:
    """Write every file, the manifest last; the files that compute the net."""
    entries, parities = [_copy_model(folder, exported) for exported, _ in models], [parity for _, parity in models]
    verdict = overall(parities)
    listed = tuple(FileParity(path=entry.path, parity=parity) for entry, parity in zip(entries, parities, strict=True))
    write_json(folder / "parity.json", ParityFile(verdict=verdict, files=listed))
    golden = _write_golden(folder, facts.input_shape, reference, seed, {entry.precision for entry in entries})
    answers = facts.answers.write(folder) if facts.answers is not None else None
    manifest = _manifest(facts, verdict, entries, golden)
    manifest = replace(manifest, answers=answers, word=_word(parities), quick=facts.quick or None)
    support = ["README.md", "example.py", "labels.txt", "golden.npz", "parity.json", *([] if answers is None else [answers.path])]
    if facts.ranges is not None:
        write_json(folder / RANGES, facts.ranges)
        support.append(RANGES)
    if facts.acceptance is not None:
        facts.acceptance[0].write(folder / ACCEPTANCE)
        manifest = replace(manifest, acceptance=facts.acceptance[1])
        support.append(facts.acceptance[1].path)
    support += _write_programs(folder, manifest)
    write_text(folder / "README.md", readme(manifest, parities, facts.ranges, facts.extras))
    write_json(folder / SBOM, sbom(manifest, facts.ancestors))
    support += [SBOM, *write_beside(folder, manifest, facts.extras)]
    plain = replace(manifest, support_files=tuple(_identity(folder, name) for name in support)).as_json()
    failed = [f"{each.path}: {each.parity.reason}" for each in listed if each.parity.verdict == "failed"]
    if failed:
        write_text(folder / REJECTED, "\n".join(failed) + "\n")
    write_json(folder / MANIFEST, {**plain, "sha256": sha256_json(plain)})
    return entries


def _write_programs(folder: Path, manifest: Manifest) -> list[str]:
    """Write what asks the net elsewhere; the programs that not every artefact has."""
    own = package_files("edgenas.deploy")
    write_text(folder / "example.py", own.joinpath("_example.py").read_text(encoding="utf-8"))
    write_text(folder / "labels.txt", "".join(f"{one_line(name)}\n" for name in manifest.classes))
    written = []
    program = example_cpp(manifest)
    if program is not None:
        write_text(folder / "example.cpp", program)
        written.append("example.cpp")
    if any(file.kind == "onnx" for file in manifest.files):
        write_text(folder / BUILD_ENGINE, own.joinpath("_build_engine.py").read_text(encoding="utf-8"))
        written.append(BUILD_ENGINE)
    return written


def _sign(folder: Path, signer: Signer) -> None:
    """Write the signature of the manifest beside it; its comment says of what it is."""
    data = (folder / MANIFEST).read_bytes()
    comment = f"file:{MANIFEST} sha256:{hashlib.sha256(data).hexdigest()} by:edgenas {__version__}"
    write_text(folder / SIGNATURE, signer.sign(data, comment))


def _manifest(facts: Facts, verdict: Verdict, entries: Sequence[ModelFile], golden: GoldenFacts) -> Manifest:
    status = {"failed": "rejected", "passed": "accepted"}.get(verdict, "unproven")
    return Manifest(
        created_by=f"edgenas {__version__}",
        status=status,
        verdict=verdict,
        input=InputFacts(shape=(None, *facts.input_shape)),
        output=OutputFacts(shape=(None, len(facts.classes))),
        preprocessing=facts.preprocessing,
        classes=facts.classes,
        positive=facts.positive,
        threshold=facts.threshold,
        architecture=facts.architecture if facts.architecture else NO_NET,
        weights=facts.weights if facts.weights else NO_WEIGHTS,
        data=facts.data if facts.data else NO_DATA,
        metrics=facts.metrics if facts.metrics else NO_METRICS,
        latency=facts.latency if facts.latency else None,
        versions=facts.versions,
        golden=golden,
        files=tuple(entries),
        support_files=(),
        decision=facts.decision if facts.decision is not None else _rule(facts),
        gates=facts.gates,
        net=facts.net,
        repair=facts.repair,
        created_on=datetime.now(tz=UTC).date().isoformat(),
    )


def _rule(facts: Facts) -> DecisionRule:
    """The rule that ``positive`` and ``threshold`` make."""
    if facts.positive is None or facts.threshold is None:
        return DecisionRule(rule="argmax", positive=facts.positive)
    return DecisionRule(rule="threshold", positive=facts.positive, threshold=facts.threshold)


def _copy_model(folder: Path, exported: ExportedFile) -> ModelFile:
    emulation = None
    if exported.emulation is not None:
        if not (folder / exported.emulation.name).exists():
            shutil.copyfile(exported.emulation, folder / exported.emulation.name)
        emulation = _identity(folder, exported.emulation.name)
    if (folder / exported.path.name).exists():
        raise ValueError(f"two exported files are called {exported.path.name}")
    shutil.copyfile(exported.path, folder / exported.path.name)
    for part in exported.parts:
        if (folder / part.name).exists():
            raise ValueError(f"two exported files are called {part.name}")
        shutil.copyfile(part, folder / part.name)
    identity = _identity(folder, exported.path.name)
    return ModelFile(
        path=identity.path,
        kind=exported.kind,
        runtime=exported.runtime,
        precision=exported.precision,
        batch_size=exported.batch_size,
        targets=tuple(exported.targets),
        size_bytes=identity.size_bytes,
        sha256=identity.sha256,
        emulation=emulation,
        notes=dict(exported.notes),
        parts=tuple(_identity(folder, part.name) for part in exported.parts) or None,
    )


def _identity(folder: Path, name: str) -> FileIdentity:
    path = folder / name
    return FileIdentity(path=name, size_bytes=path.stat().st_size, sha256=sha256_file(path))


def _write_golden(
    folder: Path,
    input_shape: tuple[int, int, int],
    reference: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    seed: int,
    precisions: AbstractSet[Precision],
) -> GoldenFacts:
    """Seeded noise in the value range of normalised images, and the outputs that it must give."""
    channels, height, width = input_shape
    rng = np.random.default_rng(seed)
    cells = rng.standard_normal((_NUM_GOLDEN, channels, -(-height // _CELL_PX), -(-width // _CELL_PX))).astype(np.float32)
    images_NCHW = cells.repeat(_CELL_PX, axis=2).repeat(_CELL_PX, axis=3)[:, :, :height, :width]
    images_NCHW = np.ascontiguousarray(images_NCHW)
    logits_NC = np.asarray(reference(images_NCHW), dtype=np.float32)
    np.savez_compressed(folder / "golden.npz", images=images_NCHW, logits=logits_NC)
    allowed: dict[str, float] = {name: limit for name, limit in _MAX_ERROR.items() if name in _ALWAYS or name in precisions}
    return GoldenFacts(path="golden.npz", seed=seed, num_samples=_NUM_GOLDEN, max_error=allowed)
