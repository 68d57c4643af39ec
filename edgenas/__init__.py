"""edgenas: from labelled images to a small Pyramid Vision Transformer that is proven to fit an edge device.

What a notebook needs stands here by name and is imported when it is asked for, so that ``import edgenas`` takes no time; a page of
it is `docs/python.md`. Shapes: N images, A architectures, G genes, K classes, C channels, H and W rows and columns. Units stand in
names: ``latency_ms``, ``image_px``; accuracies and shares are fractions in [0, 1].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from edgenas.costs import CostModel, cost_models
    from edgenas.data.divide import Division
    from edgenas.data.images import Images, open_images
    from edgenas.deploy.contracts import ExportSpec
    from edgenas.deploy.library import export, judge_parity
    from edgenas.deploy.parity import Gates
    from edgenas.errors import EdgeNASError
    from edgenas.latency import LatencyTable, MeasuringSettings, ProfileResult
    from edgenas.latency.measuring import measure_table
    from edgenas.latency.table import load_table
    from edgenas.predicting.predictor import Predictor
    from edgenas.project.loading import load
    from edgenas.records import Prediction
    from edgenas.search import EvolutionSettings, LowerLimit, SensitivityFloor, UpperLimit, evolve
    from edgenas.spaces import SearchSpace, Task, get_space
    from edgenas.supernets import build_supernet
    from edgenas.training.distillation import TrainingLoss
    from edgenas.training.evaluation import SupernetEvaluator, logits, predict
    from edgenas.training.library import extract, train_net, train_supernet
    from edgenas.training.loop import LoopSettings

_PLACES = {
    "edgenas.costs": ("CostModel", "cost_models"),
    "edgenas.data.divide": ("Division",),
    "edgenas.data.images": ("Images", "open_images"),
    "edgenas.deploy.contracts": ("ExportSpec",),
    "edgenas.deploy.library": ("export", "judge_parity"),
    "edgenas.deploy.parity": ("Gates",),
    "edgenas.errors": ("EdgeNASError",),
    "edgenas.latency": ("LatencyTable", "MeasuringSettings", "ProfileResult"),
    "edgenas.latency.measuring": ("measure_table",),
    "edgenas.latency.table": ("load_table",),
    "edgenas.predicting.predictor": ("Predictor",),
    "edgenas.project.loading": ("load",),
    "edgenas.records": ("Prediction",),
    "edgenas.search": ("EvolutionSettings", "LowerLimit", "SensitivityFloor", "UpperLimit", "evolve"),
    "edgenas.spaces": ("SearchSpace", "Task", "get_space"),
    "edgenas.supernets": ("build_supernet",),
    "edgenas.training.distillation": ("TrainingLoss",),
    "edgenas.training.evaluation": ("SupernetEvaluator", "logits", "predict"),
    "edgenas.training.library": ("extract", "train_net", "train_supernet"),
    "edgenas.training.loop": ("LoopSettings",),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}

__all__ = [
    "CostModel",
    "Division",
    "EdgeNASError",
    "EvolutionSettings",
    "ExportSpec",
    "Gates",
    "Images",
    "LatencyTable",
    "LoopSettings",
    "LowerLimit",
    "MeasuringSettings",
    "Prediction",
    "Predictor",
    "ProfileResult",
    "SearchSpace",
    "SensitivityFloor",
    "SupernetEvaluator",
    "Task",
    "TrainingLoss",
    "UpperLimit",
    "build_supernet",
    "cost_models",
    "evolve",
    "export",
    "extract",
    "get_space",
    "judge_parity",
    "load",
    "load_table",
    "logits",
    "measure_table",
    "open_images",
    "predict",
    "train_net",
    "train_supernet",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a name when it is asked for (PEP 562)."""
        from importlib import import_module

        if name not in _PLACE_OF:
            find = import_module("edgenas.renamed").forward(__name__, {"Objective": "edgenas:TrainingLoss"}, stacklevel=3)
            return find(name)
        value = globals()[name] = getattr(import_module(_PLACE_OF[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
