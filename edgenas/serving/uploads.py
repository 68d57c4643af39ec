"""Images that strangers send: read up to a limit, decoded only if they are of a known kind and size."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from functools import cache

from PIL import Image, UnidentifiedImageError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from edgenas.data.files import decode_bytes
from edgenas.data.quiet import quietly
from edgenas.errors import DataError, MissingBackendError

FORMATS = ("BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP", "AVIF", "JPEG2000")  # none runs another program
RAW = ("image/", "application/octet-stream", "application/dicom")
MAX_FIELDS = 16
MAX_FIELD_BYTES = 4096
MAX_NAME = 255
PATIENCE = 4  # times the limit that is read and thrown away, so that a client hears why it is refused


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server takes.

    Attributes:
        max_bytes: of a request.
        max_pixels: of an image.
        max_files: of a request.
        most_waiting: requests for predictions at a time, those being answered included.
        body_s: seconds that a request may take to arrive.
    """

    max_bytes: int = 32 << 20
    max_pixels: int = 40_000_000
    max_files: int = 32
    most_waiting: int = 32
    body_s: float = 30.0


class RefusedError(Exception):
    """A request or an image that is answered with a status of HTTP, and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it was sent."""

    name: str
    data: bytes


async def uploads_of(request: Request, limits: Limits) -> list[Upload]:
    """The files of a request: the parts of a form, or its whole body.

    Raises:
        RefusedError: 413 for too much, 415 for another kind of request, 400 for a form that is none, 422 for one without a
            file, 408 for one that takes too long.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(limits.body_s):
            if kind == "multipart/form-data":
                return await _parts(request, limits)
            if kind.startswith(RAW):
                body = b"".join([part async for part in _limited(request, limits)])
                return [Upload(request.query_params.get("name", "image")[:MAX_NAME], body)]
            await _drain(request, limits)
    except TimeoutError as error:
        raise RefusedError(408, f"the request took more than {limits.body_s:g} s to arrive") from error
    except ClientDisconnect as error:
        raise RefusedError(400, "the client went away") from error
    raise RefusedError(415, f"send multipart/form-data with files, or one image as the body, not {kind[:60] or 'nothing'}")


async def _parts(request: Request, limits: Limits) -> list[Upload]:
    parser = MultiPartParser(
        request.headers,
        _limited(request, limits),
        max_files=limits.max_files,
        max_fields=MAX_FIELDS,
        max_part_size=MAX_FIELD_BYTES,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        await _drain(request, limits)
        too_many = "Too many" in error.message
        raise RefusedError(413 if too_many else 400, f"the form cannot be read: {error.message}") from error
    except (KeyError, UnicodeError, ValueError, LookupError) as error:  # of heads that are no heads
        raise RefusedError(400, "the form cannot be read") from error
    try:
        files = [each for _, each in form.multi_items() if isinstance(each, UploadFile)]
        if not files:
            raise RefusedError(422, "the form holds no file")
        return [Upload((file.filename or "image")[:MAX_NAME], await file.read()) for file in files]
    finally:
        await form.close()


async def _limited(request: Request, limits: Limits) -> AsyncGenerator[bytes, None]:
    """The body of a request part by part.

    Raises:
        RefusedError: 413 once it is known to be too large.
    """
    words = f"the request is larger than {limits.max_bytes / (1 << 20):g} MB"
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > limits.max_bytes:
        await _drain(request, limits)
        raise RefusedError(413, words)
    num_bytes = 0
    stream = request.stream()
    async for part in stream:
        num_bytes += len(part)
        if num_bytes > limits.max_bytes:
            await _drain_stream(stream, limits)
            raise RefusedError(413, words)
        yield part


async def _drain(request: Request, limits: Limits) -> None:
    """Throw away what is still coming, up to a limit."""
    try:
        await _drain_stream(request.stream(), limits)
    except RuntimeError:  # all of it has come
        return


async def _drain_stream(stream: AsyncIterator[bytes], limits: Limits) -> None:
    num_bytes = 0
    async for part in stream:
        num_bytes += len(part)
        if num_bytes > PATIENCE * limits.max_bytes:
            return


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def decoded(upload: Upload, max_pixels: int) -> Image.Image:
    """The image of a file.

    Raises:
        RefusedError: 415 for what is no image of a known kind, 413 for too many pixels, 422 for an empty or a damaged one.
    """
    if not upload.data:
        raise RefusedError(422, "the file is empty")
    try:
        if upload.data[128:132] != b"DICM":
            with quietly(), Image.open(io.BytesIO(upload.data), formats=_formats()) as image:
                width, height = image.size
            if width * height > max_pixels:
                raise RefusedError(413, f"{width} x {height} pixels; at most {max_pixels:,} are decoded")
        return decode_bytes(upload.data, "the image")
    except UnidentifiedImageError as error:
        raise RefusedError(415, "the file is no image of a known kind") from error
    except Image.DecompressionBombError as error:
        raise RefusedError(413, f"too many pixels; at most {max_pixels:,} are decoded") from error
    except MissingBackendError as error:
        raise RefusedError(415, error.message) from error
    except DataError as error:
        raise RefusedError(422, error.message) from error
    except (OSError, ValueError, SyntaxError, ArithmeticError, LookupError, TypeError, AttributeError, MemoryError) as error:
        raise RefusedError(422, "the image is damaged") from error
