"""Compare the pixels of stored tiles with fresh renders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np

from seeder.cache.audit import Audit, Finding, Problem
from seeder.select.blocks import BlockMask
from seeder.select.tilelist import tile_line
from tiler.errors import BadImage, MissingObject
from tiler.image.encode import decode
from tiler.image.style import Pixels
from tiler.keys import CONTENT_TYPES, TileName, tile_key
from tiler.layers.catalog import load_layer
from tiler.layers.render import TileVariant, is_copied, nothing, render
from tiler.processes import stream
from tiler.settings import Settings
from tiler.storage.store import Store, Stores

TOLERANCE = 3  # of 255 levels; other versions of libraries and other CPUs round differently


def deep_findings(
    audit: Audit, block_masks: Iterable[BlockMask], settings: Settings, *, jobs: int, progress: Callable[[int], object]
) -> Iterator[Finding]:
    """Problems of the stored tiles of `block_masks`, compared with fresh renders by `jobs` processes.

    Tiles with other bytes are decoded, and so are tiles that are copied from blocks, because that decodes nothing.
    Missing tiles and tiles of 0 bytes are skipped: listing finds them.

    Raises:
        SourceReadError, StoreError: the layer's source or a tile cannot be read.
    """
    for planned, problems in stream(
        partial(_compare_task, settings, audit.layer.id, audit.variant), block_masks, jobs=jobs
    ):
        yield from problems
        progress(planned)


def _compare_task(
    settings: Settings, name: str, variant: TileVariant
) -> Callable[[BlockMask], tuple[int, list[Finding]]]:
    """The task of a process: compare the stored tiles of a block with fresh renders."""
    stores = Stores.open(settings)
    layer = load_layer(stores.sources, name)

    def compare(block_mask: BlockMask) -> tuple[int, list[Finding]]:
        problems, blank = [], nothing(layer, variant)
        copied = is_copied(layer, block_mask.block.z, variant)
        for tile, fresh in render(layer, stores.sources, block_mask.block, block_mask.tiles, variant):
            key, image = tile_key(TileName(layer.id, tile, variant.scale, variant.format)), fresh or blank
            stored = _read(stores.tiles, key)
            if not stored or (not copied and stored in ((image, ""), (image, CONTENT_TYPES[variant.format]))):
                continue
            if problem := _problem(*stored, image, variant, encoded=bool(layer.style.encoding)):
                problems.append(Finding(key, problem, tile_line(tile)))
        return len(block_mask), problems

    return compare


def _read(tiles: Store, key: str) -> tuple[bytes, str] | None:
    """The bytes and the content type of a stored tile; None if it is missing or has 0 bytes."""
    try:
        data, kind = tiles.typed(key)
    except MissingObject:
        return None
    return (data, kind) if data else None


def _problem(data: bytes, kind: str, fresh: bytes, variant: TileVariant, *, encoded: bool) -> Problem | None:
    """The problem of a stored tile, compared with the image `fresh`, or None."""
    if kind not in ("", CONTENT_TYPES[variant.format]):
        return "wrong type"
    try:
        form, pixels = decode(data)
    except BadImage:
        return "damaged"
    if form != variant.format or pixels.shape[:2] != (variant.size, variant.size):
        return "wrong type"
    return None if data == fresh or _alike(pixels, decode(fresh)[1], encoded=encoded) else "differs"


def _alike(one: Pixels, other: Pixels, *, encoded: bool = False) -> bool:
    """Whether two RGBA images agree within TOLERANCE, in colours or in `encoded` heights of visible pixels."""
    if encoded:
        a, b = (each[..., :3] @ np.array([65536, 256, 1]) * (each[..., 3] > 0) for each in (one, other))
    else:
        a, b = (each[..., :3] * (each[..., 3:] / 255) for each in (one, other))
    alpha = one[..., 3].astype(int) - other[..., 3]
    return bool(np.abs(a - b).max() <= TOLERANCE and np.abs(alpha).max() <= TOLERANCE)
