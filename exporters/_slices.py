"""ONNX Script's rule that makes a Split of two Slices, asked at Slices only.

The rule's pattern has two outputs. For the second it lists all nodes of the graph, at every node, before it looks what the first
is: a sixth of the time in which the components of a space are traced. The graph comes out the same, byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def split_asked_at_slices() -> Iterator[None]:
    """Let the rule pass over every node that is no Slice for a moment; where ONNX Script has no such rule, nothing changes."""
    try:
        from onnxscript.rewriter.rules.common import slice_split_rule as rule
    except ImportError:
        yield
        return
    ask = rule.try_rewrite

    def ask_at_slices(model: Any, graph: Any, node: Any, **options: Any) -> Any:
        return ask(model, graph, node, **options) if node.op_type == "Slice" else None

    rule.try_rewrite = ask_at_slices  # of this object alone: it hides the method of its class
    try:
        yield
    finally:
        vars(rule).pop("try_rewrite", None)
