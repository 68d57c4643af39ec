"""What was timed, kept, so that timing goes on after a kill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class Memory(Protocol):
    """Keeps what was timed, so that timing goes on after a kill; a `runs.Journal` is one."""

    def recall(self, key: str) -> Any | None:
        """What was recorded under a key, None for nothing."""
        ...

    def record(self, key: str, value: Any) -> None:
        """Keep a JSON-ready value."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """A memory in which every key starts with ``prefix``."""

    memory: Memory
    prefix: str

    def recall(self, key: str) -> Any | None:
        """As `Memory.recall`."""
        return self.memory.recall(self.prefix + key)

    def record(self, key: str, value: Any) -> None:
        """As `Memory.record`."""
        self.memory.record(self.prefix + key, value)
