"""Training states and weights as safetensors files with a JSON header; nothing is pickled.

A file is one object, so that tensors and their description can never be of different moments.
"""

from __future__ import annotations

import hashlib
import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from edgenas.errors import CheckpointError
from edgenas.runs import atomic_path, dump_json, jsonable, sha256_json
from edgenas.runs.outside import MAX_WEIGHTS_BYTES, MissingFileError, OutsideError, parse_json, require_regular
from edgenas.training.headers import HEADER

if TYPE_CHECKING:
    from timm.utils.model_ema import ModelEmaV3

SCHEMA_VERSION = 1  # 1: first
_REMAKE = "delete it and run the command that makes it"
_NAMED = 5  # tensors named in an error
GROUPS = ("settings", "mixing")  # of facts, whose names say nothing to a reader


class OtherWorkError(CheckpointError):
    """A training state is whole, but of other data, another net or other settings."""


@dataclass(slots=True)
class TrainState:
    """Everything that a training run changes. The only mutable object here.

    No generator is kept: every step is seeded from (seed, epoch, step).

    Attributes:
        model: being trained.
        average: timm's moving average of it, or None.
        optimizer: over the model's parameters.
        scaler: of fp16 losses, or None.
        epoch: epochs that are complete.
        step: optimiser steps that are complete, over all epochs.
        epochs: that the learning rate's schedule is laid out for; a time budget may lower it.
        elapsed_s: training time so far, however often it was interrupted.
        sums: of losses, images and seconds in the epoch that is under way.
        decay_from: epoch at which the decay of a wsd schedule begins; None while that is open.
        history: accuracy on select of every evaluated epoch.
        best_tensors: the result's as they were when it was best; empty where they are not kept.
    """

    model: nn.Module
    average: ModelEmaV3 | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler | None
    epoch: int
    step: int
    epochs: int
    elapsed_s: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    decay_from: int | None = None
    history: list[float] = field(default_factory=list)
    best_tensors: dict[str, Tensor] = field(default_factory=dict)

    @property
    def result(self) -> nn.Module:
        """What is evaluated and kept: the moving average where there is one."""
        net: nn.Module = self.model if self.average is None else self.average.module
        return net

    @property
    def is_finite(self) -> bool:
        """Whether weights, statistics and moving average are numbers."""
        nets = [self.model] if self.average is None else [self.model, self.average.module]
        tensors = [tensor for net in nets for tensor in net.state_dict().values() if tensor.is_floating_point()]
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON header atomically as one safetensors file.

    Raises:
        RunFolderError: if the file cannot be written.
    """
    flat = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    full = {"schema_version": SCHEMA_VERSION, **jsonable(header)}
    text = dump_json({**full, "sha256": _digest(flat, full)}, indent=None)
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(flat, metadata={HEADER: text}))  # safetensors' own writing leaves files behind when killed


def _digest(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    """Hex SHA-256 over the header and every tensor's name, type, shape and bytes; safetensors itself has no checksum."""
    return digest_of(tensors, sha256_json(header))


def digest_of(tensors: Mapping[str, Tensor], start: str = "") -> str:
    """Hex SHA-256 over a text and every tensor's name, type, shape and bytes, in the order of their names."""
    digest = hashlib.sha256(start.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()


def load_tensors(path: Path, *, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote, on the CPU.

    Raises:
        CheckpointError: if the file is missing, damaged, of another schema or kind, or holds values that are not finite.
    """
    try:
        require_regular(path, MAX_WEIGHTS_BYTES)  # opening a pipe would wait for ever
        with safe_open(path, framework="pt", device="cpu") as file:
            header = parse_json((file.metadata() or {}).get(HEADER, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (FileNotFoundError, MissingFileError) as error:
        raise CheckpointError(f"{path} does not exist") from error
    except OutsideError as error:
        raise CheckpointError(f"{path} {error}", hint=_REMAKE) from error
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}", hint=_REMAKE) from error
    if not isinstance(header, dict) or header.get("schema_version") != SCHEMA_VERSION or header.get("kind") != kind:
        kind_there = header.get("kind") if isinstance(header, dict) else "a foreign file"
        raise CheckpointError(f"{path} is {kind_there}, not a {kind} of schema_version {SCHEMA_VERSION}")
    if header.pop("sha256", None) != _digest(tensors, header):
        raise CheckpointError(f"{path} was changed or damaged after it was written", hint=_REMAKE)
    broken = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not bool(tensor.isfinite().all())]
    if broken:
        raise CheckpointError(f"{path} holds values that are not finite", problems=broken[:_NAMED])
    return tensors, header


def save_weights(path: Path, model: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write a model's parameters and buffers with ``facts`` (JSON-ready: space, architecture, classes).

    Raises:
        RunFolderError: if the file cannot be written.
    """
    save_tensors(path, model.state_dict(), {"kind": "weights", "facts": dict(facts)})


def load_weights(path: Path, model: nn.Module | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts that `save_weights` wrote; also copied into ``model`` when that is given.

    Raises:
        CheckpointError: if the file cannot be used or belongs to another net.
    """
    tensors, header = load_tensors(path, kind="weights")
    if model is not None:
        copy_into(model, tensors, path)
    facts = header.get("facts")
    return tensors, facts if isinstance(facts, dict) else {}


def differences(kept: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """What a file says of itself against what is expected, a line for each value that differs; nested names are joined by dots.

    Args:
        kept: facts of a file.
        expected: JSON-ready; what it does not name may be anything.
    """
    lines = []
    for name, value in jsonable(expected).items():
        there = kept.get(name)
        prefix = "" if name in GROUPS else f"{name}."
        if isinstance(value, dict) and isinstance(there, dict):
            lines += [f"{prefix}{line}" for line in differences(there, value)]
        elif there is None and name in GROUPS and any(value.values()):  # nothing of the group was set
            lines += [f"{prefix}{key} is unset there, {reprlib.repr(one)} here" for key, one in value.items() if one]
        elif there != value:
            lines.append(f"{name} is {reprlib.repr(there)} there, {reprlib.repr(value)} here")
    return lines


def copy_into(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into a module.

    Raises:
        CheckpointError: listing missing, unknown and differently shaped tensors; the module is unchanged then.
    """
    own = model.state_dict()
    problems = [f"{name} is missing" for name in own if name not in tensors]
    problems += [f"{name} is unknown" for name in tensors if name not in own]
    problems += [
        f"{name} is {tuple(tensors[name].shape)}, not {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    if problems:
        more = [f"{len(problems) - _NAMED} more"] if len(problems) > _NAMED else []
        raise CheckpointError(f"{path} belongs to another net", problems=problems[:_NAMED] + more)
    model.load_state_dict(dict(tensors))


def save_state(path: Path, state: TrainState, facts: Mapping[str, Any], *, replaces: str | None = None) -> None:
    """Write a training state.

    Args:
        path: of the file.
        state: to be gone on from.
        facts: which training it belongs to.
        replaces: hash of the weights that its result will replace.

    Raises:
        RunFolderError: if the file cannot be written.
    """
    tensors = {f"model.{name}": tensor for name, tensor in state.model.state_dict().items()}
    if state.average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in state.average.module.state_dict().items()}
    for index, entry in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in entry.items()}
    tensors |= {f"best.{name}": tensor for name, tensor in state.best_tensors.items()}
    progress = {name: getattr(state, name) for name in ("epoch", "step", "epochs", "elapsed_s", "sums", "decay_from", "history")}
    scaler = None if state.scaler is None else state.scaler.state_dict()
    header = {"kind": "training state", "facts": dict(facts), "progress": progress, "scaler": scaler, "replaces": replaces}
    save_tensors(path, tensors, header)


def load_state(path: Path, state: TrainState, facts: Mapping[str, Any]) -> None:
    """Continue from what `save_state` wrote: fills a freshly built ``state``.

    Raises:
        OtherWorkError: if it was written with other ``facts``.
        CheckpointError: if the file cannot be used.
    """
    tensors, header = load_tensors(path, kind="training state")
    expected = json.loads(dump_json(dict(facts)))
    there = header.get("facts")
    if there != expected:
        there = there if isinstance(there, dict) else {}
        problems = [*differences(there, expected), *(f"{name} is set there, not here" for name in there if name not in expected)]
        raise OtherWorkError(f"{path} is of a training with other settings", problems=problems)
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}, "best": {}}
    for name, tensor in tensors.items():
        group, _, rest = name.partition(".")
        groups.setdefault(group, {})[rest] = tensor
    copy_into(state.model, groups["model"], path)
    if state.average is not None:
        copy_into(state.average.module, groups["average"], path)
    try:
        _load_optimizer(state.optimizer, groups["optimizer"])
        if state.scaler is not None:
            state.scaler.load_state_dict(header["scaler"])
        _load_progress(state, header["progress"])
        _load_best(state, groups["best"])
        if not 0 <= state.epoch <= state.epochs or state.step < 0 or not 0 <= state.elapsed_s < math.inf:
            raise ValueError(f"progress {header['progress']} is impossible")
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}", hint="delete it to start again") from error


def _load_progress(state: TrainState, progress: Mapping[str, Any]) -> None:
    for name in ("epoch", "step", "epochs"):
        setattr(state, name, int(progress[name]))
    state.elapsed_s = float(progress["elapsed_s"])
    state.sums = {str(name): float(value) for name, value in progress["sums"].items()}
    decay_from = progress.get("decay_from")
    state.decay_from = None if decay_from is None else int(decay_from)
    state.history = [float(score) for score in progress.get("history", ())]


def _load_best(state: TrainState, tensors: Mapping[str, Tensor]) -> None:
    shapes = {name: tensor.shape for name, tensor in state.result.state_dict().items()}
    if tensors and {name: tensor.shape for name, tensor in tensors.items()} != shapes:
        raise ValueError("the best weights are of another net")
    device = next(state.model.parameters()).device
    state.best_tensors = {name: tensor.to(device) for name, tensor in tensors.items()}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    entries: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        entries.setdefault(int(index), {})[key] = tensor
    shapes = [parameter.shape for group in optimizer.param_groups for parameter in group["params"]]
    for position, entry in entries.items():
        if any(tensor.ndim and tensor.shape != shapes[position] for tensor in entry.values()):
            raise ValueError(f"optimiser state {position} has another shape than its parameter")
    optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})
