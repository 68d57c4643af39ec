"""Matrix products in single precision, where PyTorch's BLAS leaves half of a processor's speed unused.

PyTorch's packages for x86 multiply by MKL, whose kernels keep to AVX2 on processors of other makers than Intel. oneDNN, which the
same packages have for convolutions, uses AVX-512 wherever it is. On an AMD EPYC (family 25, model 17, one thread, fp32) products of
transformers' shapes ran at 95 to 105 GFLOP/s in MKL and at 180 to 250 in oneDNN. PyTorch's own switch to oneDNN lowers the
precision as well (`torch.set_float32_matmul_precision`); here products stay single precision and differ by rounding alone.

`fast_products` puts oneDNN's product in the place of `torch.nn.functional.linear` while a step of training lasts, so that nets stay
ordinary modules. The documented hook for this, `TorchFunctionMode`, stands before every call of PyTorch, which costs a small net 5
to 20 % of its step; this costs calls of `linear` alone.

Shapes: M rows (images times tokens), C channels, O channels out.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from edgenas.portable.facts import CPUINFO, read_text

LEAST_MACS = 2_000_000  # of a product, below which what a call costs besides is more than what is saved
_linear = torch._C._nn.linear  # what `torch.nn.functional.linear` is, unless somebody put something else there
_PLAIN = (Tensor, nn.Parameter)
_CPU = torch.device("cpu")
_lock = threading.Lock()
_inside = 0  # contexts that are open, of all threads


@cache
def pays_here() -> bool:
    """Whether this processor has AVX-512, MKL does not use it, and this PyTorch can multiply by oneDNN."""
    return (
        torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]  # torch does not type it
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        and _maker() == "AuthenticAMD"
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


@contextmanager
def fast_products(device: torch.device) -> Iterator[None]:
    """Linear layers on ``device`` multiply by oneDNN meanwhile, forward and backward, where that is faster.

    Nothing changes on other devices and processors, in other types than float32, in small products, under autocast, in what is
    translated, traced, counted or transformed (`torch.func`), and where somebody else has put a function of theirs in the place.
    Contexts may be nested and open in several threads. Gradients of gradients are refused.
    """
    if device.type != "cpu" or not pays_here():
        yield
        return
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def _count(step: int) -> None:
    global _inside
    with _lock:
        _inside += step
        before, after = (_linear, product) if _inside else (product, _linear)
        if nn.functional.linear is before:
            nn.functional.linear = after


def product(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As `torch.nn.functional.linear`: ``input`` (..., C) by ``weight`` (O, C), and ``bias`` (O,)."""
    if not _inside or not _suits(input, weight, bias):
        return _linear(input, weight, bias)
    result: Tensor = _Product.apply(input, weight, bias)
    return result


def _suits(input_: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether oneDNN has this product and nothing but its result is asked for; what PyTorch would refuse, it refuses itself."""
    return (
        torch._C._get_tracing_state() is None
        and _is_plain(input_)
        and input_.numel() * weight.shape[0] >= LEAST_MACS  # what most calls end at, so this far it has to be quick
        and _is_plain(weight)
        and (bias is None or (_is_plain(bias) and bias.shape == weight.shape[:1]))
        and weight.ndim == 2
        and input_.shape[-1] == weight.shape[1]
        and bool(torch.backends.mkldnn.enabled)
        and not torch.is_autocast_enabled("cpu")
        and not _is_watched()
    )


def _is_plain(tensor: Tensor) -> bool:
    """Numbers in the processor's memory, and no class of somebody's own."""
    return type(tensor) in _PLAIN and tensor.dtype is torch.float32 and tensor.layout is torch.strided and tensor.device == _CPU


def _is_watched() -> bool:
    """Whether PyTorch translates, counts or transforms what is called, and so has to see its own operators."""
    return torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0 or torch._C._are_functorch_transforms_active()


class _Product(torch.autograd.Function):
    """The product, and those of its gradients. Slices are kept as they are, not their copies."""

    @staticmethod
    def forward(ctx: Any, input_: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        input_ = input_.contiguous()
        ctx.save_for_backward(input_, weight)
        return _multiply(input_, weight.contiguous(), None if bias is None else bias.contiguous())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        input_, weight = ctx.saved_tensors
        of_input, of_weight, of_bias = ctx.needs_input_grad
        gradient_MO = gradient.reshape(-1, weight.shape[0]).contiguous()
        input_MC = input_.view(-1, weight.shape[1])
        return (
            _multiply(gradient_MO, weight.contiguous().t()).view(input_.shape) if of_input else None,
            _weights_gradient(gradient_MO, input_MC) if of_weight else None,
            gradient_MO.sum(0) if of_bias else None,
        )


def _weights_gradient(gradient_MO: Tensor, input_MC: Tensor) -> Tensor:
    """The gradient by the weight, (O, C); the side with fewer channels comes first, which oneDNN multiplies sooner."""
    if gradient_MO.shape[1] <= input_MC.shape[1]:
        return _multiply(gradient_MO.t(), input_MC.t())
    return _multiply(input_MC.t(), gradient_MO.t()).t().contiguous()


def _multiply(a_MC: Tensor, b_OC: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """``a @ b.T``, for contiguous matrices and transposes of such: of others oneDNN has but a reference, 2,000 times slower."""
    result: Tensor = torch.ops.mkldnn._linear_pointwise(a_MC, b_OC, bias_O, "none", [], "")
    return result


@cache
def _maker() -> str | None:
    """The processor's maker as it names itself; None where that is not told."""
    lines = (read_text(CPUINFO) or "").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("vendor_id")), None)
