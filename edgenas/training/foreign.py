"""Weights that were made elsewhere: files of tensors, timm's pretrained models, and earlier runs."""

from __future__ import annotations

import argparse
import pickle
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from edgenas.errors import CheckpointError, UsageError
from edgenas.runs.outside import MAX_WEIGHTS_BYTES, OutsideError, require_regular
from edgenas.supernets.selection_layouts import heads_of
from edgenas.training.checkpoints import digest_of
from edgenas.training.earlier import Earlier, is_run, read_earlier, weights_in
from edgenas.training.headers import TIMM, is_file

_NESTED = ("state_dict_ema", "state_dict", "model_ema", "model")  # where training scripts put weights
_NAMED = 5  # tensors named in an error
_CHECKED = 1 << 22  # values at a time
_HINT = "save a plain state_dict, or a .safetensors file"
_PREFIXES = ("module.", "_orig_mod.", "model.")  # of wrappers
_COUNTER = "num_batches_tracked"
# what PyTorch's restricted unpickler raises on bytes that are no checkpoint
_UNREADABLE = (
    *(OSError, SafetensorError, pickle.UnpicklingError, struct.error, EOFError, RuntimeError, ValueError, LookupError),
    *(AttributeError, TypeError, AssertionError, ArithmeticError, MemoryError),
)


@dataclass(frozen=True, slots=True)
class Foreign:
    """Weights by name.

    Attributes:
        source: as the user named it.
        sha256: of every tensor's name, type, shape and values, whatever the file around them.
        heads: of attentions, by the name of their block; None where nothing tells.
        earlier: the net of a space that they are of; None where they are of no edgenas.
        notes: what a user should know of the source, a sentence each.
    """

    source: str
    tensors: Mapping[str, Tensor]
    sha256: str
    heads: Mapping[str, int] | None = None
    earlier: Earlier | None = None
    notes: tuple[str, ...] = ()


def fetch(source: str, *, prefers: str = "supernet") -> Foreign:
    """The weights that ``timm:NAME``, the path of a file or that of a run folder means.

    Args:
        source: as the user named it.
        prefers: of a run, ``supernet`` or ``retrain``, where it has both.

    Raises:
        UsageError: if timm has no such model, with similar names.
        CheckpointError: if the weights cannot be fetched or read.
    """
    if not is_file(source):
        net = _pretrained(source.removeprefix(TIMM))
        fetched = _usable(dict(net.state_dict()), source)
        return Foreign(source, fetched, digest_of(fetched), heads_of(net))
    path = Path(source)
    run = path if is_run(path) else None
    earlier = read_earlier(path if run is None else weights_in(run, prefers=prefers), run)
    if earlier is None:
        tensors = read_foreign(path)
        return Foreign(source, tensors, digest_of(tensors))
    one, num = earlier.first(), earlier.num_members
    notes = (f"weights of the first of {num} nets that answer together are taken",) if num > 1 else ()
    return Foreign(source, one.tensors, digest_of(one.tensors), earlier=one, notes=notes)


def require_timm_model(name: str) -> None:
    """Check that timm knows a model.

    Raises:
        UsageError: with similar names.
    """
    import timm

    if not timm.is_model(name):
        similar = timm.list_models(f"*{name.split('.')[0]}*")[:5] or timm.list_models(f"{name[:5]}*")[:5]
        raise UsageError(f"timm has no model {name!r}", hint=f"similar are: {', '.join(similar) or 'none'}")


def _pretrained(name: str) -> nn.Module:
    import timm

    require_timm_model(name)
    try:
        model: nn.Module = timm.create_model(name, pretrained=True)
    except Exception as error:  # of whatever library fetches them
        first = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise CheckpointError(
            f"the weights of timm:{name} could not be fetched: {first}", hint="give a file of them instead: --init FILE"
        ) from error
    return model


def read_foreign(path: Path) -> dict[str, Tensor]:
    """Weights by name from a .safetensors file or a PyTorch file of tensors; nothing else is unpickled.

    Raises:
        CheckpointError: if the file is missing, no plain file, damaged, holds more than plain data, or values that are no finite
            numbers.
    """
    try:
        require_regular(path, MAX_WEIGHTS_BYTES)  # opening a pipe would wait for ever
        if path.suffix == ".safetensors":
            return _usable(dict(load_file(path)), path)
        with (
            warnings.catch_warnings(action="ignore"),  # of pickle protocols; what matters is raised
            torch.serialization.safe_globals([argparse.Namespace]),  # plain data, which training scripts like to add
        ):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OutsideError as error:
        raise CheckpointError(f"{path} {error}") from error
    except _UNREADABLE as error:
        raise CheckpointError(f"{path} cannot be read: {_reason(error)}", hint=_HINT) from error
    for key in _NESTED:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    if not isinstance(loaded, Mapping) or not all(map(_is_plain, loaded.values())):
        raise CheckpointError(f"{path} holds no dictionary of tensors", hint=_HINT)
    return _usable({str(name): value for name, value in loaded.items()}, path)


def _usable(tensors: dict[str, Tensor], source: Path | str) -> dict[str, Tensor]:
    """The same tensors, whole in memory and real.

    Raises:
        CheckpointError: naming those that hold what no net of ours can have: NaN, infinity, complex numbers, one value that
            stands for many, names that are no text.
    """
    problems = [text for name, value in tensors.items() if (text := why_unusable(name, value)) is not None]
    if problems:
        more = [f"{len(problems) - _NAMED} more"] if len(problems) > _NAMED else []
        raise CheckpointError(f"{source} holds weights that cannot be used", problems=[*problems[:_NAMED], *more])
    return tensors


def why_unusable(name: str, value: Tensor) -> str | None:
    """Why a tensor of a file of others can be no weight; None if it can."""
    shown = name if name.isprintable() else ascii(name)
    if any(0xD800 <= ord(char) <= 0xDFFF for char in name):
        return f"{shown} is no name in UTF-8"
    if value.is_complex():
        return f"{shown} holds complex numbers"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"{shown} of shape {tuple(value.shape)} repeats fewer values than it has: save it contiguous"
    if not value.is_floating_point() or value.numel() == 0:
        return None
    try:
        finite = value if value.element_size() > 1 else value.float()  # of 8-bit floats PyTorch does not say it
        parts = torch.split(finite.reshape(-1), _CHECKED)  # of a large tensor all at once would take three times its memory
        num = value.numel() - sum(int(torch.isfinite(part).sum()) for part in parts)
    except (RuntimeError, NotImplementedError):
        return f"{shown} is of type {value.dtype}, which cannot be read"
    return f"{shown} holds {num:,} value(s) that are NaN or infinite" if num else None


def without_prefix(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights without the wrapper's prefix that most of their names carry, as ``own`` names tell."""
    best = dict(tensors)
    for prefix in _PREFIXES:
        stripped = {name.removeprefix(prefix): value for name, value in tensors.items()}
        if len(set(stripped) & set(own)) > len(set(best) & set(own)):
            best = stripped
    return best


def in_order_of(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Weights under other names that are the same in the same order: shapes, and what the last part of a name says.

    Counters of batch norms are left out on both sides. None where they are not the same.
    """
    given = [(name, value) for name, value in tensors.items() if not name.endswith(_COUNTER)]
    wanted = [(name, value) for name, value in own.items() if not name.endswith(_COUNTER)]
    if len(given) != len(wanted):
        return None
    pairs = list(zip(given, wanted, strict=True))
    if any(a.rpartition(".")[2] != b.rpartition(".")[2] or x.shape != y.shape for (a, x), (b, y) in pairs):
        return None
    return {name: value for (_, value), (name, _) in pairs}


def _reason(error: BaseException) -> str:
    """Why a file cannot be read; PyTorch's own words would advise to unpickle it all the same."""
    text = str(error).strip()
    if "Unsupported global" in text or "Unsupported class" in text:
        return "it holds Python objects beside tensors, which are never loaded"
    if "weights_only" in text or "Weights only load failed" in text or isinstance(error, pickle.UnpicklingError):
        return "it is no PyTorch file of tensors"
    return text.splitlines()[0] if text else type(error).__name__


def _is_plain(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided and not value.is_quantized and value.device.type == "cpu"
