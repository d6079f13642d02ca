"""Layers whose parts hold finished tiles: the conditions of `--bake finished`."""

from __future__ import annotations

from collections.abc import Iterator

from tiler.choices import Choice
from tiler.errors import BadOption
from tiler.image.style import Style
from tiler.raster.options import Options

FORMATS: tuple[Choice, ...] = ("jpg", "webp", "webp-lossless")  # that a TIFF can hold
CURE = "use --bake lossless"
FORM = f"use --format webp, jpg or webp-lossless, or {CURE.removeprefix('use ')}"


def finished_format(options: Options, style: Style) -> Choice | None:
    """The format of the tiles to bake into the parts; None for a lossless bake.

    Raises:
        BadOption: the parts of such a layer cannot hold tiles.
    """
    if options.bake == "lossless":
        return None
    if options.virtual:
        raise BadOption(f"--bake finished needs a baked copy: drop --virtual, or {CURE}")
    if reason := next((reason for applies, reason in _obstacles(style) if applies), ""):
        raise BadOption(f"--bake finished needs plain 8-bit colours, but {reason}: {CURE}")
    if options.format == "auto":
        raise BadOption(f"--bake finished needs an explicit format, not auto: {FORM}")
    if options.format not in FORMATS:
        raise BadOption(f"--bake finished cannot store {options.format} tiles in a COG: {FORM}")
    return options.format


def _obstacles(style: Style) -> Iterator[tuple[bool, str]]:
    """The properties of a style that tiles of plain colours lack, and what a message says of each."""
    yield bool(style.palette), "the raster has a palette"
    yield bool(style.terrain), f"the layer has --style {style.terrain}"
    yield bool(style.colours or style.stops), "the layer has a colormap"
    yield bool(style.rescale), "the layer's values are stretched to 8 bits"
    yield bool(style.meant), "the layer's values have a scale or an offset"
