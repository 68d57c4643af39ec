"""What a student may learn a teacher's answers by, by name; the losses themselves need PyTorch and stand in `distillation`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgenas.registries import At, Registry

Loss = Callable[..., Any]  # (student_NC, teacher_NC, *, temperature) -> a scalar tensor

_HERE = "edgenas.training.distillation"
DISTILLATION_LOSSES: Registry[Loss] = Registry(
    "distillation loss",
    "edgenas.losses",
    {
        "soft": At(f"{_HERE}:soft_target_loss"),
        "hard": At(f"{_HERE}:hard_target_loss"),
        "hard-smoothed": At(f"{_HERE}:hard_smoothed_loss"),
        "alpha-divergence": At(f"{_HERE}:alpha_divergence_loss"),
    },
    accepts=callable,
    expected="a function (student_NC, teacher_NC, *, temperature) -> a scalar",
)
