"""Where the clients find the layer; here the local server, in `deployed` the redirect path."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.served import serving
from tiler.ingest.ingest import ingest
from tiler.raster.options import Options
from tiler.settings import Settings
from tiler.storage.store import Stores

LAYER = "alps"


@dataclass(frozen=True, slots=True)
class Place:
    """A place that serves the layer at `url`; `stored` gives the keys of its stored tiles, `clear` removes these."""

    name: str
    url: str
    stored: Callable[[], set[str]]
    clear: Callable[[], None]


@contextmanager
def local(raster: Path, folder: Path) -> Iterator[Place]:
    """What `seeder serve` serves of a data folder."""
    settings = Settings.from_env({}, data=str(folder / "data"))
    stores = Stores.open(settings, create=True)
    ingest(str(raster), LAYER, Options(), stores, jobs=1, progress=lambda *_: None)
    tiles = folder / "data" / "tiles"

    def stored() -> set[str]:
        return {str(path.relative_to(tiles)) for path in tiles.glob(f"{LAYER}/*/*/*.png")}

    def clear() -> None:
        for path in (tiles / LAYER).iterdir():
            if path.is_dir():
                shutil.rmtree(path)

    with serving(settings) as url:
        yield Place("local", url, stored, clear)
