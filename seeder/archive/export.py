"""Stored tiles as one archive: PMTiles, MBTiles, or a folder.

Tiles are gathered in FILE.part, which is an MBTiles file whatever is asked for, so that each is fetched once however
often the run is cut off. The archive is made of it, read back, and only then put in its place.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import mercantile
import numpy as np
from mercantile import Tile

from seeder.archive.mbtiles import Part, digest, read_mbtiles
from seeder.archive.pmtiles import ordered, read_pmtiles, write_pmtiles
from seeder.select.morton import places
from seeder.select.tileset import TileSets
from tiler.errors import BadOption, MissingObject, StoreError, Superseded
from tiler.grid import Bounds
from tiler.inputs import read_json
from tiler.keys import TileName, tile_key
from tiler.layers.catalog import Layer, addressed, load_layer, tilejson
from tiler.layers.render import TileVariant
from tiler.storage.concurrent import overlap
from tiler.storage.store import Stores

Kind = Literal["pmtiles", "mbtiles", "folder"]
Progress = Callable[[int], object]

COMMIT = 512  # tiles that are fetched again at most after a run that was killed
FACTS = "tile.json"  # what a folder says of itself


@dataclass(frozen=True, slots=True)
class Target:
    """Where an archive is put. `path` is not there, or may be replaced."""

    path: Path
    kind: Kind

    @classmethod
    def parse(cls, text: str, *, overwrite: bool = False) -> Target:
        """The archive that `text` names: FILE.pmtiles, FILE.mbtiles, or a folder.

        Raises:
            BadOption: it has another ending, is there already, or its folder is not.
        """
        path = Path(text)
        kind: Kind = "folder"
        ending = path.suffix.lower()
        if ending == ".pmtiles":
            kind = "pmtiles"
        elif ending == ".mbtiles":
            kind = "mbtiles"
        elif ending[1:].isalpha() and not text.endswith("/") and not path.is_dir():
            raise BadOption(f"{text} is no kind of archive: name it .pmtiles or .mbtiles, or end a folder with a slash")
        target = cls(path.absolute(), kind)
        if not target.path.parent.is_dir():
            raise BadOption(f"there is no folder {target.path.parent}: make it first")
        target.check_free(overwrite=overwrite)
        return target

    def check_free(self, *, overwrite: bool) -> None:
        """Nothing, if nothing is there, or what may be replaced.

        Raises:
            BadOption: something is.
        """
        path = self.path
        if not path.exists() or (self.kind == "folder" and path.is_dir() and not any(path.iterdir())):
            return
        if path.is_dir() != (self.kind == "folder"):
            raise BadOption(f"{path} is {'a folder' if path.is_dir() else 'no folder'}: give another name")
        if not overwrite:
            raise BadOption(f"{path} is there already: give another name, or --overwrite to replace it")
        if self.kind == "folder":
            others = [each.name for each in path.iterdir() if each.name != FACTS and not each.name.isdecimal()]
            if others or not (path / FACTS).is_file():
                raise BadOption(f"{path} holds other things than tiles, so it is not replaced: give another name")

    @property
    def part(self) -> Path:
        """Where tiles are gathered."""
        return self._beside("part")

    @property
    def made(self) -> Path:
        """Where the archive is made."""
        return self.part if self.kind == "mbtiles" else self._beside("part-archive")

    def replace(self) -> None:
        """Put what was made in its place. Of a folder that was there something may be left if this is cut off."""
        old = self._beside("part-old")
        if self.kind == "folder" and self.path.exists():
            remove(old)
            self.path.rename(old)
        self.made.replace(self.path)
        for path in (self.part, old):
            remove(path)

    def _beside(self, what: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{what}")

    @property
    def size(self) -> int:
        """Bytes of the archive."""
        files = self.path.rglob("*") if self.kind == "folder" else [self.path]
        return sum(each.stat().st_size for each in files if each.is_file())


@dataclass(frozen=True, slots=True)
class Source:
    """Tiles of a layer that are stored, in one format and scale."""

    layer: Layer
    variant: TileVariant
    stores: Stores
    tiles: TileSets

    @property
    def origin(self) -> dict[str, str]:
        """What tiles must have in common to be in one archive.

        Both revisions are told while one takes the place of the other: nobody knows then which one a tile is of.
        """
        layer = load_layer(self.stores.sources, self.layer.id)
        both = dict.fromkeys((addressed(layer, self.stores.tiles), layer.revision))
        return {
            "name": layer.id,
            "revision": "..".join(both),
            "format": self.variant.format,
            "scale": str(self.variant.scale),
        }

    def key(self, tile: Tile) -> str:
        """Where a tile is stored."""
        return tile_key(TileName(self.layer.id, tile, self.variant.scale, self.variant.format))

    def fetch(self, tile: Tile) -> tuple[Tile, bytes]:
        """A tile and its bytes, none where it is gone since it was listed.

        Raises:
            StoreError: it could not be read.
        """
        try:
            return tile, self.stores.tiles.get(self.key(tile))
        except MissingObject:
            return tile, b""

    def tilejson(self, zooms: tuple[int, ...], origin: Mapping[str, str]) -> dict[str, Any]:
        """TileJSON of an archive of these tiles that has those zooms, with what else archives tell of themselves."""
        box = self.layer.bounds if self.layer.bounds.crosses else _shared(self.layer.bounds, extent(self.tiles))
        part = replace(self.layer, bounds=box, minzoom=zooms[0], maxzoom=zooms[-1], format=self.variant.format)
        said: dict[str, Any] = read_json(tilejson(part, "", origin["revision"]))
        ending = f"{'@2x' if self.variant.scale == 2 else ''}.{self.variant.format}"
        said |= {"tiles": ["{z}/{x}/{y}" + ending], "type": "baselayer" if self.variant.format == "jpg" else "overlay"}
        return {**said, **origin}


def extent(tiles: TileSets) -> Bounds:
    """The box around the tiles that no deeper ones lie in; those above them lie about it."""
    boxes, deeper = [], None
    for z in reversed(tiles.zooms):
        mine = tiles.at(z)
        above = mine if deeper is None else deeper.at(z)
        ends = mine if deeper is None else mine - above
        deeper = mine | above
        if len(ends.starts):
            codes, sides = ends.squares()
            x, y = places(codes)
            first = mercantile.bounds(int(x.min()), int(y.min()), z)
            last = mercantile.bounds(int((x + sides).max()) - 1, int((y + sides).max()) - 1, z)
            boxes.append((first.west, last.south, last.east, first.north))
    edges = np.array(boxes)
    return Bounds(*edges[:, :2].min(0).tolist(), *edges[:, 2:].max(0).tolist())


def _shared(one: Bounds, other: Bounds) -> Bounds:
    """What two boxes share, or `one` if they do no more than touch: a layer may lie beyond the square world."""
    west, south = max(one.west, other.west), max(one.south, other.south)
    east, north = min(one.east, other.east), min(one.north, other.north)
    return Bounds(west, south, east, north) if west < east and south < north else one


@dataclass(slots=True)
class Export:
    """An archive in the making. `had` tiles of it were fetched by an earlier run; `begun` says why not more were."""

    source: Source
    target: Target
    origin: dict[str, str]
    part: Part
    had: int
    begun: str

    @classmethod
    @contextmanager
    def open(cls, source: Source, target: Target) -> Iterator[Export]:
        """The archive of all that is in `source`, begun or taken up.

        Raises:
            BadOption: there is nothing in it, or something else is in the way.
            StoreError: a file cannot be written.
        """
        if not source.tiles:
            raise BadOption(
                f"no tile of what is selected of layer {source.layer.id!r} is stored: `seed {source.layer.id}` first"
            )
        origin = source.origin
        with _told(target):
            part, other = Part.open(target.part, origin)
            try:
                part.keep(source.tiles)
                said = ", ".join(value for name, value in other.items() if value != origin[name])
                yield cls(source, target, origin, part, len(part), said)
            except BaseException:
                if target.made != target.part:  # the next run makes it anew
                    with suppress(OSError):
                        remove(target.made)
                raise
            finally:
                part.close()

    def fetch(self, progress: Progress) -> int:
        """Take the tiles that are not there yet; how many are left out, gone or without a byte.

        What is there is kept if this ends early, by whatever.

        Raises:
            StoreError: a tile could not be read.
            Superseded: the layer has another revision by now.
            BadOption: all are gone.
        """
        left = 0
        wanted = (tile for _, tile in ordered(self.source.tiles) if not self.part.digest(tile))
        try:
            for number, (tile, data) in enumerate(overlap(self.source.fetch, wanted), 1):
                if data:
                    self.part.put(tile, data)
                else:
                    left += 1
                if number % COMMIT == 0:
                    self.part.commit()
                progress(1)
        finally:
            self.part.commit()
        if self.source.origin != self.origin:
            raise Superseded(f"layer {self.source.layer.id!r} has another revision by now: run the same command again")
        if not len(self.part):
            raise BadOption(f"all tiles of layer {self.source.layer.id!r} that were listed are gone: seed them again")
        return left

    def write(self, progress: Progress) -> None:
        """Make the archive, beside the place where it belongs."""
        said = self.source.tilejson(self.part.zooms, self.origin)
        if self.target.kind == "pmtiles":
            write_pmtiles(self.target.made, self.part, self.source.tiles, said, progress)
        elif self.target.kind == "folder":
            _write_folder(self.target.made, self.part, self.source.tiles, said, progress)
        else:
            self.part.describe(said)
            progress(len(self.part))

    def check(self, progress: Progress) -> None:
        """Read the archive and hold every tile against what was fetched.

        Raises:
            StoreError: one is not the same; nothing is left of it.
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
                "verify", str(self.target.path), f"{wrong:,} tiles read back wrong: see to the disk, then run it again"
            )

    def place(self) -> None:
        """Put the archive in its place; nothing else is left."""
        self.part.close()
        self.target.replace()


def _write_folder(path: Path, part: Part, tiles: TileSets, said: Mapping[str, Any], progress: Progress) -> None:
    """A file for each tile, named as in the store, and TileJSON whose addresses begin at its own."""
    remove(path)
    path.mkdir()
    for _, tile in ordered(tiles):
        image = part.image(tile)
        if image:
            file = path / said["tiles"][0].format(z=tile.z, x=tile.x, y=tile.y)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(part.bytes_of(image.number))
            progress(1)
    (path / FACTS).write_text(json.dumps(said, indent=1) + "\n")


def _read_folder(path: Path, tiles: Iterable[Tile]) -> Iterator[tuple[Tile, bytes]]:
    template = read_json((path / FACTS).read_text())["tiles"][0]
    for tile in tiles:
        with suppress(FileNotFoundError):  # it is not one of the archive's
            yield tile, (path / template.format(z=tile.z, x=tile.x, y=tile.y)).read_bytes()


def remove(path: Path) -> None:
    """Have nothing at `path`."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _told(target: Target) -> Iterator[None]:
    """Errors of the disk as errors of the archive.

    Raises:
        StoreError: the file that is being made cannot be written or read; says what to do.
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
