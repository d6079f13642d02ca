"""Small rasters of the kinds that people bring, and damage to their bytes; the generator alone decides both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil

from tests.support.rasters import Recipe, write_raster

Rng = np.random.Generator
PLACES = (
    ((5.0, 45.0, 9.0, 48.0), "EPSG:4326"),
    ((600_000.0, 5_600_000.0, 900_000.0, 5_900_000.0), "EPSG:3857"),
    ((300_000.0, 5_000_000.0, 360_000.0, 5_060_000.0), "EPSG:32632"),
)
PACKED = ("deflate", "lzw", "zstd", "packbits", "lerc", None)
BEGIN = 600  # bytes at the front and at the end of a file that say what the rest means


def geotiff(path: Path, rng: Rng) -> Path:
    """A GeoTIFF of any type, compression and layout."""
    bands = int(rng.choice([1, 1, 3, 4]))
    dtype = str(rng.choice(["uint8", "uint8", "uint16", "int16", "float32"]))
    shape = (bands, int(rng.integers(20, 300)), int(rng.integers(20, 300)))
    slope = np.add.outer(np.arange(shape[1]), np.arange(shape[2])) + rng.normal(0, 5, shape)
    values = np.clip(slope, 0, 250).astype(dtype)
    jpeg = dtype == "uint8" and bands != 4 and rng.random() < 0.2
    packed = "jpeg" if jpeg else PACKED[rng.integers(len(PACKED))]
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 64} if rng.random() < 0.6 else {"tiled": False}
    options = {**layout, **({"compress": packed} if packed else {})}
    if packed in ("deflate", "lzw", "zstd") and rng.random() < 0.4:
        options["predictor"] = 2
    palette = {index: (index, 255 - index, index // 2, 255) for index in range(256)}
    bounds, crs = PLACES[rng.integers(len(PLACES))]
    return write_raster(
        path,
        Recipe(
            values,
            bounds,
            crs,
            nodata=7 if rng.random() < 0.3 else None,
            mask=(values[0] > 40).astype(np.uint8) * 255 if rng.random() < 0.2 else None,
            palette=palette if bands == 1 and dtype == "uint8" and not jpeg and rng.random() < 0.4 else None,
            options=tuple(options.items()),
        ),
    )


def copied(driver: str, suffix: str, **options: Any) -> Callable[[Path, Rng], Path]:
    """A maker of what `driver` makes of a picture of bytes."""

    def make(path: Path, rng: Rng) -> Path:
        bands = 3 if driver == "JPEG" else int(rng.choice([1, 3, 4]))
        shape = (bands, int(rng.integers(20, 300)), int(rng.integers(20, 300)))
        slope = np.add.outer(np.arange(shape[1]), np.arange(shape[2])) / 3 + rng.normal(0, 5, shape)
        bounds, crs = PLACES[rng.integers(2)]
        first = write_raster(path.with_name("first.tif"), Recipe(np.clip(slope, 1, 250).astype(np.uint8), bounds, crs))
        found = path.with_suffix(suffix)
        rasterio.shutil.copy(first, found, driver=driver, **options)
        if driver != "VRT":
            first.unlink()
        return found

    return make


MAKERS: dict[str, Callable[[Path, Rng], Path]] = {
    "gtiff": geotiff,
    "gtiff again": geotiff,  # there are many kinds of it
    "gtiff once more": geotiff,
    "cog": copied("COG", ".tif", BLOCKSIZE=128, OVERVIEW_COUNT=1),
    "png": copied("PNG", ".png"),
    "jpeg": copied("JPEG", ".jpg"),
    "vrt": copied("VRT", ".vrt"),
    "gpkg": copied("GPKG", ".gpkg"),
    "jp2": copied("JP2OpenJPEG", ".jp2"),
}


def damaged(data: bytes, rng: Rng) -> bytes:
    """The bytes with some of them flipped, overwritten, left out or put in, or without their end."""
    found = bytearray(data)
    for _ in range(int(rng.choice([1, 1, 2, 5]))):
        edge = min(BEGIN, len(found))
        at = int(rng.integers(0, edge)) if rng.random() < 0.5 else int(rng.integers(0, len(found)))
        if rng.random() < 0.15:
            at = len(found) - 1 - int(rng.integers(0, edge))
        size = int(rng.integers(1, 40))
        match int(rng.integers(0, 6)):
            case 0 | 1:
                found[at] ^= 1 << int(rng.integers(0, 8))
            case 2:
                found[at : at + size] = rng.bytes(min(size, len(found) - at))
            case 3:
                found[at : at + size] = bytes([int(rng.choice([0, 255]))]) * min(size, len(found) - at)
            case 4:
                del found[at : at + size if rng.random() < 0.5 else None]
            case _:
                found[at:at] = rng.bytes(size)
        if not found:
            break
    return bytes(found)


def make(folder: Path, rng: Rng) -> tuple[str, Path]:
    """A raster with damage, and its kind."""
    kind = str(rng.choice([*MAKERS]))
    source = MAKERS[kind](folder / "source.tif", rng)
    files = sorted(path for path in folder.iterdir() if path != source)
    hurt = files[rng.integers(len(files))] if files and rng.random() < 0.3 else source
    hurt.write_bytes(damaged(hurt.read_bytes(), rng))
    return kind, source
