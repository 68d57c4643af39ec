"""Which heavy modules a command imports: it runs in a process of its own, whose modules are told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HEAVY = (
    "numpy",
    "rich",
    "PIL",
    "scipy.stats",
    "scipy.optimize",
    "sklearn",
    "torch",
    "torch._dynamo",
    "torch.onnx",
    "torchvision",
    "timm",
    "torchmetrics",
    "matplotlib",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "pandas",
    "sympy",
)
_SCRIPT = """
import importlib, json, os, sys
from edgenas.cli import main
beforehand, heavy = json.loads(sys.argv[1])
for name in beforehand:
    importlib.import_module(name)
for line in sys.stdin:
    cwd, arguments = json.loads(line)
    pid = os.fork()
    if not pid:
        answers = os.dup(1)
        for descriptor in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        os.chdir(cwd)
        try:
            main(arguments)
        except SystemExit as done:
            code = done.code
        os.write(answers, (json.dumps([code, sorted(set(heavy) & set(sys.modules))]) + chr(10)).encode())
        os._exit(0)
    os.waitpid(pid, 0)
"""
OFTEN = ("edgenas.report.terminal", "edgenas.project.early", "edgenas.data.images", "edgenas.search.limits", "edgenas.spaces")
Imported = Callable[..., tuple[int, set[str]]]


@contextmanager
def commands(beforehand: Sequence[str] = ()) -> Iterator[Imported]:
    """Runs commands in forks of a process that has imported the command line, and what is allowed to every command.

    What is yielded takes the arguments of a command and ``cwd``; it gives its exit code and which of `HEAVY` are imported then.
    """
    script = [sys.executable, "-c", _SCRIPT, json.dumps([list(beforehand), HEAVY])]
    with subprocess.Popen(
        script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        orders, answers = server.stdin, server.stdout

        def imported(*arguments: str, cwd: Path) -> tuple[int, set[str]]:
            orders.write(json.dumps([str(cwd), arguments]) + "\n")
            orders.flush()
            code, names = json.loads(answers.readline())
            return code, set(names)

        yield imported
        orders.close()
