"""Notes on georeferencing that looks wrong but is accepted."""

from __future__ import annotations

from collections.abc import Iterator

from rasterio.io import DatasetReader

from tiler.raster.bodies import called
from tiler.raster.options import Options
from tiler.raster.place import corners
from tiler.raster.subdatasets import SUBDATASET, listed, subdatasets

POLE = 90.0  # degrees


def doubts(dataset: DatasetReader, plain: DatasetReader, options: Options) -> Iterator[str]:
    """Notes for the user about what looks wrong but is accepted, one per line.

    `plain` is the raster opened without the options that change its georeferencing.
    """
    names = subdatasets(plain)
    if len(names) > 1 and not options.subdataset:
        yield f"it holds {len(names)} rasters; the first is used: {SUBDATASET} selects another, one of {listed(names)}"
    if options.gcps and not plain.gcps[0]:
        yield f"--gcps {options.gcps} has no effect: the raster has no ground control points"
    crs = dataset.crs
    if not crs or crs.is_geographic:
        return
    (left, right), (bottom, top) = ((float(axis.min()), float(axis.max())) for axis in corners(dataset))
    xs, ys = max(abs(left), abs(right)), max(abs(bottom), abs(top))
    if xs <= 360 and ys <= POLE and abs(dataset.transform.determinant) < 1:
        why = f"its coordinates look like degrees, but its CRS, {called(crs)}, is in other units"
        yield f"{why}: if they are degrees, add --crs EPSG:4326"
    elif crs.to_dict().get("proj") == "utm" and min(abs(left), abs(right)) > 1_200_000 and 0 < ys < 1_000_000:
        why = f"its axes look swapped (x {left:.9g} to {right:.9g} in {called(crs)})"
        yield f"{why}: add --bounds W,S,E,N in the right order"
