"""Weights of a larger net as the start of a smaller one: which of its layers and channels are taken.

Weight selection (Xu et al., "Initializing Models with Larger Ones", ICLR 2024, arXiv:2311.18823): of every stage the first blocks,
of every tensor some of its entries. Channels that several tensors share are chosen once for all of them, heads as a whole and
within a head alike for q, k, v and the projection; the publication chooses evenly along every axis of every tensor.

Shapes: A entries of an axis, h heads, d channels of a head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from edgenas.errors import CheckpointError
from edgenas.supernets.pit_files import interpolate_positions
from edgenas.supernets.selection_layouts import DIM, QKV, Layout, SharedAxis
from edgenas.supernets.starting import abbreviated, adapt_channels

Method = Literal["leading", "even", "importance"]
METHODS: tuple[Method, ...] = get_args(Method)
PATCH_EMBEDS = ("patch_embed.proj.weight", "patch_embed.conv.weight")


@dataclass(frozen=True, slots=True)
class Donor:
    """A plain net whose weights are selected from.

    Attributes:
        layout: of its kind.
        state: weights by name.
        heads: of attentions, by the name of their block.
        notes: what was assumed or folded to read it, a sentence each.
    """

    layout: Layout
    state: Mapping[str, Tensor]
    heads: Mapping[str, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Selected:
    """A smaller net's weights.

    Attributes:
        state: all of them by name, those without a counterpart as they were.
        notes: what was taken, adapted and left fresh, a sentence each.
    """

    state: dict[str, Tensor]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Places:
    """Entries of one axis that are taken, and where they go."""

    source_A: Tensor
    target_A: Tensor


@torch.no_grad()
def select(donor: Donor, own: Mapping[str, Tensor], heads: Mapping[str, int], method: Method) -> Selected:
    """Weights of a net, taken from those of another.

    Where an axis is longer here than there, its first entries are filled; heads, hidden channels and blocks that the source lacks
    have no influence before they learn.

    Args:
        donor: the source.
        own: weights of the net to be filled, by name; not changed.
        heads: of its attentions, by block.
        method: which entries of an axis are taken: the first ones, evenly spaced ones, or those whose producing rows have the
            largest L2 norm, in their order.
    """
    state, notes = _fitted(donor.state, own)
    result = {name: value.clone() for name, value in own.items()}
    chooser = _Chooser(donor, own, heads, method)
    fresh = [name for name, target in result.items() if not chooser.fits(state.get(name), target, donor.layout.axes(name))]
    if any(name.startswith("head.") for name in fresh):
        fresh += [name for name in result if name.startswith("head.") and name not in fresh]
    taken = 0
    for name, target in result.items():
        axes = donor.layout.axes(name)
        if name not in fresh and axes is not None:
            taken += _copy(state[name], target, [chooser.places(axis) for axis in axes], axes)
    is_silent = _silence(result, donor, chooser, fresh)
    share = 100 * taken / sum(value.numel() for value in result.values())
    notes = [f"{share:.1f} % of the net's weights come from the source", *chooser.words(), *notes]
    if is_silent:
        notes.append("blocks, heads and hidden channels that the source lacks have no influence at first")
    listed = [name for name in fresh if ".rel_pos_" not in name]
    if listed:
        notes.append(f"without a counterpart, and so fresh: {', '.join(abbreviated(_blocks(listed), 'weights'))}")
    return Selected(result, (*donor.notes, *notes))


def exceeds(donor: Donor, own: Mapping[str, Tensor]) -> bool:
    """Whether a source is wider or deeper anywhere than the net of these weights, so that some of it has to be left out."""
    return _Chooser(donor, own, {}, "leading").exceeds


class _Chooser:
    """Chooses the entries of every axis once."""

    def __init__(self, donor: Donor, own: Mapping[str, Tensor], heads: Mapping[str, int], method: Method) -> None:
        self.donor, self.heads, self.method = donor, heads, method
        self.sizes = tuple(_sizes(donor.layout, state) for state in (donor.state, own))
        self._known: dict[SharedAxis, _Places] = {}
        self._scores = _scores(donor) if method == "importance" else {}

    def fits(self, value: Tensor | None, target: Tensor, axes: tuple[SharedAxis | None, ...] | None) -> bool:
        """Whether tensors differ along axes alone that entries can be chosen of."""
        if value is None or axes is None or value.dim() != target.dim():
            return False
        if not axes:
            return value.shape == target.shape
        return all(
            have == want if axis is None else axis.plain in self.sizes[0]
            for axis, have, want in zip(axes, value.shape, target.shape, strict=True)
        )

    def places(self, axis: SharedAxis | None) -> _Places | None:
        """Entries of an axis, of one group where it has several; None for one that is taken whole."""
        if axis is None:
            return None
        plain = axis.plain
        if plain not in self._known:
            source, target = self.sizes[0][plain], self.sizes[1][plain]
            if plain.kind == QKV:
                self._known[plain] = self._of_heads(plain, source, target)
            elif plain.kind == DIM and self.donor.layout.tables:
                self._known[plain] = self._of_table(plain, source, target)
            else:
                chosen_A = self._choose(source, target, self._scores.get(plain))
                self._known[plain] = _Places(chosen_A, torch.arange(len(chosen_A)))
        return self._known[plain]

    def _choose(self, source: int, target: int, score_A: Tensor | None) -> Tensor:
        num = min(source, target)
        if self.method == "leading" or num == source:
            return torch.arange(num)
        if self.method == "even" or score_A is None:
            return torch.arange(num) * source // num
        return score_A.argsort(descending=True, stable=True)[:num].sort().values

    def _of_heads(self, axis: SharedAxis, source: int, target: int) -> _Places:
        theirs, ours = self.donor.heads[axis.owner], self.heads[axis.owner]
        width, own_width = source // theirs, target // ours
        score_A = self._scores.get(axis)
        score_hd = None if score_A is None else score_A.reshape(theirs, width)
        chosen_h = self._choose(theirs, ours, None if score_hd is None else score_hd.sum(1))
        from_A, to_A = [], []
        for place, head in enumerate(chosen_h.tolist()):
            chosen_d = self._choose(width, own_width, None if score_hd is None else score_hd[head])
            from_A.append(head * width + chosen_d)
            to_A.append(place * own_width + torch.arange(len(chosen_d)))
        return _Places(torch.cat(from_A), torch.cat(to_A))

    def _of_table(self, axis: SharedAxis, source: int, target: int) -> _Places:
        """Channels of a token are a table of the same rows in every stage and a column a head, which poolings rely on."""
        first = f"{axis.owner}.blocks.0"
        theirs, ours = self.donor.heads[first], self.heads[first]
        rows, own_rows = source // theirs, target // ours
        scores = [score.reshape(rows, -1).sum(1) for key, score in self._scores.items() if key.kind == DIM]
        chosen_r = self._choose(rows, own_rows, torch.stack(scores).sum(0) if scores else None)
        columns = torch.arange(ours) * (theirs // ours)
        from_A = (chosen_r[:, None] * theirs + columns).flatten()
        to_A = (torch.arange(len(chosen_r))[:, None] * ours + torch.arange(ours)).flatten()
        return _Places(from_A, to_A)

    @property
    def exceeds(self) -> bool:
        """Whether the source is wider or deeper than the net anywhere."""
        theirs, ours = self.sizes
        return any(size > ours.get(axis, 0) for axis, size in theirs.items())

    def words(self) -> Iterator[str]:
        """How wide and deep the net is that weights were taken of, and how much of it was."""
        layout = self.donor.layout
        for kind, word in ((DIM, "channels"), ("hidden", "hidden channels")):
            pairs = [(self.sizes[0].get(axis), size) for axis, size in self.sizes[1].items() if axis.kind == kind]
            shown = list(dict.fromkeys(f"{min(have, want)} of {have}" for have, want in pairs if have is not None))
            yield f"{word}: {', '.join(abbreviated(shown, 'widths'))}"
        depths = [layout.depths(size) for size in self.sizes]
        shown = [f"{min(have, want)} of {have}" for have, want in zip(*depths, strict=True)]
        yield f"blocks: the first {', '.join(shown)}"


def _sizes(layout: Layout, state: Mapping[str, Tensor]) -> dict[SharedAxis, int]:
    """Length of every axis, without its groups."""
    sizes: dict[SharedAxis, int] = {}
    for name, value in state.items():
        for axis, size in zip(layout.axes(name) or (), value.shape, strict=False):
            if axis is not None:
                sizes.setdefault(axis.plain, size // axis.groups)
    return sizes


def _scores(donor: Donor) -> dict[SharedAxis, Tensor]:
    """Squared L2 norm of the rows that produce every entry of an axis, over all tensors that write to it."""
    scores: dict[SharedAxis, Tensor] = {}
    for name, value in donor.state.items():
        axes = donor.layout.axes(name) or ()
        if value.dim() < 2 or name.startswith("head."):
            continue
        position = next((at for at, axis in enumerate(axes) if axis is not None), None)
        if position is None:
            continue
        axis = axes[position]
        assert axis is not None
        rows_A = value.float().movedim(position, 0).flatten(1).square().sum(1)
        total_A = rows_A.reshape(axis.groups, -1).sum(0)
        scores[axis.plain] = scores[axis.plain] + total_A if axis.plain in scores else total_A
    return scores


def _fitted(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The source at the channels, patches, grid and reductions of the net to be filled."""
    from timm.layers.patch_embed import resample_patch_embed
    from timm.layers.pos_embed import resample_abs_pos_embed

    result, notes = dict(state), list[str]()
    embed = next(name for name in PATCH_EMBEDS if name in own)
    notes += adapt_channels(result, embed, own[embed].shape[1])
    if embed in result and result[embed].shape[2:] != own[embed].shape[2:]:
        notes.append(f"patches of {_by(result[embed])} were resampled to {_by(own[embed])} (FlexiViT, arXiv:2212.08013)")
        result[embed] = resample_patch_embed(result[embed].float(), list(own[embed].shape[2:]))
    table, wanted = result.get("pos_embed"), own.get("pos_embed")
    if table is not None and wanted is not None and table.dim() == wanted.dim():
        if table.dim() == 4 and table.shape[2:] != wanted.shape[2:]:
            notes.append(f"positions of {_by(table)} were interpolated to {_by(wanted)}")
            result["pos_embed"] = interpolate_positions(table, wanted.shape[-1])
        elif table.dim() == 3 and table.shape[1] != wanted.shape[1]:
            side = round((wanted.shape[1] - 1) ** 0.5)
            notes.append(f"positions of {table.shape[1] - 1} patches were interpolated to {wanted.shape[1] - 1}")
            result["pos_embed"] = resample_abs_pos_embed(table, [side, side], num_prefix_tokens=1)
    changed = []
    for name, value in result.items():
        if name.endswith("attn.sr.weight") and name in own and value.shape[2:] != own[name].shape[2:]:
            size = own[name].shape[-1]
            result[name] = (value.sum(dim=(2, 3), keepdim=True) / size**2).expand(-1, -1, size, size)
            changed.append(f"stage {int(name.split('.')[1]) + 1}")
    if changed:
        notes.append(f"reductions of another kernel answer an even patch as the source's do: {', '.join(dict.fromkeys(changed))}")
    left_out = [name for name in result if name not in own and "attn." in name and ".sr." in name]
    if left_out:
        notes.append("reductions that the net has not were left out")
    return result, notes


def _copy(value: Tensor, target: Tensor, places: list[_Places | None], axes: tuple[SharedAxis | None, ...]) -> int:
    """Put the chosen entries of ``value`` in their places of ``target``, group by group; how many there are."""
    if not axes:
        target.copy_(value)
        return target.numel()
    picked, indices = value, []
    for position, (place, axis) in enumerate(zip(places, axes, strict=True)):
        if place is None or axis is None:
            indices.append(torch.arange(target.shape[position]))
            continue
        span, own_span = value.shape[position] // axis.groups, target.shape[position] // axis.groups
        rows = torch.cat([group * span + place.source_A for group in range(axis.groups)])
        indices.append(torch.cat([group * own_span + place.target_A for group in range(axis.groups)]))
        picked = picked.index_select(position, rows)
    target[torch.meshgrid(*indices, indexing="ij")] = picked.to(target.dtype)
    return picked.numel()


def _silence(result: Mapping[str, Tensor], donor: Donor, chooser: _Chooser, fresh: list[str]) -> bool:
    """Let blocks, heads and hidden channels that the source lacks add nothing, and relative positions start at 0.

    Returns:
        Whether there are such blocks, heads or hidden channels.
    """
    is_any = False
    for name, value in result.items():
        if ".rel_pos_" in name and name in fresh:
            value.zero_()
        if not name.endswith(("attn.proj.weight", "mlp.fc2.weight")):
            continue
        axes = donor.layout.axes(name)
        assert axes is not None
        place = None if name in fresh or len(axes) < 2 else chooser.places(axes[1])
        silent_A = torch.ones(value.shape[1], dtype=torch.bool)
        if place is not None:
            silent_A[place.target_A] = False
        value[:, silent_A] = 0.0
        is_any |= bool(silent_A.any())
    return is_any


def _blocks(names: list[str]) -> list[str]:
    """Names, with those of one block or layer as one."""
    return list(dict.fromkeys(name.rsplit(".", 1)[0] if "." in name else name for name in names))


def _by(value: Tensor) -> str:
    return f"{value.shape[-2]} x {value.shape[-1]}"


def require_tables(donor: Donor, heads: Mapping[str, int], source: str, wanted: str) -> None:
    """Check that of a token's channels every second, third, ... column can be taken, as poolings need.

    Raises:
        CheckpointError: if heads of the source are no multiple of the net's.
    """
    if not donor.layout.tables:
        return
    pairs = {(donor.heads[name], num) for name, num in heads.items() if name.endswith(".0") and name in donor.heads}
    problems = [f"{theirs} there, {ours} here" for theirs, ours in sorted(pairs) if theirs % ours]
    if problems:
        raise CheckpointError(f"{source} has heads from which those of {wanted} cannot be taken", problems=problems)
