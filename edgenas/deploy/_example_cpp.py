"""`example.cpp` of an artefact folder: the program for C++, with the constants of one model."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from importlib.resources import files as package_files

from edgenas.escaping import one_line
from edgenas.records import Manifest, ModelFile

_PLAIN = re.compile(r"[\w .,:;()+=@-]", re.ASCII)
_GROUND = {"white": 255, "grey": 128, "black": 0}
_MARK = "// @constants@\n"


def onnx_for_one_image(files: Sequence[ModelFile]) -> str | None:
    """Path of the ONNX file that answers to one image a call, float32 before float16; None where only engines do."""
    models = [file for file in files if file.kind == "onnx" and file.batch_size in (1, None)]
    models.sort(key=lambda file: (file.precision != "fp32", file.batch_size is None))
    return models[0].path if models else None


def example_cpp(manifest: Manifest) -> str | None:
    """The program; None where no ONNX file of the folder answers to one image a call, or it does not read colours."""
    model, how = onnx_for_one_image(manifest.files), manifest.pixels
    if model is None or how.channels != "RGB":
        return None
    is_ruled = manifest.positive is not None and manifest.threshold is not None
    low, high = manifest.refer or (2.0, 2.0)  # none: no probability is 2
    constants = {
        "const char* const MODEL": _text(model),
        "const char* const INPUT": _text(manifest.input.name),
        "const char* const OUTPUT": _text(manifest.output.name),
        "const std::vector<std::string> CLASSES": "{" + ", ".join(_text(one_line(name)) for name in manifest.classes) + "}",
        "constexpr int POSITIVE": str(manifest.classes.index(manifest.positive or "")) if is_ruled else "-1",
        "constexpr double THRESHOLD": repr(float(manifest.threshold or 0.0)) if is_ruled else "2",
        "constexpr double REFER_LOW": repr(float(low)),
        "constexpr double REFER_HIGH": repr(float(high)),
        "constexpr int SIZE": str(how.image_px),
        "constexpr int TARGET": str(math.floor(how.image_px / how.crop_pct)),
        "const char* const RESIZE_MODE": _text(how.resize_mode),
        "const char* const FILTER": _text(how.resize),
        "constexpr uint8_t GROUND": str(_GROUND["black" if how.background is None else how.background]),
        "constexpr float MEAN[3]": _floats(how.mean),
        "constexpr float STD[3]": _floats(how.std),
    }
    block = "".join(f"{name} = {value};\n" for name, value in constants.items())
    template = package_files("edgenas.deploy").joinpath("_example.cpp").read_text(encoding="utf-8")
    return template.replace(_MARK, "// of this model, as in manifest.json\n" + block)


def _text(text: str) -> str:
    """A string literal: whatever could end it, or be something else in it, as octal bytes."""
    octets = text.encode("utf-8").decode("latin-1")
    return '"' + "".join(char if _PLAIN.match(char) else f"\\{ord(char):03o}" for char in octets) + '"'


def _floats(values: Sequence[float]) -> str:
    return "{" + ", ".join(f"{float(value)!r}f" for value in values) + "}"
