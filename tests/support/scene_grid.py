"""Scenes beside each other on one grid, and the puts of tiles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from tests.support.rasters import Recipe, write_raster
from tiler.storage.store import Store

TILE_KEY = re.compile(r"\w+/\d+/\d+/\d+(@2x)?\.\w+")


def scene_grid(folder: Path, across: int, *, side: int, pixel: float, west: float, north: float) -> list[Path]:
    """Scenes of one band in rows from the north, `side` pixels each; other lengths are Mercator metres."""
    folder.mkdir(parents=True)
    found = []
    for row in range(across):
        for column in range(across):
            rows, columns = (np.arange(each * side, (each + 1) * side) // 60 for each in (row, column))
            values = (1 + np.add.outer(rows * 7, columns * 5) % 250).astype(np.uint8)
            left, top = west + column * side * pixel, north - row * side * pixel
            bounds = (left, top - side * pixel, left + side * pixel, top)
            recipe = Recipe(values=values[None], bounds=bounds, crs="EPSG:3857")
            found.append(write_raster(folder / f"scene-{row}-{column}.tif", recipe))
    return found


def paint(path: Path, column: int, row: int, width: int, height: int) -> None:
    """Change the pixels of a rectangle."""
    with rasterio.open(path, "r+") as scene:
        window = Window(column, row, width, height)
        scene.write(255 - scene.read(window=window), window=window)


@contextmanager
def counted_puts() -> Iterator[list[str]]:
    """The keys of the tiles that this process puts."""
    seen: list[str] = []
    put = Store.put

    def noted(store: Store, key: str, *args: Any, **kwargs: Any) -> Any:
        if TILE_KEY.fullmatch(key):
            seen.append(key)
        return put(store, key, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "put", noted)
        yield seen
