"""Read the headers of many small scenes: seconds and memory, at first and again with nothing changed."""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from tiny import arguments, parser_for, sized

from tiler.raster.options import Options
from tiler.scenes.headers import read_scenes
from tiler.scenes.scene import Listed, Scene
from tiler.scenes.scene_list import dump, parse

SCENES = sized(10_000, 20)
JOBS = sized(2, 1)
SIDE = 64  # pixels
PIXEL = 10.0  # metres
ROW = 100  # scenes


def make(folder: Path) -> None:
    """A grid of small scenes in two CRSs."""
    values = np.random.default_rng(1).integers(1, 255, (3, SIDE, SIDE), dtype=np.uint8)
    for number in range(SCENES):
        place = from_origin(4e5 + number % ROW * SIDE * PIXEL, 5.3e6 - number // ROW * SIDE * PIXEL, PIXEL, PIXEL)
        shape = {"width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8", "compress": "deflate"}
        facts = {"driver": "GTiff", "crs": "EPSG:25832" if number % 4 else "EPSG:32632", "transform": place}
        with rasterio.open(folder / f"scene-{number:06}.tif", "w", **facts, **shape) as out:
            out.write(values)


def read(listed: list[Listed], known: Mapping[str, Scene]) -> tuple[Scene, ...]:
    """Read the scenes, and print how long it takes."""
    began, busy = time.perf_counter(), spent()
    scenes = read_scenes(listed, Options(), jobs=JOBS, progress=lambda _done, _all: None, known=known)
    label = "again" if known else "first"
    print(f"{label}: {time.perf_counter() - began:.1f} s, {spent() - busy:.1f} s of CPU")
    return scenes


def spent() -> float:
    """Seconds of CPU of this process and of those that it waited for."""
    own, workers = (resource.getrusage(each) for each in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime


def memory(whose: int) -> float:
    """The most megabytes of this process, or of one that it waited for."""
    return resource.getrusage(whose).ru_maxrss / 1e3


def main() -> None:
    """Measure."""
    arguments(parser_for(__doc__))
    with tempfile.TemporaryDirectory() as folder:
        maker = multiprocessing.get_context("spawn").Process(target=make, args=(Path(folder),))
        maker.start()  # its memory is not ours
        maker.join()
        time.sleep(sized(2, 0))  # younger files are hashed
        listed = [Listed(str(path), str(path)) for path in sorted(Path(folder).glob("*.tif"))]
        found = read(listed, {})
        read(listed, {each.address: each for each in found})
        own, worker = memory(resource.RUSAGE_SELF), memory(resource.RUSAGE_CHILDREN)
        print(f"memory: {own:.0f} MB, and {worker:.0f} MB for each of {JOBS} workers")
        data = dump(found)
        began = time.perf_counter()
        assert parse(data, "KEY").scenes == found
        print(f"stored: {len(data):,} bytes, read in {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    main()
