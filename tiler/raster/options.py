"""What `ingest` may be asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from tiler.image.style import Range, Terrain
from tiler.keys import Format

Resampling = Literal["nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average", "mode"]
Halving = Literal["cubic", "average", "nearest", "mode"]
Choice = Format | Literal["auto"]  # of a format: auto is decided by what the tiles show
Nodata = float | tuple[float, ...] | None  # a value for all bands or one a band; () ignores the raster's own
RESAMPLINGS: tuple[Resampling, ...] = get_args(Resampling)
LOSSLESS: tuple[Format, ...] = ("png",)


@dataclass(frozen=True, slots=True)
class Options:
    """What `seeder ingest` was asked for; None and empty mean that the raster decides.

    `rescale` holds one range for all bands or one for each, as do `nodata`, `scale` and `offset`; an empty `nodata`
    ignores the raster's own. `alpha` is a band, 0 for none. `colormap` is a name or the lines of a colour-relief file;
    see `tiler.image.colormap`. `trust_source` changes no pixel, so it makes no other revision. `crs`, and one of
    `bounds` (W,S,E,N in the units of the CRS) and `geotransform` (in GDAL's order), take the place of the raster's own.
    `subdataset` names or counts one of the rasters that a file holds. `gcps` is `polynomial` or `tps`: the fit
    through ground control points.
    """

    min_zoom: int | None = None
    max_zoom: int | None = None
    resampling: Resampling | None = None
    nodata: Nodata = None
    bands: tuple[int, ...] = ()
    rescale: tuple[Range, ...] = ()
    format: Choice = "png"
    attribution: str = ""
    virtual: bool = False
    style: Terrain = ""
    colormap: str = ""
    trust_source: bool = False
    as_earth: bool = False
    crs: str = ""
    bounds: tuple[float, ...] = ()
    geotransform: tuple[float, ...] = ()
    subdataset: str = ""
    gcps: str = ""
    alpha: int | None = None
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    unit: str = ""

    def changed(self) -> dict[str, Any]:
        """The options that are not as they are when nothing is asked for: a new option changes nothing for the rest."""
        plain = type(self)()
        said = {name: value for name, value in asdict(self).items() if value != getattr(plain, name)}
        if said.get("gcps") == "polynomial":  # as without it
            del said["gcps"]
        return {name: value for name, value in said.items() if name != "trust_source"}

    def to_json(self) -> dict[str, Any]:
        """The JSON form, which has no number that is none."""
        nodata = self.nodata
        texts = list(map(str, nodata)) if isinstance(nodata, tuple) else _text(nodata)
        return {**asdict(self), "nodata": texts}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Options:
        """The inverse, also of what earlier versions wrote.

        Raises:
            KeyError, TypeError, ValueError: a field is missing or does not fit.
        """
        ranges = said["rescale"] or ()
        if ranges and not isinstance(ranges[0], list):  # there used to be one for all bands
            ranges = (ranges,)
        nodata = said["nodata"]
        lists = {name: tuple(said.get(name, ())) for name in ("bands", "scale", "offset", "bounds", "geotransform")}
        return cls(
            **{
                **said,
                **lists,
                "nodata": tuple(map(float, nodata)) if isinstance(nodata, list) else _number(nodata),
                "rescale": tuple(map(tuple, ranges)),
            }
        )


def with_one_place(changes: dict[str, Any]) -> dict[str, Any]:
    """Changes of options: `bounds` takes the place of an earlier `geotransform`, and the reverse."""
    for one, other in (("bounds", "geotransform"), ("geotransform", "bounds")):
        if changes.get(one):
            changes = {other: (), **changes}
    return changes


def _text(number: float | None) -> str | None:
    return None if number is None else str(number)


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


NONE_ASKED = Options()
