"""The options of `seeder ingest`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, cast

from tiler.choices import Bake, Choice, Resampling, Terrain
from tiler.errors import BadOption
from tiler.image.colormap import unlabelled
from tiler.image.light import DEFAULT, Light, Shading
from tiler.image.style import Range
from tiler.keys import Format

Halving = Literal["cubic", "average", "nearest", "mode"]
Nodata = float | tuple[float, ...] | None  # a value for all bands or one per band; () ignores the raster's own
LOSSLESS: tuple[Choice, ...] = ("png", "webp-lossless")
OF_S3 = ("requester_pays", "anonymous")
TOLD = ("title", "description")  # options that change neither a pixel nor the revision
LONGEST = {"title": 120, "description": 1000}  # characters
LIGHT = ("azimuth", "altitude", "z_factor", "multidirectional", "combined")  # of shaded relief
DRAWN = (*LIGHT, "interval")
OUTPUT = ("min_zoom", "max_zoom", "resampling", "format", "attribution", "bake")
UNREAD = (*TOLD, *OUTPUT, *DRAWN)  # change nothing that a header gives
LATER = (*OF_S3, "bake", *DRAWN, *TOLD)  # options that earlier versions do not know
ACCESS = ("trust_source", *OF_S3)  # options of one raster's access, which the next raster does not inherit

TUPLES = ("bands", "scale", "offset", "bounds", "geotransform", "interval")


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `seeder ingest`; None or empty uses the raster's own value.

    `rescale` holds one range for all bands or one per band; `nodata`, `scale` and `offset` hold values likewise, and
    an empty `nodata` ignores the raster's own. `alpha` is a band, 0 for none. `colormap` is a name or the lines of a
    colour-relief file; see `tiler.image.colormap`. The options in `ACCESS` and `TOLD` change no pixel, so they do not
    change the revision.
    `crs`, and `bounds` (W,S,E,N in units of the CRS) or `geotransform` (in GDAL's order), override the raster's own.
    `title` and `description` are those of the layer; None keeps the present ones.
    `subdataset` is the name or number of one of the rasters in a file. `gcps` is `polynomial` or `tps`, the fit through
    ground control points. `requester_pays` and `anonymous` apply to reads from S3. `interval` holds
    the metres between contours: those of the highest zooms, or of the zooms 0, 1, 2, ... if there are several.
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
    requester_pays: bool = False
    anonymous: bool = False
    bake: Bake = "lossless"
    title: str | None = None
    description: str | None = None
    azimuth: float = DEFAULT.azimuth
    altitude: float = DEFAULT.altitude
    z_factor: float = DEFAULT.z_factor
    multidirectional: bool = False
    combined: bool = False
    interval: tuple[float, ...] = ()

    def changed(self) -> dict[str, Any]:
        """The options that differ from their defaults, so that a new option keeps the revisions of other layers."""
        defaults = type(self)()
        changed = {name: value for name, value in asdict(self).items() if value != getattr(defaults, name)}
        if changed.get("gcps") == "polynomial":  # the default fit
            del changed["gcps"]
        if changed.get("colormap"):
            changed["colormap"] = unlabelled(self.colormap)
        return {name: value for name, value in changed.items() if name not in (*ACCESS, *TOLD)}

    def differing(self, other: Options) -> list[str]:
        """The names of the options that differ from those of `other`, except those of access and `TOLD`."""
        ours, others = self.changed(), other.changed()
        names = (name for name in self.__dataclass_fields__ if name in ours.keys() | others.keys())
        return [name for name in names if repr(ours.get(name)) != repr(others.get(name))]  # NaN is equal to itself

    def read_alike(self, other: Options) -> bool:
        """Whether these options give the same headers of scenes as `other`; access to them does not matter."""
        return replace(other, **{name: getattr(self, name) for name in (*UNREAD, *ACCESS)}) == self

    def baked(self) -> Options:
        """The options without `OF_S3`, which a baked layer does not need, and earlier versions do not know."""
        return replace(self, requester_pays=False, anonymous=False)

    @property
    def light(self) -> Light:
        """The light of shaded relief.

        Raises:
            BadOption: a value is out of its range, or two exclude each other.
        """
        if self.multidirectional and self.combined:
            raise BadOption("--multidirectional and --combined exclude each other: drop one of them")
        shading: Shading = "multidirectional" if self.multidirectional else "combined" if self.combined else ""
        return Light(self.azimuth, self.altitude, self.z_factor, shading)

    def to_json(self) -> dict[str, Any]:
        """The JSON form; `nodata` as text, because JSON has no NaN. The options in `LATER` are absent by default."""
        nodata = self.nodata
        texts = list(map(str, nodata)) if isinstance(nodata, tuple) else _text(nodata)
        told = {name for name in TOLD if getattr(self, name) is not None}
        changed = self.changed().keys() | told | {name for name in OF_S3 if getattr(self, name)}
        fields = {name: value for name, value in asdict(self).items() if name not in LATER or name in changed}
        return {**fields, "nodata": texts}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Options:
        """The inverse of `to_json`; also reads the JSON of earlier versions.

        Raises:
            KeyError, TypeError, ValueError: a field is missing or invalid.
        """
        ranges = fields["rescale"] or ()
        if ranges and not isinstance(ranges[0], list):  # earlier versions had one range for all bands
            ranges = (ranges,)
        nodata = fields["nodata"]
        lists = {name: tuple(fields.get(name, ())) for name in TUPLES}
        return cls(
            **{
                **fields,
                **lists,
                "nodata": tuple(map(float, nodata)) if isinstance(nodata, list) else _number(nodata),
                "rescale": tuple(map(tuple, ranges)),
            }
        )


def told_as(options: Options, before: Options) -> Options:
    """The options with the title and description of a layer: those given, otherwise those `before`."""
    title = before.title if options.title is None else options.title
    description = before.description if options.description is None else options.description
    return replace(options, title=title, description=description)


def retold(options: Options, before: Options) -> dict[str, tuple[str, str]]:
    """The titles and descriptions that `options` changes, with the text `before`, which may be empty, and after."""
    pairs = {name: (getattr(before, name) or "", getattr(options, name)) for name in TOLD}
    return {name: pair for name, pair in pairs.items() if pair[1] not in (None, pair[0])}


def check_words(name: str, text: str) -> str:
    """The text of a title or a description, as one line.

    Raises:
        BadOption: it is too long, or has characters that are not printed.
    """
    line = " ".join(text.split())
    if not line.isprintable():
        raise BadOption(f"--{name} has characters that cannot be shown: type it again as plain text")
    if len(line) > LONGEST[name]:
        raise BadOption(f"--{name} has {len(line)} characters: write at most {LONGEST[name]}")
    return line


def file_format(choice: Choice) -> Format:
    """The format of the files of tiles; PNG for `auto` until it is chosen."""
    files: dict[Choice, Format] = {"auto": "png", "webp-lossless": "webp"}
    return files.get(choice) or cast(Format, choice)


def with_one_place(changes: dict[str, Any]) -> dict[str, Any]:
    """Changes of options in which new `bounds` clear an earlier `geotransform`, and vice versa."""
    for one, other in (("bounds", "geotransform"), ("geotransform", "bounds")):
        if changes.get(one):
            changes = {other: (), **changes}
    return changes


def _text(number: float | None) -> str | None:
    return None if number is None else str(number)


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


NONE_ASKED = Options()
