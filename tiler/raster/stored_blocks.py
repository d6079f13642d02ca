"""The blocks of a COG as they are stored, without decoding."""

from __future__ import annotations

from collections.abc import Sequence

from rasterio.io import DatasetReader

from tiler.raster.datasets import checked, opened, translated
from tiler.storage.gdal_reads import blocks


def stored_blocks(path: str, level: int, places: Sequence[tuple[int, int]]) -> list[bytes | None]:
    """The bytes of the blocks at `places`, (column, row), of a level of the COG at `path`; None if there is no block.

    A truncated file gives fewer bytes.

    Raises:
        SourceReadError: the file cannot be read.
        StoreError: the store failed.
    """
    dataset = opened(path, cog=True)
    with translated(path):
        spans = checked(lambda: [_span(dataset, level, column, row) for column, row in places])
        present = [span for span in spans if span]
        data = iter(blocks(path, [offset for offset, _ in present], [size for _, size in present]))
    return [next(data) if span else None for span in spans]


def _span(dataset: DatasetReader, level: int, column: int, row: int) -> tuple[int, int] | None:
    """Offset and size of a block in bytes, from GDAL's domain TIFF; None if there is none."""
    overview = level - 1 if level else None
    offset = dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=1, ovr=overview)
    size = dataset.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", bidx=1, ovr=overview)
    return (int(offset), int(size)) if offset and size else None
