"""Where each millisecond of a tile goes: `python bench/stages.py [--ingest] [--docs] [--width PIXELS] [DATA LAYER]`.

One process fills all blocks of a layer, each moment charged to a stage, beside a floor of the same run: a memcpy of the
tile's pixels, libdeflate's level 1 on the scanlines that the tile consists of, the writing of the file, alone in a
tight loop. The last rows are of another process, which puts into an S3 server on this machine: there the put is what
the main thread waits for.

With --ingest, where the CPU seconds of an ingest go in one process, beside reading each pixel once, compressing each
block of the COGs and writing them: the same rasters, and one in UTM, turned by 2.5 degrees. Prints Markdown; --docs
puts it into docs/performance.md, too. DATA and LAYER name a layer of a data folder instead; it is not changed. Columns
are kept in bench/.kept until the code changes.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import deflate
import kept
import layers
import markers
import numpy as np
import rasterio
from bucket import alone
from objects import Served, served
from stopwatch import REST, Stopwatch
from tiny import arguments, parser_for, sized

from seeder.select.selection import Selection, regions
from tiler.grid import TILE
from tiler.ingest.cog import Profile, compress_values
from tiler.ingest.ingest import ingest
from tiler.keys import part_key
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.fill import Request, fill
from tiler.layers.pyramid import Pyramid
from tiler.layers.render import TileVariant
from tiler.raster.datasets import opened
from tiler.raster.options import Options
from tiler.storage.gdal_reads import location
from tiler.storage.store import Store, Stores, open_store

DOCS = Path(__file__).parent.parent / "docs" / "performance.md"
NAMES = ("relief", "masked", "float32", "palette", "uint16")
SEEDED = sized(NAMES, ("float32",))
INGESTED = sized((*NAMES, "utm"), ("float32",))
RUNS = sized(3, 1)  # of which the middle one counts
BATCH = 64  # tiles whose floor is measured at once

# Which functions belong to which stage, named as their callers look them up. Of functions that call each other the
# inner one is charged, so what `encode` does beyond filter, deflate and file is the cut and the test for few colours.
SEED = {
    "read": ["tiler.layers.render:PartPixels.read"],
    "style": ["tiler.image.style:Style.apply"],
    "cut, few colours": ["tiler.image.style:Picture.cut", "tiler.layers.render:encode"],
    "filter": ["tiler.image.encode:_filtered_up"],
    "deflate": ["tiler.image.encode:deflate.zlib_compress"],
    "file": ["tiler.image.encode:_file"],
    "put": ["tiler.storage.store:Store.put_all", "tiler.storage.store:Store.put"],
}
INGEST = {
    "survey, hash": ["tiler.ingest.ingest:examined"],
    "warp": ["tiler.ingest.mosaic:OneRaster.warp"],
    "compress": ["tiler.ingest.baker:compress"],
    "digest": ["tiler.ingest.baker:block_digest"],
    "halve": ["tiler.ingest.baker:halved"],
    "spool": ["tiler.ingest.cog:Spool.add", "tiler.ingest.cog:Spool.flush"],
    "read back": ["tiler.ingest.baker:Baker._join"],
    "assemble": ["tiler.ingest.bake:assemble"],
}
SEED_FLOOR, INGEST_FLOOR = ("memcpy", "deflate", "write"), ("read", "compress", "write")

Spent = dict[str, float]  # by stage, in seconds


@dataclass(frozen=True)
class Found:
    """Seconds by stage, in all, for so many tiles."""

    stages: Spent
    tiles: int = 1

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.stages.values())


def seeding(stores: Stores, name: str) -> Found:
    """All of a layer's tiles into `stores`; the middle one of some runs."""
    layer = load_layer(stores.sources, name)
    zooms = tuple(range(layer.minzoom, layer.maxzoom + 1))
    masks = [mask for region in regions(layer, Selection(zooms)) for mask in region.block_masks()]
    requests = [Request(mask.block, mask.tiles, TileVariant(), force=True) for mask in masks]
    fill(layer, stores, requests[-1])  # opens what stays open
    watch = Stopwatch()
    watch.wrap(SEED)
    found = []
    for _ in range(RUNS):
        watch.reset()
        tiles = sum(fill(layer, stores, request).written.bit_count() for request in requests)
        found.append(Found({stage: spent.wall for stage, spent in watch.stop().items()}, tiles))
    return _middle(found)


def _middle(found: Sequence[Found]) -> Found:
    """The one whose total is in the middle, so that its stages add up."""
    return sorted(found, key=lambda each: each.total)[len(found) // 2]


def seeded(data: Path, name: str) -> tuple[Found, Found]:
    """A layer's tiles into a folder, and the floor of the same tiles."""
    sources = open_store((data / "private").as_uri())
    with TemporaryDirectory(prefix="bench-") as folder:
        tiles = Path(folder, "tiles")
        found = seeding(Stores(open_store(tiles.as_uri(), create=True), sources, ""), name)
        layer = load_layer(sources, name)
        depth = len(layer.bands) * np.dtype(pyramid_of(layer).dtype).itemsize
        paths = sorted(tiles.rglob("*.png"))
        return found, _middle([_seed_floor(paths, depth, Path(folder)) for _ in range(RUNS)])


def seeded_far(server: Served, data: Path, name: str) -> Found:
    """A layer's tiles into the S3 server."""
    return seeding(Stores(server.store("tiles"), open_store((data / "private").as_uri()), ""), name)


def _seed_floor(paths: Sequence[Path], depth: int, folder: Path) -> Found:
    """Copying, deflating and writing tiles whose pixels have `depth` bytes, each alone."""
    spent = dict.fromkeys(SEED_FLOOR, 0.0)
    noise = np.random.default_rng(7)
    sources = noise.integers(0, 256, (BATCH, TILE * TILE * depth), np.uint8)
    target = sources.copy()  # its pages are there then
    for first in range(0, len(paths), BATCH):
        lines = [_scanlines(path.read_bytes()) for path in paths[first : first + BATCH]]
        start = perf_counter()
        for number in range(len(lines)):
            target[number] = sources[number]
        copied = perf_counter()
        packed = [deflate.zlib_compress(each, 1) for each in lines]
        deflated = perf_counter()
        for number, each in enumerate(packed):
            with open(f"{folder}/{number}", "wb", buffering=0) as out:  # noqa: PTH123 - as bare as can be
                out.write(each)
        written = perf_counter()
        for stage, seconds in zip(spent, (copied - start, deflated - copied, written - deflated), strict=True):
            spent[stage] += seconds
        for number in range(len(packed)):
            Path(f"{folder}/{number}").unlink()  # the product writes new files, too
    return Found(spent, len(paths))


def _scanlines(png: bytes) -> bytes:
    """What a PNG's encoder deflated."""
    at, packed = 8, []
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        if kind == b"IDAT":
            packed.append(png[at + 8 : at + 8 + length])
        at += length + 12
    return zlib.decompress(b"".join(packed))


def ingested(raster: Path, name: str) -> tuple[Found, Found]:
    """A raster's ingest in this process, and the floor of the same parts."""
    watch = Stopwatch()
    watch.wrap(INGEST)
    with TemporaryDirectory(prefix="bench-") as folder:
        tiles, sources = (open_store(Path(folder, part).as_uri(), create=True) for part in ("tiles", "private"))
        watch.reset()
        made = ingest(str(raster), name, Options(), Stores(tiles, sources, ""), jobs=1, progress=lambda *_: None)
        spent = {stage: each.cpu for stage, each in watch.stop().items()}
        return Found(spent), _ingest_floor(raster, made.layer, sources, Path(folder))


def _ingest_floor(raster: Path, layer: Layer, sources: Store, folder: Path) -> Found:
    """Reading a raster, compressing the blocks of its parts that hold something, and writing them, each alone."""
    start = process_time()
    with rasterio.open(raster) as dataset:
        for top in range(0, dataset.height, BATCH * 16):
            rows = min(BATCH * 16, dataset.height - top)
            dataset.read(window=rasterio.windows.Window(0, top, dataset.width, rows))
    spent = {"read": process_time() - start, "compress": 0.0, "write": 0.0}
    with (folder / "floor").open("wb", buffering=0) as out:
        for values, profile in _blocks(layer, sources):
            start = process_time()
            packed = compress_values(values, profile)
            compressed = process_time()
            out.write(packed)
            spent["compress"] += compressed - start
            spent["write"] += process_time() - compressed
    return Found(spent)


def _blocks(layer: Layer, sources: Store) -> Iterator[tuple[layers.Values, Profile]]:
    """The blocks of a layer's parts, all levels, that hold something."""
    pyramid = pyramid_of(layer)
    profile = Profile(pyramid.dtype, len(layer.bands), layer.style.palette)
    for part in pyramid.parts(layer.id, sources).values():
        path = location(sources, part_key(layer.id, part.name), part.layout.head)
        for level in range(part.layout.levels):
            dataset = opened(path, level, cog=True)
            for top in range(0, dataset.height, TILE):
                for left in range(0, dataset.width, TILE):
                    window = rasterio.windows.Window(left, top, TILE, TILE)
                    if part.layout.opaque or dataset.read_masks(1, window=window).any():
                        yield dataset.read(window=window), profile


def pyramid_of(layer: Layer) -> Pyramid:
    """The manifest of a layer that was baked into parts."""
    if not isinstance(layer.bake, Pyramid):
        sys.exit(f"{layer.id} has no parts: ingest it again")
    return layer.bake


def shown(names: Sequence[str], columns: Sequence[Sequence[str]], rows: Sequence[str]) -> str:
    """A Markdown table of columns under `names`."""
    lines = [f"| | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    lines += [f"| {row} | {' | '.join(cells)} |" for row, *cells in zip(rows, *columns, strict=True)]
    return "\n".join(lines)


def column(found: Found, floor: Found, stages: Sequence[str], *, digits: int, scale: float) -> list[str]:
    """The cells of a layer: each stage with its share, all of them, the floor, and how far above it all is."""

    def cell(seconds: float) -> str:
        return f"{seconds * scale / found.tiles:.{digits}f}"

    parts = [f"{cell(found.stages.get(each, 0))} ({found.stages.get(each, 0) / found.total:.0%})" for each in stages]
    floors = [f"{seconds * scale / floor.tiles:.{digits}f}" for seconds in (*floor.stages.values(), floor.total)]
    return [*parts, cell(found.total), *floors, f"{found.total / found.tiles / (floor.total / floor.tiles):.1f}"]


def seed_column(data: Path, name: str) -> list[str]:
    """The cells of one layer, in milliseconds a tile."""
    with served() as server, alone() as apart:
        found, floor = apart.submit(seeded, data, name).result()
        far = apart.submit(seeded_far, server, data, name).result()
    cells = column(found, floor, [*SEED, REST], digits=3, scale=1000)
    return [*cells, *(f"{1000 * each / far.tiles:.3f}" for each in (far.stages["put"], far.total)), f"{found.tiles:,}"]


def made_and_seeded(name: str, width: int) -> list[str]:
    """The same of a layer that is made first."""
    with layers.made([name], width) as made:
        return seed_column(made.data, name)


def ingest_column(name: str, width: int) -> list[str]:
    """The cells of one raster, in seconds."""
    with TemporaryDirectory(prefix="bench-") as folder, alone() as apart:
        raster = layers.rasters(Path(folder), [name], width)[name]
        return column(*apart.submit(ingested, raster, name).result(), [*INGEST, REST], digits=2, scale=1)


def columns(
    make: Callable[[str, int], list[str]], names: Sequence[str], width: int, figures: kept.Kept
) -> list[list[str]]:
    """The columns of all `names`; those of the same code are in `figures`."""
    code = kept.digest(kept.code(Path(__file__), Path(layers.__file__)), sys.version, rasterio.__gdal_version__)
    found = []
    for name in names:
        key = (name, str(width), code)
        cells = figures.get(*key)
        if cells is None:
            start = perf_counter()
            cells = make(name, width)
            figures.put(cells, *key)
            print(f"{name}: {perf_counter() - start:.0f} s", file=sys.stderr)
        found.append(cells)
    return found


def seed_table(names: Sequence[str], found: Sequence[Sequence[str]]) -> str:
    """Milliseconds a tile."""
    rows = [*SEED, REST, "**in all**", *(f"floor: {each}" for each in SEED_FLOOR), "**floor**", "in all / floor"]
    rows += ["put, to S3", "in all, to S3", "tiles"]
    return "Milliseconds a tile, and their share.\n\n" + shown(names, found, rows)


def ingest_table(names: Sequence[str], found: Sequence[Sequence[str]], width: int) -> str:
    """CPU seconds a raster."""
    rows = [*INGEST, REST, "**in all**", *(f"floor: {each}" for each in INGEST_FLOOR), "**floor**", "in all / floor"]
    return f"CPU seconds for {width} x {width // 2} pixels, one process, and their share.\n\n" + shown(
        names, found, rows
    )


def main() -> None:
    """Print the table, and put it into the documentation if asked."""
    parser = parser_for(__doc__)
    parser.add_argument("--ingest", action="store_true", help="where ingest's time goes instead")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/performance.md, too")
    parser.add_argument("--fresh", action="store_true", help="measure everything anew")
    parser.add_argument("--width", type=int, default=layers.WIDTH, metavar="PIXELS", help="of the world's rasters")
    parser.add_argument("data", nargs="?", type=Path, metavar="DATA", help="a data folder to take the layer from")
    parser.add_argument("layer", nargs="?")
    asked = arguments(parser)
    if asked.data and (asked.layer is None or asked.ingest):
        parser.error("name DATA and LAYER, without --ingest")
    name = "ingest" if asked.ingest else "stages"
    figures = kept.Kept(name, fresh=asked.fresh)
    with kept.clocked():
        if asked.ingest:
            table = ingest_table(INGESTED, columns(ingest_column, INGESTED, asked.width, figures), asked.width)
        elif asked.data:
            table = seed_table([asked.layer], [seed_column(asked.data, asked.layer)])
        else:
            table = seed_table(SEEDED, columns(made_and_seeded, SEEDED, asked.width, figures))
    print(table)
    if asked.docs:
        markers.fill(DOCS, name, table)


if __name__ == "__main__":
    main()
