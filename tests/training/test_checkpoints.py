from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from edgenas.errors import CheckpointError, UsageError
from edgenas.training.checkpoints import load_state, load_tensors, load_weights, save_state, save_tensors, save_weights
from edgenas.training.distillation import TrainingLoss
from edgenas.training.loop import LoopSettings, start, train
from edgenas.training.teacher import build_teacher
from tests.training.tiny import CPU, LARGEST, SPACE, TinyBatches, tiny_net

SETTINGS = LoopSettings(epochs=1, learning_rate=1e-3)


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True))


def test_weights_and_facts_come_back(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_weights(path, tiny_net(), {"space": "pvt-nano", "top1": 0.5})
    other = tiny_net(seed=1)
    _, facts = load_weights(path, other)
    assert same(other, tiny_net())
    assert facts == {"space": "pvt-nano", "top1": 0.5}


def test_equal_weights_give_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_weights(tmp_path / name, tiny_net(), {"seed": 0})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_another_nets_weights_are_refused_with_every_kind_of_mismatch(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_weights(path, tiny_net(LARGEST), {})
    net = tiny_net()
    with pytest.raises(CheckpointError, match="belongs to another net") as caught:
        load_weights(path, net)
    assert any("is unknown" in problem for problem in caught.value.problems)
    assert "more" in caught.value.problems[-1]
    assert same(net, tiny_net())


def test_missing_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        load_weights(tmp_path / "none.safetensors")
    path = tmp_path / "net.safetensors"
    save_weights(path, tiny_net(), {})
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_weights(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="a foreign file, not a weights"):
        load_weights(path)


def test_a_single_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_weights(path, tiny_net(), {"top1": 0.5})
    whole = path.read_bytes()
    for position in (len(whole) - 7, len(whole) // 2, whole.index(b"0.5") + 2):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(CheckpointError, match="changed or damaged"):
            load_weights(path)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_tensors(path, {"head.bias": torch.tensor([float("nan")])}, {"kind": "weights"})
    with pytest.raises(CheckpointError, match=r"not finite.*head\.bias"):
        load_tensors(path, kind="weights")


def test_a_training_state_of_other_settings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    state = start(tiny_net(), SETTINGS, CPU)
    list(train(state, TinyBatches(), TrainingLoss(), SETTINGS))
    save_state(path, state, {"seed": 0})
    with pytest.raises(CheckpointError, match="other settings"):
        load_state(path, start(tiny_net(), SETTINGS, CPU), {"seed": 1})
    with pytest.raises(CheckpointError, match="training state, not a weights"):
        load_weights(path)


def test_a_state_with_impossible_progress_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    state = start(tiny_net(), SETTINGS, CPU)
    state.epoch = 5
    save_state(path, state, {})
    with pytest.raises(CheckpointError, match="is impossible"):
        load_state(path, start(tiny_net(), SETTINGS, CPU), {})


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_teacher_takes_its_weights_from_a_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"teacher{suffix}"
    trained = build_teacher("timm:test_vit", num_classes=3, image_px=32)
    if suffix == ".pth":
        torch.save({"state_dict": {f"module.{k}": v for k, v in trained.state_dict().items()}, "epoch": 3}, path)
    else:
        save_file(dict(trained.state_dict()), path)
    again = build_teacher("timm:test_vit", num_classes=3, image_px=32, checkpoint=path)
    assert same(trained, again)
    assert not again.training


def test_a_teacher_of_other_classes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "teacher.safetensors"
    save_file(dict(build_teacher("timm:test_vit", num_classes=4, image_px=32).state_dict()), path)
    with pytest.raises(CheckpointError, match=r"head\.weight is \(4, 64\), not \(3, 64\)"):
        build_teacher("timm:test_vit", num_classes=3, image_px=32, checkpoint=path)


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("1",))


@pytest.mark.parametrize("content", [pickle.dumps(_Evil()), pickle.dumps({"a": 1}), b"", b"random bytes \x00\xff"])
def test_a_pickle_of_anything_else_is_not_run(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "teacher.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"cannot be read|holds no dictionary") as caught:
        build_teacher("timm:test_vit", num_classes=3, image_px=32, checkpoint=path)
    assert "\n" not in str(caught.value)


def test_an_unknown_teacher_names_similar_ones() -> None:
    with pytest.raises(UsageError, match=r"no model 'pvt_v2_b9'.*pvt_v2_b"):
        build_teacher("timm:pvt_v2_b9", num_classes=3, image_px=32)


def test_a_teacher_must_be_written_with_its_library() -> None:
    with pytest.raises(UsageError, match="must be written auto, self, cnn, timm:NAME, onnx:FILE or run:FOLDER"):
        build_teacher("resnet18", num_classes=3, image_px=32)


def test_the_spaces_own_teacher_is_its_largest_net() -> None:
    teacher = build_teacher("self", num_classes=3, image_px=16, space=SPACE)
    assert sum(p.numel() for p in teacher.parameters()) == sum(p.numel() for p in tiny_net(LARGEST).parameters())
