"""The run folder of a command that several processes run together: rank 0's is the user's, every other rank has a copy of its own.

On equal files all ranks decide alike, and nothing that another one writes is ever read half-written, on one machine or on many that
share no disk. The copies are of no use afterwards and are removed.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgenas.errors import UsageError
from edgenas.training.ranks import Ranks

_TRAINS = ("data", "latency", "supernet", "teacher")  # what training reads
RETRAINS = (*_TRAINS, "search/result.json", "retrain/tries")  # what `edgenas retrain` reads
_PREFIX = "edgenas-rank-"


def require_parts(batch_sizes: Mapping[str, int], ranks: Ranks) -> None:
    """Check before anything is trained that every rank gets two images of each batch at least, which batch norm needs.

    Args:
        batch_sizes: of all ranks together, by table of the settings.
        ranks: that divide them.

    Raises:
        UsageError: naming what has too small ones.
    """
    small = {name: size for name, size in batch_sizes.items() if size < 2 * ranks.size}
    if ranks.size > 1 and small:
        problems = [f"{name}.batch_size = {size} has fewer than two images for each" for name, size in small.items()]
        hint = "start fewer processes, or set a larger batch_size"
        raise UsageError(f"these batches cannot be divided among {ranks.size} processes", problems=problems, hint=hint)


@contextmanager
def own_folder(run: Path, ranks: Ranks, reads: Sequence[str] = _TRAINS) -> Iterator[Path]:
    """The folder in which this rank runs the command.

    Args:
        run: the user's, which only rank 0 needs to see.
        ranks: that run it.
        reads: files and folders within it that the command reads, beside its settings.
    """
    if ranks.size == 1:
        yield run
        return
    packed = ranks.first(_packed(run, reads) if ranks.rank == 0 else b"")
    if ranks.rank == 0:
        yield run
        return
    _sweep()
    copy = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    try:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(copy, filter="data")
        yield copy
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _packed(run: Path, reads: Sequence[str]) -> bytes:
    """Settings, splits, tables, weights and states of a run folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        files = [run / "edgenas.toml", *(path for name in reads for path in (run / name, *sorted((run / name).rglob("*"))))]
        for path in files:
            if path.is_file() and not path.name.startswith("."):
                archive.add(path, arcname=path.relative_to(run).as_posix())
    return buffer.getvalue()


def _sweep() -> None:
    """Remove copies of processes that were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        pid = path.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
            shutil.rmtree(path, ignore_errors=True)
