"""The bands and masks to read from a raster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Box = tuple[int, int, int, int]  # column, row, column, row of source pixels


def clipped(box: Box, width: int, height: int) -> Box:
    """The part of `box` in a raster of this size; empty, with its ends in reverse, if they do not touch."""
    left, top, right, bottom = box
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)


@dataclass(frozen=True, slots=True)
class Reading:
    """The bands to read (from 1), and the sources of the mask.

    `alpha` is the alpha band (0: none), `top` its opaque value. `nodata` has a value per band, None for a band without
    one, and is empty if no band has one; a pixel is missing if every band with a nodata value holds it. `masked` means
    that the raster has its own mask, which has values between 0 and 255 if it is `soft`. With `inverted`, 0 is white
    and the value `inverted` is black. With `cmyk`, the bands are cyan, magenta, yellow and black.
    """

    bands: tuple[int, ...]
    alpha: int = 0
    top: float = 255.0
    nodata: tuple[float | None, ...] = ()
    masked: bool = False
    soft: bool = False
    inverted: float | None = None
    cmyk: bool = False

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Reading:
        """A reading from its fields in JSON.

        Raises:
            KeyError, TypeError: a field is missing or invalid.
        """
        return cls(**{**fields, "bands": tuple(fields["bands"]), "nodata": tuple(fields["nodata"])})

    @property
    def count(self) -> int:
        """The number of bands after reading."""
        return 3 if self.cmyk else len(self.bands)

    @property
    def opaque(self) -> bool:
        """Whether every pixel is valid, except NaN and infinities."""
        return not self.alpha and not self.nodata and not self.masked
