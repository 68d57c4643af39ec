"""Existing weights as the start of a supernet: what the readers of every family share."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from edgenas.errors import CheckpointError
from edgenas.supernets.base import Supernet

MOST_NAMED = 6  # differences of a kind that are written out
_PREFIXES = ("module.", "_orig_mod.", "net.")  # of wrappers, and of our supernets around their largest net


@dataclass(frozen=True, slots=True)
class TaskNames:
    """Weights whose shape the classes, channels or resolution decide, by name.

    Attributes:
        embed: convolution that reads the image.
        head: last linear layer's weight and bias.
        positions: table of positions, the class token's first; None where there is none.
    """

    embed: str
    head: tuple[str, str]
    positions: str | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """Weights that were made to fit a task.

    Attributes:
        state: by name; without those that keep their fresh start.
        fresh: names of these.
        notes: what was changed or left out, a sentence each.
    """

    state: dict[str, Tensor]
    fresh: tuple[str, ...]
    notes: tuple[str, ...]


@torch.no_grad()
def load_same(supernet: nn.Module, state: Mapping[str, Tensor], source: str, names: TaskNames | None = None) -> tuple[str, ...]:
    """Fill a supernet from a checkpoint of its own layout, of other classes, channels or resolution where ``names`` are given.

    Raises:
        CheckpointError: listing every difference; nothing is loaded then.
    """
    own = plain_names(supernet.state_dict())
    fitted = Fitted(plain_names(state), (), ()) if names is None else fit_task(plain_names(state), own, names)
    require_same(own, fitted, supernet, source)
    fill(own, fitted.state)
    return fitted.notes


def plain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors by their names without the prefixes of wrappers that all of them carry."""
    result = dict(state)
    for prefix in _PREFIXES * 2:
        if result and all(name.startswith(prefix) for name in result):
            result = {name.removeprefix(prefix): value for name, value in result.items()}
    return result


def fit_task(state: Mapping[str, Tensor], own: Mapping[str, Tensor], names: TaskNames) -> Fitted:
    """Adapt weights to the classes, channels and resolution of ``own``; what cannot be adapted stays as it is.

    Input channels are adapted as timm does, positions are interpolated (bicubic, with antialiasing) as timm does, and a head of
    other classes is left out.
    """
    from timm.layers.pos_embed import resample_abs_pos_embed

    result, fresh = dict(state), tuple[str, ...]()
    notes = adapt_channels(result, names.embed, own[names.embed].shape[1])
    table = result.get(names.positions) if names.positions is not None else None
    if names.positions is not None and table is not None and table.dim() == 3:
        sides = [math.isqrt(tensor.shape[1] - 1) for tensor in (table, own[names.positions])]
        if sides[0] != sides[1] and sides[0] ** 2 == table.shape[1] - 1:
            result[names.positions] = resample_abs_pos_embed(table, [sides[1], sides[1]], num_prefix_tokens=1)
            notes.append(f"positions of {sides[0]} x {sides[0]} patches were interpolated to {sides[1]} x {sides[1]}")
    head, bias = names.head
    if head in result and result[head].shape[:1] != own[head].shape[:1]:
        fresh = names.head
        notes.append(f"the head starts fresh: it had {result[head].shape[0]} classes, {own[head].shape[0]} are wanted")
        result = {name: value for name, value in result.items() if name not in (head, bias)}
    return Fitted(result, fresh, tuple(notes))


def adapt_channels(state: dict[str, Tensor], embed: str, in_channels: int) -> list[str]:
    """Adapt the convolution called ``embed`` to other input channels as timm does, in place; what to say of it, if anything."""
    weight = state.get(embed)
    if weight is None or weight.dim() != 4 or weight.shape[1] == in_channels or (weight.shape[1] != 3 and in_channels != 1):
        return []
    from timm.models import adapt_input_conv

    state[embed] = adapt_input_conv(in_channels, weight)
    return [f"the patch embedding of {weight.shape[1]} input channels was adapted to {in_channels}"]


def require_same(own: Mapping[str, Tensor], fitted: Fitted, supernet: nn.Module, source: str) -> None:
    """Check that weights have exactly the names and shapes of ``own``, but for those that start fresh.

    Raises:
        CheckpointError: listing every difference.
    """
    refuse(differences(own, fitted), supernet, source)


def differences(own: Mapping[str, Tensor], fitted: Fitted) -> list[str]:
    """Names that are missing, unknown or of another shape than in ``own``, a sentence each."""
    tensors = fitted.state
    problems = abbreviated([f"{name} is missing" for name in own if name not in tensors and name not in fitted.fresh], "missing")
    problems += abbreviated([f"{name} is unknown" for name in tensors if name not in own], "unknown")
    shapes = [
        f"{name} has shape {tuple(tensors[name].shape)}; wanted: {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    return problems + abbreviated(shapes, "of other shapes")


def refuse(problems: Collection[str], supernet: nn.Module, source: str) -> None:
    """Raise if there are problems.

    Raises:
        CheckpointError: with all of them.
    """
    if problems:
        name = cast(Supernet, supernet).space.name
        raise CheckpointError(f"{source} holds no weights that {name} can start from", problems=tuple(problems))


def abbreviated(problems: list[str], kind: str) -> list[str]:
    """The first few of many, and how many more of the kind there are."""
    more = len(problems) - MOST_NAMED
    return problems if more <= 0 else [*problems[:MOST_NAMED], f"{more} more {kind}"]


def fill(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Copy weights into those of a module that have the same shapes."""
    for name, value in state.items():
        own[name].copy_(value)


def fill_leading(target: Tensor, value: Tensor) -> None:
    """Copy as much of ``value`` as both hold, from the first entry of every axis on."""
    overlap = tuple(slice(min(sizes)) for sizes in zip(target.shape, value.shape, strict=True))
    target[overlap] = value[overlap].to(target.dtype)
