"""Everything edgenas raises on purpose. The CLI prints one line and exits with the class's status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class EdgeNASError(Exception):
    """What a user can cause: files, flags, devices, limits.

    Args:
        message: the fact with its values.
        problems: every single problem, when there is more than one to name.
        hint: what to do, if possible a command.
        result: what was found out before the failure; goes into ``--json`` as ``result``.
    """

    exit_code = 1
    status = "error"

    def __init__(
        self,
        message: str,
        *,
        problems: Sequence[str] = (),
        hint: str = "",
        result: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)
        self.hint = hint
        self.result: dict[str, Any] = dict(result) if result is not None else {}

    def __str__(self) -> str:
        parts = [self.message]
        if self.problems:
            parts.append("; ".join(self.problems))
        if self.hint:
            parts.append(self.hint)
        return ". ".join(part.rstrip(".") for part in parts)


class UsageError(EdgeNASError):
    """A flag or a combination of flags that cannot be meant."""

    exit_code = 2
    status = "usage"


class ConfigError(EdgeNASError):
    """`edgenas.toml` or a `--set` override is wrong."""


class PluginError(EdgeNASError):
    """What an installed package brings through an entry point cannot be used."""


class DataError(EdgeNASError):
    """The images, labels or splits cannot be used as they are."""


class ArchError(EdgeNASError):
    """An architecture is not in its search space."""


class CostError(EdgeNASError):
    """A cost model and the net built from an architecture do not agree."""


class MissingInputError(EdgeNASError):
    """A stage needs what an earlier command makes."""


class RunFolderError(EdgeNASError):
    """A run folder cannot be read, written or locked."""


class CheckpointError(EdgeNASError):
    """A checkpoint is damaged or belongs to another net."""


class LatencyTableError(EdgeNASError):
    """A latency table is damaged, incomplete or of another device, runtime, precision or batch size."""


class ExportError(EdgeNASError):
    """A model could not be written in a format."""


class BatchError(ExportError):
    """A model could not be written for any number of images a call; for one number it can be."""


class ArtefactError(EdgeNASError):
    """An exported folder is not what its manifest says."""


class StoppedError(ArtefactError):
    """A model took all the time or memory that one is given."""


class InfeasibleError(EdgeNASError):
    """No architecture meets the limits."""

    exit_code = 3
    status = "infeasible"


class GateError(EdgeNASError):
    """A parity or sensitivity gate failed or is undecided."""

    exit_code = 4
    status = "gate_failed"


class ParityError(GateError):
    """An exported model does not answer as its source does."""


class PrecisionError(GateError):
    """A file does not compute in the precision that was asked for."""


class MissingBackendError(EdgeNASError):
    """A device, a runtime or an optional package is missing."""

    exit_code = 5
    status = "missing_backend"


class RankError(EdgeNASError):
    """Another process of the same training is gone, or does other work; the state is saved."""


class InterruptedRunError(EdgeNASError):
    """The user stopped the command; its state is saved."""

    exit_code = 130
    status = "interrupted"
