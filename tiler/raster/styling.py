"""The style of a raster: its palette, its range from black to white, the meaning of stored values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from tiler.errors import BadOption
from tiler.grid import zoom_for
from tiler.image.colormap import colours_of, is_file, is_relative, labels_of, stops_of
from tiler.image.light import Light
from tiler.image.style import ENCODINGS, KERNELS, PLAIN, Meaning, Range, Rgba, Style, Values, meant
from tiler.raster.classes import FEW, LONGEST, MOST, attributed, names_of, palette_of, table_of
from tiler.raster.legend import Named, listed
from tiler.raster.options import LIGHT, LOSSLESS, NONE_ASKED, Options
from tiler.raster.pixels import bits, dtype_of
from tiler.raster.place import resolution_of
from tiler.raster.reading import Reading
from tiler.raster.ruggedness import intervals, ruggedness
from tiler.raster.sample import extremes, samples, stretch
from tiler.raster.units import METRES, datum_of, in_feet, meaning_of, metres_of

TINTS = "CET_L11"  # green, yellow, white; by Peter Kovesi, for relief
LIT = ("hillshade", "relief")  # the styles with a light
USUAL = {  # the options of light at their defaults
    "azimuth": "--azimuth 315",
    "altitude": "--altitude 45",
    "z_factor": "--z-factor 1",
    "multidirectional": "--no-multidirectional",
    "combined": "--no-combined",
}
SHADE = 1 / 64  # share of a range; values that fill less look the same


@dataclass(frozen=True, slots=True)
class Shown:
    """The style of a raster, whether its range was sampled, differences from earlier versions, and notes for users.

    `names` are those of the classes of a palette, `unit` is that of the values that colours show, empty if unknown.
    """

    style: Style
    stretched: bool
    differs: tuple[str, ...]
    notes: tuple[str, ...]
    names: dict[int, str]
    unit: str

    def classes(self, reading: Reading) -> tuple[Named, ...] | None:
        """The classes that the legend of a palette lists, without the raster's nodata values; None for no palette."""
        hidden = tuple(each for each in reading.nodata if each is not None)
        return listed(self.style.palette, self.names, hidden) if self.style.palette else None


def shown(dataset: DatasetReader, reading: Reading, options: Options) -> Shown:
    """The style of a raster with these options.

    Raises:
        BadOption, BadSource: an option does not fit it.
    """
    notes: list[str] = []
    differs: list[str] = []
    style, stretched = _style(dataset, reading, options, notes, differs)
    _check_ranges(dataset, reading, options, style)
    if style.meant and (not stretched or any(scale < 0 for scale, _ in style.meant)):
        differs.append("scale, offset, unit")
    if len(style.palette) > FEW or (style.palette and dataset.colorinterp[reading.bands[0] - 1] != ColorInterp.palette):
        differs.append("classes")
    if style.rescale and not (stretched or options.rescale or style.terrain) and style.rescale[0][1] != 255:
        differs.append("bits")
    names = _names(dataset, reading, options) if style.palette else {}
    return Shown(style, stretched, tuple(differs), tuple(notes), names, _unit(dataset, reading, options))


def _names(dataset: DatasetReader, reading: Reading, options: Options) -> dict[int, str]:
    """The names of the classes of a raster; those of a colormap file come first."""
    stops = stops_of(options.colormap) if is_file(options.colormap) else ()
    labels = zip(stops, labels_of(options.colormap), strict=False)
    return names_of(dataset, reading.bands[0]) | {int(value): label for (value, *_), label in labels if label}


def _unit(dataset: DatasetReader, reading: Reading, options: Options) -> str:
    """The unit of the one band that colours show."""
    if reading.count > 1:
        return ""
    unit = "m" if options.style else " ".join((dataset.units[reading.bands[0] - 1] or "").split())
    return "m" if METRES.get(unit.lower()) == 1 else unit[:LONGEST] if unit.isprintable() else ""


def palette_for(dataset: DatasetReader, reading: Reading, options: Options) -> tuple[Rgba, ...]:
    """The colours of the raster's classes, if it has one band of classes and no option replaces them."""
    if len(reading.bands) > 1:
        return ()
    palette = palette_of(dataset, reading.bands[0], shown=options.nodata is not None)
    if palette or options.colormap or options.rescale or options.style:
        return palette
    return attributed(dataset, reading.bands[0])


def _style(
    dataset: DatasetReader, reading: Reading, options: Options, notes: list[str], differs: list[str]
) -> tuple[Style, bool]:
    """The style of the raster, and whether its range was sampled."""
    palette = palette_for(dataset, reading, options)
    terrain, colormap, bands = options.style, options.colormap, reading.count
    _check_fit(reading, options)
    light = light_of(options)
    if terrain == "relief":
        colormap = colormap or TINTS
    if palette and colormap and not terrain:
        palette, colormap = _recoloured(palette, colormap), ""
    rescale = options.rescale * bands if len(options.rescale) == 1 else options.rescale
    stops = stops_of(colormap) if is_file(colormap) else ()
    colours = colours_of(colormap) if colormap and not stops else ()
    meaning = _meaning(dataset, reading, options, notes)
    meant = meaning if any(each != PLAIN for each in meaning) else ()
    if is_relative(colormap):
        span = rescale[0] if rescale else KERNELS.get(terrain) or extremes(dataset, reading, meaning[0])
        rescale, stops = (), stops_of(colormap, span)
    if not rescale and terrain in KERNELS and not stops:
        rescale = (KERNELS[terrain],)
    if terrain == "contours" and not palette:
        ground = ruggedness(dataset, reading, meaning[0])
        apart = intervals(ground, options.interval, zoom_for(resolution_of(dataset)))
        return Style(terrain=terrain, meant=meant, intervals=apart), False
    if rescale or stops or palette or terrain not in ("", "relief"):
        return Style(rescale, palette, colours, stops, terrain, () if palette else meant, light), False
    if not terrain and dtype_of(dataset, reading.bands[0]) == "uint8":
        return Style(_bytes(dataset, reading, one=bool(colours)), colours=colours), False
    sampled = samples(dataset, reading, meaning)
    ranges = tuple(map(stretch, sampled.values))
    notes.extend(_constant_bands(sampled.values, colour="the colormap's first colour" if colours else "black"))
    if sampled.hidden and any(each != (0.0, 1.0) for each in ranges):
        differs.append("sampled")
    return Style(ranges, colours=colours, terrain=terrain, meant=meant, light=light), True


def _constant_bands(samples_of_bands: list[Values], *, colour: str) -> Iterator[str]:
    """Notes on bands of one value: no range can be computed for them, so they become the lowest step."""
    for number, values in enumerate(samples_of_bands, 1):
        if values.size and values.min() == values.max():
            band = f" of band {number} of {len(samples_of_bands)}" if len(samples_of_bands) > 1 else ""
            yield f"every sampled value{band} is {values.min():g}, shown as {colour}: choose a range with --rescale"


def _check_fit(reading: Reading, options: Options) -> None:
    terrain, bands = options.style, reading.count
    if (terrain or options.colormap) and bands > 1:
        raise BadOption(f"--{'style' if terrain else 'colormap'} takes one band: choose it with --bands")
    if options.rescale and len(options.rescale) not in (1, bands):
        alternative = "" if bands == 1 else f", or {bands}, one per band"
        raise BadOption(f"--rescale: write one range{alternative}, not {len(options.rescale)}")
    if options.unit and not terrain:
        cure = "add --style, or convert with --scale (0.3048 for feet)"
        raise BadOption(f"--unit {options.unit} converts heights for --style only: {cure}")
    if terrain in ENCODINGS and options.format not in (*LOSSLESS, "auto"):
        raise BadOption(f"--style {terrain} encodes heights, which {options.format} would blur: use --format png")


def light_of(options: Options) -> Light:
    """The light of the style, and checks of the options of heights.

    Raises:
        BadOption: an option does not fit the style.
    """
    if options.style not in LIT:
        for name in LIGHT:
            if getattr(options, name) != getattr(NONE_ASKED, name):
                cure = f"add --style hillshade or relief, or {USUAL[name]}, the default"
                raise BadOption(f"--{name.replace('_', '-')} is of shaded relief: {cure}")
    if options.style != "contours" and options.interval:
        cure = "add --style contours, or --interval none"
        raise BadOption(f"--interval {options.interval[-1]:g} is the distance of contours: {cure}")
    if options.style == "contours" and (options.rescale or options.colormap):
        option = "rescale" if options.rescale else "colormap"
        raise BadOption(f"--style contours draws lines of one colour: drop --{option}")
    if options.style == "contours" and options.format == "jpg":
        raise BadOption("--style contours has transparent ground, which jpg lacks: use --format png")
    return options.light


def _bytes(dataset: DatasetReader, reading: Reading, *, one: bool) -> tuple[Range, ...]:
    """The range of a raster of bytes: none for all 8 bits, so that they are shown unchanged."""
    few = bits(dataset, reading.bands[0])
    if one:
        return ((0.0, 2.0 ** (few or 8) - 1),)
    return ((0.0, 2.0**few - 1),) * reading.count if few else ()


def _meaning(dataset: DatasetReader, reading: Reading, options: Options, notes: list[str]) -> tuple[Meaning, ...]:
    """The scale and offset of each band; of heights, to metres."""
    if reading.cmyk:
        return (PLAIN,) * reading.count
    meaning = meaning_of(dataset, reading.bands, options.scale, options.offset)
    if any(each != PLAIN for each in meaning):
        formulas = ", ".join(dict.fromkeys(map(_formula, meaning)))
        notes.append(f"its values are {formulas}: --rescale and --colormap apply to the result")
    if reading.count == 1 and (datum := datum_of(dataset)):
        notes.append(f"heights are {datum}: they are not converted to another vertical datum")
    if not options.style:
        return meaning
    metres, unit = metres_of(dataset, reading.bands[0], options.unit)
    if metres != 1:
        notes.append(f"heights are converted from {unit} to metres (x {metres:.10g})")
    elif not options.unit and in_feet(dataset, reading.bands[0]):
        notes.append("heights are read as metres, but its CRS is in feet: if heights are too, add --unit ft or us-ft")
    ((scale, offset),) = meaning
    return ((scale * metres, offset * metres),)


def _formula(meaning: Meaning) -> str:
    scale, offset = meaning
    return f"stored value x {scale:g}" + (f" {'-' if offset < 0 else '+'} {abs(offset):g}" if offset else "")


def _check_ranges(dataset: DatasetReader, reading: Reading, options: Options, style: Style) -> None:
    """Reject ranges that fit only stored values if the raster has a scale or offset.

    Raises:
        BadOption: a range would show all values as one shade.
    """
    if not style.meant or style.terrain or not options.rescale or options.scale or options.offset:
        return
    stored = samples(dataset, reading, (PLAIN,) * reading.count).values
    for band, meaning, (low, high) in zip(stored, style.meant, style.rescale, strict=True):
        values = meant(band, meaning)
        if _fill(values, low, high) < SHADE <= _fill(band, low, high):
            raise BadOption(
                f"--rescale {low:g},{high:g} would show all values as one shade: after scale and offset they run from "
                f"{values.min():g} to {values.max():g}; choose a range of those, or add --scale 1 --offset 0"
            )


def _fill(values: Values, low: float, high: float) -> float:
    """The share of a range that values fill, 0 to 1."""
    if not values.size:
        return 1.0
    return max(0.0, min(high, float(values.max())) - max(low, float(values.min()))) / (high - low)


def _recoloured(palette: tuple[Rgba, ...], colormap: str) -> tuple[Rgba, ...]:
    """A palette with the colours of a file for some of its classes.

    Raises:
        BadOption: the colormap is not such a file.
    """
    if not is_file(colormap) or is_relative(colormap):
        raise BadOption(
            "--colormap: a palette needs a file with the colours of its classes, VALUE RED GREEN BLUE per line"
        )
    colours = dict(enumerate(palette))
    for value, *colour in stops_of(colormap):
        if not (value.is_integer() and 0 <= value < MOST):
            raise BadOption(f"--colormap: {value:g} is not a class of a palette: write a whole number, 0 to 65535")
        red, green, blue, alpha = colour
        colours[int(value)] = red, green, blue, alpha
    return table_of(colours)
