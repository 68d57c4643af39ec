"""Supernets compute with the modules of plain nets, and leave nothing behind in them."""

from __future__ import annotations

import copy
import gc
import threading
import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from edgenas.costs import FAMILIES as COSTS
from edgenas.spaces import SPACES, Task, get_space
from edgenas.spaces.families import FAMILIES as SPACE_FAMILIES
from edgenas.supernets import FAMILIES, functional_subnet
from edgenas.supernets.classical import ClassicalSupernet
from edgenas.supernets.pvt_net import AveragePool
from edgenas.supernets.sliced import Setting, SlicedSupernet, skeleton
from edgenas.supernets.slots import Skeleton, weights_of
from edgenas.supernets.weightless import weightless
from edgenas.testing.supernets import awakened_supernet, images_for

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
NANO = get_space("pvt-nano")


def largest(name: str) -> tuple[int, ...]:
    space = get_space(name)
    return tuple(int(gene) for gene in space.extreme(largest=True)[0])


def test_spaces_costs_and_supernets_know_the_same_families() -> None:
    assert set(SPACE_FAMILIES) == set(COSTS) == set(FAMILIES) == {space.family for space in SPACES.values()}


@pytest.mark.parametrize("name", list(FAMILIES))
def test_a_component_of_no_family_is_refused_by_name(name: str) -> None:
    for function in (FAMILIES[name]().build_component, FAMILIES[name]().component_input_shape):
        with pytest.raises(ValueError, match="a pebble is no component of a"):
            function("a pebble")


def test_a_skeleton_computes_with_what_it_is_given_and_keeps_none_of_it() -> None:
    skeleton_of_linear = Skeleton(nn.Linear(3, 2).requires_grad_(requires_grad=False))
    before = copy.deepcopy(skeleton_of_linear.module.state_dict())
    weight = torch.randn(2, 3, requires_grad=True)
    x = torch.randn(4, 3)
    assert torch.equal(skeleton_of_linear({"weight": weight}, x), x @ weight.T + before["bias"])
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        skeleton_of_linear({"weight": torch.zeros(2, 5)}, x)
    assert all(torch.equal(value, before[name]) for name, value in skeleton_of_linear.module.state_dict().items())
    with pytest.raises(KeyError, match="wieght"):
        skeleton_of_linear({"wieght": weight}, x)
    kept = weakref.ref(weight)
    del weight
    gc.collect()
    assert kept() is None


def test_statistics_that_are_given_are_updated_where_they_are() -> None:
    mean, count = torch.zeros(3), torch.zeros((), dtype=torch.long)
    x = torch.randn(8, 3) + 5
    Skeleton(nn.BatchNorm1d(3).train())({"running_mean": mean, "num_batches_tracked": count}, x)
    torch.testing.assert_close(mean, 0.1 * x.mean(dim=0))
    assert int(count) == 1


def test_statistics_of_a_supernet_are_updated_in_training_alone() -> None:
    supernet: Any = awakened_supernet(get_space("pvt-covidx"), Task(3, 3, 64))
    statistics = dict(supernet.net.head.named_buffers())
    before = {name: value.clone() for name, value in statistics.items()}
    genes = tuple(int(gene) for gene in get_space("pvt-covidx").extreme(largest=False)[0])
    images = images_for(supernet.task)
    with torch.no_grad():
        supernet(images, genes)
        assert all(torch.equal(value, before[name]) for name, value in statistics.items())
        supernet.train()(images, genes)
    assert len(statistics) == 6
    assert not any(torch.equal(value, before[name]) for name, value in statistics.items())


def test_weights_are_read_where_they_are_now() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 1)))
    assert list(weights_of(net)) == [name for name, _ in net.named_parameters()]
    other = copy.deepcopy(net)
    net.load_state_dict({name: torch.ones_like(value) for name, value in net.state_dict().items()}, assign=True)
    for module in (net, other, net.double()):
        assert all(weights_of(module)[name] is value for name, value in module.named_parameters())


def test_weightless_modules_draw_nothing_and_have_their_constants() -> None:
    before = torch.random.get_rng_state()
    net = weightless(lambda: nn.Sequential(nn.Linear(4, 4), AveragePool(4, 2), nn.LayerNorm(4)), CPU, torch.float64)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(parameter.is_meta and parameter.dtype == torch.float64 for parameter in net.parameters())
    matrix = net.get_buffer("1.matrix_PH")
    assert matrix.dtype == torch.float64
    assert torch.equal(matrix, torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]], dtype=torch.float64))


def test_skeletons_are_kept_apart_by_setting_and_hold_no_weights() -> None:
    build = FAMILIES["pvt"]().build_component
    component = SPACE_FAMILIES["pvt"].lower(NANO, NANO.extreme(largest=True)[0], NANO.default_task).components[1]
    setting = Setting(CPU, torch.float32, training=True, thread=1)
    first = skeleton(build, setting, component)
    assert skeleton(build, replace(setting), component) is first
    for changed in ({"training": False}, {"dtype": torch.float64}, {"thread": 2}):
        assert skeleton(build, replace(setting, **changed), component) is not first
    assert all(parameter.is_meta for parameter in first.module.parameters())


def test_supernets_may_run_in_several_threads_at_once() -> None:
    """The first block of one waits inside its forward until the other has answered."""
    supernets: list[Any] = [awakened_supernet(NANO, NANO.default_task) for _ in range(2)]
    with torch.no_grad():
        for parameter in supernets[1].parameters():
            parameter.mul_(0.5)
    genes, images = largest("pvt-nano"), images_for(NANO.default_task)
    waiting, answered = threading.Event(), threading.Event()
    answers: dict[str, torch.Tensor] = {}

    def in_another_thread() -> None:
        def wait(module: nn.Module, inputs: Any) -> None:
            waiting.set()
            answered.wait(60)

        component = supernets[0].spec(genes).components[1]
        setting = Setting(CPU, torch.float32, training=False, thread=threading.get_ident())
        block = skeleton(supernets[0].sharing.build_component, setting, component).module
        handle = block.get_submodule("mlp").register_forward_pre_hook(wait)
        with torch.no_grad():
            answers["first"] = supernets[0](images, genes)
        handle.remove()

    with torch.no_grad():
        expected = [supernet(images, genes) for supernet in supernets]
        thread = threading.Thread(target=in_another_thread)
        thread.start()
        assert waiting.wait(60)
        answers["second"] = supernets[1](images, genes)
    answered.set()
    thread.join()
    assert torch.equal(answers["first"], expected[0])
    assert torch.equal(answers["second"], expected[1])


@pytest.mark.parametrize("name", ["pvt-nano", "pvt-elastic-nano", "autoformer-nano", "vitas-nano", "pit-nano"])
def test_a_supernet_in_double_precision_answers_as_what_is_extracted_from_it(name: str) -> None:
    space = get_space(name)
    supernet: Any = awakened_supernet(space, space.default_task).double()
    images = images_for(space.task_of(largest(name), space.default_task)).double()
    with torch.no_grad():
        net = supernet.extract(largest(name))
        assert {parameter.dtype for parameter in net.parameters()} == {torch.float64}
        torch.testing.assert_close(net(images), supernet(images, largest(name)), atol=1e-12, rtol=1e-12)


def test_what_is_kept_in_inference_mode_is_fit_for_training() -> None:
    space = get_space("autoformer-nano")
    supernet = FAMILIES["autoformer"]().build_supernet(space, space.default_task)
    assert isinstance(supernet, SlicedSupernet)
    skeleton.cache_clear()
    with torch.inference_mode():
        supernet(images_for(space.default_task), largest(space.name))
    supernet(images_for(space.default_task), largest(space.name)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in supernet.parameters())


def test_subnets_of_private_blocks_are_no_slices() -> None:
    supernet: Any = ClassicalSupernet(NANO, NANO.default_task, COSTS["pvt"].decompose(NANO, NANO.default_task))
    with pytest.raises(ValueError, match="subnets of ClassicalSupernet are no slices of its weights"):
        functional_subnet(supernet, largest("pvt-nano"))
