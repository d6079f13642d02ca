"""Forecast the seconds and dollars of a bake, and the seconds of its tiles, by kind of raster; nothing is sampled.

Processes of this machine share the chunks of all parts. A worker of a queue bakes a part at a time, and waits for S3.
The parts of a tier begin as soon as those below them are there, the last ones one tier after the other. Chunks and
bytes count by the share that has pixels.
The speeds are those of one core of a server of 2025 with GDAL 3.12: CPU seconds of ingests of 1 to 6 bytes a pixel, of
smooth and of real pictures (`bench/against.py`). A straight line through them is right within a half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seeder.defaults import BAKE_PROCESSES
from seeder.jobs.prices import LOGGED, MILLION, Cost, Prices, bake_second, ramped
from tiler.grid import TILE
from tiler.ingest.chunks import CHUNK
from tiler.ingest.planned_parts import BakeWork, TierWork
from tiler.keys import Format
from tiler.layers.catalog import Layer
from tiler.layers.pyramid import Pyramid
from tiler.layers.render import TileVariant
from tiler.storage.concurrent import THREADS
from tiler.storage.upload_parts import LEAST_PART

CHUNK_SECONDS, CHUNK_BYTE_SECONDS = 0.12, 0.06  # of CPU for a whole chunk, and for each byte of a pixel in all bands
LEAST_SECONDS = 0.015  # of CPU for a chunk with hardly a pixel
OVERVIEW_SHARE = 0.5  # of a chunk's seconds: an overview is not warped
START_SECONDS = 1.0  # to start worker processes
TILE_SECONDS: dict[Format, float] = {"png": 0.003, "jpg": 0.0025, "webp": 0.004}  # of CPU for a tile of 256 pixels
PALETTE_SECONDS = 0.0013  # of a tile of palette indices
COPY_SECONDS = 0.001  # of a tile that is a block of a part
VIRTUAL_TIMES = 10  # a tile of a virtual layer takes a warp
LEVELS = 1.33  # pixels of all levels of a part, over those of its base
PACKED = 0.5  # bytes in a part over those of its pixels
UPLOAD_PUTS = 3  # of a part: its facts, begin and end of the upload of its COG
STEP_PUTS, STEP_GETS, STEP_LISTS = 2, 10, 3  # further ones of a part by a worker, for its job and the parts around it
CHUNK_GETS = 6  # of a chunk of the base whose scenes are in S3
READ_TWICE = 1.1  # bytes read of scenes over those that a chunk covers
JP2_BYTE_SECONDS = 0.12  # of CPU to decode JPEG 2000, for each byte of a pixel of a chunk
LAST_STEPS, LAST_REQUESTS = 2, 60  # after the last part: publish the layer, renew its tiles
CPU_GB = 1769 / 1024  # memory of a function with one whole CPU


class Pixels(NamedTuple):
    """The pixels of a bake; `finished` is the format of tiles that are blocks of its parts, if there are any.

    `jp2` if its scenes are JPEG 2000.
    """

    dtype: str
    bands: int
    finished: Format | None = None
    jp2: bool = False

    @property
    def bytes(self) -> int:
        """The bytes of a pixel in all bands."""
        return np.dtype(self.dtype).itemsize * self.bands

    @property
    def chunk_bytes(self) -> float:
        """The bytes of a chunk, compressed."""
        return (CHUNK * TILE) ** 2 * self.bytes * PACKED


@dataclass(frozen=True, slots=True)
class Bakers:
    """Who bakes: processes of this machine, or workers of a queue, each a part at a time by some `processes`."""

    number: int
    queued: bool = False
    processes: int = BAKE_PROCESSES  # of a worker


@dataclass(frozen=True, slots=True)
class BakeForecast:
    """The elapsed seconds of a bake, the bytes of its parts, and US dollars.

    `part_seconds` are those of the longest part by a worker of a queue; 0 on this machine.
    """

    seconds: float = 0.0
    bytes: float = 0.0
    cost: Cost = Cost()  # noqa: RUF009 - a frozen value
    part_seconds: float = 0.0


def bake_forecast(work: BakeWork, pixels: Pixels, bakers: Bakers, prices: Prices, *, in_s3: bool) -> BakeForecast:
    """The forecast of a bake whose parts are stored in S3, or else in a folder."""
    parts = work.parts + work.overviews
    if not parts:
        return BakeForecast()
    size = sum(tier.filled for tier in work.tiers) * pixels.chunk_bytes * LEVELS
    puts = parts * UPLOAD_PUTS + math.ceil(size / LEAST_PART)
    paid = Cost(s3=puts * prices.s3_million_puts / MILLION, storage=size / 1e9 * prices.s3_gb_month) * in_s3
    if not bakers.queued:
        return BakeForecast(START_SECONDS + cpu_seconds(work, pixels) / min(bakers.number, work.chunks), size, paid)
    kind = PartKind(pixels, bakers.processes, prices)
    longest = [kind.seconds(each.longest, each.fullest, overview=tier > 0) for tier, each in enumerate(work.tiers)]
    each_tier = [kind.mean_seconds(each, overview=tier > 0) for tier, each in enumerate(work.tiers)]
    busy = sum(mean * each.parts for mean, each in zip(each_tier, work.tiers, strict=True))
    rounds = [math.ceil(each.parts / bakers.number) * mean for mean, each in zip(each_tier, work.tiers, strict=True)]
    last = (LAST_REQUESTS + parts / THREADS) * prices.bake_wait
    elapsed = max(sum(map(max, longest, rounds)), ramped(busy, prices, bakers.number)) + last
    return BakeForecast(elapsed, size, paid + _queue_cost(work, busy + last, prices, in_s3=in_s3), max(longest))


def cpu_seconds(work: BakeWork, pixels: Pixels) -> float:
    """Seconds of CPU for all chunks."""
    tiers = enumerate(work.tiers)
    return sum(part_cpu_seconds(each.chunks, each.filled, pixels, overview=tier > 0) for tier, each in tiers)


def part_cpu_seconds(chunks: float, filled: float, pixels: Pixels, *, overview: bool = False) -> float:
    """Seconds of CPU for some chunks, whose pixels would fill some whole ones."""
    return chunks * LEAST_SECONDS + filled * (chunk_seconds(pixels, overview=overview) - LEAST_SECONDS)


def chunk_seconds(pixels: Pixels, *, overview: bool = False) -> float:
    """Seconds of CPU for a whole chunk."""
    encode = CHUNK**2 * LEVELS * TILE_SECONDS[pixels.finished] if pixels.finished else 0.0
    decode = JP2_BYTE_SECONDS * pixels.bytes if pixels.jp2 and not overview else 0.0
    return (CHUNK_SECONDS + CHUNK_BYTE_SECONDS * pixels.bytes) * (OVERVIEW_SHARE if overview else 1) + encode + decode


class PartKind(NamedTuple):
    """The parts that a worker of some processes bakes, at the speeds of `prices`."""

    pixels: Pixels
    processes: int
    prices: Prices

    def seconds(self, chunks: float, filled: float, *, overview: bool = False) -> float:
        """Elapsed seconds of a part: CPU, requests in turn, bytes; 0 without chunks. Its pixels fill some of them."""
        if not chunks:
            return 0.0
        prices, processes = self.prices, min(self.processes, chunks)
        slower = max(1.0, processes * CPU_GB / prices.bake_gb) / prices.lambda_speed
        waits = (1 if overview else CHUNK_GETS) * prices.bake_wait
        each = part_cpu_seconds(1, filled / chunks, self.pixels, overview=overview) * slower + waits
        start = START_SECONDS * slower * (self.processes > 1)
        steps = (UPLOAD_PUTS + STEP_PUTS + STEP_GETS + STEP_LISTS) * prices.bake_wait
        moved = filled * self.pixels.chunk_bytes * (LEVELS + (0 if overview else READ_TWICE))
        return start + chunks * each / processes + steps + moved / MILLION / prices.bake_megabytes

    def mean_seconds(self, tier: TierWork, *, overview: bool = False) -> float:
        """Elapsed seconds of a part of a tier, as if all had as many chunks."""
        number = max(1, tier.parts)
        return self.seconds(tier.chunks / number, tier.filled / number, overview=overview)


def _queue_cost(work: BakeWork, busy: float, prices: Prices, *, in_s3: bool) -> Cost:
    """US dollars for workers, their queue and their own requests to S3."""
    parts = work.parts + work.overviews
    calls = parts + LAST_STEPS
    puts, gets = parts * (STEP_PUTS + STEP_LISTS), parts * (STEP_GETS + 1) + work.tiers[0].chunks * CHUNK_GETS
    sent = work.parts / 10 + work.overviews + LAST_STEPS
    return Cost(
        compute=busy * bake_second(prices) + calls * prices.lambda_million_requests / MILLION,
        s3=in_s3 * (puts * prices.s3_million_puts + gets * prices.s3_million_gets) / MILLION,
        sqs=(sent + 2 * calls) * prices.sqs_million_requests / MILLION,
        logs=calls * LOGGED / 1e9 * prices.logs_gb,
    )


def tile_seconds(form: Format, *, scale: int, palette: bool, finished: bool, virtual: bool) -> float:
    """Seconds of CPU for a tile; `finished` ones are copied."""
    if finished:
        return COPY_SECONDS
    each = PALETTE_SECONDS if palette and form == "png" else TILE_SECONDS[form]
    return each * scale**2 * (VIRTUAL_TIMES if virtual else 1)


def layer_tile_seconds(layer: Layer, variant: TileVariant, z: int) -> float:
    """Seconds of CPU for a tile of a zoom of a layer."""
    bake = layer.bake
    finished = bool(
        isinstance(bake, Pyramid) and bake.finished and variant == TileVariant(1, layer.format) and z <= bake.z
    )
    palette = bool(layer.style.palette)
    return tile_seconds(variant.format, scale=variant.scale, palette=palette, finished=finished, virtual=not bake)
