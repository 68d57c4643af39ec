"""A kit: a plan, the graphs of its nets and one script, in a zip for a device that has no PyTorch."""

from __future__ import annotations

import ast
import hashlib
import json
import lzma
import zipfile
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgenas import __version__
from edgenas.costs import decompose
from edgenas.errors import LatencyTableError
from edgenas.latency.kit.nets import Parts, Store
from edgenas.latency.kit.script_base import Weights
from edgenas.latency.nets import Chain, MeasuringSettings, TimingPlan, make_plan, thinned
from edgenas.latency.table import space_hash
from edgenas.latency.timing import TimingSettings
from edgenas.portable.sealing import sealed
from edgenas.records import KitContent, KitRequest, KitSettings, KitShape, KitShapes, SessionOrders, SpaceChoices, TaskFacts
from edgenas.runs import Progress, atomic_path, sha256_json
from edgenas.spaces import SearchSpace, Task

if TYPE_CHECKING:
    import onnx

SCHEMA_VERSION = 1  # 1: first
KIND = "edgenas kit"
MAX_BYTES = 50 << 20
SCRIPTS = (
    *(
        f"portable/{name}.py"
        for name in ("facts", "quota", "memory", "outside", "sealing", "journal", "machine", "budget", "calls", "rounds")
    ),
    *(f"latency/kit/script_{name}.py" for name in ("base", "runners", "backends", "measure")),
)
RUNTIMES: dict[str, Literal["cpu", "cuda"]] = {"onnxruntime-cpu": "cpu", "tensorrt": "cuda"}


@dataclass(frozen=True, slots=True)
class Request:
    """What a kit is to measure.

    Attributes:
        runtime: a key of ``RUNTIMES``.
        threads: on a CPU; None takes all usable cores of the device.
        seed: draws nets and orders.
        rewrites: of the graphs.
    """

    space: SearchSpace
    task: Task
    runtime: str
    precision: str
    batch_size: int
    threads: int | None
    opset: int
    seed: int
    settings: MeasuringSettings
    rewrites: tuple[str, ...] = ()

    @property
    def facts(self) -> KitRequest:
        """Everything that the plan follows from; `of` reads it back."""
        return KitRequest(
            schema_version=SCHEMA_VERSION,
            edgenas=__version__,
            space=SpaceChoices(name=self.space.name, sha256=space_hash(self.space)),
            task=TaskFacts(**asdict(self.task)),
            runtime=self.runtime,
            precision=self.precision,
            batch_size=self.batch_size,
            threads=self.threads,
            opset=self.opset,
            seed=self.seed,
            rewrites=self.rewrites or None,
            settings=KitSettings.from_json(asdict(self.settings)),
        )

    def as_json(self) -> dict[str, Any]:
        """`facts`, as a plan and results hold them."""
        return self.facts.as_json()

    @classmethod
    def of(cls, facts: KitRequest, space: SearchSpace) -> Request:
        """Read what `facts` gave, for a space that the caller has compared.

        Raises:
            ValueError: if a setting is out of its range.
        """
        settings = facts.settings.as_json() | {"timing": TimingSettings(**facts.settings.timing.as_json())}
        return cls(
            space=space,
            task=Task(**facts.task.as_json()),
            runtime=facts.runtime,
            precision=facts.precision,
            batch_size=facts.batch_size,
            threads=facts.threads,
            opset=facts.opset,
            seed=facts.seed,
            settings=MeasuringSettings(**settings),
            rewrites=facts.rewrites or (),
        )


@dataclass(frozen=True, slots=True)
class KitPlan:
    """What a kit holds and in which order it is timed.

    Attributes:
        request: what was asked for.
        plan: everything that is timed without a budget.
        thin: what is timed of it at least.
        chains: different nets, in the order of ``content.nets``.
        content: what the script there is told.
    """

    request: Request
    plan: TimingPlan
    thin: TimingPlan
    chains: tuple[Chain, ...]
    content: KitContent

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of the content."""
        return sha256_json(self.content)


def kit_plan(request: Request) -> KitPlan:
    """The plan that `latency.profile` makes of the same settings, its nets numbered and its orders drawn."""
    rng = np.random.default_rng(request.seed)
    space, task = request.space, request.task
    plan = make_plan(space, task, request.settings, rng=rng)
    thin = thinned(plan, decompose(space, task)) if RUNTIMES[request.runtime] == "cpu" else plan
    chains = tuple(dict.fromkeys((*plan.first_chains, plan.reference)))
    number = {chain: position for position, chain in enumerate(chains)}
    sessions = rng.bit_generator.seed_seq.spawn(2)  # type: ignore[attr-defined] # as Generator.spawn, but to begin with twice

    def orders(timed: Sequence[Chain], sequence: np.random.SeedSequence) -> tuple[tuple[int, ...], ...]:
        own = np.random.default_rng(sequence)
        return tuple(tuple(own.permutation(len(timed)).tolist()) for _ in range(request.settings.timing.visits))

    def shape(part: TimingPlan) -> KitShape:
        return KitShape(
            first=tuple(number[chain] for chain in part.first_chains),
            second=tuple(number[chain] for chain in part.second_chains),
            orders=SessionOrders(first=orders(part.first_chains, sessions[0]), second=orders(part.second_chains, sessions[1])),
        )

    content = KitContent(
        request=request.facts,
        nets=tuple(net_name(chain) for chain in chains),
        reference=number[plan.reference],
        shapes=KitShapes(full=shape(plan), thin=shape(thin)),
    )
    return KitPlan(request, plan, thin, chains, content)


def net_name(chain: Sequence[Hashable]) -> str:
    """What the files of a net are called."""
    return hashlib.sha256(repr(tuple(chain)).encode()).hexdigest()[:16]


def write_kit(path: Path, planned: KitPlan, graph: Callable[[Chain], onnx.ModelProto]) -> Iterator[Progress]:
    """Write the zip, with progress.

    Args:
        path: of the zip.
        planned: what is in it.
        graph: the ONNX graph of a chain in the precision that is timed; it is changed.

    Raises:
        LatencyTableError: if the kit would be larger than 50 MB.
        RunFolderError: if it cannot be written.
    """
    store, nets = Store(), dict[str, Parts]()
    for done, (name, chain) in enumerate(zip(planned.content.nets, planned.chains, strict=True), 1):
        nets[name] = store.take_apart(graph(chain))
        yield Progress("packing nets", done, len(planned.chains))
    members = {"graphs.xz": _graphs(nets, store.pieces), "constants.bin": bytes(store.constants)}
    content = {
        "plan": planned.content.as_json(),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in members.items()},
        "weights": {"num": store.num_weights, "sha256": Weights(store.num_weights).sha256()},
    }
    members["plan.json"] = json.dumps(sealed(KIND, content)).encode()
    members["measure.py"] = script().encode()
    with atomic_path(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(_entry(name), data)
        size = temporary.stat().st_size
        if size > MAX_BYTES:
            raise LatencyTableError(
                f"the kit would have {size / 2**20:.0f} MB, more than {MAX_BYTES >> 20}",
                hint="take fewer nets: --set profile.calibration_nets=10, --set profile.validation_nets=10",
            )


def is_kit(path: Path) -> bool:
    """Whether a file is a zip with a plan and the script."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {"plan.json", "measure.py"} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _graphs(nets: Mapping[str, Parts], pieces: Mapping[str, bytes]) -> bytes:
    """What `script_base.Kit` reads: a line that says what nets are made of and where that is, and all pieces, compressed together.

    A component at another place differs by its number alone, which costs hardly anything beside its like.
    """
    places, start = {}, 0
    for name, data in pieces.items():
        places[name] = [start, len(data)]
        start += len(data)
    head = json.dumps({"nets": {name: parts.as_json() for name, parts in nets.items()}, "pieces": places}).encode()
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 4, "dict_size": 32 << 20}]
    return lzma.compress(b"\n".join([head, b"".join(pieces.values())]), filters=filters)


def script(parts: Sequence[str] = SCRIPTS) -> str:
    """``measure.py``, or another script: modules of a device, joined, with the last one's docstring and every import once."""
    plain: set[str] = set()
    named: dict[str, set[str]] = {}
    bodies, docstring = [], ""
    for name in parts:
        text = files("edgenas").joinpath(name).read_text(encoding="utf-8")
        tree, last = ast.parse(text), 0
        docstring = ast.get_docstring(tree, clean=False) or ""
        for node in tree.body:
            if isinstance(node, ast.Import):
                plain |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith(("edgenas", "__future__")):
                named.setdefault(str(node.module), set()).update(alias.name for alias in node.names)
            if isinstance(node, ast.Import | ast.ImportFrom):
                last = node.end_lineno or last
        bodies.append("\n".join(text.splitlines()[last:]).strip("\n"))
    imports = [f"import {module}" for module in sorted(plain)]
    imports += [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(named.items())]
    head = f'"""{docstring}"""\n\nfrom __future__ import annotations\n\n' + "\n".join(imports)
    return "\n\n\n".join([head, *bodies]) + "\n"


def _entry(name: str) -> zipfile.ZipInfo:
    """A member of the zip without the moment it was made, so that equal kits are equal files."""
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry
