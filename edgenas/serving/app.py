"""The application: an upload page, predictions, health, metrics and the manifest."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import time
from collections.abc import Mapping
from importlib.resources import files as package_files
from types import MappingProxyType

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from edgenas import __version__
from edgenas.records import Refusal, ServedAnswer
from edgenas.serving.desk import STOPPING, Desk
from edgenas.serving.metrics import CONTENT_TYPE
from edgenas.serving.uploads import RefusedError, uploads_of

_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
            }
        },
        "image/*": {"schema": {"type": "string", "format": "binary"}},
    },
}
_SECURITY = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def build_app(desk: Desk) -> FastAPI:
    """The application around a desk. It loads nothing from elsewhere, and its page neither."""
    app = FastAPI(title="edgenas serve", version=__version__, docs_url=None, redoc_url=None)
    app.add_exception_handler(HTTPException, _refused)
    page, policy = _page()

    @app.get("/", response_class=HTMLResponse)
    async def upload_page() -> HTMLResponse:
        """A page on which images are dropped."""
        return HTMLResponse(page, headers={**_SECURITY, "Content-Security-Policy": policy})

    @app.post("/predict", openapi_extra={"requestBody": _BODY})
    async def predict(request: Request) -> Response:
        """What the net says of the images of a form, or of the one that is the body."""
        began, status = time.perf_counter(), 500
        try:
            response = await _answered(desk, request)
            status = response.status_code
        finally:
            desk.metrics.request(status, time.perf_counter() - began)
        return response

    _add_state(app, desk)
    return app


def _add_state(app: FastAPI, desk: Desk) -> None:
    """What programs ask a server about itself."""

    @app.get("/health")
    async def health() -> dict[str, str]:
        """That the process is alive."""
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> JSONResponse:
        """Whether requests are taken."""
        return JSONResponse({"status": "ready"} if desk.is_open else {"status": "not ready"}, 200 if desk.is_open else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """What was counted, in Prometheus' text format."""
        return Response(desk.metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/manifest")
    async def manifest() -> JSONResponse:
        """The artefact's manifest."""
        return JSONResponse(desk.predictor.manifest.as_json(), headers=_SECURITY)


async def _answered(desk: Desk, request: Request) -> JSONResponse:
    """What is said to a request for predictions.

    Raises:
        asyncio.CancelledError: if it is broken off for another reason than that the server is being stopped.
    """
    try:
        with desk.admitted():
            answer = await desk.ask(await uploads_of(request, desk.limits))
    except RefusedError as error:
        return _refusal(error.status, error.message, {"Retry-After": "1"} if error.status == 503 else {})
    except asyncio.CancelledError:
        if desk.is_open:
            raise
        return _refusal(503, STOPPING)
    why = Refusal(status=answer.status, message=answer.message) if answer.message else None
    return JSONResponse(ServedAnswer(rows=tuple(answer.rows), error=why).as_json(), answer.status, _SECURITY)


def _refused(request: Request, error: Exception) -> JSONResponse:
    """A path or a method that there is not, in the form of all other refusals."""
    assert isinstance(error, HTTPException)
    return _refusal(error.status_code, error.detail, error.headers or {})


def _refusal(status: int, message: str, headers: Mapping[str, str] = _NO_HEADERS) -> JSONResponse:
    """An answer without a row."""
    answer = ServedAnswer(error=Refusal(status=status, message=message))
    return JSONResponse(answer.as_json(), status, {**_SECURITY, **headers})


def _page() -> tuple[str, str]:
    """The upload page, and a policy that lets a browser run what stands in it and nothing else."""
    html = package_files("edgenas.serving").joinpath("page.html").read_text(encoding="utf-8")
    hashes = {tag: _hash(re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)[0]) for tag in ("style", "script")}
    policy = (
        f"default-src 'none'; style-src 'sha256-{hashes['style']}'; script-src 'sha256-{hashes['script']}'; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html, policy


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
