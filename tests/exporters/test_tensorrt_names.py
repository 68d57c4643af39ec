"""What we call of TensorRT 10, 11 and TensorRT-RTX is there, with the arguments that we give it.

No machine of the tests has all three. Names of TensorRT 10 and 11 come from `dir` of their bindings (`tensorrt_names.json`, made by
importing the wheels with empty libraries behind them), those of TensorRT-RTX from the package, signatures from `tensorrt-stubs`.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edgenas.exporters import _inspecting, _trt, tensorrt, tensorrt_rtx

FIXTURES = Path(__file__).parents[1] / "fixtures"
NAMES: dict[str, dict[str, list[str] | None]] = json.loads((FIXTURES / "tensorrt_names.json").read_text())
MODULES = {Path(module.__file__ or ""): module for module in (_trt, _inspecting, tensorrt, tensorrt_rtx)}
# what variables of these names are, in all of these modules
KINDS = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "cache": "ITimingCache",
    "profile": "IOptimizationProfile",
    "entrance": "ITensor",
    "inspector": "EngineInspector",
    "engine": "ICudaEngine",
    "_engine": "ICudaEngine",
    "_context": "IExecutionContext",
    "_runtime": "Runtime",
    "runtime": "Runtime",
}
# only TensorRT-RTX has them: asked for where it alone is used, or after hasattr
RTX_ALONE = {
    "ComputeCapability",
    "CudaGraphStrategy",
    "EngineValidity",
    "EngineInvalidityDiagnostics",
    "Runtime.get_engine_validity",
    "Runtime.engine_header_size",
    "IBuilderConfig.num_compute_capabilities",
    "IBuilderConfig.set_compute_capability",
    "IBuilderConfig.cuda_graph_strategy",  # of IRuntimeConfig, which is called config as well
}


def used() -> set[tuple[str, ...]]:
    """(class,) or (class, member) of everything that our modules take from the package or call on its objects."""
    return {chain for path in MODULES for node in ast.walk(ast.parse(path.read_text())) for chain in chains(node)}


def chains(node: ast.AST) -> Iterator[tuple[str, ...]]:
    if not isinstance(node, ast.Attribute):
        return
    words = [node.attr]
    inner: ast.expr = node.value
    while isinstance(inner, ast.Attribute):
        words.insert(0, inner.attr)
        inner = inner.value
    base = inner.id if isinstance(inner, ast.Name) else ""
    words = [base, *words]
    words = words[: next((at for at, word in enumerate(words) if word.startswith("__")), None)]  # __members__.items is Python's
    if len(words) < 2:
        return
    if base == "self" and words[1] == "_trt":
        words = ["trt", *words[2:]]
    elif base == "self" and len(words) > 2:
        words = words[1:]
    if words[0] in ("trt", "flags") and len(words) > 1:
        yield tuple(words[1:3]) if words[0] == "trt" else ("NetworkDefinitionCreationFlag", words[1])
    elif words[0] in KINDS and len(words) > 1:
        yield (KINDS[words[0]], words[1])


def is_there(chain: tuple[str, ...], names: dict[str, list[str] | None]) -> bool:
    """Whether a version has it; instances of `IRuntimeConfig` are called ``config`` as well."""
    known = names.get(chain[0])
    if len(chain) == 1 or known is None:
        return known is not None
    runtime_config = names.get("IRuntimeConfig") if chain[0] == "IBuilderConfig" else None
    return chain[1] in known or chain[1] in (runtime_config or ())


def test_the_walk_sees_what_is_used() -> None:
    found = used()
    assert ("BuilderFlag",) not in found, "precision comes from the file's types alone"
    assert {("Builder", "create_network"), ("ProfilingVerbosity", "DETAILED"), ("ICudaEngine", "create_engine_inspector")} <= found
    assert len(found) > 40


@pytest.mark.parametrize("version", [name for name in NAMES if "rtx" not in name])
def test_everything_used_is_in_tensorrt(version: str) -> None:
    missing = {chain for chain in used() if not is_there(chain, NAMES[version])}
    assert {".".join(chain) for chain in missing if chain[0] not in RTX_ALONE} <= RTX_ALONE


def test_everything_used_is_in_tensorrt_rtx() -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    for chain in used():
        if chain[0] in KINDS.values() and len(chain) == 2:
            kind: Any = getattr(rtx, chain[0])
            assert hasattr(kind, chain[1]) or (chain[0] == "IBuilderConfig" and hasattr(rtx.IRuntimeConfig, chain[1])), chain
        else:
            holder = rtx
            for word in chain:
                assert hasattr(holder, word), chain
                holder = getattr(holder, word)


def test_what_tensorrt_11_removed_is_used_nowhere() -> None:
    old, new = (next(names for version, names in NAMES.items() if f" {number}." in version) for number in (10, 11))
    gone = {(kind, name) for kind, members in old.items() for name in set(members or ()) - set(new[kind] or ())}
    assert ("BuilderFlag", "FP16") in gone
    assert gone.isdisjoint(used())


class Unwrap(ast.NodeTransformer):
    """The package as an import instead of an argument, so that mypy knows its types."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        for argument in node.args.args:
            if argument.arg == "trt":
                argument.arg = "package"
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id == "self" and node.attr == "_trt" and isinstance(node.ctx, ast.Load):
            return ast.copy_location(ast.Name("trt", ast.Load()), node)
        return node


def typed_copy(source: str) -> str:
    tree = Unwrap().visit(ast.parse(source))
    text = ast.unparse(tree)
    return (
        text.replace("import logging\n", "import logging\nimport tensorrt as trt\n", 1)
        if "import logging" in text
        else (text.replace("import json\n", "import json\nimport tensorrt as trt\n", 1))
    )


def check_types(folder: Path, sources: dict[str, str]) -> str:
    """What mypy says of these modules with the stubs, nothing else being followed."""
    for name, source in sources.items():
        (folder / name).write_text(source)
    settings = folder / "mypy.ini"
    settings.write_text(
        "[mypy]\nfollow_imports = skip\nignore_missing_imports = True\ncheck_untyped_defs = True\n"
        "[mypy-tensorrt.*]\nfollow_imports = normal\n"
    )
    command = [sys.executable, "-m", "mypy", "--config-file", str(settings), "--cache-dir", str(folder / "cache"), *sources]
    environment = {"MYPYPATH": str(FIXTURES / "tensorrt_stubs"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_calls_of_tensorrt_10_have_the_arguments_that_it_takes(tmp_path: Path) -> None:
    sources = {f"checked{path.name}": typed_copy(path.read_text()) for path in (Path(_trt.__file__), Path(_inspecting.__file__))}
    right = sources["checked_trt.py"]
    wrong = right.replace("network.get_layer(i)", "network.get_layer(str(i))").replace("entrance.name", "entrance.label")
    said = check_types(tmp_path, sources | {"wrong_trt.py": wrong}).splitlines()
    errors = {line.partition(" ")[2] for line in said if line.startswith("checked")}
    assert errors == {'error: Module has no attribute "ComputeCapability"  [attr-defined]'}  # of TensorRT-RTX alone
    found = " ".join(line for line in said if line.startswith("wrong"))
    assert '"get_layer" of "INetworkDefinition" has incompatible type "str"' in found
    assert '"ITensor" has no attribute "label"' in found


def test_the_modules_are_those_that_use_it() -> None:
    folder = Path(_trt.__file__).parent
    found = {path for path in folder.glob("*.py") if "trt." in path.read_text()}
    assert {path.name for path in found} >= {path.name for path in MODULES}
