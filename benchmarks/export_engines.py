"""Engines of TensorRT-RTX ahead of time: which net builds for which GPU in which precision, how large, and what it computes in.

No GPU is needed, and no time is measured: this may run on a busy machine.

    python -m benchmarks.export_engines --output docs/measurements/export_engines

writes `export_engines.md` and `.json`, row after row, and goes on where it was stopped. What an engine answers is judged by the
graph that emulates its rounding, never by the engine: there is no GPU.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from edgenas.exporters import tensorrt_rtx
from edgenas.exporters.onnx import TypedGraph

from benchmarks.export_nets import NAMES, Net, nets
from edgenas.deploy.calibrating import CalibrationImages
from edgenas.deploy.contracts import ExportSpec, Precision
from edgenas.errors import EdgeNASError
from edgenas.runs import read_json, write_json, write_text
from edgenas.runs.versions import versions

SCHEMA = 1  # first
ORDER: tuple[Precision, ...] = ("fp32", "fp16", "bf16", "int8")
PRECISIONS = tuple(sorted(tensorrt_rtx.TensorRtRtxExporter.precisions, key=ORDER.index))
Row = dict[str, Any]


def typed_of(net: Net, precision: Precision) -> tuple[TypedGraph, ExportSpec]:
    """The typed graph that all of a net's engines of a precision are built from; int8 is calibrated on noise, for size alone."""
    noise_NCHW = np.random.default_rng(0).standard_normal((16, *net.shape)).astype(np.float32)
    anything_goes = CalibrationImages(noise_NCHW, max_changed=1.0) if precision == "int8" else None
    spec = ExportSpec(net.shape, 1, precision, calibration=anything_goes)
    return tensorrt_rtx.typed_for_engines(net.module, spec), spec


def rows_of(net: Net, precision: Precision, targets: Sequence[str]) -> Iterator[Row]:
    """A row for each target: its size, or why there is none."""
    trt = tensorrt_rtx.load_package()
    known: Row = {"net": net.name, "image_px": net.shape[1], "precision": precision}
    try:
        typed, spec = typed_of(net, precision)
    except EdgeNASError as error:
        yield from (known | {"target": target, "size_bytes": None, "why": error.message} for target in targets)
        return
    with TemporaryDirectory() as folder:
        for label, group in tensorrt_rtx.require_targets(trt, targets).items():
            half_head = tensorrt_rtx.needs_half_head(precision, group)
            source = tensorrt_rtx.source_of(typed, spec, Path(folder), half_head=half_head)
            row = known | {"target": label, "for": list(group), "onnx_bytes": len(source.data), "half_head": half_head}
            try:
                built = tensorrt_rtx.build_for(trt, source, precision, group)
            except EdgeNASError as error:
                yield row | {"size_bytes": None, "why": " ".join([error.message, *error.problems])}
                continue
            yield row | {"size_bytes": len(built.engine), **source.notes, **built.notes}


def table(rows: Sequence[Row], targets: Sequence[str]) -> str:
    """One line a net and precision, one column a target: the engine's size in MB, or a letter for why there is none."""
    reasons: dict[str, str] = {}
    lines = [
        "| net | precision | work in it | operators in it | ONNX | " + " | ".join(targets) + " |",
        "|---|---|" + "--:|" * (3 + len(targets)),
    ]
    for net, precision in dict.fromkeys((row["net"], row["precision"]) for row in rows):
        found = {row["target"]: row for row in rows if (row["net"], row["precision"]) == (net, precision)}
        any_row = next(iter(found.values()))
        named = next((row for row in found.values() if "precision_share" in row and not row["half_head"]), any_row)
        words = str(named.get("precision_share", "100 % of multiply-accumulates and 100 % of operators"))
        is_built = any(row["size_bytes"] for row in found.values())
        cells = [part.partition(" of ")[0] if is_built else "–" for part in words.split(" and ")]
        cells.append("–" if "onnx_bytes" not in named else f"{named['onnx_bytes'] / 1e6:.1f}")
        cells += [_cell(found.get(target), reasons) for target in targets]
        lines.append(f"| {net} | {precision} | " + " | ".join(cells) + " |")
    notes = [f"{letter}: {why}" for why, letter in reasons.items()]
    return "\n".join(lines) + ("\n\n" + "\n".join(f"- {note}" for note in notes) if notes else "")


def _cell(row: Row | None, reasons: dict[str, str]) -> str:
    if row is None:
        return ""
    if row["size_bytes"] is None:
        return reasons.setdefault(_general(row["why"]), chr(ord("a") + len(reasons)))
    return f"{row['size_bytes'] / 1e6:.1f}"


def _general(why: str) -> str:
    """A reason without the name of the layer that it was first seen at."""
    starts = [at for at in (why.find("for Turing"), why.find("because the model")) if at >= 0]
    return f"refused by TensorRT-RTX {why[starts[0] :].partition('. In ')[0]}" if starts else why


def document(result: Row, command: str) -> str:
    """The page, from what is kept."""
    place = {name: number for number, name in enumerate(NAMES)}
    rows = sorted(result["rows"], key=lambda row: (place.get(row["net"], len(place)), ORDER.index(row["precision"])))
    used = result["versions"]
    built = [row for row in rows if row["size_bytes"] is not None]
    said = [row for row in built if "precision_rest" in row]
    kept = dict.fromkeys(
        f"{row['net']} {row['precision']}{' for sm75' if row['half_head'] else ''}: {row['precision_rest']}" for row in said
    )
    drawn = "Weights are drawn, but for the demo" if result.get("has_trained_demo") else "Weights are drawn"
    paragraphs = [
        "# Engines of TensorRT-RTX, built ahead of time without a GPU",
        f"`{command}`, {result['date']}, {', '.join(f'{name} {version}' for name, version in used.items())}.",
        f"{len(built)} of {len(rows)} engines were built; sizes are in MB (10⁶ bytes). *Work in it* and *operators in it* are the "
        "shares of multiply-accumulates and of operators that compute in that precision, by the types of the network, which are "
        "binding (layers of logits stay fp32; for sm75 they are half as well). `portable` is one engine for all architectures from "
        f"sm80 on. {drawn}; int8 is calibrated on noise: its rows say whether it builds and how large "
        "it is, nothing of what it answers. No engine was run: there was no GPU.",
        table(rows, result["targets"]),
        "## What is in another precision, and why",
        "\n".join(f"- {line}" for line in kept) or "Nothing.",
    ]
    return "\n\n".join(paragraphs) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Build everything that is not there yet; 1 if nothing at all was built."""
    options = parser().parse_args(arguments)
    command = "python -m benchmarks.export_engines"
    kept = options.output.with_suffix(".json")
    trt = tensorrt_rtx.load_package()
    targets = tuple(options.targets or (*tensorrt_rtx.supported_targets(trt), tensorrt_rtx.PORTABLE))
    result: Row = {"schema_version": SCHEMA, "date": "", "versions": {}, "targets": list(targets), "rows": []}
    if kept.exists() and not options.again:
        result = read_json(kept, schema_version=SCHEMA)
    done = {(row["net"], row["precision"]) for row in result["rows"]}
    for net in nets(options.nets, options.demo):
        for precision in options.precisions:
            if (net.name, precision) in done:
                continue
            for row in rows_of(net, precision, targets):
                result["rows"].append(row)
                said = f"{row['size_bytes']} bytes" if row["size_bytes"] is not None else row["why"][:150]
                sys.stderr.write(f"{net.name} {precision} {row['target']}: {said}\n")
            result["has_trained_demo"] = options.demo is not None
            result |= {"date": f"{datetime.now(tz=UTC):%Y-%m-%d}", "versions": {k: v for k, v in versions().items() if v}}
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_json(kept, result)
            write_text(options.output.with_suffix(".md"), document(result, command))
    sys.stdout.write(f"{options.output.with_suffix('.md')}\n")
    return 0 if any(row["size_bytes"] is not None for row in result["rows"]) else 1


def parser() -> argparse.ArgumentParser:
    """What may be chosen."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--nets", nargs="+", default=list(NAMES), metavar="NAME", help=f"default: {', '.join(NAMES)}")
    result.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    result.add_argument("--targets", nargs="+", metavar="TARGET", help="default: all that TensorRT-RTX builds for, and portable")
    result.add_argument(
        "--demo", type=Path, metavar="RUN", help="run folder of a demo; without it, a net of its space with drawn weights"
    )
    result.add_argument("--output", type=Path, default=Path("docs/measurements/export_engines"), help="without a suffix")
    result.add_argument("--again", action="store_true", help="build what is there already, too")
    return result


if __name__ == "__main__":
    sys.exit(main())
