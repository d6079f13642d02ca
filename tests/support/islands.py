"""A layer of small scenes far apart, each within a part of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from seeder.cli import main as cli
from tests.support.rasters import Recipe, write_raster
from tiler.grid import TILE, resolution
from tiler.layers.pyramid import SIDE

ZOOM = 12  # of the base
PART = SIDE * TILE * resolution(ZOOM)  # metres
SIZE = 300  # pixels along a scene's side


@dataclass(frozen=True)
class Islands:
    """Scenes in `folder`, and commands on a data folder; TILER_DATA names it."""

    folder: Path

    def scene(
        self, name: str, column: float, *, value: int = 100, bands: int = 1, zoom: int = ZOOM, **recipe: Any
    ) -> Path:
        """A scene in the middle of a part of the base, that many parts east of the prime meridian."""
        west, south = (column + 0.5) * PART, 0.5 * PART
        side = SIZE * resolution(zoom)
        values = np.full((bands, SIZE, SIZE), value, np.uint8)
        values[:, :5] = int(column) + 1
        bounds = (west, south, west + side, south + side)
        return write_raster(
            self.folder / f"{name}.tif", Recipe(values=values, bounds=bounds, crs="EPSG:3857", **recipe)
        )

    def run(self, *words: str, code: int = 0) -> Result:
        """Run a command."""
        jobs = ("--jobs", "1") if words[0] in ("ingest", "refresh", "seed") else ()
        form = ("--format", "png") if words[0] == "ingest" and "--format" not in words else ()
        result = CliRunner().invoke(cli.main, [*words, *form, *jobs])
        assert result.exit_code == code, f"{result.output}{result.exception!r}"
        return result

    def facts(self, *words: str) -> list[dict[str, Any]]:
        """The JSON lines of a command."""
        return [json.loads(line) for line in self.run(*words, "--json").stdout.splitlines()]
