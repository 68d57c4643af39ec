"""Names that were used before and lead to what they are called now, so that code of others goes on working for a while."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module


def forward(package: str, renamed: Mapping[str, str], *, stacklevel: int = 2) -> Callable[[str], object]:
    """A module's ``__getattr__`` that finds earlier names, with a `DeprecationWarning` that says the new one.

    Args:
        package: whose names they were.
        renamed: by earlier name, the module it is now, or ``module:name``.
        stacklevel: of the line that the warning names; 2 is where the name was asked for, where this is the ``__getattr__`` itself.
    """

    def find(name: str) -> object:
        now = renamed.get(name)
        if now is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = now.partition(":")
        warnings.warn(f"{package}.{name} is now {now.replace(':', '.')}", DeprecationWarning, stacklevel=stacklevel)
        return getattr(import_module(module), attribute) if attribute else import_module(module)

    return find
