"""Which of several processes of one command this is, as `torchrun` or SLURM's `srun` say; needs no PyTorch."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from edgenas.errors import UsageError
from edgenas.portable.quota import usable_threads

_NAMES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")  # that make a process one of several
_WORD = "edgenas/why"
_PORT = 29500  # torchrun's default


@dataclass(frozen=True, slots=True)
class Place:
    """A process among those that work together.

    Attributes:
        rank: 0 is the one that writes files and talks.
        size: processes together.
        local_rank: among those of one machine.
        host, port: where the first one listens.
    """

    rank: int
    size: int
    local_rank: int
    host: str
    port: int


def place_of(environment: Mapping[str, str] = os.environ) -> Place | None:
    """This process's place; None where it is alone.

    ``torchrun`` sets ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT``; without these a step of
    ``srun`` with several tasks is taken, whose first machine is where they meet.

    Raises:
        UsageError: if one of these is missing or no number.
    """
    if "WORLD_SIZE" in environment:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        host, port = environment.get("MASTER_ADDR", ""), environment.get("MASTER_PORT", "")
    elif int_of(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
        host = environment.get("MASTER_ADDR", first_host(environment.get("SLURM_STEP_NODELIST", "")))
        port = environment.get("MASTER_PORT", str(_PORT + int_of(environment.get("SLURM_JOB_ID", "0")) % 1000))
    else:
        return None
    rank, size, local_rank = (int_of(environment.get(name, "")) for name in names)
    problems = [f"{name} is {environment.get(name)!r}" for name in names if int_of(environment.get(name, "")) < 0]
    problems += [] if host else ["MASTER_ADDR is not set"]
    problems += [] if int_of(port) >= 0 else [f"MASTER_PORT is {port!r}"]
    if size == 1 and rank == 0:
        return None
    if problems or not 0 <= rank < size:
        hint = "start all processes with torchrun, or with srun; one process alone needs none of these variables"
        raise UsageError("this is not a place among several processes", problems=problems or [f"rank {rank} of {size}"], hint=hint)
    return Place(rank, size, local_rank, host, int_of(port))


def require_alone(command: str, hint: str) -> None:
    """Check that a command which trains in one process was not started in several.

    Raises:
        UsageError: if it was, with the hint.
    """
    if place_of() is not None:
        raise UsageError(f"`edgenas {command}` is for one process", hint=hint)


def leave_others(environment: MutableMapping[str, str] = os.environ) -> None:
    """Be one process from now on: nobody waits for the others, which have ended, and processes started from here are no ranks."""
    for name in _NAMES:
        environment.pop(name, None)


def processes_here(environment: Mapping[str, str] = os.environ) -> int:
    """Processes of one command that share this machine's CPUs; with ``srun`` each has CPUs of its own, which it is bound to."""
    return max(1, int_of(environment.get("LOCAL_WORLD_SIZE", "1"))) if "WORLD_SIZE" in environment else 1


def threads_here() -> int:
    """Threads that this process can run at once, by affinity and quota: its share where several of one command are here."""
    return max(1, usable_threads() // processes_here())


def int_of(text: str) -> int:
    """A number that is not negative; -1 for anything else."""
    return int(text) if text.isdecimal() else -1


def first_host(nodes: str) -> str:
    """The first machine of SLURM's list, e.g. ``gpu03`` of ``gpu[03-05,09],cpu1``."""
    match = re.match(r"([^\[,]*)(?:\[(\d+))?", nodes)
    return "" if match is None else match[1] + (match[2] or "")


class Word:
    """What one process leaves for the others, who may read it when it is gone.

    Attributes:
        store: of keys, where all can reach it, as PyTorch's processes have one; None where this process is alone.
    """

    def __init__(self) -> None:
        self.store: Any = None

    def say(self, why: str) -> None:
        """Leave word of why this process ends; nothing where that cannot be."""
        if self.store is not None:
            with suppress(RuntimeError, ValueError):  # the store may be gone with another process
                self.store.set(_WORD, why)

    def was_said(self) -> bool:
        """Whether a process has said why it ends."""
        if self.store is not None:
            with suppress(RuntimeError, ValueError):
                return bool(self.store.check([_WORD]))
        return False


word = Word()
