"""Rasters cut into scenes, and the layers of scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin

from tests.support.layers import silent
from tests.support.rasters import Recipe, write_raster
from tests.support.site import memory
from tiler.choices import Overlap
from tiler.ingest.ingest import ingest
from tiler.layers.catalog import Layer
from tiler.raster.options import Options
from tiler.scenes.headers import read_scenes
from tiler.scenes.scene import Listed
from tiler.scenes.scene_list import SceneList
from tiler.storage.store import Stores

Cut = tuple[int, int, int, int]  # column, row, width and height of a scene in its raster


def new_stores() -> Stores:
    """Empty stores in memory."""
    return Stores(memory(), memory(), "http://tiles.test")


def write_cut(path: Path, recipe: Recipe, cut: Cut) -> Path:
    """Write the part of a raster that lies in `cut`."""
    column, row, width, height = cut
    west, south, east, north = recipe.bounds
    across, down = (east - west) / recipe.values.shape[2], (north - south) / recipe.values.shape[1]
    part = (slice(row, row + height), slice(column, column + width))
    piece = replace(
        recipe, values=recipe.values[:, *part], mask=None if recipe.mask is None else recipe.mask[part], options=()
    )
    made = write_raster(path, piece)
    with rasterio.open(made, "r+") as out:  # the exact corner, not one computed from bounds
        out.transform = from_origin(west + column * across, north - row * down, across, down)
    return made


def layer_of_scenes(
    scenes: Sequence[Path | Listed], stores: Stores, name: str = "layer", overlap: Overlap = "last", **options: Any
) -> Layer:
    """The layer of scenes; keywords are the ingest's options."""
    listed = [each if isinstance(each, Listed) else Listed(each.name, str(each)) for each in scenes]
    asked = Options(**options)
    read = read_scenes(listed, asked, jobs=1, progress=silent)
    return ingest(SceneList(read, overlap), name, asked, stores, jobs=1, progress=silent).layer


def cut_up(width: int, height: int, columns: Sequence[int], rows: Sequence[int], grown: int = 0) -> list[Cut]:
    """Scenes between these columns and rows, each `grown` by some pixels over its neighbours."""
    across, down = (sorted({0, *sides, size}) for sides, size in ((columns, width), (rows, height)))
    found = []
    for top, bottom in pairwise(down):
        for left, right in pairwise(across):
            x0, y0 = max(0, left - grown), max(0, top - grown)
            found.append((x0, y0, min(width, right + grown) - x0, min(height, bottom + grown) - y0))
    return found


def smooth(longitudes: Any, latitudes: Any) -> Any:
    """A picture of degrees without edges or grain, 40 to 215."""
    return 127 + 60 * np.sin(np.asarray(longitudes) * 2.1) + 27 * np.cos(np.asarray(latitudes) * 1.7)
