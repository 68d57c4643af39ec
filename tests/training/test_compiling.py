"""`torch.compile` for plain nets."""

from __future__ import annotations

import pytest
import torch

from edgenas.errors import MissingBackendError
from edgenas.training.compiling import compile_net
from edgenas.training.distillation import Objective
from edgenas.training.loop import EpochRecord, LoopSettings, start, train
from tests.training.tiny import CPU, TinyBatches, tiny_net


def test_without_a_compiler_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(MissingBackendError, match="needs a C\\+\\+ compiler"):
        compile_net(tiny_net(), CPU)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_translated_net_learns_what_the_plain_one_does() -> None:
    losses = {}
    for translate in (False, True):
        settings = LoopSettings(epochs=2, learning_rate=2e-3, compile=translate)
        net = tiny_net()
        records = list(train(start(net, settings, CPU), TinyBatches(), Objective(), settings))
        losses[translate] = [each.losses["loss"] for each in records if isinstance(each, EpochRecord)]
        assert not any("_orig_mod" in name for name in net.state_dict())
    assert losses[True] == pytest.approx(losses[False], rel=1e-3)
    assert torch.isfinite(torch.tensor(losses[True])).all()
