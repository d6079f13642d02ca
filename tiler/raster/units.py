"""What stored values mean: scale, offset, unit; heights in metres."""

from __future__ import annotations

import math

from rasterio.io import DatasetReader

from tiler.errors import BadOption, BadSource
from tiler.image.style import Meaning

METRES = {  # that a unit measures, by its names in lower case
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
    """`unit`, if it is one of heights.

    Raises:
        BadOption: it is none.
    """
    if unit.strip().lower() not in METRES:
        raise BadOption(f"{unit!r} is no unit of heights: write {UNITS}")
    return unit


def meaning_of(
    dataset: DatasetReader, bands: tuple[int, ...], scale: tuple[float, ...] = (), offset: tuple[float, ...] = ()
) -> tuple[Meaning, ...]:
    """Scale and offset of each of `bands`: those given, one for all or one a band, else the raster's own.

    Raises:
        BadOption: the number of those given does not fit.
        BadSource: its own are not finite, or 0.
    """
    scales = _each("--scale", scale, [dataset.scales[band - 1] for band in bands])
    offsets = _each("--offset", offset, [dataset.offsets[band - 1] for band in bands])
    if not all(
        scale and math.isfinite(scale) and math.isfinite(start) for scale, start in zip(scales, offsets, strict=True)
    ):
        raise BadSource(dataset.name, "its scale or offset makes no number: add --scale 1 --offset 0")
    return tuple(zip(scales, offsets, strict=True))


def _each(option: str, given: tuple[float, ...], own: list[float]) -> list[float]:
    if not given:
        return own
    if len(given) not in (1, len(own)):
        most = "" if len(own) == 1 else f" or {len(own)}, one a band"
        raise BadOption(f"{option}: give one number{most}, not {len(given)}")
    return list(given) * (len(own) // len(given))


def metres_of(dataset: DatasetReader, band: int, unit: str = "") -> tuple[float, str]:
    """How many metres one step of a band of heights is, and the name of its unit.

    The unit is `unit`, else the band's own, else that of the vertical part of the CRS, else metres.

    Raises:
        BadSource: the band's unit is no length.
    """
    said = unit or (dataset.units[band - 1] or "").strip()
    if said:
        if said.lower() not in METRES:
            raise BadSource(dataset.name, f"its unit, {said[:40]!r}, is no length: add --unit {UNITS}")
        return METRES[said.lower()], said
    return _vertical(dataset)


def _vertical(dataset: DatasetReader) -> tuple[float, str]:
    """The unit of heights that a compound or three-dimensional CRS has."""
    if not dataset.crs:
        return 1.0, "metre"
    said = dataset.crs.to_dict(projjson=True)
    for part in [said, *said.get("components", ())]:
        base = part.get("source_crs", part)  # of a CRS that is bound to another
        for axis in base.get("coordinate_system", {}).get("axis", ()):
            unit = axis.get("unit", "metre")
            if axis.get("direction") in ("up", "down") and isinstance(unit, dict):
                return float(unit["conversion_factor"]), str(unit.get("name", "its unit"))
    return 1.0, "metre"


def in_feet(dataset: DatasetReader, band: int) -> bool:
    """Whether a raster that says no unit of its heights lies on a map in feet."""
    if dataset.units[band - 1] or not dataset.crs or not dataset.crs.is_projected:
        return False
    return "foot" in dataset.crs.linear_units.lower() or "feet" in dataset.crs.linear_units.lower()
