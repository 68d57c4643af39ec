"""Products by oneDNN in the place of PyTorch's, against PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from edgenas.supernets import products
from edgenas.supernets.products import fast_products, pays_here, product

CPU = torch.device("cpu")
needs_onednn = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this PyTorch has no product of oneDNN"
)


@pytest.fixture
def paying(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor where it pays."""
    monkeypatch.setattr(products, "pays_here", lambda: True)


def gradients(multiply: Callable[..., Tensor], *parts: Tensor, of: Tensor) -> list[Tensor]:
    """The product, and its gradients by all parts."""
    leaves = [part.detach().requires_grad_() for part in parts]
    result = multiply(*leaves)
    return [result.detach(), *torch.autograd.grad(result, leaves, of)]


@needs_onednn
@pytest.mark.usefixtures("paying")
@pytest.mark.parametrize(("channels", "channels_out"), [(192, 768), (768, 192)])
def test_slices_of_weights_give_pytorchs_products_and_gradients(channels: int, channels_out: int) -> None:
    torch.manual_seed(0)
    whole = torch.randn(channels_out + 64, channels + 32)
    x_NLC = torch.randn(50, 4, channels).transpose(0, 1)
    bias = torch.randn(channels_out + 64)
    of = torch.ones(1).expand(4, 50, channels_out)

    def sliced(multiply: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda x, w, b: multiply(x, w[:channels_out, :channels], b[:channels_out])

    theirs = gradients(sliced(nn.functional.linear), x_NLC, whole, bias, of=of)
    with fast_products(CPU):
        ours = gradients(sliced(product), x_NLC, whole, bias, of=of)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


@needs_onednn
@pytest.mark.usefixtures("paying")
def test_onednn_is_never_given_strides_that_it_has_no_kernel_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    multiply = products._multiply

    def watched(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
        seen.extend((a, b) if a.ndim == 2 else (a.flatten(0, -2), b))
        return multiply(a, b, bias)

    monkeypatch.setattr(products, "_multiply", watched)
    weight = torch.randn(300, 200)[:256, :128].requires_grad_()
    x_NLC = torch.randn(2, 128, 200).transpose(1, 2).requires_grad_()
    with fast_products(CPU):
        product(x_NLC, weight, None).transpose(1, 2).square().sum().backward()
    assert len(seen) == 6
    assert all(each.is_contiguous() or each.t().is_contiguous() for each in seen)


@pytest.mark.usefixtures("paying")
def test_linear_is_pytorchs_again_after_errors_and_nested_contexts() -> None:
    before = nn.functional.linear
    with fast_products(CPU):
        with pytest.raises(KeyError), fast_products(CPU):
            raise KeyError
        assert nn.functional.linear is product
    assert nn.functional.linear is before


@pytest.mark.usefixtures("paying")
@pytest.mark.parametrize("why", ["small", "double", "autocast", "not asked", "another device"])
def test_other_products_stay_pytorchs(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Tensor:
        raise AssertionError(why)

    monkeypatch.setattr(products, "_multiply", refuse)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", why != "not asked")
    layer, x_MC = nn.Linear(256, 256), torch.randn(1 if why == "small" else 64, 256)
    if why == "double":
        layer, x_MC = layer.double(), x_MC.double()
    with (
        fast_products(torch.device("cuda") if why == "another device" else CPU),
        torch.autocast("cpu", torch.bfloat16, enabled=why == "autocast"),
    ):
        assert layer(x_MC).shape == x_MC.shape


@pytest.mark.usefixtures("paying")
def test_a_function_that_somebody_else_put_in_linears_place_is_left_there(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def others(*args: Tensor) -> Tensor:
        calls.append(args)
        return torch.ones(1)

    monkeypatch.setattr(nn.functional, "linear", others)
    with fast_products(CPU):
        nn.Linear(256, 256)(torch.randn(64, 256))
    assert nn.functional.linear is others
    assert len(calls) == 1


@pytest.mark.usefixtures("paying")
def test_a_wrapper_put_around_linear_meanwhile_stays_and_multiplies_as_pytorch_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = nn.functional.linear
    monkeypatch.setattr(nn.functional, "linear", plain)  # put back at the test's end
    with fast_products(CPU):
        ours = nn.functional.linear

        def wrapped(*args: Tensor) -> Tensor:
            return ours(*args)

        nn.functional.linear = wrapped
    assert nn.functional.linear is wrapped
    monkeypatch.setattr(products, "_multiply", lambda *_: pytest.fail("multiplied by oneDNN after the context"))
    with torch.no_grad():
        x_MC, layer = torch.randn(64, 256), nn.Linear(256, 256)
        assert torch.equal(layer(x_MC), plain(x_MC, layer.weight, layer.bias))


@needs_onednn
@pytest.mark.usefixtures("paying")
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:FutureWarning")
def test_what_counts_traces_and_transforms_sees_pytorchs_linear() -> None:
    layer, x_MC = nn.Linear(256, 256), torch.randn(64, 256)
    with fast_products(CPU):
        with FlopCounterMode(display=False) as counter:
            layer(x_MC)
        assert counter.get_total_flops() == 2 * 64 * 256 * 256
        assert "aten::linear" in str(torch.jit.trace(layer, x_MC).inlined_graph)
        assert torch.func.vmap(layer)(torch.stack([x_MC, x_MC])).shape == (2, 64, 256)
        gradient_OC = torch.func.grad(lambda weight: nn.functional.linear(x_MC, weight).sum())(layer.weight)
        assert gradient_OC.shape == layer.weight.shape
        with FakeTensorMode():
            nn.Linear(256, 256)(torch.randn(64, 256))


class Noted(Tensor):
    """A tensor that knows what it was given to."""

    noted: ClassVar[list[object]] = []

    @classmethod
    def __torch_function__(cls, func: Callable[..., Any], types: object, args: Any = (), kwargs: Any = None) -> Any:
        cls.noted.append(func)
        return super().__torch_function__(func, types, args, kwargs or {})


@pytest.mark.usefixtures("paying")
def test_tensors_of_other_kinds_get_pytorchs_linear() -> None:
    weight = torch.randn(256, 256)
    with fast_products(CPU):
        nn.functional.linear(torch.randn(64, 256).as_subclass(Noted), weight)
        assert torch._C._nn.linear in Noted.noted
        assert nn.functional.linear(torch.randn(64, 256), weight.to_sparse()).shape == (64, 256)


@pytest.mark.usefixtures("paying")
@pytest.mark.parametrize(("channels", "num_bias"), [(100, None), (256, 7)], ids=["input", "bias"])
def test_shapes_that_do_not_match_are_refused_in_pytorchs_words(channels: int, num_bias: int | None) -> None:
    x_MC, weight_OC = torch.randn(256, channels), torch.randn(256, 256)
    bias = None if num_bias is None else torch.randn(num_bias)
    with pytest.raises(RuntimeError) as theirs:
        nn.functional.linear(x_MC, weight_OC, bias)
    with fast_products(CPU), pytest.raises(RuntimeError) as ours:
        nn.functional.linear(x_MC, weight_OC, bias)
    assert str(ours.value) == str(theirs.value)


@needs_onednn
@pytest.mark.usefixtures("paying")
def test_a_net_of_linear_layers_gets_the_same_gradients_up_to_rounding() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(128, 256), nn.GELU(), nn.Linear(256, 128))
    x_MC = torch.randn(128, 128)
    net(x_MC).square().sum().backward()
    plain = [parameter.grad for parameter in net.parameters()]
    net.zero_grad(set_to_none=True)
    with fast_products(CPU):
        net(x_MC).square().sum().backward()
    assert [type(layer) for layer in net] == [nn.Linear, nn.GELU, nn.Linear]
    torch.testing.assert_close([parameter.grad for parameter in net.parameters()], plain, rtol=1e-4, atol=1e-3)


def test_it_pays_where_amd_has_avx512(monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.backends.mkl.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("PyTorch without MKL or oneDNN")
    for capability, maker, expected in (
        ("AVX512", "AuthenticAMD", True),
        ("AVX512", "GenuineIntel", False),
        ("AVX2", "AuthenticAMD", False),
        ("AVX512", None, False),
    ):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda capability=capability: capability)
        monkeypatch.setattr(products, "_maker", lambda maker=maker: maker)
        assert pays_here.__wrapped__() is expected
