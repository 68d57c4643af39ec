"""What Reshape and Transpose do to a tensor, as one value: how the tensor lies in memory, and in which order it is read.

A view splits a tensor (its base) into atoms, the factors of its dimensions in memory order; every axis of the view is a run of
atoms in an order of their own. A chain of Reshapes and Transposes is one view, however long, and is undone by its inverse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class View:
    """A tensor as it is read.

    Attributes:
        base: name of the tensor.
        sizes: of its atoms, as they follow each other in memory; none is 1.
        order: of the atoms as they are read.
        counts: atoms an axis, in the order in which they are read; an axis of size 1 has none.
    """

    base: str
    sizes: Shape
    order: Shape
    counts: Shape

    @property
    def axes(self) -> tuple[Shape, ...]:
        """The atoms of every axis."""
        ends = [0, *accumulate(self.counts)]
        return tuple(self.order[start:end] for start, end in pairwise(ends))

    @property
    def shape(self) -> Shape:
        """As it is read."""
        return tuple(math.prod(self.sizes[atom] for atom in axis) for axis in self.axes)

    @property
    def is_in_order(self) -> bool:
        """Whether it is read as it lies in memory."""
        return self.order == tuple(range(len(self.order)))

    @property
    def ends_in_memory(self) -> bool:
        """Whether the last axis is the fastest in memory too."""
        last = self.axes[-1] if self.counts else ()
        return last == tuple(range(len(self.sizes) - len(last), len(self.sizes)))

    def of(self, base: str) -> View:
        """The same way to read another tensor that lies alike."""
        return replace(self, base=base)

    def transposed(self, perm: Sequence[int]) -> View:
        """With its axes in another order."""
        axes = [self.axes[axis] for axis in perm]
        return View(self.base, self.sizes, tuple(atom for axis in axes for atom in axis), tuple(len(axis) for axis in axes))

    def reshaped(self, shape: Sequence[int]) -> View | None:
        """Read with other axes of as many numbers; None where an axis would begin inside an atom that it does not divide."""
        parts: list[tuple[int, int]] = []  # size, and the atom that it is a part of
        counts = []
        left = [(self.sizes[atom], atom) for atom in reversed(self.order)]
        for size in shape:
            count, rest = 0, size
            while rest > 1:
                if not left:
                    return None
                have, atom = left.pop()
                taken = math.gcd(have, rest)
                if taken != min(have, rest):
                    return None
                parts.append((taken, atom))
                if have > taken:
                    left.append((have // taken, atom))
                count, rest = count + 1, rest // taken
            counts.append(count)
        return None if left else _split(self.base, len(self.sizes), parts, tuple(counts))

    def atoms_apart(self) -> View:
        """Every atom an axis of its own."""
        return replace(self, counts=(1,) * len(self.sizes))

    def lying(self) -> tuple[int, ...]:
        """How the axes of `atoms_apart` have to be ordered to follow each other as in memory."""
        return tuple(self.order.index(atom) for atom in range(len(self.sizes)))


def plain(base: str, shape: Sequence[int]) -> View:
    """A tensor as it is."""
    sizes = tuple(size for size in shape if size != 1)
    return View(base, sizes, tuple(range(len(sizes))), tuple(int(size != 1) for size in shape))


@dataclass(frozen=True, slots=True)
class ViewSteps:
    """How a view becomes a tensor: Reshape ``before``, Transpose by ``perm``, Reshape ``after``; None for what is not needed."""

    before: Shape | None
    perm: Shape | None
    after: Shape | None

    @property
    def num(self) -> int:
        """How many."""
        return sum(step is not None for step in (self.before, self.perm, self.after))


def steps_to(view: View, lies: Shape, shape: Shape) -> ViewSteps:
    """The fewest steps that turn a base of shape ``lies`` into a tensor of ``shape`` in the order of the view.

    Of two ways of as many steps the one whose Transpose has more axes: beside a convolution, runtimes take that into its layout.
    Axes of size 1 do not count, and of those the fewest are best: with one in between ONNX Runtime moves numbers one by one.
    """
    if view.is_in_order:
        return ViewSteps(shape if shape != lies else None, None, None)
    ways = [way for way in (_as_it_lies(view, lies, shape), _as_it_is_read(view, lies, shape)) if way is not None]

    def cost(steps: ViewSteps) -> tuple[int, int, int]:
        axes = lies if steps.before is None else steps.before
        return (steps.num, -sum(size != 1 for size in axes), len(axes))

    return min([*ways, _by_blocks(view, lies, shape)], key=cost)


def _as_it_lies(view: View, lies: Shape, shape: Shape) -> ViewSteps | None:
    """Without a Reshape before: dimensions of the base move as wholes."""
    dims, start = [], 0
    for size in lies:
        stop, rest = start, size
        while rest > 1:
            if stop == len(view.sizes) or rest % view.sizes[stop]:
                return None
            rest //= view.sizes[stop]
            stop += 1
        dims.append(tuple(range(start, stop)))
        start = stop
    return _moved(view, dims, None, lies, shape)


def _as_it_is_read(view: View, lies: Shape, shape: Shape) -> ViewSteps | None:
    """Without a Reshape after: a Reshape before makes the axes that are wanted."""
    wanted = View(view.base, view.sizes, view.order, view.counts).reshaped(shape)
    if wanted is None or wanted.sizes != view.sizes:
        return None
    axes = wanted.axes
    if any(axis != tuple(range(axis[0], axis[0] + len(axis))) for axis in axes if axis):
        return None
    places = sorted(range(len(axes)), key=lambda number: (axes[number] != (), axes[number]))
    before = tuple(shape[number] for number in places)
    perm = tuple(places.index(number) for number in range(len(axes)))
    return ViewSteps(before if before != lies else None, perm, None)


def _by_blocks(view: View, lies: Shape, shape: Shape) -> ViewSteps:
    """Runs of atoms that stay together move as wholes."""
    blocks: list[list[int]] = []
    for atom in view.order:
        if blocks and blocks[-1][-1] + 1 == atom:
            blocks[-1].append(atom)
        else:
            blocks.append([atom])
    before = tuple(math.prod(view.sizes[atom] for atom in block) for block in sorted(blocks))
    steps = _moved(view, [tuple(block) for block in sorted(blocks)], before if before != lies else None, before, shape)
    assert steps is not None
    return steps


def _moved(view: View, dims: Sequence[Shape], before: Shape | None, lies: Shape, shape: Shape) -> ViewSteps | None:
    """Dimensions of atoms moved as wholes into the order of the view; those of size 1 where ``shape`` has them, else in front."""
    starts = {atom: place for place, atom in enumerate(view.order)}
    for dim in dims:
        places = [starts[atom] for atom in dim]
        if places != list(range(places[0], places[0] + len(places)) if places else ()):
            return None
    ones = [number for number, dim in enumerate(dims) if not dim]
    moving = sorted((number for number, dim in enumerate(dims) if dim), key=lambda number: starts[dims[number][0]])
    if len(ones) == sum(size == 1 for size in shape) and len(dims) == len(shape):
        front, rest = iter(ones), iter(moving)
        perm = tuple(next(front) if size == 1 else next(rest) for size in shape)
    else:
        perm = (*ones, *moving)
    result = tuple(lies[number] for number in perm)
    return ViewSteps(before, perm, shape if result != shape else None)


def _split(base: str, num_atoms: int, parts: Sequence[tuple[int, int]], counts: Shape) -> View:
    """Number the parts of atoms as they follow each other in memory."""
    by_atom: list[list[int]] = [[] for _ in range(num_atoms)]
    for place, (_, atom) in enumerate(parts):
        by_atom[atom].append(place)
    memory = [place for places in by_atom for place in places]
    numbers = {place: number for number, place in enumerate(memory)}
    return View(base, tuple(parts[place][0] for place in memory), tuple(numbers[place] for place in range(len(parts))), counts)
