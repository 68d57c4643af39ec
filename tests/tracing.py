"""Tracing many small nets to ONNX: quicker, and each of them once."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FOLDER = "EDGENAS_TESTS_TRACED"  # environment variable: where a test session keeps what it traced


def read_operators_once() -> None:
    """Keep what PyTorch's exporter does anew for every net: collect all operators, and give each a kernel for each device.

    Nothing here adds an operator. A third of the time of tracing a component; where a later PyTorch keeps these elsewhere, tests
    only take longer.
    """
    try:
        import torch._export.utils as operators
        import torch._ops as overloads
        from torch.onnx._internal.exporter import _registration
    except ImportError:
        return
    if hasattr(_registration, "ONNXRegistry"):
        _registration.ONNXRegistry.from_torchlib = staticmethod(functools.cache(_registration.ONNXRegistry.from_torchlib))
    if hasattr(operators, "_materialize_cpp_cia_ops"):
        operators._materialize_cpp_cia_ops = functools.cache(operators._materialize_cpp_cia_ops)
    _compare_operators_first()
    if hasattr(overloads, "OperatorBase") and hasattr(overloads, "DispatchKey"):
        overloads.OperatorBase.py_impl = _without_annotations(overloads.OperatorBase.py_impl, overloads.DispatchKey)


def _compare_operators_first() -> None:
    """Match a rule of ONNX Script's optimizer only at nodes of the operator that its pattern is looked for at.

    A twentieth of the time in which the components of a space are traced.
    """
    try:
        from onnxscript.rewriter._rewrite_rule import RewriteRule
    except ImportError:
        return
    if hasattr(RewriteRule, "try_rewrite"):
        RewriteRule.try_rewrite = _at_its_operator(RewriteRule.try_rewrite)


def _at_its_operator(try_rewrite: Callable[..., Any]) -> Callable[..., Any]:
    operators: dict[int, Any] = {}

    @functools.wraps(try_rewrite)
    def quick(rule: Any, model: Any, graph: Any, node: Any, **options: Any) -> Any:
        if id(rule) not in operators:
            named = rule._target_pattern.output_nodes[0].op_identifier()
            operators[id(rule)] = rule, named and named[1]
        operator = operators[id(rule)][1]
        if operator is not None and operator != node.op_type and options.get("tracer") is None:
            return None
        return try_rewrite(rule, model, graph, node, **options)

    return quick


def _without_annotations(py_impl: Callable[..., Any], keys: Any) -> Callable[..., Any]:
    """PyTorch's decorator, which specialises `Callable` four times for each of 11,000 kernels a trace, without these types."""

    def quick(operator: Any, key: Any) -> Callable[[Any], Any]:
        if not isinstance(key, keys) or key == keys.Python or key in operator.py_kernels:
            return py_impl(operator, key)

        def register(kernel: Any) -> Any:
            operator.py_kernels[key] = kernel
            operator._dispatch_cache.clear()
            return kernel

        return register

    return quick


def trace_each_net_once() -> None:
    """Keep what PyTorch's exporter makes of a net for as long as the test session lasts, for its other processes too.

    A net is known by everything that it holds, weights included, and by the other arguments. One that cannot be pickled is
    traced every time.
    """
    import torch

    if FOLDER in os.environ and torch.onnx.export.__name__ != "once":
        torch.onnx.export = _once(torch.onnx.export, Path(os.environ[FOLDER]))


def _once(export: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    import onnx

    @functools.wraps(export)
    def once(model: Any, args: Any, **options: Any) -> Any:
        name = _name(model, args, options) if options.get("dynamo") else None
        if name is None:
            return export(model, args, **options)
        path = folder / name
        if path.is_file():
            return SimpleNamespace(model_proto=onnx.load_model_from_string(path.read_bytes()))
        program = export(model, args, **options)
        if program is not None:
            written = path.with_suffix(f".{os.getpid()}")
            written.write_bytes(program.model_proto.SerializeToString())
            written.replace(path)
        return program

    once.__name__ = "once"
    return once


def _name(model: Any, args: Any, options: dict[str, Any]) -> str | None:
    """SHA-256 of everything that a trace depends on, but for the code; None if something cannot be pickled."""
    import torch

    class Pickler(pickle.Pickler):
        def reducer_override(self, thing: Any) -> Any:
            if isinstance(thing, torch.Tensor):
                values = thing.detach().contiguous().view(-1).view(torch.uint8)
                return bytes, (f"{type(thing)} {thing.dtype} {tuple(thing.shape)} ".encode() + values.numpy().tobytes(),)
            return NotImplemented

    written = io.BytesIO()
    pickler = Pickler(written, protocol=5)
    pickler.fast = True  # equal things are written alike, whether they are one or two
    try:
        pickler.dump((model, args, sorted((key, repr(value)) for key, value in options.items())))
    except (pickle.PicklingError, AttributeError, TypeError, ValueError, RuntimeError):
        return None
    return hashlib.sha256(written.getvalue()).hexdigest()
