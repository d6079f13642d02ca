"""Rasters of other celestial bodies: detect the body of a CRS, and move its map to the earth.

Only where that takes no more than another geotransform: of longitudes and latitudes, or of an equirectangular map of
a sphere, whose metres are longitudes and latitudes times a constant (Snyder, Map Projections, 1987, equations 12-1
and 12-2).
"""

from __future__ import annotations

import math
from typing import Any

from affine import Affine
from rasterio.crs import CRS

from tiler.errors import BadSource

EARTH = 6_378_137.0  # metres
ALIKE = 0.01  # of that, which all ellipsoids of the earth differ by at most
AS_EARTH = "--as-earth"


def horizontal(crs: CRS) -> dict[str, Any]:
    """The part of a CRS that says where on a map, as PROJJSON; empty where PROJ has no words for it."""
    part: dict[str, Any] = crs.to_dict(projjson=True)
    while inner := part.get("source_crs") or next(iter(part.get("components", ())), None):
        part = inner
    return part


def called(crs: CRS) -> str:
    """The name of a CRS: its description would take a screen."""
    part = crs.to_dict(projjson=True)
    name = part.get("name") or horizontal(crs).get("name")
    return repr(name[:60]) if name else "its CRS"


def foreign_radius(crs: CRS) -> float | None:
    """The radius in metres of the body of a CRS, None where that is the earth or nothing is said."""
    part = horizontal(crs)
    while "base_crs" in part:
        part = part["base_crs"]
    ellipsoid = (part.get("datum") or part.get("datum_ensemble") or {}).get("ellipsoid", {})
    said = ellipsoid.get("semi_major_axis", ellipsoid.get("radius", EARTH))
    radius = said["value"] * said["unit"].get("conversion_factor", 1.0) if isinstance(said, dict) else said
    return None if abs(radius / EARTH - 1) < ALIKE else float(radius)


def on_earth(crs: CRS | None, transform: Affine, path: str) -> Affine | None:
    """The geotransform that lays a raster on the earth, in degrees (EPSG:4326); None for rasters of the earth.

    Raises:
        BadSource: its CRS is neither of longitudes and latitudes nor equirectangular.
    """
    if not crs or foreign_radius(crs) is None:
        return None
    (east, west), (north, south) = _degrees(crs, path)
    a, b, c, d, e, f = transform[:6]
    return Affine(east * a, east * b, east * c + west, north * d, north * e, north * f + south)


def _degrees(crs: CRS, path: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Degrees a unit and degrees at 0 of a CRS: of longitude along its first axis, of latitude along its second."""
    said = crs.to_dict()
    if crs.is_geographic and "pm" not in said:
        degree = math.degrees(crs.units_factor[1])
        return (degree, 0.0), (degree, 0.0)
    if said.get("proj") != "eqc" or "R" not in said or "pm" in said:
        raise BadSource(
            path,
            f"{AS_EARTH} takes longitudes and latitudes, or an equirectangular map of a sphere, not {called(crs)}",
        )
    metre = crs.linear_units_factor[1]
    north = math.degrees(1 / said["R"])
    east = north / math.cos(math.radians(said["lat_ts"]))
    west, south = said["lon_0"] - east * said["x_0"], said["lat_0"] - north * said["y_0"]
    return (east * metre, west), (north * metre, south)
