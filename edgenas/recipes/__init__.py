"""One file a command: a frozen config and ``run(config)``, which yields progress, notes and an outcome. Only here layers meet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgenas.renamed import forward

if TYPE_CHECKING:
    from edgenas.config import Flags
    from edgenas.project.early import Need


__getattr__ = forward(__name__, {"initial": "edgenas.training.initial"})


def require_ready(
    run: Path,
    flags: Flags,
    overrides: Sequence[str],
    need: Need | None = None,
    *,
    formats: Sequence[str] = (),
    precisions: Sequence[str] = (),
) -> None:
    """As `project.early.require_ready`: what the command line asks before it imports a recipe that imports PyTorch."""
    from edgenas.project import early

    early.require_ready(run, flags, overrides, need, formats=formats, precisions=precisions)


def require_runnable(run: Path, flags: Flags, overrides: Sequence[str], formats: Sequence[str]) -> None:
    """As `project.running.asking.require_sense`, likewise."""
    from edgenas.project.running import asking
    from edgenas.runs import RunFolder

    asking.require_sense(RunFolder(run), flags, overrides, formats)
