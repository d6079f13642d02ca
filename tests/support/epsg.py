"""Every CRS of EPSG for the earth, a raster in the middle of its area of use, and defects of its tiles."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
import rasterio.warp
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS

from tiler.errors import BadSource
from tiler.grid import TILE, Window, tile_ranges
from tiler.image.style import Pixels, Values
from tiler.ingest.mosaic import gaps_in, source_of
from tiler.ingest.survey import Survey, survey
from tiler.layers.catalog import Options
from tiler.raster.datasets import forget
from tiler.raster.place import applied

SIDE = 40  # pixels of a raster
MARGIN = 16  # pixels of tiles
STEP = 6  # levels from one column or row to the next
FARTHEST = 84.0  # degrees of latitude, the limit for the middle of a raster in Web Mercator
KINDS = ("geographic 2D", "geographic 3D", "projected", "compound")
QUERY = f"""
    select crs.code, crs.name, extent.west_lon, extent.south_lat, extent.east_lon, extent.north_lat
    from crs_view crs
    join usage on object_auth_name = crs.auth_name and object_code = crs.code and object_table_name = crs.table_name
    join extent on extent.auth_name = extent_auth_name and extent.code = extent_code
    where crs.auth_name = 'EPSG' and not crs.deprecated and crs.type in {KINDS}
    group by crs.code order by cast(crs.code as integer)
"""


class Area(NamedTuple):
    """A CRS, and its area of use in degrees; west > east crosses the antimeridian."""

    code: int
    name: str
    west: float
    south: float
    east: float
    north: float

    @property
    def middle(self) -> tuple[float, float]:
        """Longitude and latitude."""
        wide = (self.east - self.west) % 360 or 360.0
        longitude = (self.west + wide / 2 + 180) % 360 - 180
        return longitude, min(max((self.south + self.north) / 2, -FARTHEST), FARTHEST)

    @property
    def span(self) -> float:
        """Degrees of latitude of a raster well inside the area."""
        wide = (self.east - self.west) % 360 or 360.0
        return min(max(min(wide, self.north - self.south) / 8, 0.002), 0.5)


def areas() -> list[Area]:
    """All areas in the database of rasterio's PROJ."""
    with closing(sqlite3.connect(Path(rasterio.__file__).with_name("proj_data") / "proj.db")) as database:
        return [Area(*row) for row in database.execute(QUERY)]


def placed(area: Area) -> Affine | None:
    """The geotransform of a raster in the middle of an area; None if PROJ cannot compute it."""
    longitude, latitude = area.middle
    ends = [latitude - area.span / 2, latitude, latitude + area.span / 2]
    try:
        xs, ys = rasterio.warp.transform("EPSG:4326", CRS.from_epsg(area.code), [longitude] * 3, ends)
    except CPLE_BaseError:
        return None
    side = float(np.hypot(xs[2] - xs[0], ys[2] - ys[0]))
    return Affine(side / SIDE, 0, xs[1] - side / 2, 0, -side / SIDE, ys[1] + side / 2)


def written(folder: Path, area: Area, transform: Affine) -> Path:
    """A raster with its column numbers in the first band and its row numbers in the second."""
    values = np.zeros((3, SIDE, SIDE), np.uint8)
    values[0], values[1] = np.meshgrid(np.arange(SIDE) * STEP, np.arange(SIDE) * STEP)
    path = folder / f"{area.code}.tif"
    crs, shape = CRS.from_epsg(area.code), {"width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, photometric="RGB", **shape) as out:
        out.write(values)
    return path


def torn(longitudes: Values, latitudes: Values) -> bool:
    """Whether PROJ uses different shifts for parts of a raster, as at the edges of areas of use."""
    for axis in (longitudes, latitudes):
        step = max(float(np.abs(np.diff(axis, axis=along)).max()) for along in (0, 1))
        if max(float(np.abs(np.diff(axis, 2, axis=along)).max()) for along in (0, 1)) > step / 4:
            return True
    return False


def lacking(folder: Path, area: Area) -> str:
    """The defects of the tiles of the raster; empty if there are none."""
    transform = placed(area)
    path = written(folder, area, transform or Affine(100, 0, 0, 0, -100, 0))
    try:
        found = survey(str(path), Options(resampling="nearest"))
    except BadSource as error:
        return "" if transform is None else str(error)
    with rasterio.open(path) as dataset:
        columns, rows = (axis.ravel() for axis in np.meshgrid(*[np.arange(SIDE)] * 2))
        xs, ys = applied(dataset.transform, columns + 0.5, rows + 0.5)
        longitudes, latitudes = map(np.asarray, rasterio.warp.transform(dataset.crs, "EPSG:4326", xs, ys))
    edge = (np.minimum(columns, rows) == 0) | (np.maximum(columns, rows) == SIDE - 1)
    planned, shown = np.zeros((2, columns.size), bool)
    world, astray = TILE << found.base, 0.0
    right = ((longitudes + 180) / 360 % 1 * world).astype(int)
    down = ((1 - np.arcsinh(np.tan(np.radians(latitudes))) / np.pi) / 2 * world).astype(int)
    for window, values, mask in windows(found):
        x, y = right - window.x, down - window.y
        here = np.flatnonzero((x >= 0) & (y >= 0) & (x < window.width) & (y < window.height))
        planned[here] = True
        seen = here[mask[y[here], x[here]] > 0]
        shown[seen] = True
        for band, axis in zip(values, (columns, rows), strict=False):
            off = np.abs(band[y[seen], x[seen]] / STEP - axis[seen])
            astray = max(astray, float(off.max(initial=0)))
    missing = int((~planned | ~shown & ~edge).sum())  # an edge pixel of a tile may have its centre outside
    path.unlink()
    forget()
    tear = torn(*(np.unwrap(axis.reshape(SIDE, SIDE), period=360) for axis in (longitudes, latitudes)))
    if missing > SIDE * tear or astray > 1 + 2 * tear:
        return f"EPSG:{area.code} {area.name}: {missing} pixels are missing, others are {astray:.0f} pixels astray"
    return ""


def windows(found: Survey) -> Iterator[tuple[Window, Values, Pixels]]:
    """The planned tiles as baked, within the bounds plus MARGIN, and the mask of valid pixels."""
    source = source_of(found, gaps_in(found))
    world, (_, south, _, north) = TILE << found.base, found.bounds
    for (west, east), tiles in zip(found.bounds.halves(), tile_ranges(found.bounds, found.base), strict=True):
        left, right = ((degrees + 180) / 360 * world for degrees in (west, east))
        top, bottom = (
            (1 - math.asinh(math.tan(math.radians(degrees))) / math.pi) / 2 * world for degrees in (north, south)
        )
        x0, y0 = max(math.floor(left) - MARGIN, tiles.x0 * TILE), max(math.floor(top) - MARGIN, tiles.y0 * TILE)
        x1, y1 = min(math.ceil(right) + MARGIN, tiles.x1 * TILE), min(math.ceil(bottom) + MARGIN, tiles.y1 * TILE)
        window = Window(found.base, x0, y0, x1 - x0, y1 - y0)
        values, mask = source.warp(window) or (np.zeros((3, y1 - y0, x1 - x0)), np.zeros((y1 - y0, x1 - x0)))
        yield window, values, np.full(values.shape[1:], 255, np.uint8) if mask is None else mask


def complaints(folder: Path, chosen: Iterable[Area]) -> list[str]:
    """The defects of the tiles of rasters in some CRSs."""
    return [said for area in chosen if (said := lacking(folder, area))]
