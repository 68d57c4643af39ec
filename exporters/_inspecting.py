"""What an engine's inspector says of the precision of what was built.

TensorRT 10 writes one field, ``Format/Datatype``; TensorRT 11 and TensorRT-RTX write ``Datatype`` (``DataType`` for the tensors at
the engine's border) and ``Format``. Both are read. A report in which no type can be read proves nothing, and says so.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgenas.deploy.contracts import Precision
from edgenas.errors import PrecisionError
from edgenas.percents import percent

if TYPE_CHECKING:
    from types import ModuleType

    import tensorrt

NOTHING = "nothing: the engine's inspector names no data type"
_FIELDS = ("datatype", "format/datatype", "type", "format")  # in this order; lower case
_WORDS: tuple[tuple[str, Precision], ...] = (
    (r"\b(bfloat16|bf16)\b", "bf16"),
    (r"\b(half|fp16|float16)\b", "fp16"),
    (r"\b(float|fp32|float32)\b", "fp32"),
    (r"\bint8\b", "int8"),
)


@dataclass(frozen=True, slots=True)
class EngineTypes:
    """Tensors inside an engine by precision; its inputs and outputs, which stay float32, are not among them.

    Attributes:
        num_layers: that the inspector lists.
        tensors: that it names a type of, by precision.
    """

    num_layers: int
    tensors: Mapping[Precision, int]

    def share(self, precision: Precision) -> float:
        """Share of ``precision`` among the tensors with a type."""
        return self.tensors.get(precision, 0) / max(1, sum(self.tensors.values()))

    def prove(self, precision: Precision) -> dict[str, str | int | float]:
        """What is proven, as notes; ``precision_proof`` says so if it is nothing.

        Raises:
            PrecisionError: if the types contradict ``precision``.
        """
        notes: dict[str, str | int | float] = {"engine_layers": self.num_layers}
        if not self.tensors:
            return notes | {"precision_proof": NOTHING}
        found = ", ".join(f"{num} {kind}" for kind, num in sorted(self.tensors.items()))
        if precision == "fp32" and set(self.tensors) != {"fp32"}:
            reduced = 1 - self.share("fp32")
            raise PrecisionError(f"fp32 was asked for, but {percent(reduced)} of the engine's inner tensors are not ({found})")
        if precision not in self.tensors:
            raise PrecisionError(f"{precision} was asked for, but no inner tensor of the engine is in it ({found})")
        shares = {f"engine_share_{kind}": round(self.share(kind), 4) for kind in sorted(self.tensors)}
        return notes | shares | {"engine_half_share": round(self.share("fp16"), 4), "precision_proof": "engine inspector"}


def read_engine(trt: ModuleType, engine: tensorrt.ICudaEngine) -> EngineTypes:
    """The types that the inspector names of a deserialised engine, built with detailed profiling."""
    inspector = engine.create_engine_inspector()
    return parse(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def parse(text: str) -> EngineTypes:
    """Read an inspector's report; what is not JSON names no types."""
    try:
        report = json.loads(text)
    except ValueError:
        return EngineTypes(0, {})
    layers = report.get("Layers", []) if isinstance(report, dict) else []
    border = _border(report)
    kinds: dict[str, Precision] = {}
    for number, layer in enumerate(layers):
        for place, tensor in _tensors(layer):
            kind = _kind(tensor)
            name = str(tensor.get("Name", f"{number}.{place}"))
            if kind is not None and name not in border:
                kinds[name] = kind
    return EngineTypes(len(layers), dict(Counter(kinds.values())))


def _border(report: Any) -> set[str]:
    """Names of the engine's inputs and outputs: texts in TensorRT 10's ``Bindings``, objects in the later ``I/O Tensors``."""
    if not isinstance(report, dict):
        return set()
    listed = [*(report.get("Bindings") or []), *(report.get("I/O Tensors") or [])]
    return {str(each.get("Name")) if isinstance(each, dict) else str(each) for each in listed}


def _tensors(layer: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Inputs, outputs and weights of a layer, each with its place; a layer that is only a name has none."""
    if not isinstance(layer, dict):
        return
    for group in ("Inputs", "Outputs", "Constants"):
        listed = layer.get(group)
        for position, tensor in enumerate(listed if isinstance(listed, list) else []):
            if isinstance(tensor, dict):
                yield f"{group}.{position}", tensor
    for group in ("Weights", "Bias"):
        if isinstance(layer.get(group), dict) and layer[group].get("Count", 1):
            yield group, layer[group]


def _kind(tensor: Mapping[str, Any]) -> Precision | None:
    """The precision that a tensor's fields name; None for integers, booleans and what is not known."""
    fields = {str(key).lower(): str(value).lower() for key, value in tensor.items()}
    for field in _FIELDS:
        for pattern, kind in _WORDS:
            if field in fields and re.search(pattern, fields[field]):
                return kind
    return None
