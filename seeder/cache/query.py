"""What a command's selectors ask for: each kind narrows what the others leave, of one kind each adds to the others."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from seeder.cache.audit import Audit
from seeder.cache.missing import missing, stored_planned
from seeder.cache.stored import StoredFilter
from seeder.select.burn import Shapes
from seeder.select.selection import Selection, boxed, count
from seeder.select.tileset import TileSet, TileSets
from seeder.select.traffic import Traffic
from tiler.errors import BadOption
from tiler.grid import Bounds, TileRange
from tiler.keys import Format, Scale
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant
from tiler.storage.store import Stores

State = Literal["missing", "existing"]  # of a tile


@dataclass(frozen=True, slots=True)
class Area:
    """Where the tiles of some zooms are: in a box, touched by shapes, or anywhere."""

    zooms: tuple[int, ...]
    place: Bounds | Shapes | None

    def at(self, z: int, windows: Iterable[TileRange]) -> TileSet:
        """The tiles of zoom `z`, within `windows` where that spares work."""
        if self.place is None:
            return TileSet.world(z)
        return boxed((self.place,), z) if isinstance(self.place, Bounds) else _touched(self.place, z, windows)


def _touched(shapes: Shapes, z: int, windows: Iterable[TileRange]) -> TileSet:
    return TileSet.union(z, (shapes.touched(z, window) for window in windows))


@dataclass(frozen=True, slots=True)
class TrafficFilter:
    """The most requested tiles that logs tell of: so many, or those that have a `share` of all requests."""

    read: Callable[[str], Traffic]  # of a layer
    top: int | None
    share: float | None

    def tiles(self, traffic: Traffic, zooms: Container[int]) -> TileSets:
        """The tiles with their ancestors."""
        return traffic.share(self.share or 0, zooms) if self.top is None else traffic.top(self.top, zooms)


@dataclass(frozen=True, slots=True)
class SpatialFilter:
    """Where tiles are to be, other than in boxes: what `shapes`, `lists` and `areas` all allow, without `exclude`."""

    shapes: tuple[Shapes, ...] = ()
    lists: tuple[TileSets, ...] = ()
    areas: tuple[Area, ...] = ()
    exclude: tuple[Shapes | TileSets, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.shapes or self.lists or self.areas or self.exclude)

    @property
    def named(self) -> TileSets | None:
        """The tiles, if all of them are listed."""
        if not self.lists or self.shapes or self.areas:
            return None
        return TileSets({z: self.at(z) for z in self.lists[0].zooms})

    def at(self, z: int) -> TileSet:
        """The tiles of zoom `z`."""
        return self.within(z, (TileRange(z, 0, 0, 2**z, 2**z),))

    def within(self, z: int, windows: tuple[TileRange, ...]) -> TileSet:
        """The tiles of zoom `z`, all of those in `windows` among them."""
        found = TileSet.world(z)
        for tiles in self.lists:
            found &= tiles.at(z)
        for shapes in self.shapes:
            found &= _touched(shapes, z, windows)
        if self.areas:
            found &= TileSet.union(z, (area.at(z, windows) for area in self.areas if z in area.zooms))
        for each in self.exclude:
            if isinstance(each, TileSets):
                found -= each.at(z)
            else:
                found -= TileSet.union(z, (each.within(z, window) for window in windows))
        return found


@dataclass(frozen=True, slots=True)
class TileQuery:
    """What the options say, before the layer is known. No `footprint` means what the command does by itself."""

    zooms: tuple[int, ...] | None = None
    boxes: tuple[Bounds, ...] = ()
    places: SpatialFilter = field(default_factory=SpatialFilter)
    traced: TrafficFilter | None = None
    footprint: bool | None = None
    state: State | None = None
    scale: Scale = 1
    format: Format | None = None

    @property
    def nothing(self) -> bool:
        """Whether a list was given that names no tile."""
        return not all(self.places.lists)

    def check_listed(self) -> None:
        """Nothing, unless a list was given that names no tile.

        Raises:
            BadOption: one was.
        """
        if self.nothing:
            raise BadOption("the list names no tile: give one that does, or leave --tiles out")

    @property
    def anything(self) -> bool:
        """Whether any option says which tiles, other than whether they are stored."""
        return bool(self.zooms or self.boxes or self.places or self.traced)

    def variant(self, layer: Layer) -> TileVariant:
        """How the tiles of `layer` look.

        Raises:
            BadOption: the layer cannot be had in that format.
        """
        return TileVariant(self.scale, layer.check_format(self.format or layer.format))

    def zooms_of(self, layer: Layer) -> tuple[int, ...]:
        """The zooms that are meant. Without `--zooms` a list may name zooms that the layer lacks.

        Raises:
            BadOption: an `--area` is given for none of those in `--zooms`.
        """
        own = tuple(range(layer.minzoom, layer.maxzoom + 1))
        named = tuple(sorted({z for area in self.places.areas for z in area.zooms}))
        zooms = self.zooms or named or own
        if self.zooms and named:
            zooms = tuple(z for z in zooms if z in named)
        if not zooms:
            raise BadOption("no --area is for one of these --zooms: give an area for them, or leave --zooms out")
        if self.zooms or named:
            return zooms
        return tuple(z for z in zooms if all(z in tiles.zooms for tiles in self.places.lists))

    def selection(
        self, layer: Layer, stores: Stores, progress: Callable[[int], object]
    ) -> tuple[Selection, Traffic | None]:
        """The tiles of `layer` that are meant, and the traffic by which they were chosen.

        `progress` is told of tiles as it is looked whether they are stored, where that matters.

        Raises:
            ZoomOutside: the layer lacks one of the zooms.
            BadOption: a log cannot be read; or, where it matters whether tiles are stored, none is selected.
            StoreError: it cannot be told what is stored.
        """
        zooms, places, traffic = self.zooms_of(layer), self.places, None
        layer.check_zooms(zooms)
        if self.traced:
            traffic = self.traced.read(layer.id)
            places = replace(places, lists=(*places.lists, self.traced.tiles(traffic, zooms)))
        tiles = None
        if places:
            tiles = TileSets({z: places.within(z, layer.ranges(z)) for z in zooms})
        found = Selection(zooms, self.boxes, tiles, self.footprint is not False)
        if self.state:
            count(layer, found)
            audit = Audit.of(layer, found, self.variant(layer), stores)
            states = missing if self.state == "missing" else stored_planned
            found = replace(found, boxes=(), tiles=states(audit, progress))
        return found, traffic

    def stored_filter(self, layer: Layer, before: datetime | None) -> StoredFilter:
        """The stored tiles of `layer` that are meant, whether or not it has them still, as far as they are older.

        Raises:
            BadOption: it can be none.
        """
        self.check_listed()
        if self.state == "missing":
            raise BadOption("what is missing is not stored: leave --missing out, or seed it")
        boxes = tuple(box for box in self.boxes if box.overlaps(layer.bounds))
        if self.boxes and not boxes:
            raise BadOption(f"no tile is selected: layer {layer.id!r} lies within {layer.bounds} (W,S,E,N)")
        zooms = self.zooms_of(layer) if self.places.areas else self.zooms
        places = self.places
        if self.traced:
            chosen = self.traced.tiles(self.traced.read(layer.id), self.zooms_of(layer))
            places = replace(places, lists=(*places.lists, chosen))
        return StoredFilter(layer, zooms, boxes, places.named or places or None, before, bool(self.footprint))
