"""`torch.compile` for plain nets that are trained: whether it is possible here, and whether it pays."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from edgenas.errors import MissingBackendError
from edgenas.supernets.products import fast_products
from edgenas.training.ranks import ALONE, Ranks

LEAST_S = 600.0  # of steps that are left, below which trying to translate costs more than it can save
_VISITS = 5


def compile_net(model: nn.Module, device: torch.device) -> None:
    """Let PyTorch translate a net at its first call, in place: parameters keep their names, files hold nothing of it.

    Raises:
        MissingBackendError: if what translates is not there: a C++ compiler on a CPU, triton on a GPU.
    """
    missing = missing_for(device)
    if missing is not None:
        what, hint = missing
        raise MissingBackendError(f"retrain.compile needs {what}", hint=hint)
    model.compile()


def missing_for(device: torch.device) -> tuple[str, str] | None:
    """What PyTorch needs to translate for a device and does not find here, and what helps; None where all is there."""
    if device.type == "cpu" and shutil.which(os.environ.get("CXX", "g++")) is None and shutil.which("clang++") is None:
        return "a C++ compiler here, and there is none", "install g++, or leave retrain.compile out"
    if device.type == "cuda" and not torch.utils._triton.has_triton():
        return "triton here, which is not usable", "leave retrain.compile out"
    return None


def compile_where_faster(
    model: nn.Module,
    images_NCHW: Tensor,
    *,
    amp: torch.dtype | None,
    steps_left: int,
    sizes: int = 1,
    ranks: Ranks = ALONE,
    least_s: float = LEAST_S,
) -> str:
    """Translate a net, in place, where the steps that are left then end sooner.

    Passes forward and backward are timed both ways, in turn; weights, statistics and generators are as before. A net whose steps
    are soon done is not translated to try it. Every further size of batches is translated for again, which is counted.

    Args:
        model: on its device.
        images_NCHW: such as a step of training gets; what they show does not matter.
        amp: of mixed precision; None for none.
        steps_left: of the training.
        sizes: of batches that the training has.
        ranks: that train together; all do what is best for the first one.
        least_s: seconds of steps left from which it is tried.

    Returns:
        What was decided and why, in words.
    """
    device = images_NCHW.device
    missing = missing_for(device)
    if any(ranks.total(float(missing is not None), device=device)):
        return f"trained without torch.compile: it needs {'what another machine has not' if missing is None else missing[0]}"
    with _untouched(model, device):
        seconds_of = _Timer(model, images_NCHW, amp)
        seconds_of(None)
        left_s = ranks.first(steps_left * seconds_of(None))
        if left_s < least_s:
            return f"trained without torch.compile: what is left takes about {left_s:.0f} s, too little for translating to pay"
        translated, compile_s, why = _translated(model, seconds_of)
        if any(ranks.total(float(why is not None), device=device)):
            return f"trained without torch.compile, which failed: {why or 'in another process'}"
        pairs = [(seconds_of(None), seconds_of(translated)) for _ in range(_VISITS)]
    eager_s, translated_s = (statistics.median(each) for each in zip(*pairs, strict=True))
    saved_s = steps_left * (eager_s - translated_s) - (sizes - 1) * compile_s
    takes, saved_s = ranks.first((saved_s > 0, saved_s))
    model._compiled_call_impl = translated if takes else None
    times = f"forward and backward take {1000 * translated_s:.3g} ms with it, {1000 * eager_s:.3g} without"
    end = f"{steps_left} steps end about {abs(saved_s):.0f} s {'sooner' if takes else 'later'} with it"
    return f"trained with{'' if takes else 'out'} torch.compile: {times}; {end}, after {compile_s:.0f} s for translating"


class _Timer:
    """Seconds of one pass forward and backward through a net, translated or not."""

    def __init__(self, model: nn.Module, images_NCHW: Tensor, amp: torch.dtype | None) -> None:
        self._model, self._images_NCHW, self._amp = model.train(), images_NCHW, amp

    def __call__(self, translated: Callable[..., Any] | None) -> float:
        device = self._images_NCHW.device
        self._model._compiled_call_impl = translated
        began = time.perf_counter()
        with fast_products(device) if translated is None else nullcontext():
            with torch.autocast(device.type, dtype=self._amp or torch.bfloat16, enabled=self._amp is not None):
                logits_NC = self._model(self._images_NCHW)
            torch.autograd.backward(logits_NC.float().square().mean())
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began


def _translated(model: nn.Module, seconds_of: _Timer) -> tuple[Callable[..., Any] | None, float, str | None]:
    """The translated call, how long it took to make, and why there is none where that failed."""
    model.compile()
    translated = model._compiled_call_impl
    try:
        return translated, seconds_of(translated), None
    except RuntimeError as error:  # what translates raises is one, and so is a compiler's failure
        return None, 0.0, (" ".join(str(error).split()) or type(error).__name__)[:120]


@contextmanager
def _untouched(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Buffers, gradients and generators are afterwards what they were; the net is not translated unless somebody says so."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    with torch.random.fork_rng([device] if device.type == "cuda" else [], enabled=True):
        try:
            yield
        finally:
            model.zero_grad(set_to_none=True)
            model._compiled_call_impl = None
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)


__all__ = ["LEAST_S", "compile_net", "compile_where_faster", "missing_for"]
