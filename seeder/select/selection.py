"""What to act on: zooms and places, within the layer's bounds and footprint, as sets of tiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from seeder.select.blocks import Count
from seeder.select.morton import Flags, Numbers, interleaved
from seeder.select.tileset import TileSet, TileSets
from tiler.errors import BadOption
from tiler.grid import Bounds, tile_ranges
from tiler.layers.catalog import Layer
from tiler.layers.footprint import Footprint


@dataclass(frozen=True, slots=True)
class Selection:
    """Zooms, ascending, and boxes of which a tile touches any; no boxes means the whole layer.

    A box that does not overlap the layer selects nothing, not even the low zooms' tiles that hold both. With `tiles`
    only those are selected, as far as zooms and boxes allow. Without `footprint` tiles count that hold no data.
    """

    zooms: tuple[int, ...]
    boxes: tuple[Bounds, ...] = ()
    tiles: TileSets | None = None
    footprint: bool = True

    @property
    def whole(self) -> bool:
        """Whether all of each zoom is selected."""
        return not self.boxes and self.tiles is None


def regions(layer: Layer, selection: Selection) -> Iterator[TileSet]:
    """The wanted tiles, low zooms first.

    Raises:
        ZoomOutside: the layer lacks one of the zooms.
    """
    layer.check_zooms(selection.zooms)
    boxes = tuple(box for box in selection.boxes if box.overlaps(layer.bounds)) if selection.boxes else None
    data = held(layer.footprint) if selection.footprint else TileSet.world(0)
    return (_region(layer, z, boxes, selection.tiles, data) for z in selection.zooms)


def _region(layer: Layer, z: int, boxes: tuple[Bounds, ...] | None, tiles: TileSets | None, data: TileSet) -> TileSet:
    found = TileSet.ranges(z, layer.ranges(z)) & data.at(z)
    if boxes is not None:
        found &= boxed(boxes, z)
    return found if tiles is None else found & tiles.at(z)


def boxed(boxes: Iterable[Bounds], z: int) -> TileSet:
    """The tiles of zoom `z` that touch any of the boxes."""
    return TileSet.ranges(z, (each for box in boxes for each in tile_ranges(box, z)))


def covered(layer: Layer, z: int, codes: Numbers) -> Flags:
    """Which of the tiles of zoom `z` the layer has, as `(tiles,)` bool."""
    return (TileSet.ranges(z, layer.ranges(z)) & held(layer.footprint).at(z)).holds(codes)


def held(footprint: Footprint) -> TileSet:
    """The tiles of its own zoom that hold data."""
    rows, columns = np.nonzero(footprint.cells)
    return TileSet.of(footprint.z, interleaved((columns + footprint.x) % 2**footprint.z, rows + footprint.y))


def count(layer: Layer, selection: Selection) -> dict[int, Count]:
    """Exact tiles and blocks a zoom, without listing them.

    Raises:
        ZoomOutside: the layer lacks one of the zooms.
        BadOption: not one tile is selected.
    """
    counts = {region.z: region.total() for region in regions(layer, selection)}
    if not any(each.tiles for each in counts.values()):
        box = ",".join(f"{edge:.6g}" for edge in layer.bounds)
        zooms = f"zooms {layer.minzoom}-{layer.maxzoom}"
        raise BadOption(f"no tile of layer {layer.id!r} is selected: it lies within {box} (W,S,E,N), {zooms}")
    return counts
