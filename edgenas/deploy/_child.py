"""The process that runs a stranger's model: it checks a file of an artefact folder, or asks it about images."""

from __future__ import annotations

import json
import math
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from edgenas.deploy._apart import MAX_BYTES
from edgenas.deploy._verify import live_checks
from edgenas.deploy.layers import first_not_finite
from edgenas.deploy.plugins import get_runtime
from edgenas.errors import EdgeNASError, MissingBackendError
from edgenas.records import Check, ModelAnswer, ModelQuestion, Precision


def _limit_memory(max_bytes: int) -> None:
    """No more memory than that for this process, where the system can."""
    import resource

    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (max_bytes, max_bytes))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(arguments: list[str]) -> None:
    """Do one task, and write what comes of it to a descriptor."""
    descriptor, task, *rest, where = arguments
    import onnx  # noqa: F401 - before the clock starts

    with suppress(ImportError):
        import onnxruntime  # type: ignore[import-untyped, unused-ignore] # noqa: F401 - as above
    if task == "checks":
        _import_packages(rest[3], "import_packages", "import_readers")
    else:
        _import_packages(rest[1], "import_packages")
    with os.fdopen(int(descriptor), "wb") as said:
        said.write(b"ready\n")
        said.flush()
        if where == "cpu":
            _limit_memory(MAX_BYTES)
        if task == "checks":
            said.write(_checks(*rest[:3]))
        else:
            _answer(said, Path(rest[0]), rest[1], cast(Precision, rest[2]))


def _import_packages(runtime: str, *names: str) -> None:
    """What a runtime is slow to import, before the clock starts; what is missing is said when it is asked for."""
    for name in names:
        with suppress(EdgeNASError):
            slow = getattr(get_runtime(runtime), name, None)
            if slow is not None:
                slow()


def _checks(folder: str, number: str, part: str) -> bytes:
    """What was found of one file."""
    try:
        checks = live_checks(Path(folder), int(number), is_emulation=part == "emulation")
    except Exception as error:  # noqa: BLE001 - whatever a model makes of a runtime is the model's
        checks = [Check("", "golden", "failed", _words(error))]
    return json.dumps([check.as_json() for check in checks]).encode()


def _answer(said: BinaryIO, path: Path, runtime: str, precision: Precision) -> None:
    """Answers to batches, and to who asks for the session's own words, until there are no more.

    ``layers`` in a runtime's place asks for the first that is not finite.
    """
    runner = None
    while line := sys.stdin.buffer.readline():
        asked = ModelQuestion.from_json(json.loads(line))
        shape = (0,) if asked.shape is None else asked.shape
        images_NCHW = np.frombuffer(sys.stdin.buffer.read(4 * math.prod(shape)), dtype="<f4").reshape(shape)
        values = b""
        try:
            if runtime == "layers":
                answer = ModelAnswer(layer=first_not_finite(path, images_NCHW))
            else:
                runner = get_runtime(runtime).load(path, precision=precision) if runner is None else runner
                if asked.info:
                    answer = ModelAnswer(info=runner.info)
                else:
                    logits = np.asarray(runner(np.ascontiguousarray(images_NCHW)), dtype="<f4")
                    answer, values = ModelAnswer(shape=logits.shape), logits.tobytes()
        except MissingBackendError as error:
            answer = ModelAnswer(missing=str(error))
        except Exception as error:  # noqa: BLE001 - as above
            answer = ModelAnswer(error=_words(error))
        said.write(json.dumps(answer.as_json()).encode() + b"\n" + values)
        said.flush()


def _words(error: Exception) -> str:
    kind = "" if isinstance(error, EdgeNASError) else f"{type(error).__name__} "
    return f"it does not run: {kind}{' '.join(str(error).split())[:200]}"


if __name__ == "__main__":
    main(sys.argv[1:])
