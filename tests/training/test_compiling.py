"""`torch.compile` for plain nets."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch

from edgenas.errors import MissingBackendError
from edgenas.project.settings import RetrainSettings
from edgenas.training.compiling import _Timer, compile_net, compile_where_faster
from edgenas.training.distillation import TrainingLoss
from edgenas.training.loop import EpochRecord, LoopSettings, start, train
from tests.training.tiny import CPU, TinyBatches, tiny_net


def test_without_a_compiler_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(MissingBackendError, match="needs a C\\+\\+ compiler"):
        compile_net(tiny_net(), CPU)


def test_auto_says_that_there_is_no_compiler_and_trains_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    net = tiny_net()
    words = compile_where_faster(net, torch.zeros(2, 3, 16, 16), amp=None, steps_left=10**9)
    assert words == "trained without torch.compile: it needs a C++ compiler here, and there is none"
    assert net._compiled_call_impl is None


def test_auto_does_not_translate_to_save_seconds() -> None:
    net = tiny_net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    generator = torch.get_rng_state()
    words = compile_where_faster(net, torch.zeros(2, 3, 16, 16), amp=None, steps_left=1)
    assert words.endswith("too little for translating to pay")
    assert net._compiled_call_impl is None
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert torch.equal(torch.get_rng_state(), generator)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("slept_s", [0.0, 0.5])
def test_auto_takes_what_ends_sooner(monkeypatch: pytest.MonkeyPatch, slept_s: float) -> None:
    """A pass of the plain net is made slow, or one of the translated net."""
    net = tiny_net()
    plain = _Timer.__call__

    def slow(self: _Timer, translated: Any) -> float:
        return plain(self, translated) + (slept_s if translated is None else 0.5 - slept_s) * 100

    monkeypatch.setattr(_Timer, "__call__", slow)
    words = compile_where_faster(net, torch.zeros(2, 3, 16, 16), amp=None, steps_left=1000, least_s=0)
    assert (net._compiled_call_impl is not None) == words.startswith("trained with torch.compile:") == (slept_s > 0)
    assert net(torch.zeros(2, 3, 16, 16)).isfinite().all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_translated_net_learns_what_the_plain_one_does() -> None:
    losses = {}
    for translate in (False, True):
        settings = LoopSettings(epochs=2, learning_rate=2e-3, compile=translate)
        net = tiny_net()
        records = list(train(start(net, settings, CPU), TinyBatches(), TrainingLoss(), settings))
        losses[translate] = [each.losses["loss"] for each in records if isinstance(each, EpochRecord)]
        assert not any("_orig_mod" in name for name in net.state_dict())
    assert losses[True] == pytest.approx(losses[False], rel=1e-3)
    assert torch.isfinite(torch.tensor(losses[True])).all()


@pytest.mark.parametrize(("given", "read"), [(True, "on"), (False, "off"), ("auto", "auto")])
def test_settings_of_before_are_read(given: Any, read: str) -> None:
    assert RetrainSettings(compile=given).compile == read
