"""`edgenas profile --device ssh://…`: a kit that is packed, sent, measured and brought back by one command."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from edgenas.errors import LatencyTableError, MissingBackendError
from edgenas.latency.kit import Request
from edgenas.project.devices import EVERY_S, MODULES, PROGRESS, RESULTS, There, require_onnxruntime, unusable
from edgenas.project.opening import Project, open_images
from edgenas.recipes.kit import packed, request_of
from edgenas.remote import PYTHON, Address, Device, DeviceFacts, Job, clear, run_job
from edgenas.runs import Note, Record, locked, quietly

TRTEXEC = ("trtexec", "/usr/src/tensorrt/bin/trtexec")


def run_remote(project: Project, there: There, imported: Callable[[Path], Iterator[Record]]) -> Iterator[Record]:
    """Ask the device what it has, pack a kit for it, let it measure, and make the table.

    Args:
        project: whose nets and settings.
        there: which device.
        imported: makes the answer of the file of results; it holds the run folder by itself.

    Raises:
        UnreachableError: if the device cannot be reached.
        MissingBackendError: if it lacks what the kit needs, with the line that brings it.
        RemoteError: if it cannot do the work.
        LatencyTableError: if its results cannot be used.
    """
    address, images = there.address, open_images(project)
    with Device(address) as device, tempfile.TemporaryDirectory(prefix="edgenas-") as name:
        scratch = Path(name)
        tools = TRTEXEC if address.trtexec is None else (address.trtexec,)
        facts = yield from device.facts(MODULES, {"trtexec": tools})
        request = request_of(project, images.task, has_trtexec=_trtexec(facts) is not None)
        _require(address, facts, request)
        yield Note(f"{address}: {facts.system} on {facts.machine}, Python {facts.python}, {_tool(facts, request)}")
        with locked(project.run):
            yield from packed(project, request, scratch / "kit.zip")
            job = kit_job(scratch, facts, request)
            results = yield from run_job(device, job, scratch)
        try:
            outcome: Record = yield from quietly(imported(results[RESULTS]))
        except LatencyTableError as error:
            yield from clear(device, job, keep=True)  # else the same results would come back for ever
            raise unusable(address, results[RESULTS], error) from error
        yield from clear(device, job, keep=there.keep)
        yield outcome


def kit_job(folder: Path, facts: DeviceFacts, request: Request) -> Job:
    """The job that an unpacked ``kit.zip`` of a folder is."""
    with zipfile.ZipFile(folder / "kit.zip") as archive:
        names = archive.namelist()
        archive.extractall(folder / "kit")
    trtexec = ("--trtexec", str(_trtexec(facts))) if request.runtime == "tensorrt" else ()
    return Job(
        files={name: folder / "kit" / name for name in names},
        command=(PYTHON, "measure.py", "--output", RESULTS, "--every", EVERY_S, *trtexec),
        results=(RESULTS,),
        others=(PROGRESS,),
    )


def _trtexec(facts: DeviceFacts) -> str | None:
    """Where the device has TensorRT's program; None where it has none."""
    return facts.programs["trtexec"]


def _tool(facts: DeviceFacts, request: Request) -> str:
    """What measures there."""
    if request.runtime == "tensorrt":
        return f"measured with {_trtexec(facts)}"
    return f"measured with ONNX Runtime {facts.modules['onnxruntime']}"


def _require(address: Address, facts: DeviceFacts, request: Request) -> None:
    """Refuse a device without what the kit needs."""
    if request.runtime == "tensorrt":
        if _trtexec(facts) is None:
            where = address.trtexec or " or ".join(TRTEXEC)
            hint = "it comes with JetPack and with TensorRT's packages; name it: ?trtexec=/usr/src/tensorrt/bin/trtexec"
            raise MissingBackendError(f"{address} has no {where}", hint=hint)
        return
    require_onnxruntime(address, facts)
