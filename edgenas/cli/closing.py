"""What is said below a result: what it is worth, and which command comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgenas.cli.speaking import note

if TYPE_CHECKING:
    from edgenas.runs import Outcome, RunFolder

OUTDATED = ("outdated", "unusable")  # states of stages
LOOKED_AT = ("info", "run")  # commands after which the folder alone says what is missing


def say_rest(command: str, outcome: Outcome[Any], run: RunFolder | None, doubt: str | None) -> None:
    """Say it on stderr; nothing of a next command where this one failed, or packed a kit that has to travel first."""
    from edgenas.runs.stages import ORDER, next_command

    if doubt is not None:
        note(doubt)
    if run is None or outcome.failure is not None or "kit" in outcome.outputs or command not in (*ORDER, *LOOKED_AT):
        return
    artefact = outcome.outputs.get("artifact") if command == "export" else None
    following = _first_outdated(outcome) if command == "info" else None
    if following is None:
        following = next_command(run, None if command in LOOKED_AT else command, artefact)
    if following is not None:
        note(f"next: {following}")


def _first_outdated(outcome: Outcome[Any]) -> str | None:
    """The command of the first stage that `info` found outdated; None where there is none, or one before it is missing."""
    for stage in outcome.result.stages:
        if stage.state in OUTDATED and stage.name != "report":
            command: str = stage.command
            return command
        if stage.state == "missing" and stage.name != "teacher":
            break
    return None
