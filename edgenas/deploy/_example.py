"""Classify images with the model in this folder: a line with path, class and probability for each, separated by tabs.

Needs nothing but numpy, pillow and what runs the model: pip install onnxruntime numpy pillow (OpenVINO's .xml: openvino in
onnxruntime's place; ExecuTorch's .pte: torch and executorch).
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import re
import sys
import time
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
Array = Any  # a NumPy array
IMAGES = (
    ".bmp",
    ".gif",
    ".jfif",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".pgm",
    ".png",
    ".ppm",
    ".tga",
    ".tif",
    ".tiff",
    ".avif",
    ".jp2",
    ".webp",
)
WARM_UP, CALLS = 20, 200
DAMAGED = (OSError, ValueError, SyntaxError, ArithmeticError, LookupError, TypeError, AttributeError, MemoryError)  # by Pillow
ACTIVE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

GROUND = {"white": 255, "grey": 128, "black": 0}
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}


def narrowed(values: Array, low: float, high: float) -> Image.Image:
    """Values of more than 8 bits as 8: ``low`` and less become 0, ``high`` and more 255, what is no number 0."""
    wide = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    return Image.fromarray(np.floor((np.clip(wide, low, high) - low) * 255.0 / (high - low) + 0.5).astype(np.uint8))


def is_deep(image: Image.Image) -> bool:
    """Whether an image that is not loaded yet has colours, or grey with alpha, of 16 bits, of which Pillow gives the upper 8."""
    args = [(tile[3],) if isinstance(tile[3], str) else tile[3] or ("",) for tile in getattr(image, "tile", [])]
    return image.mode in ("RGB", "RGBA", "RGBX") and bool(args) and all(str(arg[0])[-4:-1] == ";16" for arg in args)


def lower_bits(path: Path) -> Image.Image | None:
    """The lower 8 bits of colours of 16 bits, of which Pillow gives the upper 8: its decoder is told to pick the other byte."""
    swap = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
    with path.open("rb") as file:
        data = file.read(33)
    if data[:4] == b"\x89PNG" and data[24:26] == b"\x10\x04":  # grey with alpha: four bytes a pixel, read as four channels
        data = path.read_bytes()
        header = data[12:24] + b"\x08\x06" + data[26:29]
        with Image.open(io.BytesIO(data[:12] + header + zlib.crc32(header).to_bytes(4, "big") + data[33:])) as image:
            return ImageOps.exif_transpose(image).getchannel(1)
    with Image.open(path) as image:
        if not is_deep(image):
            return None
        for place, tile in enumerate(image.tile):
            arg: Any = (tile[3],) if isinstance(tile[3], str) else tile[3]
            other = arg[0][:-1] + swap[arg[0][-1]]
            parts: Any = (*tile[:3], other if isinstance(tile[3], str) else (other, *arg[1:]))
            image.tile[place] = type(tile)(*parts) if hasattr(tile, "_fields") else parts  # by the version of Pillow
        return ImageOps.exif_transpose(image.convert("RGB"))


def with_lower_bits(image: Image.Image, low: Image.Image, grey_range: list[float]) -> Image.Image:
    """Colours of 16 bits as 8, with the image's alpha, if it has any; ``image`` holds their upper bits."""
    low_bits = np.asarray(low)
    high_bits = np.asarray(image)[..., : 1 if low_bits.ndim == 2 else 3].reshape(low_bits.shape)
    result = narrowed(high_bits.astype(np.uint16) << 8 | low_bits, *grey_range)
    if "A" in image.getbands():
        result.putalpha(image.getchannel("A"))
    return result


def upright_rgb(image: Image.Image, how: dict[str, Any], low: Image.Image | None = None) -> Image.Image:
    """EXIF orientation applied, wide values scaled to 8 bits, palettes looked up, alpha laid on the ground or dropped."""
    image = ImageOps.exif_transpose(image)
    grey_range, ground = how.get("grey_range"), how.get("background")
    if low is not None and grey_range is not None:
        image = with_lower_bits(image, low, grey_range)
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


def unforeseen(image: Image.Image, how: dict[str, Any]) -> str:
    """What an image that is not loaded yet holds that the steps were not decided for; empty where there is nothing."""
    if how.get("grey_range") is None and (image.mode in ("I", "F") or image.mode.startswith("I;16") or is_deep(image)):
        return "its values of more than 8 bits have no range in the manifest: 0 to 65535 (of floats 0 to 255) is shown"
    has_alpha = image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info
    if how.get("background") is None and has_alpha and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        return "its transparent pixels have no ground in the manifest: alpha is ignored"
    return ""


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
    low = None if how.get("grey_range") is None else lower_bits(path)
    with Image.open(path) as file:
        if words := unforeseen(file, how):
            sys.stderr.write(f"example.py: {one_line(str(path))}: {words}\n")
        image = resized(upright_rgb(file, how, low), how)
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


def model_file(manifest: dict[str, Any]) -> tuple[Path, str, str]:
    """Path, kind and precision of the file to run, float32 first; beside TensorRT engines lies an ONNX file that computes alike."""
    models = [file for file in manifest["files"] if file["kind"] in SESSIONS]
    models.sort(key=lambda file: (list(SESSIONS).index(file["kind"]), file["precision"] != "fp32", file["batch_size"] != 1))
    found: list[tuple[str, str, str]] = [(file["path"], file["kind"], file["precision"]) for file in models]
    found += [(file["emulation"]["path"], "onnx", "fp32") for file in manifest["files"] if file["emulation"] is not None]
    if not found:
        raise SystemExit("example.py: this folder holds no file that runs on a CPU")
    return HERE / found[0][0], found[0][1], found[0][2]


def images_in(paths: list[str]) -> Iterator[str]:
    """The paths, and in the place of a folder the images in it and in its folders, by name."""
    for path in paths:
        if not Path(path).is_dir():
            yield path
            continue
        empty = True
        for folder, folders, names in os.walk(path):
            folders.sort()
            for name in sorted(names):
                if name.lower().endswith(IMAGES):
                    empty = False
                    yield str(Path(folder, name))
        if empty:
            yield path  # which cannot be read, and is named


def one_line(name: str) -> str:
    r"""A name as labels.txt has it: characters that would do something to a terminal are written as ``\n``, ``\x1b``."""
    short = {"\n": "\\n", "\t": "\\t"}
    numbers = ((found, ord(found)) for found in ACTIVE.findall(name))
    names = {found: short.get(found, f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}") for found, number in numbers}
    return ACTIVE.sub(lambda found: names[found.group()], name)


class OnnxSession:
    """A model in ONNX Runtime, on the CPU."""

    def __init__(self, path: Path, precision: str, threads: int) -> None:
        """Open it; 0 threads are as many as ONNX Runtime likes."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        model_input = self.session.get_inputs()[0]
        self.input_name = model_input.name
        self.batch = model_input.shape[0] if isinstance(model_input.shape[0], int) else 1
        self.threads = self.session.get_session_options().intra_op_num_threads or "default"

    def __call__(self, images_NCHW: Array) -> Array:
        """The logits of a batch."""
        return self.session.run(None, {self.input_name: images_NCHW})[0]


class OpenVinoSession:
    """A model in OpenVINO, on the CPU, in the precision that it was judged in: left to itself, OpenVINO may choose another."""

    def __init__(self, path: Path, precision: str, threads: int) -> None:
        """Open it; 0 threads are as many as OpenVINO likes."""
        import openvino

        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        model, said = openvino.Core().read_model(str(path)), ["edgenas", "int8_around"]
        around = model.get_rt_info(said).astype(str) if precision == "int8" and model.has_rt_info(said) else precision
        settings["INFERENCE_PRECISION_HINT"] = "bf16" if around == "bf16" else "f32"
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        self.compiled = openvino.compile_model(model, "CPU", settings)
        size = self.compiled.inputs[0].get_partial_shape()[0]
        self.batch = size.get_length() if size.is_static else 1
        self.threads = threads or "default"

    def __call__(self, images_NCHW: Array) -> Array:
        """The logits of a batch."""
        return np.array(self.compiled(images_NCHW)[0])


class ExecuTorchSession:
    """A model in ExecuTorch's own runtime, on the CPU, with as many threads as it likes."""

    def __init__(self, path: Path, precision: str, threads: int) -> None:
        """Open it."""
        import torch
        from executorch.runtime import Runtime

        self.tensor = torch.from_numpy
        self.method: Any = Runtime.get().load_program(str(path)).load_method("forward")
        self.batch = int(self.method.metadata.input_tensor_meta(0).sizes()[0])
        self.threads = "default"

    def __call__(self, images_NCHW: Array) -> Array:
        """The logits of a batch."""
        return self.method.execute([self.tensor(images_NCHW)])[0].numpy()


SESSIONS: dict[str, Any] = {"onnx": OnnxSession, "openvino": OpenVinoSession, "executorch": ExecuTorchSession}


class Model:
    """The model of this folder in the runtime of its kind."""

    def __init__(self, threads: int) -> None:
        """Open it; 0 threads are as many as the runtime likes."""
        self.manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
        self.path, kind, precision = model_file(self.manifest)
        self.session = SESSIONS[kind](self.path, precision, threads)

    def __call__(self, image_NCHW: Array) -> Array:
        """The logits (classes) of one image (1, 3, H, W)."""
        return self.session(np.repeat(image_NCHW, self.session.batch, axis=0))[0]

    def prepared(self, path: str) -> Array:
        """An image file as the model reads it."""
        return preprocess(Path(path), self.manifest["preprocessing"])


def classify(model: Model, paths: list[str]) -> int:
    """Print one line an image; 1 if one could not be read."""
    status = 0
    for path in images_in(paths):
        try:
            image_NCHW = model.prepared(path)
        except (*DAMAGED, Image.DecompressionBombError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            sys.stderr.write(f"example.py: {one_line(path)}: {one_line(reason)}\n")
            status = 1
            continue
        logits_C = model(image_NCHW)
        name, probability = decide(logits_C, model.manifest)
        mark = "\trefer" if is_referred(logits_C, model.manifest) else ""
        sys.stdout.write(f"{one_line(path)}\t{one_line(name)}\t{probability:.6f}{mark}\n")
    return status


def benchmark(model: Model, calls: int) -> None:
    """Print how long calls of the model take, one image each, input and output in host memory; reading images is not in it."""
    shape = [size or 1 for size in model.manifest["input"]["shape"]]
    image_NCHW = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    taken_ms = []
    for _ in range(WARM_UP + calls):
        start = time.perf_counter()
        model(image_NCHW)
        taken_ms.append(1000 * (time.perf_counter() - start))
    kept_ms = np.array(taken_ms[WARM_UP:])
    low, middle, high = np.percentile(kept_ms, [5, 50, 95])
    rows = {
        "model": model.path.name,
        "threads": model.session.threads,
        "calls": calls,
        "median_ms": f"{middle:.4f}",
        "p5_ms": f"{low:.4f}",
        "p95_ms": f"{high:.4f}",
        "images_per_s": f"{1000 / middle:.1f}",
    }
    latency = model.manifest["latency"]
    if latency is not None and latency["latency_ms_measured"] is not None:
        table = latency["table"]
        where = "" if table is None else f" on {table['device']}, {table['runtime']} {table['precision']}"
        rows["manifest_ms"] = f"{latency['latency_ms_measured']:.4f}{where}"
    sys.stdout.writelines(f"{name}\t{' '.join(str(value).split())}\n" for name, value in rows.items())


def arguments() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(
        prog="python example.py",
        usage="python example.py [--benchmark] [--calls N] [--threads N] IMAGE_OR_FOLDER...",
        description=(__doc__ or "").strip(),
        epilog="Where the model was exported with a zone for a person's decision, a fourth column says refer.\n"
        "The status is 0, or 1 where an image could not be read; such images are named on stderr.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths", nargs="*", metavar="IMAGE_OR_FOLDER", help="an image, or a folder of images, whose folders are looked into too"
    )
    parser.add_argument("--benchmark", action="store_true", help="time calls of the model: a line a figure, separated by a tab")
    parser.add_argument("--calls", type=int, default=CALLS, metavar="N", help="that are timed (%(default)s)")
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="of the runtime; as many as it likes where none are given"
    )
    return parser


def main(words: list[str]) -> int:
    """Do what was asked for; the exit status."""
    parser = arguments()
    asked = parser.parse_args(words)
    if not asked.benchmark and not asked.paths:
        parser.error("no image is given")
    if asked.threads < 0 or asked.calls < 1:
        parser.error("--calls takes a number of at least 1, --threads of at least 0")
    model = Model(asked.threads)
    if asked.benchmark:
        benchmark(model, asked.calls)
    return classify(model, asked.paths)


def program() -> int:
    """`main` for a shell: what cannot be written there ends it in one line, or in none where nobody reads on."""
    warnings.simplefilter("ignore")  # of Pillow, on images that it reads all the same
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries to write the rest once more
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"example.py: {one_line(str(error))}\n")
        return 1


if __name__ == "__main__":
    sys.exit(program())
