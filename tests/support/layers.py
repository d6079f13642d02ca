"""Layers made in this process, in a data folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiler.ingest.ingest import ingest
from tiler.keys import sources_prefix
from tiler.layers.catalog import Layer
from tiler.raster.options import Options
from tiler.storage.store import Stores, open_store

MakeLayer = Callable[..., Layer]


def silent(_done: int, _total: int) -> None:
    """Ignore progress."""


def local_stores(data: Path) -> Stores:
    """The stores of a data folder, created if missing."""
    return Stores(
        open_store((data / "tiles").as_uri(), create=True),
        open_store((data / "private").as_uri(), create=True),
        "http://tiles.test",
    )


def cog_key(layer: str, revision: str) -> str:
    """The key of a revision's COG in a layer of an earlier version."""
    return f"{sources_prefix(layer)}{revision}/index.tif"


def layer_of(path: Path, name: str, stores: Stores, **options: Any) -> Layer:
    """The layer of a raster; keywords are the ingest's options."""
    return ingest(str(path), name, Options(**options), stores, jobs=1, progress=silent).layer
