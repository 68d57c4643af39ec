"""ExecuTorch's machine code alone: without its compiler, and without what it writes to the terminal past Python's settings."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from types import ModuleType

_LOG_LINE = re.compile(r"^\[\w+\.(?:cpp|h):\d+\] ?")
_STDERR = 2
_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def log_kept() -> Iterator[list[str]]:
    """Keep log lines of machine code off the terminal for a moment; they are in the list at the end, without their place.

    Whatever else is written to standard error meanwhile, by any thread, is written there afterwards. Bindings may send a line
    piecewise to ``sys.stderr``, where a progress bar would draw itself between the pieces: they go past it.
    """
    said: list[str] = []
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as kept:
        sys.stderr.flush()
        before = os.dup(_STDERR)
        os.dup2(kept.fileno(), _STDERR)
        try:
            with os.fdopen(os.dup(_STDERR), "w", encoding="utf-8", errors="replace") as plain, redirect_stderr(plain):
                yield said
        finally:
            os.dup2(before, _STDERR)
            os.close(before)
            kept.seek(0)
            for line in kept.read().decode("utf-8", "replace").splitlines(keepends=True):
                if _LOG_LINE.match(line):
                    said.append(_LOG_LINE.sub("", line).strip())
                else:
                    os.write(_STDERR, line.encode("utf-8", "replace"))


@contextmanager
def quiet(*names: str, only: str = "") -> Iterator[None]:
    """Ignore warnings and mute loggers by name; their errors are raised all the same.

    Args:
        names: of the loggers.
        only: pattern of the modules whose warnings are ignored; of all where it is empty.
    """
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=only)
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def compiler_left_out() -> Iterator[None]:
    """Import ExecuTorch's bindings without `executorch.exir`, of which they want one class of warnings.

    That package is the compiler, and takes four times as long as all that runs a file. A bare package stands in for it meanwhile:
    its modules are found in it, one by one.
    """
    import executorch  # type: ignore[import-untyped, unused-ignore]

    name = "executorch.exir"
    if name in sys.modules:
        yield
        return
    bare = sys.modules[name] = ModuleType(name)
    bare.__path__ = [str(Path(folder) / "exir") for folder in executorch.__path__]
    try:
        yield
    finally:
        for module in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
            del sys.modules[module]
