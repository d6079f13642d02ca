"""What to read of a raster, and what its stored values mean."""

from __future__ import annotations

from dataclasses import dataclass

Box = tuple[int, int, int, int]  # column, row, column, row of source pixels


@dataclass(frozen=True, slots=True)
class Reading:
    """What to read of a raster: its bands (from 1), and what tells valid pixels from others.

    `alpha` is the alpha band (0: none), `top` the alpha that is opaque. `nodata` holds a value a band, None for a band
    that has none; a pixel is missing where every band that has one holds it. It is empty where no band has one.
    `masked` says that the raster has a mask of its own; if that is `soft`, it holds all from 0 to 255. Of `inverted`
    bands 0 is white and `inverted` black. `cmyk` says that the bands are cyan, magenta, yellow and black.
    """

    bands: tuple[int, ...]
    alpha: int = 0
    top: float = 255.0
    nodata: tuple[float | None, ...] = ()
    masked: bool = False
    soft: bool = False
    inverted: float | None = None
    cmyk: bool = False

    @property
    def count(self) -> int:
        """How many bands of values come of it."""
        return 3 if self.cmyk else len(self.bands)

    @property
    def opaque(self) -> bool:
        """Whether every pixel is valid, but for floats that are no number."""
        return not self.alpha and not self.nodata and not self.masked
