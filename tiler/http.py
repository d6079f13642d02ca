"""The Lambda behind the redirect path: renders the tile that S3 did not have, stores it, sends the client back to it.

Requests and answers are API Gateway's, payload format 2.0.
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
from urllib.parse import unquote

from tiler import timing
from tiler.errors import BadInput, SourceReadError, StoreError, TileOutside, TilerError, UnknownLayer
from tiler.grid import Block
from tiler.keys import CONTENT_TYPES, TileName, layer_of_tilejson, parse_tile_key, tile_key
from tiler.layers.catalog import Layer, Layers, tilejson
from tiler.layers.fill import Request, fill
from tiler.layers.render import TileVariant, nothing, render_tile
from tiler.settings import Settings
from tiler.storage.store import Stores

STATUS: dict[type[TilerError], HTTPStatus] = {  # the first that fits
    UnknownLayer: HTTPStatus.NOT_FOUND,
    TileOutside: HTTPStatus.NOT_FOUND,
    BadInput: HTTPStatus.BAD_REQUEST,
    TilerError: HTTPStatus.BAD_GATEWAY,
}
BRIEFLY = "public, max-age=60"  # how long clients believe that there is no such tile
NEVER = "no-store"
CORS = {"Access-Control-Allow-Origin": "*"}
CURE = "ask for /LAYER/Z/X/Y.png, or for /LAYER/tile.json"

Answer = dict[str, Any]

log = logging.getLogger(__name__)  # Lambda's own JSON format writes what `extra` holds


def handler(event: dict[str, Any], _context: object) -> Answer:
    """Answer one request; see `Service.answer`."""
    return _service().answer(event)


@cache
def _service() -> Service:
    return Service.open(Settings.from_env(os.environ), timing.LAYER_TTL_SECONDS)


@dataclass(frozen=True, slots=True)
class Service:
    """State kept between requests.

    `direct` is where a stored tile answers without a redirect. `any_format` says that tiles of other
    formats than the layer's are rendered too; else they redirect to the layer's own.
    """

    stores: Stores
    layers: Layers
    direct: str
    any_format: bool = False

    @classmethod
    def open(cls, settings: Settings, ttl: float) -> Service:
        """The service on the stores of `settings`; a layer's metadata is believed for `ttl` seconds."""
        stores = Stores.open(settings.within(timing.HTTP_RETRY_SECONDS))
        return cls(stores, Layers(stores.sources, ttl), settings.direct, settings.any_format)

    def answer(self, event: dict[str, Any]) -> Answer:
        """302 to the stored tile, 200 with its bytes where it could not be stored, or the error's status."""
        path = unquote(event["rawPath"]).removeprefix("/")
        method = event["requestContext"]["http"]["method"]
        if method not in ("GET", "HEAD"):
            return _said(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not allowed: {CURE}", BRIEFLY)
        start = time.monotonic()
        try:
            layer = layer_of_tilejson(path)
            answer = self._tilejson(layer) if layer else self._tile(path)
        except TilerError as error:
            status = status_of(error)
            if status < HTTPStatus.INTERNAL_SERVER_ERROR:
                return _said(status, str(error), BRIEFLY)
            log.warning("failed", extra={"path": path, "error": str(error)})
            return _said(status, "the tile's source cannot be read", NEVER)  # where it lies is nobody's business
        spent = round(1000 * (time.monotonic() - start))
        log.info("served", extra={"path": path, "status": answer["statusCode"], "milliseconds": spent})
        return answer

    def _tilejson(self, layer: str) -> Answer:
        found = self._layer(layer)
        body = tilejson(found, self.stores.url, found.revision).decode()
        return _answer(HTTPStatus.OK, body, "application/json", "no-cache")

    def _tile(self, path: str) -> Answer:
        name = parse_tile_key(path)
        layer = self._layer(name.layer)
        if not self.any_format:  # the same picture once more, rendered and stored, would help nobody
            name = replace(name, format=layer.format)
        request = _request(layer, name)
        try:
            outcome = fill(layer, self.stores, request)
        except StoreError as error:
            log.warning("not stored", extra={"path": path, "error": str(error)})
            return self.unstored(layer, name)
        if outcome.failed:
            raise SourceReadError(layer.source, outcome.why)
        # S3 passes over the query; browsers keep the tile of another revision apart from this one
        there = f"{self.direct}/{tile_key(name)}?v={layer.revision}"
        return _answer(HTTPStatus.FOUND, "", "", NEVER, Location=there)

    def unstored(self, layer: Layer, name: TileName) -> Answer:
        """The tile itself: the map must show it though it could not be stored.

        Raises:
            TileOutside: the layer has no such tile.
            SourceReadError: its pixels could not be read.
        """
        variant = _request(layer, name).variant
        data = render_tile(layer, self.stores.sources, name.tile, variant) or nothing(layer, variant)
        body = base64.b64encode(data).decode()
        return {**_answer(HTTPStatus.OK, body, CONTENT_TYPES[name.format], NEVER), "isBase64Encoded": True}

    def _layer(self, name: str) -> Layer:
        layer = self.layers.get(name)
        if layer is None:
            raise UnknownLayer(name)
        return layer


def status_of(error: TilerError) -> HTTPStatus:
    """The status that tells of an error."""
    return next(status for kind, status in STATUS.items() if isinstance(error, kind))


def _request(layer: Layer, name: TileName) -> Request:
    if not layer.has(name.tile):
        raise TileOutside(layer.id, tile_key(name))
    block = Block.of(name.tile)
    return Request(block, block.bit(name.tile), TileVariant(name.scale, name.format), blanks=True)


def _said(status: HTTPStatus, message: str, cached: str) -> Answer:
    return _answer(status, json.dumps({"message": message}), "application/json", cached)


def _answer(status: HTTPStatus, body: str, kind: str, cached: str, **headers: str) -> Answer:
    named = {"Content-Type": kind} if kind else {}
    return {
        "statusCode": int(status),
        "headers": {**CORS, "Cache-Control": cached, **named, **headers},
        "body": body,
        "isBase64Encoded": False,
    }
