"""Selections of zooms and places, within a layer's bounds and footprint, as sets of tiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from seeder.select.blocks import Count
from seeder.select.morton import Flags, Numbers, interleaved
from seeder.select.tileset import TileSet, TileSets
from tiler.errors import BadOption
from tiler.grid import WIDEST, Bounds, reordered, tile_ranges
from tiler.layers.catalog import Layer
from tiler.layers.footprint import Footprint


@dataclass(frozen=True, slots=True)
class Selection:
    """Zooms, ascending, and boxes: tiles that touch any box are selected; no boxes means the whole layer.

    A box outside the layer selects nothing, not even tiles of low zooms that contain both. `tiles` narrows the
    selection to these tiles. Without `footprint`, tiles without data count too.
    """

    zooms: tuple[int, ...]
    boxes: tuple[Bounds, ...] = ()
    tiles: TileSets | None = None
    footprint: bool = True

    @property
    def whole(self) -> bool:
        """Whether all tiles of each zoom are selected."""
        return not self.boxes and self.tiles is None


def regions(layer: Layer, selection: Selection) -> Iterator[TileSet]:
    """The selected tiles, low zooms first.

    Raises:
        ZoomOutside: the layer lacks one of the zooms.
    """
    layer.check_zooms(selection.zooms)
    boxes = tuple(box for box in selection.boxes if box.overlaps(layer.bounds)) if selection.boxes else None
    data = data_tiles(layer.footprint) if selection.footprint else TileSet.world(0)
    return (_region(layer, z, boxes, selection.tiles, data) for z in selection.zooms)


def planned(layer: Layer, z: int, selection: Selection | None = None) -> TileSet:
    """The layer's selected tiles of zoom `z`; none outside its range of zooms."""
    if not layer.minzoom <= z <= layer.maxzoom:
        return TileSet.nothing(z)
    (region,) = regions(layer, selection or Selection((z,)))
    return region


def _region(layer: Layer, z: int, boxes: tuple[Bounds, ...] | None, tiles: TileSets | None, data: TileSet) -> TileSet:
    region = TileSet.ranges(z, layer.ranges(z)) & data.at(z)
    if boxes is not None:
        region &= boxed(boxes, z)
    return region if tiles is None else region & tiles.at(z)


def mistaken(layer: Layer, boxes: Iterable[Bounds] | None) -> str:
    """The end of an error: another order of a box's numbers, in which it would not miss the layer; empty if none is."""
    for box in boxes or ():
        for other, mistake in () if box.overlaps(layer.bounds) else reordered(tuple(box)):
            if other.overlaps(layer.bounds):
                return f"; if {mistake} in {box}, write {other}"
    return ""


def check_wide(layer: Layer, boxes: Iterable[Bounds]) -> None:
    """Check that no box spans nearly all longitudes because its west and east are swapped.

    Raises:
        BadOption: one does, and the layer neither crosses the antimeridian nor is as wide.
    """
    if layer.bounds.crosses or layer.bounds.width > WIDEST:
        return
    for box in boxes:
        if box.crosses and box.width > WIDEST:
            other = Bounds(box.east, box.south, box.west, box.north)
            raise BadOption(
                f"box {box} spans {box.width:.4g} degrees across the antimeridian: write {other}, or no box for all of "
                f"layer {layer.id!r}"
            )


def boxed(boxes: Iterable[Bounds], z: int) -> TileSet:
    """The tiles of zoom `z` that touch any of the boxes."""
    return TileSet.ranges(z, (each for box in boxes for each in tile_ranges(box, z)))


def covered(layer: Layer, z: int, codes: Numbers) -> Flags:
    """Whether the layer has each tile of zoom `z`, as `(tiles,)` bool."""
    return (TileSet.ranges(z, layer.ranges(z)) & data_tiles(layer.footprint).at(z)).holds(codes)


def data_tiles(footprint: Footprint) -> TileSet:
    """The tiles with data, at the footprint's own zoom."""
    rows, columns = np.nonzero(footprint.cells)
    return TileSet.of(footprint.z, interleaved((columns + footprint.x) % 2**footprint.z, rows + footprint.y))


def count(layer: Layer, selection: Selection) -> dict[int, Count]:
    """Exact numbers of tiles and blocks at each zoom, without listing them.

    Raises:
        ZoomOutside: the layer lacks one of the zooms.
        BadOption: no tile is selected.
    """
    counts = {region.z: region.total() for region in regions(layer, selection)}
    if not any(each.tiles for each in counts.values()):
        box = layer.bounds.rounded
        zooms = f"zooms {layer.minzoom}-{layer.maxzoom}"
        why = f"choose {zooms} and a place within {box} (W,S,E,N)"
        raise BadOption(f"no tile of layer {layer.id!r} is selected: {why}{mistaken(layer, selection.boxes)}")
    return counts
