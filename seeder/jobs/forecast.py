"""Forecast the seconds and dollars of a bake, and the seconds of its tiles, by kind of raster; nothing is sampled.

The speeds are those of one core of a server of 2025 with GDAL 3.12: CPU seconds of ingests of 1 to 6 bytes a pixel, of
smooth and of real pictures (`bench/against.py`). A straight line through them is right within a half.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from seeder.jobs.prices import MILLION, Cost, Prices
from tiler.grid import TILE
from tiler.ingest.chunks import CHUNK
from tiler.ingest.planned_parts import BakeWork
from tiler.keys import Format
from tiler.storage.upload_parts import LEAST_PART

CHUNK_SECONDS, CHUNK_BYTE_SECONDS = 0.12, 0.06  # of CPU for a chunk, and for each byte of a pixel in all bands
OVERVIEW_SHARE = 0.5  # of a chunk's seconds: an overview is not warped
START_SECONDS = 1.0  # to start worker processes
TILE_SECONDS: dict[Format, float] = {"png": 0.003, "jpg": 0.0025, "webp": 0.004}  # of CPU for a tile of 256 pixels
PALETTE_SECONDS = 0.0013  # of a tile of palette indices
COPY_SECONDS = 0.001  # of a tile that is a block of a part
VIRTUAL_TIMES = 10  # a tile of a virtual layer takes a warp
LEVELS = 1.33  # pixels of all levels of a part, over those of its base
PACKED = 0.5  # bytes in a part over those of its pixels
PART_REQUESTS = 3  # facts, begin and end of the upload of a part's COG


class Pixels(NamedTuple):
    """The pixels of a bake; `finished` is the format of tiles that are blocks of its parts, if there are any."""

    dtype: str
    bands: int
    finished: Format | None = None

    @property
    def bytes(self) -> int:
        """The bytes of a pixel in all bands."""
        return np.dtype(self.dtype).itemsize * self.bands


def bake_seconds(work: BakeWork, pixels: Pixels, processes: int) -> float:
    """Elapsed seconds of a bake by worker processes of this machine."""
    chunks = work.chunks + work.overview_chunks
    if not chunks:
        return 0.0
    each = CHUNK_SECONDS + CHUNK_BYTE_SECONDS * pixels.bytes
    encode = CHUNK**2 * LEVELS * TILE_SECONDS[pixels.finished] if pixels.finished else 0.0
    spent = work.chunks * (each + encode) + work.overview_chunks * (OVERVIEW_SHARE * each + encode)
    return START_SECONDS + spent / min(processes, chunks)


def bake_cost(work: BakeWork, pixels: Pixels, prices: Prices, *, in_s3: bool) -> Cost:
    """US dollars for the requests that store the parts in S3, and for a month of their storage."""
    if not in_s3:
        return Cost()
    chunks, parts = work.chunks + work.overview_chunks, work.parts + work.overviews
    size = chunks * (CHUNK * TILE) ** 2 * pixels.bytes * LEVELS * PACKED
    puts = parts * PART_REQUESTS + math.ceil(size / LEAST_PART)
    return Cost(s3=puts * prices.s3_million_puts / MILLION, storage=size / 1e9 * prices.s3_gb_month)


def tile_seconds(form: Format, *, scale: int, palette: bool, finished: bool, virtual: bool) -> float:
    """Seconds of CPU for a tile; `finished` ones are copied."""
    if finished:
        return COPY_SECONDS
    each = PALETTE_SECONDS if palette and form == "png" else TILE_SECONDS[form]
    return each * scale**2 * (VIRTUAL_TIMES if virtual else 1)
