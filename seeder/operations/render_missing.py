"""Render tiles for an archive, by the path that makes all tiles, without storing them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from functools import partial

from mercantile import Tile

from seeder.select.blocks import BlockMask
from tiler.errors import Superseded
from tiler.keys import TileName, tile_key
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.fill import Request, fill
from tiler.layers.render import TileVariant
from tiler.processes import stream
from tiler.settings import Settings
from tiler.storage.store import Stores, open_store

SCRATCH = "memory://rendered"  # a store of this process, empty between blocks
Rendered = tuple[int, list[tuple[Tile, bytes]]]  # the tiles of a block, and those with data


def rendered(
    layer: Layer, variant: TileVariant, blocks: Iterable[BlockMask], settings: Settings, *, jobs: int
) -> Generator[Rendered, None, None]:
    """The tiles of `blocks` by `jobs` processes, block by block, as they complete; empty tiles are left out.

    Raises:
        SourceReadError: a pixel could not be read.
        StoreError, WorkerDied: a block could not be rendered.
        Superseded: the layer changed to another revision meanwhile.
    """
    yield from stream(partial(_render_task, settings, layer.id, layer.revision, variant), blocks, jobs=jobs)


def _render_task(settings: Settings, name: str, revision: str, variant: TileVariant) -> Callable[[BlockMask], Rendered]:
    """The task of a process: fill a block of a store in memory, and take its tiles out."""
    sources = Stores.open(settings).sources
    layer = load_layer(sources, name)
    if layer.revision != revision:
        raise Superseded(f"layer {name!r} has a new revision: run the same command again")
    stores = Stores(open_store(SCRATCH), sources, "")

    def render(block_mask: BlockMask) -> Rendered:
        outcome = fill(layer, stores, Request(block_mask.block, block_mask.tiles, variant))
        tiles = list(block_mask.block.tiles(outcome.written))
        keys = [tile_key(TileName(name, tile, variant.scale, variant.format)) for tile in tiles]
        images = [stores.tiles.get(key) for key in keys]
        stores.tiles.delete(keys)
        if outcome.failed:
            raise outcome.fault
        return len(block_mask), list(zip(tiles, images, strict=True))

    return render
