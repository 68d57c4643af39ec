"""What files of weights and training states say of themselves, read without their tensors and without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from edgenas.runs.outside import MAX_WEIGHTS_BYTES, OutsideError, parse_json, require_regular

HEADER = "edgenas"  # key of the file's metadata that holds the JSON
TIMM = "timm:"  # before the name of one of timm's models, where a file could stand


def is_file(source: str) -> bool:
    """Whether a source means a file or a run folder, not one of timm's models."""
    return not source.startswith(TIMM)


def facts_in(path: Path) -> dict[str, Any]:
    """The facts that a file of weights or a training state tells of itself, without reading its tensors; none if it cannot.

    Nothing is checked: whoever goes on to use the file reads it with `load_weights` or `load_state`.
    """
    facts = header_in(path).get("facts")
    return facts if isinstance(facts, dict) else {}


def header_in(path: Path) -> dict[str, Any]:
    """Everything that a file tells beside its tensors, unchecked; empty if it cannot be read."""
    try:
        require_regular(path, MAX_WEIGHTS_BYTES)  # opening a pipe would wait for ever
        with safe_open(path, framework="np") as file:
            header = parse_json((file.metadata() or {}).get(HEADER, "null"))
    except (OSError, OutsideError, SafetensorError, ValueError, RecursionError):
        return {}
    return header if isinstance(header, dict) else {}
