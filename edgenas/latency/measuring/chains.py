"""Chains of components as modules and as graphs."""

from __future__ import annotations

import tempfile
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgenas.deploy.contracts import ExportSpec
from edgenas.deploy.plugins import get_exporter
from edgenas.spaces import SearchSpace
from edgenas.supernets import family

if TYPE_CHECKING:
    import onnx
    from torch import nn


@dataclass(frozen=True, slots=True)
class ChainExporter:
    """Traces chains with the exporter that ships; can be sent to another process.

    Attributes:
        space: of the components.
        batch_size: images a call.
        opset: of the graphs.
    """

    space: SearchSpace
    batch_size: int
    opset: int

    def chain(self, components: Sequence[Hashable]) -> nn.Module:
        """The components after each other, in eval mode."""
        from torch import nn

        build = family(self.space).build_component
        return nn.Sequential(*(build(component) for component in components)).eval()

    def __call__(self, components: Sequence[Hashable]) -> onnx.ModelProto:
        """The graph of a chain, with weights that no exporter can merge or drop.

        Raises:
            ExportError: if it cannot be traced.
        """
        import onnx
        import torch

        chain = self.chain(components)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for tensor in [
                *chain.parameters(),
                *(b for n, b in chain.named_buffers() if n.endswith(("running_mean", "running_var"))),
            ]:
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.04 + 0.01)
        shape = family(self.space).component_input_shape(components[0])
        spec = ExportSpec(shape, self.batch_size, "fp32", self.opset, rewrites=())
        with tempfile.TemporaryDirectory() as folder:
            files = get_exporter("onnx").export(chain, spec, Path(folder))
            return onnx.load(files[0].path)
