"""Which heavy modules a command imports: it runs in a process of its own, whose modules are told."""

from __future__ import annotations

import json
import subprocess
import sys
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
import json, sys
from edgenas.cli import main
try:
    main(json.loads(sys.argv[1]))
except SystemExit as done:
    code = done.code
print(json.dumps([code, sorted(set(json.loads(sys.argv[2])) & set(sys.modules))]), file=sys.stderr)
"""


def imported(*arguments: str, cwd: Path) -> tuple[int, set[str]]:
    """Exit code of a command, and which of `HEAVY` it imports."""
    command = [sys.executable, "-c", _SCRIPT, json.dumps(arguments), json.dumps(HEAVY)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    code, names = json.loads(done.stderr.splitlines()[-1])
    return code, set(names)
