"""Is everything there and does it work? Looked at from outside, as users and workers meet it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version

import mercantile
import urllib3
from mercantile import Tile

from seeder.aws import clients
from seeder.aws.queue import QueueClient
from seeder.aws.stack import Stack, read_stack
from tiler.errors import TilerError
from tiler.inputs import read_json
from tiler.keys import TileName, tile_key
from tiler.layers.catalog import Layer, list_layers, load_layer
from tiler.layers.render import TileVariant, render_tile
from tiler.settings import Settings
from tiler.storage.store import Store, Stores

PROBE = "jobs/0/0/0.png"  # a tile that can never be, for no layer may be named so
TIMEOUT = 30.0  # seconds; a Lambda that starts takes a few
DEPLOYED = {
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE",
}
HOPS = urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=5)
MOVED = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What was looked at, whether it is as it should be, and what was seen."""

    what: str
    seen: str
    well: bool = True


Check = Callable[[], Iterator[CheckResult]]


def examine(settings: Settings, layer: str | None) -> Iterator[CheckResult]:
    """Findings as they are made, from the machine to a tile that a browser gets.

    `layer` names the layer to render a tile of; else the first one. Nothing is changed, but that the tile which the
    redirect path is asked for is stored, as for anybody who asks.
    """
    stack = read_stack(settings.stack, settings.s3.region) if settings.stack else None
    python = ".".join(map(str, sys.version_info[:3]))
    yield CheckResult(
        "machine", f"Python {python}, tile-seeder {version('tile-seeder')}, rasterio {version('rasterio')}"
    )
    if stack or (settings.tiles.startswith("s3:") and not settings.s3.endpoint):
        yield from _guarded("credentials", lambda: _credentials(settings))
    if stack:
        yield CheckResult("stack", f"{stack.name}: {stack.status}", stack.status in DEPLOYED)
    found: list[Layer] = []
    yield from _guarded("tiles", lambda: _store(settings, tiles=True))
    yield from _guarded("sources", lambda: _store(settings, tiles=False))
    if settings.queue:
        yield from _guarded("queue", lambda: _queue(settings, stack))
    yield from _guarded("layers", lambda: _layers(settings, layer, found))
    if found:
        yield from _guarded("render", lambda: _render(settings, found[0]))
    if stack:
        yield from _guarded("redirect", lambda: _redirect(settings, stack, found))


def _guarded(what: str, check: Check) -> Iterator[CheckResult]:
    """A check whose own failure is a finding too."""
    try:
        yield from check()
    except (TilerError, urllib3.exceptions.HTTPError) as error:
        yield CheckResult(what, str(error), well=False)


def _credentials(settings: Settings) -> Iterator[CheckResult]:
    client = clients.client("sts", settings.s3.region)
    with clients.translated("ask who I am"):
        me = client.get_caller_identity()
    yield CheckResult("credentials", f"{me['Arn']} in {client.meta.region_name}")


def _store(settings: Settings, *, tiles: bool) -> Iterator[CheckResult]:
    stores = Stores.open(settings)
    what, store = ("tiles", stores.tiles) if tiles else ("sources", stores.sources)
    yield CheckResult(what, f"{store.url} {'is empty' if store.empty('') else 'can be listed'}")


def _queue(settings: Settings, stack: Stack | None) -> Iterator[CheckResult]:
    queue = QueueClient.open(settings.queue, settings.s3.region)
    said = queue.attributes()
    dead = queue.dead_letters(said)
    depth = queue.depth()
    yield CheckResult("queue", f"{queue.url}: {depth.waiting:,} waiting, {depth.hidden:,} being worked off")
    if not dead:
        yield CheckResult(
            "dead letters", "the queue has no dead-letter queue: what fails comes again for ever", well=False
        )
    else:
        cure = "; look at one with `aws sqs receive-message`, then seed again" if depth.dead else ""
        yield CheckResult("dead letters", f"{depth.dead:,} in {dead}{cure}", not depth.dead)
    if stack and stack.outputs.get("WorkerFunction"):
        client = clients.client("lambda", settings.s3.region)
        with clients.translated("look at the event-source mapping"):
            mappings = client.list_event_source_mappings(FunctionName=stack.outputs["WorkerFunction"])
        states = [each["State"] for each in mappings["EventSourceMappings"]]
        yield CheckResult("workers", f"event-source mapping {', '.join(states) or 'is missing'}", states == ["Enabled"])


def _layers(settings: Settings, layer: str | None, found: list[Layer]) -> Iterator[CheckResult]:
    sources: Store = Stores.open(settings).sources
    names = list(list_layers(sources))
    yield CheckResult("layers", ", ".join(names) or "none yet: run `seeder ingest SOURCE`")
    if layer or names:
        found.append(load_layer(sources, layer or names[0]))


def _render(settings: Settings, layer: Layer) -> Iterator[CheckResult]:
    """A tile of the layer, from its source, not stored."""
    start = time.monotonic()
    data = render_tile(layer, Stores.open(settings).sources, _middle(layer), TileVariant(1, layer.format))
    spent = round(1000 * (time.monotonic() - start))
    yield CheckResult("render", f"{_key(layer)}: {len(data or b''):,} bytes in {spent} ms")


def _redirect(settings: Settings, stack: Stack, found: list[Layer]) -> Iterator[CheckResult]:
    """The way of a browser: the website, what it redirects to, the tile."""
    pool = urllib3.PoolManager(timeout=TIMEOUT, retries=False)
    url = f"{settings.url}/{PROBE}"
    first = pool.request("GET", url, redirect=False)
    there = first.headers.get("Location", "")
    way = first.status in MOVED and there.startswith(stack.outputs.get("ApiUrl", "https:"))
    yield CheckResult("website", f"{url}: {first.status} {there}", way)
    if not way:
        return
    second = pool.request("GET", there, redirect=False)
    known = second.status == 400 and _says(second.data)
    said = "" if known else second.data[:200].decode(errors="replace")
    yield CheckResult("api", f"{there}: {second.status} {said}", known)
    if known and found:
        url = f"{settings.url}/{_key(found[0])}"
        last = pool.request("GET", url, retries=HOPS)
        kind = last.headers.get("Content-Type", "")
        yield CheckResult("tile", f"{url}: {last.status} {kind}", last.status == 200 and kind.startswith("image/"))


def _says(body: bytes) -> bool:
    """Whether a body is one of our own answers."""
    try:
        said = read_json(body)
    except ValueError:
        return False
    return isinstance(said, dict) and "message" in said


def _middle(layer: Layer) -> Tile:
    """The tile of the lowest zoom in the middle of the layer, or the first of its zoom."""
    ranges = layer.ranges(layer.minzoom)
    tile = mercantile.tile(*layer.bounds.center, layer.minzoom)
    return tile if any(tile in each for each in ranges) else Tile(x=ranges[0].x0, y=ranges[0].y0, z=layer.minzoom)


def _key(layer: Layer) -> str:
    return tile_key(TileName(layer.id, _middle(layer), 1, layer.format))
