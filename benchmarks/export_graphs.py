"""How long the graphs of one net take, in turn: exported by PyTorch as others do it, traced, and with every set of rewrites.

Baselines are PyTorch's older exporter (TorchScript, opset 17) where it takes the net; the new graphs are what `export` writes for
a runtime. Every graph is timed for a fixed and a free batch, in every runtime that works here, at every number of threads. Ratios
are to the first row in the first runtime, by visits that lie beside each other. Outputs are compared on noise.

    python -m benchmarks.export_graphs --nets timm:pvt_v2_b0,pvt-elastic,autoformer-tiny --threads 1,2 --output graphs.md

Nothing heavy may run beside it. ``--each`` also times every rewrite alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgenas.deploy.contracts import ExportSpec, Runtime
from edgenas.deploy.plugins import get_exporter, get_runtime
from edgenas.graphs.rewriting import ALL
from edgenas.latency.timing import BENCH_TIMING, Entrant, Turns, cpu_model, take_turns
from edgenas.spaces import get_space
from edgenas.supernets import build_net

if TYPE_CHECKING:
    from torch import nn

RUNTIMES = ("onnxruntime-cpu", "openvino-cpu")


@dataclass(frozen=True, slots=True)
class Graph:
    """A file of a net and what it is called in the table."""

    name: str
    path: Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Write one table a net and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", default="timm:pvt_v2_b0", help="timm:NAME and spaces, separated by commas")
    parser.add_argument("--image-px", type=int, default=224)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--visits", type=int, default=BENCH_TIMING.visits)
    parser.add_argument("--each", action="store_true", help="every rewrite alone, too")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    runtimes = [runtime for runtime in map(get_runtime, RUNTIMES) if runtime.probe().works]
    versions = ", ".join(f"{runtime.name} {runtime.probe().version}" for runtime in runtimes)
    lines = [
        "# Graphs of one net, in turn",
        "",
        f"{cpu_model()}; {versions}; batch 1, {options.image_px} px, {options.visits} visits.",
    ]
    lines += ["", f"`python -m benchmarks.export_graphs {' '.join(sys.argv[1:])}`"]
    for name in options.nets.split(","):
        net = net_of(name, options.image_px)
        with tempfile.TemporaryDirectory() as folder:
            graphs = list(graphs_of(net, options.image_px, Path(folder), each=options.each))
            for threads in map(int, options.threads.split(",")):
                sys.stderr.write(f"{name}, {threads} threads\n")
                lines += ["", f"## {name}, {threads} thread(s)", "", *timed(graphs, runtimes, threads, options)]
        options.output.write_text("\n".join(lines) + "\n")
    return 0


def net_of(name: str, image_px: int) -> nn.Module:
    """A net of timm, or the largest of a space; weights are drawn so that no two tensors are equal."""
    import timm
    import torch

    torch.manual_seed(0)
    if name.startswith("timm:"):
        net = timm.create_model(name.removeprefix("timm:"), num_classes=10)
    else:
        space = get_space(name)
        task = replace(space.default_task, num_classes=10, image_px=image_px)
        genes = space.sample(1, np.random.default_rng(0))[0]
        net = build_net(space, task, tuple(int(gene) for gene in genes))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return net.eval()


def graphs_of(net: nn.Module, image_px: int, folder: Path, *, each: bool) -> Iterator[Graph]:
    """Files of a net: the older exporter's, the traced ones, and the rewritten ones, for a fixed and a free batch."""
    yield from _older(net, image_px, folder)
    sets: dict[str, tuple[str, ...]] = {"traced": (), "rewritten": ALL}
    sets |= {f"only {name}": (name,) for name in ALL} if each else {}
    for title, rewrites in sets.items():
        for batch_size in (1, None):
            spec = ExportSpec((3, image_px, image_px), batch_size, rewrites=rewrites)
            inner = folder / f"{title} {batch_size}".replace(" ", "-")
            inner.mkdir()
            (file,) = get_exporter("onnx").export(net, spec, inner)
            yield Graph(f"{title}, {'one' if batch_size else 'any'}", file.path)


def _older(net: nn.Module, image_px: int, folder: Path) -> Iterator[Graph]:
    """What PyTorch's TorchScript exporter writes; nothing where it does not take the net."""
    import torch

    image = torch.zeros(1, 3, image_px, image_px)
    for title, axes in (("one", None), ("any", {"image": {0: "batch"}, "logits": {0: "batch"}})):
        path = folder / f"older-{title}.onnx"
        names: dict[str, Any] = {"input_names": ["image"], "output_names": ["logits"], "dynamic_axes": axes}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.onnx.export(net, (image,), str(path), dynamo=False, opset_version=17, **names)
        except (torch.onnx.OnnxExporterError, RuntimeError, ValueError) as error:
            sys.stderr.write(f"the older exporter does not take the net: {str(error).splitlines()[0][:120]}\n")
            return
        yield Graph(f"older, {title}", path)


def timed(graphs: Sequence[Graph], runtimes: Sequence[Runtime], threads: int, options: argparse.Namespace) -> list[str]:
    """A Markdown table: per graph and runtime the ratio with the spread of its visits, and the largest difference of outputs."""
    image = np.random.default_rng(0).standard_normal((1, 3, options.image_px, options.image_px)).astype(np.float32)
    entrants = [Entrant(graph.path, runtime, image, "fp32", threads) for graph in graphs for runtime in runtimes]
    settings = replace(BENCH_TIMING, visits=options.visits)
    turns = None
    for record in take_turns(entrants, entrants[0], settings, rng=np.random.default_rng(0)):
        turns = record
    assert isinstance(turns, Turns)
    expected = answers(entrants[0])
    heads = [f"{runtime.name} {what}" for runtime in runtimes for what in ("ratio", "difference")]
    rows = ["| graph | " + " | ".join(heads) + " |", "|---" * (1 + len(heads)) + "|"]
    timings = iter(zip(entrants, turns.timings, strict=True))
    for graph in graphs:
        cells = []
        for _ in runtimes:
            entrant, timing = next(timings)
            low, high = np.quantile(timing.visit_ratios, [0.25, 0.75])
            difference = float(np.abs(answers(entrant) - expected).max() / np.abs(expected).max())
            cells += [f"{timing.ratio:.3f} [{low:.3f}, {high:.3f}]", f"{difference:.1e}"]
        rows.append(f"| {graph.name} | " + " | ".join(cells) + " |")
    return rows


def answers(entrant: Entrant) -> np.ndarray[Any, Any]:
    """What a file gives for the image that it is timed with."""
    runner = entrant.load()
    try:
        return runner(entrant.images_NCHW)
    finally:
        runner.close()


if __name__ == "__main__":
    raise SystemExit(main())
