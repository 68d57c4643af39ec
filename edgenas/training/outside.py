"""Teachers that are not trained here: ONNX files, and nets with a resolution and a normalisation of their own.

Shapes: N images, C channels, H and W rows and columns, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgenas.errors import CheckpointError, MissingBackendError
from edgenas.escaping import one_line
from edgenas.runs.outside import MAX_MODEL_BYTES, OutsideError, require_regular, size_words
from edgenas.supernets.resize import resized

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_NAMED = 5  # weights named in an error
_CLOSE = 1e-3  # to 1, for sums of probabilities


class AtItsInput(nn.Module):
    """A net that is asked about images as another one reads them.

    They are de-normalised, resized as `edgenas.supernets.resize` does it, and normalised again.

    Args:
        net: images to logits.
        image_px: side of the images that it reads.
        own: mean and deviation that it wants, a channel each.
        given: those that the images come with.
        columns: for every class that is asked for, which logit of the net is its; None where they are in order.
    """

    scale_C: Tensor
    shift_C: Tensor

    def __init__(
        self,
        net: nn.Module,
        *,
        image_px: int,
        own: tuple[Sequence[float], Sequence[float]],
        given: tuple[Sequence[float], Sequence[float]],
        columns: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.net, self.image_px, self.columns = net, image_px, None if columns is None else list(columns)
        (mean_C, std_C), (their_mean_C, their_std_C) = (
            tuple(torch.tensor(values, dtype=torch.float64) for values in pair) for pair in (own, given)
        )
        scale_C, shift_C = their_std_C / std_C, (their_mean_C - mean_C) / std_C
        self.is_same = tuple(own[0]) == tuple(given[0]) and tuple(own[1]) == tuple(given[1])
        self.register_buffer("scale_C", scale_C.float(), persistent=False)
        self.register_buffer("shift_C", shift_C.float(), persistent=False)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Logits (N, K) of normalised images of any size."""
        x_NCHW = resized(images_NCHW, self.image_px)  # affine per channel, so the order does not matter
        if not self.is_same:
            x_NCHW = x_NCHW * self.scale_C[:, None, None] + self.shift_C[:, None, None]
        logits_NK: Tensor = self.net(x_NCHW)
        return logits_NK if self.columns is None else logits_NK[:, self.columns]


class OnnxNet(nn.Module):
    """An ONNX file as a net without gradient, run by ONNX Runtime: on the GPU where the images are there and it can.

    Outputs that are probabilities become their logarithms.

    Args:
        path: with one input (N, 3, H, W), square, and one output (N, K); a fixed N is obeyed.
        image_px: side of its images where the file leaves that open.

    Raises:
        MissingBackendError: without ONNX Runtime.
        CheckpointError: if the file is missing, no regular file, too large, cannot be loaded, or reads or writes something else.
    """

    def __init__(self, path: Path, image_px: int) -> None:
        super().__init__()
        try:
            size_bytes = require_regular(path, MAX_MODEL_BYTES)
        except OutsideError as error:
            raise CheckpointError(f"{path} {error}") from error
        _require_parts(path, MAX_MODEL_BYTES - size_bytes)
        self.path = path
        self.anchor = nn.Parameter(torch.zeros(()), requires_grad=False)  # so that the net is on a device
        self._sessions: dict[str, Any] = {}
        session = self._session("cpu")
        first, *others = session.get_inputs()
        outputs = session.get_outputs()
        shape = list(first.shape)
        sides = {side for side in shape[2:] if isinstance(side, int)}
        fits = (len(shape) == 4 and shape[1] in (3, None)) or (len(shape) == 4 and isinstance(shape[1], str))
        if others or len(outputs) != 1 or not fits or len(sides) > 1 or first.type not in _TYPES:
            reads = ", ".join(f"{each.name} {each.shape} {each.type}" for each in session.get_inputs())
            raise CheckpointError(
                f"{path} cannot teach: it reads {reads} and gives {len(outputs)} outputs",
                hint="one input of images (N, 3, H, W) in float and one output of logits are needed",
            )
        self._name, self._dtype = first.name, _TYPES[first.type]
        self._batch: int | None = shape[0] if isinstance(shape[0], int) else None
        self.image_px = sides.pop() if sides else image_px
        require_finite(path)
        grey_NK = self._run(session, np.zeros((1, 3, self.image_px, self.image_px), dtype=np.float32))
        if grey_NK.ndim != 2:
            raise CheckpointError(f"{path} cannot teach: its output has shape {grey_NK.shape}, wanted are logits (N, classes)")
        if not np.isfinite(grey_NK).all():
            raise CheckpointError(f"{path} cannot teach: its output for a grey image is {grey_NK[0].tolist()}")
        self.num_classes = grey_NK.shape[1]
        self._gives_shares = bool((grey_NK >= 0).all() and abs(grey_NK.sum() - 1) < _CLOSE)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Logits (N, K) on the images' device."""
        device = images_NCHW.device
        found_NK = self._run(self._session(device.type), images_NCHW.detach().float().cpu().numpy())
        logits_NK = torch.from_numpy(found_NK).to(device)
        return logits_NK.clamp_min(1e-12).log() if self._gives_shares else logits_NK

    def _run(self, session: Any, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        num = len(images_NCHW)
        size = self._batch if self._batch is not None else num
        parts = []
        for start in range(0, num, size):
            part_NCHW = images_NCHW[start : start + size]
            missing = size - len(part_NCHW)
            whole_NCHW = np.concatenate([part_NCHW, np.repeat(part_NCHW[-1:], missing, axis=0)]) if missing else part_NCHW
            try:
                (found_NK,) = session.run(None, {self._name: np.ascontiguousarray(whole_NCHW, dtype=self._dtype)})
            except Exception as error:  # its own kinds share no base
                raise CheckpointError(f"{self.path} cannot be run by ONNX Runtime: {_first_line(error)}") from error
            parts.append(np.asarray(found_NK, dtype=np.float32)[: len(part_NCHW)])
        return np.concatenate(parts)

    def _session(self, device: str) -> Any:
        """ONNX Runtime's session for a kind of device; kept."""
        if device not in self._sessions:
            try:
                import onnxruntime
            except ImportError as error:
                raise MissingBackendError("teachers from ONNX files need ONNX Runtime: pip install onnxruntime-gpu") from error
            on_gpu = device == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            options.log_severity_level = 4  # errors are raised; names of a stranger's file would go to the terminal as they are
            providers = ["CUDAExecutionProvider", "CPUExecutionProvider"] if on_gpu else ["CPUExecutionProvider"]
            try:
                self._sessions[device] = onnxruntime.InferenceSession(str(self.path), options, providers=providers)
            except Exception as error:  # its own kinds share no base
                raise CheckpointError(f"{self.path} cannot be loaded by ONNX Runtime: {_first_line(error)}") from error
        return self._sessions[device]


def _first_line(error: Exception) -> str:
    return one_line((str(error).strip() or type(error).__name__).splitlines()[0])


def _require_parts(path: Path, max_bytes: int) -> None:
    """Check that files beside an ONNX file that hold its weights are regular ones in its folder and together not too large.

    Files that are no ONNX are left to ONNX Runtime.

    Raises:
        CheckpointError: naming the file that is not.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError:
        return
    beside = {entry.value for tensor in _tensors(model.graph) for entry in tensor.external_data if entry.key == "location"}
    for name in sorted(beside):
        part = path.parent / name
        try:
            if not part.resolve().is_relative_to(path.parent.resolve()):
                raise OutsideError("lies outside its folder")
            max_bytes -= require_regular(part, MAX_MODEL_BYTES)
            if max_bytes < 0:
                raise OutsideError(f"makes it larger than {size_words(MAX_MODEL_BYTES)}, which nothing of its kind is")
        except (OutsideError, OSError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{path} cannot be loaded: its file of weights {one_line(str(name))} {error}") from error


def _tensors(graph: Any) -> Iterator[Any]:
    """Every constant of an ONNX graph, those of its nodes and of graphs within it included."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def require_finite(path: Path) -> None:
    """Check that the weights in an ONNX file are numbers. Masks of 0 and -inf are none.

    Raises:
        CheckpointError: naming those that are not.
    """
    import onnx
    from onnx import numpy_helper

    try:
        initializers = onnx.load(str(path)).graph.initializer
        problems = []
        for each in initializers:
            values = np.asarray(numpy_helper.to_array(each, str(path.parent)))
            finite = np.isfinite(values) if values.dtype.kind == "f" else np.ones(1, dtype=np.bool_)
            is_mask = not np.isnan(values).any() and not values[finite].any() if not finite.all() else False
            if not finite.all() and not is_mask:
                problems.append(f"{each.name} holds {(~finite).sum():,} value(s) that are NaN or infinite")
    except (OSError, ValueError, TypeError, RuntimeError, onnx.checker.ValidationError) as error:
        raise CheckpointError(f"the weights of {path} cannot be read: {_first_line(error)}") from error
    if problems:
        more = [f"{len(problems) - _NAMED} more"] if len(problems) > _NAMED else []
        raise CheckpointError(f"{path} holds weights that cannot be used", problems=[*problems[:_NAMED], *more])


class SeveralTeachers(nn.Module):
    """Teachers that answer together: the weighted mean of their log-probabilities.

    That is the geometric mean of their distributions, up to a constant an image, which Hinton et al. (arXiv:1503.02531, section 1)
    name beside the arithmetic one for ensembles; unlike a mean of logits it does not depend on what each adds to all of its logits.

    Args:
        teachers: images to logits of the same classes.
        weights: one a teacher, above 0; None weighs all alike.
    """

    def __init__(self, teachers: Sequence[nn.Module], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.teachers = nn.ModuleList(teachers)
        shares = [1.0] * len(teachers) if weights is None else list(weights)
        self.shares = [share / sum(shares) for share in shares]

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Mean log-probabilities (N, K)."""
        parts = [
            share * teacher(images_NCHW).float().log_softmax(-1) for share, teacher in zip(self.shares, self.teachers, strict=True)
        ]
        return torch.stack(parts).sum(0)
