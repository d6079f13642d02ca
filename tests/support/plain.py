"""A layer of flat ground on the grid, all of whose tiles are stored, and its updates with counted puts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seeder.cache.query import TileQuery
from seeder.operations.next_source import NextSource
from seeder.operations.refresh import refresh
from seeder.operations.report import Report
from seeder.operations.scenes import Sources
from seeder.operations.verify import VerifyOptions, verify
from tests.support.data_folder import ONE, DataFolder
from tests.support.layers import silent
from tests.support.rasters import Recipe, write_raster
from tiler.grid import TILE, resolution
from tiler.image.style import Values
from tiler.ingest.ingest import ingest
from tiler.raster.options import Options
from tiler.storage.store import Store

ZOOM = 12  # of the base
WEST, NORTH = 2048, 1024  # its first tile
ZOOMS = tuple(range(ZOOM - 5, ZOOM + 1))


def ground(side: int) -> Values:
    """A chequered plain, `side` tiles wide."""
    pixels = np.arange(side * TILE)
    return ((np.add.outer(pixels // 50, pixels // 70) % 200) + 20).astype(np.uint8)[np.newaxis]


def raster(folder: Path, name: str, values: Values) -> Path:
    """A raster on the grid."""
    pixel, half = resolution(ZOOM), 2 ** (ZOOM - 1)
    west, north = (WEST - half) * TILE * pixel, (half - NORTH) * TILE * pixel
    east, south = west + values.shape[2] * pixel, north - values.shape[1] * pixel
    options: tuple[tuple[str, Any], ...] = (("tiled", True), ("compress", "deflate"), ("zlevel", 1))
    bounds = (west, south, east, north)
    recipe = Recipe(values=values, bounds=bounds, crs="EPSG:3857", nodata=0, options=options)
    return write_raster(folder / f"{name}.tif", recipe)


@dataclass
class Puts:
    """The keys of tiles that were put; after `most` of them the process is killed."""

    most: int = 1_000_000
    keys: list[str] = field(default_factory=list)

    @contextmanager
    def counted(self) -> Iterator[Puts]:
        """Count until the end of the block, or until it is killed."""
        put, mine = Store.put, self

        def counting(store: Store, key: str, data: bytes, **headers: Any) -> None:
            if key.endswith(".png"):
                if len(mine.keys) == mine.most:
                    raise KeyboardInterrupt
                mine.keys.append(key)
            put(store, key, data, **headers)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, "put", counting)
            try:
                yield self
            except KeyboardInterrupt:
                assert len(self.keys) == self.most


@dataclass(frozen=True)
class Plain(DataFolder):
    """The layer `plain` in a folder with all tiles stored, and rasters with changes."""

    NAME = "plain"
    rasters: Path

    def source(self, name: str) -> NextSource:
        """A raster."""
        return NextSource(Sources((str(self.rasters / f"{name}.tif"),)), {})

    def refresh(self, name: str, most: int = 1_000_000, report: Report | None = None, cdn: str = "") -> list[str]:
        """Refresh from a raster, killed after some tiles; returns the keys that were put."""
        with Puts(most).counted() as puts:
            assert refresh("plain", self.context(report, cdn=cdn), ONE, self.source(name)).passed
        return puts.keys

    def times(self) -> dict[str, int]:
        """The time of last write of each tile, in nanoseconds."""
        folder = self.data / "tiles"
        return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*.png")}

    def problems(self, **options: Any) -> int:
        """The number of findings of `verify`."""
        query = TileQuery(zooms=ZOOMS)
        given = VerifyOptions(jobs=1, **options)
        return verify("plain", query, given, self.settings, Report(), lambda _: None).problems.total()


def taken(folder: Path, name: str) -> Plain:
    """The world of a raster alone."""
    world = Plain(folder / f"data-{name}", folder)
    asked = Options(min_zoom=ZOOMS[0], max_zoom=ZOOM)
    ingest(str(folder / f"{name}.tif"), "plain", asked, world.stores, jobs=1, progress=silent)
    world.seed()
    return world
