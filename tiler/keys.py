"""Object keys: the only module that knows how they look.

public bucket    {layer}/{z}/{x}/{y}.png   {layer}/{z}/{x}/{y}@2x.png   {layer}/tile.json   {layer}/index.html
private bucket   sources/{layer}/index.json   .../history.json   sources/{layer}/{revision}/index.json   .../index.tif
                 jobs/{job}/...
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

from mercantile import Tile

from tiler.errors import BadName, GridError
from tiler.grid import MAX_ZOOM

Format = Literal["png", "jpg", "webp"]
Scale = Literal[1, 2]

FORMATS: tuple[Format, ...] = get_args(Format)
CONTENT_TYPES: dict[Format, str] = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}

_LAYER = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_RESERVED = {"sources", "jobs"}
_NUMBER = r"(0|[1-9][0-9]{0,8})"
_TILE = re.compile(rf"([^/]+)/{_NUMBER}/{_NUMBER}/{_NUMBER}(@2x)?\.({'|'.join(FORMATS)})")


@dataclass(frozen=True, slots=True)
class TileName:
    """What a tile's key says."""

    layer: str
    tile: Tile
    scale: Scale
    format: Format


def check_layer(layer: str) -> str:
    """`layer`, if it can name a layer.

    Raises:
        BadName: it cannot.
    """
    if not _LAYER.fullmatch(layer) or layer in _RESERVED:
        raise BadName(layer)
    return layer


def layer_from(stem: str) -> str:
    """The layer id nearest to a file's stem: `Ortho Mosaic (2)` is `ortho-mosaic-2`.

    Raises:
        BadName: nothing usable is left.
    """
    name = re.sub(r"[^a-z0-9._]+", "-", stem.lower()).strip("-._")[:63]
    return check_layer(name)


def tile_key(name: TileName) -> str:
    """The key of a tile; the inverse of `parse_tile_key`."""
    z, x, y = name.tile.z, name.tile.x, name.tile.y
    return f"{tile_prefix(name.layer, z, x)}{y}{'@2x' if name.scale == 2 else ''}.{name.format}"


def tile_template(layer: str, form: Format, names: tuple[str, str, str] = ("{z}", "{x}", "{y}")) -> str:
    """What all keys of a layer's tiles look like, with names in the places of zoom, column and row."""
    return f"{layer_prefix(layer)}{'/'.join(names)}.{form}"


def parse_tile_key(key: str) -> TileName:
    """The tile that `key` names.

    Raises:
        GridError: it names no tile of the grid.
        BadName: its first part cannot be a layer.
    """
    match = _TILE.fullmatch(key)
    if not match:
        raise GridError(f"{key!r} is no tile: a tile is LAYER/Z/X/Y.png, or @2x before the dot")
    z, x, y = int(match[2]), int(match[3]), int(match[4])
    if z > MAX_ZOOM or x >= 2**z or y >= 2**z:
        raise GridError(f"{key!r} is off the grid of zoom {z}")
    layer = check_layer(match[1])
    return TileName(layer, Tile(x=x, y=y, z=z), 2 if match[5] else 1, cast(Format, match[6]))


def layer_prefix(layer: str) -> str:
    """What the keys of a layer's public objects begin with."""
    return f"{layer}/"


def zoom_prefix(layer: str, z: int) -> str:
    """What the keys of one zoom's tiles begin with."""
    return f"{layer}/{z}/"


def tile_prefix(layer: str, z: int, x: int) -> str:
    """What the keys of one column of tiles begin with."""
    return f"{layer}/{z}/{x}/"


def tilejson_key(layer: str) -> str:
    """The key of a layer's public TileJSON."""
    return f"{layer}/tile.json"


def page_key(layer: str, name: str = "index.html") -> str:
    """The key of a file that lies beside a layer's TileJSON: its published preview, and what that is made of."""
    return f"{layer_prefix(layer)}{name}"


def layer_of_tilejson(key: str) -> str | None:
    """The layer whose TileJSON `key` is, if it is one's."""
    layer, _, rest = key.partition("/")
    return layer if rest == "tile.json" else None


SOURCES = "sources/"
JOBS = "jobs/"


def index_key(layer: str) -> str:
    """The key of a layer's private metadata."""
    return f"{sources_prefix(layer)}index.json"


def history_key(layer: str) -> str:
    """The key of a layer's publications since all stored tiles were of one revision."""
    return f"{sources_prefix(layer)}history.json"


def sources_prefix(layer: str) -> str:
    """What the keys of a layer's private objects begin with."""
    return f"{SOURCES}{layer}/"


def revision_key(layer: str, revision: str) -> str:
    """The key of what a revision's metadata was when it was the current one."""
    return f"{sources_prefix(layer)}{revision}/index.json"


def layer_of_index(key: str) -> str | None:
    """The layer whose metadata `key` holds, if it holds one's."""
    parts = key.split("/")
    return parts[1] if len(parts) == 3 and parts[0] == "sources" and parts[2] == "index.json" else None


def source_key(layer: str, revision: str) -> str:
    """The key of a revision's baked COG."""
    return f"{sources_prefix(layer)}{revision}/index.tif"


def clock_key() -> str:
    """The key of an object that is there to be dated."""
    return f"{JOBS}clock"


def job_key(job: str, *rest: str) -> str:
    """A key of a job's ledger."""
    return JOBS + "/".join((job, *rest))
