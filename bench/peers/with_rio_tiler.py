"""Tiles with rio-tiler: `with_rio_tiler.py SOURCE FOLDER Z-Z KERNEL JOBS FORMAT [LOW,HIGH]`, in the peers' environment.

A pool of processes, each of which opens the source once.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import mercantile
from rio_tiler.errors import TileOutsideBounds
from rio_tiler.io import Reader

WEBP_QUALITY = 85  # as in sources.py, which needs packages that the peers do not have
CHUNK = 16  # tiles that a process is given at once
opened: dict[str, Any] = {}  # what a process of the pool holds


def begin(source: str, folder: str, kernel: str, form: str, heights: tuple[float, ...]) -> None:
    """Open the source."""
    reader: Any = Reader(source)
    variant: dict[str, Any] = {"colormap": reader.colormap} if reader.colormap else {}
    if form == "webp":
        variant["quality"] = WEBP_QUALITY
    opened.update(reader=reader, folder=Path(folder), kernel=kernel, form=form, heights=heights, variant=variant)


def make(tile: mercantile.Tile) -> None:
    """Write one tile."""
    kernel = opened["kernel"]
    try:
        image = opened["reader"].tile(
            tile.x, tile.y, tile.z, tilesize=256, resampling_method=kernel, reproject_method=kernel
        )
    except TileOutsideBounds:
        return
    if opened["heights"]:
        image.rescale(in_range=(opened["heights"],))
    path = opened["folder"] / str(tile.z) / str(tile.x) / f"{tile.y}.{opened['form']}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image.render(img_format=opened["form"].upper(), **opened["variant"]))


def main(source: str, folder: str, zooms: str, kernel: str, jobs: str, form: str, rescale: str = "") -> None:
    """Write all tiles."""
    low, high = map(int, zooms.split("-"))
    heights = tuple(float(each) for each in rescale.split(",")) if rescale else ()
    with Reader(source) as reader:
        bounds = reader.get_geographic_bounds("EPSG:4326")
    tiles = mercantile.tiles(*bounds, range(low, high + 1), truncate=True)
    with ProcessPoolExecutor(int(jobs), initializer=begin, initargs=(source, folder, kernel, form, heights)) as pool:
        for _ in pool.map(make, tiles, chunksize=CHUNK):
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])
