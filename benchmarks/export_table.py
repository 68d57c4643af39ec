"""What `benchmarks.export_study` found as Markdown for docs/measurements/export.md: one table a net, one row a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

RUNTIMES = {
    "onnxruntime-cpu": "ONNX Runtime",
    "onnxruntime-cuda": "ONNX Runtime CUDA",
    "tensorrt": "TensorRT",
    "openvino-cpu": "OpenVINO",
    "executorch-cpu": "ExecuTorch",
    "tensorrt-rtx": "TensorRT-RTX",
}
THREADS = (1, 2)
_SHARE = "macs_share_"


def tables(found: Mapping[str, Mapping[str, Any]], order: Sequence[str]) -> str:
    """All nets that were studied.

    Args:
        found: by net and file what was written, judged and timed.
        order: of the rows; files of other names are left out.
    """
    ordered = {net: {name: entries[name] for name in order if name in entries} for net, entries in found.items()}
    return "\n".join(line for net, entries in ordered.items() for line in (*table(net, entries), ""))


def table(net: str, entries: Mapping[str, Any]) -> list[str]:
    """A net's rows, under what is true of all of them."""
    judged = next((entry for entry in entries.values() if "accuracy" in entry), None)
    said = "" if judged is None else f", which decides {judged['accuracy']:.1%} of {judged['num_images']} images rightly"
    return [
        f"### {net}{said}",
        "",
        "| file | runtime | 1 thread | 2 threads | parity | changed | newly missed | size, MB | work in it |",
        "|---|---|---|---|---|--:|--:|---|--:|",
        *(row(name, entry) for name, entry in entries.items()),
    ]


def row(name: str, entry: Mapping[str, Any]) -> str:
    """A file's line; of one that was not written, why."""
    shown = name.replace("-plain", ", no rewrite")
    for precision in ("fp32", "fp16", "bf16", "int8"):
        shown = shown.replace(f"-{precision}", f" {precision}")
    if "error" in entry:
        return f"| {shown} | not written: {_reason(entry['error'])} | – | – | – | – | – | – | – |"
    file = entry["files"][0]
    times = [_time(entry, f"{threads}_threads") for threads in THREADS]
    columns = [RUNTIMES.get(file["runtime"], file["runtime"]), *times, *_parity(entry.get("parity", {}))]
    return f"| {shown} | {' | '.join([*columns, _sizes(entry['files']), _share(file)])} |"


def _time(entry: Mapping[str, Any], key: str) -> str:
    """The ratio to the older exporter's file, with its interval of 95 %, which too few visits do not give."""
    if key not in entry:
        return "–"
    value, low, high = entry[key]["ratio"]
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _parity(parity: Mapping[str, Any]) -> list[str]:
    """Verdict, changed decisions, new misses; those of the emulation where a file cannot run here."""
    if not parity:
        return ["–", "–", "–"]
    judged = parity.get("emulated") or parity
    emulated = " (emulated)" if parity.get("emulated") else ""
    if "flips" not in judged:
        return [f"{judged['verdict']}{emulated}: {_one_line(judged.get('reason') or '')}", "–", "–"]
    return [f"{judged['verdict']}{emulated}", str(sum(judged["flips"].values())), str(judged["new_false_negatives"])]


def _sizes(files: Sequence[Mapping[str, Any]]) -> str:
    """Megabytes; of engines every GPU's that differs by more than 2 % from the most usual."""
    sizes = {",".join(file["targets"]): file["size_bytes"] / 1e6 for file in files}
    usual = sorted(sizes.values())[len(sizes) // 2]
    others = [f"{name.upper()}: {_mb(size)}" for name, size in sizes.items() if abs(size / usual - 1) > 0.02]
    return _mb(usual) + (f" ({', '.join(others)})" if others else "")


def _mb(size: float) -> str:
    return f"{size:.2f}" if size < 1 else f"{size:.1f}"


def _share(file: Mapping[str, Any]) -> str:
    """Share of multiply-accumulates in the precision that was asked for."""
    share = file["notes"].get(f"{_SHARE}{file['precision']}")
    return "–" if share is None else f"{share:.1%}" if share < 0.9995 else "100 %"


def _reason(error: str) -> str:
    """What an error says, without its class, what was allowed and what to do."""
    said = error.partition("Error: ")[2] or error
    for rest in ("; allowed are", "; expected is", ". export with"):
        said = said.partition(rest)[0]
    return _one_line(said)


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")
