"""The meaning of stored values: scale, offset and unit; heights in metres."""

from __future__ import annotations

import math

from rasterio.io import DatasetReader

from tiler.errors import BadOption, BadSource
from tiler.image.style import Meaning

METRES = {  # per unit, by its names in lower case
    **dict.fromkeys(("m", "metre", "metres", "meter", "meters"), 1.0),
    **dict.fromkeys(("ft", "foot", "feet", "international foot", "international feet"), 0.3048),
    **dict.fromkeys(("us-ft", "us survey foot", "us survey feet", "us_survey_foot", "ftus", "sft"), 1200 / 3937),
    **dict.fromkeys(("km", "kilometre", "kilometer"), 1000.0),
    **dict.fromkeys(("dm", "decimetre", "decimeter"), 0.1),
    **dict.fromkeys(("cm", "centimetre", "centimeter"), 0.01),
    **dict.fromkeys(("mm", "millimetre", "millimeter"), 0.001),
}
UNITS = "m, ft, us-ft, km, dm, cm or mm"


def check_unit(unit: str) -> str:
    """Return `unit` if it is a unit of heights.

    Raises:
        BadOption: it is not.
    """
    if unit.strip().lower() not in METRES:
        raise BadOption(f"{unit!r} is not a unit of heights: write {UNITS}")
    return unit


def meaning_of(
    dataset: DatasetReader, bands: tuple[int, ...], scale: tuple[float, ...] = (), offset: tuple[float, ...] = ()
) -> tuple[Meaning, ...]:
    """Scale and offset of each of `bands`: those given, one for all or one per band, else the raster's own.

    Raises:
        BadOption: the number of given values does not fit.
        BadSource: its own are not finite, or a scale is 0.
    """
    scales = _each("--scale", scale, [dataset.scales[band - 1] for band in bands])
    offsets = _each("--offset", offset, [dataset.offsets[band - 1] for band in bands])
    if not all(
        scale and math.isfinite(scale) and math.isfinite(start) for scale, start in zip(scales, offsets, strict=True)
    ):
        raise BadSource(dataset.name, "its scale is 0, or its scale or offset is not finite: add --scale 1 --offset 0")
    return tuple(zip(scales, offsets, strict=True))


def _each(option: str, given: tuple[float, ...], own: list[float]) -> list[float]:
    if not given:
        return own
    if len(given) not in (1, len(own)):
        alternative = "" if len(own) == 1 else f" or {len(own)}, one per band"
        raise BadOption(f"{option}: write one number{alternative}, not {len(given)}")
    return list(given) * (len(own) // len(given))


def metres_of(dataset: DatasetReader, band: int, unit: str = "") -> tuple[float, str]:
    """The metres per unit of a band of heights, and the name of the unit.

    The unit is `unit`, else the band's own, else that of the vertical part of the CRS, else metres.

    Raises:
        BadSource: the band's unit is not a length.
    """
    name = unit or (dataset.units[band - 1] or "").strip()
    if name:
        if name.lower() not in METRES:
            raise BadSource(dataset.name, f"its unit, {name[:40]!r}, is not a length: add --unit {UNITS}")
        return METRES[name.lower()], name
    return _vertical(dataset)


def _vertical(dataset: DatasetReader) -> tuple[float, str]:
    """The unit of heights in a compound or three-dimensional CRS; metres in any other."""
    if not dataset.crs:
        return 1.0, "metre"
    crs = dataset.crs.to_dict(projjson=True)
    for part in [crs, *crs.get("components", ())]:
        base = part.get("source_crs", part)  # of a bound CRS
        for axis in base.get("coordinate_system", {}).get("axis", ()):
            unit = axis.get("unit", "metre")
            if axis.get("direction") in ("up", "down") and isinstance(unit, dict):
                return float(unit["conversion_factor"]), str(unit.get("name", "its unit"))
    return 1.0, "metre"


def datum_of(dataset: DatasetReader) -> str:
    """The name of the vertical CRS in a compound or three-dimensional CRS; empty in any other."""
    if not dataset.crs:
        return ""
    crs = dataset.crs.to_dict(projjson=True)
    for part in crs.get("components", [crs]):
        base = part.get("source_crs", part)  # of a bound CRS
        axes = base.get("coordinate_system", {}).get("axis", ())
        if not any(axis.get("direction") in ("up", "down") for axis in axes):
            continue
        name = str(base.get("name", "without a name"))
        return name if base.get("type") == "VerticalCRS" else f"ellipsoidal heights of {name}"
    return ""


def in_feet(dataset: DatasetReader, band: int) -> bool:
    """Whether a raster without a unit of heights has a projected CRS in feet."""
    if dataset.units[band - 1] or not dataset.crs or not dataset.crs.is_projected:
        return False
    return "foot" in dataset.crs.linear_units.lower() or "feet" in dataset.crs.linear_units.lower()
