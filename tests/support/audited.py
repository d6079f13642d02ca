"""The expected findings of an audit, object by object, for any layer, selection and objects, without rendering."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from mercantile import Tile

from seeder.cache.audit import Audit, Finding
from seeder.jobs.ledger import put_job, put_receipt
from seeder.jobs.messages import Job, Receipt, Spec
from seeder.select.selection import Selection
from seeder.select.tilelist import parse_tiles, tile_line
from tests.support.job_strategies import variants
from tests.support.layer_strategies import GLOBE, layers
from tests.support.oracle import lines
from tests.support.selections import wanted
from tests.support.site import memory
from tests.support.strategies import bounds, tiles
from tiler.errors import BadInput
from tiler.grid import Block, Bounds
from tiler.image.encode import blank_tile
from tiler.keys import TileName, parse_tile_key, tile_key
from tiler.layers.catalog import Layer
from tiler.layers.fill import Outcome
from tiler.layers.render import TileVariant
from tiler.storage.store import Entry, Store, Stores

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
PNG, LARGE = TileVariant(), TileVariant(scale=2)
Told = list[tuple[str, str]]  # key, problem


def put(store: Store, objects: dict[str, bytes], kind: str = "image/png") -> None:
    for key, data in objects.items():
        store.put(key, data, content_type=kind)


def key_of(layer: Layer, tile: Tile, variant: TileVariant = PNG) -> str:
    return tile_key(TileName(layer.id, tile, variant.scale, variant.format))


def everything(layer: Layer) -> Selection:
    return Selection(tuple(range(layer.minzoom, layer.maxzoom + 1)))


@dataclass(frozen=True)
class Case:
    """A layer, its known empty tiles, and the stored objects by key."""

    layer: Layer
    selection: Selection
    variant: TileVariant
    empty: set[Tile]
    stored: dict[str, bytes]

    def planned(self) -> set[Tile]:
        """The selected tiles."""
        found = {tile for z in self.selection.zooms for tile in wanted(self.layer, self.selection.boxes, z)}
        if self.selection.tiles is None:
            return found
        named = set(lines(self.selection.tiles))
        return {tile for tile in found if tile_line(tile) in named}

    def expected(self) -> Told:
        """The expected findings, object by object."""
        planned = {key_of(self.layer, tile, self.variant): tile for tile in self.planned()}
        told = [(key, "missing") for key in planned.keys() - self.stored.keys() if planned[key] not in self.empty]
        for key, data in self.stored.items():
            if key in planned:
                told += [] if data else [(key, "no bytes")]
            elif self._in_scope(key) and self._is_wrong(key, data):
                told.append((key, "unexpected"))
        return sorted(told)

    def _in_scope(self, key: str) -> bool:
        """Whether the object is in the audit's scope: in a selected zoom's folder, or anywhere if all are."""
        layer, *rest = key.split("/")
        if layer != self.layer.id or len(rest) < 2 or not self.selection.whole:
            return False
        return rest[0] in map(str, self.selection.zooms) or self.selection.zooms == everything(self.layer).zooms

    def _is_wrong(self, key: str, data: bytes) -> bool:
        try:
            name = parse_tile_key(key)
        except BadInput:
            return True
        inside = any(name.tile in each for each in self.layer.ranges(name.tile.z))
        variant = (name.scale, name.format) != (self.variant.scale, self.variant.format)
        return not variant and not (inside and len(data) == len(blank_tile(self.variant.size, self.variant.format)))

    def stores(self) -> Stores:
        """Stores in memory with these objects."""
        stores = Stores(memory(), memory(), "http://tiles.test")
        put(stores.tiles, self.stored)
        masks: dict[Block, int] = defaultdict(int)
        for tile in self.empty:
            masks[Block.of(tile)] |= Block.of(tile).bit(tile)
        for turn, (block, mask) in enumerate(masks.items()):
            low = mask & -mask  # receipts: one tile in one job, the rest in another
            for number, part in enumerate((low, mask & ~low) if turn % 2 else (mask, 0)):
                spec = Spec(self.layer.id, self.layer.revision, self.selection, self.variant)
                job = Job.new(spec, NOON + timedelta(hours=number))
                put_job(stores.sources, job)
                put_receipt(stores.sources, job.id, Receipt(block, Outcome(empty=part, written=1)))
        return stores

    def audit(self) -> Audit:
        """The audit of this case."""
        return Audit.of(self.layer, self.selection, self.variant, self.stores())


JUNK = (
    "{z}/readme.txt",
    "{z}/{x}/notes",
    "{z}/{x}/1/2.png",
    "{z}/{x}/01.png",
    "{z}/{x}/1.PNG",
    "{z}/{x}/1@3x.png",
    "{z}/{x}/999999.png",
    "{z}/0{x}/1.png",
    "{z}/999999/1.png",
    "{z}/x/1.png",
    "0{z}/{x}/1.png",
    "z/{x}/1.png",
    "29/1/1.png",
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Layers of low zooms, with changes among and around their tiles."""
    layer = draw(layers(deepest=4))
    zooms = everything(layer).zooms
    if draw(st.booleans()):
        zooms = tuple(sorted(draw(st.sets(st.sampled_from(zooms), min_size=1))))
    selection = Selection(zooms, tuple(draw(st.sampled_from(([], [draw(bounds())], [draw(bounds()), layer.bounds])))))
    case = Case(layer, selection, draw(variants), set(), {})
    if draw(st.integers(0, 3)) == 0:
        some = draw(st.sets(tiles(4), max_size=5)) | set(sorted(case.planned())[::3])
        case = replace(case, selection=replace(selection, tiles=parse_tiles(map(tile_line, some), "tiles")))
    all_tiles = sorted(tile for z in everything(layer).zooms for tile in wanted(layer, (), z))
    own = st.sampled_from(all_tiles or [Tile(0, 0, 0)])
    stored = {key_of(layer, tile, case.variant): b"tile" for tile in all_tiles}
    empty = draw(st.sets(own, max_size=6))
    for tile in draw(st.sets(own, max_size=6)) | set(sorted(empty)[1:]):
        stored.pop(key_of(layer, tile, case.variant), None)
    void = blank_tile(case.variant.size, case.variant.format)
    beside = st.builds(lambda tile, x: Tile(x=(tile.x ^ x) % 2**tile.z, y=tile.y, z=tile.z), own, st.integers(1, 7))
    for tile in draw(st.sets(own | beside | tiles(6), max_size=8)):
        stored[key_of(layer, tile, case.variant)] = draw(st.sampled_from((b"", b"more", void)))
    for tile in draw(st.sets(own, max_size=4)):
        other = draw(variants)
        if other != case.variant:
            stored[key_of(layer, tile, other)] = b""
        for name in draw(st.sets(st.sampled_from(JUNK), max_size=3)):
            stored[f"{layer.id}/{name.format(z=tile.z, x=tile.x)}"] = draw(st.sampled_from((b"", b"junk", void)))
        stored[f"{layer.id}-2/{tile.z}/{tile.x}/{tile.y}.png"] = b"of a layer whose name begins alike"
    stored |= dict.fromkeys([f"{layer.id}/wmts.xml", f"{layer.id}/index.html", f"{layer.id}x"], b"beside the tiles")
    return replace(case, empty=empty, stored=stored)


def told(found: Iterable[Finding]) -> Told:
    return sorted((finding.key, finding.problem) for finding in found)


def listed(audit: Audit) -> Told:
    return told(audit.findings(lambda _: None))


NEAR = replace(GLOBE, id="near", minzoom=3, maxzoom=5, bounds=Bounds(5, 5, 60, 60))  # columns 16 to 21 at zoom 5


def whole(more: dict[str, bytes] | None = None, layer: Layer = NEAR, variant: TileVariant = PNG) -> Case:
    """A layer with all tiles stored, and other objects."""
    stored = {key_of(layer, tile, variant): b"tile" for z in everything(layer).zooms for tile in wanted(layer, (), z)}
    return Case(layer, everything(layer), variant, set(), stored | (more or {}))


OWN = Spec("near", NEAR.revision, Selection((5,)), PNG)


class Wide:
    """A tile store of one zoom, with two tiles in each column; counts listed columns."""

    def __init__(self, z: int) -> None:
        self.z, self.begun = z, 0

    def folders(self, prefix: str) -> tuple[str, ...]:
        """See `Store.folders`."""
        return (str(self.z),) if prefix.count("/") == 1 else tuple(map(str, range(2**self.z)))

    def below(self, prefix: str) -> tuple[tuple[str, ...], tuple[Entry, ...]]:
        """See `Store.below`."""
        return self.folders(prefix), ()

    def list(self, prefix: str) -> Iterator[Entry]:
        """See `Store.list`."""
        self.begun += 1
        return (Entry(f"{prefix}{y}.png", 9, NOON) for y in (0, 1))
