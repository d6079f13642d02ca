"""Layers whose COG holds finished tiles: the conditions of `--bake finished`."""

from __future__ import annotations

from tiler.choices import Choice
from tiler.errors import BadOption
from tiler.image.style import Style
from tiler.raster.options import Options

FORMATS: tuple[Choice, ...] = ("jpg", "webp", "webp-lossless")  # that a TIFF can hold
CURE = "use --bake lossless"
FORM = f"use --format webp, jpg or webp-lossless, or {CURE.removeprefix('use ')}"


def finished_format(options: Options, style: Style) -> Choice | None:
    """The format of the tiles to bake into the COG; None for a lossless bake.

    Raises:
        BadOption: the COG of such a layer cannot hold tiles.
    """
    if options.bake == "lossless":
        return None
    if options.virtual:
        raise BadOption(f"--bake finished needs a baked copy: drop --virtual, or {CURE}")
    if options.format == "auto":
        raise BadOption(f"--bake finished needs the format before the bake, and auto chooses it after: {FORM}")
    if options.format not in FORMATS:
        raise BadOption(f"--bake finished needs a format that a TIFF can hold, unlike {options.format}: {FORM}")
    if style.palette or style.colours or style.stops or style.terrain:
        raise BadOption(f"--bake finished needs a raster of plain colours, and this layer has a style: {CURE}")
    if style.rescale or style.meant:
        raise BadOption(f"--bake finished needs a raster of 8-bit colours, and this layer rescales its values: {CURE}")
    return options.format
