"""The style guide's rules about layers, light imports and packaging."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHARED = {"errors", "escaping", "renamed", "registries", "fields", "percents", "stats", "runs", "records"}
BELOW_PROJECT = {"training", "latency", "search", "proxies", "deploy", "graphs", "data", "supernets", "costs", "spaces", "config"}
ARROWS: dict[str, set[str]] = {
    "cli": {"recipes", "report", "offering", "remote"},
    "recipes": {"serving", "predicting", "project", "remote", *BELOW_PROJECT},
    "predicting": {"deploy", "data"},
    "serving": {"predicting", "deploy", "data"},
    "project": {"predicting", "remote", *BELOW_PROJECT},
    "training": {"data", "supernets", "costs", "spaces"},
    "latency": {"deploy", "graphs", "supernets", "costs", "spaces", "portable"},
    "search": {"costs", "spaces"},
    "proxies": {"supernets", "spaces"},
    "costs": {"spaces"},
    "supernets": {"spaces", "portable"},
    "spaces": set(),
    "deploy": {"portable", "graphs"},
    "graphs": set(),
    "data": {"spaces"},
    "portable": set(),
    "remote": {"portable"},
    "report": set(),
    "config": set(),
    "offering": {"deploy", "project", "spaces"},
    "errors": set(),
    "renamed": set(),
    "escaping": set(),
    "registries": set(),
    "fields": set(),
    "percents": set(),
    "stats": set(),
    "runs": {"portable"},
    "records": set(),
    "__main__": {"cli"},
    "testing": {"deploy", "data", "search", "spaces", "supernets", "costs", "latency", "training"},
    "exporters": {"deploy", "portable", "graphs"},
}
NO_TORCH = ("spaces", "costs", "search")
ROOMS = ("timing", "fit", "nets", "table", "profiling", "measuring", "kit")  # of latency, from the ground up
TAKE_RECORDS = ("recipes", "project", "predicting", "serving", "latency", "deploy", "search", "remote")
OPEN_MAPPINGS = {  # whose keys are data or an open set: names of splits, of files, of costs, of an exporter's notes, of settings
    "Literal",
    "DEFAULT_FRACTIONS",
    "added",
    "arrays",
    "cost_models",
    "counts",
    "flags",
    "hashes",
    "merged",
    "modules",
    "notes",
    "outputs",
    "programs",
    "rankings_of",
    "select_top1",
    "settings",
    "sizes",
    "splits",
    "starts",
    "tau",
    "typical",
}
READERS = {  # of files from outside, and programs that stand alone in what is shipped
    "deploy/_build_engine.py",
    "deploy/_example.py",
    "deploy/_manifest.py",
    "deploy/sbom.py",
    "latency/kit/results.py",
    "latency/table/compare.py",
    "latency/table/content.py",
    "latency/table/plausible.py",
    "latency/timing/duty.py",
    "project/named_recipes/__init__.py",
    "project/rival_nets.py",
    "remote/line.py",
    "remote/device.py",
    "remote/address.py",
}
MAPPED = {"edgenas.exporters": "exporters", "edgenas.latency_tables": "latency_tables"}


def modules() -> Iterator[tuple[str, Path]]:
    """Layer and file of every module of the project."""
    for path in sorted((ROOT / "edgenas").rglob("*.py")):
        parts = path.relative_to(ROOT / "edgenas").parts
        yield (parts[0] if len(parts) > 1 else path.stem), path
    for path in sorted((ROOT / "exporters").glob("*.py")):
        yield "exporters", path


Import = ast.Import | ast.ImportFrom
Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Parsed:
    """What the rules ask of a module; its tree, of which these are a small part, is not kept."""

    imports: list[Import]
    at_the_top: list[Import]
    functions: set[str]
    opened: list[int]
    fragments: list[int]


@cache
def parsed(path: Path) -> Parsed:
    """Imports anywhere and at the top, functions of the top level, lines that open files, docstrings that are no sentence."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    return Parsed(
        [node for node in nodes if isinstance(node, Import)],
        [node for node in tree.body if isinstance(node, Import)],
        {node.name for node in tree.body if isinstance(node, ast.FunctionDef)},
        [node.lineno for node in nodes if isinstance(node, ast.Call) and opens(node)],
        [node.lineno for node in nodes if isinstance(node, Documented) and (ast.get_docstring(node) or "").startswith("Of ")],
    )


@cache
def imported(path: Path, *, top_level_only: bool = False) -> frozenset[str]:
    """Absolute names that a module imports, outside of TYPE_CHECKING blocks where only its top level is asked for."""
    names: set[str] = set()
    for node in parsed(path).at_the_top if top_level_only else parsed(path).imports:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= (
                {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
                if node.module == "edgenas"
                else {node.module}
            )
    return frozenset(names)


ALL = list(modules())
RECIPES = {f"edgenas.recipes.{path.stem}" for layer, path in ALL if layer == "recipes" and path.stem != "__init__"}


def test_imports_follow_the_arrows() -> None:
    wrong = []
    for layer, path in ALL:
        if layer != "__init__":
            allowed = ARROWS[layer] | SHARED | {layer, "__version__"}
            used = {name.split(".")[1] for name in imported(path) if name.startswith("edgenas.")}
            wrong += [f"{path.relative_to(ROOT)} imports {name}" for name in sorted(used - allowed)]
    assert wrong == []


def module_name(path: Path) -> str:
    """The dotted name of a file in ``edgenas/``; a package's is that of its door."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(path: Path, known: set[str]) -> set[str]:
    """Which of the ``known`` modules a file imports, wherever in it, for type checking alone too."""
    found: set[str] = set()
    for node in parsed(path).imports:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & known
            found |= inner or {node.module}
    return (found & known) - {module_name(path)}


def circles(graph: Mapping[str, set[str]]) -> list[set[str]]:
    """Sets of two or more that lead to each other."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            fresh = graph.get(ahead.pop(), set()) - seen
            seen |= fresh
            ahead += fresh
        reached[start] = seen
    joined = {frozenset({start, *(name for name in seen if start in reached.get(name, set()))}) for start, seen in reached.items()}
    return [set(names) for names in joined if len(names) > 1]


@cache
def import_graph() -> dict[str, set[str]]:
    """What every module of ``edgenas/`` imports of ``edgenas/``; its front door, which imports when it is asked, is left out."""
    paths = {module_name(path): path for layer, path in ALL if path.is_relative_to(ROOT / "edgenas") and layer != "__init__"}
    return {name: imported_modules(path, set(paths)) for name, path in paths.items()}


def test_a_circle_is_found_and_a_chain_is_none() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [{"b", "c"}]


def test_modules_do_not_import_each_other_in_circles() -> None:
    assert circles(import_graph()) == []


def test_packages_do_not_import_each_other_in_circles() -> None:
    packages = {module_name(path) for _, path in ALL if path.name == "__init__.py"}

    def package(name: str) -> str:
        return name if name in packages else name.rpartition(".")[0]

    graph: dict[str, set[str]] = {}
    for name, used in import_graph().items():
        own = package(name)
        if own != "edgenas":
            graph[own] = graph.get(own, set()) | ({package(other) for other in used} - {own, "edgenas"})
    assert not circles(graph), circles(graph)


def test_rooms_of_latency_are_entered_by_their_doors_and_stand_on_each_other() -> None:
    for _, path in ALL:
        own = path.relative_to(ROOT).parts
        here = own[2] if own[:2] == ("edgenas", "latency") and len(own) > 3 else None
        for name in imported(path):
            parts = name.split(".")
            if parts[:2] != ["edgenas", "latency"] or len(parts) < 3 or parts[2] == here:
                continue
            assert len(parts) == 3, f"{path} imports {name}: take {'.'.join(parts[:3])}"
            assert here is None or ROOMS.index(parts[2]) < ROOMS.index(here), f"{path} imports {name}"


def test_the_ground_floor_needs_python_3_8_and_its_library_alone() -> None:
    for layer, path in ALL:
        if layer == "portable":
            ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
            others = {name for name in imported(path) if name.split(".")[0] not in sys.stdlib_module_names}
            assert all(name.startswith("edgenas.portable") for name in others), (path, others)


def test_the_ground_floor_is_imported_without_numpy() -> None:
    names = [module_name(path) for layer, path in ALL if layer == "portable"]
    script = f"import sys, importlib; [importlib.import_module(name) for name in {names}]; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"


def test_nothing_imports_the_bare_names_of_mapped_folders() -> None:
    for _, path in ALL:
        assert not {name.split(".")[0] for name in imported(path)} & {"exporters", "latency_tables", "tests"}, path


def test_only_the_command_line_knows_click_and_only_it_and_report_know_rich() -> None:
    for layer, path in ALL:
        roots = {name.split(".")[0] for name in imported(path)}
        assert "click" not in roots or layer == "cli", path
        assert "rich" not in roots or layer in ("cli", "report"), path


@pytest.mark.parametrize("layer", NO_TORCH)
def test_spaces_costs_and_search_need_no_torch(layer: str) -> None:
    for found, path in ALL:
        if found == layer:
            assert "torch" not in {name.split(".")[0] for name in imported(path)}, path


def test_report_reads_fields_of_records_and_no_keys() -> None:
    for layer, path in ALL:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if layer == "report" else ():
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
                assert isinstance(node.value, ast.Attribute), f"{path}:{node.lineno}"
                assert node.value.attr == "outputs", f"{path}:{node.lineno}"


def test_results_are_records_whose_fields_are_read_and_no_keys() -> None:
    wrong = []
    for layer, path in ALL:
        name = path.relative_to(ROOT / "edgenas").as_posix() if layer in TAKE_RECORDS else ""
        if not name or name in READERS or path.stem.startswith("script_"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                not isinstance(node, ast.Subscript)
                or not isinstance(node.ctx, ast.Load)
                or not isinstance(node.slice, ast.Constant)
            ):
                continue
            if isinstance(node.slice.value, str) and last_name(node.value) not in OPEN_MAPPINGS:
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}")
    assert wrong == []


def last_name(node: ast.expr) -> str:
    """The name that an expression ends in: of ``images.splits`` the last one, of a call or a subscript that of what is asked."""
    match node:
        case ast.Call(func=inner) | ast.Subscript(value=inner):
            return last_name(inner)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def test_functions_have_forty_lines_at_most_beside_their_docstrings() -> None:
    wrong = []
    for _, path in ALL:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            first = node.body[0]
            said = (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(node) is not None else 0
            if (node.end_lineno or 0) - node.lineno + 1 - said > 40:
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert wrong == []


@pytest.mark.parametrize("path", [path for layer, path in ALL if layer == "recipes" and path.stem != "__init__"], ids=str)
def test_recipes_are_commands_and_take_no_other_apart(path: Path) -> None:
    assert any(name == "run" or name.startswith("run_") for name in parsed(path).functions), path
    within = {
        "demo": None,
        "run": None,
        "profile": {"kit", "again", "remote"},
        "remote": {"kit"},
        "table_check": {"tables"},
    }  # commands that others are parts of
    used = {name.split(".")[2] for name in imported_modules(path, RECIPES)}
    allowed = within.get(path.stem, set())
    assert allowed is None or used <= allowed, f"{path} imports {sorted(used)}"


def fields_alone(function: ast.FunctionDef, name: str) -> set[str] | None:
    """The fields that a function reads of an argument; None where it has no such, or hands it on whole."""
    if name not in {each.arg for each in (*function.args.args, *function.args.kwonlyargs)}:
        return None
    nodes = list(ast.walk(function))
    fields = [
        node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    ]
    uses = [node for node in nodes if isinstance(node, ast.Name) and node.id == name]
    return {node.attr for node in fields} if len(fields) == len(uses) else None


def test_no_function_takes_a_project_to_read_one_field_of_it() -> None:
    wrong = []
    for layer, path in ALL:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if layer in ("recipes", "project") else ():
            fields = fields_alone(node, "project") if isinstance(node, ast.FunctionDef) else None
            if isinstance(node, ast.FunctionDef) and fields is not None and len(fields) < 2:
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} takes a project for {sorted(fields)}")
    assert wrong == []


def test_runtimes_that_may_be_absent_are_imported_inside_functions() -> None:
    for _, path in ALL:
        roots = {name.split(".")[0] for name in imported(path, top_level_only=True)}
        assert not roots & {"tensorrt", "tensorrt_rtx", "onnxruntime", "openvino", "pynvml", "fvcore", "cv2"}, path


def test_command_modules_import_only_click_and_errors_at_the_top() -> None:
    standard = set(sys.stdlib_module_names)
    for layer, path in ALL:
        if layer == "cli":
            roots = {name for name in imported(path, top_level_only=True) if name.split(".")[0] not in standard}
            assert {name for name in roots if not name.startswith("edgenas.cli")} <= {"click", "edgenas.errors"}, path


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from edgenas.cli import cli\n"
        "try: cli.main(['--help'], standalone_mode=False)\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'scipy', 'rich', 'onnx', 'timm'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "profile" in done.stdout


def test_every_package_folder_is_listed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    on_disk = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "edgenas").rglob("__init__.py")}
    assert set(settings["packages"]) == on_disk | set(MAPPED)
    for package, folder in MAPPED.items():
        assert settings["package-dir"][package] == folder
        assert (ROOT / folder / "__init__.py").is_file()


def test_every_entry_point_names_something_that_exists() -> None:
    points = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    for group in points.values():
        for target in group.values():
            module, _, name = target.partition(":")
            path = ROOT / "exporters" / f"{module.rsplit('.', 1)[1]}.py"
            assert name in {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)}, target


# Calls that open files by themselves, and why they may: everything else from outside goes through `runs.outside`.
OPENS: dict[str, str] = {
    "portable/outside.py": "the reader",
    "portable/facts.py": "the system's own files",
    "portable/journal.py": "writes its own file, which it opened by the reader",
    "portable/sealing.py": "writes",
    "runs/files.py": "writes; hashes what was checked to be regular",
    "runs/folder.py": "a lock that it made",
    "training/checkpoints.py": "safetensors opens by name, after `require_regular`",
    "training/headers.py": "safetensors opens by name, after `require_regular`",
    "training/foreign.py": "PyTorch opens by name, after a check that it is regular",
    "training/outside.py": "ONNX opens by name, after `require_regular`",
    "supernets/autoformer_files.py": "PyTorch opens by name",
    "deploy/_apart.py": "/proc of a process that it started",
    "deploy/_example_cpp.py": "a packaged file",
    "deploy/_example.py": "stands alone beside an artefact, without edgenas",
    "deploy/_build_engine.py": "stands alone beside an artefact, without edgenas",
    "deploy/_placing.py": "what was written just before",
    "deploy/artefact.py": "packaged files",
    "serving/app.py": "a packaged file",
    "serving/uploads.py": "Pillow opens bytes that came by HTTP",
    "deploy/layers.py": "a file that was loaded just before",
    "deploy/recorded.py": "bytes of the reader, whose sizes unpacked were compared with the manifest",
    "data/deep.py": "an image once more that the reader of images has opened and found regular",
    "data/files.py": "Pillow opens by name, after a check that it is regular",
    "project/comparing/outsiders.py": "a file that was loaded just before",
    "project/searching/proof_workers.py": "a lock that it made",
    "project/searching/tracing_workers.py": "/proc of processes of this machine",
    "project/staging.py": "what an interrupted export wrote itself, by hash",
    "cli/speaking.py": "the null device",
    "cli/predict.py": "writes the table that was asked for",
    "report/page/document.py": "packaged files",
    "exporters/tensorrt.py": "the cache of timings that it wrote itself",
    "latency/nets/compose.py": "files that an exporter wrote just before",
    "latency/measuring/chains.py": "files that an exporter wrote just before",
    "latency/measuring/workshop.py": "files that an exporter wrote just before",
    "latency/kit/pack.py": "packaged files, and a kit that it wrote itself",
    "remote/agent.py": "runs on the device, on its own files and those that it was sent",
    "remote/job.py": "files that it is given to send",
    "remote/line.py": "a packaged file",
    "latency/kit/script_runners.py": "runs on the device, on the kit's own files",
    "latency/kit/script_files.py": "runs on the device: the null device, and golden images that it was sent",
}
READS = {"read_text", "read_bytes", "open", "load_file", "safe_open"}
LIBRARIES = {("np", "load"), ("torch", "load"), ("onnx", "load"), ("gzip", "open"), ("json", "load"), ("tomllib", "load")}


def opens(node: ast.Call) -> bool:
    """Whether a file is opened by its path without the reader, as far as that is seen by names."""
    call = node.func
    if isinstance(call, ast.Name):
        return call.id in ("open", "load_file", "safe_open")
    if not isinstance(call, ast.Attribute):
        return False
    owner = call.value.id if isinstance(call.value, ast.Name) else ""
    is_class = owner[:1].isupper() and owner not in ("Image", "Path")  # a class method of ours, as `Bench.open`
    of_library = (owner, call.attr) in LIBRARIES
    return of_library or (call.attr in READS and not is_class and not (call.attr == "open" and owner in OWN_OPENS))


OWN_OPENS = {"_Divided", "archive", "self", "kind", "tarfile", "zipfile"}  # members of archives in memory, and methods of ours


def test_docstrings_say_what_something_is_and_not_of_what_alone() -> None:
    assert [f"{path.relative_to(ROOT)}:{line}" for _, path in ALL for line in parsed(path).fragments] == []


def test_files_from_outside_are_opened_by_the_reader_alone() -> None:
    wrong = []
    for layer, path in ALL:
        name = str(path.relative_to(ROOT / "edgenas" if layer != "exporters" else ROOT))
        if layer != "testing" and name not in OPENS and (lines := parsed(path).opened):
            wrong.append(f"{path} opens files at lines {lines}; see edgenas.runs.outside")
    assert wrong == []


def test_every_exception_from_the_reader_is_still_one() -> None:
    for name in OPENS:
        assert parsed(ROOT / name if name.startswith("exporters/") else ROOT / "edgenas" / name).opened, (
            f"{name} opens nothing any more"
        )
