"""Asks every client for a tile that is not stored, and for the same once it is."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from mercantile import Tile
from PIL import Image

from tests.clients.sites import LAYER, Place
from tests.clients.view import CLOSE, Client, View, distance, picture
from tests.conftest import Recipe, scene, silent, write_raster
from tests.oracle import alone
from tests.site import memory
from tiler.catalog import Options
from tiler.ingest import ingest
from tiler.keys import TileName, tile_key
from tiler.storage import Stores

TILE = Tile(x=66, y=45, z=7)  # the raster fills it
GOOD = "yes"


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one client at one place: `GOOD`, or what is wrong."""

    client: str
    version: str
    place: str
    unstored: str  # whether the tile was drawn that nobody had stored
    kept: str  # whether it was stored thereafter
    stored: str  # whether the stored tile was drawn

    @property
    def good(self) -> bool:
        """Whether all is well."""
        return {self.unstored, self.kept, self.stored} == {GOOD}


def make_raster(folder: Path) -> Path:
    """The raster that all places serve."""
    return write_raster(folder / "alps.tif", Recipe(values=scene()))


def truth(raster: Path) -> Image.Image:
    """The tile as it must look, made without a server."""
    stores = Stores(memory(), memory(), "http://tiles.test")
    layer = ingest(str(raster), LAYER, Options(), stores, jobs=1, progress=silent).layer
    data = alone(layer, stores, TILE)
    assert data
    return picture(data)


def tried(client: Client, place: Place, wanted: Image.Image, keep: Path | None = None) -> Row:
    """What comes of a client; its pictures go into `keep`. Each time it starts anew, without a cache."""
    view, key = View(place.url, LAYER, TILE), tile_key(TileName(LAYER, TILE, 1, "png"))
    place.clear()
    assert not place.stored()
    unstored = _seen(client, view, wanted, _name(keep, client, place, "unstored"))
    kept = GOOD if key in place.stored() else "no"
    stored = _seen(client, view, wanted, _name(keep, client, place, "stored"))
    return Row(client.name, _version(client), place.name, unstored, kept, stored)


def _seen(client: Client, view: View, wanted: Image.Image, keep: Path | None) -> str:
    """`GOOD` if the client drew what is `wanted`, else what it did."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            got = client.draw(view, Path(folder))
    except Exception as error:  # noqa: BLE001 - a client that breaks is a row of the table
        return f"no: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    if keep:
        got.save(keep)
    off = distance(got, wanted)
    return GOOD if off <= CLOSE else f"no: {off:.0f} levels off"


def _name(keep: Path | None, client: Client, place: Place, what: str) -> Path | None:
    return keep / f"{place.name} {client.name} {what}.png".replace(" ", "-") if keep else None


def _version(client: Client) -> str:
    try:
        return client.version()
    except Exception:  # noqa: BLE001 - it is told where the client draws nothing
        return "?"
