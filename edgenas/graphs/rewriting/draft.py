"""The new graph while it is made: what is known of it, and the nodes that make tensors of views."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from edgenas.graphs.naming import joined, module_of, numbered
from edgenas.graphs.rewriting.kinds import MOVES
from edgenas.graphs.rewriting.projections import WaitingProjection, image_of
from edgenas.graphs.shapes import free
from edgenas.graphs.views import Shape, View, plain, steps_to
from edgenas.graphs.weights import derived

if TYPE_CHECKING:
    import onnx


@dataclass(slots=True)
class Draft:
    """The new graph while it is made.

    Attributes:
        model: it is read.
        wanted: names of the rewrites that are made.
        counts: places by rewrite.
        nodes: of the new graph.
        lies: shapes of the tensors of the new graph.
        views: of values of the old graph.
        waiting: projections that nothing has read, by the name of what they give.
        tensors: initialisers of the old graph.
        made: initialisers of the new graph alone.
        shapes: of values of the old graph, as far as they are known.
        uses: how many read a value of the old graph, its outputs included.
        readers: nodes that read a value.
        makers: the node that a value comes from.
        own: values of which nothing else reads the projection behind.
        units: values with rows whose features have the mean 1: what `norms` made of a normalisation.
        columns: values that `columns` makes of a normalisation.
        done: values that were made before their node was reached.
        is_free: whether the batch is free.
        module: that nodes are called after.
    """

    model: onnx.ModelProto
    wanted: Collection[str]
    counts: Counter[str] = field(default_factory=Counter)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    lies: dict[str, Shape] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)
    waiting: dict[str, WaitingProjection] = field(default_factory=dict)
    tensors: dict[str, onnx.TensorProto] = field(default_factory=dict)
    made: dict[str, onnx.TensorProto] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    uses: Counter[str] = field(default_factory=Counter)
    readers: dict[str, list[onnx.NodeProto]] = field(default_factory=dict)
    makers: dict[str, onnx.NodeProto] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)
    units: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()
    done: set[str] = field(default_factory=set)
    is_free: bool = False
    module: str = ""
    _steps: dict[tuple[Any, ...], str] = field(default_factory=dict)
    _names: Counter[str] = field(default_factory=Counter)

    def survey(self, nodes: Sequence[onnx.NodeProto]) -> None:
        """Note who makes and who reads what; `shapes` must be known."""
        graph = self.model.graph
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}
        for node in nodes:
            for name in self.read_by(node):
                self.uses[name] += 1
                self.readers.setdefault(name, []).append(node)
            self.makers.update(dict.fromkeys(node.output, node))
        self.uses.update(value.name for value in graph.output)
        for value in graph.input:
            self.put(value.name, value.name)

    def read_by(self, node: onnx.NodeProto) -> Sequence[str]:
        """Values that a node reads; moves into a known shape read one."""
        return list(node.input[:1] if node.op_type in MOVES and node.output[0] in self.shapes else node.input)

    def put(self, value: str, name: str) -> None:
        """Know a tensor that is as it is read."""
        shape = self.shapes.get(value)
        if shape is not None:
            self.views[value] = plain(name, shape)
            self.lies[name] = shape

    def inherit(self, source: str, target: str) -> None:
        """A value that is another one moved has its projection to itself if that had it and has no other reader."""
        if source in self.own and self.uses[source] == 1:
            self.own.add(target)

    def keep(self, tensor: onnx.TensorProto) -> onnx.TensorProto:
        """Take a tensor up as an initialiser; it stays if something reads it."""
        self.made[tensor.name] = tensor
        return tensor

    def force(self, base: str) -> None:
        """Make a projection that waits."""
        projection = self.waiting.pop(base, None)
        if projection is None:
            return
        module, self.module = self.module, module_of(projection.node.name)
        weight, bias = projection.weight, [] if projection.bias is None else [projection.bias.name]
        if projection.spatial is not None:
            placed = self.place(projection.rows.transposed((0, 2, 1)), image_of(projection.rows.shape, projection.spatial))
            turned = derived(
                weight,
                f"{base}:weight",
                (projection.num_out, projection.num_in, 1, 1),
                lambda values: values if projection.is_turned else values.T,
            )
            self.emit("Conv", [placed, self.keep(turned).name, *bias], base, kernel_shape=[1, 1])
            self.counts["pointwise"] += 1
        else:
            placed, _ = self.rows(projection.rows)
            is_gemm = bool(bias) or projection.is_turned
            attributes = {"transB": 1} if projection.is_turned else {}
            self.emit("Gemm" if is_gemm else "MatMul", [placed, weight.name, *bias], base, **attributes)
            self.counts["matrix"] += 1
        self.module = module

    def rows(self, view: View) -> tuple[str, View]:
        """A matrix whose rows run along the last axis of a view, and how it is read: rows as they lie, else as they are read."""
        shape = (math.prod(view.sizes) // view.shape[-1], view.shape[-1])
        if view.ends_in_memory:
            name = self.place(replace(view, order=tuple(range(len(view.order)))), shape)
            return name, view.of(name)
        sizes = tuple(view.sizes[atom] for atom in view.order)
        name = self.place(view, shape)
        return name, View(name, sizes, tuple(range(len(sizes))), view.counts)

    def place(self, view: View, shape: Shape | None = None) -> str:
        """A tensor of the view's numbers in the order in which they are read, by default of its shape."""
        self.force(view.base)
        shape = view.shape if shape is None else shape
        steps = steps_to(view, self.lies[view.base], shape)
        name = view.base
        if steps.before is not None:
            name = self.step("Reshape", name, steps.before, steps.before)
        if steps.perm is not None:
            lies = self.lies[name]
            name = self.step("Transpose", name, steps.perm, tuple(lies[axis] for axis in steps.perm))
        if steps.after is not None:
            name = self.step("Reshape", name, steps.after, steps.after)
        return name

    def place_turned(self, view: View) -> str:
        """As `place`; where only the last two axes are turned, that is the last step, which runtimes take into the product."""
        rank = len(view.counts)
        turned = (*range(rank - 2), rank - 1, rank - 2)
        swapped = view.transposed(turned)
        if view.ends_in_memory or not swapped.ends_in_memory or not swapped.counts[-1]:
            return self.place(view)
        name = self.place(swapped)
        return self.step("Transpose", name, turned, view.shape)

    def step(self, kind: str, source: str, how: Shape, shape: Shape) -> str:
        """One Reshape or Transpose to ``shape``, made once however often it is asked for."""
        key = (kind, source, how)
        if key not in self._steps:
            name = f"{source}:{len(self._steps)}"
            self._steps[key] = name
            self.lies[name] = shape
            if kind == "Reshape":
                self.emit(kind, [source, self.shape_tensor(how)], name, allowzero=0)
            else:
                self.emit(kind, [source], name, perm=list(how))
        return self._steps[key]

    def shape_tensor(self, shape: Shape) -> str:
        """An initialiser that holds a shape; -1 where the batch is free."""
        import numpy as np
        import onnx

        dims = [size if isinstance(size, int) else -1 for size in free(shape)] if self.is_free else list(shape)
        name = "shape:" + "x".join("n" if size == -1 else str(size) for size in dims)
        self.made[name] = onnx.numpy_helper.from_array(np.array(dims, dtype=np.int64), name)
        return name

    def emit(self, kind: str, names: Sequence[str], output: str, **attributes: Any) -> None:
        """A new node of one output, called after the present module."""
        import onnx

        name = numbered(joined(self.module, kind), self._names)
        self.nodes.append(onnx.helper.make_node(kind, names, [output], name=name, **attributes))

    def emit_like(self, node: onnx.NodeProto, names: Sequence[str]) -> onnx.NodeProto:
        """A copy of a node on other tensors, with outputs of the shapes that they had."""
        import onnx

        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = names
        copy.name = numbered(joined(module_of(node.name), node.op_type), self._names)
        self.nodes.append(copy)
        for output in node.output:
            self.put(output, output)
        return copy

    def emit_on(self, node: onnx.NodeProto, names: Sequence[str], view: View, lies: Shape, **changed: int) -> None:
        """A copy of a node on tensors that lie alike; its result is read as ``view``."""
        copy = self.emit_like(node, names)
        for attribute in copy.attribute:
            if attribute.name in changed:
                attribute.i = changed[attribute.name]
        self.views[node.output[0]] = view.of(node.output[0])
        self.lies[node.output[0]] = lies
