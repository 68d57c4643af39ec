"""What each ONNX operator does in a reduced precision: computes in it, moves values, stays float32, or is opened into its steps.

An emulation rounds what an operator gives. That is the truth only of an operator whose inside is one step: where squares,
exponentials or long sums are held on the way, a kernel may overflow inside and still give a finite result. Such operators are
opened into operators of one step each, or stay float32, and so does everything that is not listed here.
"""

from __future__ import annotations

from typing import Literal

Way = Literal["reduced", "moves", "opened", "float32"]

_PRODUCTS = "sums of products, held in float32 until they are rounded once, as on tensor cores"
_ONE = "one step: its result is what can overflow, and that is rounded"
_BOUNDED = "nothing inside is larger than what goes in or comes out"
_CHOSEN = "gives values that it was given"
_SUM = "a sum of many values: float16 loses the small ones, and their sum may pass 65504"
_SQUARES = "means and squares of many values inside"
_EXPONENTIALS = "exponentials inside: e^11.1 is more than float16 holds"

# operator: what happens to it, and why
WAYS: dict[str, tuple[Way, str]] = {
    **dict.fromkeys(("MatMul", "Gemm", "Conv", "ConvTranspose"), ("reduced", _PRODUCTS)),
    "Einsum": ("reduced", f"of two factors; {_PRODUCTS}. Of more factors it stays float32"),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Neg", "Abs", "Sqrt", "Reciprocal", "Exp", "Log", "Pow"), ("reduced", _ONE)),
    **dict.fromkeys(
        (
            *("Erf", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Swish", "Elu", "Selu", "LeakyRelu", "PRelu"),
            *("ThresholdedRelu", "Softsign", "Floor", "Ceil", "Round", "Sign"),
        ),
        ("reduced", _BOUNDED),
    ),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), ("reduced", "one step; its scale is held in the precision (opset 19)")),
    "Cast": ("reduced", "to a float type; a cast of floats to another type stays float32"),
    **dict.fromkeys(
        (
            *("Reshape", "Transpose", "Slice", "Split", "Squeeze", "Unsqueeze", "Flatten", "Concat", "Gather", "GatherElements"),
            *("GatherND", "Expand", "Identity", "Dropout", "Tile", "Pad", "DepthToSpace", "SpaceToDepth", "Where", "Relu", "Clip"),
            *("Max", "Min", "MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin"),
        ),
        ("moves", _CHOSEN),
    ),
    "Attention": (
        "opened",
        "the product of queries and keys overflows inside and softmax hides it: scaled, MatMul, softmax in float32, MatMul. With a "
        "mask, a soft cap, past keys, grouped queries or three axes it stays float32",
    ),
    "Gelu": ("opened", "a product of five steps; its approximation by tanh cubes its argument and stays float32"),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Softplus", "Mish", "ReduceLogSumExp"), ("float32", _EXPONENTIALS)),
    **dict.fromkeys(
        (
            *("LayerNormalization", "RMSNormalization", "GroupNormalization", "InstanceNormalization", "BatchNormalization"),
            *("MeanVarianceNormalization", "LpNormalization", "LRN", "ReduceL2", "ReduceSumSquare", "GlobalLpPool", "LpPool"),
        ),
        ("float32", _SQUARES),
    ),
    **dict.fromkeys(
        (
            "ReduceSum",
            "ReduceMean",
            "ReduceL1",
            "ReduceLogSum",
            "ReduceProd",
            "CumSum",
            "Sum",
            "Mean",
            "AveragePool",
            "GlobalAveragePool",
        ),
        ("float32", _SUM),
    ),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "Scan", "Loop", "If"), ("float32", "many steps inside, and the values between them")),
    **dict.fromkeys(("Resize", "Range", "GridSample", "RoiAlign"), ("float32", "its coordinates need more than 11 bits")),
    "ConstantOfShape": ("float32", "costs nothing, and is rounded where it is read"),
}

REST: tuple[Way, str] = ("float32", "not known to be one step")


def way_of(op_type: str) -> tuple[Way, str]:
    """What happens to an operator of the standard domain, and why; `REST` where nothing is known of it."""
    return WAYS.get(op_type, REST)
