"""The light of shaded relief, with the options of gdaldem's hillshade."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tiler.errors import BadOption

NORTH_WEST = 315.0  # degrees
HIGHEST = 1_000_000  # of the factors of heights; the squares of slopes stay finite in 32 bits
Shading = Literal["", "multidirectional", "combined"]


@dataclass(frozen=True, slots=True)
class Light:
    """The direction of the light, the exaggeration of heights, and the kind of shading.

    `azimuth` is in degrees clockwise from north, `altitude` in degrees above the horizon; heights are multiplied by
    `z_factor`. `multidirectional` light comes from four sides; `combined` shading darkens steep ground besides.

    Raises:
        BadOption: a value is out of its range, or two exclude each other.
    """

    azimuth: float = NORTH_WEST
    altitude: float = 45.0
    z_factor: float = 1.0
    shading: Shading = ""

    def __post_init__(self) -> None:
        if not 0 <= self.azimuth <= 360:
            raise BadOption(f"--azimuth {self.azimuth:g}: write degrees clockwise from north, 0 to 360")
        if not 0 <= self.altitude <= 90:
            raise BadOption(f"--altitude {self.altitude:g}: write degrees above the horizon, 0 to 90")
        if not 0 < self.z_factor <= HIGHEST:
            raise BadOption(f"--z-factor {self.z_factor:g}: write a number above 0, such as 2, up to {HIGHEST:,}")
        if self.shading == "multidirectional" and self.azimuth != NORTH_WEST:
            raise BadOption("--multidirectional light comes from four sides: drop --azimuth")

    @property
    def level(self) -> float:
        """The shade of level ground, 1 to 255."""
        return 255.0 if self.shading == "combined" else 1 + 254 * math.sin(math.radians(self.altitude))


DEFAULT = Light()  # gdaldem's
