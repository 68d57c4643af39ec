"""Ray as far as one answer is asked of it, which may be that the process was lost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class LostError(Exception):
    """As Ray's `RayError`: a process did not answer."""


class TaskError(LostError):
    """As Ray's `RayTaskError`: what ran in the process raised."""


def ray_that_gives(answer: Any) -> Any:
    """What is asked of Ray about one task."""

    def get(each: object) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return SimpleNamespace(get=get, exceptions=SimpleNamespace(RayError=LostError, RayTaskError=TaskError))
