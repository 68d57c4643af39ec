"""Packages that are installed for a test: a module, and metadata with entry points, in a folder on the path."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgenas import registries

EntryPoints = Mapping[str, Mapping[str, str]]  # module:attribute by group and name


def install(folder: Path, name: str, module: str, entry_points: EntryPoints) -> None:
    """Write a package of one module, called like the package, and its metadata."""
    (folder / f"{name.replace('-', '_')}.py").write_text(module, encoding="utf-8")
    info = folder / f"{name.replace('-', '_')}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n", encoding="utf-8")
    groups = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items()) for group, points in entry_points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")


@contextmanager
def on_the_path(folder: Path) -> Iterator[None]:
    """As if the folder were on PYTHONPATH; what was imported from it is forgotten afterwards."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        registries.forget()
        try:
            yield
        finally:
            for name in set(sys.modules) - before:
                if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
                    del sys.modules[name]
    importlib.invalidate_caches()
    registries.forget()
