"""Rewrites of ONNX graphs that change how fast a runtime computes them and not what they compute: one pass over the graph.

The pass keeps, beside each value, the view of a tensor that it is, and makes tensors for readers. Reshape and Transpose make no
nodes: they change views. An operator that works on numbers takes the tensor behind its view wherever the order of the numbers does
not matter to it, and the steps to the layout that it wants otherwise. Projections wait until something reads them, so that parts,
factors and biases go into their weights.
"""

from edgenas.graphs.rewriting.rewrites import (
    ALL,
    DEFAULTS,
    REWRITES,
    Rewrite,
    Rewritten,
    default_rewrites,
    known_rewrites,
    rewrite,
    rewrites_for,
)

__all__ = [
    "ALL",
    "DEFAULTS",
    "REWRITES",
    "Rewrite",
    "Rewritten",
    "default_rewrites",
    "known_rewrites",
    "rewrite",
    "rewrites_for",
]
