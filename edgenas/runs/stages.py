"""The stages of a project in the order in which they are taken, what each leaves in the run folder, and which comes next."""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path

from edgenas.runs.folder import RunFolder
from edgenas.runs.outside import MAX_TOML_BYTES, OutsideError, parse_toml, read_regular
from edgenas.runs.verified import is_verified

ORDER = ("init", "profile", "plan", "train", "search", "retrain", "evaluate", "export", "report")
DEFAULT_RUN = Path("edgenas-run")
RESULT = "result.json"  # of a stage, in its folder
BENCH = "bench.json"  # of all artefacts of a run, in the folder of exports
WEIGHTS = "weights.safetensors"  # of a trained net, in its folder
UNFINISHED = "init-unfinished"  # beside the splits, until `init` has written the settings
ARTEFACTS = "*/manifest.json"  # below the folder of exports

_TYPED = {
    "init": "edgenas init --data SOURCE",
    "search": "edgenas search --latency-ms MS",
    "plan": "edgenas plan --latency-ms MS",
    "evaluate": "edgenas evaluate --split test",
    "export": "edgenas export --format onnx",
}
_LIMITED = ("plan", "search")  # stages that take limits, which the settings may hold
_REST_ON = {"plan": "profile", "evaluate": "retrain"}  # of stages that leave nothing, what they look at
_LEAVE_NOTHING = ("plan", "evaluate")
_NEEDED = ("init", "profile", "train")  # what plan and search rest on


def product(run: RunFolder, stage: str) -> Path | None:
    """The file that a stage leaves when it is done; None where it is not there, or the stage leaves none (plan, evaluate)."""
    if stage == "profile":
        return _newest(run.latency, "*.json")
    if stage == "export":
        return _newest(run.export, ARTEFACTS)
    files = {
        "init": run.splits,
        "train": run.supernet / WEIGHTS,
        "search": run.search / RESULT,
        "retrain": run.retrain / RESULT,
        "compare": run.compare / RESULT,
        "fidelity": run.fidelity / RESULT,
        "report": run.page,
    }
    path = files.get(stage)
    return path if path is not None and path.is_file() else None


def typed(run: RunFolder, stage: str) -> str:
    """The command that makes a stage, as it is typed; a run folder of another name than the usual is in it."""
    text = _TYPED.get(stage, f"edgenas {stage}")
    if stage in _LIMITED and _has_limits(run):
        text = f"edgenas {stage}"
    return text if run.path == DEFAULT_RUN else f"{text} --run {shlex.quote(str(run.path))}"


def divide_again(run: RunFolder, source: str | None) -> str:
    """The command that divides the images of a run folder again, as it is typed; without a source, with a word in its place."""
    text = f"edgenas init --data {'SOURCE' if source is None else shlex.quote(source)} --force"
    return text if run.path == DEFAULT_RUN else f"{text} --run {shlex.quote(str(run.path))}"


def next_command(run: RunFolder, after: str | None = None, artefact: Path | None = None) -> str | None:
    """What comes next in a run folder, as it is typed; None where every stage is done and its artefact verified.

    Args:
        run: is looked at.
        after: the stage that has just been taken; None asks what the folder lacks.
        artefact: that has just been written; None takes the newest in the run folder.
    """
    stage = _next_stage(run, after, artefact)
    if stage is not None:
        return typed(run, stage)
    manifest = product(run, "export")
    artefact = artefact if artefact is not None or manifest is None else manifest.parent
    return None if artefact is None or is_verified(run, artefact) else f"edgenas verify {shlex.quote(str(artefact))}"


def _next_stage(run: RunFolder, after: str | None, artefact: Path | None) -> str | None:
    """The first stage that is missing or older than what has just been made."""
    if after is None:
        return next((stage for stage in ORDER if stage not in _LEAVE_NOTHING and product(run, stage) is None), None)
    if after not in ORDER:
        return None
    place = ORDER.index(after)
    if place < ORDER.index("search"):
        for stage in _NEEDED:
            if ORDER.index(stage) < place and product(run, stage) is None:
                return stage
    made = product(run, _REST_ON.get(after, after))
    if made is None and after not in _LEAVE_NOTHING and artefact is None:
        return after  # a part of it was made, e.g. a teacher
    for stage in ORDER[place + 1 :]:
        there = product(run, stage)
        if stage in _LEAVE_NOTHING:
            if _leads_to_undone(run, stage, made):
                return stage
        elif there is None or (made is not None and there.stat().st_mtime_ns < made.stat().st_mtime_ns):
            return stage
    return None


def _leads_to_undone(run: RunFolder, stage: str, made: Path | None) -> bool:
    """Whether a stage that leaves nothing is worth taking: what it is taken for is not there yet, or older than what was made."""
    later = product(run, {"plan": "train", "evaluate": "export"}[stage])
    return later is None or (made is not None and later.stat().st_mtime_ns < made.stat().st_mtime_ns)


def _has_limits(run: RunFolder) -> bool:
    """Whether the settings of a run folder limit a cost; False where they cannot be read."""
    with suppress(OutsideError, ValueError):
        search = parse_toml(read_regular(run.config, MAX_TOML_BYTES)).get("search", {})
        return isinstance(search, dict) and any(
            name in search and search[name] not in ([], {})
            for name in ("limits", "latency_ms", "max_params", "max_macs", "max_memory_mb", "min_throughput")
        )
    return False


def _newest(folder: Path, pattern: str) -> Path | None:
    newest_last = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime_ns) if folder.is_dir() else []
    return newest_last[-1] if newest_last else None
