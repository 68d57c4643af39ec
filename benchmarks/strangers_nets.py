"""What `benchmarks.strangers` does to results of kits and to weights: cut, changed by bits, edited and sealed again, replaced."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.strangers import ABSURD, SPECIAL, Tally, judge, mutated_text, places, put, run, says_the_same, sealed_again, special
from edgenas.training.cnn import plain_cnn

SMALL = ("--set", "profile.calibration_nets=6", "--set", "profile.bound_nets=2", "--set", "profile.validation_nets=4")
PART = 'space.name="pvt-nano[depths[2]=1,depths[3]=1,mlp_ratios[3]=2,pool_size=2]"'


def kits_and_weights(tally: Tally, home: Path, num: int, seed: int) -> None:
    """Mutate the results of a kit that was really measured, and weights of a teacher, in turn; then what is no file."""
    project = home / "project"
    rng = random.Random(seed)
    for command in (
        ["init", "--data", "digits", "--image-px", "16", "--set", PART],
        ["profile", "--pack", str(home / "kit.zip"), *SMALL],
    ):
        code, said, _ = run([*command, "--run", str(project)])
        if code != 0:
            tally.faults.append(f"kit: refused: {command[0]}: {said[:200]}")
            return
    with zipfile.ZipFile(home / "kit.zip") as archive:
        archive.extractall(home / "kit")
    subprocess.run([sys.executable, str(home / "kit/measure.py")], cwd=home, check=True, capture_output=True)
    results = home / "results.json"
    importing = ["profile", "--run", str(project), "--import", str(results)]
    judge(tally, "as it was", "kit results", importing, must_fail=False)
    for what, judged, data, must_fail in mutated_results(results.read_text(), rng, num):
        good = results.read_bytes()
        results.write_bytes(data)
        judge(tally, judged, what, importing, must_fail=must_fail)
        results.write_bytes(good)
    net = plain_cnn(10, 16, 3)
    files = {"weights": home / "net.pth", "safetensors": home / "net.safetensors"}
    torch.save(net.state_dict(), files["weights"])
    save_file(net.state_dict(), files["safetensors"])
    teach = ["train", "--run", str(project), "--only", "teacher", "--force", "--teacher", "cnn", "--teacher-checkpoint"]
    for kind, path in files.items():
        good = path.read_bytes()
        for _ in range(num):
            what, data = mutated_bytes(good, rng)
            path.write_bytes(data)
            judge(tally, kind, what, [*teach, str(path)], must_fail=what.startswith("cut"))
            path.write_bytes(good)
    commands = {"kit results": (results, importing)} | {kind: (path, [*teach, str(path)]) for kind, path in files.items()}
    for kind, (path, command) in commands.items():
        good = path.read_bytes()
        for what in SPECIAL:
            close = special(path, what)
            judge(tally, "no file", f"{kind} is {what}", command, must_fail=True)
            close()
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
            path.write_bytes(good)


def mutated_results(text: str, rng: random.Random, num: int) -> Iterator[tuple[str, str, bytes, bool]]:
    """What was done, under which kind it counts, the bytes, and whether they must be refused."""
    value = json.loads(text)
    ways = list(places(value))
    for number in range(num):
        if number % 2:
            way, new = rng.choice(ways), rng.choice(ABSURD)
            data = sealed_again(put(value, way, new)).encode()
            yield f"resealed {way} = {ascii(new)[:30]}", "kit results, resealed", data, False
        else:
            what, data = mutated_text(text, rng)
            yield what, "kit results", data, not says_the_same(data, text)


def mutated_bytes(good: bytes, rng: random.Random) -> tuple[str, bytes]:
    """What was done, mostly to what describes the tensors, and the bytes."""
    if rng.randrange(3) == 0:
        at = rng.randrange(len(good) - 1)
        return f"cut at {at}", good[:at]
    data = bytearray(good)
    ends = [(0, min(len(data), 2000)), (max(0, len(data) - 2000), len(data)), (0, len(data))]
    places_of = [rng.randrange(*rng.choice(ends)) for _ in range(rng.choice((1, 1, 8)))]
    for place in places_of:
        data[place] = rng.randrange(256)
    return f"bytes changed at {places_of[:3]}", bytes(data)
