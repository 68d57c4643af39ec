"""Ranges of settings that several tables of `edgenas.toml` have."""

from __future__ import annotations

from typing import Literal

AUTO: Literal["auto"] = "auto"  # a probe decides
LARGEST = 1e6


def check_training(settings: object) -> None:
    """Check the ranges that ``[teacher]``, ``[train]`` and ``[retrain]`` share; a setting that a table does not have is none.

    Raises:
        ValueError: naming every setting that is out of its range.
    """
    names = {"epochs": 1, "batch_size": 1, "warmup_epochs": 0, "probe_steps": 1}
    problems = [f"{name} is at least {least}" for name, least in names.items() if _number(settings, name, least) < least]
    for name in ("learning_rate", "clip_norm", "temperature", "checkpoint_every", "budget_min"):
        if not 0 < _number(settings, name, 1.0) < LARGEST:
            problems.append(f"{name} must be above 0 and below {LARGEST:g}")
    if not 0 <= getattr(settings, "weight_decay", 0.0) < LARGEST:
        problems.append(f"weight_decay must be 0 or above and below {LARGEST:g}")
    for name in ("label_smoothing", "ema_decay", "drop_path_rate"):
        if not 0 <= getattr(settings, name, 0.0) < 1:
            problems.append(f"{name} must be in [0, 1)")
    if not 0 <= _number(settings, "kd_weight", 0.0) <= 1:
        problems.append("kd_weight must be in [0, 1] or auto")
    if getattr(settings, "num_random", 0) < 0 or (getattr(settings, "threads", None) or 1) < 1:
        problems.append("num_random is at least 0 and threads at least 1")
    if not 0 <= getattr(settings, "seed", 0) < 2**32:
        problems.append("seed must be in [0, 2**32)")
    if problems:
        raise ValueError("; ".join(problems))


def _number(settings: object, name: str, default: float) -> float:
    """A setting's number; the default's where the table has none, it is None or a probe decides."""
    value = getattr(settings, name, None)
    return default if value is None or value == AUTO else float(value)
