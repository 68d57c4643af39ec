"""Do reduced precisions decide as float32 does on all of Fashion-MNIST's test images? The gates of exports, on 10,000 of them.

    OMP_NUM_THREADS=1 nice -n 15 python -m benchmarks.export_decisions --weights pvt_v2_b0_fmnist.safetensors

Images are read as the net was trained (`benchmarks.export_weights`), int8 is calibrated on images that it was not trained on, and
every file is asked about every image, one image a call, in the runtime that it was written for. Answers are kept in the folder by
parts of `PART` images, and the same command goes on after an interruption. Nothing is timed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.export_weights import CLASS_NAMES, IMAGE_PX, NUM_CLASSES, POSITIVE, preprocessed, read_images
from edgenas.deploy.calibrating import CalibrationImages
from edgenas.deploy.contracts import ExportSpec, Precision
from edgenas.deploy.parity import Gates, compare
from edgenas.deploy.plugins import get_exporter, get_runtime
from edgenas.errors import EdgeNASError
from edgenas.records import Parity
from edgenas.runs import read_json, write_json
from edgenas.training.evaluation import logits

PART = 250
NUM_CALIBRATE = 256
SOURCE = "source"
TRIED: Mapping[str, tuple[str, Precision]] = {
    "onnx fp32": ("onnx", "fp32"),
    "onnx int8": ("onnx", "int8"),
    "openvino fp32": ("openvino", "fp32"),
    "openvino bf16": ("openvino", "bf16"),
    "openvino int8": ("openvino", "int8"),
    "executorch fp32": ("executorch", "fp32"),
    "executorch int8": ("executorch", "int8"),
}
Ask = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Study:
    """A net in eval mode, the side of its images, how many of the test split are asked about, and where answers are kept."""

    net: nn.Module
    image_px: int
    num: int
    folder: Path

    def parts(self) -> Iterator[slice]:
        """Rows of the test split, `PART` at a time."""
        return (slice(start, min(start + PART, self.num)) for start in range(0, self.num, PART))


def write_file(study: Study, name: str) -> dict[str, Any]:
    """The file of a precision, written once: its path, runtime and precision, or why it could not be written."""
    place = study.folder / name.replace(" ", "-")
    about = place / "file.json"
    if about.is_file():
        kept: dict[str, Any] = read_json(about)
        return kept
    place.mkdir(parents=True, exist_ok=True)
    format_name, precision = TRIED[name]
    calibration = None
    if precision == "int8":
        images, labels = read_images("calibrate")
        rows = slice(0, NUM_CALIBRATE)
        calibration = CalibrationImages(preprocessed(images[rows], study.image_px).numpy(), labels[rows], positive=POSITIVE)
    spec = ExportSpec((3, study.image_px, study.image_px), precision=precision, calibration=calibration)
    try:
        file = get_exporter(format_name).export(study.net, spec, place)[0]
    except EdgeNASError as error:
        found = {"error": f"{type(error).__name__}: {error}"}
    else:
        found = {"path": file.path.name, "runtime": file.runtime, "precision": file.precision}
    write_json(about, found)
    return found


def answers(study: Study, name: str, opened: Callable[[], Ask]) -> NDArray[np.float32]:
    """Logits (images, classes) of a file; ``opened`` is called only if a part is missing."""
    images, _ = read_images("test")
    ask: Ask | None = None
    found = []
    for rows in study.parts():
        path = study.folder / name.replace(" ", "-") / f"logits-{rows.start}-{rows.stop}.npy"
        if not path.is_file():
            ask = opened() if ask is None else ask
            x_NCHW = preprocessed(images[rows], study.image_px).numpy()
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(".partial.npy")
            np.save(beside, ask(x_NCHW))
            beside.replace(path)
            sys.stderr.write(f"{name}: {rows.stop} of {study.num} images\n")
        found.append(np.load(path))
    return np.concatenate(found)


def asked(study: Study, name: str, file: Mapping[str, Any]) -> NDArray[np.float32]:
    """Logits of a written file, by the runtime that it was written for, with one thread."""
    runners = []

    def opened() -> Ask:
        path = study.folder / name.replace(" ", "-") / file["path"]
        runner = get_runtime(file["runtime"]).load(path, precision=file["precision"], threads=1, spinning=False)
        runners.append(runner)
        return lambda x_NCHW: np.concatenate([runner(image[None]) for image in x_NCHW])

    try:
        return answers(study, name, opened)
    finally:
        for runner in runners:
            runner.close()


def judge(study: Study, names: Sequence[str]) -> dict[str, Any]:
    """The source's accuracy, and of every file its parity with the source at the default gates, or why there is none."""
    _, labels = read_images("test")
    labels_N = labels[: study.num]
    reference_NK = answers(study, SOURCE, lambda: lambda x_NCHW: logits(study.net, x_NCHW))
    found: dict[str, Any] = {"images": study.num, "accuracy": float((reference_NK.argmax(1) == labels_N).mean()), "files": {}}
    for name in names:
        file = write_file(study, name)
        try:
            entry = file if "error" in file else judged(asked(study, name, file), reference_NK, labels_N).as_json()
        except EdgeNASError as error:
            entry = {"error": f"{type(error).__name__}: {error}"}
        found["files"][name] = entry
    return found


def judged(logits_NK: NDArray[np.float32], reference_NK: NDArray[np.float32], labels_N: NDArray[np.int64]) -> Parity:
    """Parity by the default gates, where shirts must not be missed and the largest logit decides."""
    return compare(reference_NK, logits_NK, labels_N, class_names=CLASS_NAMES, positive=POSITIVE, threshold=None, gates=Gates())


def table(found: Mapping[str, Any]) -> str:
    """What was found as Markdown: verdict, decisions that changed, and why."""
    lines = [
        f"{found['images']:,} images; the source decides {found['accuracy']:.2%} of them rightly.",
        "",
        "| file | parity | changed decisions | shirts newly missed | reason |",
        "|---|---|--:|--:|---|",
    ]
    for name, entry in found["files"].items():
        if "error" in entry:
            lines.append(f"| {name} | – | – | – | {entry['error']} |")
            continue
        changed, missed = sum(entry["flips"].values()), entry["new_false_negatives"]
        lines.append(f"| {name} | {entry['verdict']} | {changed} | {missed} | {entry['reason'] or '–'} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write, ask, judge, report."""
    import timm
    from safetensors.torch import load_file

    options = parser().parse_args(arguments)
    net = timm.create_model(options.net, num_classes=NUM_CLASSES)
    net.load_state_dict(load_file(options.weights))
    torch.set_num_threads(1)
    found = judge(Study(net.eval(), IMAGE_PX, options.num, options.folder), options.files)
    write_json(options.folder / "decisions.json", found)
    (options.folder / "decisions.md").write_text(table(found), encoding="utf-8")
    sys.stdout.write(json.dumps({name: entry.get("verdict", "error") for name, entry in found["files"].items()}) + "\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--weights", type=Path, required=True, help="Of ten classes, safetensors (`benchmarks.export_weights`).")
    made.add_argument("--net", default="pvt_v2_b0")
    made.add_argument("--folder", type=Path, default=Path("export-decisions"))
    made.add_argument("--num", type=int, default=10_000, help="Images of the test split.")
    made.add_argument("--files", nargs="+", choices=list(TRIED), default=list(TRIED))
    return made


if __name__ == "__main__":
    sys.exit(main())
