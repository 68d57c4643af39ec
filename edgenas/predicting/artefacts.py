"""Which artefact folder answers for a run, and which of its files can run on this machine."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from edgenas.deploy._asking import ApartRunner
from edgenas.deploy.artefact import load_manifest
from edgenas.deploy.contracts import Precision, Runner
from edgenas.deploy.plugins import get_runtime
from edgenas.errors import ArtefactError, EdgeNASError, MissingBackendError, MissingInputError, PluginError, UsageError
from edgenas.records import FileIdentity, Manifest, ModelFile
from edgenas.runs import RunFolder, sha256_file
from edgenas.runs.outside import MAX_MODEL_BYTES, OutsideError, require_regular
from edgenas.runs.stages import typed

MANIFEST = "manifest.json"
OWN = (None, "searched", "baseline")  # nets of a run that are no rivals; None in manifests of before
WEIGHTS = "weights.safetensors"
EMULATION_RUNTIME = "onnxruntime-cpu"
_RANKS = {"accepted": 0, "unproven": 1}


@dataclass(frozen=True, slots=True)
class FoundArtefact:
    """An artefact folder with its manifest, and what is to be said of taking it."""

    folder: Path
    manifest: Manifest
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file of an artefact that runs here.

    Attributes:
        path: in the folder.
        batch_size: images a call; None for any number.
        warnings: where it is not the file that was meant to be deployed.
    """

    path: str
    runner: Runner
    batch_size: int | None
    warnings: tuple[str, ...] = ()


def find_artefact(folder: Path, net: str | None = None) -> FoundArtefact:
    """The artefact in a folder: the folder itself, or the newest of a run's, accepted ones before those with an open gate.

    Args:
        folder: of an artefact, or of a run.
        net: ``searched``, ``baseline`` or a rival's name; None takes a net of the run's own, whichever.

    Raises:
        ArtefactError: if the folder's own manifest cannot be used.
        MissingInputError: if there is none, naming the command that makes it and what was passed over.
    """
    if (folder / MANIFEST).exists():
        found = FoundArtefact(folder, load_manifest(folder))
        rejected = f"{folder} was rejected by its gates when it was exported; do not rely on it" if _is_rejected(found) else ""
        return FoundArtefact(folder, found.manifest, (rejected,) if rejected else ())
    run, passed_over, others = RunFolder(folder), [], []
    candidates: list[tuple[int, float, FoundArtefact]] = []
    for path in sorted(run.export.glob(f"*/{MANIFEST}")):
        try:
            found = FoundArtefact(path.parent, load_manifest(path.parent))
        except ArtefactError as error:
            passed_over.append(error.message)
            continue
        if found.manifest.net not in (OWN if net is None else (net,)):
            others += [] if _is_rejected(found) else [str(found.manifest.net)]
            passed_over.append(f"{path.parent} is of {found.manifest.net}")
        elif _is_rejected(found):
            passed_over.append(f"{path.parent} was rejected by its gates")
        else:
            candidates.append((_RANKS[found.manifest.status], -path.stat().st_mtime, found))
    if not candidates:
        what = "no artefact" if net is None else f"no artefact of {net}"
        raise MissingInputError(
            f"{run.export} holds {what} that can be used",
            problems=passed_over,
            hint=_instead(run, net, others),
        )
    found = min(candidates, key=lambda each: each[:2])[2]
    return FoundArtefact(found.folder, found.manifest, _outdated(run, found))


def _instead(run: RunFolder, net: str | None, others: list[str]) -> str:
    """What to do where no net that was asked for is exported: export it, or ask for one of the others that are."""
    there = f", ask for the one that is there by `--net {shlex.quote(others[0])}`" if others else ""
    makes = typed(run, "export" if net is None else f"export --net {shlex.quote(net)}")
    return f"run `{makes}`{there}, or name an artefact folder"


def _is_rejected(found: FoundArtefact) -> bool:
    return found.manifest.status == "rejected"


def _outdated(run: RunFolder, found: FoundArtefact) -> tuple[str, ...]:
    """That the run has been trained further since, where it has."""
    if found.manifest.net not in OWN or not (run.retrain / WEIGHTS).is_file():
        return ()
    now = (run.retrain / WEIGHTS, run.retrain / "baseline" / WEIGHTS, run.supernet / WEIGHTS)
    if found.manifest.weights.sha256 in {sha256_file(path) for path in now if path.is_file()}:
        return ()
    return (f"{found.folder} is of earlier weights than {run.retrain} holds; `edgenas export` writes those",)


def load_model(found: FoundArtefact, *, batch_size: int = 1, spinning: bool = False) -> Loaded:
    """The first file of an artefact that runs here: engines, then ONNX in float32, those for so many images a call before others.

    What an engine's emulation computes stands in for it where nothing else runs.

    Args:
        found: whose files these are.
        batch_size: images that are asked about at once; 1 takes the file whose latency was measured.
        spinning: whether idle threads of a CPU wait busily.

    Raises:
        ArtefactError: if a file is not the one that was exported, or cannot be loaded.
        MissingBackendError: if no file can run here, naming what each needs.
    """
    wanted = 1 if batch_size == 1 else None
    files = sorted(found.manifest.files, key=lambda f: (f.kind != "engine", f.precision != "fp32", f.batch_size != wanted))
    reasons: list[str] = []
    for file in files:
        try:
            runner = _load(found.folder, file, file.runtime, file.precision, spinning=spinning)
        except (MissingBackendError, PluginError, UsageError) as error:
            reasons.append(f"{file.path}: {error.message}")
            continue
        except EdgeNASError as error:
            if file.kind != "engine":
                raise
            reasons.append(f"{file.path}: {error.message}")  # of another GPU or version
            continue
        return Loaded(file.path, runner, file.batch_size)
    for file in files:
        same = file.emulation
        if same is not None:
            runner = _load(found.folder, same, EMULATION_RUNTIME, "fp32", spinning=spinning)
            words = f"{file.path} cannot run here ({reasons[0]}); {same.path} answers in its place, rounded alike"
            return Loaded(same.path, runner, file.batch_size, (words,))
    raise MissingBackendError(f"no file of {found.folder} can run here", problems=reasons, hint="run `edgenas doctor`")


def _load(folder: Path, file: ModelFile | FileIdentity, runtime: str, precision: Precision, *, spinning: bool) -> Runner:
    path = folder / file.path
    parts = file.parts or () if isinstance(file, ModelFile) else ()
    for each in (file, *parts):
        _require_same(folder, each)
    found = get_runtime(runtime)
    if getattr(found, "runs_apart", False):
        return ApartRunner(path, runtime, precision)
    return found.load(path, precision=precision, spinning=spinning)


def _require_same(folder: Path, file: ModelFile | FileIdentity) -> None:
    """Refuse a file that is not the one that was exported."""
    path = folder / file.path
    try:
        require_regular(path, MAX_MODEL_BYTES)
        is_same = sha256_file(path) == file.sha256
    except (OutsideError, OSError) as error:
        raise ArtefactError(f"{path} {error}", hint=f"run `edgenas verify {folder}`") from error
    if not is_same:
        raise ArtefactError(f"{path} is not the file that was exported", hint=f"run `edgenas verify {folder}`")
