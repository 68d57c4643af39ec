"""Classify images with the model in this folder: ``python example.py IMAGE...`` prints path, class and probability.

Needs nothing but: pip install onnxruntime numpy pillow
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
Array = Any  # a NumPy array


def upright_rgb(image: Image.Image) -> Image.Image:
    """EXIF orientation applied, 16-bit grey values scaled to 8 bits, palettes looked up, alpha dropped."""
    image = ImageOps.exif_transpose(image)
    if image.mode == "I" or image.mode.startswith("I;16"):
        wide_HW = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        image = Image.fromarray(((wide_HW + 128) // 257).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def preprocess(path: Path, how: dict[str, Any]) -> Array:
    """An image file as the float32 tensor (1, 3, H, W) that the model reads; ``how`` is the manifest's ``preprocessing``."""
    with Image.open(path) as file:
        image = upright_rgb(file)
    size, target = how["image_px"], math.floor(how["image_px"] / how["crop_pct"])
    if how["resize_mode"] == "squash":
        width, height = target, target
    else:  # "crop": the shorter side to the target, the longer one in proportion
        width, height = (target * side // min(image.size) for side in image.size)
    resample = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[how["resize"]]
    if image.size != (width, height):
        image = image.resize((width, height), resample)
    left, top = round((width - size) / 2), round((height - size) / 2)
    image = image.crop((left, top, left + size, top + size))
    mean_C11 = np.array(how["mean"], dtype=np.float32)[:, None, None]
    std_C11 = np.array(how["std"], dtype=np.float32)[:, None, None]
    pixels_CHW = np.asarray(image, dtype=np.uint8).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(((pixels_CHW - mean_C11) / std_C11)[None])


def decide(logits_C: Array, manifest: dict[str, Any]) -> tuple[str, float]:
    """Class and probability: the positive class from its threshold on, else the best of the others."""
    exponential_C = np.exp(logits_C.astype(np.float64) - logits_C.max())
    probabilities_C = exponential_C / exponential_C.sum()
    classes: list[str] = manifest["classes"]
    ranking = [int(index) for index in np.argsort(-probabilities_C, kind="stable")]
    best = ranking[0]
    if manifest["positive"] is not None and manifest["threshold"] is not None:
        positive = classes.index(manifest["positive"])
        if probabilities_C[positive] >= manifest["threshold"]:
            best = positive
        else:
            best = next(index for index in ranking if index != positive)
    return classes[best], float(probabilities_C[best])


def model_path(manifest: dict[str, Any]) -> Path:
    """The ONNX file to run: float32 before float16; beside TensorRT engines lies an ONNX file that computes the same."""
    models = [file for file in manifest["files"] if file["kind"] == "onnx"]
    models.sort(key=lambda file: (file["precision"] != "fp32", file["batch_size"] != 1))
    paths: list[str] = [file["path"] for file in models]
    paths += [file["emulation"]["path"] for file in manifest["files"] if file["emulation"] is not None]
    if not paths:
        raise SystemExit("example.py: this folder holds no ONNX file")
    return HERE / paths[0]


def main(paths: list[str]) -> int:
    """Print one line an image; 1 if an image could not be read."""
    import onnxruntime

    if not paths:
        sys.stderr.write("usage: python example.py IMAGE...\n")
        return 2
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(str(model_path(manifest)), providers=["CPUExecutionProvider"])
    model_input = session.get_inputs()[0]
    batch = model_input.shape[0] if isinstance(model_input.shape[0], int) else 1
    status = 0
    for path in paths:
        try:
            image_NCHW = preprocess(Path(path), manifest["preprocessing"])
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            reason = " ".join(str(error).split())
            sys.stderr.write(f"example.py: {path}: {reason}\n")
            status = 1
            continue
        logits_NC = session.run(None, {model_input.name: np.repeat(image_NCHW, batch, axis=0)})[0]
        name, probability = decide(logits_NC[0], manifest)
        sys.stdout.write(f"{path}\t{name}\t{probability:.6f}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
