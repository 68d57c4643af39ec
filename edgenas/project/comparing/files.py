"""ONNX files of the nets that are compared: each is written once, to be timed and to be judged."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from torch import nn

from edgenas.deploy.contracts import ExportedFile, ExportSpec
from edgenas.deploy.plugins import get_exporter
from edgenas.errors import ExportError
from edgenas.graphs.rewriting import rewrites_for
from edgenas.latency.measuring import OtherNet
from edgenas.project.comparing.contenders import Contender
from edgenas.project.measuring import graphs_of
from edgenas.project.opening import Project
from edgenas.project.run_tables import RunTable
from edgenas.runs import Progress
from edgenas.runs.background import watched


class NetFiles:
    """Files for one image a call, as `edgenas export` writes them; it remembers those that are written.

    Args:
        project: whose settings say how a graph is written.
        folder: of the files; gone after the comparison.
    """

    def __init__(self, project: Project, folder: Path) -> None:
        self._project, self._folder = project, folder
        self._written: dict[str, ExportedFile] = {}

    def of(self, each: Contender, net: nn.Module) -> Generator[Progress, None, ExportedFile]:
        """The file of a contender.

        Raises:
            ExportError: if it cannot be exported.
        """
        if each.name not in self._written:
            images, settings = each.images, self._project.settings.export
            shape = (images.task.in_channels, each.image_px, each.image_px)
            spec = ExportSpec(shape, 1, "fp32", settings.opset, rewrites=settings.rewrites)
            folder = self._folder / str(len(self._written))
            folder.mkdir()
            writing = (get_exporter("onnx").export(net, spec, folder) for _ in range(1))
            (files,) = yield from watched(writing, f"writing {each.name}", total=1)
            self._written[each.name] = files[0]
        return self._written[each.name]

    def timed(self, each: Contender, table: RunTable | None) -> Generator[Progress, None, OtherNet]:
        """What is timed of a contender: its file where a table's nets are timed as such files, else what the table asks for."""
        if isinstance(each.source, nn.Module) and table is not None and self._is_alike(table):
            try:
                return OtherNet((yield from self.of(each, each.source)).path, each.image_px)
            except ExportError:  # whoever times it says so
                pass
        return OtherNet(each.source, each.image_px)

    def _is_alike(self, table: RunTable) -> bool:
        settings, context = self._project.settings.export, table.table.context
        is_onnx = context.runtime == "onnxruntime-cpu" and context.precision == "fp32" and context.batch_size == 1
        return is_onnx and graphs_of(context) == (settings.opset, rewrites_for(context.runtime, settings.rewrites))
