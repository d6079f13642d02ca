"""How many workers a bake should have, how long it takes and what it costs: `python bench/scale_bake.py`.

The forecast of `seeder ingest --dry-run` for bakes of 10 GB to 20 TB of scenes, and what limits them, as Markdown
tables. `--validate` bakes small layers by real workers on a server that stands for S3 and holds the forecast against
them; that takes some minutes and wants a quiet machine. `--docs` writes what was printed into docs/scale.md.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from math import isqrt
from pathlib import Path

from bake_real import DRIVERS, Measured, Setting, measured, write_scenes
from bucket import LATENCY, alone
from pages import dollars, publish, table
from scale import PAGE, share, span
from scale_world import FOREVER, Bucket
from tiny import TINY, arguments, parser_for, sized

from seeder.jobs.forecast import (
    CHUNK_GETS,
    CPU_GB,
    STEP_LISTS,
    STEP_PUTS,
    UPLOAD_PUTS,
    BakeForecast,
    Bakers,
    PartKind,
    Pixels,
    bake_forecast,
    chunk_seconds,
    cpu_seconds,
)
from seeder.jobs.prices import Prices
from tiler.grid import TILE
from tiler.ingest.planned_parts import PART_CHUNKS, BakeWork, work_of
from tiler.layers.pyramid import SIDE, Place
from tiler.storage.upload_parts import LEAST_PART
from tiler.timing import BAKE_MARGIN_SECONDS

SIZES = sized({"10 GB": 1e10, "1 TB": 1e12, "20 TB": 2e13}, {"10 GB": 1e10})  # bytes of pixels
WORKERS = sized((8, 32, 64, 128, 256, 512, 1000), (8,))
TRIED = (2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 512, 1000)
ENOUGH = 1.15  # times the shortest time that fewer workers may take
BASE = 22  # zoom of the bakes
RGB, PRICES = Pixels("uint8", 3), Prices()
LONGEST = 900 - BAKE_MARGIN_SECONDS  # seconds that Lambda leaves for a part


@dataclass(frozen=True)
class Case:
    """A bake of full parts by some workers."""

    work: BakeWork
    pixels: Pixels
    prices: Prices
    workers: int

    @property
    def forecast(self) -> BakeForecast:
        """Its forecast."""
        return bake_forecast(self.work, self.pixels, Bakers(self.workers, queued=True), self.prices, in_s3=True)

    @property
    def once(self) -> float:
        """Dollars, without storage."""
        return self.forecast.cost.total - self.forecast.cost.storage

    @property
    def gets(self) -> float:
        """GETs of scenes a second, while all workers bake the base."""
        part = PartKind(self.pixels, Bakers(1).processes, self.prices).seconds(PART_CHUNKS, PART_CHUNKS)
        return min(self.workers, self.work.parts) * PART_CHUNKS * CHUNK_GETS / part

    @property
    def puts(self) -> float:
        """The same of PUTs and LISTs."""
        found = self.forecast
        parts = self.work.parts + self.work.overviews
        return (parts * (UPLOAD_PUTS + STEP_PUTS + STEP_LISTS) + found.bytes / LEAST_PART) / found.seconds

    @property
    def tail(self) -> float:
        """Seconds of the longest part of each tier: no number of workers is faster."""
        kind = PartKind(self.pixels, Bakers(1).processes, self.prices)
        tiers = enumerate(self.work.tiers)
        return sum(kind.seconds(each.longest, each.fullest, overview=tier > 0) for tier, each in tiers)

    @property
    def limit(self) -> str:
        """What limits it."""
        if self.gets > Bucket().reads:
            return "GETs of scenes"
        return "the longest parts" if self.tail > self.forecast.seconds / 2 else "workers"


@cache
def square(parts: int) -> BakeWork:
    """The bake of about so many full parts, in a square."""
    side = max(1, isqrt(parts))
    places = {
        Place(0, 1000 + column, 1000 + row): PART_CHUNKS for column in range(side) for row in range(-(-parts // side))
    }
    return work_of(BASE, places, places, places)


def case(size: float, workers: int, pixels: Pixels = RGB, prices: Prices = PRICES) -> Case:
    """A bake of so many bytes of pixels."""
    return Case(square(round(size / ((SIDE * TILE) ** 2 * pixels.bytes))), pixels, prices, workers)


def knee(size: float, pixels: Pixels = RGB, prices: Prices = PRICES) -> Case:
    """The fewest workers that take hardly longer than any, of those whose GETs one partition of S3 takes."""
    cases = [case(size, workers, pixels, prices) for workers in TRIED]
    borne = [each for each in cases if each.gets <= Bucket().reads]
    least = min(each.forecast.seconds for each in borne)
    return next(each for each in borne if each.forecast.seconds <= ENOUGH * least)


def advice() -> Iterator[str]:
    """The right number of workers for each size and kind of scenes."""

    def rows() -> Iterator[list[str]]:
        for name, size in SIZES.items():
            for kind, pixels in (("GeoTIFF", RGB), ("JPEG 2000", replace_jp2(RGB))):
                one = knee(size, pixels)
                found, work = one.forecast, one.work
                yield [
                    f"{name}, {kind}", f"{work.parts:,} + {work.overviews:,}", f"**{one.workers}**",
                    span(found.seconds), dollars(one.once), dollars(found.cost.compute), dollars(found.cost.storage),
                    f"{found.part_seconds:.0f} s",
                ]  # fmt: skip

    head = "scenes, parts, `bakeConcurrency`, time, cost, of it Lambda, storage a month, a part"
    yield from table(head.replace("scenes, parts", "scenes, base and overview parts"), rows())


def replace_jp2(pixels: Pixels) -> Pixels:
    """The same pixels in JPEG 2000."""
    return pixels._replace(jp2=True)


def of_size(name: str) -> Iterator[str]:
    """How one bake goes with more and more workers."""

    def rows() -> Iterator[list[str]]:
        for workers in WORKERS:
            one = case(SIZES[name], workers)
            if workers > 4 * one.work.parts:
                continue
            yield [
                f"{workers:,}", span(one.forecast.seconds), dollars(one.once), f"{one.gets:,.0f}", f"{one.puts:,.0f}",
                share(one.tail / one.forecast.seconds), one.limit,
            ]  # fmt: skip

    yield f"**{name} of scenes**"
    yield ""
    yield from table("workers, time, cost, GET/s of scenes, PUT/s, longest parts of all tiers, limit", rows())


def worlds() -> Iterator[tuple[str, Pixels, Prices]]:
    """What may be otherwise than assumed, one thing at a time."""
    yield "as assumed", RGB, PRICES
    yield "JPEG 2000", replace_jp2(RGB), PRICES
    yield "four bands of 16 bits", Pixels("uint16", 4), PRICES
    yield "heights, float32", Pixels("float32", 1), PRICES
    yield "finished WebP tiles", Pixels("uint8", 3, "webp"), PRICES
    for milliseconds in (15, 60, 100):
        yield f"S3 answers in {milliseconds} ms", RGB, replace(PRICES, bake_wait=milliseconds / 1000)
    yield "half the speed of CPU", RGB, replace(PRICES, lambda_speed=0.5)
    yield "a function of 1769 MB, one CPU", RGB, replace(PRICES, bake_gb=CPU_GB)
    yield "25 MB a second", RGB, replace(PRICES, bake_megabytes=25)


def sensitivity(name: str) -> Iterator[str]:
    """The same bake, were things otherwise."""

    def rows() -> Iterator[list[str]]:
        for title, pixels, prices in worlds():
            one = knee(SIZES[name], pixels, prices)
            found = one.forecast
            cpu = PART_CHUNKS * chunk_seconds(pixels) / prices.lambda_speed / Bakers(1).processes
            slower = max(1.0, Bakers(1).processes * CPU_GB / prices.bake_gb)
            yield [
                title, f"{one.workers}", span(found.seconds), dollars(one.once), f"{found.part_seconds:.0f} s",
                share(min(1.0, cpu * slower / found.part_seconds)), share(found.part_seconds / LONGEST),
            ]  # fmt: skip

    head = "1 TB, workers, time, cost, a part, of it CPU, of Lambda's 15 minutes"
    yield from table(head.replace("1 TB", name), rows())


def modelled() -> dict[str, str]:
    """Every table of the forecast, by the name of its place in docs/scale.md."""
    names = [*SIZES]
    sizes = "\n\n".join("\n".join(of_size(name)) for name in names)
    middle = names[len(names) // 2]
    return {"bakes": "\n".join(advice()), "bake sizes": sizes, "bake sensitivity": "\n".join(sensitivity(middle))}


def learned(one: Measured) -> Prices:
    """The speeds of the runs, from one worker: CPU of a chunk, and the wait for a request."""
    work, gets = one.work, one.counts["scene"] + one.requests
    speed = cpu_seconds(BakeWork(work.tiers[:1]), RGB) / one.base_cpu
    return Prices(
        lambda_speed=speed, lambda_first=1, lambda_more=0, bake_gb=CPU_GB, bake_wait=one.waiting / gets,
        bake_megabytes=FOREVER,
    )  # fmt: skip


def foreseen(one: Measured, prices: Prices) -> float:
    """The seconds that the forecast has for a run on the CPUs of this machine."""
    setting = one.setting
    prices = replace(prices, lambda_first=setting.workers, bake_wait=prices.bake_wait * setting.latency / LATENCY)
    pixels = replace_jp2(RGB) if setting.driver != "GTiff" else RGB
    found = bake_forecast(one.work, pixels, Bakers(setting.workers, queued=True, processes=1), prices, in_s3=True)
    cpu = cpu_seconds(one.work, pixels) / prices.lambda_speed
    return max(found.seconds, (cpu + one.counts["cpu"]) / (os.cpu_count() or 1))


def settings() -> Iterator[Setting]:
    """The runs; the forecast learns from the first."""
    parts = sized(8, 1)
    for workers in sized((1, 2, 4, 8), (1,)):
        yield Setting(workers, parts, LATENCY)
    if not TINY:
        yield Setting(4, parts, 3 * LATENCY)
        yield Setting(2, 2, LATENCY, "JP2OpenJPEG")


def validate() -> Iterator[str]:
    """The lines of the table of real runs."""
    with tempfile.TemporaryDirectory() as name:
        runs = list[Measured]()
        for driver in DRIVERS:
            (folder := Path(name, driver)).mkdir()
            wanted = [setting for setting in settings() if setting.driver == driver]
            names = write_scenes(folder, max((each.parts for each in wanted), default=0), driver)
            for setting in wanted:
                with alone() as process:  # GDAL and boto3 keep the address of a server
                    runs.append(process.submit(measured, folder, names, setting).result())
                print(setting, f"{runs[-1].seconds:.0f} s", runs[-1].counts, file=sys.stderr, flush=True)
    prices = learned(runs[0])
    yield f"{os.cpu_count()} cores, Python {sys.version.split()[0]}."
    yield f"One worker took {1 / prices.lambda_speed:.1f} times"
    yield "the CPU of the forecast for a chunk of these scenes in UTM,"
    yield f"and waited {1000 * prices.bake_wait:.0f} ms for each request."
    yield ""

    def rows() -> Iterator[list[str]]:
        first = runs[0].quiet
        for one in runs:
            setting, scenes = one.setting, one.counts["scene"] / one.work.parts
            model = foreseen(one, prices)
            alike = setting.driver == "GTiff" and setting.latency == LATENCY
            yield [
                f"{DRIVERS[setting.driver]}, {1000 * setting.latency:.0f} ms", f"{setting.workers}",
                f"{one.work.parts} + {one.work.overviews}", f"{one.seconds:.0f}", f"{one.quiet:.1f}", f"{model:.1f}",
                f"{model / one.quiet:.2f}", share(first / setting.workers / one.quiet) if alike else "",
                f"{one.base_cpu / one.work.parts:.1f}", f"{one.waiting / one.parts:.1f}", f"{scenes:.0f}",
                f"{one.requests / one.parts:.0f}", f"{one.others:.1f}",
            ]  # fmt: skip

    yield from table(
        "scenes and latency, workers, parts, measured s, without others s, forecast s, ratio, efficiency, "
        "CPU s a base part, s waiting a part, GETs of scenes a base part, other requests a part, CPUs that others used",
        rows(),
    )


def main() -> None:
    """Print the tables."""
    parser = parser_for(__doc__)
    parser.add_argument("--validate", action="store_true", help="hold the forecast against real runs")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/scale.md")
    given = arguments(parser)
    tables = modelled()
    if given.validate:
        tables["bake validation"] = "\n".join(validate())
    publish(tables, PAGE if given.docs else None)


if __name__ == "__main__":
    main()
