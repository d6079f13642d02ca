"""The values of options with a closed choice. The help of commands lists them, so this imports nothing heavy."""

from __future__ import annotations

from typing import Literal, get_args

from tiler.keys import FORMATS, Format

Resampling = Literal["nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average", "mode"]
Terrain = Literal["", "hillshade", "slope", "relief", "contours", "terrain-rgb", "terrarium"]
Choice = Format | Literal["webp-lossless", "auto"]  # auto: chosen from rendered sample tiles
Bake = Literal["lossless", "finished"]  # finished: blocks of parts are tiles in the layer's format
Overlap = Literal["last", "first", "newest", "finest"]  # the scene on top where scenes overlap

RESAMPLINGS: tuple[Resampling, ...] = get_args(Resampling)
TERRAINS: tuple[Terrain, ...] = get_args(Terrain)[1:]
CHOICES: tuple[Choice, ...] = (*FORMATS, "webp-lossless", "auto")
BAKES: tuple[Bake, ...] = get_args(Bake)
OVERLAPS: tuple[Overlap, ...] = get_args(Overlap)
FITS = ("polynomial", "tps")  # transformations from ground control points
