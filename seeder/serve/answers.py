"""HTTP answers of the local server with what clients ask of them: validators, parts of a body, safe headers."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# MapLibre draws with workers and with pictures that it makes itself; nothing comes from elsewhere
POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; worker-src 'self' blob:;"
    " connect-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none'"
)
SETTLED = 2.0  # seconds after which a file's date, in whole seconds, tells its versions apart
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


def sent(
    request: Request, data: bytes, kind: str, headers: Mapping[str, str], *, written: float | None = None
) -> Response:
    """200 with `data`, 304 if the client has it, 206 with the one part that it asks for, or 416.

    `written` is when the data was last written, in seconds since 1970, where that is known. Requests for several parts
    get all of it, as RFC 9110 allows.
    """
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    named = {**headers, "ETag": tag, "Accept-Ranges": "bytes"}
    date = None if written is None or time.time() - written < SETTLED else datetime.fromtimestamp(int(written), UTC)
    if date:
        named["Last-Modified"] = format_datetime(date, usegmt=True)
    if _known(request, tag, date):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=named)
    part = _part(request, tag, len(data))
    if part is None:
        return Response(data, headers=named, media_type=kind)
    if not part:
        named["Content-Range"] = f"bytes */{len(data)}"
        return Response(status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=named)
    named["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{len(data)}"
    return Response(data[part.start : part.stop], HTTPStatus.PARTIAL_CONTENT, named, kind)


def _known(request: Request, tag: str, date: datetime | None) -> bool:
    """Whether the client has what it asks for. Its tags count before its date."""
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


def _part(request: Request, tag: str, size: int) -> range | None:
    """The bytes that are asked for, empty if they lie outside; None for all."""
    asked = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if request.method != "GET" or not asked or asked[1] == asked[2] == "":
        return None
    if request.headers.get("if-range", tag) != tag:
        return None
    if not asked[1]:
        return range(max(0, size - int(asked[2])), size)
    first, last = int(asked[1]), int(asked[2] or size)
    return None if asked[2] and last < first else range(min(first, size), min(last + 1, size))


class Guarded:
    """An application whose every answer keeps browsers from guessing its type."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Content-Type-Options"] = "nosniff"
            await send(message)

        await self._app(scope, receive, guarded)
