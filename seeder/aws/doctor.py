"""Checks of an installation from outside, as users and workers see it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from importlib.metadata import version

import urllib3
from mercantile import Tile

from seeder.aws import clients
from seeder.aws.check import PROBE, CheckResult, guarded, json_fields
from seeder.aws.distribution import check_addresses, check_distribution, check_limit
from seeder.aws.queue_checks import check_queues
from seeder.aws.stack import Stack, read_stack
from tiler.errors import SourceReadError
from tiler.keys import TileName, tile_key
from tiler.layers import version as layer_version
from tiler.layers.catalog import Layer, list_layers, load_layer
from tiler.layers.render import TileVariant, nothing, render_tile
from tiler.raster.options import Options
from tiler.settings import Settings
from tiler.storage.store import Store, Stores

TIMEOUT = 30.0  # seconds; a cold start of a Lambda takes a few
DEPLOYED = {
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE",
}
HOPS = urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=5)
CURE = "check that its raster is complete, then `seeder remove` the layer and ingest it again"
MOVED = (301, 302, 303, 307, 308)


def examine(settings: Settings, layer: str | None) -> Iterator[CheckResult]:
    """Yield the result of each check, from this machine to a tile as a browser gets it.

    `layer` is the layer to render a tile of; by default the first. Nothing changes, except that the redirect path
    stores the requested tile, as for any visitor.
    """
    stack = read_stack(settings.stack, settings.s3.region) if settings.stack else None
    python = ".".join(map(str, sys.version_info[:3]))
    yield CheckResult(
        "machine", f"Python {python}, tile-seeder {version('tile-seeder')}, rasterio {version('rasterio')}"
    )
    if stack or (settings.tiles.startswith("s3:") and not settings.s3.endpoint):
        yield from guarded("credentials", lambda: _credentials(settings))
    if stack:
        yield CheckResult("stack", f"{stack.name}: {stack.status}", stack.status in DEPLOYED)
        yield from guarded("metadata", lambda: _metadata(settings))
    chosen: list[Layer] = []
    yield from guarded("tiles", lambda: _store(settings, tiles=True))
    yield from guarded("sources", lambda: _store(settings, tiles=False))
    yield from check_queues(settings, stack)
    yield from guarded("layers", lambda: _layers(settings, layer, chosen))
    if chosen:
        yield from guarded("render", lambda: _render(settings, chosen[0]))
    if stack:
        yield check_limit(stack)
        yield from guarded("addresses", lambda: check_addresses(settings, stack))
        if stack.delivery == "cloudfront":
            yield from guarded("distribution", lambda: _distribution(settings, stack, chosen))
        else:
            yield from guarded("redirect", lambda: _redirect(settings, stack, chosen))


def _credentials(settings: Settings) -> Iterator[CheckResult]:
    client = clients.client("sts", settings.s3.region)
    with clients.translated("get the caller identity"):
        identity = client.get_caller_identity()
    yield CheckResult("credentials", f"{identity['Arn']} in {client.meta.region_name}")


def _metadata(settings: Settings) -> Iterator[CheckResult]:
    layer_version.check_readers(Stores.open(settings), layer_version.version_for(Options(), parts=True))
    yield CheckResult("metadata", f"the functions read layer metadata up to version {settings.readers}")


def _store(settings: Settings, *, tiles: bool) -> Iterator[CheckResult]:
    stores = Stores.open(settings)
    what, store = ("tiles", stores.tiles) if tiles else ("sources", stores.sources)
    yield CheckResult(what, f"{store.url} {'is empty' if store.empty('') else 'can be listed'}")


def _layers(settings: Settings, layer: str | None, chosen: list[Layer]) -> Iterator[CheckResult]:
    sources: Store = Stores.open(settings).sources
    names = list(list_layers(sources))
    yield CheckResult("layers", ", ".join(names) or "none yet: run `seeder ingest SOURCE`")
    if layer or names:
        candidate = load_layer(sources, layer or names[0])
        if candidate.footprint.cells.any():
            chosen.append(candidate)
        else:
            yield CheckResult("render", f"the footprint of {candidate.id} has no data: {CURE}", well=False)


def _render(settings: Settings, layer: Layer) -> Iterator[CheckResult]:
    """Render a tile with data from its source, without storing it."""
    start, key = time.monotonic(), _key(layer)
    try:
        data = render_tile(layer, Stores.open(settings).sources, _tile(layer), _variant(layer))
    except SourceReadError as error:
        yield CheckResult("render", f"{key}: {error}; {CURE}", well=False)
        return
    spent = round(1000 * (time.monotonic() - start))
    if data is None or data == nothing(layer, _variant(layer)):
        yield CheckResult("render", f"{key}: empty, although the layer's footprint has data here: {CURE}", well=False)
    else:
        yield CheckResult("render", f"{key}: {len(data):,} bytes in {spent} ms")


def _redirect(settings: Settings, stack: Stack, chosen: list[Layer]) -> Iterator[CheckResult]:
    """Follow a browser's requests: the website, its redirect, the tile."""
    pool = urllib3.PoolManager(timeout=TIMEOUT, retries=False)
    url = f"{settings.url}/{PROBE}"
    first = pool.request("GET", url, redirect=False)
    target = first.headers.get("Location", "")
    redirected = first.status in MOVED and target.startswith(stack.outputs.get("ApiUrl", "https:"))
    yield CheckResult("website", f"{url}: {first.status} {target}", redirected)
    if not redirected:
        return
    second = pool.request("GET", target, redirect=False)
    ours = second.status == 400 and "message" in json_fields(second.data)
    body = "" if ours else second.data[:200].decode(errors="replace")
    yield CheckResult("api", f"{target}: {second.status} {body}", ours)
    if ours and chosen:
        yield _stored_tile(settings, chosen[0], pool)


def _distribution(settings: Settings, stack: Stack, chosen: list[Layer]) -> Iterator[CheckResult]:
    """Request a tile that cannot exist through CloudFront, then one with data."""
    pool = urllib3.PoolManager(timeout=TIMEOUT, retries=False)
    well = True
    for result in check_distribution(settings, stack, pool):
        well = well and result.well
        yield result
    if well and chosen:
        yield _stored_tile(settings, chosen[0], pool)


def _stored_tile(settings: Settings, layer: Layer, pool: urllib3.PoolManager) -> CheckResult:
    """Request a tile with data, as a browser does."""
    url = f"{settings.url}/{_key(layer)}"
    last = pool.request("GET", url, retries=HOPS)
    kind = last.headers.get("Content-Type", "")
    blank = last.data == nothing(layer, _variant(layer))
    well = last.status == 200 and kind.startswith("image/") and not blank
    empty = f", but empty: run `seeder invalidate {layer.id} --all`" * blank
    return CheckResult("tile", f"{url}: {last.status} {kind}{empty}", well)


def _tile(layer: Layer) -> Tile:
    """A tile with data near the middle of the layer, at the layer's zoom nearest to the footprint's.

    At a lower zoom a small layer may be less than a pixel.
    """
    zoom = min(max(layer.footprint.z, layer.minzoom), layer.maxzoom)
    tile = layer.footprint.central_tile(zoom)
    if layer.has(tile):
        return tile
    inside = (  # a cell of a lower zoom extends beyond the layer's bounds
        Tile(x=min(max(tile.x, each.x0), each.x1 - 1), y=min(max(tile.y, each.y0), each.y1 - 1), z=zoom)
        for each in layer.ranges(zoom)
    )
    return min(inside, key=lambda each: abs(each.x - tile.x))


def _variant(layer: Layer) -> TileVariant:
    return TileVariant(1, layer.format)


def _key(layer: Layer) -> str:
    return tile_key(TileName(layer.id, _tile(layer), 1, layer.format))
