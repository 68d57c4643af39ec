"""`edgenas doctor`: try every runtime for real, and everything that installed packages bring."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from edgenas.config import Flags
from edgenas.data import SOURCES
from edgenas.deploy.contracts import Probe
from edgenas.deploy.plugins import EXPORTERS, RUNTIMES, exporter_names, get_runtime, runtime_names
from edgenas.errors import EdgeNASError, PluginError
from edgenas.proxies import PROXIES
from edgenas.records import DoctorResult, ProbeRow
from edgenas.runs import Note, Outcome, Progress, Record
from edgenas.search import ALGORITHMS
from edgenas.search.quantities import QUANTITIES
from edgenas.spaces import SPACES
from edgenas.training.sampling import SAMPLING_RULES
from edgenas.training.teaching_losses import DISTILLATION_LOSSES


@dataclass(frozen=True, slots=True)
class DoctorConfig:
    """What `edgenas doctor` was asked for."""

    run: Path
    flags: Flags
    overrides: tuple[str, ...] = ()


def run(config: DoctorConfig) -> Iterator[Record]:
    """Probe every runtime and write a tiny net in every format."""
    for problem in plugin_problems():
        yield Note(problem, is_warning=True)
    names = runtime_names()
    formats = exporter_names()
    total = len(names) + len(formats)
    runtimes = []
    for position, name in enumerate(names):
        yield Progress("trying", position, total, {"runtime": name})
        runtimes.append(ProbeRow(name=name, **asdict(try_runtime(name)), measures=_measures(name)))
    written = []
    for position, name in enumerate(formats, len(names)):
        yield Progress("trying", position, total, {"format": name})
        written.append(ProbeRow(name=name, **asdict(try_format(name))))
    yield Progress("trying", total, total)
    yield Outcome(DoctorResult(runtimes=tuple(runtimes), formats=tuple(written)))


def plugin_problems() -> list[str]:
    """What is wrong with what installed packages bring; runtimes and formats are tried one by one instead."""
    tried = (RUNTIMES, EXPORTERS)
    registries = (ALGORITHMS, SAMPLING_RULES, DISTILLATION_LOSSES, QUANTITIES, SOURCES, PROXIES, SPACES)
    problems = [str(problem) for registry in registries for problem in registry.problems().values()]
    return problems + [str(registry.problems()[name]) for registry in tried for name in registry.own if name in registry.problems()]


def try_runtime(name: str) -> Probe:
    """What a runtime says when it is tried, or why a package's cannot even be loaded."""
    try:
        return get_runtime(name).probe()
    except PluginError as error:
        return Probe(False, error.message, error.hint)


def _measures(name: str) -> bool | None:
    """False of a runtime that loads files of its own format alone, None of all others."""
    runtime = RUNTIMES.usable().get(name)
    return None if runtime is None or {"onnx", "module"}.intersection(runtime.accepts) else False


def try_format(name: str) -> Probe:
    """Write a tiny net in a format, in a folder that is thrown away."""
    import tempfile

    import torch

    from edgenas.deploy.contracts import ExportSpec
    from edgenas.deploy.plugins import get_exporter

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2)).eval()
    with tempfile.TemporaryDirectory() as folder:
        try:
            files = get_exporter(name).export(model, ExportSpec((3, 8, 8)), Path(folder))
        except EdgeNASError as error:
            return Probe(False, error.message, error.hint)
        except ImportError as error:
            return Probe(False, str(error), "pip install --force-reinstall edgenas")
        targets = sorted({target for file in files for target in file.targets})
        where = f" for {', '.join(targets)}" if targets else ""
        return Probe(True, f"wrote a tiny net as {files[0].kind}{where}, to be run by {files[0].runtime}")
