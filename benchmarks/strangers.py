"""Files of strangers, mutated: every command ends with one JSON object, calls nothing a bug of edgenas and passes nothing edited.

    python -m benchmarks.strangers --mutations 2000 --output docs/measurements/strangers_NAME_DATE.md

Kinds: settings, architectures, latency tables, manifests, results of kits (some resealed with the hash that edgenas would write),
model files, weights, and things that are no files: pipes, devices, sockets, sparse files, folders, links in a circle.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgenas.cli import main
from edgenas.deploy.artefact import Facts, write_artefact
from edgenas.deploy.contracts import ExportedFile
from edgenas.latency import shipped_tables
from edgenas.records import ArchitectureFacts, DataFacts, Metrics, Parity, SplitMetrics, WeightsFacts
from edgenas.stats import wilson

HANG_S = 90
ABSURD: tuple[Any, ...] = (10**200, -(10**200), 10**19, -1, 0, 1e308, -1e308, 5e-324, True, None, "", "x" * 10_000)
ABSURD += ("\ud800", "a\0b", "\x1b[2J", "../../x", "/dev/zero", [], {}, [[[[]]]], {"a": 1}, [0] * 1000, "1e400", 10**400)
RAW = (
    "1e400",
    "-1e999",
    "NaN",
    "Infinity",
    "9" * 5000,
    "1" + "0" * 400,
    '"\\ud800"',
    "[" * 5000,
    '{"a":1,"a":2}',
    "null",
    "-",
    "\0",
)


@dataclass
class Tally:
    """What came of mutations, by kind."""

    tried: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0


def run(arguments: list[str]) -> tuple[int, str, float]:
    """Exit status, stdout and seconds of a command in this process."""
    said = io.StringIO()
    began, code = time.monotonic(), 0
    with redirect_stdout(said), redirect_stderr(io.StringIO()), deadline():
        try:
            main([*arguments, "--json"])
        except SystemExit as left:
            code = int(left.code or 0)
    return code, said.getvalue(), time.monotonic() - began


@contextmanager
def deadline() -> Iterator[None]:
    """End the process group of a command that hangs, by an error nobody catches."""

    def late(number: int, frame: object) -> None:
        raise SystemExit(77)

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def judge(tally: Tally, kind: str, what: str, arguments: list[str], *, must_fail: bool) -> None:
    """Run a command on a mutated file and keep what is wrong with its end."""
    code, said, seconds = run(arguments)
    tally.tried[kind] += 1
    tally.slowest_s = max(tally.slowest_s, seconds)
    try:
        answer = json.loads(said)
        told = answer["exit_code"] == code
    except (ValueError, KeyError, TypeError):
        told = False
    if code == 77 or seconds > HANG_S:
        tally.faults.append(f"{kind}: hang: {what}")
    elif not told:
        tally.faults.append(f"{kind}: no JSON object (status {code}): {what}: {said[:80]!r}")
    elif "a bug in edgenas" in said:
        tally.faults.append(f"{kind}: bug line: {what}: {answer['error']['message'][:120]}")
    elif code == 0:
        tally.accepted[kind] += 1
        if must_fail:
            tally.faults.append(f"{kind}: wrong success: {what}")


def sealed_again(value: dict[str, Any]) -> str:
    """JSON with the hash of its content, as who knows edgenas would write it."""
    plain = {key: each for key, each in value.items() if key != "sha256"}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return json.dumps({**plain, "sha256": hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()})


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in pairs:
        yield (*way, key)
        yield from places(each, (*way, key))


def put(value: Any, way: tuple[Any, ...], new: Any) -> Any:
    """A copy with one value replaced."""
    result = json.loads(json.dumps(value))
    inner = result
    for key in way[:-1]:
        inner = inner[key]
    inner[way[-1]] = new
    return result


def mutated_text(text: str, rng: random.Random) -> tuple[str, bytes]:
    """What was done, and the bytes."""
    choice = rng.randrange(5)
    at = rng.randrange(len(text) + 1)
    if choice == 0:
        return f"cut at {at}", text[:at].encode()
    if choice == 1:
        data = bytearray(text.encode())
        place = rng.randrange(len(data))
        data[place] ^= 1 << rng.randrange(8)
        return f"bit at {place}", bytes(data)
    raw = rng.choice(RAW)
    if choice == 2:
        return f"{raw[:20]} at {at}", (text[:at] + raw + text[at:]).encode()
    marks = [i for i, char in enumerate(text) if char in ":="]
    mark = rng.choice(marks)
    ends = [i for i in (text.find(",", mark), text.find("\n", mark), text.find("}", mark)) if i > 0]
    end = min(ends) if ends else len(text)
    return f"{raw[:20]} for the value at {mark}", (text[: mark + 1] + " " + raw + text[end:]).encode()


def special(path: Path, what: str) -> Callable[[], None]:
    """Put something in the place of a file; returns how its remains are closed."""
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what in ("/dev/zero", "/dev/random", "/dev/full", "/proc/self/mem"):
        path.symlink_to(what)
    elif what == "sparse":
        with path.open("wb") as file:
            file.truncate(20 << 30)
    elif what == "socket":
        server = socket.socket(socket.AF_UNIX)
        here = Path.cwd()
        os.chdir(path.parent)
        server.bind(path.name)
        os.chdir(here)
        return server.close
    elif what == "folder":
        path.mkdir()
    elif what == "circle":
        path.symlink_to(path.name)
    return lambda: None


SPECIAL = ("pipe", "/dev/zero", "/dev/random", "/dev/full", "/proc/self/mem", "sparse", "socket", "folder", "circle")


def artefact(folder: Path) -> None:
    """A tiny artefact folder, by edgenas' own code."""
    weights = np.random.default_rng(0).standard_normal((3 * 8 * 8, 2)).astype(np.float32)
    nodes = [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("MatMul", ["flat", "weights"], ["logits"])]
    save_model(folder / "model.onnx", nodes, {"weights": weights})
    steps = {"image_px": 8, "crop_pct": 1.0, "resize_mode": "squash", "resize": "bilinear", "mean": [0, 0, 0], "std": [1, 1, 1]}
    facts = Facts(
        (3, 8, 8),
        {**steps, "channels": "RGB"},
        ("a", "b"),
        None,
        None,
        ArchitectureFacts(space="toy", arch={}, params=384, macs=384),
        WeightsFacts(origin="scratch", sha256="0" * 64),
        DataFacts(source="generated", fingerprint="0" * 64, splits={}),
        metrics(),
        None,
        {},
    )
    model = ExportedFile(folder / "model.onnx", "onnx", "onnxruntime-cpu", "fp32", 1)
    write_artefact(folder / "art", [(model, Parity("passed", ""))], facts, reference=lambda x: x.reshape(len(x), -1) @ weights)


def metrics() -> SplitMetrics:
    """Of two images, both right."""
    share = wilson(2, 2)
    return SplitMetrics(split="test", metrics=Metrics(n=2, top1=share, top1_decision=share, sensitivity={}))


def save_model(path: Path, nodes: list[Any], constants: dict[str, Any], **names: Any) -> None:
    """An ONNX file that reads ``image``, unless named otherwise, and writes ``logits``."""
    inputs = names.get("inputs", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])])
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, names.get("shape", [1, 2]))]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)


def hostile_models(path: Path) -> Iterator[str]:
    """Write one model after the other, and say what it is."""
    good = path.read_bytes()
    flat = helper.make_node("Flatten", ["image"], ["flat"])
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Mul", ["x", "x"], ["y"])],
        "body",
        [info("i", 7, []), info("go", 9, []), info("x", 1, None)],
        [info("on", 9, []), info("y", 1, None)],
    )
    loop = helper.make_node("Loop", ["", "true", "flat"], ["logits"], body=body)
    save_model(path, [flat, loop], {"true": np.array(True)}, shape=None)
    yield "endless loop"
    grown = helper.make_node("Expand", ["zero", "size"], ["large"])
    mean = helper.make_node("ReduceSum", ["large"], ["logits"], keepdims=0)
    for size in ([1 << 34], [1 << 20, 1 << 12]):
        save_model(path, [grown, mean], {"zero": np.zeros(1, np.float32), "size": np.array(size, np.int64)}, shape=None)
        yield f"expand to {size}"
    save_model(path, [helper.make_node("Identity", ["c"], ["logits"])], {"c": np.zeros((1, 2), np.float32)}, inputs=[])
    yield "no inputs"
    wide = [flat, helper.make_node("MatMul", ["flat", "w"], ["logits"])]
    save_model(path, wide, {"w": np.zeros((192, 100), np.float32)}, shape=None)
    yield "other outputs"
    save_model(path, wide, {"w": np.full((192, 2), np.nan, np.float32)})
    yield "NaN weights"
    save_model(path, wide, {"w": np.zeros((192, 2), np.float32)})
    yield "zero weights"
    for name in ("/dev/zero", "../../../../etc/passwd", "golden.npz"):
        save_model(path, wide, {"w": np.zeros((192, 2), np.float32)})
        model = onnx.load(path)
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=name)
        path.write_bytes(model.SerializeToString())
        yield f"weights in {name}"
    for number in range(25):
        data = bytearray(good)
        rng = random.Random(number)
        for _ in range(1 + number % 8):
            data[rng.randrange(min(len(data), 200))] = rng.randrange(256)
        path.write_bytes(bytes(data))
        yield f"bytes changed, seed {number}"
    for length in (0, 1, len(good) // 2):
        path.write_bytes(good[:length])
        yield f"cut to {length} bytes"


def models(tally: Tally, home: Path) -> None:
    """Hostile model files with the right hashes in a resealed manifest."""
    good = json.loads((home / "art/manifest.json").read_text())
    shutil.copytree(home / "art", home / "model")
    path = home / "model/model.onnx"
    original = path.read_bytes()
    for what in hostile_models(path):
        data = path.read_bytes()
        entry = {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        manifest = {**good, "files": [{**good["files"][0], **entry}]}
        (home / "model/manifest.json").write_text(sealed_again(manifest))
        must_fail = not what.startswith("bytes changed") and data != original
        judge(tally, "model", what, ["verify", str(home / "model")], must_fail=must_fail)


def mutations(tally: Tally, home: Path, num: int, seed: int) -> None:
    """Texts and values of settings, architectures, tables and manifests."""
    rng = random.Random(seed)
    settings = home / "run/edgenas.toml"
    arch, table, manifest = home / "arch.json", home / "table.json", home / "art/manifest.json"
    commands = {
        "settings": (settings, ["evaluate", "--run", str(home / "run")]),
        "architecture": (arch, ["count", "--space", "pvt-covidx", "--arch", str(arch)]),
        "table": (table, ["tables", "show", str(table)]),
        "manifest": (manifest, ["verify", str(home / "art")]),
    }
    texts = {kind: path.read_text() for kind, (path, _) in commands.items()}
    ways = {kind: list(places(json.loads(texts[kind]))) for kind in ("table", "manifest")}
    for number in range(num):
        kind = list(commands)[number % len(commands)]
        path, command = commands[kind]
        text = texts[kind]
        if kind in ways and number // 4 % 2:
            way, new = rng.choice(ways[kind]), rng.choice(ABSURD)
            what, data = f"resealed {way} = {ascii(new)[:30]}", sealed_again(put(json.loads(text), way, new)).encode()
            judged = f"{kind}, resealed"
            must_fail = False
        else:
            what, data = mutated_text(text, rng)
            judged, must_fail = kind, kind in ways and not says_the_same(data, text)
        path.write_bytes(data)
        judge(tally, judged, what, command, must_fail=must_fail)
        path.write_text(text)
    for kind, (path, command) in commands.items():
        text = path.read_text()
        for what in SPECIAL:
            close = special(path, what)
            judge(tally, "no file", f"{kind} is {what}", command, must_fail=True)
            close()
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
            path.write_text(text)


def says_the_same(data: bytes, text: str) -> bool:
    """Whether changed bytes are JSON that means what the text does, such as with another blank."""
    try:
        return bool(json.loads(data) == json.loads(text))
    except (ValueError, RecursionError):
        return False


def report(tally: Tally, seed: int) -> str:
    """Markdown."""
    lines = ["# Files of strangers", "", f"Command: `{' '.join(['python', '-m', 'benchmarks.strangers', *sys.argv[1:]])}`.", ""]
    lines += ["| kind | mutations | accepted |", "|---|---:|---:|"]
    lines += [f"| {kind} | {num} | {tally.accepted[kind]} |" for kind, num in tally.tried.items()]
    own, child = (resource.getrusage(who).ru_maxrss >> 10 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    kinds = Counter(fault.split(": ")[1].split(" (")[0] for fault in tally.faults)
    lines += [
        "",
        f"{sum(tally.tried.values())} mutations, seed {seed}: {kinds['hang']} hangs, {kinds['bug line']} lines that call it a",
    ]
    lines += [
        f"bug, {kinds['wrong success']} wrong successes, {kinds['no JSON object']} answers that are no JSON object. The slowest"
    ]
    lines += [
        f"took {tally.slowest_s:.0f} s. Largest resident memory: {own} MB of the command, {child} MB of a process that ran a model."
    ]
    lines += ["", "*Accepted* of resealed files: values that may be so, such as another device name, with a hash that fits."]
    return "\n".join([*lines, "", *(f"- {fault}" for fault in tally.faults)]).rstrip() + "\n"


def cli() -> None:
    """Run everything and write the report; status 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--nets", type=int, default=100, help="of results of kits, and of weights in either format")
    given = parser.parse_args()
    from benchmarks.strangers_nets import kits_and_weights  # which imports this module

    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "run").mkdir()
        (home / "run/edgenas.toml").write_text('[data]\nsource = "digits"\nseed = 3\n[train]\nlearning_rate = 0.001\nepochs = 2\n')
        arch = {"pool_size": 7, "depths": [2, 2, 2, 2], "qkv_dims": [16, 32, 80, 128], "mlp_ratios": [8, 8, 8, 4]}
        (home / "arch.json").write_text(json.dumps(arch))
        shutil.copyfile(sorted(shipped_tables().values())[0], home / "table.json")
        artefact(home)
        judge(tally, "as it was", "manifest", ["verify", str(home / "art")], must_fail=False)
        judge(tally, "as it was", "table", ["tables", "show", str(home / "table.json")], must_fail=False)
        if tally.accepted["as it was"] != 2:
            tally.faults.append("as it was: refused: what nobody changed")
        models(tally, home)
        mutations(tally, home, given.mutations, given.seed)
        kits_and_weights(tally, home, given.nets, given.seed)
    text = report(tally, given.seed)
    if given.output is not None:
        given.output.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    sys.exit(bool(tally.faults))


if __name__ == "__main__":
    cli()
