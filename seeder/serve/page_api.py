"""The API of the pages of the local server, below /_/: facts, counts, changes, pictures, events."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from seeder.cache.coverage import Audits, ZoomCoverage
from seeder.cache.summary import Summaries, box_summary
from seeder.select.selection import Selection, count
from seeder.serve.answers import FRESH, json_answer, message, respond
from seeder.serve.changed import changed
from seeder.serve.events import Feed
from seeder.serve.facts import Facts, revisions
from seeder.serve.layers_at_hand import all_layers, layer_of
from seeder.serve.shares import Shares
from seeder.serve.thumbnail import thumbnail, width_of
from tiler import timing
from tiler.errors import BadOption, TilerError, shortened
from tiler.grid import Bounds, parse_zooms
from tiler.http import Answer, Service
from tiler.keys import CONTENT_TYPES, check_layer, parse_tile_key
from tiler.layers import catalog
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant
from tiler.raster.legend import Legend
from tiler.storage.concurrent import together
from tiler.storage.store import Store

log = logging.getLogger(__name__)

API = "/_"
LASTING = "public, max-age=3600"  # for addresses with a revision


@dataclass(frozen=True, slots=True)
class PageApi:
    """The data behind the pages. `where` are the options that make commands use the same stores."""

    service: Service
    feed: Feed
    audits: Audits
    summaries: Summaries
    shares: Shares
    where: str
    renderers: ThreadPoolExecutor

    @property
    def sources(self) -> Store:
        """The store of the layers' metadata."""
        return self.service.stores.sources

    def routes(self) -> list[Route]:
        """The routes of the API."""
        return [
            Route(f"{API}/layers", self.list_layers),
            Route(f"{API}/layers/{{layer}}", self.describe_layer),
            Route(f"{API}/summary/{{layer}}", self.summary),
            Route(f"{API}/box/{{layer}}", self.box),
            Route(f"{API}/changes/{{layer}}/{{revision}}", self.changes),
            Route(f"{API}/thumbnail/{{layer}}", self.thumbnail),
            Route(f"{API}/revisions/{{layer}}/{{revision}}/{{rest:path}}", self.kept_tile),
            Route(f"{API}/coverage/{{layer}}", self.planned),
            Route(f"{API}/coverage/{{layer}}/{{z:int}}", self.coverage),
            Route(f"{API}/events", self.events),
        ]

    def list_layers(self, _: Request) -> Response:
        """All layers, and the options of commands for these stores."""
        facts = together(partial(Facts.of, sources=self.sources), all_layers(self.service))
        return json_answer({"where": self.where, "layers": [each.to_json() for each in facts]})

    async def describe_layer(self, request: Request) -> Response:
        """One layer, with the shares of its classes, and its revisions."""
        layer = await run_in_threadpool(layer_of, self.service, request)
        found = await run_in_threadpool(revisions, layer, self.sources)
        facts = replace(await run_in_threadpool(Facts.of, layer, self.sources), legend=await self._legend(layer))
        return json_answer({**facts.to_json(), "revisions": [each.to_json() for each in found]})

    async def _legend(self, layer: Layer) -> Legend | None:
        """The legend with shares; without them, if a part cannot be read."""
        try:
            legend: Legend | None = await self.rendered(self.shares.legend, layer)
        except TilerError as error:
            log.warning("classes not counted", extra={"error": str(error)})
            return layer.legend
        return legend

    def summary(self, request: Request) -> Response:
        """The stored tiles of a layer in numbers; 413 if it has too many blocks."""
        layer = layer_of(self.service, request)
        try:
            return json_answer(self.summaries.of(layer, _variant(layer, request)).to_json())
        except BadOption as error:
            return message(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error), FRESH)

    def box(self, request: Request) -> Response:
        """The tiles of a box in numbers, and seconds to render those that are missing; 413 for too many blocks."""
        layer, parameters = layer_of(self.service, request), request.query_params
        zooms = parse_zooms(parameters["zooms"]) if "zooms" in parameters else _all_zooms(layer)
        boxes = (Bounds.parse(parameters["bbox"]),) if "bbox" in parameters else ()
        layer.check_zooms(zooms)
        variant = _variant(layer, request)
        audit = self.audits.of(layer, Selection(zooms, boxes), variant)
        try:
            return json_answer(box_summary(audit).to_json())
        except BadOption as error:
            return message(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error), FRESH)

    def changes(self, request: Request) -> Response:
        """The tiles that differ between a kept revision and the current one."""
        layer, revision = layer_of(self.service, request), request.path_params["revision"]
        kept = revision in catalog.revisions(self.sources, layer.id)
        earlier = catalog.load_revision(self.sources, layer.id, revision) if kept else None
        if earlier is None:
            return _not_kept(layer.id, revision)
        return json_answer(changed(earlier, layer, self.service.stores).to_json())

    async def thumbnail(self, request: Request) -> Response:
        """A thumbnail of a layer."""
        layer = await run_in_threadpool(layer_of, self.service, request)
        width = width_of(request.query_params.get("width", ""))
        data = await self.rendered(thumbnail, layer, self.sources, width)
        return respond(request, data, CONTENT_TYPES["png"], {"Cache-Control": LASTING})

    async def kept_tile(self, request: Request) -> Response:
        """A tile of an earlier revision, rendered and not stored."""
        layer, revision, rest = (request.path_params[part] for part in ("layer", "revision", "rest"))
        name = parse_tile_key(f"{layer}/{rest}")
        check_layer(revision)  # a folder's name must be valid
        earlier = await run_in_threadpool(catalog.load_revision, self.sources, layer, revision)
        if earlier is None:
            return _not_kept(layer, revision)
        return converted(await self.rendered(self.service.unstored, earlier, name))

    def planned(self, request: Request) -> Response:
        """The numbers of tiles and blocks of a layer, by zoom."""
        layer = layer_of(self.service, request)
        zooms = count(layer, Selection(_all_zooms(layer)))
        totals = [{"z": z, **asdict(each)} for z, each in zooms.items()]
        return json_answer({"layer": layer.id, "revision": layer.revision, "zooms": totals})

    def coverage(self, request: Request) -> Response:
        """The coverage of one zoom, whole or within a box; 413 if it has too many blocks."""
        layer, parameters = layer_of(self.service, request), request.query_params
        boxes = (Bounds.parse(parameters["bbox"]),) if "bbox" in parameters else ()
        selection = Selection((request.path_params["z"],), boxes)
        try:
            audit = self.audits.of(layer, selection, _variant(layer, request))
            zoom = ZoomCoverage.of(audit, *selection.zooms)
        except BadOption as error:
            return message(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error), FRESH)
        return json_answer(zoom.to_json())

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

    async def rendered(self, make: Any, *args: Any, **kwargs: Any) -> Any:
        """The result of `make`, called in a renderer's thread."""
        return await asyncio.wrap_future(self.renderers.submit(make, *args, **kwargs))


def _all_zooms(layer: Layer) -> tuple[int, ...]:
    return tuple(range(layer.minzoom, layer.maxzoom + 1))


def _variant(layer: Layer, request: Request) -> TileVariant:
    """The variant that a request asks for.

    Raises:
        BadOption: its scale is neither 1 nor 2.
    """
    scale = request.query_params.get("scale", "1")
    if scale not in ("1", "2"):
        raise BadOption(f"scale={shortened(scale)} is invalid: write 1 or 2")
    return TileVariant(2 if scale == "2" else 1, layer.format)


def _not_kept(layer: str, revision: str) -> Response:
    return message(HTTPStatus.NOT_FOUND, f"revision {revision} of layer {layer!r} is not available", FRESH)


def converted(answer: Answer) -> Response:
    """Convert a Lambda's response to one of this server."""
    body = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"]
    return Response(body, answer["statusCode"], answer["headers"])
