"""The values of options with a closed choice. The help of commands lists them, so this imports nothing heavy."""

from __future__ import annotations

from typing import Literal, get_args

Resampling = Literal["nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average", "mode"]
Terrain = Literal["", "hillshade", "slope", "terrain-rgb", "terrarium"]

RESAMPLINGS: tuple[Resampling, ...] = get_args(Resampling)
TERRAINS: tuple[Terrain, ...] = get_args(Terrain)[1:]
FITS = ("polynomial", "tps")  # transformations from ground control points
