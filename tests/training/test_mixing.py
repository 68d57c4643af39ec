"""Images that are made of two."""

from __future__ import annotations

import pytest
import torch

from edgenas.training.distillation import label_loss
from edgenas.training.mixing import Mixing, cutmix
from edgenas.training.seeding import seed_globals


def test_a_share_of_the_images_gets_a_rectangle_and_targets_by_its_area() -> None:
    labels_N = torch.arange(8) % 4
    images_NCHW = torch.arange(8.0)[:, None, None, None].expand(8, 3, 16, 16).contiguous()
    torch.manual_seed(3)
    mixed_NCHW, targets_NC = cutmix(4, 0.5)(images_NCHW, labels_N)
    assert torch.equal(mixed_NCHW[4:], images_NCHW[4:])
    assert torch.equal(targets_NC[4:].argmax(1), labels_N[4:])
    for mixed_CHW, original_CHW, target_C, label in zip(mixed_NCHW[:4], images_NCHW, targets_NC, labels_N, strict=False):
        kept = (mixed_CHW == original_CHW).float().mean().item()
        assert 0 < kept < 1
        assert target_C[label].item() == pytest.approx(kept, abs=1e-6)
        assert target_C.sum().item() == pytest.approx(1.0)


def test_the_same_seed_makes_the_same_images() -> None:
    images_NCHW, labels_N = torch.rand(6, 3, 12, 12), torch.tensor([0, 1, 2, 0, 1, 2])
    mix = cutmix(3, 1.0)
    torch.manual_seed(1)
    first = mix(images_NCHW, labels_N)
    torch.manual_seed(1)
    second = mix(images_NCHW, labels_N)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_single_image_stays_as_it_is_and_its_loss_too() -> None:
    images_NCHW, labels_N, logits_NC = torch.rand(1, 3, 8, 8), torch.tensor([2]), torch.randn(1, 5)
    mixed_NCHW, targets_NC = cutmix(5, 0.5)(images_NCHW, labels_N)
    assert torch.equal(mixed_NCHW, images_NCHW)
    assert label_loss(logits_NC, targets_NC, smoothing=0.1).item() == pytest.approx(
        label_loss(logits_NC, labels_N, smoothing=0.1).item(), abs=1e-6
    )


@pytest.mark.parametrize(
    "mixing", [Mixing(mixup=0.8), Mixing(cutmix=1.0), Mixing(mixup=0.8, cutmix=1.0), Mixing(0.8, 1.0, 0.5, 0.9)]
)
@pytest.mark.parametrize("num", [1, 2, 7])
def test_mixed_targets_are_distributions_and_the_seed_decides(mixing: Mixing, num: int) -> None:
    images_NCHW, labels_N = torch.rand(num, 3, 12, 12), torch.arange(num) % 4
    kept = images_NCHW.clone()
    results = []
    for _ in range(2):
        seed_globals(3, 0, 5)
        results.append(mixing(4)(images_NCHW, labels_N))
    (first_NCHW, first_NC), (second_NCHW, second_NC) = results
    assert torch.equal(first_NCHW, second_NCHW)
    assert torch.equal(first_NC, second_NC)
    assert torch.equal(images_NCHW, kept)  # nothing is changed in place
    assert first_NCHW.shape == images_NCHW.shape
    assert torch.allclose(first_NC.sum(dim=1), torch.ones(num))


def test_mixup_blends_an_image_with_its_opposite_as_its_target_says() -> None:
    images_NCHW, labels_N = torch.eye(4)[:, :, None, None].expand(4, 4, 6, 6).contiguous(), torch.arange(4)
    seed_globals(1, 0, 0)
    mixed_NCHW, targets_NC = Mixing(mixup=1.0)(4)(images_NCHW, labels_N)
    assert torch.allclose(mixed_NCHW.mean(dim=(2, 3)), targets_NC, atol=1e-6)
    assert 0 < targets_NC.max().item() < 1


def test_erasing_changes_rectangles_and_leaves_labels_alone() -> None:
    images_NCHW, labels_N = torch.zeros(32, 3, 16, 16), torch.arange(32) % 4
    seed_globals(1, 0, 0)
    erased_NCHW, same_N = Mixing(erasing=0.5)(4)(images_NCHW, labels_N)
    assert torch.equal(same_N, labels_N)
    changed = (erased_NCHW != 0).flatten(1).any(dim=1)
    assert 8 < int(changed.sum()) < 24
    assert not Mixing()
