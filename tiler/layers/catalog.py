"""Layers: what the private `index.json` holds of one, and the public TileJSON made from it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from mercantile import Tile

from tiler import keys
from tiler.errors import BadInput, BadOption, CatalogError, GridError, MissingObject, UnknownLayer, ZoomOutside
from tiler.grid import MAX_ZOOM, Bounds, TileRange, tile_ranges
from tiler.image.style import TERRAINS, Style
from tiler.inputs import read_json
from tiler.keys import Format
from tiler.layers import history
from tiler.layers.cog_layout import CogLayout
from tiler.layers.credit import plain_markup
from tiler.layers.footprint import Footprint
from tiler.layers.origin import Origin
from tiler.raster.options import LOSSLESS, NONE_ASKED, RESAMPLINGS, Options, Resampling
from tiler.raster.reading import Reading
from tiler.storage.store import Store, Stores

VERSION = 1
KNOWN = 256  # names of which a process remembers the metadata


@dataclass(frozen=True, slots=True)
class Layer:
    """A raster made ready for web tiles.

    `source` is the key of the baked COG in the private store or, where `bake` is None, the address of the raster
    itself. `bands` are the source's, from 1. Virtual layers have a `reading`; those of earlier versions have `nodata`,
    which overrides the raster's own. `asked` is
    what it was ingested with, and `previous` the revision whose place it took, empty for the first. `origins` are the
    files on disk that a virtual layer is read from.

    Raises:
        GridError: the zooms are off the grid or run backwards.
    """

    id: str
    revision: str
    source: str
    bounds: Bounds
    minzoom: int
    maxzoom: int
    format: Format
    style: Style
    footprint: Footprint
    bake: CogLayout | None
    bands: tuple[int, ...]
    resampling: Resampling
    nodata: float | None = None
    attribution: str = ""
    asked: Options = NONE_ASKED
    previous: str = ""
    origins: tuple[Origin, ...] = ()
    reading: Reading | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.minzoom <= self.maxzoom <= MAX_ZOOM:
            raise GridError(f"zooms {self.minzoom} to {self.maxzoom} are no layer's")

    def ranges(self, z: int) -> tuple[TileRange, ...]:
        """The layer's tiles of zoom `z`: none, one range, or two around the antimeridian.

        The seeder plans with it and the redirect path checks with it, so that each serves what the other does.
        """
        return tile_ranges(self.bounds, z) if self.minzoom <= z <= self.maxzoom else ()

    def has(self, tile: Tile) -> bool:
        """Whether `tile` is one of the layer's."""
        return any(tile in each for each in self.ranges(tile.z))

    def takes(self, form: Format) -> bool:
        """Whether the layer's tiles can have a format: colours that encode heights can have no lossy one."""
        return form in LOSSLESS or not self.style.encoding

    def check_format(self, form: Format) -> Format:
        """`form`, if the layer's tiles can have it.

        Raises:
            BadOption: they cannot.
        """
        if not self.takes(form):
            raise BadOption(f"the colours of layer {self.id!r} are heights, which {form} would blur: ask for png")
        return form

    def check_zooms(self, zooms: tuple[int, ...]) -> None:
        """Nothing, if the layer has all of `zooms`.

        Raises:
            ZoomOutside: it lacks one.
        """
        outside = [z for z in zooms if not self.minzoom <= z <= self.maxzoom]
        if outside:
            raise ZoomOutside(self.id, outside, self.minzoom, self.maxzoom)


def dump(layer: Layer) -> bytes:
    """`index.json` of `layer`."""
    said = {
        "version": VERSION,
        "id": layer.id,
        "revision": layer.revision,
        "source": layer.source,
        "bounds": list(layer.bounds),
        "minzoom": layer.minzoom,
        "maxzoom": layer.maxzoom,
        "format": layer.format,
        "bands": layer.bands,
        "resampling": layer.resampling,
        "nodata": _text(layer.nodata),
        "attribution": layer.attribution,
        "asked": layer.asked.to_json(),
        "previous": layer.previous,
        "origins": layer.origins,
        "reading": asdict(layer.reading) if layer.reading else None,
        "style": asdict(layer.style),
        "bake": asdict(layer.bake) if layer.bake else None,
        "footprint": layer.footprint.to_json(),
    }
    return (json.dumps(said, indent=1) + "\n").encode()


def _text(number: float | None) -> str | None:
    """A number that may be none at all, which JSON does not have."""
    return None if number is None else str(number)


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _style(said: dict[str, Any]) -> Style:
    """A style; what older versions did not know may be missing."""
    said = {"colours": [], "stops": [], "terrain": "", "meant": [], **said}
    lists = {name: tuple(map(tuple, said[name])) for name in ("rescale", "palette", "colours", "stops", "meant")}
    if said["terrain"] not in ("", *TERRAINS):
        raise ValueError(f"unknown style {said['terrain']}")
    return Style(**lists, terrain=said["terrain"])


def _reading(said: dict[str, Any] | None) -> Reading | None:
    return None if said is None else Reading(**{**said, "bands": tuple(said["bands"]), "nodata": tuple(said["nodata"])})


def parse(data: bytes, key: str) -> Layer:
    """The inverse of `dump`.

    Raises:
        CatalogError: it is no `index.json` of this version.
    """
    try:
        said: dict[str, Any] = read_json(data)
        if said["version"] != VERSION:
            raise CatalogError(key, f"its version is {said['version']}, this program writes {VERSION}")
        if said["format"] not in keys.FORMATS or said["resampling"] not in RESAMPLINGS:
            raise CatalogError(key, "unknown format or resampling")
        return Layer(
            id=keys.check_layer(said["id"]),
            revision=said["revision"],
            source=said["source"],
            bounds=Bounds(*said["bounds"]),
            minzoom=said["minzoom"],
            maxzoom=said["maxzoom"],
            format=said["format"],
            bands=tuple(said["bands"]),
            resampling=said["resampling"],
            nodata=_number(said["nodata"]),
            attribution=said["attribution"],
            asked=Options.from_json(said["asked"]),
            previous=said["previous"],
            origins=tuple(Origin(*each) for each in said.get("origins", ())),
            reading=_reading(said.get("reading")),
            style=_style(said["style"]),
            bake=CogLayout(**said["bake"]) if said["bake"] else None,
            footprint=Footprint.from_json(said["footprint"], key),
        )
    except (KeyError, TypeError, ValueError, BadInput) as error:
        raise CatalogError(key, error) from error


def facts(layer: Layer) -> dict[str, Any]:
    """What people want to know of a layer, in JSON."""
    return {
        "layer": layer.id,
        "revision": layer.revision,
        "minzoom": layer.minzoom,
        "maxzoom": layer.maxzoom,
        "bounds": list(layer.bounds),
        "format": layer.format,
        "virtual": layer.bake is None,
        "rescale": [list(each) for each in layer.style.rescale],
        "style": layer.style.terrain,
    }


def superseding(layer: Layer | None, revision: str) -> str:
    """The revision that took the place of `revision`, "nothing" where the layer is gone; empty if it is current."""
    if layer is None:
        return "nothing"
    return layer.revision if layer.revision != revision else ""


def load_layer(sources: Store, layer: str) -> Layer:
    """The layer's current revision.

    Raises:
        BadName: it cannot name a layer.
        UnknownLayer: there is none of that name; names the close ones.
    """
    key = keys.index_key(keys.check_layer(layer))
    try:
        return parse(sources.get(key), key)
    except MissingObject as error:
        raise UnknownLayer(layer, list_layers(sources)) from error


def load_revision(sources: Store, layer: str, revision: str) -> Layer | None:
    """A revision of the layer as it was when it was the current one, None where that is not known any more.

    Raises:
        CatalogError: its metadata is not what this version wrote.
    """
    key = keys.revision_key(layer, revision)
    try:
        return parse(sources.get(key), key)
    except MissingObject:
        return None


def revisions(sources: Store, layer: str) -> tuple[str, ...]:
    """The revisions of which something is kept, in no order."""
    return sources.folders(keys.sources_prefix(layer))


class Layers:
    """Layers by name, each believed for `ttl` seconds since it was asked for, and parsed again only where it changed.

    That a layer does not exist is believed as long.
    """

    def __init__(self, sources: Store, ttl: float = 0.0) -> None:
        self._sources = sources
        self._ttl = ttl
        self._known: dict[str, tuple[float, bytes, Layer | None]] = {}

    def get(self, name: str) -> Layer | None:
        """The layer's current revision, None where there is no such layer.

        Raises:
            BadName: it cannot name a layer.
            CatalogError: its metadata is not what this version wrote.
            StoreError: its metadata could not be read.
        """
        key = keys.index_key(keys.check_layer(name))
        read, before, layer = self._known.get(name, (-math.inf, b"", None))
        now = time.monotonic()
        if now - read < self._ttl:
            return layer
        try:
            data = self._sources.get(key)
        except MissingObject:
            data = b""
        if data != before:
            layer = parse(data, key) if data else None
        self._known.pop(name, None)
        if len(self._known) == KNOWN:
            del self._known[next(iter(self._known))]
        self._known[name] = (now, data, layer)
        return layer


def list_layers(sources: Store) -> Iterator[str]:
    """The ids of the layers that have been ingested, sorted."""
    found = (keys.layer_of_index(entry.key) for entry in sources.list(keys.SOURCES))
    return iter(sorted(layer for layer in found if layer))


def publish(layer: Layer, stores: Stores, undone: str = "") -> None:
    """Make `layer` the current revision: the public TileJSON first, at last `index.json`, each at once.

    Where tiles are stored, the TileJSON goes on to name the revision that it named before: they are of that one. A
    browser that asked for them under the new name would keep them for an hour. `announce` tells of the new revision
    when its tiles have taken their place. `undone` is the revision that a rollback takes back.
    """
    some = stored(layer.id, stores.tiles)
    before = named(layer.id, stores.tiles)
    known = history.so_far(stores.sources, layer.id, lambda: before)
    if some and not known:  # left by a layer of that name whose metadata is gone
        known = (history.Publication(before or history.UNKNOWN),)
    _put_tilejson(layer, stores, (before if some else "") or layer.revision)
    said = dump(layer)
    stores.sources.put(keys.revision_key(layer.id, layer.revision), said, content_type="application/json")
    if undone:
        said = (json.dumps({**read_json(said), "undone": undone}, indent=1) + "\n").encode()
    stores.sources.put(keys.index_key(layer.id), said, content_type="application/json")
    history.follow(stores.sources, layer.id, known, layer.revision)


def undone(sources: Store, layer: str) -> str:
    """The revision that was rolled back to the layer's current one, if one was."""
    key = keys.index_key(layer)
    try:
        return str({**read_json(sources.get(key))}.get("undone", ""))
    except (TypeError, ValueError) as error:
        raise CatalogError(key, error) from error


def announce(layer: Layer, stores: Stores) -> None:
    """Have the TileJSON name the current revision, so that browsers and CDNs ask for its tiles."""
    _put_tilejson(layer, stores, layer.revision)


def _put_tilejson(layer: Layer, stores: Stores, revision: str) -> None:
    public = tilejson(layer, stores.url, revision)
    stores.tiles.put(keys.tilejson_key(layer.id), public, content_type="application/json", cache_control="no-cache")


def shown(layer: str, tiles: Store) -> str:
    """The revision that the layer's TileJSON names, if tiles of it are stored."""
    return named(layer, tiles) if stored(layer, tiles) else ""


def stored(layer: str, tiles: Store) -> bool:
    """Whether a tile of the layer is stored."""
    zooms = (int(name) for name in tiles.folders(keys.layer_prefix(layer)) if name.isdecimal())
    return any(not tiles.empty(keys.zoom_prefix(layer, z)) for z in zooms)


def named(layer: str, tiles: Store) -> str:
    """The revision that the layer's TileJSON names, if there is one."""
    try:
        said = read_json(tiles.get(keys.tilejson_key(layer)))
        return str(said["tiles"][0]).partition("?v=")[2]
    except (MissingObject, KeyError, IndexError, TypeError, ValueError):
        return ""


def addressed(layer: Layer, tiles: Store) -> str:
    """The revision that the addresses of the layer's tiles name."""
    return named(layer.id, tiles) or layer.revision


def tilejson(layer: Layer, url: str, revision: str) -> bytes:
    """TileJSON 3.0.0 of `layer`, its tiles under `url`, `revision` what their addresses name.

    TileJSON's bounds may not cross the antimeridian; for a layer that does they span all longitudes and
    `center` tells where it lies.
    """
    longitude, latitude = layer.bounds.center
    first = max(
        layer.minzoom, min(layer.maxzoom, round(math.log2(360 / layer.bounds.width)) + 1)
    )  # about two tiles wide
    said = {
        "tilejson": "3.0.0",
        "name": layer.id,
        "scheme": "xyz",
        "tiles": [f"{url}/{keys.tile_template(layer.id, layer.format)}?v={revision}"],
        "bounds": list(layer.bounds.plain),
        "center": [longitude, latitude, first],
        "minzoom": layer.minzoom,
        "maxzoom": layer.maxzoom,
    }
    if layer.attribution:
        said["attribution"] = plain_markup(layer.attribution)  # also that of layers of older versions
    if layer.style.encoding:  # what MapLibre's raster-dem sources look for
        said["encoding"] = "mapbox" if layer.style.terrain == "terrain-rgb" else layer.style.terrain
    return (json.dumps(said, indent=1) + "\n").encode()
