"""A net of three transformer blocks whose middle one may hold numbers that float16 does not."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from tests.graphs.graphs import graph_of, node

Fault = Literal["none", "layer_norm", "attention", "mlp", "weight"]
TOKENS, WIDTH, CLASSES = 6, 8, 3
FAULTY = "blocks.1"


class _Net:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.rng = np.random.default_rng(1)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, NDArray[Any]] = {"axis": np.array([1]), "last": np.array([-1])}

    def add(self, op_type: str, inputs: list[str], module: str, **attributes: Any) -> str:
        name = f"{module}/{op_type}"
        times = sum(each.name.partition("#")[0] == name for each in self.nodes)
        name = name if not times else f"{name}#{times + 1}"
        self.nodes.append(node(op_type, inputs, [name], name, **attributes))
        return name

    def weight(self, name: str, *shape: int, scale: float = 1.0) -> str:
        self.weights[name] = (scale * self.rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)
        return name

    def linear(self, x: str, module: str, width: int, out: int, scale: float = 1.0) -> str:
        return self.add("MatMul", [x, self.weight(f"{module}.weight", width, out, scale=scale)], module)

    def norm(self, x: str, module: str, *, by_hand: bool) -> str:
        self.weights |= {f"{module}.weight": np.ones(WIDTH, np.float32), "eps": np.array(1e-5, np.float32)}
        if not by_hand:
            return self.add("LayerNormalization", [x, f"{module}.weight"], module, axis=-1)
        centred = self.add("Sub", [x, self.add("ReduceMean", [x, "last"], module)], module)
        variance = self.add("ReduceMean", [self.add("Mul", [centred, centred], module), "last"], module)
        deviation = self.add("Sqrt", [self.add("Add", [variance, "eps"], module)], module)
        return self.add("Div", [centred, deviation], module)

    def block(self, x: str, name: str) -> str:
        is_faulty = name == FAULTY
        far = 600.0 if is_faulty and self.fault == "attention" else 1.0
        q, k = (self.linear(x, f"{name}.attn.{part}", WIDTH, WIDTH, far) for part in "qk")
        v = self.linear(x, f"{name}.attn.v", WIDTH, WIDTH)
        heads = [self.add("Unsqueeze", [each, "axis"], f"{name}.attn") for each in (q, k, v)]
        attended = self.add("Squeeze", [self.add("Attention", heads, f"{name}.attn"), "axis"], f"{name}.attn")
        loud = 1000.0 if is_faulty and self.fault == "layer_norm" else 1.0
        x = self.add("Add", [x, self.linear(attended, f"{name}.attn.proj", WIDTH, WIDTH, loud)], name)
        x = self.norm(x, f"{name}.norm1", by_hand=is_faulty and self.fault == "layer_norm")
        large = 2.0**15 if is_faulty and self.fault == "mlp" else 1.0
        hidden = self.linear(x, f"{name}.mlp.fc1", WIDTH, 2 * WIDTH, large)
        if is_faulty and self.fault == "weight":
            self.weights |= {"up": np.array(2.0**20, np.float32), "down": np.array(2.0**-20, np.float32)}
            hidden = self.add("Mul", [self.add("Mul", [hidden, "down"], f"{name}.scale"), "up"], f"{name}.scale")
        hidden = self.add("Gelu", [hidden], f"{name}.mlp.act")
        x = self.add("Add", [x, self.linear(hidden, f"{name}.mlp.fc2", 2 * WIDTH, WIDTH, 1 / large)], name)
        return self.norm(x, f"{name}.norm2", by_hand=False)


def net(fault: Fault = "none") -> onnx.ModelProto:
    """Images (N, 6, 8) to logits (N, 3). What it computes in float32 is finite whatever the fault."""
    made = _Net(fault)
    x = made.norm("image", "start", by_hand=False)
    for i in range(3):
        x = made.block(x, f"blocks.{i}")
    pooled = made.add("ReduceMean", [x, "axis"], "pool", keepdims=0)
    mixed = made.linear(pooled, "neck", WIDTH, WIDTH)
    made.nodes.append(node("MatMul", [mixed, made.weight("head.weight", WIDTH, CLASSES)], ["logits"], "head/MatMul"))
    return graph_of(made.nodes, made.weights, image=["batch", TOKENS, WIDTH], logits=["batch", CLASSES], opset=23)


def noise(num: int, seed: int = 0) -> NDArray[np.float32]:
    """Images of it."""
    return np.random.default_rng(seed).standard_normal((num, TOKENS, WIDTH)).astype(np.float32)
