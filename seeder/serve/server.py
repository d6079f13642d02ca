"""The local server: the same addresses as the deployed system, and the pages of the preview.

/{layer}/{z}/{x}/{y}.png   the stored tile, or 307 to the render path; each Location is absolute
/_/render/...              the http Lambda: 302 to the tile it stored
/_/stored/...              the stored tile, never a redirect
/{layer}/tile.json  /{layer}/wmts.xml  /wmts.xml
/{layer}/scenes.geojson    the outlines of its scenes, for this server's pages only
/  /{layer}/               pages; their API is also below /_/
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from seeder.cache.coverage import Audits
from seeder.cache.summary import Summaries
from seeder.defaults import CORES
from seeder.jobs.status import queue_depth
from seeder.serve import pages, scene_outlines, wmts
from seeder.serve.answers import FRESH, Guarded, message, policy, respond
from seeder.serve.basemap import Basemap
from seeder.serve.events import Feed
from seeder.serve.layers_at_hand import all_layers, layer_of
from seeder.serve.page_api import API, PageApi, converted
from seeder.serve.shares import Shares
from tiler.errors import BadInput, MissingObject, TilerError
from tiler.http import CORS, Service, status_of
from tiler.keys import CONTENT_TYPES, parse_tile_key
from tiler.layers import catalog, tilejson
from tiler.layers.catalog import Layer
from tiler.settings import Settings
from tiler.storage.folder import inside
from tiler.storage.store import Store, Stores, open_store

STORED = f"{API}/stored"
RENDER = f"{API}/render"
PUBLIC = {**CORS, **FRESH}


@dataclass(frozen=True, slots=True)
class Site:
    """The state of the server between requests.

    `service` is that of the http Lambda, with the address of `STORED`, which never redirects, set for each request.
    """

    service: Service
    api: PageApi
    basemap: Basemap | None = None

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, where: str, basemap: Basemap | None = None) -> Iterator[Site]:
        """A site for the stores of `settings`; its renderers end with the context.

        Folders that are missing are made: a store of none would stay empty when the first layer is ingested.

        Raises:
            BadStore: a folder cannot be made.
        """
        for url in (settings.tiles, settings.sources):
            if url.startswith("file:") and open_store(url).root is None:
                open_store(url, create=True)
        service = Service.open(settings, ttl=0)  # so that a new layer appears at once
        feed = Feed(service.stores.sources, lambda url: queue_depth(url, settings.s3.region))
        with ThreadPoolExecutor(CORES, "renderer") as renderers:
            audits = Audits(service.stores)
            shares = Shares(service.stores.sources)
            api = PageApi(service, feed, audits, Summaries(audits), shares, where, renderers)
            yield cls(service, api, basemap)

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
                *self.api.routes(),
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
        return tile or message(HTTPStatus.NOT_FOUND, "no such tile", PUBLIC)

    def _stored(self, request: Request, key: str) -> Response | None:
        try:
            name = parse_tile_key(key)
            if self._invalid(key):
                return message(HTTPStatus.NOT_FOUND, "no such tile", PUBLIC)
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
            return message(HTTPStatus.NOT_FOUND, "no such tile", PUBLIC)
        path = f"/{quote(key)}"
        event = {"rawPath": path, "requestContext": {"http": {"method": request.method}}}
        service = replace(self.service, direct=f"{_base(request)}{STORED}")
        return converted(await self.api.rendered(service.answer, event))

    def tilejson(self, request: Request) -> Response:
        """The layer's TileJSON, with tiles of this server."""
        layer = layer_of(self.service, request)
        document = tilejson.tilejson(layer, _base(request), tilejson.addressed(layer, self.stores.tiles))
        return respond(request, document, "application/json", PUBLIC)

    def capabilities(self, request: Request) -> Response:
        """WMTS capabilities of one layer."""
        return self._capabilities(request, [layer_of(self.service, request)])

    def all_capabilities(self, request: Request) -> Response:
        """WMTS capabilities of all layers."""
        return self._capabilities(request, all_layers(self.service))

    def _capabilities(self, request: Request, layers: list[Layer]) -> Response:
        shown = [(layer, tilejson.addressed(layer, self.stores.tiles)) for layer in layers]
        document = wmts.capabilities(shown, _base(request), str(request.url))
        return respond(request, document, wmts.TYPE, PUBLIC)

    # Pages

    def layers_page(self, request: Request) -> Response:
        """The list of layers."""
        demo = {"demo": "yes"} if pages.DEMO.exists() else {}
        return self._page(request, pages.LAYERS, {"place": _place(self.stores.tiles), **demo})

    def layer_page(self, request: Request) -> Response:
        """The preview of a layer."""
        layer = layer_of(self.service, request)
        scenes = {"scenes": scene_outlines.NAME} if layer.scenes else {}
        below = {"basemap": self.basemap.to_json()} if self.basemap else {}
        return self._page(request, pages.LAYER, {"layer": layer.id, **scenes, **below})

    def _page(self, request: Request, name: str, config: dict[str, Any]) -> Response:
        if not pages.assets():
            return PlainTextResponse(pages.CURE, HTTPStatus.SERVICE_UNAVAILABLE, FRESH)
        rules = policy(self.basemap.origin if self.basemap and name == pages.LAYER else "")
        page = pages.page(name, {**config, "api": API, "where": self.api.where})
        return respond(request, page, pages.kind(name), {**FRESH, "Content-Security-Policy": rules})

    def scenes(self, request: Request) -> Response:
        """The outlines of a layer's scenes. They name files of this machine, so no other site's page may read them."""
        data = scene_outlines.document(layer_of(self.service, request), self.stores.sources)
        return respond(request, data, scene_outlines.TYPE, FRESH)


def _place(tiles: Store) -> str:
    """The data folder, or the tile bucket, as people write it."""
    if tiles.root is None:
        return tiles.url
    folder = tiles.root.parent if tiles.root.name == "tiles" else tiles.root
    here = Path.cwd()
    return f"./{folder.relative_to(here)}" if folder.is_relative_to(here) else str(folder)


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, TilerError)
    return message(status_of(error), str(error), {**CORS, "Cache-Control": "no-store"})
