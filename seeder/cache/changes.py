"""Tiles that may differ between two revisions of a layer, from the digests of their blocks.

A tile of the COG's zooms differs only if its block does. Others are made of several blocks: a terrain kernel reads the
neighbours' nearest pixels; a tile above the base the base's pixels within the kernel's reach; a tile below the last
overview of a COG all of the overview's beneath it; a tile at scale 2 those of its four children. Where few blocks of
parts differ, their pixels tell which of these tiles do. Where the two cannot be compared, every tile may differ.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import RLock

import numpy as np
from mercantile import Tile

from seeder.cache.differences import Difference, differences, reached
from seeder.select.morton import Numbers, code_of, interleaved
from seeder.select.tileset import TileSet
from seeder.select.widened import widened
from tiler.errors import CatalogError, MissingObject
from tiler.grid import TILE, TileRange
from tiler.keys import Scale, part_facts_key
from tiler.layers.catalog import Layer
from tiler.layers.cog_layout import CogLayout
from tiler.layers.digests import Digest, Levels, stored_digests
from tiler.layers.part_facts import PartFacts
from tiler.layers.pyramid import Part, Pyramid
from tiler.layers.pyramid import Place as PartPlace
from tiler.raster.warp import KERNEL
from tiler.storage.store import Store, Stores

DEEPEST = 8  # zooms above the base in which a tile has a whole pixel of it
BULGE = 32  # a warp reads beyond its kernel by one over this share of its window

Load = Callable[[Layer, Store], Levels | None]  # the digests of a layer's COG, None if they are unknown
Placed = tuple[Numbers, Numbers, Digest]  # columns and rows of blocks on the grid, and their digests


@dataclass(frozen=True, slots=True)
class Cog:
    """The place of a COG, and the digests of its blocks."""

    place: CogLayout
    levels: Levels

    def corner(self, level: int) -> tuple[int, int]:
        """Column and row of the north-west pixel of a level on the grid of its zoom."""
        return self.place.x * TILE >> level, self.place.y * TILE >> level

    def area(self, z: int) -> TileSet:
        """The tiles of zoom `z`, the base's, within the COG."""
        place, world = self.place, 1 << z
        east = place.x + place.columns
        rows = place.y, min(place.y + place.rows, world)
        parts = [(place.x, min(east, world)), (0, east - world)]
        return TileSet.ranges(z, [TileRange(z, x0, rows[0], x1, rows[1]) for x0, x1 in parts if x0 < x1])


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a layer, and their facts as far as they were read."""

    layer: str
    pyramid: Pyramid
    sources: Store
    _facts: dict[str, PartFacts] = field(default_factory=dict, compare=False, repr=False)

    def parts(self, tier: int) -> dict[PartPlace, Part]:
        """The parts of a tier."""
        every = self.pyramid.parts(self.layer, self.sources)
        return {place: part for place, part in every.items() if place.tier == tier}

    def blocks(self, parts: Iterable[Part], level: int) -> Placed:
        """The blocks of a level that hold data."""
        placed = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint64))]
        for part in parts:
            digests = self._read(part).digests[level]
            rows, columns = np.nonzero(digests)
            left, top = part.layout.x >> level, part.layout.y >> level
            placed.append((columns + left, rows + top, digests[rows, columns]))
        columns, rows, digests = (np.concatenate(each) for each in zip(*placed, strict=True))
        return columns, rows, digests

    def _read(self, part: Part) -> PartFacts:
        if part.name not in self._facts:
            key = part_facts_key(self.layer, part.name)
            self._facts[part.name] = PartFacts.parse(self.sources.get(key), key)
        return self._facts[part.name]


Baked = Cog | Parts


@dataclass(frozen=True, slots=True)
class Changes:
    """The tiles of `layer` that may differ from those of another revision, `other`.

    `baked` are the other's and its own. Without `baked`, all tiles may differ.
    """

    layer: Layer
    baked: tuple[Baked, Baked] | None
    other: Layer | None = field(default=None, repr=False)
    _pixels_of: dict[int, list[Difference] | None] = field(default_factory=dict, compare=False, repr=False)
    _known: dict[tuple[int, int], TileSet | None] = field(default_factory=dict, compare=False, repr=False)
    _lists: dict[tuple[int, int], tuple[list[int], list[int]]] = field(default_factory=dict, compare=False, repr=False)
    _lock: RLock = field(default_factory=RLock, compare=False, repr=False)

    @property
    def known(self) -> bool:
        """Whether the two revisions could be compared."""
        return self.baked is not None

    def at(self, z: int, scale: Scale) -> TileSet | None:
        """The tiles of zoom `z` that may differ, also those outside the layer; None for all."""
        with self._lock:
            if (z, scale) not in self._known:
                self._known[z, scale] = self._changed(z, scale)
            return self._known[z, scale]

    def has(self, tile: Tile, scale: Scale) -> bool:
        """Whether a tile may differ."""
        name = (tile.z, scale)
        if name not in self._lists:
            tiles = self.at(tile.z, scale)
            tiles = TileSet.world(tile.z) if tiles is None else tiles
            self._lists[name] = tiles.starts.tolist(), tiles.stops.tolist()
        starts, stops = self._lists[name]
        code = code_of(tile.x, tile.y)
        run = bisect_right(stops, code)
        return run < len(starts) and starts[run] <= code

    def _changed(self, z: int, scale: Scale) -> TileSet | None:
        own = TileSet.ranges(z, self.layer.ranges(z))
        if self.baked is None or not len(own):
            return None
        try:
            pixels = self._pixels(*self.baked, z + scale - 1)
        except (CatalogError, MissingObject):  # facts of parts are damaged or gone
            return None
        return None if pixels is None else pixels.at(z) | (TileSet.world(z) - own)

    def _pixels(self, old: Baked, new: Baked, zoom: int) -> TileSet | None:
        """The squares of 256 pixels of a zoom that may differ, as tiles."""
        kernel = self.layer.style.reach
        if isinstance(old, Cog) and isinstance(new, Cog):
            return self._of_cogs(old, new, zoom, kernel=kernel)
        base = self.layer.bake.z if self.layer.bake else 0
        if zoom > base and (isinstance(old, Cog) or isinstance(new, Cog)):
            return None  # pixels enlarged from a COG and from a part differ in the last bit
        tiles = _blocks_differing(old, new, min(zoom, base))
        if tiles is None:
            return None
        if zoom <= base and not kernel:
            return tiles
        reach = (KERNEL[self.layer.resampling] if zoom > base else 0) + kernel  # pixels of the tiles' zoom
        if zoom - tiles.z <= DEEPEST and (found := self._differences(tiles)) is not None:
            return reached(found, tiles.z, zoom, reach)
        return widened(tiles.at(zoom), reach_above(self.layer, zoom - base) if zoom > base else 1)

    def _differences(self, tiles: TileSet) -> list[Difference] | None:
        """The pixels of tiles that differ; None if they are not compared."""
        own = self.baked[1] if self.baked else None
        if tiles.z not in self._pixels_of and self.other and isinstance(own, Parts):
            self._pixels_of[tiles.z] = differences(self.other, self.layer, tiles, own.sources)
        return self._pixels_of.get(tiles.z)

    def _of_cogs(self, old: Cog, new: Cog, zoom: int, *, kernel: int) -> TileSet | None:
        """The same of two COGs."""
        level = new.place.z - zoom
        last = new.place.levels - 1
        if level < 0:
            return _above(old, new, zoom, KERNEL[self.layer.resampling] + 1, kernel=kernel)
        if level <= last:
            tiles = _compared(old, new, level)
        elif _placed_alike(old.place, new.place):
            tiles = _compared(old, new, last)
            tiles = tiles if tiles is None else widened(tiles, 1).at(zoom)
        else:
            return None
        return widened(tiles, 1) if kernel and tiles is not None else tiles


def reach_above(layer: Layer, levels: int) -> int:
    """The tiles beside one that the pixels of a base tile reach, `levels` zooms above the base."""
    kernel = layer.style.reach
    reach = math.ceil((KERNEL[layer.resampling] + 1) * 2.0**levels) + kernel
    return -(-reach // TILE)


def changed_tiles(old: Layer, new: Layer, stores: Stores, load: Load = stored_digests) -> Changes:
    """The tiles of `new` that may differ from those of another revision `old`; all, if that is unknown.

    `load` gives the digests of a layer's COG.

    Raises:
        StoreError: the digests could not be read.
    """
    if not (old.bake and new.bake and rendered_alike(old, new)):
        return Changes(new, None)
    before, after = (_baked(each, stores.sources, load) for each in (old, new))
    return Changes(new, None if before is None or after is None else (before, after), old)


def _baked(layer: Layer, sources: Store, load: Load) -> Baked | None:
    """The parts or the COG of a layer, with digests; None if these are unknown."""
    if isinstance(layer.bake, Pyramid):
        return Parts(layer.id, layer.bake, sources)
    levels = load(layer, sources) if layer.bake else None
    return None if layer.bake is None or levels is None else Cog(layer.bake, levels)


def _blocks_differing(old: Baked, new: Baked, z: int) -> TileSet | None:
    """The tiles of a zoom up to the base with differing blocks; None if they cannot be compared."""
    before, after = _unlike(old, new, z), _unlike(new, old, z)
    if before is None or after is None:
        return None
    return TileSet.of(z, _codes(*_differing(before, after), z))


def _unlike(one: Baked, other: Baked, z: int) -> Placed | None:
    """The blocks of a zoom, except those of parts that are in the other too; None if they are no tiles."""
    if isinstance(one, Cog):
        level = one.place.z - z
        aligned = level < one.place.levels and not any(side % TILE for side in one.corner(level))
        return _placed(one, level) if aligned else None
    tier, level = one.pyramid.tier_of(z)
    theirs = other.parts(tier) if isinstance(other, Parts) else {}
    own = one.parts(tier).items()
    return one.blocks((part for at, part in own if at not in theirs or theirs[at].hash != part.hash), level)


def rendered_alike(old: Layer, new: Layer) -> bool:
    """Whether two baked layers differ in nothing but their pixels, as far as renders read them."""
    both = isinstance(old.bake, Pyramid) and isinstance(new.bake, Pyramid)  # whose columns count around the globe
    return _reads(old) == _reads(new) and (both or old.bounds.crosses == new.bounds.crosses)


def _reads(layer: Layer) -> tuple[object, ...]:
    bake = layer.bake
    return layer.style, layer.resampling, layer.full_format, layer.bands, bake and (bake.z, bake.finished)


def _placed_alike(one: CogLayout, other: CogLayout) -> bool:
    """Whether two COGs have the same place and size."""
    return (one.x, one.y, one.columns, one.rows, one.levels) == (
        other.x,
        other.y,
        other.columns,
        other.rows,
        other.levels,
    )


def _compared(old: Cog, new: Cog, level: int) -> TileSet | None:
    """The tiles with differing blocks of a level; None if the COGs' blocks of the level do not lie on each other.

    Blocks of low levels may lie across up to four tiles.
    """
    if level >= min(old.place.levels, new.place.levels):
        return None
    (left, top), other = new.corner(level), old.corner(level)
    phase = left % TILE, top % TILE
    if phase != (other[0] % TILE, other[1] % TILE):
        return None
    z = new.place.z - level
    if _placed_alike(old.place, new.place):
        rows, columns = np.nonzero(old.levels[level] != new.levels[level])
        columns, rows = columns + left // TILE, rows + top // TILE
    else:
        columns, rows = _differing(_placed(old, level), _placed(new, level))
    east, south = (range(1 + (side > 0)) for side in phase)
    tiles = [(columns + x, rows + y) for x in east for y in south]
    return TileSet.union(z, (TileSet.of(z, _codes(*each, z)) for each in tiles))


def _codes(columns: Numbers, rows: Numbers, z: int) -> Numbers:
    """The codes of tiles on the grid; columns go around the globe."""
    inside = rows < 1 << z
    return interleaved(columns[inside] % (1 << z), rows[inside])


def _placed(cog: Cog, level: int) -> Placed:
    """The blocks of a level that hold data."""
    digests, (left, top) = cog.levels[level], cog.corner(level)
    rows, columns = np.nonzero(digests)
    world = 1 << (cog.place.z - level)
    return (columns + left // TILE) % world, rows + top // TILE, digests[rows, columns]


def _differing(one: Placed, other: Placed) -> tuple[Numbers, Numbers]:
    """Columns and rows of the blocks that are not in both with the same digest."""
    columns, rows, digests = (np.concatenate(each) for each in zip(one, other, strict=True))
    order = np.lexsort((digests, rows, columns))
    columns, rows, digests = columns[order], rows[order], digests[order]
    same = (np.diff(columns) == 0) & (np.diff(rows) == 0) & (np.diff(digests.astype(np.int64)) == 0)
    alone = ~(np.r_[same, False] | np.r_[False, same]) if len(columns) else np.zeros(0, bool)
    return columns[alone], rows[alone]


def _above(old: Cog, new: Cog, zoom: int, reach: float, *, kernel: int) -> TileSet | None:
    """The tiles above the base within `reach` base pixels of a differing block, and the pixels of a terrain `kernel`.

    Warps of COGs from another corner are equal but for rounding, so all of their tiles may differ. Where one COG is
    larger, the tiles at the other's sides may.
    """
    z = new.place.z
    base = _compared(old, new, 0)
    if base is None or (old.place.x, old.place.y) != (new.place.x, new.place.y):
        return None
    if not _placed_alike(old.place, new.place):
        areas = old.area(z), new.area(z)
        base |= (areas[0] - areas[1]) | (areas[1] - areas[0])
        reach += (TILE >> (zoom - z)) / BULGE + 1
    pixels = math.ceil(reach * 2.0 ** (zoom - z)) + kernel
    return widened(base.at(zoom), -(-pixels // TILE))
