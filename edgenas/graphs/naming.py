"""Names of nodes that say where in the net they come from: ``stages.0.blocks.1.mlp.fc1/MatMul``."""

from __future__ import annotations

import ast
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_SCOPES = "pkg.torch.onnx.name_scopes"  # of every node: the modules around it, the outermost first, then the traced operation


def name_nodes(model: onnx.ModelProto) -> None:
    """Name every node, in place, ``<module path>/<operator type>``, by what the exporter noted beside it.

    Of several operators of one type in one module the second is ``.../MatMul_2`` and so on. What belongs to the net itself and no
    module of it is called by its type alone. Call it before that note is removed.
    """
    seen: Counter[str] = Counter()
    for node in model.graph.node:
        node.name = numbered(joined(_module(node), node.op_type), seen)


def joined(module: str, op_type: str) -> str:
    """The name of the first operator of a type in a module; ``module`` is empty for the net itself."""
    return f"{module}/{op_type}" if module else op_type


def module_of(name: str) -> str:
    """The path of the module that a node belongs to, by its name; empty for the net itself."""
    return name.rpartition("/")[0]


def numbered(name: str, seen: Counter[str]) -> str:
    """``name``, or with the next number behind it if ``seen`` holds it; that is counted."""
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}_{seen[name]}"


def _module(node: onnx.NodeProto) -> str:
    noted = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "[]")
    scopes = ast.literal_eval(noted)
    return str(scopes[-2]) if len(scopes) > 1 else ""
