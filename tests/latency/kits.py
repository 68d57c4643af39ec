"""Kits of small made-up nets, what runs their script, and a stand-in for trtexec."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgenas.latency import MeasuringSettings, TimingSettings
from edgenas.latency.kit.pack import KitPlan, Request, kit_plan, write_kit
from edgenas.spaces import SearchSpace
from edgenas.spaces.pvt import PVT_NANO

# a space of a few nets, so that a kit of it is timed in a second
SMALL, TINY = (
    replace(PVT_NANO, choices=tuple(replace(c, options=c.options[-1:]) if i > num else c for i, c in enumerate(PVT_NANO.choices)))
    for num in (2, 1)
)
FEW = MeasuringSettings(timing=TimingSettings(visits=2, visit_ms=0.1, warmup_ms=0.1), calibration_nets=4, validation_nets=2)
LINES = {"10": "[TensorRT v101303] [b9]", "11": "[TensorRT v110400] [b2]"}


def request(space: SearchSpace = SMALL, settings: MeasuringSettings = FEW, **changes: Any) -> Request:
    own: dict[str, Any] = {"runtime": "onnxruntime-cpu", "precision": "fp32", "batch_size": 1, "threads": 1, "opset": 18, "seed": 0}
    return Request(space=space, task=space.default_task, settings=settings, **{**own, **changes})


def graph(chain: Sequence[Any]) -> onnx.ModelProto:
    """A net with one product a component; the weights as they are drawn for tracing."""
    rng = np.random.default_rng(len(chain))
    nodes = [helper.make_node("Flatten", ["image"], ["h0"])]
    tensors, width = [], 3 * 32 * 32
    for link in range(len(chain)):
        weight = rng.uniform(0.01, 0.05, (width, 16)).astype(np.float32)
        tensors.append(numpy_helper.from_array(weight, f"{link}.weight"))
        nodes.append(helper.make_node("MatMul", [f"h{link}", f"{link}.weight"], [f"h{link + 1}"]))
        width = 16
    average = np.full((16, 32), 0.02, dtype=np.float32)  # a constant in the range of weights
    tensors.append(numpy_helper.from_array(average, "average"))
    nodes.append(helper.make_node("MatMul", [f"h{len(chain)}", "average"], ["logits"]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 32])
    inner = helper.make_graph(nodes, "net", [image], [logits], tensors)
    return helper.make_model(inner, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def unpacked(folder: Path, planned: KitPlan | None = None) -> Path:
    """An unpacked kit."""
    path = folder / "kit.zip"
    list(write_kit(path, planned or kit_plan(request()), graph))
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder / "kit")
    return folder / "kit"


# refuses everything that is neither Python's own nor NumPy nor ONNX Runtime
BARE = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {refused!r}:
            raise ImportError(name + " is refused here")
sys.meta_path.insert(0, Refuse())
sys.path[:0] = {paths!r}
import os
sys.argv = ["measure.py", *sys.argv[1:]]
runpy.run_path({script!r}, run_name="__main__")
"""
# sends itself a signal once it has recorded so much, however fast or slow the machine is
SIGNALLED = """
import os, sys
left = {records!r}
def count(frame, event, argument):
    global left
    if event == "return" and frame.f_code.co_name == "record":
        left -= 1
        if left == 0:
            sys.setprofile(None)
            os.kill(os.getpid(), {signal!r})
sys.setprofile(count)
"""
REFUSED = ("torch", "edgenas", "onnx", "timm", "scipy", "click", "rich", "google", "onnxscript", "exporters")


def bare_command(kit: Path, *arguments: str, folder: Path, signalled: tuple[int, int] | None = None) -> list[str]:
    """The script in an interpreter that sees only links to NumPy and ONNX Runtime, and none of the site's packages.

    Args:
        signalled: after how many records it gets which signal.
    """
    packages = folder / "packages"
    if not packages.exists():
        import onnxruntime

        packages.mkdir()
        for package in (np, onnxruntime):
            home = Path(str(package.__file__)).parent
            for found in (home, home.parent / f"{home.name}.libs"):
                if found.exists():
                    (packages / found.name).symlink_to(found)
    begun = "" if signalled is None else SIGNALLED.format(records=signalled[0], signal=int(signalled[1]))
    code = begun + BARE.format(refused=REFUSED, paths=[str(packages)], script=str(kit / "measure.py"))
    return [sys.executable, "-I", "-S", "-c", code, *arguments]


def run_bare(kit: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    command = bare_command(kit, *arguments, folder=folder)
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400, check=False)


def resealed(path: Path, change: Any) -> Path:
    """Results with a change that their hash knows of."""
    from edgenas.runs import write_sealed

    content = json.loads(path.read_text())
    content.pop("sha256")
    kind = content.pop("kind")
    change(content)
    changed = path.with_name("changed.json")
    write_sealed(changed, kind, content)
    return changed


FAKE = '''#!{python} -ES
"""Stands in for trtexec {version}: the same flags, lines and files as the real one, made-up times."""
import json, os, sys
flags = dict(part.lstrip("-").partition("=")[::2] for part in sys.argv[1:])
line = "TensorRT.trtexec {line} # " + " ".join(sys.argv)
print("&&&& RUNNING", line)
both = {{"help", "onnx", "saveEngine", "loadEngine", "timingCacheFile", "skipInference"}}
both |= {{"iterations", "duration", "warmUp", "avgRuns", "exportTimes", "idleTime"}}
known = both | ({{"stronglyTyped", "useCudaGraph", "useSpinWait"}} if {version} == 10 else {{"includeDataTransfers"}})
unknown = set(flags) - known
if unknown:
    print("[E] Unknown option: --" + sorted(unknown)[0])
    print("&&&& FAILED", line)
    sys.exit(1)
with open({log!r}, "a") as log:
    log.write(json.dumps(flags) + "\\n")
if "help" in flags:
    sys.exit(0)
print("[I] === Device Information ===")
print("[I] Selected Device: Orin")
if "onnx" in flags:
    data = open(flags["onnx"], "rb").read()
    assert flags.get("stronglyTyped") == "" or {version} == 11
    open(flags["saveEngine"], "w").write(str(len(data)))
if "loadEngine" in flags:
    ms = 1 + int(open(flags["loadEngine"]).read()) * 1e-5
    rows = [{{"startComputeMs": 10.0 * i, "computeMs": ms, "h2dMs": 0.1, "d2hMs": 0.1, "latencyMs": ms + 0.2 + 0.001 * (i % 3)}}
            for i in range(max(int(flags["iterations"]), 10))]
    {damage}
    json.dump(rows, open(flags["exportTimes"], "w"))
print("&&&& PASSED", line)
'''


def fake_trtexec(folder: Path, version: str, *, line: str | None = None, damage: str = "pass") -> Path:
    """A program called trtexec; what it was called with stands in ``trtexec.log``."""
    path = folder / "trtexec"
    text = FAKE.format(
        python=sys.executable, version=version, line=line or LINES[version], log=str(folder / "trtexec.log"), damage=damage
    )
    path.write_text(text)
    path.chmod(0o755)
    return path


def calls(folder: Path) -> list[dict[str, str]]:
    """The flags of every call."""
    return [json.loads(line) for line in (folder / "trtexec.log").read_text().splitlines()]


def old_python() -> str | None:
    """A Python 3.8 that runs, if the machine has one."""
    homes = [Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"]
    found = [str(path) for home in homes for path in sorted(home.glob("3.8*/bin/python"))] + ["python3.8"]
    for program in found:
        try:
            done = subprocess.run(
                [program, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True, check=False
            )
        except OSError:
            continue
        if done.stdout.strip() == "(3, 8)":
            return program
    return None
