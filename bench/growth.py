"""What planning costs as it grows from 10^3 to 10^9 tiles: `python bench/growth.py`.

A country with a fractal border and a lake, and a box of as many tiles, each at zooms 8 to 18: counted, and planned to
the last message. Where supermercado can still burn the country it is the peer, and has to find the same tiles. Every
figure is of a process of its own; memory is what Linux says of it. Then `count` and `seed --dry-run` as a user runs
them. Exit 1 if a plan takes more seconds or memory than it may.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import rasterio
from bucket import alone
from rasterio.transform import from_origin
from supermercado.burntiles import burn
from tiny import JOBS, arguments, parser_for, sized
from verify import held

from seeder.cache.prepare_job import prepare
from seeder.cache.query import SpatialFilter, TileQuery
from seeder.jobs.messages import SIZES
from seeder.select.burn import Shapes
from seeder.select.geojson import read_geojson
from seeder.select.morton import interleaved
from seeder.select.selection import count, regions
from seeder.select.tileset import TileSet
from tiler.grid import EXTENT, Bounds, TileRange
from tiler.image.style import Style
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.footprint import Footprint
from tiler.layers.publication import publish
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage.store import Stores, open_store

ROOT = Path(__file__).parent.parent
SECONDS, MEMORY = 30.0, 200.0  # that a plan may take; megabytes of the whole process
COMMANDS = sized(slice(None), slice(2, 3))  # of those below
ZOOMS = sized((8, 10, 12, 14, 16, 18), (8, 10))
BURNT = sized(14, 8)  # the deepest zoom of the peer: the next would hold 63 M tiles of 24 bytes, several times over
SEED = 8

CENTRE, RADIUS = 0.53 + 0.36j, 0.085  # of the country, in widths of the world from its north-west corner
CORNERS, BORDER, SHORE = sized((6, 14, 12), (6, 6, 4))  # to begin with, and how often each segment is halved
ROUGH = 0.25  # how far a middle is moved, as a share of its segment's length (standard deviation)

COLUMNS = (
    *("", "zoom", "tiles", "at the edge", "runs", "messages", "counted, CPU s", "planned, CPU s", "wall s", "MB over"),
    *("MB in all", "", "supermercado, CPU s", "MB in all", "as long"),
)

Ring = npt.NDArray[np.complex128]


def ring(centre: complex, radius: float, halved: int, dice: np.random.Generator) -> Ring:
    """A closed line as rough at every scale, by moving the middles of segments (Fournier, Fussell, Carpenter 1982)."""
    angles = (np.arange(CORNERS) + dice.uniform(-0.2, 0.2, CORNERS)) * 2 * np.pi / CORNERS
    found: Ring = centre + radius * np.exp(1j * angles)
    for _ in range(halved):
        along = np.roll(found, -1) - found
        middle = found + along * (0.5 + 1j * dice.normal(0, ROUGH, len(found)))
        found = np.column_stack([found, middle]).ravel()
    return found


def country() -> dict[str, Any]:
    """A GeoJSON feature: a polygon with a hole, in degrees."""
    dice = np.random.default_rng(SEED)
    rings = ring(CENTRE, RADIUS, BORDER, dice), ring(CENTRE, RADIUS / 4, SHORE, dice)
    return {
        "type": "Feature",
        "properties": {},
        "geometry": {"type": "Polygon", "coordinates": [*map(_degrees, rings)]},
    }


def _degrees(places: Ring) -> list[list[float]]:
    longitudes = places.real * 360 - 180
    latitudes = np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * places.imag))))
    found: list[list[float]] = np.column_stack([longitudes, latitudes]).round(7).tolist()
    return [*found, found[0]]


def box(tiles: int, z: int) -> Bounds:
    """A square of about so many tiles around the country's centre."""
    half = (tiles**0.5 / 2 - 0.25) / 2**z
    (west, south), (east, north), _ = _degrees(np.array([CENTRE - half + 1j * half, CENTRE + half - 1j * half]))
    return Bounds(west, south, east, north)


class Took(NamedTuple):
    """Seconds, by the clock and of the processor, and the most megabytes that a process held."""

    wall: float
    cpu: float
    peak: float

    @property
    def verdict(self) -> str:
        """Whether that is within the budget."""
        if self.wall > SECONDS:
            return "**too slow**"
        return "**too large**" if self.peak > MEMORY else "ok"


class Planned(NamedTuple):
    """What a plan comes to, and what it took; `before` are megabytes with all that it needs imported."""

    tiles: int
    edge: int  # tiles that the border runs through
    runs: int
    messages: int
    counting: float  # CPU seconds of it until the tiles were counted
    before: float
    took: Took


def globe(maxzoom: int) -> Layer:
    """A layer that covers the world."""
    everywhere = Footprint(0, 0, 0, np.ones((1, 1), bool))
    bounds = Bounds(-180, -85.06, 180, 85.06)
    return Layer("world", "1", "", bounds, 0, maxzoom, "png", Style(), everywhere, None, (1,), "nearest")


def planned(z: int, file: Path, bounds: Bounds | None) -> Planned:
    """All of it, from the options to the last message's JSON, for a queue: of the file's shapes, or of a box."""
    layer, stores = globe(z), Stores(open_store("memory://tiles"), open_store("memory://ledger"), "")
    before, start, spent = held("VmRSS"), time.perf_counter(), time.process_time()
    shapes = None if bounds else read_geojson(file.read_text("utf-8"), file.name)
    query = TileQuery((z,), (bounds,) if bounds else (), SpatialFilter((shapes,) if shapes else ()))
    selection, _ = query.selection(layer, stores, int)
    tiles = count(layer, selection)[z].tiles
    counting = time.process_time() - spent
    plan = prepare(layer, selection, TileVariant(), force=False, stores=stores)
    messages = sum(1 for message in plan.messages(SIZES) if message.encode())
    took = Took(time.perf_counter() - start, time.process_time() - spent, held("VmHWM"))
    (region,) = regions(layer, selection)
    edge = len(region - _inner(region, shapes))
    return Planned(tiles, edge, len(region.starts), messages, counting, before, took)


def _inner(region: TileSet, shapes: Shapes | None) -> TileSet:
    """The tiles that no border runs through."""
    if shapes:
        return shapes.within(region.z, TileRange(region.z, 0, 0, 2**region.z, 2**region.z))
    columns, tops, bottoms = region.columns()
    x0, x1, y0, y1 = int(columns[0]), int(columns[-1]), int(tops[0]), int(bottoms[0])
    return TileSet.ranges(region.z, [TileRange(region.z, x0 + 1, y0 + 1, x1, y1 - 1)])


def burnt(z: int, file: Path) -> Took:
    """What supermercado takes for the file's tiles.

    Exits where they are not those of a plan.
    """
    start, spent = time.perf_counter(), time.process_time()
    x, y, _ = burn([json.loads(file.read_text("utf-8"))], z).T
    took = Took(time.perf_counter() - start, time.process_time() - spent, held("VmHWM"))
    shapes = read_geojson(file.read_text("utf-8"), file.name)
    if TileSet.of(z, interleaved(x, y)) != shapes.touched(z, TileRange(z, 0, 0, 2**z, 2**z)):
        sys.exit(f"supermercado burns other tiles at zoom {z}")
    return took


def growth(file: Path) -> bool:
    """Print the table; returns whether all plans are within the budget."""
    print(f"| {' | '.join(COLUMNS)} |\n| --- |" + 10 * " ---: |" + " --- |" + 3 * " ---: |")
    sizes: dict[int, int] = {}
    well = True
    with alone() as apart:
        for z in ZOOMS:
            found = apart.submit(planned, z, file, None).result()
            peer = apart.submit(burnt, z, file).result() if z <= BURNT else None
            print(_line("country", z, found, peer), flush=True)
            sizes[z] = found.tiles
            well &= found.took.verdict == "ok"
        for z, tiles in sizes.items():
            found = apart.submit(planned, z, file, box(tiles, z)).result()
            print(_line("box", z, found, None), flush=True)
            well &= found.took.verdict == "ok"
    return well


def commands(folder: Path, file: Path) -> bool:
    """Print what commands say and take; returns whether those that only plan are within the budget."""
    _world(folder)
    well = True
    deep = ZOOMS[-1]
    country, everything = ("--geojson", str(file)), ("--zooms", f"0-{deep}")
    print("\n| | tiles | wall s | CPU s | MB at most | |\n| --- |" + 4 * " ---: |" + " --- |")
    every: tuple[tuple[str, bool, tuple[str, ...]], ...] = (
        (f"count --zooms {deep} --geojson FILE", True, ("count", "--zooms", f"{deep}", *country)),
        (f"count --zooms 0-{deep} --geojson FILE", True, ("count", *everything, *country)),
        (
            f"count --area 0-8=world --area 9-{deep}=FILE",
            True,
            ("count", "--area", "0-8=world", "--area", f"9-{deep}={file}"),
        ),
        (
            f"count --zooms 0-{deep} --geojson FILE --buffer 1000",
            False,
            ("count", *everything, *country, "--buffer", "1000"),
        ),
        (f"seed --zooms 0-{deep} --geojson FILE --dry-run", False, ("seed", *everything, *country, "--dry-run")),
    )
    for name, budgeted, (verb, *words) in every[COMMANDS]:
        said, took = _ran(sys.executable, "-m", "seeder", verb, "world", *words, "--json", "--data", str(folder))
        cells = f"{took.wall:.1f} | {took.cpu:.1f} | {took.peak:.0f} | {took.verdict if budgeted else ''}"
        print(f"| `{name}` | {said['tiles']:,} | {cells} |", flush=True)
        well &= not budgeted or took.verdict == "ok"
    return well


def _world(folder: Path) -> None:
    """Make a layer of the world, of noise, to zoom 18."""
    pixels, source = sized(1024, 256), folder / "world.tif"
    values = np.random.default_rng(SEED).integers(0, 256, (3, pixels, pixels), np.uint8)
    place = from_origin(-EXTENT, EXTENT, 2 * EXTENT / pixels, 2 * EXTENT / pixels)
    with rasterio.open(source, "w", "GTiff", pixels, pixels, 3, "EPSG:3857", place, "uint8") as raster:
        raster.write(values)
    _ran(sys.executable, "-m", "seeder", "ingest", str(source), "--virtual", "--json", *JOBS, "--data", str(folder))
    stores = Stores.open(Settings.from_env({}, data=str(folder)))
    publish(replace(load_layer(stores.sources, "world"), maxzoom=ZOOMS[-1]), stores)


def _ran(*command: str) -> tuple[dict[str, Any], Took]:
    """What a command prints, which is JSON, and what it took."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT) as process:
        assert process.stdout
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed: {process.returncode}")
    return json.loads(said), Took(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def _line(name: str, z: int, found: Planned, peer: Took | None) -> str:
    took = found.took
    cells = [name, str(z), *(f"{number:,}" for number in found[:4]), f"{found.counting:.2f}", f"{took.cpu:.2f}"]
    cells += [f"{took.wall:.2f}", f"{took.peak - found.before:.0f}", f"{took.peak:.0f}", took.verdict]
    cells += [f"{peer.cpu:.2f}", f"{peer.peak:.0f}", f"{peer.cpu / found.counting:.1f} x"] if peer else [""] * 3
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the tables."""
    arguments(parser_for(__doc__))
    with TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "country.geojson"
        file.write_text(json.dumps(country()), "utf-8")
        well = [growth(file), commands(folder, file)]
    sys.exit(not all(well))


if __name__ == "__main__":
    main()
