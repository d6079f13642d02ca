"""The options of `Workspace.ingest`, checked like those of the command."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from os import PathLike, fspath
from typing import Any, Literal, TypedDict

from seeder.operations.checks import check_names, parsed, path_of
from tiler.choices import BAKES, CHOICES, FITS, RESAMPLINGS, TERRAINS, Bake, Choice, Resampling, Terrain
from tiler.grid import MAX_ZOOM
from tiler.image.colormap import checked
from tiler.ingest.staging import Staging
from tiler.raster.options import Options, check_words, with_one_place
from tiler.raster.units import check_unit
from tiler.raster.vrt import check_bounds, check_geotransform, crs_of
from tiler.settings import Settings

Numbers = float | Sequence[float]
NUMBERS = "give a finite number, or one per band"


class Ingesting(TypedDict, total=False):
    """Options of an ingest, as of `seeder ingest`; by default they follow from the raster.

    `nodata`, `scale` and `offset` take one number for all bands or one per band; `nodata=()` ignores the raster's.
    `rescale` takes one range for all bands or one per band. `alpha` takes a band, or 0 for none. `bounds` are W, S, E,
    N in units of the CRS; `geotransform` is six numbers in GDAL's order. `format` is by default that of the existing
    layer, else "auto": lossy if that halves the bytes of sample tiles, and "png" for palettes and heights.
    `interval` takes the metres between contours at the highest zooms, or one number per zoom from 0.
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
    requester_pays: bool
    anonymous: bool
    bake: Bake
    title: str
    description: str
    azimuth: float
    altitude: float
    z_factor: float
    multidirectional: bool
    combined: bool
    interval: Numbers


def changes_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an ingest that differ from the defaults, or from those of an earlier ingest; None means left out.

    A new georeference replaces the earlier one.

    Raises:
        BadOption: an option is unknown, or its value is invalid.
    """
    return with_one_place(checked_values(given))


def staging_of(settings: Settings, scratch: str | PathLike[str] | None) -> Staging:
    """The scratch folder of an ingest.

    Raises:
        BadOption: it is not a path.
    """
    return Staging("" if scratch is None else path_of("scratch", scratch), settings.temporary)


def checked_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of an ingest as values, without those that are None.

    Raises:
        BadOption: an option is unknown, or its value is invalid.
    """
    given = {name: value for name, value in given.items() if value is not None}
    check_names(given, Options.__dataclass_fields__, "option of ingest")
    return {name: parsed(name, value, partial(_PARSERS[name], value)) for name, value in given.items()}


def _form(cure: str, parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`parse`, with an error that names the right form."""

    def parse_or_explain(value: Any) -> Any:
        try:
            return parse(value)
        except (TypeError, ValueError) as error:
            raise ValueError(cure) from error

    return parse_or_explain


def _one_of(choices: Collection[str]) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in choices:
            nearest = difflib.get_close_matches(str(value), list(choices), n=1)
            cure = f": did you mean {nearest[0]}?" if nearest else ""
            raise ValueError(f"choose one of {', '.join(filter(None, choices))}{cure}")
        return str(value)

    return parse


def _zoom(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_ZOOM:
        raise ValueError(f"zooms run from 0 to {MAX_ZOOM}")
    return value


def _numbers(value: Any) -> tuple[float, ...]:
    numbers = tuple(map(float, value)) if isinstance(value, Sequence) else (float(value),)
    if not all(map(math.isfinite, numbers)):
        raise ValueError
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
        raise ValueError
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


def _words(name: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("give a text")  # noqa: TRY004 - as all parsers
        return check_words(name, value)

    return parse


def _colormap(value: Any) -> str:
    if not isinstance(value, str | PathLike):
        raise ValueError("give a name, such as viridis, or a file")  # noqa: TRY004 - as all parsers
    return checked(fspath(value)) if value else ""


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "min_zoom": _zoom,
    "max_zoom": _zoom,
    "resampling": _one_of(RESAMPLINGS),
    "nodata": _form("give a number, or one per band", _nodata),
    "bands": _form("give a band's number, or several", _bands),
    "rescale": _form("give (low, high), or one such pair per band", _ranges),
    "format": _one_of(CHOICES),
    "attribution": str,
    "virtual": bool,
    "style": _one_of(("", *TERRAINS)),
    "colormap": _colormap,
    "trust_source": bool,
    "as_earth": bool,
    "crs": _crs,
    "bounds": _placed(check_bounds),
    "geotransform": _placed(check_geotransform),
    "subdataset": str,
    "gcps": _one_of(("", *FITS)),
    "alpha": _form("give a band's number, from 1, or 0 for none", _alpha),
    "scale": _form(NUMBERS, _numbers),
    "offset": _form(NUMBERS, _numbers),
    "unit": lambda value: check_unit(value) if value else "",
    "requester_pays": bool,
    "anonymous": bool,
    "bake": _one_of(BAKES),
    "title": _words("title"),
    "description": _words("description"),
    "azimuth": _form("give degrees, clockwise from north", float),
    "altitude": _form("give degrees above the horizon", float),
    "z_factor": _form("give a number above 0", float),
    "multidirectional": bool,
    "combined": bool,
    "interval": _form("give metres above 0; () chooses them from the heights", _numbers),
}
