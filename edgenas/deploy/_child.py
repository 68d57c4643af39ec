"""The process that runs a stranger's model: it checks one file of an artefact folder and answers its parent in JSON."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from edgenas.deploy._apart import MAX_BYTES
from edgenas.deploy._verify import live_checks
from edgenas.records import Check


def _limit_memory(max_bytes: int) -> None:
    """No more memory than that for this process, where the system can."""
    import resource

    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (max_bytes, max_bytes))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(arguments: list[str]) -> None:
    """Check one file and write what was found to a descriptor."""
    descriptor, folder, number, part, where = arguments
    import onnx  # noqa: F401 - before the clock starts

    with suppress(ImportError):
        import onnxruntime  # type: ignore[import-untyped, unused-ignore] # noqa: F401 - as above
    with os.fdopen(int(descriptor), "w", encoding="utf-8") as answer:
        answer.write("ready\n")
        answer.flush()
        if where == "cpu":
            _limit_memory(MAX_BYTES)
        try:
            checks = live_checks(Path(folder), int(number), is_emulation=part == "emulation")
        except Exception as error:  # noqa: BLE001 - whatever a model makes of a runtime is the model's
            words = " ".join(str(error).split())[:200]
            checks = [Check("", "golden", "failed", f"it does not run: {type(error).__name__} {words}")]
        answer.write(json.dumps([check.as_json() for check in checks]))


if __name__ == "__main__":
    main(sys.argv[1:])
