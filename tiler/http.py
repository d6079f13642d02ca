"""The Lambda of the render path: renders a missing tile, stores it, and redirects to it or returns it.

Requests and answers use payload format 2.0 of API Gateway and of function URLs.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import time
from dataclasses import dataclass, replace
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote

from tiler import timing
from tiler.errors import (
    BadInput,
    NewerMetadata,
    StoreError,
    TileOutside,
    TilerError,
    UnknownLayer,
    VariantNotRendered,
)
from tiler.grid import Block
from tiler.keys import CONTENT_TYPES, TileName, layer_of_tilejson, parse_tile_key, tile_key
from tiler.layers.catalog import Layer
from tiler.layers.fill import CACHE_CONTROL, Request, fill
from tiler.layers.layer_cache import Layers
from tiler.layers.render import TileVariant, nothing, render_tile
from tiler.layers.tilejson import tilejson
from tiler.settings import LAYER_FORMAT, RenderedVariants, Settings
from tiler.storage.store import Stores

STATUS: dict[type[TilerError], HTTPStatus] = {  # the first match counts
    UnknownLayer: HTTPStatus.NOT_FOUND,
    TileOutside: HTTPStatus.NOT_FOUND,
    VariantNotRendered: HTTPStatus.NOT_FOUND,
    NewerMetadata: HTTPStatus.SERVICE_UNAVAILABLE,
    BadInput: HTTPStatus.BAD_REQUEST,
    TilerError: HTTPStatus.BAD_GATEWAY,
}
SHORT_CACHE = f"public, max-age={timing.MISSING_CACHE_SECONDS}"  # a later ingest or seed may add the tile
NO_CACHE = "no-store"
CORS = {"Access-Control-Allow-Origin": "*"}
STATE = "X-Tile-State"  # header of a tile: `rendered` for this request, or `stored` before
EXPOSED = {"Access-Control-Expose-Headers": f"{STATE}, X-Cache"}  # headers for pages of other origins
CURE = "request /LAYER/Z/X/Y.png or /LAYER/tile.json"
FAILED = {  # texts of failures, without internal paths
    HTTPStatus.BAD_GATEWAY: "the tile's source cannot be read",
    HTTPStatus.SERVICE_UNAVAILABLE: "the layer needs a newer version of this function: run `npm run deploy`",
}

Answer = dict[str, Any]

log = logging.getLogger(__name__)  # Lambda's JSON log format includes the fields of `extra`


def handler(event: dict[str, Any], _context: object) -> Answer:
    """Answer one request; see `Service.answer`."""
    return _service().answer(event)


@cache
def _service() -> Service:
    return Service.open(Settings.from_env(os.environ), timing.LAYER_TTL_SECONDS)


@dataclass(frozen=True, slots=True)
class Service:
    """State kept between requests.

    `direct` is the base URL that serves stored tiles without a redirect. `variants` are rendered; the tile in the
    layer's own format answers requests for other formats. With `inline`, the answer is the tile instead of a redirect.
    """

    stores: Stores
    layers: Layers
    direct: str
    variants: RenderedVariants = LAYER_FORMAT
    inline: bool = False

    @classmethod
    def open(cls, settings: Settings, ttl: float) -> Service:
        """The service on the stores of `settings`; layer metadata is cached for `ttl` seconds."""
        stores = Stores.open(settings.within(timing.HTTP_RETRY_SECONDS))
        inline = settings.delivery == "cloudfront"
        return cls(stores, Layers(stores.sources, ttl), settings.direct, settings.variants, inline)

    def answer(self, event: dict[str, Any]) -> Answer:
        """302 to the stored tile, 200 with the tile if `inline` or if it could not be stored, or the error's status."""
        path = unquote(event["rawPath"]).removeprefix("/")
        method = event["requestContext"]["http"]["method"]
        if method not in ("GET", "HEAD"):
            return _error(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not allowed: {CURE}", SHORT_CACHE)
        start = time.monotonic()
        try:
            layer = layer_of_tilejson(path)
            answer = self._tilejson(layer) if layer else self._tile(path)
        except TilerError as error:
            status = status_of(error)
            if status < HTTPStatus.INTERNAL_SERVER_ERROR:
                lasting = isinstance(error, TileOutside) and error.revision == _revision(event)
                return _error(status, str(error), CACHE_CONTROL if lasting else SHORT_CACHE)
            log.warning("failed", extra={"path": path, "error": str(error)})
            return _error(status, FAILED[status], NO_CACHE)
        milliseconds = round(1000 * (time.monotonic() - start))
        log.info("served", extra={"path": path, "status": answer["statusCode"], "milliseconds": milliseconds})
        return answer

    def _tilejson(self, layer: str) -> Answer:
        current = self._layer(layer)
        if not self.stores.url:  # behind CloudFront, because the distribution depends on this function
            message = f"tile.json is missing: run `seeder refresh {layer}` to write it"
            return _error(HTTPStatus.NOT_FOUND, message, SHORT_CACHE)
        body = tilejson(current, self.stores.url, current.revision).decode()
        return _answer(HTTPStatus.OK, body, "application/json", "no-cache")

    def _tile(self, path: str) -> Answer:
        name = parse_tile_key(path)
        layer = self._layer(name.layer)
        name = self._rendered(layer, name)
        request = _request(layer, name)
        try:
            outcome = fill(layer, self.stores, request)
            if outcome.failed:
                raise outcome.fault
            if self.inline:
                return self._stored(name, "rendered" if outcome.written else "stored")
        except StoreError as error:
            # NotStoredFilter in deploy/alarms.yml counts this line, at every logLevel
            log.error("not stored", extra={"path": path, "error": str(error)})  # noqa: TRY400 - the error says it all
            return self.unstored(layer, name)
        # S3 ignores the query; it keeps revisions apart in browser caches
        location = f"{self.direct}/{tile_key(name)}?v={layer.revision}"
        return _answer(HTTPStatus.FOUND, "", "", NO_CACHE, Location=location)

    def _rendered(self, layer: Layer, name: TileName) -> TileName:
        """The tile that answers a request for `name`: the same, or that in the layer's own format.

        Raises:
            VariantNotRendered: neither is rendered.
        """
        for form in (name.format, layer.format):  # the own format costs no further render, and no space
            if self.variants.has(name.scale, form, layer.format):
                return replace(name, format=form)
        raise VariantNotRendered(layer.id, tile_key(name))

    def _stored(self, name: TileName, state: str) -> Answer:
        """An answer with the stored tile, and the `Cache-Control` of stored tiles.

        Raises:
            StoreError: it cannot be read, or was removed meanwhile.
        """
        data = self.stores.tiles.get(tile_key(name))
        return _picture(data, name, CACHE_CONTROL, **{STATE: state, **EXPOSED})

    def unstored(self, layer: Layer, name: TileName) -> Answer:
        """An answer with the tile itself, so that the map shows it although it could not be stored.

        Raises:
            TileOutside: the layer has no such tile.
            SourceReadError: its pixels could not be read.
        """
        variant = _request(layer, name).variant
        data = render_tile(layer, self.stores.sources, name.tile, variant) or nothing(layer, variant)
        return _picture(data, name, NO_CACHE)

    def _layer(self, name: str) -> Layer:
        layer = self.layers.get(name)
        if layer is None:
            raise UnknownLayer(name)
        return layer


def status_of(error: TilerError) -> HTTPStatus:
    """The HTTP status of an error."""
    return next(status for kind, status in STATUS.items() if isinstance(error, kind))


def _revision(event: dict[str, Any]) -> str:
    """The revision that a request's address names, or an empty text."""
    query: str = event.get("rawQueryString", "")
    return parse_qs(query).get("v", [""])[0]


def _request(layer: Layer, name: TileName) -> Request:
    if not layer.has(name.tile):
        raise TileOutside(layer.id, tile_key(name), layer.revision)
    block = Block.of(name.tile)
    return Request(block, block.bit(name.tile), TileVariant(name.scale, name.format), blanks=True)


def _error(status: HTTPStatus, message: str, cached: str) -> Answer:
    return _answer(status, json.dumps({"message": message}), "application/json", cached)


def _picture(data: bytes, name: TileName, cached: str, **headers: str) -> Answer:
    body = base64.b64encode(data).decode()
    return {**_answer(HTTPStatus.OK, body, CONTENT_TYPES[name.format], cached, **headers), "isBase64Encoded": True}


def _answer(status: HTTPStatus, body: str, kind: str, cached: str, **headers: str) -> Answer:
    named = {"Content-Type": kind} if kind else {}
    return {
        "statusCode": int(status),
        "headers": {**CORS, "Cache-Control": cached, **named, **headers},
        "body": body,
        "isBase64Encoded": False,
    }
