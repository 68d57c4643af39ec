"""Search spaces: choices, and a few closed operations on rows of genes.

An architecture is a row of option indices, one per choice, -1 where a choice is inactive. The name of a choice is its place in
the readable JSON: ``pool_size``, ``depths[2]``, ``blocks[0].num_heads``; an option that is a tuple sets a whole list at once, or an
object where the choice has ``keys``; a choice with ``length_of`` is not written at all: its value is the length of lists that are.
A space with a ``form`` is written otherwise than its names say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import ArchError
from edgenas.fields import Count, require_allowed
from edgenas.spaces.readable import brief, common_length, is_same, put_at, surplus, tokens_of, value_at

Option = int | float | str | tuple[int | float | str, ...]
Genes = NDArray[np.int16]

PIECE = 16384  # candidates worked on at a time, so that a gene of them stays in the cache
RESOLUTION: Final = "resolution_px"  # the choice that decides which size of image a net reads
MAX_COMPARED = 12  # up to so many edges comparing with each is faster than a binary search
MAX_PURPOSE = 60  # characters of what a space is for, so that it stands on a line of a terminal beside the name
PLAIN_NEEDS_IMAGES = (
    100_000  # `SearchSpace.needs_images` of transformers without convolutions: a tenth of ImageNet, a rule of thumb
)


@dataclass(frozen=True, slots=True)
class Task:
    """What the data fix of every net: ``num_classes`` logits from images of ``in_channels`` x ``image_px`` x ``image_px``."""

    num_classes: Count
    in_channels: Count = 3
    image_px: Count = 32

    def __post_init__(self) -> None:
        require_allowed(self)


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds where the earlier choice called ``choice`` is active and has one of ``values``."""

    choice: str
    values: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One gene: what it may be, and for which values of an earlier gene it exists at all.

    Attributes:
        length_of: lists of the readable form whose common length is the value, e.g. one entry per block for a depth.
        keys: names of an option's entries, which is written as an object then, e.g. ``{"kind": "pool", "size": 7}``.
    """

    name: str
    options: tuple[Option, ...]
    active_when: Condition | None = None
    length_of: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def readable(self, option: Option) -> Any:
        """An option as JSON has it."""
        if not isinstance(option, tuple):
            return option
        return dict(zip(self.keys, option, strict=True)) if self.keys else list(option)

    def __str__(self) -> str:
        return f"{self.name} (the length of {' and of '.join(self.length_of)})" if self.length_of else self.name


class Form(Protocol):
    """A readable form that is not the one which the names of a space's choices spell out."""

    def write(self, tree: Mapping[str, Any], /) -> dict[str, Any]:
        """The readable form of what the names spell out."""
        ...

    def read(self, arch: Mapping[str, Any], /) -> Mapping[str, Any]:
        """The reverse. What is no such form stays as it is, for the space to name."""
        ...


@dataclass(frozen=True)
class SearchSpace:
    """Choices and the rules between them. An architecture is a row of option indices, -1 where a choice is inactive.

    Attributes:
        name: as in ``--space``.
        family: module name under `edgenas.spaces`, `edgenas.costs` and `edgenas.supernets` that knows what the genes mean.
        choices: a condition names an earlier choice.
        default_task: classes, channels and resolution of the publication.
        trade_offs: choices along which one cost grows while another shrinks; every other one lists its options in growing order.
        form: of the JSON, where it is not the one that the names of the choices spell out.
        base: name of a space of the same family that fixes what no choice does (patches, strides, widths of heads), for a space
            with other options; empty for one that fixes it itself.
        purpose: what it is for, in at most `MAX_PURPOSE` characters; empty where nobody says.
        needs_images: training images below which `edgenas init` does not take it by itself. Transformers without convolutions
            learn less from few images than nets with them: on the 1.28 million of ImageNet alone ViT stays behind ResNets
            (arXiv:2010.11929, section 4.3).
        ahead_px: side of stored images up to which nets that were chosen in it were measured ahead of timm's of equal latency,
            where nets of other spaces for such images were not (docs/measurements); 0 where that was not measured.
        ahead_images: fewest training images with which they were.
    """

    name: str
    family: str
    choices: tuple[Choice, ...]
    default_task: Task
    trade_offs: tuple[str, ...] = ()
    form: Form | None = None
    base: str = ""
    purpose: str = ""
    needs_images: int = 0
    ahead_px: int = 0
    ahead_images: int = 0

    @property
    def base_name(self) -> str:
        """The name of the space that fixes what no choice does: the one that this is a part of or built like, or its own."""
        return self.base or self.name.partition("[")[0]

    def __post_init__(self) -> None:
        if len(self.purpose) > MAX_PURPOSE:
            raise ValueError(
                f"the purpose of {self.name} has {len(self.purpose)} characters; at most {MAX_PURPOSE} stand in a line"
            )
        seen: dict[str, Choice] = {}
        for choice in self.choices:
            if choice.name in seen or not choice.options or len(set(choice.options)) != len(choice.options):
                raise ValueError(f"choice {choice.name!r} of {self.name} is doubled, or has no or doubled options")
            when = choice.active_when
            if when is not None and (when.choice not in seen or not set(when.values) <= set(seen[when.choice].options)):
                raise ValueError(f"choice {choice.name!r} of {self.name} depends on no earlier choice or option: {when}")
            seen[choice.name] = choice

    @property
    def num_genes(self) -> int:
        """Columns of a gene matrix."""
        return len(self.choices)

    @cached_property
    def index(self) -> dict[str, int]:
        """Column of each choice, by name."""
        return {choice.name: position for position, choice in enumerate(self.choices)}

    @cached_property
    def _parents(self) -> tuple[tuple[int, NDArray[np.bool_]] | None, ...]:
        """Per choice its condition as (column, allowed mask over option indices), the mask one longer so that -1 is False."""
        result: list[tuple[int, NDArray[np.bool_]] | None] = []
        for choice in self.choices:
            if choice.active_when is None:
                result.append(None)
                continue
            column = self.index[choice.active_when.choice]
            options = self.choices[column].options
            result.append((column, np.array([o in choice.active_when.values for o in options] + [False])))
        return tuple(result)

    @cached_property
    def _counts(self) -> tuple[tuple[int, ...], ...]:
        """Per choice and option, how many networks the choices that hang on it make."""
        counts: list[tuple[int, ...]] = [()] * self.num_genes
        for column in reversed(range(self.num_genes)):
            children = [
                (child, parent[1]) for child, parent in enumerate(self._parents) if parent is not None and parent[0] == column
            ]
            counts[column] = tuple(
                math.prod(sum(counts[child]) for child, allowed in children if allowed[option])
                for option in range(len(self.choices[column].options))
            )
        return tuple(counts)

    @cached_property
    def _edges(self) -> tuple[NDArray[np.float64], ...]:
        """Per choice, the numbers in [0, 1) at which a uniform draw reaches the next option."""
        shares = ([float(Fraction(count, sum(counts))) for count in counts] for counts in self._counts)
        return tuple(np.cumsum(share)[:-1] for share in shares)

    @property
    def cardinality(self) -> int:
        """Number of distinct networks."""
        return math.prod(sum(self._counts[column]) for column in range(self.num_genes) if self._parents[column] is None)

    def sample(self, num: int, rng: np.random.Generator) -> Genes:
        """Draw ``num`` canonical rows, shape (num, genes), uniformly over distinct networks."""
        genes_GA = np.empty((self.num_genes, num), dtype=np.int16)
        draws = np.empty(min(num, PIECE))
        for gene_A, edges in zip(genes_GA, self._edges, strict=True):
            for start in range(0, num, PIECE):
                drawn = draws[: num - start]
                rng.random(out=drawn)
                gene_A[start : start + PIECE] = _num_reached(drawn, edges)
        return self._settle(genes_GA).T

    def canonical(self, genes_AG: Genes) -> Genes:
        """A copy in which equal networks are equal rows: -1 where a choice is inactive, option 0 where one was missing."""
        return self._settle(np.array(np.asarray(genes_AG).T, dtype=np.int16, order="C")).T

    def _settle(self, genes_GA: Genes) -> Genes:
        """Make canonical in place; genes are rows here, so that every gene lies in one piece of memory."""
        for start in range(0, genes_GA.shape[1], PIECE):
            piece_GA = genes_GA[:, start : start + PIECE]
            active: dict[Condition, NDArray[np.bool_]] = {}
            for choice, gene_A, parent in zip(self.choices, piece_GA, self._parents, strict=True):
                if choice.active_when is None or parent is None:
                    continue
                if choice.active_when not in active:
                    active[choice.active_when] = _is_among(piece_GA[parent[0]], parent[1])
                np.maximum(gene_A, 0, out=gene_A)
                gene_A |= active[choice.active_when].astype(np.int16) - np.int16(1)  # all bits set is -1
        return genes_GA

    def enumerate(self) -> Genes:
        """Every network once, shape (cardinality, genes). For small spaces; nothing is kept."""
        rows_AG = np.zeros((1, 0), dtype=np.int16)
        for column, choice in enumerate(self.choices):
            parent = self._parents[column]
            options = np.arange(len(choice.options), dtype=np.int16)
            active_A = np.ones(len(rows_AG), dtype=bool) if parent is None else parent[1][rows_AG[:, parent[0]]]
            repeats_A = np.where(active_A, len(options), 1)
            starts_A = np.repeat(np.cumsum(repeats_A) - repeats_A, repeats_A)
            values = (np.arange(repeats_A.sum()) - starts_A).astype(np.int16)
            values[~np.repeat(active_A, repeats_A)] = -1
            rows_AG = np.column_stack([np.repeat(rows_AG, repeats_A, axis=0), values])
        return rows_AG

    def mutate(self, genes_AG: Genes, rng: np.random.Generator, *, prob: float | NDArray[np.floating]) -> Genes:
        """Redraw every gene with probability ``prob`` (one number, or one per gene), canonical. AutoFormer's mutation."""
        fresh_AG = np.column_stack([rng.integers(len(choice.options), size=len(genes_AG)) for choice in self.choices])
        redraw_AG = rng.random(genes_AG.shape) < prob
        return self.canonical(np.where(redraw_AG | (genes_AG < 0), fresh_AG, genes_AG))

    def crossover(self, first_AG: Genes, second_AG: Genes, rng: np.random.Generator) -> Genes:
        """Gene-wise coin flip between two parents, canonical. A gene that is inactive in one comes from the other."""
        take_AG = ((rng.random(first_AG.shape) < 0.5) | (second_AG < 0)) & (first_AG >= 0)
        return self.canonical(np.where(take_AG, first_AG, second_AG))

    def extreme(self, *, largest: bool) -> Genes:
        """The row of all last (``largest``) or all first options, shape (1, genes); options are listed in growing order."""
        row = [len(choice.options) - 1 if largest else 0 for choice in self.choices]
        return self.canonical(np.array([row], dtype=np.int16))

    def corners(self, *, largest: bool) -> Genes:
        """`extreme` with every option of the ``trade_offs``, shape (rows, genes): in one of them each cost has its end."""
        rows_AG = self.extreme(largest=largest)
        for name in self.trade_offs:
            num = len(self.choices[self.index[name]].options)
            rows_AG = np.repeat(rows_AG, num, axis=0)
            rows_AG[:, self.index[name]] = np.tile(np.arange(num), len(rows_AG) // num)
        return self.canonical(rows_AG)

    def task_of(self, genes_G: Sequence[int] | NDArray[np.integer], task: Task) -> Task:
        """What one net reads and gives: ``task``, at the net's own resolution where a gene chooses it."""
        if RESOLUTION not in self.index:
            return task
        column = self.index[RESOLUTION]
        return replace(task, image_px=int(self.choices[column].options[int(genes_G[column])]))  # type: ignore[arg-type]  # a number

    def values(self, genes_G: NDArray[np.integer]) -> dict[str, Option]:
        """Name and value of every active choice of one row."""
        return {c.name: c.options[int(g)] for c, g in zip(self.choices, genes_G, strict=True) if g >= 0}

    def to_json(self, genes_G: NDArray[np.integer]) -> dict[str, Any]:
        """The readable form of one row, e.g. ``{"pool_size": 7, "depths": [2, 2, 2, 2], ...}``."""
        tree = self._spelt(genes_G)
        return tree if self.form is None else self.form.write(tree)

    def _spelt(self, genes_G: NDArray[np.integer]) -> dict[str, Any]:
        """The values of one row where the names of the choices say."""
        tree: dict[str, Any] = {}
        for name, value in self.values(genes_G).items():
            choice = self.choices[self.index[name]]
            if not choice.length_of:
                put_at(tree, tokens_of(name), choice.readable(value))
            elif value == 0:
                for empty in choice.length_of:
                    put_at(tree, tokens_of(empty), [])
        return tree

    def from_json(self, arch: Mapping[str, Any]) -> Genes:
        """The canonical row of one readable architecture, shape (1, genes).

        Raises:
            ArchError: naming every gene that is missing or outside its options, with what is allowed, and unknown keys.
        """
        arch = arch if self.form is None else self.form.read(arch)
        genes_G = np.full(self.num_genes, -1, dtype=np.int16)
        problems: list[str] = []
        illegal: set[int] = set()  # whether what hangs on them exists is not known
        for column, choice in enumerate(self.choices):
            parent = self._parents[column]
            value = common_length(arch, choice.length_of) if choice.length_of else value_at(arch, tokens_of(choice.name))
            if parent is not None and not parent[1][genes_G[parent[0]]] and (parent[0] not in illegal or value is None):
                continue
            match = [i for i, option in enumerate(choice.options) if is_same(choice.readable(option), value)]
            if match:
                genes_G[column] = match[0]
            else:
                illegal.add(column)
                allowed = ", ".join(str(choice.readable(option)) for option in choice.options)
                problems.append(f"{choice} is {'missing' if value is None else brief(value)}; allowed: {allowed}")
        if problems:
            known = {tokens_of(choice.name)[0] for choice in self.choices if not choice.length_of}
            problems += [f"{brief(key)} is unknown" for key in arch if key not in known]
        else:
            problems = surplus(arch, self._spelt(genes_G))
        if problems:
            raise ArchError(f"this is no architecture of {self.name}", problems=problems)
        return genes_G[None]

    def row(self, arch: Mapping[str, Any] | Sequence[int] | NDArray[np.integer]) -> tuple[int, ...]:
        """The genes of one architecture that is readable, a row, or a matrix of one row; missing ones become canonical.

        Raises:
            ArchError: naming every gene that is not in the space, or what was given instead of a row.
        """
        if isinstance(arch, Mapping):
            return tuple(int(gene) for gene in self.from_json(arch)[0])
        genes = np.asarray(arch)
        genes_G = genes[0] if genes.ndim == 2 and len(genes) == 1 else genes
        if genes_G.ndim != 1:
            given = f"shape {genes.shape}" if genes.ndim else type(arch).__name__
            raise ArchError(f"an architecture of {self.name} is a row of {self.num_genes} genes or its readable form, not {given}")
        if len(genes_G) != self.num_genes:
            raise ArchError(f"this row has {len(genes_G)} genes; {self.name} has {self.num_genes}")
        if not np.issubdtype(genes_G.dtype, np.integer):
            raise ArchError(f"genes of {self.name} are whole numbers, indices of options; these are {genes_G.dtype}")
        self.require_valid(genes_G[None])
        return tuple(int(gene) for gene in genes_G)

    def require_valid(self, genes_AG: Genes) -> None:
        """Check that every row is a canonical row of this space.

        Raises:
            ArchError: naming the first rows and genes that are not.
        """
        problems = []
        for column, choice in enumerate(self.choices):
            bad = np.flatnonzero((genes_AG[:, column] >= len(choice.options)) | (genes_AG[:, column] < -1))
            problems += [f"row {row}: {choice.name} has option {genes_AG[row, column]}" for row in bad[:3]]
        if not problems:
            bad = np.flatnonzero((self.canonical(genes_AG) != genes_AG).any(axis=1))
            problems = [f"row {row} is not canonical" for row in bad[:3]]
        if problems:
            raise ArchError(f"these are no architectures of {self.name}", problems=problems)


def _is_among(genes_A: NDArray[np.int16], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``allowed[genes_A]``; by two comparisons where the allowed options are neighbours, as they mostly are."""
    options = np.flatnonzero(allowed)
    if len(options) and options[-1] - options[0] + 1 == len(options):
        return (genes_A >= int(options[0])) & (genes_A <= int(options[-1]))
    return allowed[genes_A]


def _num_reached(draws: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.integer]:
    """How many of the ascending ``edges`` are at or below each draw."""
    if len(edges) > MAX_COMPARED:
        return np.searchsorted(edges, draws, side="right")
    reached = np.zeros(len(draws), dtype=np.int8)
    for edge in edges:
        reached += (draws >= edge).view(np.int8)
    return reached
