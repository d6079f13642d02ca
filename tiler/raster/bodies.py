"""Rasters of other celestial bodies: detect the body of a CRS, and move its map to the earth.

Only if another geotransform suffices: for longitudes and latitudes, and for an equirectangular map of a sphere, whose
metres are longitudes and latitudes times a constant (Snyder, Map Projections, 1987, equations 12-1 and 12-2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from affine import Affine
from rasterio.crs import CRS

from tiler.errors import BadSource

EARTH = 6_378_137.0  # metres
ALIKE = 0.01  # largest relative difference from it of any ellipsoid of the earth
AS_EARTH = "--as-earth"


def horizontal(crs: CRS) -> Mapping[str, Any]:
    """The horizontal part of a CRS as PROJJSON; empty if PROJ cannot express it."""
    return _horizontal(crs.to_wkt())


@lru_cache  # most scenes of a layer have the same CRS
def _horizontal(wkt: str) -> Mapping[str, Any]:
    part: dict[str, Any] = CRS.from_wkt(wkt).to_dict(projjson=True)
    while inner := part.get("source_crs") or next(iter(part.get("components", ())), None):
        part = inner
    return part


def called(crs: CRS) -> str:
    """The name of a CRS for messages, because its WKT is too long."""
    part = crs.to_dict(projjson=True)
    name = part.get("name") or horizontal(crs).get("name")
    return repr(name[:60]) if name else "its CRS"


def foreign_radius(crs: CRS) -> float | None:
    """The radius in metres of the body of a CRS; None for the earth, or if the CRS names no body."""
    part = horizontal(crs)
    while "base_crs" in part:
        part = part["base_crs"]
    ellipsoid = (part.get("datum") or part.get("datum_ensemble") or {}).get("ellipsoid", {})
    axis = ellipsoid.get("semi_major_axis", ellipsoid.get("radius", EARTH))
    radius = axis["value"] * axis["unit"].get("conversion_factor", 1.0) if isinstance(axis, dict) else axis
    return None if abs(radius / EARTH - 1) < ALIKE else float(radius)


def on_earth(crs: CRS | None, transform: Affine, path: str) -> Affine | None:
    """The geotransform that moves a raster to the earth, in degrees (EPSG:4326); None for rasters of the earth.

    Raises:
        BadSource: its CRS is neither geographic nor equirectangular.
    """
    if not crs or foreign_radius(crs) is None:
        return None
    (east, west), (north, south) = _degrees(crs, path)
    a, b, c, d, e, f = transform[:6]
    return Affine(east * a, east * b, east * c + west, north * d, north * e, north * f + south)


def _degrees(crs: CRS, path: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Degrees per unit and degrees at 0 of a CRS: of longitude along its first axis, of latitude along its second."""
    parameters = crs.to_dict()
    if crs.is_geographic and "pm" not in parameters:
        degree = math.degrees(crs.units_factor[1])
        return (degree, 0.0), (degree, 0.0)
    if parameters.get("proj") != "eqc" or "R" not in parameters or "pm" in parameters:
        raise BadSource(
            path,
            f"{AS_EARTH} needs longitudes and latitudes, or an equirectangular map of a sphere, not {called(crs)}: "
            "run `gdalwarp` on it first",
        )
    metre = crs.linear_units_factor[1]
    north = math.degrees(1 / parameters["R"])
    east = north / math.cos(math.radians(parameters["lat_ts"]))
    west = parameters["lon_0"] - east * parameters["x_0"]
    south = parameters["lat_0"] - north * parameters["y_0"]
    return (east * metre, west), (north * metre, south)
