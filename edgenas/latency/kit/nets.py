"""ONNX graphs without their weights, for a kit.

What a weight is does not matter to a clock; so the nets of a kit share one run of drawn numbers, which the device draws itself.
`script_base.Kit` puts graphs and numbers together again: serialised protocol buffers that follow each other are merged, so pieces
of a graph followed by messages of one initialiser each are the whole file. Nets share pieces too: a component at its place in the
chain is written once. Every initialiser has its own memory when it is loaded, also where a block is repeated, as in the file that
ships.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgenas.latency.nets import INLINE_BYTES, drawn_kind

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class Parts:
    """One net of a kit.

    Attributes:
        pieces: of the file without its larger initialisers, in order, by their names in `Store.pieces`.
        input_shape: of the net.
        tensors: per initialiser taken out, in order: its description in hexadecimal, what it is made of (``f4``, ``f2``, ``i1`` of
            the weights, or ``constant``), where that starts, and how much of it there is (numbers, or bytes of constants).
    """

    pieces: tuple[str, ...]
    input_shape: tuple[int, ...]
    tensors: tuple[tuple[str, str, int, int], ...]

    def as_json(self) -> dict[str, Any]:
        """What the kit's script reads."""
        return {"input": self.input_shape, "pieces": self.pieces, "tensors": self.tensors}


@dataclass(slots=True)
class Store:
    """What the nets of a kit share.

    Attributes:
        constants: tensors that are no drawn weights, each content as often as one net has it.
        num_weights: numbers that the net with the most weights needs.
        pieces: of graphs, by name.
    """

    constants: bytearray = field(default_factory=bytearray)
    num_weights: int = 0
    pieces: dict[str, bytes] = field(default_factory=dict)
    _places: dict[tuple[str, int], int] = field(default_factory=dict)

    def take_apart(self, model: onnx.ModelProto) -> Parts:
        """Take the larger initialisers out of ``model``, which is changed."""
        start, seen, tensors, kept = 0, Counter[str](), [], []
        for tensor in model.graph.initializer:
            data = _raw(tensor)
            if len(data) < INLINE_BYTES:
                kept.append(tensor)
                continue
            kind = drawn_kind(tensor)
            tensor.ClearField("raw_data")
            head = tensor.SerializeToString(deterministic=True).hex()
            if kind is None:
                tensors.append((head, "constant", self._constant(data, seen), len(data)))
                continue
            num = len(data) // int(kind[1])
            tensors.append((head, kind, start, num))
            start += num
        self.num_weights = max(self.num_weights, start)
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
        dims = model.graph.input[0].type.tensor_type.shape.dim
        shape = tuple(int(dim.dim_value) for dim in dims)
        return Parts(tuple(self._piece(piece) for piece in _pieces(model)), shape, tuple(tensors))

    def _piece(self, model: onnx.ModelProto) -> str:
        data = model.SerializeToString(deterministic=True)
        name = hashlib.sha256(data).hexdigest()[:16]
        self.pieces[name] = data
        return name

    def _constant(self, data: bytes, seen: Counter[str]) -> int:
        """Where the content starts; the second of its kind in a net has a place of its own."""
        digest = hashlib.sha256(data).hexdigest()
        place = (digest, seen[digest])
        seen[digest] += 1
        if place not in self._places:
            self._places[place] = len(self.constants)
            self.constants += data
        return self._places[place]


def _raw(tensor: onnx.TensorProto) -> bytes:
    """The bytes of an initialiser, which may have been written as a list of numbers; it has them afterwards."""
    if not tensor.raw_data:
        from onnx import numpy_helper

        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    return tensor.raw_data


def _pieces(model: onnx.ModelProto) -> list[onnx.ModelProto]:
    """A model in pieces that make it when they are merged: everything but the links of its chain, then link after link.

    Names of a link's nodes and tensors begin with its number. Nodes stay in their order, whatever they are called.
    """
    import onnx

    first = onnx.ModelProto()
    first.CopyFrom(model)
    for field_name in ("node", "value_info", "initializer"):
        first.graph.ClearField(field_name)
    pieces, at, link = [first], {"": first}, ""
    for node in model.graph.node:
        prefix = _prefix(node.name) or link
        if prefix != link or len(pieces) == 1:
            pieces.append(onnx.ModelProto())
            link = prefix
            at[link] = pieces[-1]
        pieces[-1].graph.node.add().CopyFrom(node)
    for info in model.graph.value_info:
        at.get(_prefix(info.name), first).graph.value_info.add().CopyFrom(info)
    for tensor in model.graph.initializer:
        at.get(_prefix(tensor.name), first).graph.initializer.add().CopyFrom(tensor)
    return pieces


def _prefix(name: str) -> str:
    """The number of a link that a name begins with, as ``7.`` or ``link7``; empty for none."""
    number = name.removeprefix("link").partition(".")[0]
    return number if number.isdigit() else ""
