"""Copy finished tiles: blocks of a COG that are tiles in the layer's format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mercantile import Tile

from tiler.errors import SourceReadError
from tiler.image.encode import is_complete
from tiler.keys import Format
from tiler.raster.stored_blocks import stored_blocks
from tiler.storage.gdal_reads import shown

Place = tuple[int, int]  # column and row of a block


def copied(
    path: str, level: int, places: Sequence[tuple[Tile, Place]], form: Format
) -> Iterator[tuple[Tile, bytes | None]]:
    """The tiles at `places` in a level of the COG at `path`; None for an empty tile.

    Raises:
        SourceReadError: a block cannot be read, or is not a complete file in `form`.
        StoreError: the store failed.
    """
    stored = stored_blocks(path, level, [place for _, place in places])
    for (tile, _), data in zip(places, stored, strict=True):
        if data is not None and not is_complete(data, form):
            raise SourceReadError(shown(path), f"its block of tile {tile.z}/{tile.x}/{tile.y} is not a complete {form}")
        yield tile, data
