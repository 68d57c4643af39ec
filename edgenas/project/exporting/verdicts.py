"""How an export ends: the error that its gates make of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgenas.errors import EdgeNASError, GateError, ParityError
from edgenas.records import Parity


def failure_of(parities: Sequence[Parity], folder: Path, *, require_run: bool) -> EdgeNASError | None:
    """The error that makes the command exit 4, if a gate failed, is undecided, or did not run though it had to."""
    for verdict, hint in (("failed", f"{folder} is marked rejected"), ("undecided", "more test images would decide it")):
        for parity in parities:
            if parity.verdict != verdict:
                continue
            try:
                parity.require()
            except ParityError as error:
                return ParityError(error.message, problems=error.problems, hint=hint)
    for parity in parities:
        if parity.verdict == "not_run" and require_run:
            return GateError(f"parity did not run, and --require-run was given: {parity.reason}")
    return None


def joined(failures: Sequence[tuple[str, EdgeNASError]]) -> EdgeNASError | None:
    """One error of several artefacts' by name: the only one as it is, after its name if it has one; of more, all of them.

    A failed gate among several decides the exit status.
    """
    if not failures:
        return None
    if len(failures) == 1:
        name, error = failures[0]
        said = f"{name}: {error.message}" if name else error.message
        return type(error)(said, problems=error.problems, hint=error.hint, result=error.result)
    gates = [error for _, error in failures if isinstance(error, GateError)]
    kind = GateError if gates else type(failures[0][1])
    return kind(f"{len(failures)} artefacts are not as asked", problems=[f"{name}: {error}" for name, error in failures])
