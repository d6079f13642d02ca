"""`--tiny`: any benchmark in a second or two, to see that it still runs. What it prints then is no measurement.

Each benchmark names its sizes at the top, `sized(FULL, TINY)`; a tiny run does the same with less, from a raster that
is made on the spot. The processes that it begins are tiny, too.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, TypeVar

FLAG, VARIABLE = "--tiny", "BENCH_TINY"
TINY = FLAG in sys.argv[1:] or VARIABLE in os.environ
WIDTH = 512  # pixels of the world; half of them high
if TINY:
    os.environ[VARIABLE] = "1"

JOBS = ("--jobs", "1") if TINY else ()  # for commands: a pool of processes takes longer to begin than all the rest

Size = TypeVar("Size")


def sized(full: Size, tiny: Size) -> Size:
    """How much of something this run takes."""
    return tiny if TINY else full


def parser_for(description: str | None) -> argparse.ArgumentParser:
    """A parser that knows `--tiny`; its description is the first sentence of `description`."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument(FLAG, action="store_true", help="least sizes, only to see that it runs")
    return parser


def arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What the command line asks for; exits where it wants tiny figures in the documentation."""
    found = parser.parse_args()
    if TINY and getattr(found, "docs", False):
        parser.error(f"{FLAG} measures nothing that belongs into the documentation")
    return found


def relief(width: int = WIDTH) -> Any:
    """Slopes and grain in place of the relief of the world, `(3, width / 2, width)` uint8."""
    import numpy as np  # noqa: PLC0415 - a process that only measures others does not need it

    rows, columns = np.mgrid[0 : width // 2, 0:width]
    noise = np.random.default_rng(7).normal(0, 3, (3, width // 2, width))
    waves = [128 + 60 * np.sin(columns / (29 + 9 * band)) + 50 * np.cos(rows / (37 - 5 * band)) for band in range(3)]
    return np.clip(np.array(waves) + noise, 1, 255).astype(np.uint8)


def write_relief(path: Path, width: int = WIDTH) -> None:
    """The same as a GeoTIFF of the world."""
    import rasterio  # noqa: PLC0415 - as above
    from rasterio.transform import from_bounds  # noqa: PLC0415 - as above

    place, shape = from_bounds(-180, -90, 180, 90, width, width // 2), (width, width // 2, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", "GTiff", *shape, "EPSG:4326", place, "uint8", photometric="RGB", tiled=True) as out:
        out.write(relief(width))
