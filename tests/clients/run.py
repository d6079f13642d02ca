"""Asks every client for a tile that is not stored, and for the same once it is."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

from mercantile import Tile
from PIL import Image

from tests.clients.sites import LAYER, Place
from tests.clients.view import CLOSE, SIZE, Client, View, distance, picture
from tests.support.layers import silent
from tests.support.oracle import alone
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.site import memory
from tiler.ingest.ingest import ingest
from tiler.keys import TileName, tile_key
from tiler.raster.options import Options
from tiler.storage.store import Stores

TILE = Tile(x=66, y=45, z=7)  # the raster fills it
EDGE = Tile(x=65, y=45, z=7)  # the layer's last one to the west: what is asked for beyond it is not there
GOOD = "yes"


class Row(NamedTuple):
    """What came of one client at one place: `GOOD`, or what is wrong."""

    client: str
    version: str
    place: str
    unstored: str  # whether the tile was drawn that nobody had stored
    kept: str  # whether it was stored thereafter
    stored: str  # whether the stored tile was drawn
    edge: str  # whether the layer's edge was drawn, where half of the tiles seen are 404

    @property
    def good(self) -> bool:
        """Whether all is well."""
        return {self.unstored, self.kept, self.stored, self.edge} == {GOOD}


def make_raster(folder: Path) -> Path:
    """The raster that all places serve."""
    return write_raster(folder / "alps.tif", Recipe(values=scene()))


class Truth(NamedTuple):
    """How the tile must look, and the layer's edge in the middle of a view."""

    tile: Image.Image
    edge: Image.Image


def truth(raster: Path) -> Truth:
    """What must be seen, made without a server."""
    stores = Stores(memory(), memory(), "http://tiles.test")
    layer = ingest(str(raster), LAYER, Options(), stores, jobs=1, progress=silent).layer
    tile, last = alone(layer, stores, TILE), alone(layer, stores, EDGE)
    assert tile
    assert last
    edge = Image.new("RGB", (SIZE, SIZE), "white")
    edge.paste(picture(last), (SIZE // 2, 0))
    return Truth(picture(tile), edge)


def tried(client: Client, place: Place, wanted: Truth, keep: Path | None = None) -> Row:
    """What comes of a client; its pictures go into `keep`. Each time it starts anew, without a cache."""
    view, key = View(place.url, LAYER, TILE), tile_key(TileName(LAYER, TILE, 1, "png"))
    place.clear()
    assert not place.stored()
    unstored = _seen(client, view, wanted.tile, _name(keep, client, place, "unstored"))
    kept = GOOD if key in place.stored() else "no"
    stored = _seen(client, view, wanted.tile, _name(keep, client, place, "stored"))
    edge = _seen(client, View(place.url, LAYER, EDGE, 0.5), wanted.edge, _name(keep, client, place, "edge"))
    return Row(client.name, _version(client), place.name, unstored, kept, stored, edge)


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
