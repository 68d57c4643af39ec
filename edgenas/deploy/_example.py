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


GROUND = {"white": 255, "grey": 128, "black": 0}
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}


def narrowed(values_HW: Array, low: float, high: float) -> Image.Image:
    """Grey values of more than 8 bits as 8: ``low`` and less become 0, ``high`` and more 255, what is no number 0."""
    wide_HW = np.nan_to_num(values_HW.astype(np.float64), nan=low, posinf=high, neginf=low)
    return Image.fromarray(np.floor((np.clip(wide_HW, low, high) - low) * 255.0 / (high - low) + 0.5).astype(np.uint8))


def upright_rgb(image: Image.Image, how: dict[str, Any]) -> Image.Image:
    """EXIF orientation applied, wide grey values scaled to 8 bits, palettes looked up, alpha laid on the ground or dropped."""
    image = ImageOps.exif_transpose(image)
    grey_range, ground = how.get("grey_range"), how.get("background")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        if grey_range is not None:
            image = narrowed(np.asarray(image), *grey_range)
        elif image.mode != "F":
            image = narrowed(np.asarray(image), 0, 65535)
    has_alpha = image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info
    if ground is not None and has_alpha:
        over = Image.new("RGBA", image.size, (GROUND[ground],) * 3 + (255,))
        image = Image.alpha_composite(over, image.convert("RGBA"))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def resized(image: Image.Image, how: dict[str, Any]) -> Image.Image:
    """Squashed to a square, its shorter side on it (crop), or as a whole laid on it (letterbox); then the middle of that."""
    size, target, mode = how["image_px"], math.floor(how["image_px"] / how["crop_pct"]), how["resize_mode"]
    width, height = target, target
    if mode == "crop":  # the longer side in proportion
        width, height = (target * side // min(image.size) for side in image.size)
    elif mode == "letterbox":  # the shorter side in proportion
        width, height = (max(1, target * side // max(image.size)) for side in image.size)
    if image.size != (width, height):
        image = image.resize((width, height), FILTERS[how["resize"]])
    if mode == "letterbox":
        square = Image.new("RGB", (target, target), (GROUND[how.get("background") or "black"],) * 3)
        square.paste(image, ((target - width) // 2, (target - height) // 2))
        image, width, height = square, target, target
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def preprocess(path: Path, how: dict[str, Any]) -> Array:
    """An image file as the float32 tensor (1, 3, H, W) that the model reads; ``how`` is the manifest's ``preprocessing``."""
    with Image.open(path) as file:
        image = resized(upright_rgb(file, how), how)
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


def is_referred(logits_C: Array, manifest: dict[str, Any]) -> bool:
    """Whether a person is to decide: the positive class's probability lies in the zone of the manifest, if that has one."""
    zone = (manifest.get("decision") or {}).get("refer")
    if zone is None or manifest["positive"] is None:
        return False
    exponential_C = np.exp(logits_C.astype(np.float64) - logits_C.max())
    return bool(zone[0] <= exponential_C[manifest["classes"].index(manifest["positive"])] / exponential_C.sum() <= zone[1])


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
        mark = "\trefer" if is_referred(logits_NC[0], manifest) else ""
        sys.stdout.write(f"{path}\t{name}\t{probability:.6f}{mark}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
