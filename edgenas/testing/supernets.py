"""What every supernet family must pass, space by space: subclass and give a fixture ``space``."""

# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from edgenas.costs import cost_models, decompose
from edgenas.latency.nets import components_of
from edgenas.spaces import SearchSpace, Task, get_space, unique_rows
from edgenas.supernets import Supernet, build_net, build_supernet, family
from edgenas.testing.modules import calls_of_leaves, linear_layers_without_effect

if TYPE_CHECKING:
    from torch import Tensor, nn

Row = tuple[int, ...]
TOLERANCE = 1e-5


Make = Callable[[SearchSpace, Task], "nn.Module"]


def awakened_supernet(space: SearchSpace, task: Task, make: Make = build_supernet) -> nn.Module:
    """A supernet in eval mode whose every weight, bias and statistic differs from its start, so that none can be forgotten."""
    return copy.deepcopy(_awakened(space, task, make))


@lru_cache(maxsize=4)  # the largest take a gigabyte each
def _awakened(space: SearchSpace, task: Task, make: Make) -> nn.Module:
    import torch

    with torch.random.fork_rng(devices=()), torch.no_grad():
        torch.manual_seed(0)
        supernet = make(space, task).eval()
        names = {name for name, _ in supernet.named_parameters()}
        for name, value in supernet.state_dict().items():
            if name in names:
                value.add_(torch.randn_like(value), alpha=0.1)
            elif value.is_floating_point():
                value.uniform_(-0.5, 0.5) if name.endswith("mean") else value.uniform_(0.5, 1.5)
    return supernet


def images_for(task: Task, num: int = 2, *, seed: int = 0) -> Tensor:
    """Seeded noise, shape (num, channels, rows, columns)."""
    import torch

    shape = (num, task.in_channels, task.image_px, task.image_px)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class SupernetConformance:
    """Contract of a supernet. Override ``task`` where the space's own resolution is slow.

    Attributes:
        num_random: architectures that are drawn beside both extremes.
        max_steps: drawn subnets within which everything must have learnt.
        num_blind: of these architectures, those that answer every image alike; a head whose units are all silent hides mistakes.
        make: builds the supernet under test.
    """

    num_random = 3
    max_steps = 32
    num_blind = 0
    make: Make = staticmethod(build_supernet)

    @pytest.fixture(autouse=True)
    def one_thread(self) -> Iterator[None]:
        """Small nets are no faster on several threads, and far slower where other processes are busy."""
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(before)

    @pytest.fixture
    def space(self) -> SearchSpace:
        """The space whose supernet is under test."""
        raise NotImplementedError

    @pytest.fixture
    def task(self, space: SearchSpace) -> Task:
        """Classes, channels and resolution."""
        return space.default_task

    @pytest.fixture
    def supernet(self, space: SearchSpace, task: Task) -> nn.Module:
        """In eval mode, with weights that tell every mistake."""
        return self.awakened(space, task)

    @pytest.fixture
    def archs(self, space: SearchSpace) -> list[Row]:
        """The smallest, some draws and the largest, each once."""
        drawn_AG = space.sample(self.num_random, np.random.default_rng(0))
        return _rows(unique_rows(np.concatenate([space.extreme(largest=False), drawn_AG, space.extreme(largest=True)])))

    def awakened(self, space: SearchSpace, task: Task) -> nn.Module:
        """The supernet; override where what so many blocks of drawn weights add outgrows single precision."""
        return awakened_supernet(space, task, self.make)

    def drawn(self, space: SearchSpace) -> list[Row]:
        """``max_steps`` subnets as training draws them; override where the family has its own rule."""
        return _rows(space.sample(self.max_steps, np.random.default_rng(0)))

    def test_its_space_is_found_by_name(self, space: SearchSpace) -> None:
        assert get_space(space.name) is space

    def test_an_extracted_subnet_computes_what_the_supernet_computes(
        self, supernet: nn.Module, task: Task, archs: list[Row]
    ) -> None:
        answers = [_answer_of_both(supernet, genes, images_for(task)) for genes in archs]
        apart = [float((one_K - other_K).abs().max()) for one_K, other_K in answers]
        assert sum(distance <= 10 * TOLERANCE for distance in apart) <= self.num_blind, "two images are answered alike"
        distances = [float((first - second).abs().max()) for first, second in combinations(answers, 2)]
        assert min(distances) > 10 * TOLERANCE, "two architectures answer alike"

    def test_an_extracted_subnet_owns_its_weights_and_can_be_copied(
        self, supernet: nn.Module, task: Task, archs: list[Row]
    ) -> None:
        import torch

        images_NCHW = images_for(task, 1)
        for genes in archs[:2]:
            source = copy.deepcopy(supernet)  # weights that were disturbed once may overflow the next net
            net = _extract(source, genes)
            copied = copy.deepcopy(net)
            storages = [{p.untyped_storage().data_ptr() for p in module.parameters()} for module in (net, copied, source)]
            assert not storages[0] & storages[1] | storages[0] & storages[2] | storages[1] & storages[2]
            with torch.no_grad():
                before_NK = net(images_NCHW)
                for parameter in [*source.parameters(), *copied.parameters()]:
                    parameter.add_(1.0)
                assert torch.equal(net(images_NCHW), before_NK)

    @pytest.mark.parametrize("training", [False, True])
    def test_extraction_keeps_the_mode_and_changes_nothing(self, supernet: nn.Module, archs: list[Row], training: bool) -> None:
        import torch

        supernet.train(training)
        before = {name: value.clone() for name, value in supernet.state_dict().items()}
        net = _extract(supernet, archs[0])
        assert all(module.training == training for module in [*net.modules(), *supernet.modules()])
        assert all(parameter.requires_grad for parameter in net.parameters())
        assert all(torch.equal(before[name], value) for name, value in supernet.state_dict().items())

    def test_a_freshly_built_net_takes_the_extracted_weights(
        self, supernet: nn.Module, space: SearchSpace, task: Task, archs: list[Row]
    ) -> None:
        import torch

        images_NCHW = images_for(task)
        for genes in archs[:2]:
            extracted = _extract(supernet, genes)
            net = build_net(space, task, genes).eval()
            net.load_state_dict(extracted.state_dict())
            with torch.no_grad():
                assert torch.equal(net(images_NCHW), extracted(images_NCHW))

    def test_an_extracted_subnet_calls_its_layers_as_modules(self, supernet: nn.Module, task: Task, archs: list[Row]) -> None:
        for genes in (archs[0], archs[-1]):
            net = _extract(supernet, genes)
            images_NCHW = images_for(cast(Supernet, supernet).space.task_of(genes, task), 1)
            unseen = [name for name, calls in calls_of_leaves(net, images_NCHW).items() if calls < 1]
            assert unseen == [], "layers whose hooks do not fire"
            unused = linear_layers_without_effect(net, images_NCHW)
            assert unused == [], "linear layers whose replacement changes nothing"

    def test_an_extracted_subnet_is_exported_by_torch(self, supernet: nn.Module, task: Task, archs: list[Row]) -> None:
        import torch

        images_NCHW = images_for(cast(Supernet, supernet).space.task_of(archs[0], task), 1)
        net = _extract(supernet, archs[0])
        exported = torch.export.export(net, (images_NCHW,), strict=False).module()
        with torch.no_grad():
            torch.testing.assert_close(exported(images_NCHW), net(images_NCHW), atol=TOLERANCE, rtol=TOLERANCE)

    def test_its_parameters_are_those_that_the_cost_model_counts(self, space: SearchSpace, task: Task, archs: list[Row]) -> None:
        import torch

        drawn = _rows(space.sample(4, np.random.default_rng(1)))
        counted_A = cost_models(space, task).params(np.array([*archs, *drawn], dtype=np.int16))
        with torch.device("meta"):  # shapes without values
            built = [_num_params(build_net(space, task, genes)) for genes in [*archs, *drawn]]
        assert built == counted_A.tolist()

    def test_the_extremes_bound_every_cost(self, space: SearchSpace, task: Task) -> None:
        drawn_AG = space.sample(500, np.random.default_rng(0))
        for name, cost in cost_models(space, task).items():
            low, high = cost(space.corners(largest=False)).min(), cost(space.corners(largest=True)).max()
            assert (cost(drawn_AG) >= low).all(), name
            assert (cost(drawn_AG) <= high).all(), name

    def test_everything_learns_within_a_few_drawn_subnets(self, space: SearchSpace, task: Task) -> None:
        """Every option of every gene is drawn, and every row of every weight gets a gradient."""
        supernet = self.make(space, task).train()
        asleep = {(choice.name, option) for choice in space.choices for option in range(len(choice.options))}
        weights = dict(supernet.named_parameters())  # those whose rows have not all learnt yet
        learnt = {name: _any_of_row(weight.detach() * 0) for name, weight in weights.items()}
        for step, genes in enumerate(self.drawn(space)):
            supernet.zero_grad(set_to_none=True)
            _backward(_call(supernet, images_for(task, 3, seed=step), genes))
            for name, weight in [*weights.items()]:
                if weight.grad is not None:
                    assert weight.grad.isfinite().all(), name
                    learnt[name] |= _any_of_row(weight.grad)
                    if learnt[name].all():
                        del weights[name]
            asleep -= {(choice.name, gene) for choice, gene in zip(space.choices, genes, strict=True)}
            if not asleep and not weights:
                break
        assert sorted(asleep) == [], "options that were never drawn"
        assert [*weights] == [], "weights without a gradient"

    def test_subnets_in_turn_answer_as_alone(self, supernet: nn.Module, task: Task, archs: list[Row]) -> None:
        import torch

        images_NCHW = images_for(task)
        with torch.no_grad():
            alone = [_call(copy.deepcopy(supernet), images_NCHW, genes) for genes in archs]
            for _ in range(2):
                for genes, expected_NK in zip(archs, alone, strict=True):
                    assert torch.equal(_call(supernet, images_NCHW, genes), expected_NK)

    def test_a_subnet_between_forward_and_backward_changes_no_gradient(
        self, supernet: nn.Module, task: Task, archs: list[Row]
    ) -> None:
        import torch

        images_NCHW = images_for(task)
        gradients = []
        for between in (None, archs[-1]):
            supernet.zero_grad(set_to_none=True)
            logits_NK = _call(supernet, images_NCHW, archs[1])
            if between is not None:
                _call(supernet, images_NCHW, between)
            _backward(logits_NK)
            gradients.append({name: p.grad.clone() for name, p in supernet.named_parameters() if p.grad is not None})
        alone, interleaved = gradients
        assert alone.keys() == interleaved.keys()
        assert all(torch.equal(alone[name], interleaved[name]) for name in alone)

    def test_components_chain_into_the_net(self, supernet: nn.Module, space: SearchSpace, task: Task, archs: list[Row]) -> None:
        import torch

        module = family(space)
        for genes in archs[:2]:
            components = components_of(space, np.array(genes, dtype=np.int16), task)
            parts = [module.build_component(component) for component in components]
            x = images_for(space.task_of(genes, task), 1)
            with torch.no_grad():
                for component, part in zip(components, parts, strict=True):
                    assert tuple(x.shape[1:]) == module.component_input_shape(component), component
                    x = part(x)
            assert x.shape == (1, task.num_classes)
            shapes = [sorted(tuple(p.shape) for p in net.parameters()) for net in (_extract(supernet, genes), _chain(parts))]
            assert shapes[0] == shapes[1]

    def test_the_cost_terms_hold_the_components_of_the_net(self, space: SearchSpace, task: Task, archs: list[Row]) -> None:
        terms = decompose(space, task)
        for genes in archs:
            counted = Counter(part for term in terms for part in term.cells[tuple(genes[gene] for gene in term.genes)])
            assert counted == Counter(components_of(space, np.array(genes, dtype=np.int16), task))

    def test_other_classes_channels_and_resolution_need_no_code(self, space: SearchSpace, task: Task, archs: list[Row]) -> None:
        other = Task(task.num_classes + 1, 4 - task.in_channels, task.image_px + 16)
        supernet = self.awakened(space, other)
        answer_NK = _answer_of_both(supernet, archs[1], images_for(other))
        assert answer_NK.shape == (2, other.num_classes)
        counted_A = cost_models(space, other).params(np.array(archs[1:2], dtype=np.int16))
        assert _num_params(_extract(supernet, archs[1])) == counted_A[0]


def _rows(genes_AG: np.ndarray[tuple[int, ...], np.dtype[np.int16]]) -> list[Row]:
    return [tuple(int(gene) for gene in row_G) for row_G in genes_AG]


def _call(supernet: nn.Module, images_NCHW: Tensor, genes: Row) -> Tensor:
    return cast(Supernet, supernet)(images_NCHW, genes)


def _extract(supernet: nn.Module, genes: Row) -> nn.Module:
    return cast(Supernet, supernet).extract(genes)


def _backward(logits_NK: Tensor) -> None:
    logits_NK.square().sum().backward()  # type: ignore[no-untyped-call]  # torch does not type it


def _any_of_row(value: Tensor) -> Tensor:
    """Which rows of a weight, or whether a vector at all, holds anything but zero."""
    return (value != 0).flatten(1).any(1) if value.dim() > 1 else (value != 0).any()


def _chain(parts: list[nn.Module]) -> nn.Module:
    from torch import nn

    return nn.Sequential(*parts)


def _num_params(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def _answer_of_both(supernet: nn.Module, genes: Row, images_NCHW: Tensor) -> Tensor:
    """Logits of one architecture, which supernet and extracted subnet agree on."""
    import torch

    with torch.no_grad():
        expected_NK = _call(supernet, images_NCHW, genes)
        torch.testing.assert_close(_extract(supernet, genes)(images_NCHW), expected_NK, atol=TOLERANCE, rtol=TOLERANCE)
    return expected_NK
