"""Build a TensorRT engine of the ONNX file in this folder, on the device that it is for, and prove its precision.

    python3 build_engine.py [--trtexec PATH] [--onnx FILE] [--output FILE]

Needs TensorRT's `trtexec` (on a Jetson /usr/src/tensorrt/bin/trtexec) and Python 3.8 or later, nothing else. TensorRT 10 and 11
compute in the types of the file; older ones would choose by themselves, and are refused. The engine is written beside this folder.
Exit status: 0 built and proven, 1 not built, 2 wrong arguments, 4 built in another precision than asked for, or not proven.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Sequence, Tuple

HERE = Path(__file__).resolve().parent
PLACES = ("trtexec", "/usr/src/tensorrt/bin/trtexec", "/usr/local/tensorrt/bin/trtexec")
WORDS = (
    ("bf16", r"\b(bfloat16|bf16)\b"),
    ("fp16", r"\b(half|fp16|float16)\b"),
    ("fp32", r"\b(float|fp32|float32)\b"),
    ("int8", r"\bint8\b"),
)
FIELDS = ("datatype", "format/datatype", "type", "format")
Version = Tuple[int, int]


def find_trtexec(given: str | None) -> str | None:
    """The program, or None."""
    programs = (shutil.which(place) for place in ((given,) if given else PLACES))
    return next((program for program in programs if program), None)


def version_of(program: str) -> Version:
    """Major and minor of TensorRT, by ``TensorRT v8502``, ``v100300`` or ``v10.3.0``; zeros if it does not say."""
    said = run([program, "--help"]).stdout
    dotted = re.search(r"TensorRT(?: version:?| v)\s*(\d+)\.(\d+)", said)
    if dotted:
        return int(dotted.group(1)), int(dotted.group(2))
    joined = re.search(r"TensorRT v(\d{4,6})\b", said)
    if not joined:
        return 0, 0
    number = int(joined.group(1))  # two digits each since 10
    return (number // 10000, number // 100 % 100) if number >= 100000 else (number // 1000, number // 100 % 10)


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """The command's output and status."""
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def kind_of(tensor: dict[str, Any]) -> str | None:
    """The precision that a tensor of the layer report names; None for integers and what is not known."""
    fields = {str(key).lower(): str(value).lower() for key, value in tensor.items()}
    for field in FIELDS:
        for kind, pattern in WORDS:
            if field in fields and re.search(pattern, fields[field]):
                return kind
    return None


def types_in(report: dict[str, Any]) -> dict[str, int]:
    """How many inner tensors of an engine are in which precision; the engine's inputs and outputs are not counted."""
    listed = (report.get("Bindings") or []) + (report.get("I/O Tensors") or [])
    border = {str(each.get("Name") if isinstance(each, dict) else each) for each in listed}
    kinds: dict[str, str] = {}
    for number, layer in enumerate(report.get("Layers", [])):
        for group in ("Inputs", "Outputs", "Constants") if isinstance(layer, dict) else ():
            tensors = layer.get(group) if isinstance(layer.get(group), list) else []
            for place, tensor in enumerate(each for each in tensors if isinstance(each, dict)):
                name, kind = str(tensor.get("Name", f"{number}.{group}.{place}")), kind_of(tensor)
                if name not in border and kind is not None:
                    kinds[name] = kind
    return {kind: list(kinds.values()).count(kind) for kind in sorted(set(kinds.values()))}


def judged(precision: str, counts: dict[str, int]) -> tuple[str, int]:
    """What to say of an engine, and the exit status."""
    if not counts:
        return "its precision is not proven: trtexec's layer report names no data type", 4
    inner = ", ".join(f"{num} {kind}" for kind, num in counts.items())
    if (set(counts) != {"fp32"}) if precision == "fp32" else (precision not in counts):
        return f"{precision} was asked for, but its inner tensors are {inner}", 4
    return f"it computes in {precision}: {inner} inner tensors", 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trtexec", help="TensorRT's program; default: where it usually is")
    parser.add_argument("--onnx", help="file of this folder; default: the one for one image a call")
    parser.add_argument("--output", help="engine to write; default: beside this folder")
    options = parser.parse_args(arguments)
    files = [file for file in json.loads((HERE / "manifest.json").read_text("utf-8"))["files"] if file["kind"] == "onnx"]
    files.sort(key=lambda file: bool(file["batch_size"] != 1))
    chosen = [file for file in files if options.onnx in (None, file["path"])]
    if not chosen:
        return said(f"there is no {options.onnx}, only {', '.join(file['path'] for file in files)}", 2)
    program = find_trtexec(options.trtexec)
    if program is None:
        return said("trtexec is not found; give its place with --trtexec, on a Jetson /usr/src/tensorrt/bin/trtexec", 1)
    version = version_of(program)
    if version[0] < 10:
        return said(f"TensorRT {version[0]}.{version[1]} is too old: 10 or later computes in the types of the file", 1)
    file = chosen[0]
    engine = Path(options.output) if options.output else HERE.parent / f"{HERE.name}-{Path(file['path']).stem}.engine"
    return build(program, version, file, engine)


def build(program: str, version: Version, file: dict[str, Any], engine: Path) -> int:
    """Run trtexec and say what it made."""
    with tempfile.TemporaryDirectory() as folder:
        layers = Path(folder) / "layers.json"
        flags = [f"--onnx={HERE / file['path']}", f"--saveEngine={engine}", "--skipInference"]
        flags += ["--profilingVerbosity=detailed", f"--exportLayerInfo={layers}"]
        flags += ["--stronglyTyped"] if version[0] == 10 else []
        done = run([program, *flags])
        if done.returncode != 0 or not engine.is_file():
            wrong = [line.strip() for line in done.stdout.splitlines() if "[E]" in line] or done.stdout.strip().splitlines()[-1:]
            return said(f"trtexec built no engine: {'; '.join(wrong[:3])}", 1)
        report = json.loads(layers.read_text("utf-8")) if layers.is_file() else {}
    words, status = judged(file["precision"], types_in(report if isinstance(report, dict) else {}))
    if status:
        engine = engine.replace(engine.with_name(f"{engine.name}.refused"))  # nobody takes it for what its name says
    return said(f"{engine}: TensorRT {version[0]}.{version[1]}; {words}", status)


def said(words: str, status: int) -> int:
    """Say it, on stdout where all is well."""
    (sys.stderr if status else sys.stdout).write(f"{words}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
