"""Parts: the COGs of a baked layer, each 64 x 64 tiles of the absolute grid, and the manifest that lists them.

Tier 0 is cut at the base zoom, each further tier three zooms lower, down to zoom 0. A part serves three zooms: its
levels 0 to 2. Its level 3 is lossless and read only by the tier above. Parts are never overwritten, and revisions share
them. The manifest consists of immutable shards, one for 8 x 8 parts, whose names are hashes of their content.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tiler import keys
from tiler.errors import CatalogError, MissingObject
from tiler.grid import MAX_ZOOM
from tiler.inputs import read_json
from tiler.layers.cog_layout import CogLayout
from tiler.storage.concurrent import together
from tiler.storage.store import Store

SIDE = 64  # tiles along a part's side
SERVED = 3  # levels of a part that are tiles; the next one is for the tier above
SHARD = 8  # parts along a shard's side
CACHED = 256  # shards that a process keeps


class Place(NamedTuple):
    """A part's tier, column and row."""

    tier: int
    column: int
    row: int


@dataclass(frozen=True, slots=True)
class Part:
    """A part: the name of its COG, and the COG's place on the grid of its tier's zoom.

    The name has a hash of what was baked and one of the blocks: `{input}-{hash}`.
    """

    name: str
    layout: CogLayout

    @property
    def hash(self) -> str:
        """The hash of its blocks and their place."""
        return self.name.rpartition("-")[2]


@dataclass(frozen=True, slots=True)
class Pyramid:
    """The parts of a baked layer, by the shards of its manifest.

    `z` is the base zoom, `dtype` that of the pixels. `finished` levels of each part are tiles in the layer's format. If
    `opaque`, no tile that is not empty has a transparent pixel; finished WebP tiles may be opaque without it.

    Raises:
        ValueError, TypeError: there is no such zoom or dtype.
    """

    z: int
    dtype: str
    opaque: bool
    finished: int
    shards: Mapping[tuple[int, int, int], str] = field(repr=False)  # by tier, column and row

    def __post_init__(self) -> None:
        if not 0 <= self.z <= MAX_ZOOM:
            raise ValueError(f"invalid base zoom: {self.z}")
        np.dtype(self.dtype)

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        shards = {"/".join(map(str, place)): name for place, name in sorted(self.shards.items())}
        return {"z": self.z, "dtype": self.dtype, "opaque": self.opaque, "finished": self.finished, "shards": shards}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Pyramid:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: a field is missing or invalid.
        """
        shards = {_place(place): str(name) for place, name in dict(fields["shards"]).items()}
        return cls(int(fields["z"]), str(fields["dtype"]), bool(fields["opaque"]), int(fields["finished"]), shards)

    def tier_of(self, zoom: int) -> tuple[int, int]:
        """The tier and the level with the pixels of `zoom`, at most the base zoom."""
        return divmod(self.z - zoom, SERVED)

    def zoom_of(self, tier: int) -> int:
        """The zoom at which a tier is cut."""
        return self.z - SERVED * tier

    @property
    def tiers(self) -> int:
        """The number of tiers."""
        return self.z // SERVED + 1

    def parts_at(self, layer: str, sources: Store, places: Collection[Place]) -> dict[Place, Part]:
        """The parts at some places, without those that would be empty.

        Raises:
            CatalogError: the manifest is damaged.
            StoreError: it could not be read.
        """
        squares = {(place.tier, place.column // SHARD, place.row // SHARD) for place in places}
        every = self._parts(layer, sources, squares)
        return {place: every[place] for place in places if place in every}

    def parts(self, layer: str, sources: Store) -> dict[Place, Part]:
        """All parts.

        Raises:
            CatalogError, StoreError: see `parts_at`.
        """
        return self._parts(layer, sources, self.shards)

    def _parts(self, layer: str, sources: Store, squares: Iterable[tuple[int, int, int]]) -> dict[Place, Part]:
        """All parts of some shards, which are read at the same time."""
        names = [keys.shard_key(layer, self.shards[square]) for square in squares if square in self.shards]
        return {place: part for each in together(partial(shard, sources), names) for place, part in each.items()}


def _place(text: str) -> tuple[int, int, int]:
    tier, column, row = map(int, text.split("/"))
    return tier, column, row


def levels_of(zoom: int) -> int:
    """The levels of a part cut at `zoom`."""
    return min(SERVED, zoom) + 1


def across(zoom: int, step: int = SIDE) -> int:
    """The number of columns of parts, or of other squares of `step` tiles, at `zoom`."""
    return max(1, (1 << zoom) // step)


_shards: dict[str, Mapping[Place, Part]] = {}  # by key, which names the content
_changing = threading.Lock()


def shard(sources: Store, key: str) -> Mapping[Place, Part]:
    """The parts of a shard.

    Raises:
        CatalogError: it is missing or damaged.
        StoreError: it could not be read.
    """
    known = _shards.get(key)
    if known is not None:
        return known
    try:
        content = sources.get(key)
        if not key.endswith(f"/{_name(content)}.json"):
            raise CatalogError(key, "its name is not the hash of its content")
        parts = {
            Place(*map(int, each["place"])): Part(str(each["name"]), CogLayout(**each["layout"]))
            for each in read_json(content)
        }
    except MissingObject as error:
        raise CatalogError(key, "it is missing") from error
    except (KeyError, TypeError, ValueError) as error:
        raise CatalogError(key, error) from error
    with _changing:
        while len(_shards) >= CACHED:
            del _shards[next(iter(_shards))]
        _shards[key] = parts
    return parts


def put_manifest(layer: str, sources: Store, parts: Mapping[Place, Part]) -> dict[tuple[int, int, int], str]:
    """Store the shards of a manifest; returns their names by tier, column and row."""
    groups: dict[tuple[int, int, int], list[Place]] = {}
    for place in sorted(parts):
        groups.setdefault((place.tier, place.column // SHARD, place.row // SHARD), []).append(place)
    names = {}
    for square, places in groups.items():
        content = json.dumps([_entry(place, parts[place]) for place in places]).encode()
        names[square] = _name(content)
        sources.put(keys.shard_key(layer, names[square]), content, content_type="application/json")
    return names


def _name(content: bytes) -> str:
    """The name of a shard: a hash of its content."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _entry(place: Place, part: Part) -> dict[str, Any]:
    return {"place": place, "name": part.name, "layout": part.layout.to_json()}


def missing_objects(layer: str, sources: Store, pyramid: Pyramid) -> set[str]:
    """The keys of shards and parts that a layer needs and the store lacks.

    Raises:
        StoreError: something could not be listed.
    """
    shards = {keys.shard_key(layer, name) for name in pyramid.shards.values()}
    shards -= _listed(sources, keys.shards_prefix(layer))
    if shards:
        return shards
    parts = {keys.part_key(layer, part.name) for part in pyramid.parts(layer, sources).values()}
    return parts - _listed(sources, keys.parts_prefix(layer))


def _listed(sources: Store, prefix: str) -> set[str]:
    return {entry.key for entry in sources.list(prefix)}


def unnamed(layer: str, sources: Store, kept: Iterable[Pyramid], before: datetime) -> Iterator[str]:
    """The keys of shards and parts that no `kept` manifest names, last written `before` a time (UTC).

    Raises:
        CatalogError, StoreError: a manifest could not be read, or the store not be listed.
    """
    named = set[str]()
    for pyramid in kept:
        named |= {keys.shard_key(layer, name) for name in pyramid.shards.values()}
        for part in pyramid.parts(layer, sources).values():
            named |= {keys.part_key(layer, part.name), keys.part_facts_key(layer, part.name)}
    for prefix in (keys.parts_prefix(layer), keys.shards_prefix(layer)):
        entries = list(sources.list(prefix))
        # of a part that a bake uses again, only the facts are written anew
        recent = {_stem(entry.key) for entry in entries if entry.modified >= before}
        yield from (entry.key for entry in entries if entry.key not in named and _stem(entry.key) not in recent)


def _stem(key: str) -> str:
    return key.rpartition(".")[0]
