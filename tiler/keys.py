"""Object keys: the only module that builds and parses them.

public bucket    {layer}/{z}/{x}/{y}.png   {layer}/{z}/{x}/{y}@2x.png   {layer}/tile.json   {layer}/index.html
private bucket   sources/{layer}/index.json   .../history.json   sources/{layer}/{revision}/index.json   .../index.tif
                 .../digests.bin   .../scenes.json   sources/{layer}/parts/{part}.tif   .../{part}.json
                 sources/{layer}/shards/{shard}.json   sources/{layer}/scenes/{content}/{name}   jobs/{job}/...
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
    """The parts of a tile's key."""

    layer: str
    tile: Tile
    scale: Scale
    format: Format


def check_layer(layer: str) -> str:
    """Return `layer` if it is a valid layer name.

    Raises:
        BadName: it is not.
    """
    if not _LAYER.fullmatch(layer) or layer in _RESERVED:
        raise BadName(layer)
    return layer


def layer_from(stem: str) -> str:
    """The layer id nearest to a file's stem: `Ortho Mosaic (2)` is `ortho-mosaic-2`.

    Raises:
        BadName: no valid character is left.
    """
    name = re.sub(r"[^a-z0-9._]+", "-", stem.lower()).strip("-._")[:63]
    return check_layer(name)


def tile_key(name: TileName) -> str:
    """The key of a tile; the inverse of `parse_tile_key`."""
    z, x, y = name.tile.z, name.tile.x, name.tile.y
    return f"{tile_prefix(name.layer, z, x)}{y}{'@2x' if name.scale == 2 else ''}.{name.format}"


def tile_template(layer: str, form: Format, names: tuple[str, str, str] = ("{z}", "{x}", "{y}")) -> str:
    """The pattern of a layer's tile keys, with `names` in place of zoom, column and row."""
    return f"{layer_prefix(layer)}{'/'.join(names)}.{form}"


def parse_tile_key(key: str) -> TileName:
    """The tile of a key; the inverse of `tile_key`.

    Raises:
        GridError: it is not a tile's key, or the tile is off the grid.
        BadName: its first part is not a valid layer name.
    """
    match = _TILE.fullmatch(key)
    if not match:
        raise GridError(f"{key!r} is not a tile path: write LAYER/Z/X/Y.png or LAYER/Z/X/Y@2x.png")
    z, x, y = int(match[2]), int(match[3]), int(match[4])
    if z > MAX_ZOOM or x >= 2**z or y >= 2**z:
        raise GridError(f"{key!r} is off the grid of zoom {z}")
    layer = check_layer(match[1])
    return TileName(layer, Tile(x=x, y=y, z=z), 2 if match[5] else 1, cast(Format, match[6]))


def layer_prefix(layer: str) -> str:
    """The prefix of a layer's public objects."""
    return f"{layer}/"


def zoom_prefix(layer: str, z: int) -> str:
    """The prefix of one zoom's tiles."""
    return f"{layer}/{z}/"


def tile_prefix(layer: str, z: int, x: int) -> str:
    """The prefix of one column of tiles."""
    return f"{layer}/{z}/{x}/"


def tilejson_key(layer: str) -> str:
    """The key of a layer's public TileJSON."""
    return f"{layer}/tile.json"


def page_key(layer: str, name: str = "index.html") -> str:
    """The key of a file beside a layer's TileJSON: the published preview and its assets."""
    return f"{layer_prefix(layer)}{name}"


def layer_of_tilejson(key: str) -> str | None:
    """The layer of a TileJSON key; None for any other key."""
    layer, _, rest = key.partition("/")
    return layer if rest == "tile.json" else None


SOURCES = "sources/"
SHARED = ("parts", "shards", "scenes")  # folders of a layer's private objects that are no revisions
JOBS = "jobs/"


def index_key(layer: str) -> str:
    """The key of a layer's private metadata."""
    return f"{sources_prefix(layer)}index.json"


def history_key(layer: str) -> str:
    """The key of a layer's publication history; see `tiler.layers.history`."""
    return f"{sources_prefix(layer)}history.json"


def sources_prefix(layer: str) -> str:
    """The prefix of a layer's private objects."""
    return f"{SOURCES}{layer}/"


def revision_key(layer: str, revision: str) -> str:
    """The key of a revision's own copy of its metadata."""
    return f"{sources_prefix(layer)}{revision}/index.json"


def layer_of_index(key: str) -> str | None:
    """The layer of a metadata key; None for any other key."""
    parts = key.split("/")
    return parts[1] if len(parts) == 3 and parts[0] == "sources" and parts[2] == "index.json" else None


def scenes_key(layer: str, revision: str) -> str:
    """The key of the list of a revision's scenes."""
    return f"{sources_prefix(layer)}{revision}/scenes.json"


def part_key(layer: str, part: str) -> str:
    """The key of a part's COG."""
    return f"{parts_prefix(layer)}{part}.tif"


def part_facts_key(layer: str, part: str) -> str:
    """The key of the facts of a part beside its pixels; it is stored after the part's COG."""
    return f"{parts_prefix(layer)}{part}.json"


def parts_prefix(layer: str) -> str:
    """The prefix of a layer's parts, which its revisions share."""
    return f"{sources_prefix(layer)}{SHARED[0]}/"


def part_of_facts(key: str) -> str | None:
    """The part of a key of facts; None for any other key."""
    name = key.rpartition("/")[2]
    return name.removesuffix(".json") if name.endswith(".json") else None


def shards_prefix(layer: str) -> str:
    """The prefix of the shards of a layer's manifests."""
    return f"{sources_prefix(layer)}{SHARED[1]}/"


def shard_key(layer: str, shard: str) -> str:
    """The key of a shard of a manifest."""
    return f"{shards_prefix(layer)}{shard}.json"


def uploads_prefix(layer: str) -> str:
    """The prefix of a layer's uploaded scenes."""
    return f"{sources_prefix(layer)}{SHARED[2]}/"


def scene_key(layer: str, content: str, name: str) -> str:
    """The key of a file of an uploaded scene; `content` is a hash of all its files."""
    return f"{uploads_prefix(layer)}{content}/{name}"


def upload_of(address: str, layer: str) -> str:
    """The folder of the uploaded scene of a layer that an address or a key names; empty if it names none."""
    match = re.search(rf"(?:^|/){re.escape(uploads_prefix(layer))}([^/]+)/", address)
    return match[1] if match else ""


def is_upload(address: str) -> bool:
    """Whether an address is that of an uploaded scene of any layer."""
    layer = re.search(r"(?:^|/)sources/([^/]+)/", address)
    return bool(layer and upload_of(address, layer[1]))


def digests_key(layer: str, revision: str) -> str:
    """The key of the digests of a revision's COG; see `tiler.layers.digests`."""
    return f"{sources_prefix(layer)}{revision}/digests.bin"


def clock_key() -> str:
    """The key of an object that is put only to read the store's clock."""
    return f"{JOBS}clock"


def job_key(job: str, *rest: str) -> str:
    """A key in a job's ledger."""
    return JOBS + "/".join((job, *rest))
