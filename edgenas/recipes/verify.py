"""`edgenas verify`: is an artefact folder what its manifest says?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgenas.config import Flags
from edgenas.deploy.artefact import load_manifest, overall, verify_files
from edgenas.errors import EdgeNASError, GateError
from edgenas.recipes.background import watched
from edgenas.recipes.parity import repeat_parity
from edgenas.records import Check, VerifyResult
from edgenas.runs import Note, Outcome, Record


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
    if config.data is not None:
        repeated = repeat_parity(config.run, config.overrides, config.folder, manifest, config.data)
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
