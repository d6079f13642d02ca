"""The selectors of a command as a query: selectors of different kinds intersect, selectors of one kind unite."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from seeder.cache.audit import Audit
from seeder.cache.missing import missing, stored_planned
from seeder.cache.stored import StoredFilter
from seeder.select.burn import Shapes
from seeder.select.selection import Selection, boxed, check_wide, count, mistaken
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
    """The place of tiles in some zooms: a box, shapes, or the world."""

    zooms: tuple[int, ...]
    place: Bounds | Shapes | None

    def at(self, z: int, windows: Iterable[TileRange]) -> TileSet:
        """The tiles of zoom `z`, limited to `windows` if that saves time."""
        if self.place is None:
            return TileSet.world(z)
        return boxed((self.place,), z) if isinstance(self.place, Bounds) else _touched(self.place, z, windows)


def _touched(shapes: Shapes, z: int, windows: Iterable[TileRange]) -> TileSet:
    return TileSet.union(z, (shapes.touched(z, window) for window in windows))


@dataclass(frozen=True, slots=True)
class TrafficFilter:
    """The most requested tiles in access logs: the `top` ones, or the ones that cover a `share` of all requests."""

    read: Callable[[str], Traffic]  # of a layer
    top: int | None
    share: float | None

    def tiles(self, traffic: Traffic, zooms: Container[int]) -> TileSets:
        """The selected tiles and their ancestors."""
        return traffic.share(self.share or 0, zooms) if self.top is None else traffic.top(self.top, zooms)


@dataclass(frozen=True, slots=True)
class SpatialFilter:
    """The spatial selectors other than boxes: the intersection of `shapes`, `lists` and `areas`, minus `exclude`."""

    shapes: tuple[Shapes, ...] = ()
    lists: tuple[TileSets, ...] = ()
    areas: tuple[Area, ...] = ()
    exclude: tuple[Shapes | TileSets, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.shapes or self.lists or self.areas or self.exclude)

    @property
    def named(self) -> TileSets | None:
        """The selected tiles if they come from lists alone, otherwise None."""
        if not self.lists or self.shapes or self.areas:
            return None
        return TileSets({z: self.at(z) for z in self.lists[0].zooms})

    def at(self, z: int) -> TileSet:
        """The tiles of zoom `z`."""
        return self.within(z, (TileRange(z, 0, 0, 2**z, 2**z),))

    def within(self, z: int, windows: tuple[TileRange, ...]) -> TileSet:
        """The selected tiles of zoom `z`, complete within `windows`."""
        selected = TileSet.world(z)
        for tiles in self.lists:
            selected &= tiles.at(z)
        for shapes in self.shapes:
            selected &= _touched(shapes, z, windows)
        if self.areas:
            selected &= TileSet.union(z, (area.at(z, windows) for area in self.areas if z in area.zooms))
        for each in self.exclude:
            if isinstance(each, TileSets):
                selected -= each.at(z)
            else:
                selected -= TileSet.union(z, (each.within(z, window) for window in windows))
        return selected


@dataclass(frozen=True, slots=True)
class TileQuery:
    """The selectors of a command, independent of a layer. `footprint` is None for the command's default."""

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
        """Whether a list without tiles was given."""
        return not all(self.places.lists)

    def check_listed(self) -> None:
        """Check that no list of tiles is empty.

        Raises:
            BadOption: a list is empty.
        """
        if self.nothing:
            raise BadOption("the list of tiles is empty: give a list with tiles, or leave --tiles out")

    @property
    def anything(self) -> bool:
        """Whether any selector is given, other than the state of tiles."""
        return bool(self.zooms or self.boxes or self.places or self.traced)

    def check_boxes(self, layer: Layer) -> None:
        """Check the boxes, also those of areas, for an order other than W,S,E,N.

        Raises:
            BadOption: west and east are swapped, as it seems; or an area misses the layer, and would not in another
                order.
        """
        named = tuple(area.place for area in self.places.areas if isinstance(area.place, Bounds))
        check_wide(layer, (*self.boxes, *named))
        if wrong := mistaken(layer, named):
            place = f"choose a place within {layer.bounds.rounded} (W,S,E,N)"
            raise BadOption(f"an --area misses layer {layer.id!r}: {place}{wrong}")

    def variant(self, layer: Layer) -> TileVariant:
        """The variant of the tiles of `layer`.

        Raises:
            BadOption: the layer does not support the format.
        """
        return TileVariant(self.scale, layer.check_format(self.format or layer.format))

    def zooms_of(self, layer: Layer) -> tuple[int, ...]:
        """The selected zooms. Without `--zooms`, a list may contain zooms outside the layer's range.

        Raises:
            BadOption: no `--area` covers any of `--zooms`.
        """
        own = tuple(range(layer.minzoom, layer.maxzoom + 1))
        named = tuple(sorted({z for area in self.places.areas for z in area.zooms}))
        zooms = self.zooms or named or own
        if self.zooms and named:
            zooms = tuple(z for z in zooms if z in named)
        if not zooms:
            raise BadOption("no --area covers these --zooms: give an area for one of them, or leave --zooms out")
        if self.zooms or named:
            return zooms
        return tuple(z for z in zooms if all(z in tiles.zooms for tiles in self.places.lists))

    def selection(
        self, layer: Layer, stores: Stores, progress: Callable[[int], object]
    ) -> tuple[Selection, Traffic | None]:
        """The selected tiles of `layer`, and the traffic used to select them.

        `progress` gets the number of checked tiles, if the query depends on whether tiles are stored.

        Raises:
            ZoomOutside: the layer lacks one of the zooms.
            BadOption: a log cannot be read; a box is wrong; or no tile is selected and the query depends on stored
                tiles.
            StoreError: stored tiles could not be listed.
        """
        zooms, places, traffic = self.zooms_of(layer), self.places, None
        self.check_boxes(layer)
        layer.check_zooms(zooms)
        if self.traced:
            traffic = self.traced.read(layer.id)
            places = replace(places, lists=(*places.lists, self.traced.tiles(traffic, zooms)))
        tiles = None
        if places:
            tiles = TileSets({z: places.within(z, layer.ranges(z)) for z in zooms})
        selection = Selection(zooms, self.boxes, tiles, self.footprint is not False)
        if self.state:
            count(layer, selection)
            audit = Audit.of(layer, selection, self.variant(layer), stores)
            states = missing if self.state == "missing" else stored_planned
            selection = replace(selection, boxes=(), tiles=states(audit, progress))
        return selection, traffic

    def stored_filter(self, layer: Layer, before: datetime | None) -> StoredFilter:
        """The stored tiles selected, also outside the layer's current range; with `before`, only older ones.

        Raises:
            BadOption: no stored tile can match.
        """
        self.check_listed()
        if self.state == "missing":
            raise BadOption("missing tiles are not stored: leave --missing out, or seed them first")
        self.check_boxes(layer)
        boxes = tuple(box for box in self.boxes if box.overlaps(layer.bounds))
        if self.boxes and not boxes:
            raise BadOption(
                f"no tile of layer {layer.id!r} is selected: choose a place within {layer.bounds.rounded} (W,S,E,N)"
                f"{mistaken(layer, self.boxes)}"
            )
        zooms = self.zooms_of(layer) if self.places.areas else self.zooms
        places = self.places
        if self.traced:
            chosen = self.traced.tiles(self.traced.read(layer.id), self.zooms_of(layer))
            places = replace(places, lists=(*places.lists, chosen))
        return StoredFilter(layer, zooms, boxes, places.named or places or None, before, bool(self.footprint))
