"""The picture of a window of a layer: kernels of heights, then colours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tiler.grid import Window
from tiler.image.contours import contours
from tiler.image.style import KERNELS, ROWS, Area, Picture, Style
from tiler.image.terrain import derived

Floats = npt.NDArray[np.float32]


def picture_of(style: Style, area: Area, window: Window, scale: int) -> Picture:
    """The picture of `window`, of which `area` has the stored values and `style.reach` pixels more on each side.

    The window's pixels are those of its zoom; at scale 2 that is the zoom above the tiles'.
    """
    values, mask = style.meaning(area[0]), area[1]
    if style.terrain in KERNELS:
        return style.apply(*derived(style.terrain, (values, mask), window, style.light))
    if style.terrain == "contours":
        return contours(values[0], mask, style.interval(window.z - scale + 1), scale)
    if style.terrain == "relief":
        (shade,), inner_mask = derived("hillshade", (values, mask), window, style.light)
        return _shaded(style.apply(values[:, 1:-1, 1:-1], inner_mask), shade, style.light.level)
    return style.apply(values, mask)


def _shaded(picture: Picture, shade: Floats, level: float) -> Picture:
    """A picture multiplied by `shade`, so that ground of the shade `level` keeps its colours; up to 255."""
    pixels, mask, table = picture.pixels, picture.mask, picture.palette
    if table is not None:
        cover = table[:, 3].take(pixels[..., 0])
        mask = cover if mask is None else np.minimum(mask, cover)
    out = np.empty((*shade.shape, 3), np.uint8)
    factor = np.float32(1 / level)
    for top in range(0, len(out), ROWS):
        rows = slice(top, top + ROWS)
        colours = pixels[rows] if table is None else table[:, :3].take(pixels[rows, :, 0], axis=0)
        lit = shade[rows] * factor
        for channel in range(3):
            bright = colours[..., channel] * lit
            np.minimum(bright, 255, out=bright)
            out[rows, :, channel] = np.rint(bright)
    return Picture(out, mask)
