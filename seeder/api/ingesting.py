"""The options of `Workspace.ingest`, checked as those of the command are."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from os import PathLike, fspath
from typing import Any, Literal, TypedDict

from seeder.api.checks import check_names, parsed
from tiler.grid import MAX_ZOOM
from tiler.image.colormap import checked
from tiler.image.style import TERRAINS, Terrain
from tiler.keys import FORMATS
from tiler.raster.gcps import FITS
from tiler.raster.options import RESAMPLINGS, Choice, Options, Resampling, with_one_place
from tiler.raster.units import check_unit
from tiler.raster.vrt import check_bounds, check_geotransform, crs_of

Numbers = float | Sequence[float]


class Ingesting(TypedDict, total=False):
    """Options of an ingest, those of `seeder ingest`; what is not given, the raster decides.

    `nodata`, `scale` and `offset` take a number for all bands or one a band; `nodata=()` ignores the raster's own.
    `rescale` takes a range for all bands or one a band, `alpha` a band or 0 for none. `bounds` are W, S, E, N in
    units of the CRS, `geotransform` six numbers in GDAL's order.
    """

    min_zoom: int
    max_zoom: int
    resampling: Resampling
    nodata: Numbers
    bands: int | Sequence[int]
    rescale: tuple[float, float] | Sequence[tuple[float, float]]
    format: Choice
    attribution: str
    virtual: bool
    style: Terrain
    colormap: str | PathLike[str]
    trust_source: bool
    as_earth: bool
    crs: str
    bounds: Sequence[float]
    geotransform: Sequence[float]
    subdataset: str | int
    gcps: Literal["polynomial", "tps"]
    alpha: int
    scale: Numbers
    offset: Numbers
    unit: str


def options_of(given: Mapping[str, Any]) -> Options:
    """The options of an ingest; an argument of None counts as not given.

    Raises:
        BadOption: an option is unknown, or cannot have this value.
    """
    return Options(**_checked(given))


def changes_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Changes of the options of an earlier ingest; a new place replaces the old one.

    Raises:
        BadOption: as `options_of`.
    """
    return with_one_place(_checked(given))


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in given.items() if value is not None}
    check_names(given, Options.__dataclass_fields__, "option of ingest")
    return {name: parsed(name, value, partial(_PARSERS[name], value)) for name, value in given.items()}


def _one_of(choices: Collection[str]) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"choose one of {', '.join(filter(None, choices))}")
        return str(value)

    return parse


def _zoom(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_ZOOM:
        raise ValueError(f"zooms run from 0 to {MAX_ZOOM}")
    return value


def _numbers(value: Any) -> tuple[float, ...]:
    numbers = tuple(map(float, value)) if isinstance(value, Sequence) else (float(value),)
    if not all(map(math.isfinite, numbers)):
        raise ValueError("give finite numbers")
    return numbers


def _nodata(value: Any) -> float | tuple[float, ...]:
    if not isinstance(value, Sequence):
        return float(value)
    values = tuple(map(float, value))
    return values[0] if len({*map(str, values)}) == 1 else values


def _ranges(value: Any) -> tuple[tuple[float, float], ...]:
    if len(value) == 2 and not isinstance(value[0], Sequence):
        value = (value,)
    return tuple((float(low), float(high)) for low, high in value)


def _bands(value: Any) -> tuple[int, ...]:
    return tuple(map(int, value)) if isinstance(value, Sequence) else (int(value),)


def _alpha(value: Any) -> int:
    if int(value) < 0:
        raise ValueError("give a band's number, from 1, or 0 for none")
    return int(value)


def _crs(value: Any) -> str:
    text = str(value).strip()
    if text:
        crs_of(text)
    return text


def _placed(check: Callable[[Sequence[float]], object]) -> Callable[[Any], tuple[float, ...]]:
    def parse(value: Any) -> tuple[float, ...]:
        numbers = tuple(map(float, value))
        if numbers:
            check(numbers)
        return numbers

    return parse


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "min_zoom": _zoom,
    "max_zoom": _zoom,
    "resampling": _one_of(RESAMPLINGS),
    "nodata": _nodata,
    "bands": _bands,
    "rescale": _ranges,
    "format": _one_of((*FORMATS, "auto")),
    "attribution": str,
    "virtual": bool,
    "style": _one_of(("", *TERRAINS)),
    "colormap": lambda value: checked(fspath(value)) if value else "",
    "trust_source": bool,
    "as_earth": bool,
    "crs": _crs,
    "bounds": _placed(check_bounds),
    "geotransform": _placed(check_geotransform),
    "subdataset": str,
    "gcps": _one_of(("", *FITS)),
    "alpha": _alpha,
    "scale": _numbers,
    "offset": _numbers,
    "unit": lambda value: check_unit(value) if value else "",
}
