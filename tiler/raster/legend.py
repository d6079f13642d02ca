"""The legend of a layer: its classes with names and colours, or the ramp of its values.

Colours are those of the layer's style, so they equal the picture's; only names, and the unit, are kept beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from tiler.image.colormap import labels_of
from tiler.image.style import Rgba, Style
from tiler.raster.options import Options

Kind = Literal["photo", "classes", "ramp", "shade", "heights", "contours"]
Named = tuple[int, str]  # the value of a class, and its name, empty if it has none
FEW = 64  # unnamed colours of a legend; a palette with more is a picture's
MOST = 1024  # classes of a legend
STEP = 15  # of the 256 colours of a named colormap, from one stop of the legend to the next
FILLER: Rgba = (0, 0, 0, 255)  # GDAL's colour of values without one
FEW_BITS = tuple(((0.0, 2.0**bits - 1),) for bits in range(1, 8))  # ranges of pictures with less than 8 bits


class Entry(NamedTuple):
    """A class of a legend. `share` is its fraction of the valid pixels, if it was counted."""

    value: int
    name: str
    color: str
    share: float | None = None


class Mark(NamedTuple):
    """A value of a ramp and its colour. `name` is empty unless the colormap names the value."""

    value: float
    color: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Classes:
    """The legend of a layer with a palette, by ascending values."""

    classes: tuple[Entry, ...]

    def with_shares(self, shares: Mapping[int, float]) -> Classes:
        """The legend with the share of each class; 0 for those that `shares` lacks."""
        return replace(self, classes=tuple(each._replace(share=shares.get(each.value, 0.0)) for each in self.classes))

    def to_json(self, *, counted: bool = False) -> dict[str, Any]:
        """The JSON form; with `counted`, also shares, null unless they are known."""
        left_out = () if counted else ("share",)
        entries = [
            {name: value for name, value in each._asdict().items() if name not in left_out} for each in self.classes
        ]
        return {"type": "classes", "classes": entries, "unit": ""}


@dataclass(frozen=True, slots=True)
class Ramp:
    """The legend of a layer with one value per pixel: colours between two stops are linear, `unit` may be empty."""

    stops: tuple[Mark, ...]
    unit: str = ""

    def to_json(self, *, counted: bool = False) -> dict[str, Any]:  # noqa: ARG002 - as for classes
        """The JSON form."""
        stops = [{name: value for name, value in each._asdict().items() if value != ""} for each in self.stops]
        return {"type": "ramp", "stops": stops, "unit": self.unit}


Legend = Classes | Ramp


def kind_of(style: Style, legend: Legend | None) -> Kind:
    """The kind of a layer's picture."""
    if style.encoding:
        return "heights"
    if style.terrain == "contours":
        return "contours"
    if style.terrain == "hillshade":
        return "shade"
    return "photo" if legend is None else "classes" if isinstance(legend, Classes) else "ramp"


def legend_of(style: Style, asked: Options, classes: tuple[Named, ...] | None, unit: str) -> Legend | None:
    """The legend of a style; None for photos, shade, contours, and colours that encode heights.

    That of relief has the tints of heights before they are shaded.

    `classes` are the listed classes, None if the layer's ingest listed none. `unit` is that of the values.
    """
    if style.palette:
        hidden = (asked.nodata,) if isinstance(asked.nodata, float | int) else ()
        named = listed(style.palette, {}, hidden) if classes is None else classes
        entries = tuple(Entry(value, name, color(style.palette[value])) for value, name in named)
        return Classes(entries) if entries else None
    if style.encoding or style.terrain in ("hillshade", "contours"):
        return None
    marks = tuple(_marks(style, asked))
    return Ramp(marks, "°" if style.terrain == "slope" else unit) if marks else None


def listed(palette: tuple[Rgba, ...], names: Mapping[int, str], hidden: tuple[float, ...] = ()) -> tuple[Named, ...]:
    """The classes of a palette that a legend lists, with their names.

    These are the visible ones, except `hidden` values. Unnamed black ones are left out if the palette has several: GDAL
    fills it with black. A palette with too many classes, fewer if none has a name, is a picture's and lists none.
    """
    filler = palette.count(FILLER) > 1
    found = tuple(
        (value, names.get(value, ""))
        for value, colour in enumerate(palette)
        if colour[3] and value not in hidden and (names.get(value) or not (filler and colour == FILLER))
    )
    return found if len(found) <= (MOST if any(name for _, name in found) else FEW) else ()


def color(colour: Rgba) -> str:
    """A colour as #rrggbb, or as #rrggbbaa if it is not opaque."""
    return f"#{bytes(colour if colour[3] < 255 else colour[:3]).hex()}"


def _marks(style: Style, asked: Options) -> Iterator[Mark]:
    """The stops of a ramp."""
    if style.stops:
        labels = labels_of(asked.colormap) or ("",) * len(style.stops)
        for (value, red, green, blue, alpha), label in zip(style.stops, labels, strict=False):
            yield Mark(value, color((red, green, blue, alpha)), label)
        return
    if len(style.rescale) != 1 or _is_picture(style, asked):
        return
    ((low, high),) = style.rescale
    for step in range(0, 256, STEP) if style.colours else (0, 255):
        colour = style.colours[step] if style.colours else (step, step, step, 255)
        yield Mark(low + step / 255 * (high - low), color(colour))


def _is_picture(style: Style, asked: Options) -> bool:
    """Whether a grey raster of less than 8 bits is stretched to its own range only."""
    return not (style.colours or style.terrain or asked.rescale) and style.rescale in FEW_BITS
