"""Which file of a net is best on which runtime: every format and precision of six nets, built, judged and timed in turn.

    python -m benchmarks.export_study files parity timing report --folder export-study --demo edgenas-demo

Nets decide among Fashion-MNIST's ten classes at 224 px (the demo's at its own side). Those with ``--weights`` are trained
(`benchmarks.export_weights`), and read images as they were trained; of the others only the last layer is, on features of drawn
weights: their decisions are real ones, their accuracy is no result.
What is done is kept in the folder, and the same command goes on; ``timing`` wants an otherwise idle machine, and reads no images.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.export_nets import NAMES, PX
from benchmarks.export_nets import nets as nets_of
from benchmarks.export_table import THREADS, tables
from benchmarks.export_weights import FashionMnist, named_net
from edgenas.data.divide import Division
from edgenas.data.images import Images, open_images
from edgenas.deploy.calibrating import CalibrationImages
from edgenas.deploy.contracts import ExportedFile, ExportSpec, Precision
from edgenas.deploy.library import judge_parity
from edgenas.deploy.plugins import get_exporter, get_runtime
from edgenas.errors import EdgeNASError
from edgenas.latency.timing import BENCH_TIMING, Entrant, Turns, take_turns
from edgenas.project.exporting.choosing import time_ratio
from edgenas.runs import read_json, write_json

CLASSES, POSITIVE, TARGETS = 10, "shirt", ("sm75", "sm80", "sm86", "sm89", "sm120")
NUM_FIT, NUM_CALIBRATE, NUM_TEST = 2000, 200, 600
TRIED: tuple[tuple[str, Precision], ...] = (
    ("onnx", "fp32"),
    ("onnx", "fp16"),
    ("onnx", "bf16"),
    ("onnx", "int8"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
    ("executorch", "fp32"),
    ("executorch", "fp16"),
    ("executorch", "int8"),
    ("trt-rtx", "fp32"),
    ("trt-rtx", "fp16"),
    ("trt-rtx", "bf16"),
    ("trt-rtx", "int8"),
)
BASE = "older exporter"  # PyTorch's (TorchScript, opset 17), as others export timm's nets: what every ratio is to
PLAIN = "onnx-fp32-plain"  # PyTorch's present exporter, no rewrite
FILES = (PLAIN, *(f"{name}-{precision}" for name, precision in TRIED))


@dataclass(frozen=True, slots=True)
class Net:
    """A net by name: its module, and the images that it reads."""

    name: str
    module: Any
    images: Images | FashionMnist
    px: int


def trained_net(name: str, weights: Path) -> Net:
    """A net with weights of `benchmarks.export_weights`, which reads images as it was trained."""
    from safetensors.torch import load_file

    (drawn,) = nets_of([name])
    drawn.module.load_state_dict(load_file(weights))
    return Net(name, drawn.module.eval(), FashionMnist(), PX)


def fit_head(net: Any, images: Images) -> None:
    """Train the last linear layer on features of images of the split train; statistics of batches are re-estimated first."""
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    from edgenas.training.recalibration import recalibrate

    x_NCHW, labels_N = images.arrays("train")
    recalibrate(net, np.asarray(x_NCHW[:256]), batch_size=64)
    last = [each for each in net.modules() if isinstance(each, torch.nn.Linear) and each.out_features == CLASSES][-1]
    seen: list[Any] = []
    handle = last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    with torch.no_grad():
        for start in range(0, NUM_FIT, 32):
            net(torch.from_numpy(np.asarray(x_NCHW[start : min(start + 32, NUM_FIT)])))
    handle.remove()
    features_NF = torch.cat(seen).flatten(1).numpy()
    scaler = StandardScaler().fit(features_NF)
    fitted = LogisticRegression(C=0.1, max_iter=300).fit(scaler.transform(features_NF), labels_N[: len(features_NF)])
    weight_KF = fitted.coef_ / scaler.scale_
    with torch.no_grad():
        last.weight.copy_(torch.from_numpy(weight_KF))
        last.bias.copy_(torch.from_numpy(fitted.intercept_ - weight_KF @ scaler.mean_))


def nets(options: argparse.Namespace) -> Iterator[Net]:
    """The nets that were asked for, with the images that they read."""
    import torch

    trained = {named_net(path): path for path in options.weights}
    wide: Images | None = None
    for name in options.nets:
        if name == "demo":
            if options.demo is not None:
                yield demo_net(options.demo)
            continue
        if name in trained:
            yield trained_net(name, trained[name])
            continue
        if wide is None:
            division = Division(max_per_class=options.per_class)
            wide = open_images("fashion-mnist", image_px=PX, positive=POSITIVE, division=division)
        kept = options.folder / f"{name}.pt"
        (drawn,) = nets_of([name])
        if kept.is_file():
            drawn.module.load_state_dict(torch.load(kept, weights_only=True))
        else:
            say(f"{name}: fitting its last layer")
            fit_head(drawn.module, wide)
            torch.save(drawn.module.state_dict(), kept)
        yield Net(name, drawn.module.eval(), wide, PX)


def demo_net(run: Path) -> Net:
    """The net that a run of `edgenas demo` would deploy."""
    from edgenas.project.deployed import load_final
    from edgenas.project.opening import open_images as of_run
    from edgenas.project.opening import open_project

    project = open_project(run, {}, ())
    images = of_run(project)
    final = load_final(project, images)
    return Net("demo", final.net, images, images.preprocess.image_px)


def rows_of(images: Images | FashionMnist, split: str, num: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The same drawn images of a split at every call."""
    x_NCHW, labels_N = images.arrays(split)
    chosen = np.sort(np.random.default_rng(0).permutation(len(labels_N))[:num])
    return np.stack([np.asarray(x_NCHW[i : i + 1])[0] for i in chosen]).astype(np.float32), labels_N[chosen]


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


class Kept:
    """What was found so far, by net and file, in one JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, dict[str, Any]] = read_json(path) if path.is_file() else {}

    def of(self, net: str, name: str) -> dict[str, Any]:
        """The entry of a file, made when it is first asked for."""
        return cast(dict[str, Any], self.found.setdefault(net, {}).setdefault(name, {}))

    def save(self) -> None:
        """Write all of it."""
        write_json(self.path, self.found)


def write_files(net: Net, kept: Kept, options: argparse.Namespace) -> None:
    """Every format and precision, with what could not be written and why."""
    calibration = CalibrationImages(*rows_of(net.images, "calibrate", NUM_CALIBRATE), positive=net.images.positive)
    if not kept.of(net.name, BASE):
        kept.of(net.name, BASE).update(older(net, options.folder))
    spec = ExportSpec((3, net.px, net.px))
    plans: list[tuple[str, str, ExportSpec]] = [(PLAIN, "onnx", ExportSpec((3, net.px, net.px), rewrites=()))]
    for format_name, precision in TRIED:
        images = calibration if precision == "int8" else None
        targets = TARGETS if format_name.startswith("trt") else ()
        if precision in ("fp32", "bf16"):  # which Turing's engines have no matrix products for
            targets = tuple(each for each in targets if each != "sm75")
        asked = ExportSpec(spec.input_shape, precision=precision, targets=targets, calibration=images)
        plans.append((f"{format_name}-{precision}", format_name, asked))
    for name, format_name, asked in plans:
        if options.files and name not in options.files:
            continue
        entry = kept.of(net.name, name)
        if "files" in entry or "error" in entry:
            continue
        place = options.folder / net.name / name
        place.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        try:
            files = get_exporter(format_name).export(net.module, asked, place)
        except EdgeNASError as error:
            entry["error"] = f"{type(error).__name__}: {error}"
        else:
            entry["files"] = [described(file, options.folder) for file in files]
        entry["seconds"] = round(time.perf_counter() - began, 1)
        say(f"{net.name} {name}: {entry.get('error', 'written')}")
        kept.save()


def older(net: Net, folder: Path) -> dict[str, Any]:
    """What PyTorch's older exporter writes, or why it does not."""
    import warnings

    import torch

    path = folder / net.name / "older.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    names: dict[str, Any] = {"input_names": ["image"], "output_names": ["logits"]}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(net.module, (torch.zeros(1, 3, net.px, net.px),), path, dynamo=False, opset_version=17, **names)
    except (torch.onnx.OnnxExporterError, RuntimeError, ValueError) as error:
        return {"error": str(error).splitlines()[0][:120]}
    return {"files": [described(ExportedFile(path, "onnx", "onnxruntime-cpu", "fp32", 1), folder)], "seconds": 0.0}


def described(file: ExportedFile, folder: Path) -> dict[str, Any]:
    """A written file as JSON."""
    parts = [file.path, *file.parts]
    return {
        "path": str(file.path.relative_to(folder)),
        "kind": file.kind,
        "runtime": file.runtime,
        "precision": file.precision,
        "batch_size": file.batch_size,
        "targets": list(file.targets),
        "emulation": None if file.emulation is None else str(file.emulation.relative_to(folder)),
        "size_bytes": sum(each.stat().st_size for each in parts),
        "notes": dict(file.notes),
    }


def exported(entry: Mapping[str, Any], folder: Path) -> ExportedFile:
    """A file that was described."""
    emulation = entry["emulation"]
    return ExportedFile(
        folder / entry["path"],
        entry["kind"],
        entry["runtime"],
        entry["precision"],
        entry["batch_size"],
        tuple(entry["targets"]),
        None if emulation is None else folder / emulation,
        entry["notes"],
    )


def judge(net: Net, kept: Kept, options: argparse.Namespace) -> None:
    """Parity of every file on images of the test split; of engines by their emulation."""
    from edgenas.training.evaluation import logits

    entries = kept.found.get(net.name, {})
    judged = [name for name, entry in entries.items() if entry.get("files") and "parity" not in entry]
    if not judged:
        return
    images, labels = rows_of(net.images, "test", options.num_test)
    reference = logits(net.module, images)
    names, positive = net.images.class_names, net.images.positive
    accuracy = float((reference.argmax(1) == labels).mean())
    for name in judged:
        entry = entries[name]
        try:
            parity = judge_parity(exported(entry["files"][0], options.folder), reference, images, labels, names, positive=positive)
        except EdgeNASError as error:
            entry["parity"] = {"verdict": "failed", "reason": str(error)}
        else:
            entry["parity"] = parity.as_json()
        entry["accuracy"], entry["num_images"] = accuracy, len(labels)
        say(f"{net.name} {name}: parity {entry['parity']['verdict']}")
        kept.save()


def runnable(entry: Mapping[str, Any]) -> bool:
    """Whether its runtime works on this machine's processor."""
    if not entry.get("files"):
        return False
    runtime = get_runtime(entry["files"][0]["runtime"])
    return runtime.device_kind == "cpu" and runtime.probe().works


def time_files(net: str, kept: Kept, options: argparse.Namespace) -> None:
    """All files that run here in turn, one live session at a time, beside what PyTorch's older exporter writes."""
    entries = kept.found.get(net, {})
    names = [name for name, entry in entries.items() if runnable(entry)]
    if BASE not in names:
        return
    shape = input_shape(options.folder / entries[BASE]["files"][0]["path"])
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for threads in options.threads:
        key = f"{threads}_threads"
        if all(key in entries[name] for name in names):
            continue
        files = [exported(entries[name]["files"][0], options.folder) for name in names]
        entrants = [Entrant(file.path, get_runtime(file.runtime), image, file.precision, threads) for file in files]
        settings = replace(BENCH_TIMING, visits=options.visits)
        *_, turns = take_turns(entrants, entrants[names.index(BASE)], settings, rng=np.random.default_rng(threads))
        for name, timing in zip(names, cast(Turns, turns).timings, strict=True):
            ratio = time_ratio(timing.visit_ratios)
            entries[name][key] = {"ms": timing.median_ms, "ratio": [ratio.value, ratio.low, ratio.high], "calls": timing.num_runs}
        kept.save()
        say(f"{net}: timed {len(names)} files with {threads} threads")


def input_shape(path: Path) -> tuple[int, ...]:
    """Of an ONNX file for one image: (1, C, H, W)."""
    import onnx

    (given,) = onnx.load(path, load_external_data=False).graph.input
    return tuple(each.dim_value for each in given.type.tensor_type.shape.dim)


STEPS: Mapping[str, Callable[[Net, Kept, argparse.Namespace], None]] = {"files": write_files, "parity": judge}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the steps asked for."""
    options = parser().parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    kept = Kept(options.folder / "found.json")
    for step in (each for each in options.steps if each in STEPS):
        for net in nets(options):
            STEPS[step](net, kept, options)
    for name in options.nets if "timing" in options.steps else ():
        time_files(name, kept, options)
    if "report" in options.steps:
        (options.folder / "export.md").write_text(tables(kept.found, (BASE, *FILES)), encoding="utf-8")
    sys.stdout.write(json.dumps({net: len(entries) for net, entries in kept.found.items()}) + "\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    made.add_argument("steps", nargs="+", choices=[*STEPS, "timing", "report"])
    made.add_argument("--folder", type=Path, default=Path("export-study"))
    made.add_argument("--weights", type=Path, nargs="+", default=[], help="Of `benchmarks.export_weights`, a file for a net.")
    made.add_argument("--demo", type=Path, help="Run folder of `edgenas demo`.")
    made.add_argument("--threads", type=int, nargs="+", default=list(THREADS))
    made.add_argument("--visits", type=int, default=BENCH_TIMING.visits)
    made.add_argument("--per-class", type=int, default=400, help="Images drawn of every class to fit and calibrate with.")
    made.add_argument("--num-test", type=int, default=NUM_TEST, help="Images of the test split that parity is judged by.")
    made.add_argument("--files", nargs="+", choices=FILES, help="That are written; default: all.")
    made.add_argument("--nets", nargs="+", choices=NAMES, default=list(NAMES))
    return made


if __name__ == "__main__":
    sys.exit(main())
