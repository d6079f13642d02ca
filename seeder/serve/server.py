"""The local server: what the deployed system serves, under the same addresses, and the pages to look at it with.

/{layer}/{z}/{x}/{y}.png   the stored tile, or 307 to the render path; every Location is absolute
/_/render/...              the Lambda behind the redirect path: 302 to the tile that it stored
/_/stored/...              the stored tile, never a redirect
/{layer}/tile.json  /{layer}/wmts.xml  /wmts.xml
/  /{layer}/               pages; what they ask is under /_/ as well
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
from seeder.jobs.status import queue_depth
from seeder.select.selection import Selection, count
from seeder.serve import pages, wmts
from seeder.serve.answers import POLICY, Guarded, sent
from seeder.serve.events import Feed
from seeder.serve.thumbnail import thumbnail
from tiler import timing
from tiler.errors import BadInput, BadOption, MissingObject, TilerError, UnknownLayer
from tiler.grid import Bounds
from tiler.http import CORS, Answer, Service, status_of
from tiler.ingest.processes import CORES
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
FRESH = {"Cache-Control": "no-cache"}  # whoever works on a map wants to see what is there now
PUBLIC = {**CORS, **FRESH}
LASTING = "public, max-age=3600"  # of what its address names the revision of


@dataclass(frozen=True, slots=True)
class Site:
    """What the server keeps between requests.

    `service` is the Lambda's, told with each request where `STORED` is, the address that never redirects; `where` is
    what the commands that the pages show must say to mean the same stores. Pictures are rendered by `renderers`, whose
    threads keep rasters open.
    """

    service: Service
    feed: Feed
    audits: Audits
    where: str
    renderers: ThreadPoolExecutor

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, where: str) -> Iterator[Site]:
        """The site of what `settings` name; its renderers end with it."""
        service = Service.open(settings, ttl=0)  # a new layer is there at once
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
                Route("/{layer}/", self.layer_page),
                Route("/{layer}/index.html", self.layer_page),
                Route("/{key:path}", self.object),
            ],
            middleware=[Middleware(Guarded)],
            exception_handlers={TilerError: _refused},
        )

    # What a bucket and the Lambda behind it would answer

    def object(self, request: Request) -> Response:
        """A stored tile, or where it is rendered; what the pages are made of; a layer's page, which ends in a slash."""
        key = request.path_params["key"]
        folder, _, name = key.rpartition("/")
        if "/" not in folder and name in pages.assets():
            return sent(request, pages.asset(name), pages.kind(name), FRESH, written=pages.built(name))
        if not folder and key in catalog.list_layers(self.stores.sources):
            return RedirectResponse(f"{_base(request)}/{key}/", 302, FRESH)
        found = self._stored(request, key)
        return found or RedirectResponse(f"{_base(request)}{RENDER}/{quote(key)}", 307, PUBLIC)

    def stored_tile(self, request: Request) -> Response:
        """A stored tile, or 404."""
        found = self._stored(request, request.path_params["key"])
        return found or _said(HTTPStatus.NOT_FOUND, "there is no such tile", PUBLIC)

    def _stored(self, request: Request, key: str) -> Response | None:
        try:
            name = parse_tile_key(key)
            if self._astray(key):
                return _said(HTTPStatus.NOT_FOUND, "there is no such tile", PUBLIC)
            written = self._written(key)
            data, _ = self.stores.tiles.typed(key)
        except (BadInput, MissingObject):
            return None
        return sent(request, data, CONTENT_TYPES[name.format], PUBLIC, written=written)

    def _astray(self, key: str) -> bool:
        """Whether `key` is a leftover of a killed put, or lies outside the folder through a link."""
        root = self.stores.tiles.root
        if root is None:
            return False
        return "#" in key or not inside(root / key, root)

    def _written(self, key: str) -> float | None:
        """The time `key` was last written; None in a bucket, to save a request."""
        root = self.stores.tiles.root
        try:
            return None if root is None else (root / key).stat().st_mtime
        except OSError:
            return None

    async def render(self, request: Request) -> Response:
        """What the Lambda answers."""
        key = request.path_params["key"]
        if await run_in_threadpool(self._astray, key):  # it would be written there
            return _said(HTTPStatus.NOT_FOUND, "there is no such tile", PUBLIC)
        path = f"/{quote(key)}"
        event = {"rawPath": path, "requestContext": {"http": {"method": request.method}}}
        service = replace(self.service, direct=f"{_base(request)}{STORED}")
        return _carried(await self._rendered(service.answer, event))

    def tilejson(self, request: Request) -> Response:
        """The layer's TileJSON, its tiles where this server is asked."""
        layer = self._layer(request)
        said = catalog.tilejson(layer, _base(request), catalog.addressed(layer, self.stores.tiles))
        return sent(request, said, "application/json", PUBLIC)

    def capabilities(self, request: Request) -> Response:
        """WMTS capabilities of one layer."""
        return self._capabilities(request, [self._layer(request)])

    def all_capabilities(self, request: Request) -> Response:
        """WMTS capabilities of all layers."""
        return self._capabilities(request, self._all())

    def _capabilities(self, request: Request, layers: list[Layer]) -> Response:
        shown = [(layer, catalog.addressed(layer, self.stores.tiles)) for layer in layers]
        said = wmts.capabilities(shown, _base(request), str(request.url))
        return sent(request, said, wmts.TYPE, PUBLIC)

    # Pages, and what they ask

    def layers_page(self, request: Request) -> Response:
        """The list of layers."""
        return self._page(request, pages.LAYERS, {})

    def layer_page(self, request: Request) -> Response:
        """The preview of a layer."""
        return self._page(request, pages.LAYER, {"layer": self._layer(request).id})

    def _page(self, request: Request, name: str, config: dict[str, str]) -> Response:
        if not pages.assets():
            return PlainTextResponse(pages.CURE, HTTPStatus.SERVICE_UNAVAILABLE, FRESH)
        said = pages.page(name, {**config, "api": API, "where": self.where})
        return sent(request, said, pages.kind(name), {**FRESH, "Content-Security-Policy": POLICY})

    def list_layers(self, _: Request) -> Response:
        """All layers."""
        return _json({"layers": [_facts(layer) for layer in self._all()]})

    def describe_layer(self, request: Request) -> Response:
        """One layer, and which of its revisions are kept."""
        layer, sources = self._layer(request), self.stores.sources
        kept = [name for name in sorted(catalog.revisions(sources, layer.id)) if name != layer.revision]
        return _json({**_facts(layer), "revisions": [layer.revision, *kept]})

    async def thumbnail(self, request: Request) -> Response:
        """A small picture of a layer."""
        layer = await run_in_threadpool(self._layer, request)
        data = await self._rendered(thumbnail, layer, self.stores.sources)
        return sent(request, data, CONTENT_TYPES["png"], {"Cache-Control": LASTING})

    async def kept_tile(self, request: Request) -> Response:
        """A tile of a revision that is kept, rendered for this one look."""
        layer, revision, rest = (request.path_params[part] for part in ("layer", "revision", "rest"))
        name = parse_tile_key(f"{layer}/{rest}")
        check_layer(revision)  # no other name is a folder's
        found = await run_in_threadpool(catalog.load_revision, self.stores.sources, layer, revision)
        if found is None:
            return _said(HTTPStatus.NOT_FOUND, f"revision {revision} of layer {layer!r} is not kept", FRESH)
        return _carried(await self._rendered(self.service.unstored, found, name))

    def planned(self, request: Request) -> Response:
        """What a layer comes to, a zoom at a time."""
        layer = self._layer(request)
        zooms = count(layer, Selection(tuple(range(layer.minzoom, layer.maxzoom + 1))))
        said = [{"z": z, **asdict(each)} for z, each in zooms.items()]
        return _json({"layer": layer.id, "revision": layer.revision, "zooms": said})

    def coverage(self, request: Request) -> Response:
        """What of one zoom is stored, all of it or within a box; 413 where that is too much to look at."""
        layer, asked = self._layer(request), request.query_params
        boxes = (Bounds.parse(asked["bbox"]),) if "bbox" in asked else ()
        variant = TileVariant(2 if asked.get("scale") == "2" else 1, layer.format)
        selection = Selection((request.path_params["z"],), boxes)
        try:
            found = ZoomCoverage.of(self.audits.of(layer, selection, variant), *selection.zooms)
        except BadOption as error:
            return _said(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error), FRESH)
        return _json(found.to_json())

    async def events(self, request: Request) -> Response:
        """Layers and jobs as they change, until the client leaves."""
        if request.method == "HEAD":  # its body would never end
            return Response(headers={"Cache-Control": "no-store"}, media_type="text/event-stream")
        return EventSourceResponse(self._changes(request.query_params.get("layer")))

    async def _changes(self, layer: str | None) -> AsyncIterator[ServerSentEvent]:
        before: dict[str, str] = {}
        while True:
            try:
                seen = await run_in_threadpool(self.feed.snapshot, layer)
            except TilerError as error:  # another time it may work
                log.warning("not looked", extra={"error": str(error)})
                seen = {}
            for event, data in seen.items():
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
        found = (self.service.layers.get(name) for name in catalog.list_layers(self.stores.sources))
        return [layer for layer in found if layer]

    async def _rendered(self, make: Any, *args: Any, **kwargs: Any) -> Any:
        """What `make` gives, made by a renderer."""
        return await asyncio.wrap_future(self.renderers.submit(make, *args, **kwargs))


def _facts(layer: Layer) -> dict[str, Any]:
    return {**facts(layer), "attribution": plain_markup(layer.attribution)}


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _carried(answer: Answer) -> Response:
    """A Lambda's answer as this server's."""
    body = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"]
    return Response(body, answer["statusCode"], answer["headers"])


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, TilerError)
    return _said(status_of(error), str(error), {**CORS, "Cache-Control": "no-store"})


def _said(status: HTTPStatus, message: str, headers: dict[str, str]) -> Response:
    return JSONResponse({"message": message}, status, headers)


def _json(said: dict[str, Any]) -> Response:
    return JSONResponse(said, headers={"Cache-Control": "no-store"})
