"""Runs edgenas commands in processes that are forked after everything slow was imported, so that they can be killed by the dozen.

Reads one JSON object a line: ``{"cwd", "arguments", "out", "err"}``. Answers with the process's id, and with its exit status when
it ended, however it did.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
from importlib import import_module

from tests.sparing import blank_pictures
from tests.tracing import read_operators_once, trace_each_net_once

HEAVY = (
    "torch",
    "timm",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "matplotlib.figure",
    "sklearn.datasets",
    "rich.progress",
    "safetensors.torch",
)
FEW_VISITS = {"visits": 2, "runs": 3}  # of finalists
LOADER_SECONDS = 0.1  # that `info` loads images for
FEW_WIDTHS = (4, 6)  # of the plain CNN, each of which is exported and timed
DRAWN = ("compare", "report")  # whose pictures are looked at; drawing is a third of a short training
RECIPES = ("train", "profile", "plan", "search", "retrain", "export", "evaluate", "verify", "info", "init")


def child(order: dict[str, object], leads: int) -> None:
    """Become the command, and close a descriptor once it leads a group and may be sent signals, even before it handles any."""
    os.chdir(str(order["cwd"]))
    for descriptor, name in ((1, "out"), (2, "err")):
        opened = os.open(str(order[name]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(opened, descriptor)
    from edgenas.cli import main

    arguments = order["arguments"]
    assert isinstance(arguments, list)
    code = 0
    try:
        os.setsid()
        os.close(leads)
        with contextlib.nullcontext() if arguments[0] in DRAWN else blank_pictures():
            main([*map(str, arguments), "--json"])
    except SystemExit as error:
        code = int(error.code or 0)
    except KeyboardInterrupt:
        code = 130
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def say(text: str) -> None:
    """Answer with a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def trace_once() -> None:
    """Trace a net, so that no command pays again for what the first one of a process imports and collects."""
    from edgenas.exporters.onnx import export_graph
    from torch import nn

    from edgenas.deploy.contracts import ExportSpec

    export_graph(nn.Linear(2, 2), (2,), opset=ExportSpec((2,)).opset)  # what is collected is kept for each opset


def serve() -> None:
    """Fork a child for every line."""
    for name in (*HEAVY, "edgenas.cli.runner", "edgenas.report.terminal", *(f"edgenas.recipes.{name}" for name in RECIPES)):
        import_module(name)
    read_operators_once()
    trace_each_net_once()
    trace_once()
    import_module("edgenas.project.retraining.equal_cnn").WIDTHS = FEW_WIDTHS
    import_module("edgenas.recipes.info").LOADER_SECONDS = LOADER_SECONDS
    writing = import_module("edgenas.project.exporting.writing")
    both = writing.specs_of
    writing.specs_of = lambda *arguments: both(*arguments)[:1]  # the file for one image a call
    pace = import_module("edgenas.training.pace")
    pace.MIN_STEPS = pace.WARMUP_STEPS = import_module("edgenas.training.probing").TIMED = 1  # what trainings will take
    import_module("edgenas.project.comparing.training").LOOK_S = 0.0
    whole = import_module("edgenas.latency.measuring.whole")
    whole.ATTEMPTS, whole.FINALIST_TIMING = 1, import_module("edgenas.latency.timing").TimingSettings(**FEW_VISITS)
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    say("ready")
    for line in sys.stdin:
        ended, leads = os.pipe()
        pid = os.fork()
        if pid == 0:
            child(json.loads(line), leads)
        os.close(leads)
        os.read(ended, 1)  # until it leads a group: a signal to a group that is not there yet would be lost
        os.close(ended)
        say(str(pid))
        say(str(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    serve()
