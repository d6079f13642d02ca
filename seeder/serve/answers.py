"""HTTP responses of the local server: conditional requests, byte ranges, security headers."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FRESH = {"Cache-Control": "no-cache"}  # pages must show the current state
IMAGES = "'self' data: blob:"
SETTLED = 2.0  # seconds; for younger files a date in whole seconds does not identify a version
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


def policy(images: str = "") -> str:
    """The policy of the pages: nothing is loaded from other hosts, but images from the origin `images` if it is given.

    MapLibre uses workers and images made in the browser.
    """
    return (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:;"
        f" img-src {' '.join(filter(None, (IMAGES, images)))};"
        " connect-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none'"
    )


def respond(
    request: Request, data: bytes, kind: str, headers: Mapping[str, str], *, written: float | None = None
) -> Response:
    """Respond with 200 and `data`, 304 if the client has it, 206 with a requested range, or 416.

    `written` is the time of last write in seconds since 1970, if known. A request for several ranges gets all data, as
    RFC 9110 allows.
    """
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    full = {**headers, "ETag": tag, "Accept-Ranges": "bytes"}
    date = None if written is None or time.time() - written < SETTLED else datetime.fromtimestamp(int(written), UTC)
    if date:
        full["Last-Modified"] = format_datetime(date, usegmt=True)
    if _is_current(request, tag, date):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=full)
    part = _byte_range(request, tag, len(data))
    if part is None:
        return Response(data, headers=full, media_type=kind)
    if not part:
        full["Content-Range"] = f"bytes */{len(data)}"
        return Response(status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=full)
    full["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{len(data)}"
    return Response(data[part.start : part.stop], HTTPStatus.PARTIAL_CONTENT, full, kind)


def _is_current(request: Request, tag: str, date: datetime | None) -> bool:
    """Whether the client's copy is current. Its tags take precedence over its date."""
    tags = request.headers.get("if-none-match")
    if tags is not None:
        return tags.strip() == "*" or tag in (each.strip().removeprefix("W/") for each in tags.split(","))
    since = request.headers.get("if-modified-since")
    if since is None or date is None:
        return False
    try:
        return date <= parsedate_to_datetime(since).astimezone(UTC)
    except (ValueError, OverflowError):
        return False


def _byte_range(request: Request, tag: str, size: int) -> range | None:
    """The requested range of bytes, empty if outside the data; None for all bytes."""
    match = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if request.method != "GET" or not match or match[1] == match[2] == "":
        return None
    if request.headers.get("if-range", tag) != tag:
        return None
    if not match[1]:
        return range(max(0, size - int(match[2])), size)
    first, last = int(match[1]), int(match[2] or size)
    return None if match[2] and last < first else range(min(first, size), min(last + 1, size))


class Guarded:
    """Middleware that forbids browsers to guess content types."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Content-Type-Options"] = "nosniff"
            await send(message)

        await self._app(scope, receive, guarded)


def message(status: HTTPStatus, text: str, headers: Mapping[str, str]) -> Response:
    """A response with a message for people."""
    return JSONResponse({"message": text}, status, headers)


def json_answer(document: Mapping[str, Any]) -> Response:
    """A response of the API, which nothing may cache."""
    return JSONResponse(document, headers={"Cache-Control": "no-store"})
