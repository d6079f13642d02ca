"""Valid tiles from undisturbed runs, and stores changed by commands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import mercantile
import numpy as np
import pytest
from click.testing import CliRunner, Result

from seeder.cli import main as cli
from seeder.jobs.messages import Message, Receipt
from seeder.workers.process_block import Worker
from tests.support.rasters import Recipe, write_raster
from tiler.image.encode import blank_tile
from tiler.keys import parse_tile_key
from tiler.layers.catalog import load_layer
from tiler.layers.tilejson import named
from tiler.settings import Settings
from tiler.storage.concurrent import overlap
from tiler.storage.store import Store, Stores

Box = tuple[float, float, float, float]
Tiles = dict[str, bytes]

LAYER, TOP = "land", 3
WORLD = (-80.0, -60.0, 80.0, 60.0)
BOXES: tuple[Box | None, ...] = (None, (-70.0, -50.0, -5.0, 50.0), (5.0, 5.0, 30.0, 30.0))
LOOKS: tuple[tuple[str, ...], ...] = ((), ("--scale", "2"), ("--format", "webp"))


@dataclass(frozen=True)
class Selected:
    """Zooms, a box and a variant, as options of a command and as keys."""

    zooms: tuple[int, int]
    box: Box | None = None
    variant: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """The options."""
        box = ["--bbox", ",".join(map(str, self.box))] if self.box else []
        return ["--zooms", f"{self.zooms[0]}-{self.zooms[1]}", *box, *self.variant]

    def of(self, keys: Iterator[str] | Tiles) -> set[str]:
        """The selected ones of `keys`."""
        zooms = range(self.zooms[0], self.zooms[1] + 1)
        inside = set(mercantile.tiles(*(self.box or (-180, -85, 180, 85)), zooms))
        scale, form = 2 if "2" in self.variant else 1, "webp" if "webp" in self.variant else "png"
        names = {key: parse_tile_key(key) for key in keys}
        return {k for k, name in names.items() if name.tile in inside and (name.scale, name.format) == (scale, form)}


def rasters(folder: Path) -> dict[str, Path]:
    """Three rasters, each of one grey: the second is smaller, the third has a hole."""
    holed = np.full((1, 64, 64), 200, np.uint8)
    holed[:, 8:56, 8:56] = 0  # wide enough for blank tiles
    made = {
        "a": Recipe(values=np.full((1, 64, 64), 60, np.uint8), bounds=WORLD),
        "b": Recipe(values=np.full((1, 64, 64), 120, np.uint8), bounds=(-40.0, -30.0, 80.0, 60.0)),
        "c": Recipe(values=holed, bounds=WORLD, nodata=0),
    }
    return {name: write_raster(folder / f"{name}.tif", recipe) for name, recipe in made.items()}


def run(env: dict[str, str], *words: str) -> Result:
    """A command in this process."""
    return CliRunner().invoke(cli.main, list(words), env=env)


class Place:
    """Stores changed by commands; checked only by listings and bytes."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env = env
        self.settings = Settings.from_env(env)
        self.stores = Stores.open(self.settings, create=True)

    @classmethod
    def folder(cls, data: Path) -> Place:
        """In a folder."""
        return cls({"TILER_DATA": str(data)})

    @classmethod
    def memory(cls) -> Place:
        """In memory."""
        name = uuid4().hex
        return cls({"TILER_TILES": f"memory://{name}-tiles", "TILER_SOURCES": f"memory://{name}-sources"})

    @classmethod
    def bucket(cls, url: str) -> Place:
        """In a bucket, below a unique prefix."""
        root = f"{url}/{uuid4().hex}"
        return cls({"TILER_TILES": f"{root}/tiles", "TILER_SOURCES": f"{root}/sources"})

    def run(self, *words: str) -> Result:
        """A command on these stores."""
        return run(self.env, *words)

    def tiles(self) -> Tiles:
        """The stored tiles."""
        keys = [entry.key for entry in self.stores.tiles.list(f"{LAYER}/") if re.match(rf"{LAYER}/\d", entry.key)]
        return dict(overlap(lambda key: (key, self.stores.tiles.get(key)), keys))

    def receipts(self) -> list[str]:
        """The keys of all receipts."""
        return sorted(entry.key for entry in self.stores.sources.list("jobs/") if "/done/" in entry.key)

    @property
    def shown(self) -> str:
        """The revision in TileJSON."""
        return named(LAYER, self.stores.tiles)


@dataclass(frozen=True)
class Truth:
    """A raster, its revision, and its tiles from an undisturbed run."""

    path: Path
    revision: str
    tiles: Tiles

    def right(self, key: str, data: bytes, *, holed: bool) -> bool:
        """Whether these bytes are valid at the key while this revision is current."""
        name = parse_tile_key(key)
        return data == (self.tiles.get(key) or (blank_tile(256 * name.scale, name.format) if holed else None))


def seed_all(folder: Path) -> None:
    """Seed every raster, each into a folder of its own."""
    for name, path in rasters(folder).items():
        place = Place.folder(folder / name)
        assert place.run("ingest", str(path), *INGEST).exit_code == 0
        for variant in LOOKS:
            result = place.run("seed", LAYER, *Selected((0, TOP), None, variant).words, "--jobs", "1")
            assert result.exit_code == 0, result.output


def truths(folder: Path) -> dict[str, Truth]:
    """The truth of every raster that `seed_all` seeded."""
    found = {}
    for path in folder.glob("*.tif"):
        place = Place.folder(folder / path.stem)
        found[path.stem] = Truth(path, load_layer(place.stores.sources, LAYER).revision, place.tiles())
    return found


INGEST = ("--layer", LAYER, "--max-zoom", str(TOP), "--rescale", "0,255", "--format", "png", "--jobs", "1")


@contextmanager
def cut(after: int) -> Iterator[None]:
    """Interrupt after a number of put tiles."""
    real, seen = Store.put, 0

    def put(store: Store, key: str, data: bytes, **how: Any) -> None:
        nonlocal seen
        if re.match(rf"{LAYER}/\d", key):
            seen += 1
            if seen > after:
                raise KeyboardInterrupt
        real(store, key, data, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "put", put)
        yield


@contextmanager
def overheard(messages: list[Message]) -> Iterator[None]:
    """Record the messages of workers."""
    real = Worker.work

    def work(worker: Worker, message: Message, *, again: bool = False) -> Receipt:
        messages.append(message)
        return real(worker, message, again=again)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "work", work)
        yield


def last_json(result: Result) -> dict[str, Any]:
    """The last line of JSON."""
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    said: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return said
