"""What is not weights ends as one error; what is has a hash of its own."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from edgenas.errors import CheckpointError, UsageError
from edgenas.training.checkpoints import load_tensors
from edgenas.training.foreign import fetch, read_foreign
from edgenas.training.headers import facts_in, is_file

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}


def save_safetensors(path: Path) -> None:
    save_file(STATE, path)


def save_nested(path: Path) -> None:
    content = {"model": STATE, "args": argparse.Namespace(gp=True), "epoch": 3, "optimizer": {"state": {}, "param_groups": []}}
    torch.save(content, path)


def test_the_hash_is_of_the_weights_whatever_the_file_around_them(tmp_path: Path) -> None:
    save_safetensors(tmp_path / "a.safetensors")
    save_nested(tmp_path / "b.pth")
    torch.save({name: STATE[name] for name in reversed(STATE)}, tmp_path / "c.pth")
    torch.save(STATE | {"b": torch.tensor(4)}, tmp_path / "d.pth")
    found = [fetch(str(tmp_path / name)) for name in ("a.safetensors", "b.pth", "c.pth", "d.pth")]
    assert len({weights.sha256 for weights in found[:3]}) == 1
    assert found[3].sha256 != found[0].sha256
    assert all(torch.equal(found[1].tensors[name], value) for name, value in STATE.items())


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 20)


def make_hollow(path: Path) -> None:
    """Zeros, as many as a whole disk holds; none of them stands on it."""
    with path.open("wb") as file:
        file.truncate(10 << 30)


def make_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate((16 << 30) + 1)


def make_empty(path: Path) -> None:
    path.write_bytes(b"")


def make_truncated(path: Path) -> None:
    save_nested(path) if path.suffix == ".pth" else save_safetensors(path)
    path.write_bytes(path.read_bytes()[:-40])


def make_code(path: Path) -> None:
    torch.save(nn.Linear(2, 2), path)


def make_numbers(path: Path) -> None:
    torch.save({"a": 1.0, "b": [2]}, path)


def make_sparse(path: Path) -> None:
    torch.save({"a": torch.eye(3).to_sparse()}, path)


def make_nothing(path: Path) -> None:
    assert not path.exists()


BOTH = ("w.pth", "w.safetensors")
CASES: list[tuple[Callable[[Path], None], tuple[str, ...], str]] = [
    (make_pipe, BOTH, "is no regular file but a pipe, device or socket"),
    (make_folder, BOTH, "cannot be read: Is a directory"),
    (make_hollow, BOTH[:1], "cannot be read: it is no PyTorch file of tensors"),
    (make_huge, BOTH, "is larger than 16384 MB, which nothing of its kind is"),
    (make_garbage, BOTH, "cannot be read"),
    (make_empty, BOTH, "cannot be read"),
    (make_truncated, BOTH, "cannot be read"),
    (make_nothing, BOTH, "does not exist"),
    (make_code, BOTH[:1], "cannot be read: it holds Python objects beside tensors, which are never loaded"),
    (make_numbers, BOTH[:1], "holds no dictionary of tensors"),
    (make_sparse, BOTH[:1], "holds no dictionary of tensors"),
]


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("make", "name", "message"),
    [(make, name, message) for make, names, message in CASES for name in names],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_is_no_file_of_weights_is_one_line(tmp_path: Path, make: Callable[[Path], None], name: str, message: str) -> None:
    make(tmp_path / name)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_foreign(tmp_path / name)
    assert "\n" not in caught.value.message
    assert str(tmp_path / name) in caught.value.message


def test_weights_of_timm_are_those_that_it_calls_pretrained(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def create(name: str, **options: Any) -> nn.Module:
        asked.append((name, options))
        return nn.Linear(2, 3)

    monkeypatch.setattr(timm, "create_model", create)
    weights = fetch("timm:deit_tiny_patch16_224")
    assert asked == [("deit_tiny_patch16_224", {"pretrained": True})]
    assert set(weights.tensors) == {"weight", "bias"}
    assert not is_file(weights.source)


def test_without_a_network_a_file_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(CheckpointError, match="weights of timm:deit_tiny_patch16_224 could not be fetched") as caught:
        fetch("timm:deit_tiny_patch16_224")
    assert caught.value.message.count("\n") == 0
    assert caught.value.hint == "give a file of them instead: --init FILE"


def offline(name: str, **options: Any) -> nn.Module:
    raise ConnectionError(f"no route to the host of {name}\nwith many\nlines")


def test_an_unknown_model_of_timm_names_similar_ones() -> None:
    with pytest.raises(UsageError, match="timm has no model 'deit_tinny'") as caught:
        fetch("timm:deit_tinny")
    assert "deit" in caught.value.hint


UNUSABLE = {
    "nan": (torch.tensor([1.0, float("nan")]), r"x holds 1 value\(s\) that are NaN or infinite"),
    "infinity": (torch.tensor([[float("-inf")] * 2]), r"x holds 2 value\(s\)"),
    "half": (torch.tensor([float("nan")], dtype=torch.bfloat16), r"x holds 1 value\(s\)"),
    "eight bits": (torch.full((3,), float("nan")).to(torch.float8_e4m3fn), r"x holds 3 value\(s\)"),
    "huge": (torch.zeros(1).expand(10**5, 10**5), "x of shape .* repeats fewer values"),
    "complex": (torch.zeros(2, dtype=torch.complex64), "x holds complex numbers"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_weights_that_no_net_can_have_are_named_with_the_file(kind: str, tmp_path: Path) -> None:
    value, message = UNUSABLE[kind]
    torch.save({"x": value, "y": torch.zeros(2)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"w\.pth holds weights that cannot be used.*" + message):
        fetch(str(tmp_path / "w.pth"))


def test_safetensors_with_nan_are_refused_too(tmp_path: Path) -> None:
    save_file({"x": torch.tensor([float("nan")])}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        read_foreign(tmp_path / "w.safetensors")


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    torch.save({"a\ud812": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="no name in UTF-8"):
        fetch(str(tmp_path / "w.pth"))


def test_a_pipe_as_weights_of_another_net_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    os.mkfifo(path)
    assert facts_in(path) == {}
    with pytest.raises(CheckpointError, match="no regular file but a pipe"):
        load_tensors(path, kind="weights")
