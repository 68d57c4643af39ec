"""What was timed, kept, so that timing goes on after a kill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Memory(Protocol):
    """Keeps what was timed, so that timing goes on after a kill; a journal is one."""

    def recall(self, key: str) -> Any | None:
        """What was recorded under a key, None for nothing."""
        ...

    def record(self, key: str, value: Any) -> None:
        """Keep a JSON-ready value."""
        ...


@dataclass(frozen=True)
class PrefixedMemory:
    """A memory in which every key starts with ``prefix``."""

    memory: Memory
    prefix: str

    def recall(self, key: str) -> Any | None:
        """What was recorded under a key of this part, None for nothing."""
        return self.memory.recall(self.prefix + key)

    def record(self, key: str, value: Any) -> None:
        """Keep a JSON-ready value under a key of this part."""
        self.memory.record(self.prefix + key, value)


class Forgetful:
    """A memory that keeps nothing."""

    def recall(self, key: str) -> Any | None:
        """Nothing was recorded."""
        return None

    def record(self, key: str, value: Any) -> None:
        """Forget it."""


def remembered(memory: Memory, key: str, find: Callable[[], Any]) -> Any:
    """What a memory holds under a key, else what is found now and kept there unless it is None."""
    value = memory.recall(key)
    if value is None:
        value = find()
        if value is not None:
            memory.record(key, value)
    return value
