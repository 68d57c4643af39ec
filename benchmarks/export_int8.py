"""What int8 costs and gains: times in turn and changed decisions of fp32, bf16 and int8 files in ONNX Runtime and OpenVINO.

A net of timm, e.g. pvt_v2_b0 at 224 px with the weights of `benchmarks.export_weights`; a file is written and fitted as `edgenas
export` does it. One session lives at a time; files are visited in rounds of random order, and a ratio is that of neighbours in time
to fp32 in ONNX Runtime, of CPU time for one thread. Decisions are those of Fashion-MNIST's test images, against the net in PyTorch.

    OMP_NUM_THREADS=1 python -m benchmarks.export_int8 --weights pvt_v2_b0_fmnist.safetensors --rounds 25 --images 1000
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.export_weights import IMAGE_PX, NUM_CLASSES, preprocessed, read_images
from edgenas.deploy.calibrating import CalibrationImages
from edgenas.deploy.contracts import ExportedFile, ExportSpec, Precision
from edgenas.deploy.plugins import get_exporter, get_runtime
from edgenas.errors import EdgeNASError
from edgenas.stats import mcnemar

FORMATS: tuple[tuple[str, Precision], ...] = (
    ("onnx", "fp32"),
    ("onnx", "int8"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
)
CALLS = 8  # of a visit that count


@dataclass(frozen=True, slots=True)
class Row:
    """One file.

    Attributes:
        ratio, low, high: median and quartiles of its time beside fp32 in ONNX Runtime at the same round.
        changed: images that are decided otherwise than by the net in PyTorch, of ``num_images``.
        lost, won: images that only the net, or only the file, names rightly.
        p_mcnemar: that both are equally often right.
        left_out: layers that stay float.
    """

    name: str
    ratio: float
    low: float
    high: float
    num_images: int
    changed: int
    lost: int
    won: int
    p_mcnemar: float
    max_error: float
    size_bytes: int
    layers: str
    left_out: str


def load_net(name: str, weights: Path | None) -> nn.Module:
    """A timm net in eval mode, with trained weights if there are some."""
    import timm
    from safetensors.torch import load_file

    torch.manual_seed(0)
    net: nn.Module = timm.create_model(name, num_classes=NUM_CLASSES)
    if weights is not None:
        net.load_state_dict(load_file(weights))
    return net.eval()


def write(net: nn.Module, folder: Path, calibration: CalibrationImages) -> dict[str, ExportedFile]:
    """All files that can be written, by format and precision; says why one cannot."""
    files = {}
    for format_name, precision in FORMATS:
        place = folder / f"{format_name}-{precision}"
        place.mkdir()
        spec = ExportSpec((3, IMAGE_PX, IMAGE_PX), 1, precision, calibration=calibration if precision == "int8" else None)
        try:
            files[f"{format_name} {precision}"] = get_exporter(format_name).export(net, spec, place)[0]
        except EdgeNASError as error:
            sys.stderr.write(f"{format_name} {precision}: {error}\n")
    return files


def times(files: dict[str, ExportedFile], image_NCHW: NDArray[np.float32], rounds: int, threads: int) -> dict[str, list[float]]:
    """Seconds of a call by file and round; one session lives at a time."""
    rng = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {name: [] for name in files}
    clock = time.process_time if threads == 1 else time.perf_counter
    for _ in range(rounds):
        for name in rng.permutation(list(files)):
            file = files[name]
            runner = get_runtime(file.runtime).load(file.path, precision=file.precision, threads=threads, spinning=threads > 1)
            for _ in range(3):
                runner(image_NCHW)
            start = clock()
            for _ in range(CALLS):
                runner(image_NCHW)
            seconds[str(name)].append((clock() - start) / CALLS)
            runner.close()
    return seconds


def answers(file: ExportedFile, images_NHW: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits of a file, image by image."""
    runner = get_runtime(file.runtime).load(file.path, precision=file.precision)
    rows = [runner(preprocessed(images_NHW[row : row + 1]).numpy()) for row in range(len(images_NHW))]
    runner.close()
    return np.concatenate(rows)


def study(net: nn.Module, *, rounds: int, num_images: int, threads: int, method: str, num_calibrate: int) -> list[Row]:
    """One row a file; ``method`` takes the ranges."""
    images, labels = read_images("calibrate")
    pick = np.linspace(0, len(images) - 1, num_calibrate).astype(int)
    calibration = CalibrationImages(preprocessed(images[pick]).numpy(), labels[pick], method=method)  # type: ignore[arg-type]
    images, labels = (each[:num_images] for each in read_images("test"))
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        files = write(net, Path(folder), calibration)
        seconds = times(files, preprocessed(images[:1]).numpy(), rounds, threads) if rounds else {}
        before = np.concatenate([net(preprocessed(images[row : row + 16])).numpy() for row in range(0, len(images), 16)])
        rows = []
        for name, file in files.items():
            after = answers(file, images)
            ratios = np.array(seconds[name]) / np.array(seconds["onnx fp32"]) if rounds else np.full(1, np.nan)
            right, kept = before.argmax(1) == labels, after.argmax(1) == labels
            lost, won = int((right & ~kept).sum()), int((kept & ~right).sum())
            low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
            rows.append(
                Row(
                    *(name, float(middle), float(low), float(high), len(images)),
                    *(int((before.argmax(1) != after.argmax(1)).sum()), lost, won, mcnemar(lost, won)),
                    *(float(np.abs(after - before).max()), sum(each.stat().st_size for each in (file.path, *file.parts))),
                    f"{file.notes.get('int8_layers', '')}/{file.notes.get('int8_layers_possible', '')}",
                    str(file.notes.get("int8_left_out", "")),
                )
            )
    return rows


def table(rows: Sequence[Row]) -> str:
    """In Markdown."""
    lines = ["| file | time (ratio) | quartiles | changed | only net right | only file right | p | MB | int8 layers | left out |"]
    lines.append("|---|---|---|---|---|---|---|---|---|---|")
    lines += [
        f"| {row.name} | {row.ratio:.3f} | {row.low:.3f}–{row.high:.3f} | {row.changed} of {row.num_images} | "
        f"{row.lost} | {row.won} | {row.p_mcnemar:.2g} | {row.size_bytes / 1e6:.1f} | {row.layers} | {row.left_out} |"
        for row in rows
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write, time and judge; print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="pvt_v2_b0")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--rounds", type=int, default=25, help="0 times nothing")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--method", default="minmax", choices=("minmax", "percentile", "entropy"))
    parser.add_argument("--calibrate", type=int, default=256, help="images that int8 is fitted on")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(arguments)
    net = load_net(options.net, options.weights)
    rows = study(
        net,
        rounds=options.rounds,
        num_images=options.images,
        threads=options.threads,
        method=options.method,
        num_calibrate=options.calibrate,
    )
    sys.stdout.write(table(rows) + "\n")
    if options.output is not None:
        options.output.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
