"""Digests of a COG's blocks: 8 bytes per block, to tell which tiles differ between two revisions of a layer.

Those of a part are among its facts. Those of a COG that an earlier version baked are made at its layer's next refresh,
see `cog_digests`, and stored in `sources/{layer}/{revision}/digests.bin`: a line of JSON with the COG's place on the
grid, then the arrays of all levels, compressed by Zstandard.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import numpy.typing as npt
import zstandard

from tiler.errors import MissingObject
from tiler.grid import TILE
from tiler.inputs import read_json
from tiler.keys import digests_key
from tiler.layers.catalog import Layer
from tiler.layers.cog_layout import CogLayout
from tiler.storage.store import Store

VERSION = 1
LEVEL = 1  # of Zstandard: digests hardly repeat, only the zeros of missing blocks do
OPAQUE = b"\xff" * (TILE * TILE)

Digest = npt.NDArray[np.uint64]
Levels = tuple[Digest, ...]  # (rows, columns) of each level, the base first; 0 for no block


def pixel_kind(dtype: str, bands: int) -> str:
    """The kind of a layer's pixels. Blocks of other kinds have other digests, even if their bytes are equal."""
    return f"{dtype}x{bands}"


def block_digest(kind: str, values: bytes, mask: bytes) -> int:
    """The digest of a block's stored bytes and of its mask's, as a signed number of 64 bits; 0 for no block.

    `kind` is the `pixel_kind`. An opaque block has an empty `mask`.
    """
    if not values:
        return 0
    digest = hashlib.sha256(f"{kind} {len(values)} ".encode(), usedforsecurity=False)  # four times as fast as BLAKE2b
    digest.update(values)
    digest.update(mask)
    return int.from_bytes(digest.digest()[:8], "little", signed=True) or 1


def shapes(bake: CogLayout) -> list[tuple[int, int]]:
    """Rows and columns of blocks in each level of a COG."""
    sides = ((bake.rows * TILE >> level, bake.columns * TILE >> level) for level in range(bake.levels))
    return [(-(-max(1, height) // TILE), -(-max(1, width) // TILE)) for height, width in sides]


def encode(levels: Levels, bake: CogLayout, gdal: str) -> bytes:
    """The stored form of the digests of a COG that was made by a version of GDAL."""
    data = b"".join(each.astype("<u8").tobytes() for each in levels)
    return json.dumps(_header(bake, gdal)).encode() + b"\n" + zstandard.compress(data, LEVEL)


def decode(data: bytes, bake: CogLayout, gdal: str) -> Levels | None:
    """The inverse of `encode`; None if `data` is damaged, or holds the digests of another COG."""
    head, _, packed = data.partition(b"\n")
    sizes = shapes(bake)
    length = 8 * sum(rows * columns for rows, columns in sizes)
    try:
        if read_json(head) != _header(bake, gdal):
            return None
        values = zstandard.ZstdDecompressor().stream_reader(packed).read(length + 1)
    except (ValueError, zstandard.ZstdError):
        return None
    if len(values) != length:
        return None
    ends = np.cumsum([rows * columns for rows, columns in sizes])[:-1]
    parts = np.split(np.frombuffer(values, "<u8").astype(np.uint64), ends)
    return tuple(part.reshape(size) for part, size in zip(parts, sizes, strict=True))


def stored_digests(layer: Layer, sources: Store) -> Levels | None:
    """The digests that are stored beside a layer's COG; None without any.

    Raises:
        StoreError: the store failed.
    """
    if not isinstance(layer.bake, CogLayout):
        return None
    try:
        data = sources.get(digests_key(layer.id, layer.revision))
    except MissingObject:
        return None
    return decode(data, layer.bake, layer.gdal)


def store_digests(layer: Layer, bake: CogLayout, levels: Levels, sources: Store) -> None:
    """Put digests beside a layer's COG, whose place is `bake`.

    Raises:
        StoreError: the store failed.
    """
    data = encode(levels, bake, layer.gdal)
    sources.put(digests_key(layer.id, layer.revision), data, content_type="application/octet-stream")


def _header(bake: CogLayout, gdal: str) -> dict[str, object]:
    place = [bake.z, bake.x, bake.y, bake.columns, bake.rows, bake.levels]
    return {"version": VERSION, "gdal": gdal, "place": place}
