"""Which nets are timed, in the time there is, and the ONNX files that they are timed as."""

from edgenas.latency.nets.budget import Shape, round_seconds, shape_of, thinned
from edgenas.latency.nets.compose import ChainTracer, ComponentGraphs, ComposedOnnx, Portion
from edgenas.latency.nets.drawn import INLINE_BYTES, drawn_kind
from edgenas.latency.nets.plan import Chain, MeasuringSettings, TimingPlan, components_of, is_block, make_plan, reference_net
from edgenas.latency.nets.stitching import stitch

__all__ = [
    "INLINE_BYTES",
    "Chain",
    "ChainTracer",
    "ComponentGraphs",
    "ComposedOnnx",
    "MeasuringSettings",
    "Portion",
    "Shape",
    "TimingPlan",
    "components_of",
    "drawn_kind",
    "is_block",
    "make_plan",
    "reference_net",
    "round_seconds",
    "shape_of",
    "stitch",
    "thinned",
]
