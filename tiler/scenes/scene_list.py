"""The stored list of a layer's scenes: all that an update needs to know of scenes that did not change."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rasterio.errors import CRSError

from tiler.choices import OVERLAPS, Overlap
from tiler.errors import CatalogError, GridError, shown
from tiler.grid import Bounds
from tiler.inputs import METADATA, read_json
from tiler.layers.version import check_version
from tiler.raster.reading import Reading
from tiler.scenes.headers import crs_of
from tiler.scenes.scene import Listed, Scene

VERSION = 1
UNCOMPRESSED = 2 << 20  # bytes of the largest list that is stored as plain JSON
GZIP, LEVEL = b"\x1f\x8b", 6
HEADER = 31  # zlib's number for the header of gzip
DAMAGE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, zlib.error, CRSError, GridError)
TABLES = ("crs", "readings", "palettes")  # values that many scenes share; scenes have their numbers


@dataclass(frozen=True, slots=True)
class SceneList:
    """The scenes of a layer in the order of their list, the rule for overlaps, and the STAC asset they are.

    `asset` is empty unless they are listed in STAC. Paths have no query strings: a signed URL must be listed anew.
    """

    scenes: tuple[Scene, ...]
    overlap: Overlap = "last"
    asset: str = ""

    def same_as(self, other: SceneList) -> bool:
        """Whether both have the same scenes, dates and order; a signed URL is the same without its query string."""
        ours, others = (
            [(each.address, each.identity, each.listed.date) for each in one.scenes] for one in (self, other)
        )
        return (ours, self.overlap, self.asset) == (others, other.overlap, other.asset)


def dump(scenes: Iterable[Scene], overlap: Overlap = "last", asset: str = "") -> bytes:
    """The stored form of a list: JSON, compressed by gzip if it is large. The same list gives the same bytes."""
    tables: dict[str, dict[str, int]] = {name: {} for name in TABLES}
    rows = [_row(scene, tables) for scene in scenes]
    texts = {name: [read_json(text) for text in table] for name, table in tables.items()}
    facts = {"version": VERSION, "overlap": overlap, "asset": asset, **texts}
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    head = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    data = f'{head[:-1]},"scenes":[\n{lines}\n]}}\n'.encode(errors="surrogateescape")
    return data if len(data) <= UNCOMPRESSED else _compressed(data)


def parse(data: bytes, key: str) -> SceneList:
    """The inverse of `dump`; `key` is the object's, for errors.

    Raises:
        CatalogError: it is damaged.
        NewerMetadata: it is of a newer version of this program.
    """
    try:
        fields = read_json(_text(data))
        check_version(key, fields["version"], VERSION)
        shared = (
            [crs_of(wkt) for wkt in fields["crs"]],
            [Reading.from_json(each) for each in fields["readings"]],
            [tuple(tuple(map(int, colour)) for colour in palette) for palette in fields["palettes"]],
        )
        scenes = tuple(_scene(row, shared) for row in fields["scenes"])
        return SceneList(scenes, _overlap(fields["overlap"]), str(fields["asset"]))
    except DAMAGE as error:
        raise CatalogError(key, error) from error


def _overlap(name: object) -> Overlap:
    for each in OVERLAPS:
        if each == name:
            return each
    raise ValueError(f"no rule for overlaps: {name}")


def _row(scene: Scene, tables: dict[str, dict[str, int]]) -> list[Any]:
    shared = (scene.crs.to_wkt(), asdict(scene.reading), scene.palette)
    numbers = [
        table.setdefault(json.dumps(value, sort_keys=True), len(table))
        for table, value in zip(tables.values(), shared, strict=True)
    ]
    path = _kept(scene.listed.path)
    return [
        *(shown(scene.address), "" if path == scene.address else path, scene.listed.date, scene.listed.strange),
        scene.fingerprint,
        *(list(scene.size), list(scene.transform), list(scene.bounds), scene.resolution, scene.dtype, *numbers),
    ]


def _kept(path: str) -> str:
    """A path without query strings; that of a local file stays, because a question mark may be in its name."""
    if "/vsicurl?" in path:
        return ""
    return shown(path) if path.startswith("/vsi") or "://" in path else path


def _scene(row: Sequence[Any], shared: tuple[list[Any], ...]) -> Scene:
    address, path, date, strange, mark, size, transform, bounds, resolution, dtype, *numbers = row
    texts = (address, path, date, mark, dtype)
    if len(size) != 2 or len(transform) != 6 or len(numbers) != len(TABLES):
        raise ValueError(f"scene {address!r}: a field has too few or too many numbers")
    if not all(isinstance(each, str) for each in texts):
        raise ValueError(f"scene {address!r}: a field is no text")
    if strange not in (True, False):
        raise ValueError(f"scene {address!r}: a field is neither true nor false")
    if min(*size) < 1 or min(numbers) < 0 or not all(map(math.isfinite, (*transform, resolution))) or resolution <= 0:
        raise ValueError(f"scene {address!r}: a number is out of its range")
    crs, reading, palette = (table[number] for table, number in zip(shared, numbers, strict=True))
    width, height = map(int, size)
    a, b, c, d, e, f = map(float, transform)
    return Scene(
        listed=Listed(address, path or address, date, bool(strange)),
        fingerprint=mark,
        crs=crs,
        size=(width, height),
        transform=(a, b, c, d, e, f),
        bounds=Bounds(*bounds),
        resolution=float(resolution),
        dtype=np.dtype(dtype).name,
        reading=reading,
        palette=palette,
    )


def _compressed(data: bytes) -> bytes:
    packer = zlib.compressobj(LEVEL, wbits=HEADER)
    return packer.compress(data) + packer.flush()


def _text(data: bytes) -> bytes:
    """The JSON of a stored list.

    Raises:
        ValueError, zlib.error: it is damaged, or too large.
    """
    if not data.startswith(GZIP):
        return data
    unpacker = zlib.decompressobj(HEADER)
    text = unpacker.decompress(data, METADATA)
    if not unpacker.eof:
        raise ValueError("it is cut off, or larger than this program writes")
    return text
