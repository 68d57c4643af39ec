"""Several processes that train one net: every step's batch is divided among them, gradients are added up once a step.

Every process (a rank) runs the whole command on equal files, so that all come to the same decisions; what is exchanged is below.
This is not `DistributedDataParallel`: a step runs several subnets, whose gradients are added locally and exchanged once, and blocks
that no subnet of a step has get no gradient, which must stay so on all ranks, or weight decay would move them.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from edgenas.errors import RankError, UsageError
from edgenas.runs.place import Place, place_of, word

Thing = TypeVar("Thing")

PATIENCE = timedelta(minutes=30)  # that a rank waits for another


@dataclass(frozen=True, slots=True)
class Ranks:
    """The processes of one training, as one of them sees them; with ``size`` 1 every method does nothing.

    Attributes:
        rank: 0 is the one whose files are kept.
        size: processes together.
    """

    rank: int = 0
    size: int = 1

    def rows(self, num: int) -> slice:
        """This rank's images of a batch of ``num``; those of all ranks follow each other and overlap nowhere."""
        return slice(num * self.rank // self.size, num * (self.rank + 1) // self.size)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Add up tensors over all ranks, in place, in one exchange; all ranks give the same shapes."""
        if self.size == 1 or not tensors:
            return
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            mine = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = torch.cat([tensor.reshape(-1) for tensor in mine])
            with _exchange():
                torch.distributed.all_reduce(flat)
            for tensor, total in zip(mine, torch.split(flat, [tensor.numel() for tensor in mine]), strict=True):
                tensor.copy_(total.view_as(tensor))

    def total(self, *values: float, device: torch.device) -> tuple[float, ...]:
        """Numbers added up over all ranks."""
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=device)
        self.add_up([tensor])
        return tuple(tensor.tolist())

    def first(self, thing: Thing) -> Thing:
        """What rank 0 has."""
        if self.size == 1:
            return thing
        things: list[Any] = [thing]
        with _exchange():
            torch.distributed.broadcast_object_list(things, src=0)
        first: Thing = things[0]
        return first

    def require_same(self, what: str, thing: Any) -> None:
        """Check that all ranks are about to do the same.

        Raises:
            RankError: if they are not.
        """
        if self.first(thing) != thing:
            text = f"rank {self.rank} is about to do other work than rank 0 in {what}"
            raise RankError(text, hint="all processes need the same versions, settings and images")

    @torch.no_grad()
    def spread(self, *modules: nn.Module) -> None:
        """Give all ranks rank 0's weights and buffers."""
        if self.size == 1:
            return
        for module in modules:
            for tensor in module.state_dict().values():
                with _exchange():
                    torch.distributed.broadcast(tensor, src=0)

    @torch.no_grad()
    def average_statistics(self, *modules: nn.Module) -> None:
        """Batch norms' running statistics, of which every rank has seen other images, become their mean over the ranks."""
        for module in modules if self.size > 1 else ():
            norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
            buffers = [buffer for norm in norms for buffer in norm.buffers() if buffer.is_floating_point()]
            self.add_up(buffers)
            for buffer in buffers:
                buffer.div_(self.size)


ALONE = Ranks()
_current = ALONE


def current() -> Ranks:
    """The ranks that `join` found; a process that joined nobody is alone."""
    return _current


def join(device: str) -> Ranks:
    """Meet the other processes of this command, if there are any; afterwards `current` tells of them.

    Args:
        device: ``cpu``, ``cuda`` or ``auto``, as settings have it. On GPUs every rank of a machine takes the one of its number.

    Raises:
        UsageError: if the environment names no place, or there are more ranks than GPUs.
        RankError: if the others do not come.
    """
    global _current
    place = place_of()
    if place is None or _current is not ALONE:
        return _current
    backend = "gloo"
    if device != "cpu" and torch.cuda.is_available():
        if place.local_rank >= torch.cuda.device_count():
            num = torch.cuda.device_count()
            text = f"local rank {place.local_rank} finds {num} GPU{'s' if num != 1 else ''} on its machine"
            raise UsageError(text, hint=f"start --nproc-per-node {num} processes, or train with --device cpu")
        torch.cuda.set_device(place.local_rank)
        backend = "cpu:gloo,cuda:nccl"
    with _exchange():
        torch.distributed.init_process_group(
            backend,
            init_method=f"tcp://{place.host}:{place.port}" if not _has_store(place) else "env://",
            rank=place.rank,
            world_size=place.size,
            timeout=PATIENCE,
        )
    word.store = torch.distributed.distributed_c10d._get_default_store()
    atexit.register(_leave)
    _current = Ranks(place.rank, place.size)
    return _current


def _has_store(place: Place) -> bool:
    """Whether torchrun listens already where the ranks meet."""
    import os

    return "MASTER_ADDR" in os.environ and "RANK" in os.environ


def _leave() -> None:
    global _current
    if torch.distributed.is_initialized():
        word.store = None
        torch.distributed.destroy_process_group()
    _current = ALONE


@contextmanager
def _exchange() -> Iterator[None]:
    """Turn what PyTorch raises when another rank is gone into one line."""
    try:
        yield
    except (RuntimeError, ValueError) as error:  # DistBackendError and DistNetworkError are RuntimeErrors
        first = (" ".join(str(error).split()) or type(error).__name__)[:160]
        text = f"another process of this training is gone ({first})"
        hint = "where one of them says why, fix that; then start all of them again with the same command: it goes on"
        raise RankError(text, hint=hint) from error
