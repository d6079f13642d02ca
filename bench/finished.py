"""Bytes, seeding and loss of finished tiles: `python bench/finished.py [--tiny] [--docs] [RASTER..]`.

Ingests each raster with `--bake lossless` and `--bake finished` into a throwaway folder. Fills the blocks of the base
from both, and compares tiles of each with those of PNG from the lossless bake. Without a RASTER it takes the demo's
relief. Prints Markdown; --docs also writes it into docs/guides/which-format.md.
"""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path

import numpy as np
from by_raster import add_rasters, print_table
from mercantile import Tile
from tiny import arguments, parser_for, sized

import seeder
from tiler.choices import BAKES, Choice
from tiler.grid import Block
from tiler.image.encode import decode
from tiler.keys import Format, Scale
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.fill import Request, fill
from tiler.layers.render import TileVariant, render_tile
from tiler.storage.store import Store, Stores, open_store

TILES = sized(24, 4)  # to compare, evenly over the tiles of a zoom
BLOCKS = sized(8, 1)  # to fill
RUNS = sized(3, 1)  # of filling, of which the fastest counts
FORMS: tuple[Choice, ...] = ("webp", "jpg", "webp-lossless")
HEAD = (
    "| raster | format | COGs, MB: lossless, finished | ms per tile | scale 1 | `@2x` | zoom + 1 | `.png` |\n"
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def loss(layers: tuple[Layer, Layer], sources: Store, tiles: list[Tile], scale: Scale, form: Format) -> str:
    """The PSNR in dB of both layers' tiles in a format, against PNG of the first."""
    squares, values = [0.0, 0.0], 0
    for tile in tiles:
        exact = render_tile(layers[0], sources, tile, TileVariant(scale, "png"))
        if exact is None:
            continue
        pixels = decode(exact)[1]
        opaque = pixels[..., 3] == 255
        values += 3 * int(opaque.sum())
        for number, layer in enumerate(layers):
            data = render_tile(layer, sources, tile, TileVariant(scale, form))
            assert data
            errors = decode(data)[1][opaque][:, :3].astype(float) - pixels[opaque][:, :3]
            squares[number] += float((errors**2).sum())
    both = [f"{10 * math.log10(255**2 * values / each):.1f}" if each else "exact" for each in squares]
    return both[0] if both[0] == both[1] else ", ".join(both)


def seconds(layer: Layer, sources: Store, folder: Path, tiles: list[Tile]) -> float:
    """CPU seconds a tile to fill blocks of the base."""
    blocks = sorted({Block.of(tile) for tile in tiles})[:BLOCKS]
    found = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory(dir=folder) as target:
            stores = Stores(open_store(Path(target).as_uri(), create=True), sources, "")
            start, done = time.process_time(), 0
            for block in blocks:
                outcome = fill(layer, stores, Request(block, block.full, TileVariant(1, layer.format)))
                done += outcome.written.bit_count()
            found.append((time.process_time() - start) / done)
    return min(found)


def megabytes(layer: Layer, sources: Store) -> float:
    """The size of a layer's COGs."""
    return sum(entry.size for entry in sources.list(layer.source) if entry.key.endswith(".tif")) / 1e6


def row(source: str, form: Choice) -> str:
    """The row of a raster in a format."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = seeder.open(folder)
        ready = [workspace.ingest(source, bake, jobs=1, format=form, bake=bake) for bake in BAKES]
        sources = open_store((Path(folder) / "private").as_uri())
        plain, finished = (load_layer(sources, bake) for bake in BAKES)
        assert plain.bake
        assert finished.bake
        layers = plain, finished
        sizes = [f"{megabytes(each, sources):.1f}" for each in layers]
        chosen: list[Tile] = list(ready[0].select(zooms=[plain.bake.z]))
        some = [chosen[place] for place in np.unique(np.linspace(0, len(chosen) - 1, TILES).round().astype(int))]
        fast = [f"{1000 * seconds(each, sources, Path(folder), some):.2f}" for each in layers]
        above = [Tile(x=tile.x // 2, y=tile.y // 2, z=tile.z - 1) for tile in some]
        below = [Tile(x=2 * tile.x, y=2 * tile.y, z=tile.z + 1) for tile in some]
        own = plain.format
        columns = [
            loss(layers, sources, some, 1, own),
            loss(layers, sources, above, 2, own),
            loss(layers, sources, below, 1, own),
            loss(layers, sources, some, 1, "png"),
        ]
        name = Path(source).name.replace(".tif", "")
        return f"| {name} | {form} | {', '.join(sizes)} | {', '.join(fast)} | {' | '.join(columns)} |"


def main() -> None:
    """Print the table."""
    parser = parser_for(__doc__)
    add_rasters(parser, "RASTER", "rasters of 8-bit colours")
    print_table(arguments(parser), "finished", HEAD, lambda source: [row(source, form) for form in FORMS])


if __name__ == "__main__":
    main()
