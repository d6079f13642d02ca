"""A layer in a data folder, its tiles, and the context of operations on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from seeder.cache.prepare_job import prepare
from seeder.operations.report import Report
from seeder.operations.run import RunOptions, run_plan
from seeder.operations.update import UpdateContext, UpdateOptions
from seeder.select.selection import Selection
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.render import TileVariant
from tiler.layers.tilejson import named
from tiler.settings import Settings
from tiler.storage.store import Stores

ONE = RunOptions(jobs=1)


@dataclass(frozen=True)
class DataFolder:
    """The layer NAME in the folder `data`."""

    data: Path
    NAME: ClassVar[str] = "land"

    @property
    def settings(self) -> Settings:
        """Its settings."""
        return Settings.from_env({}, data=str(self.data))

    @property
    def stores(self) -> Stores:
        """Its stores, created if missing."""
        return Stores.open(self.settings, create=True)

    @property
    def layer(self) -> Layer:
        """The layer's current revision."""
        return load_layer(self.stores.sources, self.NAME)

    @property
    def shown(self) -> str:
        """The revision in TileJSON."""
        return named(self.NAME, self.stores.tiles)

    def context(self, report: Report | None = None, **options: Any) -> UpdateContext:
        """The context of operations."""
        return UpdateContext(self.stores, self.settings, UpdateOptions(**options), report or Report())

    def seed(self, *variants: TileVariant) -> None:
        """Store the tiles of all zooms; by default of one variant, the layer's own."""
        layer, stores = self.layer, self.stores
        zooms = tuple(range(layer.minzoom, layer.maxzoom + 1))
        for variant in variants or (TileVariant(),):
            plan = prepare(layer, Selection(zooms), variant, force=False, stores=stores)
            assert run_plan(plan, ONE, self.settings, stores, Report()).passed

    def tiles(self) -> dict[str, bytes]:
        """The bytes of each stored tile in PNG."""
        folder = self.data / "tiles"
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}
