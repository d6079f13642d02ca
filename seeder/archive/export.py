"""Export stored tiles to an archive: PMTiles, MBTiles, or a folder.

Tiles are collected in FILE.part, always an MBTiles file, so that each is fetched once even if runs are interrupted. The
archive is written from it, read back, and only then moved into place.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import mercantile
import numpy as np
from mercantile import Tile

from seeder.archive.mbtiles import Part, digest, read_mbtiles
from seeder.archive.pmtiles import ordered, read_pmtiles, write_pmtiles
from seeder.select.blocks import BlockMask
from seeder.select.morton import places
from seeder.select.tileset import TileSets
from tiler.errors import BadOption, MissingObject, StoreError, Superseded, shortened
from tiler.grid import Bounds
from tiler.inputs import read_json
from tiler.keys import TileName, tile_key
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.render import TileVariant
from tiler.layers.tilejson import pending, tilejson
from tiler.storage.concurrent import overlap
from tiler.storage.store import Stores

Kind = Literal["pmtiles", "mbtiles", "folder"]
Progress = Callable[[int], object]

COMMIT = 512  # tiles to fetch again at most after a killed run
FACTS = "tile.json"  # the TileJSON of a folder of tiles


@dataclass(frozen=True, slots=True)
class Target:
    """The destination of an archive. `path` does not exist, or may be replaced."""

    path: Path
    kind: Kind

    @classmethod
    def parse(cls, text: str, *, overwrite: bool = False) -> Target:
        """Parse the path of an archive: FILE.pmtiles, FILE.mbtiles, or a folder.

        Raises:
            BadOption: the suffix is unsupported, the path exists, or its folder does not.
        """
        path = Path(text)
        kind: Kind = "folder"
        ending = path.suffix.lower()
        if ending == ".pmtiles":
            kind = "pmtiles"
        elif ending == ".mbtiles":
            kind = "mbtiles"
        elif ending[1:].isalpha() and not text.endswith("/") and not path.is_dir():
            raise BadOption(f"unsupported archive type: {text}: use .pmtiles or .mbtiles, or end a folder with a slash")
        target = cls(path.absolute(), kind)
        try:
            if not target.path.parent.is_dir():
                raise BadOption(f"{target.path.parent} is not a folder: create it first")
            target.check_free(overwrite=overwrite)
        except OSError as error:  # such as a name too long
            raise BadOption(f"{shortened(text)}: {error.strerror}: choose another name") from error
        return target

    def check_free(self, *, overwrite: bool) -> None:
        """Check that the path is free or may be replaced.

        Raises:
            BadOption: it exists and may not be replaced.
        """
        path = self.path
        if not path.exists() or (self.kind == "folder" and path.is_dir() and not any(path.iterdir())):
            return
        if path.is_dir() != (self.kind == "folder"):
            raise BadOption(f"{path} is {'a folder' if path.is_dir() else 'not a folder'}: choose another name")
        if not overwrite:
            raise BadOption(f"{path} already exists: choose another name, or replace it with --overwrite")
        if self.kind == "folder":
            others = [each.name for each in path.iterdir() if each.name != FACTS and not each.name.isdecimal()]
            if others or not (path / FACTS).is_file():
                raise BadOption(f"{path} contains files other than tiles, so it is not replaced: choose another name")

    @property
    def part(self) -> Path:
        """The file in which tiles are collected."""
        return self._beside("part")

    @property
    def made(self) -> Path:
        """The path at which the archive is written."""
        return self.part if self.kind == "mbtiles" else self._beside("part-archive")

    def replace(self) -> None:
        """Move the finished archive into place. If interrupted, parts of a replaced folder may remain."""
        old = self._beside("part-old")
        if self.kind == "folder" and self.path.exists():
            remove(old)
            self.path.rename(old)
        self.made.replace(self.path)
        for path in (self.part, old):
            remove(path)

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{suffix}")

    @property
    def size(self) -> int:
        """The size of the archive in bytes."""
        files = self.path.rglob("*") if self.kind == "folder" else [self.path]
        return sum(each.stat().st_size for each in files if each.is_file())


@dataclass(frozen=True, slots=True)
class Source:
    """Stored tiles of a layer, in one format and scale, and `lacking` ones to render for the archive alone."""

    layer: Layer
    variant: TileVariant
    stores: Stores
    tiles: TileSets
    lacking: TileSets = field(default_factory=lambda: TileSets({}))

    @property
    def origin(self) -> dict[str, str]:
        """The common properties of all tiles in one archive.

        While one revision replaces another, both are named, because a tile may belong to either.
        """
        layer = load_layer(self.stores.sources, self.layer.id)
        both = dict.fromkeys((pending(layer, self.stores) or layer.revision, layer.revision))
        return {
            "layer": layer.id,
            "revision": "..".join(both),
            "format": self.variant.format,
            "scale": str(self.variant.scale),
        }

    def key(self, tile: Tile) -> str:
        """The key of a tile in the store."""
        return tile_key(TileName(self.layer.id, tile, self.variant.scale, self.variant.format))

    def fetch(self, tile: Tile) -> tuple[Tile, bytes]:
        """A tile and its bytes; no bytes if it was removed after it was listed.

        Raises:
            StoreError: it could not be read.
        """
        try:
            return tile, self.stores.tiles.get(self.key(tile))
        except MissingObject:
            return tile, b""

    def tilejson(self, zooms: tuple[int, ...], origin: Mapping[str, str]) -> dict[str, Any]:
        """TileJSON of an archive of these tiles with `zooms`, including the properties in `origin`."""
        box = self.layer.bounds if self.layer.bounds.crosses else _shared(self.layer.bounds, extent(self.tiles))
        part = replace(self.layer, bounds=box, minzoom=zooms[0], maxzoom=zooms[-1], format=self.variant.format)
        document: dict[str, Any] = read_json(tilejson(part, "", origin["revision"]))
        suffix = f"{'@2x' if self.variant.scale == 2 else ''}.{self.variant.format}"
        kind = "baselayer" if self.variant.format == "jpg" else "overlay"
        return {**origin, **document, "tiles": ["{z}/{x}/{y}" + suffix], "type": kind}


def extent(tiles: TileSets) -> Bounds:
    """The box around the tiles without descendants in the set; tiles above them extend beyond it."""
    boxes, deeper = [], None
    for z in reversed(tiles.zooms):
        own = tiles.at(z)
        above = own if deeper is None else deeper.at(z)
        deepest = own if deeper is None else own - above
        deeper = own | above
        if len(deepest.starts):
            codes, sides = deepest.squares()
            x, y = places(codes)
            first = mercantile.bounds(int(x.min()), int(y.min()), z)
            last = mercantile.bounds(int((x + sides).max()) - 1, int((y + sides).max()) - 1, z)
            boxes.append((first.west, last.south, last.east, first.north))
    edges = np.array(boxes)
    return Bounds(*edges[:, :2].min(0).tolist(), *edges[:, 2:].max(0).tolist())


def _shared(one: Bounds, other: Bounds) -> Bounds:
    """The intersection of two boxes, or `one` if they only touch: a layer may lie outside the square world."""
    west, south = max(one.west, other.west), max(one.south, other.south)
    east, north = min(one.east, other.east), min(one.north, other.north)
    return Bounds(west, south, east, north) if west < east and south < north else one


@dataclass(slots=True)
class Export:
    """An unfinished archive. Earlier runs fetched `had` tiles; `begun` names a discarded part's other origin."""

    source: Source
    target: Target
    origin: dict[str, str]
    part: Part
    had: int
    begun: str

    @classmethod
    @contextmanager
    def open(cls, source: Source, target: Target) -> Iterator[Export]:
        """Start or continue the archive of all tiles in `source`.

        Raises:
            BadOption: no tile is stored, or another file is in the way.
            StoreError: a file cannot be written.
        """
        if not (source.tiles or source.lacking):
            cure = f"run `seed {source.layer.id}` first, or add --render"
            raise BadOption(f"no selected tile of layer {source.layer.id!r} is stored: {cure}")
        origin = source.origin
        with _translated(target):
            part, other = Part.open(target.part, origin)
            try:
                part.keep(source.tiles | source.lacking)
                discarded = ", ".join(value for name, value in other.items() if value != origin[name])
                yield cls(source, target, origin, part, len(part), discarded)
            except BaseException:
                if target.made != target.part:  # the next run writes it again
                    with suppress(OSError):
                        remove(target.made)
                raise
            finally:
                part.close()

    def fetch(self, progress: Progress) -> int:
        """Fetch the stored tiles missing in the part; return how many are left out: removed since, or of 0 bytes.

        Fetched tiles are kept however this ends. Tiles to render must be in the part already.

        Raises:
            StoreError: a tile could not be read.
            Superseded: the layer's revision changed meanwhile.
            BadOption: all tiles were removed.
        """
        wanted = (tile for _, tile in ordered(self.source.tiles) if not self.part.digest(tile))
        omitted = self._add(overlap(self.source.fetch, wanted), progress)
        rendered = bool(self.source.lacking)
        if rendered:
            self.source = replace(self.source, tiles=self.part.tiles(), lacking=TileSets({}))
        if self.source.origin != self.origin:
            raise Superseded(f"layer {self.source.layer.id!r} has a new revision: run the same command again")
        if not len(self.part):
            why = "has data: select others" if rendered else "is left, all were removed: seed them again"
            raise BadOption(f"no selected tile of layer {self.source.layer.id!r} {why}")
        return omitted

    def unrendered(self) -> Iterator[BlockMask]:
        """The tiles to render that are missing in the part, block by block."""
        for z in self.source.lacking.zooms:
            for block, mask in ((each.block, each.tiles) for each in self.source.lacking.at(z).block_masks()):
                known = sum(block.bit(tile) for tile in block.tiles(mask) if self.part.digest(tile))
                if mask & ~known:
                    yield BlockMask(block, mask & ~known)

    def add(self, blocks: Iterable[tuple[int, list[tuple[Tile, bytes]]]], progress: Progress) -> int:
        """Add rendered blocks: their number of tiles, and the tiles with data; return the number of tiles with data.

        Added tiles are kept however this ends.
        """
        before = len(self.part)
        for planned, tiles in blocks:
            self._add(tiles, int)
            progress(planned)
        return len(self.part) - before

    def _add(self, tiles: Iterable[tuple[Tile, bytes]], progress: Progress) -> int:
        """Add tiles to the part, and save them; return the number of tiles without bytes."""
        omitted = 0
        try:
            for number, (tile, data) in enumerate(tiles, 1):
                if data:
                    self.part.put(tile, data)
                else:
                    omitted += 1
                if number % COMMIT == 0:
                    self.part.commit()
                progress(1)
        finally:
            self.part.commit()
        return omitted

    def write(self, progress: Progress) -> None:
        """Write the archive next to its destination."""
        document = self.source.tilejson(self.part.zooms, self.origin)
        if self.target.kind == "pmtiles":
            write_pmtiles(self.target.made, self.part, self.source.tiles, document, progress)
        elif self.target.kind == "folder":
            _write_folder(self.target.made, self.part, self.source.tiles, document, progress)
        else:
            self.part.describe(document)
            progress(len(self.part))

    def check(self, progress: Progress) -> None:
        """Read the archive and compare every tile with the fetched bytes.

        Raises:
            StoreError: a tile differs; the archive is removed.
        """
        wanted = (tile for _, tile in ordered(self.source.tiles))
        read = {"pmtiles": read_pmtiles, "mbtiles": read_mbtiles, "folder": _read_folder}[self.target.kind]
        seen = same = 0
        for tile, data in read(self.target.made, wanted):
            seen += 1
            same += digest(data) == self.part.digest(tile)
            progress(1)
        wrong = max(seen, len(self.part)) - same
        if wrong:
            self.part.close()
            for path in (self.target.made, self.target.part):
                remove(path)
            raise StoreError(
                "verify",
                str(self.target.path),
                f"{wrong:,} tiles differ when read back: check the disk, then run the same command again",
            )

    def place(self) -> None:
        """Move the archive into place and remove temporary files."""
        self.part.close()
        self.target.replace()


def _write_folder(path: Path, part: Part, tiles: TileSets, document: Mapping[str, Any], progress: Progress) -> None:
    """Write a file for each tile, named as in the store, and TileJSON with relative addresses."""
    remove(path)
    path.mkdir()
    for _, tile in ordered(tiles):
        image = part.image(tile)
        if image:
            file = path / document["tiles"][0].format(z=tile.z, x=tile.x, y=tile.y)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(part.bytes_of(image.number))
            progress(1)
    (path / FACTS).write_text(json.dumps(document, indent=1) + "\n")


def _read_folder(path: Path, tiles: Iterable[Tile]) -> Iterator[tuple[Tile, bytes]]:
    template = read_json((path / FACTS).read_text())["tiles"][0]
    for tile in tiles:
        with suppress(FileNotFoundError):  # the tile is not in the archive
            yield tile, (path / template.format(z=tile.z, x=tile.x, y=tile.y)).read_bytes()


def remove(path: Path) -> None:
    """Remove the file or folder at `path`, if any."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _translated(target: Target) -> Iterator[None]:
    """Translate errors of the disk and of SQLite.

    Raises:
        StoreError: a temporary file cannot be written or read; names the cure.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        why = "another export is writing it" if "locked" in str(error) else error
        raise StoreError("write", str(target.part), why) from error
    except sqlite3.DatabaseError as error:
        raise StoreError("read", str(target.part), f"{error}: delete it and run the same command again") from error
    except OSError as error:
        raise StoreError("write", str(error.filename or target.path), error.strerror or error) from error
