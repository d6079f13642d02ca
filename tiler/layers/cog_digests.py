"""Digest a COG that was baked without digests, by earlier versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import zstandard

from tiler.errors import MissingObject, SourceReadError
from tiler.layers.catalog import Layer
from tiler.layers.cog_layout import CogLayout
from tiler.layers.digests import OPAQUE, Digest, Levels, block_digest, pixel_kind, shapes, store_digests, stored_digests
from tiler.raster.datasets import opened
from tiler.storage.cog_header import Sizes, block_lists
from tiler.storage.gdal_reads import location
from tiler.storage.store import Store

AT_ONCE = 1 << 24  # bytes of blocks read at once
OPAQUE_SIZE = 64  # most bytes of a compressed mask that is all opaque

Progress = Callable[[int], object]


def digest_layer(layer: Layer, sources: Store, progress: Progress = lambda _: None) -> Levels | None:
    """The digests of a layer's COG: the stored ones, or those of its blocks, which are stored then.

    None for a layer of parts or a virtual one, or if the COG is gone or damaged. `progress` receives the number of
    blocks read.

    Raises:
        StoreError: the store failed.
    """
    levels = stored_digests(layer, sources)
    if levels is None and isinstance(layer.bake, CogLayout):
        levels = cog_digests(layer, sources, progress)
        if levels is not None:
            store_digests(layer, layer.bake, levels, sources)
    return levels


def known_digests(layer: Layer, sources: Store) -> Levels | None:
    """The same, without storing them.

    Raises:
        StoreError: the store failed.
    """
    levels = stored_digests(layer, sources)
    return cog_digests(layer, sources) if levels is None else levels


def cog_digests(layer: Layer, sources: Store, progress: Progress = lambda _: None) -> Levels | None:
    """The digests of the blocks of a layer's COG; None without an intact COG.

    Raises:
        StoreError: the store failed.
    """
    bake = layer.bake
    if not isinstance(bake, CogLayout):
        return None
    try:
        head, size = sources.first(layer.source, bake.head)
        dtype = opened(location(sources, layer.source, bake.head), cog=True).dtypes[0]
        images = block_lists(lambda start, length: _part(sources, layer.source, head, size, start, length), size)
    except (MissingObject, SourceReadError):
        return None
    if images is None or len(images) not in (bake.levels, 2 * bake.levels):
        return None
    step = len(images) // bake.levels
    kind, levels = pixel_kind(dtype, len(layer.bands)), list[Digest]()
    for number, (rows, columns) in enumerate(shapes(bake)):
        values, masks = images[number * step], images[number * step + 1] if step == 2 else None
        if len(values[0]) != rows * columns or (masks and len(masks[0]) != rows * columns):
            return None
        digests = np.zeros(rows * columns, np.uint64)
        for place, data, mask in _blocks(layer, sources, values, masks, progress):
            digests[place] = block_digest(kind, data, b"" if _opaque(mask) else mask) % (1 << 64)
        levels.append(digests.reshape(rows, columns))
    return tuple(levels)


def _part(sources: Store, key: str, head: bytes, size: int, start: int, length: int) -> bytes:
    """Bytes of a COG, fewer at its end."""
    end = min(start + length, size)
    if end <= len(head) or end <= start:
        return head[start:end]
    return sources.ranges(key, [start], [end - start])[0]


def _blocks(
    layer: Layer, sources: Store, values: tuple[Sizes, Sizes], masks: tuple[Sizes, Sizes] | None, progress: Progress
) -> Iterator[tuple[int, bytes, bytes]]:
    """The place of each block of a level, its bytes, and those of its mask, empty for no mask."""
    places = np.flatnonzero(values[1])
    sizes = values[1][places] + (masks[1][places] if masks else 0)
    for part in np.split(places, np.flatnonzero(np.diff(np.cumsum(sizes) // AT_ONCE)) + 1):
        covered = part[masks[1][part] > 0] if masks else part[:0]
        spans = [values[0][part], masks[0][covered] if masks else covered]
        lengths = [values[1][part], masks[1][covered] if masks else covered]
        if not len(part):
            continue
        starts, ends = (np.concatenate(each).astype(np.int64).tolist() for each in (spans, lengths))
        data = sources.ranges(layer.source, starts, ends)
        outside = dict(zip(covered.tolist(), data[len(part) :], strict=True))
        for place, block in zip(part.tolist(), data, strict=False):
            yield place, block, outside.get(place, b"")
        progress(len(part))


def _opaque(mask: bytes) -> bool:
    """Whether a compressed mask, or none, is all opaque."""
    if not 0 < len(mask) <= OPAQUE_SIZE:
        return not mask
    try:
        return zstandard.ZstdDecompressor().decompress(mask, max_output_size=len(OPAQUE)) == OPAQUE
    except zstandard.ZstdError:
        return False
