"""Precompute the tiles of raster layers, and keep them true.

    import seeder

    ws = seeder.open("./data")
    layer = ws.ingest("ortho.tif")
    job = layer.seed(layer.select(zooms="5-14"))

See `docs/python.md`. The names in `__all__` are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seeder.api.bake import Bake
    from seeder.api.job import Job
    from seeder.api.layer import Layer
    from seeder.api.tiles import Tiles
    from seeder.api.workspace import Workspace, open  # noqa: A004 - it is always called seeder.open
    from tiler import errors

__all__ = ["Bake", "Job", "Layer", "Tiles", "Workspace", "errors", "open"]

INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended

_HOMES = {
    "Bake": "seeder.api.bake",
    "Job": "seeder.api.job",
    "Layer": "seeder.api.layer",
    "Tiles": "seeder.api.tiles",
    "Workspace": "seeder.api.workspace",
    "open": "seeder.api.workspace",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        found: Any = import_module("tiler.errors")
    elif name in _HOMES:
        found = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
