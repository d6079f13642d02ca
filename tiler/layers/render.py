"""Render a layer's tiles block by block: read, draw in the style, cut, encode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import rasterio
from mercantile import Tile
from rasterio.session import DummySession

from tiler.errors import BadOption
from tiler.grid import TILE, Block, Window
from tiler.image.drawn import picture_of
from tiler.image.encode import blank_tile, encode
from tiler.keys import FORMATS, Format, Scale
from tiler.layers.catalog import Layer
from tiler.layers.origin import check_origins
from tiler.layers.part_pixels import PartPixels
from tiler.layers.pyramid import Pyramid
from tiler.layers.raster_pixels import RasterPixels
from tiler.storage.store import Store

CACHE = 16 << 20  # bytes of GDAL's block cache per process: few blocks are read twice


@dataclass(frozen=True, slots=True)
class TileVariant:
    """The scale and format of tiles: 256 pixels per side at scale 1, 512 at scale 2.

    Raises:
        BadOption: the scale or format is invalid.
    """

    scale: Scale = 1
    format: Format = "png"

    def __post_init__(self) -> None:
        if self.scale not in get_args(Scale) or self.format not in FORMATS:
            raise BadOption(
                f"no tiles at scale {self.scale} as {self.format}: use scale 1 or 2, as {', '.join(FORMATS)}"
            )

    @property
    def size(self) -> int:
        """Pixels along a tile's side."""
        return TILE * self.scale


def render(
    layer: Layer, sources: Store, block: Block, mask: int, variant: TileVariant
) -> Iterator[tuple[Tile, bytes | None]]:
    """The tiles of `block` in `mask`; None for an empty tile.

    A tile has the same bytes whether it is rendered alone or with its neighbours.

    Raises:
        BadOption: the layer cannot have that format.
        SourceReadError: some pixel could not be read, or the raster of a virtual layer changed since it was ingested;
            tiles yielded before are complete.
    """
    layer.check_format(variant.format)
    if layer.origins:
        tiles = list(_render(layer, sources, block, mask, variant))
        check_origins(layer.id, layer.source, layer.origins)  # after all reads, so no change can be missed
        yield from tiles
    else:
        yield from _render(layer, sources, block, mask, variant)


def _render(
    layer: Layer, sources: Store, block: Block, mask: int, variant: TileVariant
) -> Iterator[tuple[Tile, bytes | None]]:
    """The same without checking the files of a virtual layer."""
    zoom = block.z + variant.scale - 1  # at scale 2 a tile has the pixels of the next zoom
    size = variant.size
    with rasterio.Env(session=DummySession(), GDAL_CACHEMAX=CACHE):
        pixels = _pixels(layer, sources, zoom)
        if is_copied(layer, block.z, variant):
            yield from pixels.copied(block, mask, variant.format)
            return
        for tiles in pixels.runs(block, mask):
            left, top = min(tile.x for tile in tiles), min(tile.y for tile in tiles)
            columns = max(tile.x for tile in tiles) - left + 1
            rows = max(tile.y for tile in tiles) - top + 1
            x = pixels.column(left, block.z)
            window = Window(zoom, x * size, top * size, columns * size, rows * size)
            picture = picture_of(layer.style, pixels.read(window, layer.style.reach), window, variant.scale)
            for tile in tiles:
                cut = picture.cut((tile.y - top) * size, (tile.x - left) * size, size)
                yield tile, encode(cut, variant.format, lossless=layer.lossless_webp)


def _pixels(layer: Layer, sources: Store, zoom: int) -> PartPixels | RasterPixels:
    """The pixels of a layer at a zoom."""
    if isinstance(layer.bake, Pyramid):
        return PartPixels(layer, layer.bake, sources, zoom)
    return RasterPixels(layer, layer.bake, sources, zoom)


def is_copied(layer: Layer, zoom: int, variant: TileVariant) -> bool:
    """Whether tiles of `zoom` are blocks of a COG, which are copied instead of rendered."""
    bake = layer.bake
    if bake is None or zoom > bake.z or (variant.scale, variant.format) != (1, layer.format):
        return False
    level = bake.tier_of(zoom)[1] if isinstance(bake, Pyramid) else bake.z - zoom
    return level < bake.finished


def render_tile(layer: Layer, sources: Store, tile: Tile, variant: TileVariant) -> bytes | None:
    """One tile alone; see `render`."""
    block = Block.of(tile)
    ((_, data),) = render(layer, sources, block, block.bit(tile), variant)
    return data


def nothing(layer: Layer, variant: TileVariant) -> bytes:
    """The blank tile of the layer, for an empty tile that must have bytes."""
    return blank_tile(variant.size, variant.format, layer.style.ground, lossless=layer.lossless_webp)
