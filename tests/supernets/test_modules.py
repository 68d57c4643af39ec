"""The nets that users receive are ordinary modules: what works on any `nn.Module` works on those of every family."""

from __future__ import annotations

import copy
import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from edgenas.costs import cost_models
from edgenas.spaces import SPACES, SearchSpace, Task
from edgenas.supernets import FAMILIES, build_net
from edgenas.testing.modules import calls_of_leaves, leaves, linear_layers_without_effect, replaced
from edgenas.testing.supernets import awakened_supernet, images_for

pytestmark = pytest.mark.usefixtures("one_thread")


@functools.cache
def smallest_space(family: str) -> SearchSpace:
    """The space of a family whose largest net has the fewest parameters."""
    spaces = [space for space in SPACES.values() if space.family == family]
    return min(spaces, key=lambda space: float(cost_models(space, space.default_task)["params"](space.extreme(largest=True))[0]))


def small_task(space: SearchSpace) -> Task:
    """The space's own, with images that are not large."""
    return replace(space.default_task, image_px=min(64, space.default_task.image_px))


@pytest.fixture(params=[*FAMILIES, "pvt-covidx"])
def space(request: pytest.FixtureRequest) -> SearchSpace:
    """The smallest of every family, and the one whose head has hidden layers."""
    return SPACES[request.param] if request.param in SPACES else smallest_space(request.param)


@pytest.fixture(params=[pytest.param("smallest", marks=pytest.mark.slow), "largest"])
def genes(request: pytest.FixtureRequest, space: SearchSpace) -> tuple[int, ...]:
    return tuple(int(gene) for gene in space.extreme(largest=request.param == "largest")[0])


@functools.cache
def supernet_of(space_name: str) -> Any:
    """A supernet that nets are extracted from, which own their weights."""
    space = SPACES[space_name]
    return awakened_supernet(space, small_task(space))


@pytest.fixture
def net(space: SearchSpace, genes: tuple[int, ...]) -> nn.Module:
    extracted: nn.Module = supernet_of(space.name).extract(genes)
    return extracted


@pytest.fixture
def images(space: SearchSpace, genes: tuple[int, ...]) -> Tensor:
    return images_for(space.task_of(genes, small_task(space)))


def linear_names(net: nn.Module) -> list[str]:
    return [name for name, module in net.named_modules() if isinstance(module, nn.Linear)]


def test_every_family_has_a_space() -> None:
    assert {space.family for space in SPACES.values()} == set(FAMILIES)


def test_a_hook_on_every_leaf_fires_once_an_answer(net: nn.Module, images: Tensor) -> None:
    counts = calls_of_leaves(net, images)
    assert set(counts.values()) == {1}, {name: count for name, count in counts.items() if count != 1}


def test_every_parameter_belongs_to_a_leaf_or_is_a_token_or_a_table(net: nn.Module) -> None:
    owned = {f"{name}.{own}" for name, module in leaves(net).items() for own, _ in module.named_parameters()}
    assert {name for name, _ in net.named_parameters()} - owned <= {"cls_token", "pos_embed"}


def test_another_module_in_the_place_of_any_linear_layer_changes_the_answer(net: nn.Module, images: Tensor) -> None:
    assert linear_names(net)
    assert linear_layers_without_effect(net, images) == []


def test_a_linear_layer_that_is_not_called_or_not_listened_to_has_no_effect() -> None:
    class Deaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.uncalled, self.unheard = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x_NI: Tensor) -> Tensor:
            y_NI: Tensor = self.used(x_NI) + 0 * self.unheard(x_NI)
            return y_NI

    assert linear_layers_without_effect(Deaf(), torch.ones(2, 4)) == ["uncalled", "unheard"]


def test_an_adapter_around_every_linear_layer_learns(net: nn.Module, images: Tensor) -> None:
    class Adapter(nn.Module):
        def __init__(self, linear: nn.Linear) -> None:
            super().__init__()
            self.linear = linear.requires_grad_(requires_grad=False)
            self.down = nn.Linear(linear.in_features, 2, bias=False)
            self.up = nn.Linear(2, linear.out_features, bias=False)
            nn.init.zeros_(self.up.weight)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.linear(x) + self.up(self.down(x))
            return y

    adapted = copy.deepcopy(net).requires_grad_(requires_grad=False)
    for name in linear_names(net):
        parent, _, own = name.rpartition(".")
        linear = adapted.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        setattr(adapted.get_submodule(parent), own, Adapter(linear))
    answer = adapted(images)
    torch.testing.assert_close(answer, net(images), atol=1e-5, rtol=1e-5)
    answer.square().sum().backward()
    learnt = [name for name, p in adapted.named_parameters() if p.grad is not None and bool((p.grad != 0).any())]
    assert len(learnt) == len([name for name, _ in adapted.named_parameters() if name.endswith("up.weight")])


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated", "ignore:torch.quantize_per_tensor")
def test_torch_quantises_every_linear_layer(net: nn.Module, images: Tensor) -> None:
    from torch.ao.nn.quantized.dynamic import Linear
    from torch.ao.quantization import quantize_dynamic

    quantised = quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)
    assert {name for name, module in quantised.named_modules() if isinstance(module, Linear)} == set(linear_names(net))
    with torch.no_grad():
        expected, answer = net(images), quantised(images)
    assert not torch.equal(answer, expected)
    error = float((answer - expected).abs().max() / (expected - expected.mean()).abs().max())
    assert error < 0.3


def test_weights_may_be_parametrised(net: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        expected = net(images)
        for name in linear_names(net):
            parametrizations.weight_norm(net.get_submodule(name))
        torch.testing.assert_close(net(images), expected, atol=1e-4, rtol=1e-4)


def test_torch_fx_traces_every_layer_of_torchs_as_a_call(net: nn.Module, images: Tensor) -> None:
    traced = torch.fx.symbolic_trace(net)
    called = {str(node.target) for node in traced.graph.nodes if node.op == "call_module"}
    assert called == {name for name, module in leaves(net).items() if type(module).__module__.startswith("torch.nn")}
    with torch.no_grad():
        assert torch.equal(traced(images), net(images))


def test_a_replaced_module_is_put_back(net: nn.Module) -> None:
    name = linear_names(net)[0]
    before = net.get_submodule(name)
    with replaced(net, name, nn.Identity()):
        assert isinstance(net.get_submodule(name), nn.Identity)
    assert net.get_submodule(name) is before


def test_a_freshly_built_net_is_made_of_the_same_modules(space: SearchSpace, genes: tuple[int, ...], net: nn.Module) -> None:
    built = build_net(space, small_task(space), genes)
    assert {name: type(module) for name, module in built.named_modules()} == {
        name: type(module) for name, module in net.named_modules()
    }
    assert built.state_dict().keys() == net.state_dict().keys()


def test_other_draws_call_all_their_layers_too(space: SearchSpace) -> None:
    supernet: Any = awakened_supernet(space, small_task(space))
    for row in space.sample(3, np.random.default_rng(1)):
        genes = tuple(int(gene) for gene in row)
        counts = calls_of_leaves(supernet.extract(genes), images_for(space.task_of(genes, small_task(space)), 1))
        assert set(counts.values()) == {1}
