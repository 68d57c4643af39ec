"""One pass over an ONNX graph that keeps, beside each value, the view of a tensor that it is, and makes tensors for readers.

Reshape and Transpose make no nodes: they change views. An operator that works on numbers takes the tensor behind its view wherever
the order of the numbers does not matter to it, and the steps to the layout that it wants otherwise. Projections wait until
something reads them, so that parts, factors and biases go into their weights.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from edgenas.graphs.naming import joined, module_of, numbered
from edgenas.graphs.shapes import free, known_shapes
from edgenas.graphs.views import Shape, View, plain, steps_to
from edgenas.graphs.weights import derived, integers, scalar

if TYPE_CHECKING:
    import onnx

MOVES = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity"})
EACH = frozenset(
    {
        "Gelu",
        "Relu",
        "LeakyRelu",
        "Elu",
        "Erf",
        "Sigmoid",
        "Tanh",
        "HardSwish",
        "HardSigmoid",
        "Softplus",
        "Exp",
        "Sqrt",
        "Neg",
        "Abs",
    }
)
PAIRS = frozenset({"Add", "Mul", "Sub", "Div"})


@dataclass(frozen=True, slots=True)
class Projection:
    """A matrix product with a weight that waits for a reader.

    Attributes:
        node: that it comes from.
        rows: what is projected, along its last axis.
        weight: initialiser of shape (features in, features out), or the other way round if ``is_turned``.
        bias: initialiser, None without one.
        spatial: height and width that it is computed over as a 1x1 convolution; None for a product of matrices.
    """

    node: onnx.NodeProto
    rows: View
    weight: onnx.TensorProto
    bias: onnx.TensorProto | None
    is_turned: bool
    spatial: Shape | None

    @property
    def num_in(self) -> int:
        """Features in."""
        return int(self.weight.dims[1 if self.is_turned else 0])

    @property
    def num_out(self) -> int:
        """Features out."""
        return int(self.weight.dims[0 if self.is_turned else 1])


@dataclass(slots=True)
class Lowering:
    """The new graph while it is made.

    Attributes:
        model: it is read.
        wanted: names of the rewrites that are made.
        counts: places by rewrite.
    """

    model: onnx.ModelProto
    wanted: Collection[str]
    counts: Counter[str] = field(default_factory=Counter)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    lies: dict[str, Shape] = field(default_factory=dict)  # shapes of the tensors of the new graph
    views: dict[str, View] = field(default_factory=dict)  # of values of the old graph
    waiting: dict[str, Projection] = field(default_factory=dict)
    tensors: dict[str, onnx.TensorProto] = field(default_factory=dict)  # initialisers of the old graph
    made: dict[str, onnx.TensorProto] = field(default_factory=dict)  # initialisers of the new graph alone
    shapes: dict[str, Shape] = field(default_factory=dict)
    uses: Counter[str] = field(default_factory=Counter)
    readers: dict[str, list[onnx.NodeProto]] = field(default_factory=dict)
    makers: dict[str, onnx.NodeProto] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)  # values of which nothing else reads the projection behind
    is_free: bool = False
    _steps: dict[tuple[Any, ...], str] = field(default_factory=dict)
    _names: Counter[str] = field(default_factory=Counter)
    _module: str = ""

    def run(self) -> onnx.ModelProto:
        """The graph, made anew."""
        graph = self.model.graph
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}
        self.shapes, self.is_free = known_shapes(self.model)
        nodes = self._needed_nodes()
        for node in nodes:
            for name in self._read_by(node):
                self.uses[name] += 1
                self.readers.setdefault(name, []).append(node)
            self.makers.update(dict.fromkeys(node.output, node))
        self.uses.update(value.name for value in graph.output)
        for value in graph.input:
            self._put(value.name, value.name)
        for node in nodes:
            self._module = module_of(node.name)
            self._lower(node)
        self._finish()
        result = self._assembled()
        num_before = len(graph.node) - len(nodes) + _num_moves(nodes)
        self.counts["moves"] = max(0, num_before - _num_moves(result.graph.node))
        return result

    def _needed_nodes(self) -> list[onnx.NodeProto]:
        """What the outputs follow from, without what only makes shapes that are known."""
        needed = {value.name for value in self.model.graph.output}
        nodes = []
        for node in reversed(self.model.graph.node):
            if needed.intersection(node.output):
                nodes.append(node)
                needed.update(self._read_by(node))
        return nodes[::-1]

    def _read_by(self, node: onnx.NodeProto) -> Sequence[str]:
        """Values that a node reads; moves into a known shape read one."""
        return list(node.input[:1] if node.op_type in MOVES and node.output[0] in self.shapes else node.input)

    # What a node becomes

    def _lower(self, node: onnx.NodeProto) -> None:
        kind = node.op_type
        if kind in MOVES and self._move(node):
            return
        lower: dict[str, Callable[[onnx.NodeProto], bool]] = {
            "MatMul": self._product,
            "Gemm": self._gemm,
            "LayerNormalization": self._normalise,
            "Softmax": self._along_last,
            "Slice": self._slice,
            "Split": self._part,
            "Gather": self._pick,
        }
        lower |= dict.fromkeys(EACH, self._each) | dict.fromkeys(PAIRS, self._pair)
        if kind not in lower or not lower[kind](node):
            self._as_it_was(node)

    def _move(self, node: onnx.NodeProto) -> bool:
        """Change the view; whether that could be done."""
        source = self.views.get(node.input[0])
        shape = self.shapes.get(node.output[0])
        if source is None or shape is None:
            return False
        view = source.transposed(_attribute(node, "perm")) if node.op_type == "Transpose" else source.reshaped(shape)
        if view is None or view.shape != shape:
            return False
        self.views[node.output[0]] = view
        self._inherit(node.input[0], node.output[0])
        return True

    def _product(self, node: onnx.NodeProto) -> bool:
        """A projection if the second factor is a weight, else a product of batches of matrices."""
        left, right = node.input
        weight = self.tensors.get(right)
        if weight is not None and len(weight.dims) == 2 and left in self.views:
            return self._project(node, weight, None, is_turned=False)
        if left in self.views and right in self.views and len(self.views[right].counts) > 1:
            self._emit_like(node, [self._place(self.views[left]), self._place_turned(self.views[right])])
            return True
        return False

    def _gemm(self, node: onnx.NodeProto) -> bool:
        plain_factors = _attribute(node, "alpha", 1.0) == 1.0 == _attribute(node, "beta", 1.0) and not _attribute(node, "transA", 0)
        weight = self.tensors.get(node.input[1])
        bias = self.tensors.get(node.input[2]) if len(node.input) > 2 else None
        known = weight is not None and node.input[0] in self.views and (len(node.input) < 3 or bias is not None)
        if not plain_factors or not known or weight is None or (bias is not None and len(bias.dims) != 1):
            return False
        return self._project(node, weight, bias, is_turned=bool(_attribute(node, "transB", 0)))

    def _project(self, node: onnx.NodeProto, weight: Any, bias: Any, *, is_turned: bool) -> bool:
        """Let a projection wait for its reader."""
        rows = self.views[node.input[0]]
        shape = self.shapes.get(node.output[0])
        spatial = self._spatial(node) if "pointwise" in self.wanted else None
        projection = Projection(node, rows, weight, bias, is_turned, spatial)
        if shape is None or projection.num_in != rows.shape[-1] or projection.num_out == 1:
            return False
        view = _over_space(projection, node.output[0], shape) if spatial is not None else None
        if view is None:
            if "matrix" not in self.wanted:
                return False
            projection, view = replace(projection, spatial=None), _over_rows(projection, node.output[0])
        self.waiting[node.output[0]] = projection
        self.views[node.output[0]] = view
        self.own.add(node.output[0])
        self.lies[node.output[0]] = _shape_of(projection, view)
        return True

    def _normalise(self, node: onnx.NodeProto) -> bool:
        """LayerNormalization over the last axis, on the rows of a matrix, in whichever order they lie."""
        view = self.views.get(node.input[0])
        rank = 0 if view is None else len(view.counts)
        if (
            view is None
            or "matrix" not in self.wanted
            or len(node.output) > 1
            or _attribute(node, "axis", -1) not in (-1, rank - 1)
        ):
            return False
        if not view.counts[-1]:
            return False
        placed, view = self._rows(view)
        self._emit_on(node, [placed, *node.input[1:]], view, self.lies[placed], axis=-1)
        return True

    def _along_last(self, node: onnx.NodeProto) -> bool:
        """An operator along the last axis, on the tensor as it lies if that axis is the last there too."""
        view = self.views.get(node.input[0])
        if view is None or not view.counts or _attribute(node, "axis", -1) not in (-1, len(view.counts) - 1):
            return False
        self._force(view.base)
        lies = self.lies[view.base]
        if not view.ends_in_memory or lies[-1] != view.shape[-1]:
            return False
        self._emit_on(node, [view.base], view, lies, axis=-1)
        return True

    def _each(self, node: onnx.NodeProto) -> bool:
        """An operator that takes number by number."""
        view = self.views.get(node.input[0])
        if view is None:
            return False
        self._force(view.base)
        self._emit_on(node, [view.base, *node.input[1:]], view, self.lies[view.base])
        return True

    def _pair(self, node: onnx.NodeProto) -> bool:
        """Sum, product, difference or quotient: of a value and a number, a value and a vector, or two values of one shape."""
        left, right = (self.views.get(name) for name in node.input)
        if left is not None and right is not None:
            return self._of_two(node, left, right)
        view, place = (left, 0) if left is not None else (right, 1)
        tensor = self.tensors.get(node.input[1 - place])
        if view is None or tensor is None or self.shapes.get(node.output[0]) != view.shape:
            return False
        if self._into_weights(node, view, tensor, place):
            return True
        self._force(view.base)
        lies, dims = self.lies[view.base], tuple(tensor.dims)
        is_number = math.prod(dims) == 1 and len(dims) <= len(lies)
        is_vector = len(dims) == 1 and view.ends_in_memory and view.shape[-1:] == dims == lies[-1:]
        if not (is_number or is_vector):
            return False
        names = list(node.input)
        names[place] = view.base
        self._emit_on(node, names, view, lies)
        return True

    def _of_two(self, node: onnx.NodeProto, left: View, right: View) -> bool:
        """One operand comes to lie as the other: as the one whose last axis is the last in memory, if only one is so."""
        if left.shape != right.shape:
            return False
        first, second = (right, left) if right.ends_in_memory and not left.ends_in_memory else (left, right)
        self._force(first.base)
        lies = self.lies[first.base]
        fine = second.reshaped([first.sizes[atom] for atom in first.order])
        if fine is None or len(fine.counts) != len(first.sizes):
            return False
        placed = self._place(fine.transposed(first.lying()), lies)
        names = [first.base, placed] if first is left else [placed, first.base]
        self._emit_on(node, names, first, lies)
        return True

    def _slice(self, node: onnx.NodeProto) -> bool:
        """A slice of a projection's features is a projection to them."""
        given = [integers(self.tensors.get(name)) for name in node.input[1:]]
        if not all(given) or any(values is None or len(values) != 1 for values in given) or len(given) < 3:
            return False
        (start, stop, axis, *step) = (values[0] for values in given if values is not None)
        return step in ([], [1]) and self._features(node.input[0], [(start, stop, node.output[0])], axis)

    def _part(self, node: onnx.NodeProto) -> bool:
        shapes = [self.shapes.get(name) for name in node.output]
        axis = int(_attribute(node, "axis", 0))
        if any(shape is None for shape in shapes):
            return False
        ends = [0]
        for shape in shapes:
            assert shape is not None
            ends.append(ends[-1] + shape[axis])
        return self._features(node.input[0], [(ends[i], ends[i + 1], name) for i, name in enumerate(node.output)], axis)

    def _pick(self, node: onnx.NodeProto) -> bool:
        index, view = self.tensors.get(node.input[1]), self.views.get(node.input[0])
        picked = integers(index)
        if index is None or view is None or picked is None or len(index.dims) or picked[0] < 0:
            return False
        axis = int(_attribute(node, "axis", 0)) % len(view.counts)
        if not self._features(node.input[0], [(picked[0], picked[0] + 1, node.output[0])], axis):
            return False
        part = self.views[node.output[0]]
        counts = part.counts[:axis] + part.counts[axis + 1 :]
        self.views[node.output[0]] = replace(part, counts=counts)
        return True

    def _features(self, name: str, parts: Sequence[tuple[int, int, str]], axis: int) -> bool:
        """Projections to parts of the features of one that waits, where ``axis`` is the slowest of its features."""
        view = self.views.get(name)
        projection = None if view is None else self.waiting.get(view.base)
        if "heads" not in self.wanted or view is None or projection is None or projection.spatial is not None:
            return False
        atoms = view.axes[axis % len(view.counts)]
        first = _first_feature(view, projection.num_out)
        if len(atoms) != 1 or atoms[0] != first:
            return False
        size, inner = view.sizes[first], projection.num_out // view.sizes[first]
        for start, stop, output in parts:
            begin, end = (value + size if value < 0 else min(value, size) for value in (start, stop))
            own = self._sliced(projection, output, begin * inner, end * inner)
            self.waiting[output] = own
            self.views[output] = _resized(view, first, end - begin, output)
            self.own.add(output)
            self.lies[output] = (*self.lies[view.base][:-1], own.num_out)
            self.counts["heads"] += 1
        return True

    def _as_it_was(self, node: onnx.NodeProto) -> None:
        """The node on tensors of the shapes that it had."""
        names = [self._place(self.views[name]) if name in self.views else name for name in node.input]
        if node.op_type == "Reshape" and node.output[0] in self.shapes:
            names[1] = self._shape_tensor(self.shapes[node.output[0]])
        self._emit_like(node, names)

    # Weights

    def _into_weights(self, node: onnx.NodeProto, view: View, tensor: onnx.TensorProto, place: int) -> bool:
        """Whether a bias or a factor went into a projection that waits and that nothing else reads."""
        source, projection = node.input[place], self.waiting.get(view.base)
        if projection is None or source not in self.own or self.uses[source] != 1:
            return False
        number, output = scalar(tensor), node.output[0]
        if node.op_type == "Add" and projection.bias is None and number is None and len(tensor.dims) == 1:
            width = projection.num_out
            features = tuple(range(_first_feature(view, width), len(view.sizes))) if projection.spatial is None else None
            if tensor.dims[0] != width or view.shape[-1] != width or (features is not None and view.axes[-1] != features):
                return False
            changed = replace(projection, bias=tensor)
        elif "scale" in self.wanted and number is not None and (node.op_type == "Mul" or (node.op_type == "Div" and place == 0)):
            changed = self._scaled(projection, output, number if node.op_type == "Mul" else 1 / number)
            self.counts["scale"] += 1
        else:
            return False
        del self.waiting[view.base]
        self.waiting[output] = changed
        self.views[output] = view.of(output)
        self.own.add(output)
        self.lies[output] = self.lies[view.base]
        return True

    def _scaled(self, projection: Projection, output: str, factor: float) -> Projection:
        weight, bias = projection.weight, projection.bias
        weight = self._made(derived(weight, f"{output}:weight", weight.dims, lambda values: values * factor))
        if bias is not None:
            bias = self._made(derived(bias, f"{output}:bias", bias.dims, lambda values: values * factor))
        return replace(projection, weight=weight, bias=bias)

    def _sliced(self, projection: Projection, output: str, begin: int, end: int) -> Projection:
        weight, bias, turned = projection.weight, projection.bias, projection.is_turned
        dims = (end - begin, projection.num_in) if turned else (projection.num_in, end - begin)
        weight = self._made(
            derived(weight, f"{output}:weight", dims, lambda values: values[begin:end] if turned else values[:, begin:end])
        )
        if bias is not None:
            bias = self._made(derived(bias, f"{output}:bias", (end - begin,), lambda values: values[begin:end]))
        return replace(projection, weight=weight, bias=bias)

    def _made(self, tensor: onnx.TensorProto) -> onnx.TensorProto:
        self.made[tensor.name] = tensor
        return tensor

    # Making nodes

    def _force(self, base: str) -> None:
        """Make a projection that waits."""
        projection = self.waiting.pop(base, None)
        if projection is None:
            return
        module, self._module = self._module, module_of(projection.node.name)
        weight, bias = projection.weight, [] if projection.bias is None else [projection.bias.name]
        if projection.spatial is not None:
            placed = self._place(projection.rows.transposed((0, 2, 1)), _image(projection.rows.shape, projection.spatial))
            turned = derived(
                weight,
                f"{base}:weight",
                (projection.num_out, projection.num_in, 1, 1),
                lambda values: values if projection.is_turned else values.T,
            )
            self._emit("Conv", [placed, self._made(turned).name, *bias], base, kernel_shape=[1, 1])
            self.counts["pointwise"] += 1
        else:
            placed, _ = self._rows(projection.rows)
            is_gemm = bool(bias) or projection.is_turned
            attributes = {"transB": 1} if projection.is_turned else {}
            self._emit("Gemm" if is_gemm else "MatMul", [placed, weight.name, *bias], base, **attributes)
            self.counts["matrix"] += 1
        self._module = module

    def _rows(self, view: View) -> tuple[str, View]:
        """A matrix whose rows run along the last axis of a view, and how it is read: rows as they lie, else as they are read."""
        shape = (math.prod(view.sizes) // view.shape[-1], view.shape[-1])
        if view.ends_in_memory:
            name = self._place(replace(view, order=tuple(range(len(view.order)))), shape)
            return name, view.of(name)
        sizes = tuple(view.sizes[atom] for atom in view.order)
        name = self._place(view, shape)
        return name, View(name, sizes, tuple(range(len(sizes))), view.counts)

    def _place(self, view: View, shape: Shape | None = None) -> str:
        """A tensor of the view's numbers in the order in which they are read, by default of its shape."""
        self._force(view.base)
        shape = view.shape if shape is None else shape
        steps = steps_to(view, self.lies[view.base], shape)
        name = view.base
        if steps.before is not None:
            name = self._step("Reshape", name, steps.before, steps.before)
        if steps.perm is not None:
            lies = self.lies[name]
            name = self._step("Transpose", name, steps.perm, tuple(lies[axis] for axis in steps.perm))
        if steps.after is not None:
            name = self._step("Reshape", name, steps.after, steps.after)
        return name

    def _place_turned(self, view: View) -> str:
        """As `_place`; where only the last two axes are turned, that is the last step, which runtimes take into the product."""
        rank = len(view.counts)
        turned = (*range(rank - 2), rank - 1, rank - 2)
        swapped = view.transposed(turned)
        if view.ends_in_memory or not swapped.ends_in_memory or not swapped.counts[-1]:
            return self._place(view)
        name = self._place(swapped)
        return self._step("Transpose", name, turned, view.shape)

    def _step(self, kind: str, source: str, how: Shape, shape: Shape) -> str:
        key = (kind, source, how)
        if key not in self._steps:
            name = f"{source}:{len(self._steps)}"
            self._steps[key] = name
            self.lies[name] = shape
            if kind == "Reshape":
                self._emit(kind, [source, self._shape_tensor(how)], name, allowzero=0)
            else:
                self._emit(kind, [source], name, perm=list(how))
        return self._steps[key]

    def _shape_tensor(self, shape: Shape) -> str:
        import numpy as np
        import onnx

        dims = [size if isinstance(size, int) else -1 for size in free(shape)] if self.is_free else list(shape)
        name = "shape:" + "x".join("n" if size == -1 else str(size) for size in dims)
        self.made[name] = onnx.numpy_helper.from_array(np.array(dims, dtype=np.int64), name)
        return name

    def _emit(self, kind: str, names: Sequence[str], output: str, **attributes: Any) -> None:
        import onnx

        name = numbered(joined(self._module, kind), self._names)
        self.nodes.append(onnx.helper.make_node(kind, names, [output], name=name, **attributes))

    def _emit_like(self, node: onnx.NodeProto, names: Sequence[str]) -> onnx.NodeProto:
        """A copy of a node on other tensors, with outputs of the shapes that they had."""
        import onnx

        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = names
        copy.name = numbered(joined(module_of(node.name), node.op_type), self._names)
        self.nodes.append(copy)
        for output in node.output:
            self._put(output, output)
        return copy

    def _emit_on(self, node: onnx.NodeProto, names: Sequence[str], view: View, lies: Shape, **changed: int) -> None:
        """A copy of a node on tensors that lie alike; its result is read as ``view``."""
        copy = self._emit_like(node, names)
        for attribute in copy.attribute:
            if attribute.name in changed:
                attribute.i = changed[attribute.name]
        self.views[node.output[0]] = view.of(node.output[0])
        self.lies[node.output[0]] = lies

    def _put(self, value: str, name: str) -> None:
        """Know a tensor that is as it is read."""
        shape = self.shapes.get(value)
        if shape is not None:
            self.views[value] = plain(name, shape)
            self.lies[name] = shape

    def _inherit(self, source: str, target: str) -> None:
        if source in self.own and self.uses[source] == 1:
            self.own.add(target)

    # What is around

    def _spatial(self, node: onnx.NodeProto) -> Shape | None:
        """Height and width of the depthwise convolution that a projection leads to or comes from; None without one."""
        ahead = self._depthwise_ahead(node)
        found = ahead if ahead is not None else self._depthwise_behind(node)
        if found is None:
            return None
        shape = self.shapes.get(found.input[0] if ahead is not None else found.output[0])
        return None if shape is None or len(shape) != 4 else shape[2:]

    def _depthwise_ahead(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        while True:
            readers = self.readers.get(node.output[0], [])
            if len(readers) != 1:
                return None
            node = readers[0]
            if node.op_type == "Conv":
                return node if self._is_depthwise(node) else None
            if not self._passes(node):
                return None

    def _depthwise_behind(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        while True:
            maker = self.makers.get(node.input[0])
            if maker is None or len(self.readers[node.input[0]]) > 2 * (maker.op_type != "Conv") + 1:
                return None
            node = maker
            if node.op_type == "Conv":
                return node if self._is_depthwise(node) else None
            if not self._passes(node):
                return None

    def _passes(self, node: onnx.NodeProto) -> bool:
        """Whether an operator leaves features features: a move, one by number, or a bias."""
        by_number = node.op_type in PAIRS and any(name in self.tensors for name in node.input)
        return node.op_type in MOVES | EACH or by_number

    def _is_depthwise(self, node: onnx.NodeProto) -> bool:
        return int(_attribute(node, "group", 1)) > 1 and self.shapes.get(node.input[0], (0, 0))[1] == _attribute(node, "group", 1)

    # The end

    def _finish(self) -> None:
        """Make the outputs, under their own names."""
        for value in self.model.graph.output:
            view = self.views.get(value.name)
            if view is None:
                continue
            name = self._place(view)
            if name == value.name:
                continue
            self._rename(value.name, f"{value.name}:inner")
            maker = next((node for node in self.nodes if name in node.output), None)
            if maker is None or any(name in node.input for node in self.nodes):
                self._emit("Identity", [name], value.name)
            else:
                self._rename(name, value.name)

    def _rename(self, name: str, other: str) -> None:
        """Give a tensor of the new graph another name."""
        if name not in self.lies:
            return
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [other if each == name else each for each in names]
        self.lies[other] = self.lies.pop(name)

    def _assembled(self) -> onnx.ModelProto:
        """The new graph without what nothing reads."""
        import onnx

        result = onnx.ModelProto()
        result.CopyFrom(_shell(self.model))
        graph, needed, kept = result.graph, {value.name for value in self.model.graph.output}, []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        graph.node.extend(reversed(kept))
        initialisers = [*self.tensors.values(), *self.made.values()]
        graph.initializer.extend(tensor for tensor in initialisers if tensor.name in needed)
        kinds = {value.name: value.type.tensor_type.elem_type for value in self.model.graph.value_info}
        outside = {value.name for value in (*graph.input, *graph.output)} | {tensor.name for tensor in graph.initializer}
        for node in graph.node:
            for name in node.output:
                if name in self.lies and name not in outside:
                    kind = kinds.get(name.partition(":")[0], onnx.TensorProto.FLOAT)
                    shape = free(self.lies[name]) if self.is_free else self.lies[name]
                    graph.value_info.append(onnx.helper.make_tensor_value_info(name, kind, shape))
        return result


def _num_moves(nodes: Iterable[onnx.NodeProto]) -> int:
    return sum(node.op_type in MOVES for node in nodes)


def _shell(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model without what a rewrite makes anew."""
    import onnx

    shell = onnx.ModelProto(ir_version=model.ir_version, producer_name=model.producer_name, producer_version=model.producer_version)
    shell.opset_import.extend(model.opset_import)
    shell.metadata_props.extend(model.metadata_props)
    shell.graph.name = model.graph.name
    shell.graph.input.extend(model.graph.input)
    shell.graph.output.extend(model.graph.output)
    return shell


def _attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    import onnx

    return next((onnx.helper.get_attribute_value(item) for item in node.attribute if item.name == name), default)


def _first_feature(view: View, num: int) -> int:
    """The atom at which the features of a projection's rows begin: the last ones in memory, ``num`` together."""
    atom, left = len(view.sizes), num
    while left > 1:
        atom -= 1
        left //= view.sizes[atom]
    return atom


def _over_rows(projection: Projection, base: str) -> View:
    """A projection's result, its rows in the order in which they lie where the features are the last in memory already."""
    rows = projection.rows
    num = rows.counts[-1]
    order = rows.order[: len(rows.order) - num]
    if not rows.ends_in_memory:
        sizes = tuple(rows.sizes[atom] for atom in order)
        order = tuple(range(len(order)))
    else:
        sizes = rows.sizes[: len(rows.sizes) - num]
    return View(base, (*sizes, projection.num_out), (*order, len(order)), (*rows.counts[:-1], 1))


def _over_space(projection: Projection, base: str, shape: Shape) -> View | None:
    """A 1x1 convolution's result, read as (batch, tokens, features); None where the tokens are no image."""
    assert projection.spatial is not None
    if len(shape) != 3 or shape[1] != math.prod(projection.spatial):
        return None
    image = plain(base, (shape[0], shape[2], *projection.spatial)).reshaped((shape[0], shape[2], shape[1]))
    return None if image is None else image.transposed((0, 2, 1))


def _image(shape: Shape, spatial: Shape) -> Shape:
    return (shape[0], shape[2], *spatial)


def _shape_of(projection: Projection, view: View) -> Shape:
    """How a projection's result lies."""
    if projection.spatial is not None:
        return _image(view.shape, projection.spatial)
    return (math.prod(view.sizes) // projection.num_out, projection.num_out)


def _resized(view: View, atom: int, size: int, base: str) -> View:
    """With another size of one atom, which goes where it is 1."""
    sizes = list(view.sizes)
    sizes[atom] = size
    if size > 1:
        return replace(view, base=base, sizes=tuple(sizes))
    del sizes[atom]
    axes = [tuple(each - (each > atom) for each in axis if each != atom) for axis in view.axes]
    return View(base, tuple(sizes), tuple(each for axis in axes for each in axis), tuple(len(axis) for axis in axes))
