"""Whether what a server needs is installed."""

from __future__ import annotations

from importlib.util import find_spec

from edgenas.errors import MissingBackendError

NEEDED = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
}


def require_packages() -> None:
    """Check that the packages of the extra ``serve`` are there.

    Raises:
        MissingBackendError: naming those that are not.
    """
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise MissingBackendError(
            f"a server needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            hint="pip install 'edgenas[serve]'",
        )
