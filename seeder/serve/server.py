"""The local server: the same addresses as the deployed system, and the pages of the preview.

/{layer}/{z}/{x}/{y}.png   the stored tile, or 307 to the render path; each Location is absolute
/_/render/...              the http Lambda: 302 to the tile it stored
/_/stored/...              the stored tile, never a redirect
/{layer}/tile.json  /{layer}/wmts.xml  /wmts.xml
/{layer}/scenes.geojson    the outlines of its scenes, for this server's pages only
/  /{layer}/               pages; their API is also below /_/
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from seeder.cache.coverage import Audits, ZoomCoverage
from seeder.defaults import CORES
from seeder.jobs.status import queue_depth
from seeder.select.selection import Selection, count
from seeder.serve import pages, scene_outlines, wmts
from seeder.serve.answers import POLICY, Guarded, respond
from seeder.serve.events import Feed
from seeder.serve.thumbnail import thumbnail, width_of
from tiler import timing
from tiler.errors import BadInput, BadOption, MissingObject, TilerError, UnknownLayer
from tiler.grid import Bounds
from tiler.http import CORS, Answer, Service, status_of
from tiler.keys import CONTENT_TYPES, check_layer, parse_tile_key
from tiler.layers import catalog
from tiler.layers.catalog import Layer, facts
from tiler.layers.credit import plain_markup
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage.folder import inside
from tiler.storage.store import Stores

log = logging.getLogger(__name__)

API = "/_"
STORED = f"{API}/stored"
RENDER = f"{API}/render"
FRESH = {"Cache-Control": "no-cache"}  # pages must show the current state
PUBLIC = {**CORS, **FRESH}
LASTING = "public, max-age=3600"  # for addresses with a revision


@dataclass(frozen=True, slots=True)
class Site:
    """The state of the server between requests.

    `service` is that of the http Lambda, with the address of `STORED`, which never redirects, set for each request.
    `where` are the options that make the commands on the pages use the same stores. `renderers` are threads that keep
    rasters open.
    """

    service: Service
    feed: Feed
    audits: Audits
    where: str
    renderers: ThreadPoolExecutor

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, where: str) -> Iterator[Site]:
        """A site for the stores of `settings`; its renderers end with the context."""
        service = Service.open(settings, ttl=0)  # so that a new layer appears at once
        feed = Feed(service.stores.sources, lambda url: queue_depth(url, settings.s3.region))
        with ThreadPoolExecutor(CORES, "renderer") as renderers:
            yield cls(service, feed, Audits(service.stores), where, renderers)

    @property
    def stores(self) -> Stores:
        """The layers' stores."""
        return self.service.stores

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/", self.layers_page),
                Route("/wmts.xml", self.all_capabilities),
                Route(f"{API}/layers", self.list_layers),
                Route(f"{API}/layers/{{layer}}", self.describe_layer),
                Route(f"{API}/thumbnail/{{layer}}", self.thumbnail),
                Route(f"{API}/revisions/{{layer}}/{{revision}}/{{rest:path}}", self.kept_tile),
                Route(f"{API}/coverage/{{layer}}", self.planned),
                Route(f"{API}/coverage/{{layer}}/{{z:int}}", self.coverage),
                Route(f"{API}/events", self.events),
                Route(f"{RENDER}/{{key:path}}", self.render),
                Route(f"{STORED}/{{key:path}}", self.stored_tile),
                Route("/{layer}/tile.json", self.tilejson),
                Route("/{layer}/wmts.xml", self.capabilities),
                Route(f"/{{layer}}/{scene_outlines.NAME}", self.scenes),
                Route("/{layer}/", self.layer_page),
                Route("/{layer}/index.html", self.layer_page),
                Route("/{key:path}", self.object),
            ],
            middleware=[Middleware(Guarded)],
            exception_handlers={TilerError: _refused},
        )

    # Responses of the bucket and the http Lambda

    def object(self, request: Request) -> Response:
        """A stored tile or a redirect to the render path; an asset of the pages; a redirect to a layer's page."""
        key = request.path_params["key"]
        folder, _, name = key.rpartition("/")
        if "/" not in folder and name in pages.assets():
            return respond(request, pages.asset(name), pages.kind(name), FRESH, written=pages.built(name))
        if not folder and key in catalog.list_layers(self.stores.sources):
            return RedirectResponse(f"{_base(request)}/{key}/", 302, FRESH)
        tile = self._stored(request, key)
        return tile or RedirectResponse(f"{_base(request)}{RENDER}/{quote(key)}", 307, PUBLIC)

    def stored_tile(self, request: Request) -> Response:
        """A stored tile, or 404."""
        tile = self._stored(request, request.path_params["key"])
        return tile or _message(HTTPStatus.NOT_FOUND, "no such tile", PUBLIC)

    def _stored(self, request: Request, key: str) -> Response | None:
        try:
            name = parse_tile_key(key)
            if self._invalid(key):
                return _message(HTTPStatus.NOT_FOUND, "no such tile", PUBLIC)
            written = self._written(key)
            data, _ = self.stores.tiles.typed(key)
        except (BadInput, MissingObject):
            return None
        return respond(request, data, CONTENT_TYPES[name.format], PUBLIC, written=written)

    def _invalid(self, key: str) -> bool:
        """Whether `key` is a leftover of a killed put, or leaves the folder through a link."""
        root = self.stores.tiles.root
        if root is None:
            return False
        return "#" in key or not inside(root / key, root)

    def _written(self, key: str) -> float | None:
        """The time of last write of `key`; None in a bucket, to save a request."""
        root = self.stores.tiles.root
        try:
            return None if root is None else (root / key).stat().st_mtime
        except OSError:
            return None

    async def render(self, request: Request) -> Response:
        """The response of the http Lambda."""
        key = request.path_params["key"]
        if await run_in_threadpool(self._invalid, key):  # the tile would be written there
            return _message(HTTPStatus.NOT_FOUND, "no such tile", PUBLIC)
        path = f"/{quote(key)}"
        event = {"rawPath": path, "requestContext": {"http": {"method": request.method}}}
        service = replace(self.service, direct=f"{_base(request)}{STORED}")
        return _converted(await self._rendered(service.answer, event))

    def tilejson(self, request: Request) -> Response:
        """The layer's TileJSON, with tiles of this server."""
        layer = self._layer(request)
        document = catalog.tilejson(layer, _base(request), catalog.addressed(layer, self.stores.tiles))
        return respond(request, document, "application/json", PUBLIC)

    def capabilities(self, request: Request) -> Response:
        """WMTS capabilities of one layer."""
        return self._capabilities(request, [self._layer(request)])

    def all_capabilities(self, request: Request) -> Response:
        """WMTS capabilities of all layers."""
        return self._capabilities(request, self._all())

    def _capabilities(self, request: Request, layers: list[Layer]) -> Response:
        shown = [(layer, catalog.addressed(layer, self.stores.tiles)) for layer in layers]
        document = wmts.capabilities(shown, _base(request), str(request.url))
        return respond(request, document, wmts.TYPE, PUBLIC)

    # Pages and their API

    def layers_page(self, request: Request) -> Response:
        """The list of layers."""
        return self._page(request, pages.LAYERS, {"demo": "yes"} if pages.DEMO.exists() else {})

    def layer_page(self, request: Request) -> Response:
        """The preview of a layer."""
        layer = self._layer(request)
        scenes = {"scenes": scene_outlines.NAME} if layer.scenes else {}
        return self._page(request, pages.LAYER, {"layer": layer.id, **scenes})

    def _page(self, request: Request, name: str, config: dict[str, str]) -> Response:
        if not pages.assets():
            return PlainTextResponse(pages.CURE, HTTPStatus.SERVICE_UNAVAILABLE, FRESH)
        page = pages.page(name, {**config, "api": API, "where": self.where})
        return respond(request, page, pages.kind(name), {**FRESH, "Content-Security-Policy": POLICY})

    def scenes(self, request: Request) -> Response:
        """The outlines of a layer's scenes. They name files of this machine, so no other site's page may read them."""
        data = scene_outlines.document(self._layer(request), self.stores.sources)
        return respond(request, data, scene_outlines.TYPE, FRESH)

    def list_layers(self, _: Request) -> Response:
        """All layers."""
        return _json({"layers": [_facts(layer) for layer in self._all()]})

    def describe_layer(self, request: Request) -> Response:
        """One layer, and its available revisions."""
        layer, sources = self._layer(request), self.stores.sources
        kept = [name for name in sorted(catalog.revisions(sources, layer.id)) if name != layer.revision]
        return _json({**_facts(layer), "revisions": [layer.revision, *kept]})

    async def thumbnail(self, request: Request) -> Response:
        """A thumbnail of a layer."""
        layer = await run_in_threadpool(self._layer, request)
        width = width_of(request.query_params.get("width", ""))
        data = await self._rendered(thumbnail, layer, self.stores.sources, width)
        return respond(request, data, CONTENT_TYPES["png"], {"Cache-Control": LASTING})

    async def kept_tile(self, request: Request) -> Response:
        """A tile of an earlier revision, rendered and not stored."""
        layer, revision, rest = (request.path_params[part] for part in ("layer", "revision", "rest"))
        name = parse_tile_key(f"{layer}/{rest}")
        check_layer(revision)  # a folder's name must be valid
        earlier = await run_in_threadpool(catalog.load_revision, self.stores.sources, layer, revision)
        if earlier is None:
            return _message(HTTPStatus.NOT_FOUND, f"revision {revision} of layer {layer!r} is not available", FRESH)
        return _converted(await self._rendered(self.service.unstored, earlier, name))

    def planned(self, request: Request) -> Response:
        """The numbers of tiles and blocks of a layer, by zoom."""
        layer = self._layer(request)
        zooms = count(layer, Selection(tuple(range(layer.minzoom, layer.maxzoom + 1))))
        totals = [{"z": z, **asdict(each)} for z, each in zooms.items()]
        return _json({"layer": layer.id, "revision": layer.revision, "zooms": totals})

    def coverage(self, request: Request) -> Response:
        """The coverage of one zoom, whole or within a box; 413 if it has too many blocks."""
        layer, parameters = self._layer(request), request.query_params
        boxes = (Bounds.parse(parameters["bbox"]),) if "bbox" in parameters else ()
        variant = TileVariant(2 if parameters.get("scale") == "2" else 1, layer.format)
        selection = Selection((request.path_params["z"],), boxes)
        try:
            zoom = ZoomCoverage.of(self.audits.of(layer, selection, variant), *selection.zooms)
        except BadOption as error:
            return _message(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error), FRESH)
        return _json(zoom.to_json())

    async def events(self, request: Request) -> Response:
        """Changes of layers and jobs, until the client disconnects."""
        if request.method == "HEAD":  # the body would never end
            return Response(headers={"Cache-Control": "no-store"}, media_type="text/event-stream")
        return EventSourceResponse(self._changes(request.query_params.get("layer")))

    async def _changes(self, layer: str | None) -> AsyncIterator[ServerSentEvent]:
        before: dict[str, str] = {}
        while True:
            try:
                snapshot = await run_in_threadpool(self.feed.snapshot, layer)
            except TilerError as error:  # the next attempt may succeed
                log.warning("events not updated", extra={"error": str(error)})
                snapshot = {}
            for event, data in snapshot.items():
                text = json.dumps(data)
                if text != before.get(event):
                    before[event] = text
                    yield ServerSentEvent(text, event=event)
            await asyncio.sleep(timing.POLL_SECONDS)

    def _layer(self, request: Request) -> Layer:
        name = request.path_params["layer"]
        layer = self.service.layers.get(name)
        if layer is None:
            raise UnknownLayer(name, catalog.list_layers(self.stores.sources))
        return layer

    def _all(self) -> list[Layer]:
        layers = (self.service.layers.get(name) for name in catalog.list_layers(self.stores.sources))
        return [layer for layer in layers if layer]

    async def _rendered(self, make: Any, *args: Any, **kwargs: Any) -> Any:
        """The result of `make`, called in a renderer's thread."""
        return await asyncio.wrap_future(self.renderers.submit(make, *args, **kwargs))


def _facts(layer: Layer) -> dict[str, Any]:
    return {**facts(layer), "attribution": plain_markup(layer.attribution)}


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _converted(answer: Answer) -> Response:
    """Convert a Lambda's response to one of this server."""
    body = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"]
    return Response(body, answer["statusCode"], answer["headers"])


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, TilerError)
    return _message(status_of(error), str(error), {**CORS, "Cache-Control": "no-store"})


def _message(status: HTTPStatus, message: str, headers: dict[str, str]) -> Response:
    return JSONResponse({"message": message}, status, headers)


def _json(document: dict[str, Any]) -> Response:
    return JSONResponse(document, headers={"Cache-Control": "no-store"})
