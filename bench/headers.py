"""Read the headers of many small scenes: seconds and memory, at first and again with nothing changed.

Usage: python bench/headers.py [SCENES] [JOBS]
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from tiler.raster.options import Options
from tiler.scenes.headers import read_scenes
from tiler.scenes.scene import Listed, Scene
from tiler.scenes.scene_list import dump, parse

SIDE = 64  # pixels
PIXEL = 10.0  # metres
ROW = 100  # scenes


def make(folder: Path, scenes: int) -> list[Listed]:
    """A grid of small scenes in two CRSs."""
    values = np.random.default_rng(1).integers(1, 255, (3, SIDE, SIDE), dtype=np.uint8)
    listed = []
    for number in range(scenes):
        path = folder / f"scene-{number:06}.tif"
        place = from_origin(4e5 + number % ROW * SIDE * PIXEL, 5.3e6 - number // ROW * SIDE * PIXEL, PIXEL, PIXEL)
        crs = "EPSG:25832" if number % 4 else "EPSG:32632"
        shape = {"width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8"}
        with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=place, compress="deflate", **shape) as out:
            out.write(values)
        listed.append(Listed(str(path), str(path)))
    return listed


def read(listed: list[Listed], jobs: int, known: Mapping[str, Scene]) -> tuple[Scene, ...]:
    """Read the scenes, and print how long it takes."""
    began, busy = time.perf_counter(), spent()
    scenes = read_scenes(listed, Options(), jobs=jobs, progress=lambda _done, _all: None, known=known)
    label = "again" if known else "first"
    print(f"{label}: {time.perf_counter() - began:.1f} s, {spent() - busy:.1f} s of CPU")
    return scenes


def spent() -> float:
    """Seconds of CPU of this process and of those that it waited for."""
    own, workers = (resource.getrusage(each) for each in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime


def main(scenes: int = 10_000, jobs: int = 2) -> None:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        listed = make(Path(folder), scenes)
        time.sleep(2)  # younger files are hashed
        found = read(listed, jobs, {})
        read(listed, jobs, {each.address: each for each in found})
        data = dump(found)
        began = time.perf_counter()
        assert parse(data, "KEY").scenes == found
        print(f"stored: {len(data):,} bytes, read in {time.perf_counter() - began:.2f} s")
    own, worker = (resource.getrusage(each).ru_maxrss for each in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(f"memory: {own / 1e3:.0f} MB, and {worker / 1e3:.0f} MB for each of {jobs} workers")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
