"""What ONNX files of an artefact say without being run: what they compute in, and what they tell of themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgenas.deploy.metadata import contradictions, metadata
from edgenas.graphs.emulated import emulated_share
from edgenas.graphs.shares import shares_of
from edgenas.percents import percent
from edgenas.records import Check, Manifest, ModelFile
from edgenas.runs.outside import MAX_MODEL_BYTES, OutsideError, read_regular

if TYPE_CHECKING:
    import onnx

SHARE_SLACK = 0.01  # of the multiply-accumulates: an emulation opens operators that the file holds as one


def check_onnx(path: Path, manifest: Manifest, file: ModelFile) -> list[Check]:
    """What can be read off an ONNX file without running it."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(read_regular(path, MAX_MODEL_BYTES))
    except (DecodeError, OutsideError):
        return [Check(file.path, "precision", "failed", "the file is not ONNX")]
    texts = {entry.key: entry.value for entry in model.metadata_props}
    expected = metadata(manifest.classes, manifest.preprocessing, manifest.positive, manifest.threshold, manifest.refer)
    checks = [_check_types(model, file)]
    if wrong := contradictions(texts, expected):
        checks.append(Check(file.path, "metadata", "failed", f"what it says of {', '.join(wrong)} is not what the manifest says"))
    return checks


def check_emulation(path: Path, file: ModelFile) -> list[Check]:
    """Whether an emulation rounds as much as was recorded of the file; nothing where nothing was."""
    import onnx
    from google.protobuf.message import DecodeError

    recorded = file.notes.get(f"macs_share_{file.precision}")
    if not isinstance(recorded, int | float) or isinstance(recorded, bool):
        return []
    try:
        share = emulated_share(onnx.load_model_from_string(read_regular(path, MAX_MODEL_BYTES)), file.precision)
    except (DecodeError, OutsideError):
        return [Check(file.path, "precision", "failed", "the file is not ONNX")]
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError, IndexError) as error:
        return [Check(file.path, "precision", "failed", f"what it rounds cannot be read: {' '.join(str(error).split())[:200]}")]
    reason = f"it computes {percent(share)} of the multiply-accumulates as in {file.precision}, recorded are {percent(recorded)}"
    return [Check(file.path, "precision", "passed" if share >= recorded - SHARE_SLACK else "failed", reason)]


def _check_types(model: onnx.ModelProto, file: ModelFile) -> Check:
    """What the operators compute in, by the types in the file."""
    import onnx

    try:
        shares = shares_of(model, file.precision)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError, IndexError) as error:
        return Check(file.path, "precision", "failed", f"its types cannot be read: {' '.join(str(error).split())[:200]}")
    rest = f"; the rest: {shares.rest_words}" if shares.rest else ""
    reason = f"{shares.words}, the manifest says {file.precision}{rest}"
    return Check(file.path, "precision", "passed" if shares.happened else "failed", reason)
